//! A witness that answers from a script, and the server and clients around it.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, Context, stream};
use async_nats::{Client, ConnectOptions};
use futures::StreamExt;
use stormglass_nats::{
    Delivery, DeliveryFate, Event, Fate, Publication, PublishOutcome, Server, Settle,
    SettleOutcome, Witness,
};
use tokio::net::TcpListener;

/// The lease of a delivery.
pub(crate) const LEASE: Duration = Duration::from_millis(300);

/// A witness that answers from a script, and lets the rest happen.
#[derive(Default)]
pub(crate) struct Script {
    /// What becomes of publishes, in turn.
    pub(crate) publishes: Mutex<VecDeque<Fate>>,
    /// What becomes of deliveries, in turn.
    pub(crate) deliveries: Mutex<VecDeque<DeliveryFate>>,
    /// What becomes of settlements, in turn.
    pub(crate) settlements: Mutex<VecDeque<Fate>>,
    told: Mutex<Vec<String>>,
}

impl Script {
    fn note(&self, client: &stormglass_nats::Client, what: String) {
        assert_ne!(client.address.port(), 0);
        let mut told = self.told.lock().unwrap();
        told.push(format!("{}: {what}", client.name));
    }

    /// What the witness was told so far.
    pub(crate) fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    /// Forgets what the witness was told.
    pub(crate) fn forget(&self) {
        self.told.lock().unwrap().clear();
    }
}

fn next<T: Default>(script: &Mutex<VecDeque<T>>) -> T {
    script.lock().unwrap().pop_front().unwrap_or_default()
}

impl Witness for Script {
    fn before_publish(
        &self,
        client: &stormglass_nats::Client,
        publication: &Publication<'_>,
    ) -> Fate {
        let (stream, payload) = (publication.stream, text(publication.payload));
        self.note(client, format!("publish {payload} to {stream}?"));
        next(&self.publishes)
    }

    fn published(
        &self,
        client: &stormglass_nats::Client,
        publication: &Publication<'_>,
        outcome: &PublishOutcome,
    ) {
        self.note(
            client,
            format!("publish {}: {outcome:?}", text(publication.payload)),
        );
    }

    fn before_delivery(
        &self,
        client: &stormglass_nats::Client,
        delivery: &Delivery<'_>,
    ) -> DeliveryFate {
        self.note(
            client,
            format!("deliver {}#{}?", delivery.sequence, delivery.attempt),
        );
        next(&self.deliveries)
    }

    fn delivered(&self, client: &stormglass_nats::Client, delivery: &Delivery<'_>) {
        self.note(
            client,
            format!("deliver {}#{}", delivery.sequence, delivery.attempt),
        );
    }

    fn before_settlement(&self, client: &stormglass_nats::Client, settle: &Settle<'_>) -> Fate {
        let confirmed = if settle.confirmed { " and confirm" } else { "" };
        self.note(
            client,
            format!(
                "{:?} {}#{}{confirmed}?",
                settle.settlement, settle.sequence, settle.attempt
            ),
        );
        next(&self.settlements)
    }

    fn settled(
        &self,
        client: &stormglass_nats::Client,
        settle: &Settle<'_>,
        outcome: SettleOutcome,
    ) {
        self.note(
            client,
            format!(
                "{:?} {}#{}: {outcome:?}",
                settle.settlement, settle.sequence, settle.attempt
            ),
        );
    }

    fn happened(&self, client: Option<&stormglass_nats::Client>, event: &Event<'_>) {
        let what = match event {
            Event::ApiRequest { .. } | Event::ConnectionOpened => return,
            Event::LeaseExpired {
                sequence, attempt, ..
            } => format!("lease of {sequence}#{attempt} is over"),
            Event::MaxDeliverReached {
                sequence, attempts, ..
            } => format!("{sequence} is given up after {attempts}"),
            other => format!("{other:?}"),
        };
        let name = client.map_or("nobody", |client| client.name.as_str());
        self.told.lock().unwrap().push(format!("{name}: {what}"));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A server with a stream `S` of the subjects `s.>`, and its durable consumer `C`.
pub(crate) struct Scene {
    pub(crate) script: Arc<Script>,
    pub(crate) server: Server,
    pub(crate) publisher: Context,
    pub(crate) consumer: PullConsumer,
}

/// Runs `play` with a scene. `settings` may change how the consumer is made.
pub(crate) fn play<F: Future<Output = ()>>(
    settings: impl Fn(&mut pull::Config),
    play: impl FnOnce(Scene) -> F,
) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(async {
        let script = Arc::new(Script::default());
        let server = Server::new(script.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = server.clone();
        let process = tokio::spawn(async move { served.serve(listener).await });
        let scene = set(script, server, &address.to_string(), settings).await;
        tokio::time::timeout(Duration::from_secs(20), play(scene))
            .await
            .unwrap();
        process.abort();
    });
}

async fn set(
    script: Arc<Script>,
    server: Server,
    address: &str,
    settings: impl Fn(&mut pull::Config),
) -> Scene {
    let publisher = jetstream::new(connect("publisher", address).await);
    publisher
        .create_stream(stream::Config {
            name: "S".to_owned(),
            subjects: vec!["s.>".to_owned()],
            ..Default::default()
        })
        .await
        .unwrap();
    let client = jetstream::new(connect("consumer", address).await);
    let mut config = pull::Config {
        durable_name: Some("C".to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: LEASE,
        ..Default::default()
    };
    settings(&mut config);
    let stream = client.get_stream("S").await.unwrap();
    let consumer = stream.create_consumer(config).await.unwrap();
    script.forget();
    Scene {
        script,
        server,
        publisher,
        consumer,
    }
}

/// A client that waits a second for answers.
pub(crate) async fn connect(name: &str, address: &str) -> Client {
    let options = ConnectOptions::new()
        .name(name)
        .request_timeout(Some(Duration::from_secs(1)));
    options.connect(address).await.unwrap()
}

impl Scene {
    /// Publishes and waits for the answer. Returns the sequence, or what went wrong.
    pub(crate) async fn publish(&self, payload: &str) -> Result<u64, String> {
        let sent = self
            .publisher
            .publish("s.a", payload.to_owned().into())
            .await
            .unwrap();
        let answer = tokio::time::timeout(Duration::from_millis(500), sent.into_future()).await;
        match answer {
            Ok(Ok(ack)) => Ok(ack.sequence),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer".to_owned()),
        }
    }

    /// The next message, within a second.
    pub(crate) async fn receive(&self) -> Option<jetstream::Message> {
        let mut fetched = self
            .consumer
            .fetch()
            .max_messages(1)
            .expires(Duration::from_secs(1))
            .messages()
            .await
            .unwrap();
        fetched.next().await.map(Result::unwrap)
    }

    /// What the stream holds, by payload.
    pub(crate) fn stored(&self) -> Vec<String> {
        let readout = self.server.readout();
        let messages = &readout.streams[0].messages;
        messages
            .iter()
            .map(|message| text(&message.payload))
            .collect()
    }

    /// Adds to what becomes of publishes.
    pub(crate) fn fate_of_publishes(&self, fates: impl IntoIterator<Item = Fate>) {
        self.script.publishes.lock().unwrap().extend(fates);
    }
}

/// What a client sees of a message: its sequence, which delivery it is, and its payload.
pub(crate) fn seen(message: &jetstream::Message) -> (u64, i64, String) {
    let info = message.info().unwrap();
    (info.stream_sequence, info.delivered, text(&message.payload))
}
