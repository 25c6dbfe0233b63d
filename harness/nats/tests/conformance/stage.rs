//! Where a program runs: a server, a client, and the transcript of what is observed.

use std::cell::RefCell;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, Location, resume_unwind};
use std::time::Duration;

use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::{self, Context, stream};
use async_nats::{Client, ConnectOptions, HeaderMap, Message, Subscriber};
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::servers::{Server, Which};
use super::transcript::{Observation, broken, differing, error_of};

/// How long a program waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a program waits to see that nothing comes.
pub(crate) const A_WHILE: Duration = Duration::from_millis(150);
/// The lease of a delivery in programs that let it run out.
pub(crate) const ACK_WAIT: Duration = Duration::from_millis(400);
/// How long a whole program may take.
const PROGRAM: Duration = Duration::from_secs(60);

/// Runs `program` against the server under test, and against a real one if there is one, and compares.
///
/// # Panics
/// If a promise is broken or the servers differ.
pub(crate) fn check(program: impl AsyncFn(&Stage) + Sync) {
    let name = name_of(&program);
    // At the same time, because programs mostly wait.
    let (ours, real) = std::thread::scope(|scope| {
        let real = Which::real().map(|which| scope.spawn(|| run(which, &program)));
        let ours = run(Which::under_test(), &program);
        (
            ours,
            real.map(|real| real.join().unwrap_or_else(|panic| resume_unwind(panic))),
        )
    });
    let mut complaints = broken(&name, &ours.who, &ours.seen);
    match real {
        None => println!("not compared: no nats-server in NATS_SERVER or PATH"),
        Some(_) if ours.cut_short => {
            println!("not compared: the server is not the suite's to restart")
        }
        Some(real) => {
            complaints.extend(broken(&name, &real.who, &real.seen));
            complaints.extend(differing(&name, &ours.seen, &real.seen));
        }
    }
    assert!(complaints.is_empty(), "{name}\n{}", complaints.join("\n"));
}

/// The path of `program` within this suite.
fn name_of<P>(program: &P) -> String {
    let path = std::any::type_name_of_val(program);
    let path = path.split_once("::").map_or(path, |(_, rest)| rest);
    path.trim_end_matches("::{{closure}}").to_owned()
}

/// What came of a run.
struct Run {
    who: String,
    seen: Vec<Observation>,
    cut_short: bool,
}

fn run(which: Which, program: &impl AsyncFn(&Stage)) -> Run {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let stage = Stage::set(which.start()).await;
        let running = AssertUnwindSafe(timeout(PROGRAM, program(&stage))).catch_unwind();
        let end = running.await;
        let seen = stage.seen.take();
        let lines = seen
            .iter()
            .map(|one| format!("  {:>4} {}\n", one.place.line(), one.saw));
        println!("on {which} the program sees\n{}", lines.collect::<String>());
        match end {
            Ok(end) => end.expect("the program should come to an end"),
            Err(panic) => resume_unwind(panic),
        }
        assert!(!seen.is_empty(), "the program observes nothing");
        Run {
            who: which.to_string(),
            seen,
            cut_short: stage.cut_short.take(),
        }
    })
}

/// A server that no other program uses, and a client that is connected to it.
pub(crate) struct Stage {
    /// The client.
    pub(crate) client: Client,
    /// The client's JetStream.
    pub(crate) js: Context,
    server: RefCell<Box<dyn Server>>,
    seen: RefCell<Vec<Observation>>,
    cut_short: RefCell<bool>,
}

impl Stage {
    async fn set(server: Box<dyn Server>) -> Self {
        let client = options().connect(server.address()).await.unwrap();
        let stage = Self {
            js: jetstream::new(client.clone()),
            client,
            server: RefCell::new(server),
            seen: RefCell::default(),
            cut_short: RefCell::default(),
        };
        stage.sweep().await;
        stage
    }

    /// Deletes what an earlier program has left on a server that is shared.
    async fn sweep(&self) {
        let mut names = self.js.stream_names();
        while let Some(name) = names.next().await {
            self.js.delete_stream(name.unwrap()).await.unwrap();
        }
    }

    /// Writes down `saw`, of which the documentation promises that it is `promised`.
    #[track_caller]
    pub(crate) fn sees<T: Debug, P: Debug + ?Sized>(&self, saw: T, promised: &P) {
        self.seen.borrow_mut().push(Observation {
            place: Location::caller(),
            saw: format!("{saw:?}"),
            promised: Some(format!("{promised:?}")),
        });
    }

    /// Writes down `saw`, which has to be the same on all servers.
    #[track_caller]
    pub(crate) fn compares(&self, saw: impl std::fmt::Display) {
        self.seen.borrow_mut().push(Observation {
            place: Location::caller(),
            saw: saw.to_string(),
            promised: None,
        });
    }

    /// Where the server listens, as `host:port`.
    pub(crate) fn address(&self) -> String {
        self.server.borrow().address()
    }

    /// Another client.
    pub(crate) async fn connect(&self) -> Client {
        self.connect_with(options()).await
    }

    /// Another client, with `options`.
    pub(crate) async fn connect_with(&self, options: ConnectOptions) -> Client {
        options.connect(self.address()).await.unwrap()
    }

    /// Ends the server and starts it again. False if the server is not the suite's to restart; the program
    /// should return then.
    pub(crate) fn restart(&self) -> bool {
        let restarted = self.server.borrow_mut().restart();
        self.cut_short.replace(!restarted);
        restarted
    }

