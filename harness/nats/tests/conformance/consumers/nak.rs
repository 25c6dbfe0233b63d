//! Giving a message back, putting it off, giving it up, holding it longer.
//! <https://docs.nats.io/using-nats/developer/develop_jetstream/consumers> ("Acknowledgements"), ADR-13

use std::time::{Duration, Instant};

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{PullConsumer, pull};

use crate::stage::{ACK_WAIT, Stage, caught_up, check, durable, take, take_one, within};
use crate::transcript::{deliveries, delivery};

/// A consumer with long leases, of a stream with a, b and c.
async fn worker(stage: &Stage) -> PullConsumer {
    let stream = stage.stream("ORDERS", &["orders.>"]).await;
    stage.store("orders.new", &["a", "b", "c"]).await;
    let config = pull::Config {
        ack_wait: Duration::from_secs(30),
        ..durable("worker")
    };
    stream.create_consumer(config).await.unwrap()
}

/// A consumer with short leases, of a stream with a.
async fn hasty(stage: &Stage) -> PullConsumer {
    let stream = stage.stream("ORDERS", &["orders.>"]).await;
    stage.store("orders.new", &["a"]).await;
    stream.create_consumer(durable("worker")).await.unwrap()
}

#[test]
fn a_nak_brings_the_message_back_at_once() {
    check(async |stage| {
        let consumer = worker(stage).await;
        let first = take_one(&consumer).await;
        first.ack_with(AckKind::Nak(None)).await.unwrap();
        caught_up(&stage.client).await;
        let rest = take(&consumer, 3).await;
        stage.sees(
            deliveries(&rest),
            &["a #1 attempt 2", "b #2 attempt 1", "c #3 attempt 1"],
        );
    });
}

#[test]
fn naks_bring_messages_back_before_new_ones() {
    check(async |stage| {
        let consumer = worker(stage).await;
        let two = take(&consumer, 2).await;
        for message in two.iter().rev() {
            message.ack_with(AckKind::Nak(None)).await.unwrap();
            caught_up(&stage.client).await;
        }
        let rest = deliveries(&take(&consumer, 3).await);
        stage.sees(&rest[2], "c #3 attempt 1");
        stage.compares(rest.join(", "));
    });
}

#[test]
fn a_nak_with_a_delay_comes_again_after_it() {
    check(async |stage| {
        let consumer = worker(stage).await;
        let first = take_one(&consumer).await;
        let since = Instant::now();
        let delay = Duration::from_millis(400);
        first.ack_with(AckKind::Nak(Some(delay))).await.unwrap();
        caught_up(&stage.client).await;
        let others = take(&consumer, 2).await;
        stage.sees(deliveries(&others), &["b #2 attempt 1", "c #3 attempt 1"]);
        let again = take_one(&consumer).await;
        stage.sees(delivery(&again), "a #1 attempt 2");
        stage.sees(since.elapsed() >= delay, &true);
        stage.sees(since.elapsed() < delay * 5, &true);
    });
}

#[test]
fn a_delay_may_be_longer_than_the_lease() {
    check(async |stage| {
        let consumer = hasty(stage).await;
        let first = take_one(&consumer).await;
        let since = Instant::now();
        first
            .ack_with(AckKind::Nak(Some(ACK_WAIT * 3)))
            .await
            .unwrap();
        stage.sees(delivery(&take_one(&consumer).await), "a #1 attempt 2");
        stage.sees(since.elapsed() >= ACK_WAIT * 3, &true);
    });
}

#[test]
fn a_delay_may_be_shorter_than_the_lease() {
    check(async |stage| {
        let consumer = worker(stage).await;
        let messages = take(&consumer, 3).await;
        for (message, delay) in messages.iter().zip([600, 200, 400]) {
            let delay = Duration::from_millis(delay);
            message.ack_with(AckKind::Nak(Some(delay))).await.unwrap();
        }
        let mut order = Vec::new();
        for _ in 0..3 {
            order.push(delivery(&take_one(&consumer).await));
        }
        stage.sees(
            order,
            &["b #2 attempt 2", "c #3 attempt 2", "a #1 attempt 2"],
        );
    });
}

