//! The server on a simulated host: the same bytes each time, and no time but the virtual one.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::{self, stream};
use futures::StreamExt;
use stormglass_machine::{Settings, run};
use stormglass_nats::Server;
use tokio::net::TcpListener;

use super::script::{Script, connect};

/// What clients of the server saw, and what the witness was told.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    received: Vec<String>,
    told: Vec<String>,
}

async fn consume(seen: Arc<Mutex<Seen>>) {
    let context = jetstream::new(connect("consumer", "nats:4222").await);
    let config = stream::Config {
        name: "S".to_owned(),
        ..Default::default()
    };
    let stream = context.get_or_create_stream(config).await.unwrap();
    let config = pull::Config {
        durable_name: Some("C".to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: Duration::from_secs(10),
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    while let Some(message) = messages.next().await {
        let Ok(message) = message else {
            continue;
        };
        let info = message.info().unwrap();
        let line = format!(
            "{} {} {}",
            info.stream_sequence, info.delivered, info.published
        );
        seen.lock().unwrap().received.push(line);
        // The first delivery of every third message is forgotten, and comes again.
        if info.stream_sequence % 3 != 0 || info.delivered > 1 {
            message.ack().await.unwrap();
        }
    }
}

async fn produce() {
    let context = jetstream::new(connect("publisher", "nats:4222").await);
    for number in 0..30 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // While the server is away nobody answers.
        let sent = context
            .publish("S", number.to_string().into())
            .await
            .unwrap();
        let _ = sent.await;
    }
}

fn once(seed: u8) -> Seen {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let script = Arc::new(Script::default());
    let server = Server::new(script.clone());
    let shared = seen.clone();
    run(Settings::of([seed; 32]), move |machine| {
        let serve = move || {
            let server = server.clone();
            async move {
                let listener = TcpListener::bind("0.0.0.0:4222").await.unwrap();
                server.serve(listener).await.unwrap();
            }
        };
        machine.start_service("nats", &[], serve.clone());
        machine.sleep(Duration::from_millis(10));
        machine.start_service("consumer", &[], move || consume(shared));
        machine.start_service("publisher", &[], produce);
        machine.sleep(Duration::from_secs(12));
        machine.kill("nats");
        machine.sleep(Duration::from_secs(3));
        machine.start_service("nats", &[], serve);
        machine.sleep(Duration::from_secs(60));
    })
    .unwrap();
    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    seen.told = script.told();
    seen
}

#[test]
fn a_run_with_a_crash_of_the_server_repeats_with_its_seed() {
    let first = once(1);
    assert!(first.received.len() > 30, "{first:?}");
    assert!(
        first
            .told
            .iter()
            .any(|line| line.contains("lease of 3#1 is over"))
    );
    assert_eq!(first, once(1));
    assert_ne!(first.received, once(2).received);
}
