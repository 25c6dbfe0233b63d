//! Subscriptions that end. <https://docs.nats.io/using-nats/developer/receiving/unsubscribing>

use futures::StreamExt;

use crate::stage::{caught_up, check, next, soon};
use crate::transcript::said;

#[test]
fn nothing_comes_after_unsubscribing() {
    check(async |stage| {
        let mut messages = stage.client.subscribe("news").await.unwrap();
        stage.client.publish("news", "before".into()).await.unwrap();
        stage.sees(said(&next(&mut messages).await), "before");
        messages.unsubscribe().await.unwrap();
        stage.client.publish("news", "after".into()).await.unwrap();
        caught_up(&stage.client).await;
        stage.sees(messages.next().await.is_none(), &true);
    });
}

#[test]
fn a_subscription_with_a_limit_ends_by_itself() {
    check(async |stage| {
        let mut messages = stage.client.subscribe("news").await.unwrap();
        messages.unsubscribe_after(3).await.unwrap();
        for number in 0..5 {
            stage
                .client
                .publish("news", number.to_string().into())
                .await
                .unwrap();
        }
        caught_up(&stage.client).await;
        let came: Vec<_> = messages.map(|message| said(&message)).collect().await;
        stage.sees(came, &["0", "1", "2"]);
    });
}

#[test]
fn a_limit_counts_what_has_come_already() {
    check(async |stage| {
        let mut messages = stage.client.subscribe("news").await.unwrap();
        for number in 0..2 {
            stage
                .client
                .publish("news", number.to_string().into())
                .await
                .unwrap();
            next(&mut messages).await;
        }
        messages.unsubscribe_after(3).await.unwrap();
        for number in 2..6 {
            stage
                .client
                .publish("news", number.to_string().into())
                .await
                .unwrap();
        }
        caught_up(&stage.client).await;
        let came: Vec<_> = messages.map(|message| said(&message)).collect().await;
        stage.sees(came, &["2"]);
    });
}

#[test]
fn others_keep_their_subscription_when_one_ends() {
    check(async |stage| {
        let mut ends = stage.client.subscribe("news").await.unwrap();
        let mut stays = stage.client.subscribe("news").await.unwrap();
        ends.unsubscribe().await.unwrap();
        stage.client.publish("news", "hello".into()).await.unwrap();
        stage.sees(said(&next(&mut stays).await), "hello");
    });
}

#[test]
fn a_drained_subscription_gets_what_was_under_way() {
    check(async |stage| {
        let mut messages = stage.client.subscribe("news").await.unwrap();
        for number in 0..3 {
            stage
                .client
                .publish("news", number.to_string().into())
                .await
                .unwrap();
        }
        caught_up(&stage.client).await;
        messages.drain().await.unwrap();
        stage.client.publish("news", "late".into()).await.unwrap();
        caught_up(&stage.client).await;
        let came: Vec<_> = messages.map(|message| said(&message)).collect().await;
        stage.sees(came, &["0", "1", "2"]);
    });
}

#[test]
fn a_drained_client_has_sent_and_received_everything() {
    check(async |stage| {
        let mut audience = stage.client.subscribe("out").await.unwrap();
        caught_up(&stage.client).await;
        let client = stage.connect().await;
        let mut own = client.subscribe("in").await.unwrap();
        caught_up(&client).await;
        stage
            .client
            .publish("in", "under way".into())
            .await
            .unwrap();
        caught_up(&stage.client).await;
        caught_up(&client).await;
        client.publish("out", "last words".into()).await.unwrap();
        client.drain().await.unwrap();
        stage.sees(said(&next(&mut audience).await), "last words");
        stage.sees(said(&next(&mut own).await), "under way");
        stage.sees(own.next().await.is_none(), &true);
        stage.sees(soon(&mut audience).await.is_none(), &true);
    });
}