    /// Waits until the client is connected again after a restart.
    pub(crate) async fn back(&self) {
        let moment = Duration::from_millis(200);
        while !matches!(timeout(moment, self.js.query_account()).await, Ok(Ok(_))) {
            tokio::time::sleep(moment / 10).await;
        }
    }

    /// A stream with defaults.
    pub(crate) async fn stream(&self, name: &str, subjects: &[&str]) -> stream::Stream {
        self.stream_with(stream_config(name, subjects)).await
    }

    /// A stream as configured.
    pub(crate) async fn stream_with(&self, config: stream::Config) -> stream::Stream {
        self.js.create_stream(config).await.unwrap()
    }

    /// Publishes each of `payloads` on `subject`, and waits until each is stored.
    pub(crate) async fn store(&self, subject: &str, payloads: &[&str]) {
        for payload in payloads {
            let sent = self
                .js
                .publish(subject.to_owned(), payload.to_string().into());
            sent.await.unwrap().await.unwrap();
        }
    }

    /// Publishes `payload` with `headers` and returns the server's answer as it is.
    pub(crate) async fn publish_raw(
        &self,
        subject: &str,
        headers: &[(&str, &str)],
        payload: &str,
    ) -> Value {
        let payload = payload.to_owned().into();
        let subject = subject.to_owned();
        let sent = self
            .client
            .request_with_headers(subject, header_map(headers), payload);
        serde_json::from_slice(&sent.await.unwrap().payload).unwrap()
    }

    /// Asks the JetStream API at `$JS.API.` and `subject`, and returns the answer as it is.
    pub(crate) async fn api(&self, subject: &str, request: Value) -> Value {
        let request = if request.is_null() {
            String::new()
        } else {
            request.to_string()
        };
        let asked = self
            .client
            .request(format!("$JS.API.{subject}"), request.into());
        serde_json::from_slice(&asked.await.unwrap().payload).unwrap()
    }

    /// The error with which the API answers, as `code err_code description`, or `ok`.
    pub(crate) async fn api_error(&self, subject: &str, request: Value) -> String {
        error_of(&self.api(subject, request).await)
    }

    /// Creates a consumer by the API's own words; `config` are the fields of its configuration.
    pub(crate) async fn consumer_error(
        &self,
        stream: &str,
        name: &str,
        mut config: Value,
    ) -> String {
        config["name"] = name.into();
        let request = json!({ "stream_name": stream, "config": config });
        let subject = format!("CONSUMER.CREATE.{stream}.{name}");
        self.api_error(&subject, request).await
    }

    /// Sends a pull request in the API's own words; what comes is read from the subscriber.
    pub(crate) async fn pull(&self, stream: &str, consumer: &str, request: Value) -> Subscriber {
        let inbox = self.client.new_inbox();
        let answers = self.client.subscribe(inbox.clone()).await.unwrap();
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        let sent = self
            .client
            .publish_with_reply(subject, inbox, request.to_string().into());
        sent.await.unwrap();
        caught_up(&self.client).await;
        answers
    }
}

/// Returns when the server has taken all that `client` has sent, and has had a moment to act on it. A flush
/// only hands it to the socket, and a server answers before its consumers have seen an ack or a pull.
pub(crate) async fn caught_up(client: &Client) {
    let echo = client.request("nobody.listens.here", "".into()).await;
    assert!(echo.is_err(), "nobody should have answered");
    tokio::time::sleep(Duration::from_millis(30)).await;
}

/// How the suite's clients connect: at once again when a connection is lost.
pub(crate) fn options() -> ConnectOptions {
    ConnectOptions::new().reconnect_delay_callback(|_| Duration::from_millis(20))
}

/// The configuration of a stream, apart from names all defaults.
pub(crate) fn stream_config(name: &str, subjects: &[&str]) -> stream::Config {
    stream::Config {
        name: name.to_owned(),
        subjects: subjects.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

/// The configuration of a durable pull consumer whose leases are short.
pub(crate) fn durable(name: &str) -> pull::Config {
    pull::Config {
        durable_name: Some(name.to_owned()),
        ack_wait: ACK_WAIT,
        ..Default::default()
    }
}

/// Headers, values of one name in order.
pub(crate) fn header_map(headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, *value);
    }
    map
}

/// The next message, which has to come.
pub(crate) async fn next(messages: &mut Subscriber) -> Message {
    let message = timeout(PATIENCE, messages.next()).await;
    message
        .expect("a message should come")
        .expect("the subscription should go on")
}

/// The next message, if one comes within a while.
pub(crate) async fn soon(messages: &mut Subscriber) -> Option<Message> {
    timeout(A_WHILE, messages.next()).await.ok().flatten()
}

/// The next `count` deliveries of `consumer`, all of which have to come.
pub(crate) async fn take(consumer: &PullConsumer, count: usize) -> Vec<jetstream::Message> {
    let taken = within(consumer, count, PATIENCE).await;
    assert_eq!(taken.len(), count, "all messages should come");
    taken
}

/// The next delivery of `consumer`, which has to come.
pub(crate) async fn take_one(consumer: &PullConsumer) -> jetstream::Message {
    take(consumer, 1).await.remove(0)
}

/// What `consumer` is delivered within `time`, at most `count` messages.
pub(crate) async fn within(
    consumer: &PullConsumer,
    count: usize,
    time: Duration,
) -> Vec<jetstream::Message> {
    let batch = consumer.batch().max_messages(count).expires(time);
    let messages = batch.messages().await.unwrap();
    messages.map(Result::unwrap).collect().await
}
