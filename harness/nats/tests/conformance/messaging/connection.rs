//! Connections that are lost, and servers that are restarted.
//! <https://docs.nats.io/using-nats/developer/connecting/reconnect>

use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;

use tokio::time::timeout;

use crate::relay::Relay;
use crate::stage::{caught_up, check, next, options, soon};
use crate::transcript::said;

/// Waits until `client` is connected again and the server knows its subscriptions.
async fn connected(client: &Client) {
    let moment = Duration::from_millis(200);
    while timeout(moment, caught_up(client)).await.is_err() {}
}

/// Waits until `client` has noticed that its connection is gone.
async fn noticed(client: &Client) {
    for _ in 0..100 {
        if client.connection_state() != State::Connected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_flush_ends_when_the_server_has_taken_everything() {
    check(async |stage| {
        let publisher = stage.connect().await;
        let mut messages = stage.client.subscribe("news").await.unwrap();
        caught_up(&stage.client).await;
        for _ in 0..100 {
            publisher.publish("news", "x".into()).await.unwrap();
        }
        caught_up(&publisher).await;
        caught_up(&stage.client).await;
        let mut count = 0;
        while soon(&mut messages).await.is_some() {
            count += 1;
        }
        stage.sees(count, &100);
    });
}

#[test]
fn subscriptions_outlive_a_lost_connection() {
    check(async |stage| {
        let relay = Relay::to(stage.address()).await;
        let client = options().connect(relay.address()).await.unwrap();
        let mut messages = client.subscribe("news").await.unwrap();
        caught_up(&client).await;
        relay.cut();
        noticed(&client).await;
        connected(&client).await;
        stage.client.publish("news", "after".into()).await.unwrap();
        stage.sees(said(&next(&mut messages).await), "after");
    });
}

#[test]
fn a_lost_connection_leaves_no_subscription_behind() {
    check(async |stage| {
        let relay = Relay::to(stage.address()).await;
        let once = options().max_reconnects(1);
        let client = once.connect(relay.address()).await.unwrap();
        let _messages = client.subscribe("service").await.unwrap();
        caught_up(&client).await;
        drop(relay);
        let mut answer = stage.client.request("service", "".into());
        for _ in 0..50 {
            if tokio::time::timeout(Duration::from_millis(100), answer)
                .await
                .is_ok()
            {
                break;
            }
            answer = stage.client.request("service", "".into());
        }
        let answer = stage.client.request("service", "".into()).await;
        stage.sees(
            answer.map_err(|error| error.kind().to_string()).err(),
            &Some("no responders"),
        );
    });
}

#[test]
fn clients_find_a_restarted_server() {
    check(async |stage| {
        let mut messages = stage.client.subscribe("news").await.unwrap();
        caught_up(&stage.client).await;
        if !stage.restart() {
            return stage.compares("not restarted");
        }
        noticed(&stage.client).await;
        connected(&stage.client).await;
        stage.client.publish("news", "after".into()).await.unwrap();
        stage.sees(said(&next(&mut messages).await), "after");
    });
}

#[test]
fn the_server_says_who_it_is() {
    check(async |stage| {
        let info = stage.client.server_info();
        stage.sees(info.headers, &true);
        stage.sees(info.proto, &1);
        stage.sees(info.auth_required, &false);
        stage.sees(info.max_payload, &1_048_576);
        stage.sees(info.server_id.is_empty(), &false);
        stage.sees(stage.client.is_server_compatible(2, 10, 0), &true);
    });
}

#[test]
fn clients_have_numbers_of_their_own() {
    check(async |stage| {
        let other = stage.connect().await;
        let (own, other) = (stage.client.server_info(), other.server_info());
        stage.sees(own.client_id != other.client_id, &true);
        stage.sees(own.server_id == other.server_id, &true);
    });
}