#[test]
fn a_message_that_was_given_back_counts_as_out_until_it_is_delivered() {
    check(async |stage| {
        let consumer = worker(stage).await;
        let first = take_one(&consumer).await;
        first.ack_with(AckKind::Nak(None)).await.unwrap();
        caught_up(&stage.client).await;
        let info = consumer.get_info().await.unwrap();
        stage.compares(format!(
            "{} out, {} redelivered, {} pending",
            info.num_ack_pending, info.num_redelivered, info.num_pending
        ));
        take_one(&consumer).await;
        let info = consumer.get_info().await.unwrap();
        stage.compares(format!(
            "{} out, {} redelivered, {} pending",
            info.num_ack_pending, info.num_redelivered, info.num_pending
        ));
    });
}

#[test]
fn a_terminated_message_does_not_come_again() {
    check(async |stage| {
        let consumer = hasty(stage).await;
        let first = take_one(&consumer).await;
        first.double_ack_with(AckKind::Term).await.unwrap();
        stage.sees(within(&consumer, 1, ACK_WAIT * 2).await.len(), &0);
        let info = consumer.get_info().await.unwrap();
        stage.sees(
            (info.num_ack_pending, info.ack_floor.stream_sequence),
            &(0, 1),
        );
    });
}

#[test]
fn a_message_can_be_terminated_with_a_reason() {
    check(async |stage| {
        let consumer = hasty(stage).await;
        let advisories = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>";
        let mut advisories = stage.client.subscribe(advisories).await.unwrap();
        let first = take_one(&consumer).await;
        let reply = first.reply.clone().unwrap();
        stage
            .client
            .publish(reply, "+TERM poisoned".into())
            .await
            .unwrap();
        caught_up(&stage.client).await;
        stage.sees(within(&consumer, 1, ACK_WAIT * 2).await.len(), &0);
        let advisory = crate::stage::next(&mut advisories).await;
        let advisory: serde_json::Value = serde_json::from_slice(&advisory.payload).unwrap();
        stage.sees(advisory["reason"].as_str(), &Some("poisoned"));
        stage.sees(advisory["stream_seq"].as_u64(), &Some(1));
    });
}

#[test]
fn progress_extends_the_lease() {
    check(async |stage| {
        let consumer = hasty(stage).await;
        let first = take_one(&consumer).await;
        for _ in 0..6 {
            first.ack_with(AckKind::Progress).await.unwrap();
            caught_up(&stage.client).await;
            let soon = within(&consumer, 1, ACK_WAIT / 4).await;
            stage.sees(soon.len(), &0);
        }
        stage.sees(delivery(&take_one(&consumer).await), "a #1 attempt 2");
        stage.sees(consumer.get_info().await.unwrap().num_ack_pending, &1);
    });
}

#[test]
fn progress_after_the_lease_is_over_does_not_bring_it_back() {
    check(async |stage| {
        let consumer = hasty(stage).await;
        let first = take_one(&consumer).await;
        let second = take_one(&consumer).await;
        stage.sees(delivery(&second), "a #1 attempt 2");
        // The message is out again: progress of the old attempt extends the lease of the new one.
        first.double_ack_with(AckKind::Progress).await.unwrap();
        second.double_ack().await.unwrap();
        stage.sees(within(&consumer, 1, ACK_WAIT * 2).await.len(), &0);
    });
}

#[test]
fn a_nak_of_an_old_attempt_is_taken_alike() {
    check(async |stage| {
        let consumer = hasty(stage).await;
        let first = take_one(&consumer).await;
        let second = take_one(&consumer).await;
        first.double_ack_with(AckKind::Nak(None)).await.unwrap();
        let third = within(&consumer, 1, ACK_WAIT / 2).await;
        stage.compares(format!("{:?}", deliveries(&third)));
        second.double_ack().await.unwrap();
        stage.sees(within(&consumer, 1, ACK_WAIT * 2).await.len(), &0);
    });
}

#[test]
fn double_answers_of_every_kind_are_confirmed() {
    check(async |stage| {
        let consumer = worker(stage).await;
        let messages = take(&consumer, 3).await;
        stage.sees(
            messages[0]
                .double_ack_with(AckKind::Nak(None))
                .await
                .is_ok(),
            &true,
        );
        stage.sees(
            messages[1].double_ack_with(AckKind::Progress).await.is_ok(),
            &true,
        );
        stage.sees(
            messages[2].double_ack_with(AckKind::Term).await.is_ok(),
            &true,
        );
        stage.sees(delivery(&take_one(&consumer).await), "a #1 attempt 2");
    });
}
