//! Pulling by the client's own means: fetch, batch, an endless stream of messages.
//! <https://docs.nats.io/nats-concepts/jetstream/consumers#pull-consumers>

use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::PullConsumer;
use futures::{StreamExt, TryStreamExt};

use crate::stage::{A_WHILE, Stage, check, durable};
use crate::transcript::{payloads, text};

async fn worker(stage: &Stage, payloads: &[&str]) -> PullConsumer {
    let stream = stage.stream("ORDERS", &["orders.>"]).await;
    stage.store("orders.new", payloads).await;
    let config = async_nats::jetstream::consumer::pull::Config {
        ack_wait: Duration::from_secs(30),
        ..durable("worker")
    };
    stream.create_consumer(config).await.unwrap()
}

#[test]
fn a_fetch_takes_what_is_there_and_does_not_wait() {
    check(async |stage| {
        let consumer = worker(stage, &["a", "b", "c"]).await;
        let since = Instant::now();
        let fetched = consumer.fetch().max_messages(10).messages().await.unwrap();
        let fetched: Vec<_> = fetched.try_collect().await.unwrap();
        stage.sees(payloads(&fetched), &["a", "b", "c"]);
        let nothing = consumer.fetch().max_messages(10).messages().await.unwrap();
        stage.sees(nothing.count().await, &0);
        stage.sees(since.elapsed() < Duration::from_secs(3), &true);
    });
}

#[test]
fn a_fetch_takes_no_more_than_asked() {
    check(async |stage| {
        let consumer = worker(stage, &["a", "b", "c"]).await;
        let fetched = consumer.fetch().max_messages(2).messages().await.unwrap();
        let fetched: Vec<_> = fetched.try_collect().await.unwrap();
        stage.sees(payloads(&fetched), &["a", "b"]);
        stage.sees(consumer.get_info().await.unwrap().num_ack_pending, &2);
    });
}

#[test]
fn a_batch_waits_until_it_is_full() {
    check(async |stage| {
        let consumer = worker(stage, &["a"]).await;
        let batch = consumer
            .batch()
            .max_messages(3)
            .expires(Duration::from_secs(10));
        let mut batch = batch.messages().await.unwrap();
        stage.sees(text(&batch.next().await.unwrap().unwrap().payload), "a");
        stage.store("orders.new", &["b", "c", "d"]).await;
        stage.sees(text(&batch.next().await.unwrap().unwrap().payload), "b");
        stage.sees(text(&batch.next().await.unwrap().unwrap().payload), "c");
        stage.sees(batch.next().await.is_none(), &true);
    });
}

#[test]
fn a_batch_ends_when_it_expires() {
    check(async |stage| {
        let consumer = worker(stage, &["a"]).await;
        let since = Instant::now();
        let expires = Duration::from_millis(300);
        let batch = consumer.batch().max_messages(3).expires(expires);
        let batch: Vec<_> = batch.messages().await.unwrap().try_collect().await.unwrap();
        stage.sees(payloads(&batch), &["a"]);
        stage.sees(since.elapsed() >= expires * 9 / 10, &true);
        stage.sees(since.elapsed() < Duration::from_secs(4), &true);
    });
}

#[test]
fn a_stream_of_messages_goes_on_over_many_pulls() {
    check(async |stage| {
        let consumer = worker(stage, &[]).await;
        let stream = consumer
            .stream()
            .max_messages_per_batch(7)
            .expires(Duration::from_secs(2));
        let mut messages = stream.messages().await.unwrap();
        let mut came = Vec::new();
        for round in 0..4 {
            for number in 0..10 {
                stage
                    .store("orders.new", &[&(round * 10 + number).to_string()])
                    .await;
            }
            for _ in 0..10 {
                let message = messages.next().await.unwrap().unwrap();
                message.ack().await.unwrap();
                came.push(text(&message.payload).parse::<u32>().unwrap());
            }
        }
        stage.sees(came == (0..40).collect::<Vec<_>>(), &true);
    });
}

