//! Members of a queue group share its messages. <https://docs.nats.io/nats-concepts/core-nats/queue>

use std::collections::BTreeMap;

use async_nats::Subscriber;

use crate::stage::{caught_up, check, next, soon};
use crate::transcript::said;

/// What has come to each of `members`, together and in order.
async fn all_of(members: &mut [Subscriber]) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    for member in members {
        while let Some(message) = soon(member).await {
            *counts.entry(said(&message).parse().unwrap()).or_default() += 1;
        }
    }
    counts
}

#[test]
fn each_message_goes_to_one_member_of_a_group() {
    check(async |stage| {
        let mut members = Vec::new();
        for _ in 0..3 {
            let client = stage.connect().await;
            let member = client.queue_subscribe("jobs", "workers".to_owned());
            members.push(member.await.unwrap());
            caught_up(&client).await;
        }
        for number in 0..60 {
            stage
                .client
                .publish("jobs", number.to_string().into())
                .await
                .unwrap();
        }
        caught_up(&stage.client).await;
        let counts = all_of(&mut members).await;
        stage.sees(counts.len(), &60);
        stage.sees(counts.values().all(|count| *count == 1), &true);
    });
}

#[test]
fn every_member_gets_some_messages() {
    check(async |stage| {
        let mut members = Vec::new();
        for _ in 0..2 {
            let member = stage.client.queue_subscribe("jobs", "workers".to_owned());
            members.push(member.await.unwrap());
        }
        for number in 0..200 {
            stage
                .client
                .publish("jobs", number.to_string().into())
                .await
                .unwrap();
        }
        for member in &mut members {
            stage.sees(soon(member).await.is_some(), &true);
        }
    });
}

#[test]
fn groups_and_plain_subscribers_do_not_take_from_each_other() {
    check(async |stage| {
        let one = stage.client.queue_subscribe("jobs", "one".to_owned());
        let other = stage.client.queue_subscribe("jobs", "other".to_owned());
        let plain = stage.client.subscribe("jobs");
        let (one, other, plain) = (one.await, other.await, plain.await);
        for number in 0..10 {
            stage
                .client
                .publish("jobs", number.to_string().into())
                .await
                .unwrap();
        }
        for messages in [one, other, plain] {
            let counts = all_of(&mut [messages.unwrap()]).await;
            stage.sees(counts.len(), &10);
        }
    });
}

#[test]
fn subscriptions_of_different_patterns_are_one_group_by_their_name() {
    check(async |stage| {
        let exact = stage.client.queue_subscribe("jobs.a", "workers".to_owned());
        let star = stage.client.queue_subscribe("jobs.*", "workers".to_owned());
        let mut members = [exact.await.unwrap(), star.await.unwrap()];
        for number in 0..20 {
            stage
                .client
                .publish("jobs.a", number.to_string().into())
                .await
                .unwrap();
        }
        let counts = all_of(&mut members).await;
        let copies: Vec<_> = counts.into_values().collect();
        stage.compares(format!("{copies:?}"));
    });
}

#[test]
fn a_member_that_leaves_gets_nothing_and_loses_nothing() {
    check(async |stage| {
        let stays = stage.client.queue_subscribe("jobs", "workers".to_owned());
        let mut stays = stays.await.unwrap();
        let leaver = stage.connect().await;
        let leaves = leaver.queue_subscribe("jobs", "workers".to_owned());
        let mut leaves = leaves.await.unwrap();
        leaves.unsubscribe().await.unwrap();
        caught_up(&leaver).await;
        for number in 0..20 {
            stage
                .client
                .publish("jobs", number.to_string().into())
                .await
                .unwrap();
        }
        for number in 0..20 {
            stage.sees(said(&next(&mut stays).await), &number.to_string());
        }
    });
}

#[test]
fn a_request_to_a_group_is_answered_once() {
    check(async |stage| {
        for name in ["a", "b"] {
            let client = stage.connect().await;
            let requests = client.queue_subscribe("sum", "servers".to_owned());
            let mut requests = requests.await.unwrap();
            caught_up(&client).await;
            tokio::spawn(async move {
                loop {
                    let request = next(&mut requests).await;
                    let reply = request.reply.unwrap();
                    client.publish(reply, name.into()).await.unwrap();
                }
            });
        }
        let inbox = stage.client.new_inbox();
        let mut answers = stage.client.subscribe(inbox.clone()).await.unwrap();
        let asked = stage.client.publish_with_reply("sum", inbox, "".into());
        asked.await.unwrap();
        let answer = said(&next(&mut answers).await);
        stage.sees(["a", "b"].contains(&answer.as_str()), &true);
        stage.sees(soon(&mut answers).await.is_none(), &true);
    });
}
