//! What happens to messages that are not acknowledged in time.
//! <https://docs.nats.io/nats-concepts/jetstream/consumers#acknowledgment-policy> (AckWait, BackOff)

use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, pull};

use crate::stage::{ACK_WAIT, check, durable, take, take_one, within};
use crate::transcript::{deliveries, delivery, payloads};

#[test]
fn an_unacknowledged_message_comes_again_after_its_lease() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a"]).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        let since = Instant::now();
        for attempt in 1..=4 {
            let message = take_one(&consumer).await;
            stage.sees(delivery(&message), &format!("a #1 attempt {attempt}"));
            stage.sees(message.info().unwrap().consumer_sequence, &attempt);
        }
        stage.sees(since.elapsed() >= ACK_WAIT * 3, &true);
    });
}

#[test]
fn messages_come_again_in_the_order_in_which_they_were_delivered() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b", "c", "d", "e"]).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        take(&consumer, 5).await;
        stage.sees(
            payloads(&take(&consumer, 5).await),
            &["a", "b", "c", "d", "e"],
        );
    });
}

#[test]
fn leases_begin_with_each_delivery() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b"]).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        take_one(&consumer).await;
        tokio::time::sleep(ACK_WAIT / 2).await;
        take_one(&consumer).await;
        stage.sees(delivery(&take_one(&consumer).await), "a #1 attempt 2");
        stage.sees(delivery(&take_one(&consumer).await), "b #2 attempt 2");
    });
}

#[test]
fn what_comes_again_comes_before_what_is_new() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b", "c"]).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        take(&consumer, 2).await;
        tokio::time::sleep(ACK_WAIT * 2).await;
        let rest = take(&consumer, 3).await;
        stage.sees(
            deliveries(&rest),
            &["a #1 attempt 2", "b #2 attempt 2", "c #3 attempt 1"],
        );
    });
}

#[test]
fn only_what_is_not_acknowledged_comes_again() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b", "c", "d"]).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        let messages = take(&consumer, 4).await;
        messages[0].double_ack().await.unwrap();
        messages[2].double_ack().await.unwrap();
        let again = within(&consumer, 4, ACK_WAIT * 3 / 2).await;
        stage.sees(deliveries(&again), &["b #2 attempt 2", "d #4 attempt 2"]);
    });
}

#[test]
fn nothing_comes_again_without_somebody_who_pulls() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a"]).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        take_one(&consumer).await;
        tokio::time::sleep(ACK_WAIT * 4).await;
        stage.sees(delivery(&take_one(&consumer).await), "a #1 attempt 2");
    });
}

#[test]
fn a_backoff_gives_each_attempt_a_lease_of_its_own() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a"]).await;
        let backoff = [100, 300, 600].map(Duration::from_millis);
        let config = pull::Config {
            backoff: backoff.to_vec(),
            max_deliver: 5,
            ..durable("worker")
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        stage.sees(consumer.cached_info().config.ack_wait, &backoff[0]);
        let since = Instant::now();
        take_one(&consumer).await;
        let mut leases = Duration::ZERO;
        for lease in [backoff[0], backoff[1], backoff[2], backoff[2]] {
            leases += lease;
            take_one(&consumer).await;
            stage.sees(since.elapsed() >= leases, &true);
        }
        stage.sees(within(&consumer, 1, backoff[2] * 2).await.len(), &0);
    });
}

#[test]
fn a_backoff_does_not_put_off_a_nak() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a"]).await;
        let config = pull::Config {
            backoff: vec![Duration::from_secs(20); 2],
            max_deliver: 3,
            ..durable("worker")
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        let nak = async_nats::jetstream::AckKind::Nak(None);
        take_one(&consumer).await.ack_with(nak).await.unwrap();
        stage.sees(delivery(&take_one(&consumer).await), "a #1 attempt 2");
    });
}

#[test]
fn with_acks_of_all_everything_that_is_out_comes_again() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a", "b", "c"]).await;
        let config = pull::Config {
            ack_policy: AckPolicy::All,
            ..durable("worker")
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        take(&consumer, 3).await;
        let again = take(&consumer, 3).await;
        stage.sees(
            deliveries(&again),
            &["a #1 attempt 2", "b #2 attempt 2", "c #3 attempt 2"],
        );
    });
}

#[test]
fn a_lease_that_is_changed_holds_for_what_is_delivered_afterwards() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        stage.store("orders.new", &["a"]).await;
        let patient = pull::Config {
            ack_wait: Duration::from_secs(30),
            ..durable("worker")
        };
        stream.create_consumer(patient).await.unwrap();
        let consumer = stream.update_consumer(durable("worker")).await.unwrap();
        take_one(&consumer).await;
        stage.sees(delivery(&take_one(&consumer).await), "a #1 attempt 2");
    });
}
