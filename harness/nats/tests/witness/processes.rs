//! A server's process dies and starts again.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, stream};
use futures::StreamExt;
use stormglass_nats::Server;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::script::{LEASE, Script, connect};

async fn start(server: &Server, address: &str) -> (String, JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = server.clone();
    (
        address,
        tokio::spawn(async move { server.serve(listener).await }),
    )
}

async fn kill(process: JoinHandle<std::io::Result<()>>) {
    process.abort();
    assert!(process.await.unwrap_err().is_cancelled());
}

async fn receive(consumer: &PullConsumer) -> jetstream::Message {
    let mut messages = consumer
        .fetch()
        .max_messages(1)
        .expires(Duration::from_secs(2))
        .messages()
        .await
        .unwrap();
    messages.next().await.unwrap().unwrap()
}

#[tokio::test]
async fn what_was_in_hand_comes_again_after_a_crash_and_what_was_settled_does_not() {
    let server = Server::new(Arc::new(Script::default()));
    let (address, process) = start(&server, "127.0.0.1:0").await;
    let context = jetstream::new(connect("client", &address).await);
    for (name, storage) in [
        ("kept", stream::StorageType::File),
        ("lost", stream::StorageType::Memory),
    ] {
        let config = stream::Config {
            name: name.to_owned(),
            storage,
            ..Default::default()
        };
        context.create_stream(config).await.unwrap();
    }
    let stream = context.get_stream("kept").await.unwrap();
    let config = pull::Config {
        durable_name: Some("C".to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: LEASE,
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await.unwrap();
    for payload in ["one", "two", "three"] {
        context
            .publish("kept", payload.into())
            .await
            .unwrap()
            .await
            .unwrap();
    }
    receive(&consumer).await.double_ack().await.unwrap();
    let in_hand = receive(&consumer).await;
    assert_eq!(in_hand.payload, "two");

    kill(process).await;
    assert_eq!(server.readout().streams.len(), 1);
    let (_, process) = start(&server, &address).await;

    let context = jetstream::new(connect("other", &address).await);
    let consumer: PullConsumer = context.get_consumer_from_stream("C", "kept").await.unwrap();
    let third = receive(&consumer).await;
    assert_eq!(third.payload, "three");
    third.double_ack().await.unwrap();
    let again = receive(&consumer).await;
    assert_eq!(
        (again.payload.as_ref(), again.info().unwrap().delivered),
        (&b"two"[..], 2)
    );
    again.double_ack().await.unwrap();
    assert!(server.is_settled());
    assert_eq!(
        context
            .publish("kept", "four".into())
            .await
            .unwrap()
            .await
            .unwrap()
            .sequence,
        4
    );
    kill(process).await;
}
