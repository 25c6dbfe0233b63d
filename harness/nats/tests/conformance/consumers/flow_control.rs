//! A push consumer that waits for its listener. ADR-15
//! <https://docs.nats.io/nats-concepts/jetstream/consumers> (FlowControl)

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, push};
use futures::StreamExt;

use crate::stage::{check, soon};
use crate::transcript::text;

fn controlled() -> push::Config {
    push::Config {
        durable_name: Some("worker".to_owned()),
        deliver_subject: "deliveries".to_owned(),
        ack_policy: AckPolicy::None,
        flow_control: true,
        idle_heartbeat: Duration::from_millis(500),
        ..Default::default()
    }
}

#[test]
fn a_listener_that_answers_gets_everything() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        for number in 0..300 {
            let payload = format!("{number:<4000}");
            stage.store("orders.new", &[&payload]).await;
        }
        let consumer = stream.create_consumer(controlled()).await.unwrap();
        let messages = consumer.messages().await.unwrap();
        let messages = messages
            .take(300)
            .map(|message| text(&message.unwrap().payload));
        let numbers: Vec<u32> = messages
            .map(|text| text.trim().parse::<u32>().unwrap())
            .collect()
            .await;
        stage.sees(numbers == (0..300).collect::<Vec<_>>(), &true);
    });
}

#[test]
fn a_listener_that_does_not_answer_is_waited_for() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        for _ in 0..300 {
            stage.store("orders.new", &[&"x".repeat(20_000)]).await;
        }
        let mut deliveries = stage.client.subscribe("deliveries").await.unwrap();
        let consumer = stream.create_consumer(controlled()).await.unwrap();
        let (mut count, mut asked) = (0, None);
        while let Some(message) = soon(&mut deliveries).await {
            match message.status {
                None => count += 1,
                Some(_) if message.reply.is_some() && asked.is_none() => asked = message.reply,
                Some(_) => {}
            }
        }
        stage.sees(count > 0 && count < 300, &true);
        stage.sees(asked.is_some(), &true);
        stage.sees(consumer.get_info().await.unwrap().num_pending > 0, &true);
        // Answering lets it go on.
        stage
            .client
            .publish(asked.unwrap(), "".into())
            .await
            .unwrap();
        let mut more = 0;
        while let Some(message) = soon(&mut deliveries).await {
            more += usize::from(message.status.is_none());
        }
        stage.sees(more > 0, &true);
    });
}
