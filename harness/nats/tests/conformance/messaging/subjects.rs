//! Who gets a message: subjects and their wildcards. <https://docs.nats.io/nats-concepts/subjects>

use async_nats::Subscriber;

use crate::stage::{Stage, caught_up, check, next, options, soon};
use crate::transcript::{addressed, said};

#[test]
fn a_message_reaches_every_subscriber_of_its_subject() {
    check(async |stage| {
        let mut first = stage.client.subscribe("news").await.unwrap();
        let other = stage.connect().await;
        let mut second = other.subscribe("news").await.unwrap();
        caught_up(&other).await;
        stage.client.publish("news", "hello".into()).await.unwrap();
        stage.sees(addressed(&next(&mut first).await), "news: hello");
        stage.sees(addressed(&next(&mut second).await), "news: hello");
        stage.sees(soon(&mut first).await.is_none(), &true);
    });
}

#[test]
fn a_message_without_subscribers_is_gone() {
    check(async |stage| {
        stage.client.publish("news", "early".into()).await.unwrap();
        let mut messages = stage.client.subscribe("news").await.unwrap();
        stage.client.publish("news", "late".into()).await.unwrap();
        stage.sees(said(&next(&mut messages).await), "late");
    });
}

#[test]
fn messages_of_one_publisher_keep_their_order() {
    check(async |stage| {
        let mut messages = stage.client.subscribe("numbers.>").await.unwrap();
        let publisher = stage.connect().await;
        caught_up(&stage.client).await;
        for number in 0..200 {
            let subject = format!("numbers.{}", number % 3);
            publisher
                .publish(subject, number.to_string().into())
                .await
                .unwrap();
        }
        let mut order = Vec::new();
        for _ in 0..200 {
            order.push(said(&next(&mut messages).await).parse::<u32>().unwrap());
        }
        stage.sees(order.is_sorted(), &true);
    });
}

/// What of `published` arrives at `pattern`, in order.
async fn matched(stage: &Stage, pattern: &str, published: &[&str]) -> Vec<String> {
    let mut messages = stage.client.subscribe(pattern.to_owned()).await.unwrap();
    for subject in published {
        stage
            .client
            .publish(subject.to_string(), "".into())
            .await
            .unwrap();
    }
    arrived(&mut messages).await
}

async fn arrived(messages: &mut Subscriber) -> Vec<String> {
    let mut subjects = Vec::new();
    while let Some(message) = soon(messages).await {
        subjects.push(message.subject.to_string());
    }
    subjects
}

const TREE: [&str; 7] = ["a", "a.b", "a.c", "a.b.c", "a.b.d", "x.b.c", "A.b"];

#[test]
fn a_star_stands_for_one_token() {
    check(async |stage| {
        stage.sees(matched(stage, "a.*", &TREE).await, &["a.b", "a.c"]);
        stage.sees(matched(stage, "*", &TREE).await, &["a"]);
        stage.sees(matched(stage, "*.b.c", &TREE).await, &["a.b.c", "x.b.c"]);
        stage.sees(matched(stage, "a.*.*", &TREE).await, &["a.b.c", "a.b.d"]);
        stage.sees(matched(stage, "*.*", &TREE).await, &["a.b", "a.c", "A.b"]);
    });
}

#[test]
fn an_arrow_stands_for_one_or_more_tokens_at_the_end() {
    check(async |stage| {
        stage.sees(
            matched(stage, "a.>", &TREE).await,
            &["a.b", "a.c", "a.b.c", "a.b.d"],
        );
        stage.sees(matched(stage, "a.b.>", &TREE).await, &["a.b.c", "a.b.d"]);
        stage.sees(
            matched(stage, "*.b.>", &TREE).await,
            &["a.b.c", "a.b.d", "x.b.c"],
        );
        stage.sees(matched(stage, ">", &TREE).await, &TREE);
    });
}

#[test]
fn wildcards_stand_alone_in_their_token() {
    check(async |stage| {
        let published = ["a.bc", "a.b*", "a.b>", "a.>b"];
        stage.sees(matched(stage, "a.b*", &published).await, &["a.b*"]);
        stage.sees(matched(stage, "a.b>", &published).await, &["a.b>"]);
    });
}

#[test]
fn overlapping_subscriptions_each_get_the_message() {
    check(async |stage| {
        let mut all = stage.client.subscribe("a.>").await.unwrap();
        let mut star = stage.client.subscribe("a.*").await.unwrap();
        let mut exact = stage.client.subscribe("a.b").await.unwrap();
        let mut again = stage.client.subscribe("a.b").await.unwrap();
        stage.client.publish("a.b", "".into()).await.unwrap();
        for messages in [&mut all, &mut star, &mut exact, &mut again] {
            stage.sees(arrived(messages).await, &["a.b"]);
        }
    });
}

#[test]
fn an_own_message_comes_back_unless_echo_is_off() {
    check(async |stage| {
        let silent = stage.connect_with(options().no_echo()).await;
        let mut own = silent.subscribe("news").await.unwrap();
        caught_up(&silent).await;
        silent.publish("news", "mine".into()).await.unwrap();
        caught_up(&silent).await;
        stage.client.publish("news", "theirs".into()).await.unwrap();
        stage.sees(said(&next(&mut own).await), "theirs");
    });
}

#[test]
fn many_subscriptions_of_one_connection_are_told_apart() {
    check(async |stage| {
        let mut subscriptions = Vec::new();
        for number in 0..500 {
            let subject = format!("many.{number}");
            subscriptions.push(stage.client.subscribe(subject).await.unwrap());
        }
        caught_up(&stage.client).await;
        let publisher = stage.connect().await;
        for number in 0..500 {
            let subject = format!("many.{number}");
            publisher
                .publish(subject, number.to_string().into())
                .await
                .unwrap();
        }
        let mut right = 0;
        for (number, messages) in subscriptions.iter_mut().enumerate() {
            right += usize::from(said(&next(messages).await) == number.to_string());
        }
        stage.sees(right, &500);
    });
}
