//! The capture on SQLite: what it publishes, in which order, and what it leaves to the next one.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::AssertSqlSafe;

use super::*;
use crate::ports::broker::{
    Broker, BrokerError, InProcessBroker, Message, PublishError, Subscription, header,
};
use crate::{migrate, order};

async fn database() -> Database {
    let database = Database::connect("sqlite::memory:").await.unwrap();
    let script = order::schema(database.engine());
    migrate(&database, script).await.unwrap();
    database
}

/// Inserts an event in a transaction of its own, as a service does.
async fn announce(database: &Database, event_id: &str) {
    let mut tx = database.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO outbox (event_id, topic, partition_key, headers, payload, due_at_ms) \
         VALUES ($1, 'orders', 'order-1', '{}', $1, 0)",
    )
    .bind(event_id)
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
}

async fn count(database: &Database, of: &'static str) -> i64 {
    let counted = format!("SELECT COUNT(*) FROM {of}");
    let counted = sqlx::query_scalar(AssertSqlSafe(counted));
    counted.fetch_one(database.reads()).await.unwrap()
}

/// A capture that goes through the log once.
async fn capture_once(database: &Database, broker: Arc<dyn Broker>) -> Result<(), CaptureError> {
    let mut capturing = Capturing {
        log: Box::new(Triggers::of(database.clone())),
        broker,
        shutdown: Shutdown::never(),
        settings: Settings {
            page: 2,
            ..Settings::default()
        },
        is_open: false,
        alarm: Alarm::above(10),
        heartbeat: Instant::now(),
    };
    capturing.pass().await
}

fn payloads(broker: &InProcessBroker) -> Vec<String> {
    let published = broker.published("orders").into_iter();
    published
        .map(|message| String::from_utf8(message.payload).unwrap())
        .collect()
}

/// Takes so many messages and refuses the next one.
struct Full {
    broker: InProcessBroker,
    takes: AtomicU32,
}

#[async_trait::async_trait]
impl Broker for Full {
    async fn publish(&self, message: Message) -> Result<(), PublishError> {
        let left = self.takes.load(Ordering::SeqCst);
        if left == 0 {
            return Err(PublishError::Rejected("full".to_owned()));
        }
        self.takes.store(left - 1, Ordering::SeqCst);
        self.broker.publish(message).await
    }

    async fn subscribe(
        &self,
        group: &str,
        topics: &[&str],
    ) -> Result<Box<dyn Subscription>, BrokerError> {
        self.broker.subscribe(group, topics).await
    }
}

#[tokio::test]
async fn what_is_older_than_the_log_comes_first_and_the_rest_in_the_order_of_the_commits() {
    let (database, broker) = (database().await, InProcessBroker::new());
    announce(&database, "a").await;
    announce(&database, "b").await;
    capture_once(&database, Arc::new(broker.clone()))
        .await
        .unwrap();
    for event_id in ["c", "d", "e"] {
        announce(&database, event_id).await;
    }
    capture_once(&database, Arc::new(broker.clone()))
        .await
        .unwrap();
    assert_eq!(payloads(&broker), ["a", "b", "c", "d", "e"]);
    assert_eq!(count(&database, "change_log").await, 0);
    assert_eq!(count(&database, "outbox WHERE sent = 1").await, 5);
}

#[tokio::test]
async fn what_was_rolled_back_is_not_captured() {
    let (database, broker) = (database().await, InProcessBroker::new());
    capture_once(&database, Arc::new(broker.clone()))
        .await
        .unwrap();
    let mut tx = database.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO outbox (event_id, topic, partition_key, headers, payload, due_at_ms) \
         VALUES ('a', 'orders', 'order-1', '{}', 'a', 0)",
    )
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.rollback().await.unwrap();
    capture_once(&database, Arc::new(broker.clone()))
        .await
        .unwrap();
    assert!(payloads(&broker).is_empty());
}

#[tokio::test]
async fn a_refused_event_and_what_is_behind_it_stay_in_the_log() {
    let database = database().await;
    let inner = InProcessBroker::new();
    for event_id in ["a", "b", "c"] {
        announce(&database, event_id).await;
    }
    let full = Full {
        broker: inner.clone(),
        takes: AtomicU32::new(1),
    };
    let captured = capture_once(&database, Arc::new(full)).await;
    assert!(matches!(captured, Err(CaptureError::Publish(event, _)) if event == "b"));
    assert_eq!(count(&database, "change_log").await, 2);
    capture_once(&database, Arc::new(inner.clone()))
        .await
        .unwrap();
    assert_eq!(payloads(&inner), ["a", "b", "c"]);
}

#[tokio::test]
async fn an_event_that_an_operator_wants_again_is_captured_again() {
    let (database, broker) = (database().await, InProcessBroker::new());
    announce(&database, "a").await;
    capture_once(&database, Arc::new(broker.clone()))
        .await
        .unwrap();
    sqlx::query("UPDATE outbox SET sent = 0, replays = replays + 1")
        .execute(database.reads())
        .await
        .unwrap();
    capture_once(&database, Arc::new(broker.clone()))
        .await
        .unwrap();
    let published = broker.published("orders");
    let replays: Vec<_> = published
        .iter()
        .map(|message| message.headers.get(header::REPLAY).map(String::as_str))
        .collect();
    assert_eq!(replays, [None, Some("1")]);
    assert_eq!(count(&database, "outbox WHERE sent = 1").await, 1);
}

#[tokio::test]
async fn a_capture_captures_until_it_has_to_stop() {
    let (database, broker) = (database().await, InProcessBroker::new());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let capture = Capture {
        shutdown: Shutdown::when(async {
            let _ = stopped.await;
        }),
        settings: Settings {
            poll: Duration::from_millis(1),
            ..Settings::default()
        },
        ..Capture::new(vec![database.clone()], Arc::new(broker.clone()))
    };
    let capture = tokio::spawn(capture.run());
    announce(&database, "a").await;
    while payloads(&broker).is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.send(()).unwrap();
    capture.await.unwrap();
    assert_eq!(payloads(&broker), ["a"]);
}