#[test]
fn a_stream_of_messages_outlives_pulls_that_expire() {
    check(async |stage| {
        let consumer = worker(stage, &[]).await;
        let stream = consumer
            .stream()
            .expires(Duration::from_millis(1100))
            .heartbeat(Duration::from_millis(500));
        let mut messages = stream.messages().await.unwrap();
        let late = async {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            stage.store("orders.new", &["late"]).await;
        };
        let (message, ()) = tokio::join!(messages.next(), late);
        stage.sees(text(&message.unwrap().unwrap().payload), "late");
    });
}

#[test]
fn a_sequence_of_batches_is_a_pull_each() {
    check(async |stage| {
        let consumer = worker(stage, &["a", "b", "c", "d"]).await;
        let mut batches = consumer.sequence(2).unwrap();
        for expected in [["a", "b"], ["c", "d"]] {
            let batch = batches.next().await.unwrap().unwrap();
            let batch: Vec<_> = batch.try_collect().await.unwrap();
            stage.sees(payloads(&batch), &expected);
        }
    });
}

#[test]
fn two_pullers_share_the_messages() {
    check(async |stage| {
        let consumer = worker(stage, &[]).await;
        let js = async_nats::jetstream::new(stage.connect().await);
        let other = js.get_consumer_from_stream("worker", "ORDERS").await;
        let other: PullConsumer = other.unwrap();
        let batch = |consumer: PullConsumer| async move {
            let batch = consumer
                .batch()
                .max_messages(20)
                .expires(Duration::from_millis(1000));
            let messages = batch.messages().await.unwrap();
            payloads(&messages.try_collect::<Vec<_>>().await.unwrap())
        };
        let publishing = async {
            tokio::time::sleep(A_WHILE).await;
            for number in 0..20 {
                stage.store("orders.new", &[&number.to_string()]).await;
            }
        };
        let (first, second, ()) = tokio::join!(batch(consumer), batch(other), publishing);
        stage.sees(!first.is_empty() && !second.is_empty(), &true);
        let mut all: Vec<u32> = first
            .iter()
            .chain(&second)
            .map(|number| number.parse().unwrap())
            .collect();
        all.sort();
        stage.sees(all == (0..20).collect::<Vec<_>>(), &true);
    });
}

#[test]
fn two_consumers_each_get_everything() {
    check(async |stage| {
        let first = worker(stage, &["a", "b"]).await;
        let stream = stage.js.get_stream("ORDERS").await.unwrap();
        let second = stream.create_consumer(durable("other")).await.unwrap();
        stage.sees(payloads(&crate::stage::take(&first, 2).await), &["a", "b"]);
        stage.sees(payloads(&crate::stage::take(&second, 2).await), &["a", "b"]);
    });
}

#[test]
fn a_puller_that_is_gone_leaves_its_messages_to_others() {
    check(async |stage| {
        let consumer = worker(stage, &[]).await;
        let leaver = stage.connect().await;
        let inbox = leaver.new_inbox();
        let _answers = leaver.subscribe(inbox.clone()).await.unwrap();
        let request = r#"{"batch":5,"expires":20000000000}"#;
        let asked = leaver.publish_with_reply(
            "$JS.API.CONSUMER.MSG.NEXT.ORDERS.worker",
            inbox,
            request.into(),
        );
        asked.await.unwrap();
        crate::stage::caught_up(&leaver).await;
        stage.sees(consumer.get_info().await.unwrap().num_waiting, &1);
        leaver.drain().await.unwrap();
        tokio::time::sleep(A_WHILE).await;
        stage.store("orders.new", &["a"]).await;
        let taken = crate::stage::take(&consumer, 1).await;
        stage.sees(crate::transcript::deliveries(&taken), &["a #1 attempt 1"]);
    });
}

#[test]
fn messages_come_with_their_subject_and_headers() {
    check(async |stage| {
        let consumer = worker(stage, &[]).await;
        stage
            .publish_raw("orders.new", &[("Colour", "red"), ("Colour", "blue")], "a")
            .await;
        let message = crate::stage::take_one(&consumer).await;
        stage.sees(message.subject.as_str(), "orders.new");
        let colours = message.headers.as_ref().unwrap().get_all("Colour");
        let colours: Vec<_> = colours.map(ToString::to_string).collect();
        stage.sees(colours, &["red", "blue"]);
    });
}
