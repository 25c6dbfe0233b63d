//! Payloads small and large, up to what the server takes.
//! <https://docs.nats.io/running-a-nats-service/configuration> (max_payload)

use crate::stage::{caught_up, check, header_map, next};
use crate::transcript::outcome;

#[test]
fn payloads_may_be_empty_or_any_bytes() {
    check(async |stage| {
        let mut messages = stage.client.subscribe("bytes").await.unwrap();
        let bytes: Vec<u8> = (0..=255).chain(*b"\r\nMSG x 1 2\r\n").collect();
        stage.client.publish("bytes", "".into()).await.unwrap();
        stage
            .client
            .publish("bytes", bytes.clone().into())
            .await
            .unwrap();
        stage.sees(next(&mut messages).await.payload.len(), &0);
        stage.sees(next(&mut messages).await.payload == bytes, &true);
    });
}

#[test]
fn a_payload_of_the_greatest_size_arrives_whole() {
    check(async |stage| {
        let size = stage.client.max_payload();
        stage.sees(size, &(1024 * 1024));
        let mut messages = stage.client.subscribe("large").await.unwrap();
        let bytes: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
        stage
            .client
            .publish("large", bytes.clone().into())
            .await
            .unwrap();
        stage.sees(next(&mut messages).await.payload == bytes, &true);
    });
}

#[test]
fn what_is_larger_is_refused_before_it_is_sent() {
    check(async |stage| {
        let size = stage.client.max_payload();
        let sent = stage
            .client
            .publish("large", vec![0; size + 1].into())
            .await;
        stage.compares(outcome(sent));
        let headers = header_map(&[("Name", "value")]);
        let sent = stage
            .client
            .publish_with_headers("large", headers, vec![0; size].into());
        stage.compares(outcome(sent.await));
        stage.sees(outcome(stage.client.flush().await), "()");
    });
}

#[test]
fn large_messages_of_many_publishers_arrive_whole() {
    check(async |stage| {
        let mut messages = stage.client.subscribe("large.*").await.unwrap();
        caught_up(&stage.client).await;
        for publisher in 0..4_u8 {
            let client = stage.connect().await;
            tokio::spawn(async move {
                for _ in 0..8 {
                    let subject = format!("large.{publisher}");
                    client
                        .publish(subject, vec![publisher; 200_000].into())
                        .await
                        .unwrap();
                }
                caught_up(&client).await;
            });
        }
        let mut whole = 0;
        for _ in 0..32 {
            let message = next(&mut messages).await;
            let publisher: u8 = message
                .subject
                .trim_start_matches("large.")
                .parse()
                .unwrap();
            whole += usize::from(message.payload == vec![publisher; 200_000]);
        }
        stage.sees(whole, &32);
    });
}
