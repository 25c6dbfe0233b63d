//! What acknowledging does. <https://docs.nats.io/nats-concepts/jetstream/consumers#ackpolicy>

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};

use crate::stage::{ACK_WAIT, Stage, caught_up, check, durable, take, take_one, within};
use crate::transcript::{deliveries, payloads};

async fn worker(stage: &Stage, policy: AckPolicy) -> PullConsumer {
    let stream = stage.stream("ORDERS", &["orders.>"]).await;
    stage.store("orders.new", &["a", "b", "c"]).await;
    let config = pull::Config {
        ack_policy: policy,
        ..durable("worker")
    };
    stream.create_consumer(config).await.unwrap()
}

/// Unacknowledged messages, and the floor in the consumer's and in the stream's count.
async fn books(consumer: &PullConsumer) -> (usize, u64, u64) {
    let info = consumer.get_info().await.unwrap();
    let floor = info.ack_floor;
    (
        info.num_ack_pending,
        floor.consumer_sequence,
        floor.stream_sequence,
    )
}

#[test]
fn an_acknowledged_message_does_not_come_again() {
    check(async |stage| {
        let consumer = worker(stage, AckPolicy::Explicit).await;
        for message in take(&consumer, 3).await {
            message.ack().await.unwrap();
        }
        caught_up(&stage.client).await;
        stage.sees(within(&consumer, 1, ACK_WAIT * 2).await.len(), &0);
        stage.sees(books(&consumer).await, &(0, 3, 3));
    });
}

#[test]
fn explicit_acks_are_for_one_message_each() {
    check(async |stage| {
        let consumer = worker(stage, AckPolicy::Explicit).await;
        let messages = take(&consumer, 3).await;
        messages[1].double_ack().await.unwrap();
        stage.sees(books(&consumer).await, &(2, 0, 0));
        messages[0].double_ack().await.unwrap();
        stage.sees(books(&consumer).await, &(1, 2, 2));
        let again = take(&consumer, 1).await;
        stage.sees(deliveries(&again), &["c #3 attempt 2"]);
    });
}

#[test]
fn an_ack_of_all_is_for_everything_before_too() {
    check(async |stage| {
        let consumer = worker(stage, AckPolicy::All).await;
        let messages = take(&consumer, 3).await;
        messages[1].double_ack().await.unwrap();
        stage.sees(books(&consumer).await, &(1, 2, 2));
        let again = take(&consumer, 1).await;
        stage.sees(deliveries(&again), &["c #3 attempt 2"]);
    });
}

#[test]
fn without_acks_a_message_counts_as_done() {
    check(async |stage| {
        let consumer = worker(stage, AckPolicy::None).await;
        take(&consumer, 2).await;
        stage.sees(books(&consumer).await, &(0, 2, 2));
        let rest = within(&consumer, 5, ACK_WAIT * 2).await;
        stage.sees(payloads(&rest), &["c"]);
    });
}

#[test]
fn a_double_ack_is_answered() {
    check(async |stage| {
        let consumer = worker(stage, AckPolicy::Explicit).await;
        let message = take_one(&consumer).await;
        stage.sees(message.double_ack().await.is_ok(), &true);
        stage.sees(books(&consumer).await, &(0, 1, 1));
    });
}

#[test]
fn an_ack_can_be_given_twice() {
    check(async |stage| {
        let consumer = worker(stage, AckPolicy::Explicit).await;
        let message = take_one(&consumer).await;
        message.double_ack().await.unwrap();
        stage.sees(message.double_ack().await.is_ok(), &true);
        stage.sees(books(&consumer).await, &(0, 1, 1));
    });
}

#[test]
fn an_ack_after_its_lease_is_over_still_counts() {
    check(async |stage| {
        let consumer = worker(stage, AckPolicy::Explicit).await;
        let late = take_one(&consumer).await;
        tokio::time::sleep(ACK_WAIT * 2).await;
        late.double_ack().await.unwrap();
        let rest = within(&consumer, 5, ACK_WAIT / 2).await;
        stage.sees(deliveries(&rest), &["b #2 attempt 1", "c #3 attempt 1"]);
    });
}

#[test]
fn an_ack_of_the_first_attempt_settles_the_second() {
    check(async |stage| {
        let consumer = worker(stage, AckPolicy::Explicit).await;
        let all = take(&consumer, 3).await;
        let again = take(&consumer, 3).await;
        stage.sees(
            deliveries(&again),
            &["a #1 attempt 2", "b #2 attempt 2", "c #3 attempt 2"],
        );
        for message in &all {
            message.double_ack().await.unwrap();
        }
        stage.compares(format!("{:?}", books(&consumer).await));
        stage.sees(within(&consumer, 1, ACK_WAIT * 2).await.len(), &0);
    });
}

#[test]
fn a_nak_after_an_ack_does_nothing() {
    check(async |stage| {
        let consumer = worker(stage, AckPolicy::Explicit).await;
        let messages = take(&consumer, 3).await;
        for message in &messages {
            message.double_ack().await.unwrap();
        }
        messages[0].ack_with(AckKind::Nak(None)).await.unwrap();
        caught_up(&stage.client).await;
        stage.sees(within(&consumer, 1, ACK_WAIT).await.len(), &0);
        stage.sees(books(&consumer).await, &(0, 3, 3));
    });
}

#[test]
fn an_empty_answer_is_an_ack() {
    check(async |stage| {
        let consumer = worker(stage, AckPolicy::Explicit).await;
        let message = take_one(&consumer).await;
        let reply = message.reply.clone().unwrap();
        stage.client.publish(reply, "".into()).await.unwrap();
        caught_up(&stage.client).await;
        stage.compares(format!("{:?}", books(&consumer).await));
    });
}

#[test]
fn an_answer_that_is_no_ack_is_taken_alike() {
    check(async |stage| {
        let consumer = worker(stage, AckPolicy::Explicit).await;
        for (message, answer) in take(&consumer, 3)
            .await
            .iter()
            .zip(["nonsense", "+OK", "-NAKED"])
        {
            let reply = message.reply.clone().unwrap();
            stage.client.publish(reply, answer.into()).await.unwrap();
            caught_up(&stage.client).await;
            stage.compares(format!("{answer}: {:?}", books(&consumer).await));
        }
    });
}

#[test]
fn a_delivery_names_everything_in_its_reply_subject() {
    check(async |stage| {
        let consumer = worker(stage, AckPolicy::Explicit).await;
        for message in take(&consumer, 2).await {
            let reply = message.reply.clone().unwrap();
            let tokens: Vec<_> = reply.split('.').collect();
            // The one before the last is the time at which the message was stored.
            stage.compares(format!("{:?} .. {:?}", &tokens[..7], &tokens[8..]));
            let stored = message.info().unwrap().published;
            stage.sees(
                tokens[7] == stored.unix_timestamp_nanos().to_string(),
                &true,
            );
        }
    });
}

#[test]
fn an_ack_can_ask_for_the_next_message() {
    check(async |stage| {
        let consumer = worker(stage, AckPolicy::Explicit).await;
        let first = take_one(&consumer).await;
        let mut inbox = stage.client.subscribe("inbox").await.unwrap();
        let reply = first.reply.clone().unwrap();
        let asked = stage
            .client
            .publish_with_reply(reply, "inbox", "+NXT".into());
        asked.await.unwrap();
        let second = crate::stage::next(&mut inbox).await;
        stage.sees(crate::transcript::said(&second), "b");
        stage.sees(books(&consumer).await, &(1, 1, 1));
    });
}
