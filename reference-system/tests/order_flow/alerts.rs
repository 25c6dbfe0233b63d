//! What people are told of a dead letter queue: once that it is too deep, once that this is over, whatever happens between.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use reference_system::database::Database;
use reference_system::monitor::{DepthThreshold, Monitor};
use reference_system::ports::Pager;
use reference_system::ports::broker::InProcessBroker;
use reference_system::ports::pager::{HttpPager, Notice, PagerError, Status};
use reference_system::{Shutdown, inventory};
use serde_json::Value;

use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use tokio::net::TcpListener;

use super::system::{Patience, database, execute};

/// A pager that keeps what it was told, under which key, and does not answer the first times.
#[derive(Clone, Default)]
struct Recorder {
    told: Arc<Mutex<Vec<(String, Status)>>>,
    unanswered: Arc<Mutex<u32>>,
}

impl Recorder {
    fn told(&self) -> Vec<(String, Status)> {
        self.told.lock().unwrap().clone()
    }
}

#[async_trait]
impl Pager for Recorder {
    async fn page(&self, idempotency_key: &str, notice: &Notice) -> Result<(), PagerError> {
        let told = (idempotency_key.to_owned(), notice.status);
        let mut all = self.told.lock().unwrap();
        if !all.contains(&told) {
            all.push(told);
        }
        let mut unanswered = self.unanswered.lock().unwrap();
        if *unanswered > 0 {
            *unanswered -= 1;
            return Err(PagerError::Unavailable("no answer".to_owned()));
        }
        Ok(())
    }
}

/// Watches the inventory: three parked events are too many.
fn watch(stocks: &Database, pager: &Recorder) -> tokio::task::JoinHandle<()> {
    let depth = DepthThreshold {
        parked: 3,
        lately: 3,
        window: Duration::from_secs(3600),
    };
    let monitor = Monitor {
        depth,
        every: Duration::from_millis(2),
        shutdown: Shutdown::never(),
        ..Monitor::new(
            vec![("inventory", stocks.clone())],
            Arc::new(pager.clone()),
            Arc::new(InProcessBroker::new()),
        )
    };
    tokio::spawn(monitor.run())
}

/// One more event is parked.
async fn park(stocks: &Database) {
    execute(
        stocks,
        "INSERT INTO parked (consumer, entity, event_id, event_type, correlation_id, topic, partition_key, \
         headers, payload, attempts, error, parked_at_ms, published) \
         SELECT 'inventory', 'order', 'event-' || (SELECT COUNT(*) FROM parked), 'order.placed', '', 'orders', \
         'order', '{}', '', 5, 'poison', 9000000000000, 1",
    )
    .await;
}

#[tokio::test]
async fn an_alert_is_told_once_and_its_end_once_across_restarts_and_two_monitors() {
    let stocks = database(inventory::schema).await;
    let pager = Recorder::default();
    *pager.unanswered.lock().unwrap() = 2;
    let monitors = [watch(&stocks, &pager), watch(&stocks, &pager)];
    park(&stocks).await;
    park(&stocks).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(pager.told().is_empty(), "two are not too many");
    park(&stocks).await;
    let first = ("ParkedEvents/inventory/1/firing".to_owned(), Status::Firing);
    Patience::until("it fires", async || pager.told() == [first.clone()]).await;
    for monitor in monitors {
        monitor.abort();
    }
    for _ in 0..10 {
        park(&stocks).await;
    }
    let again = watch(&stocks, &pager);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(
        pager.told(),
        std::slice::from_ref(&first),
        "it is known already"
    );

    execute(&stocks, "DELETE FROM parked").await;
    let over = (
        "ParkedEvents/inventory/1/resolved".to_owned(),
        Status::Resolved,
    );
    let told = [first, over];
    Patience::until("it is over", async || pager.told() == told).await;
    for _ in 0..3 {
        park(&stocks).await;
    }
    Patience::until("it fires again", async || {
        pager.told().last().map(|(key, _)| key.as_str()) == Some("ParkedEvents/inventory/2/firing")
    })
    .await;
    again.abort();
}

/// An event that has been due for so many milliseconds.
macro_rules! due_since {
    ($ago_ms:literal) => {
        concat!(
            "INSERT INTO outbox (event_id, topic, partition_key, headers, payload, due_at_ms) VALUES ('event-",
            $ago_ms,
            "', 'inventory', 'order', '{}', '{}', CAST(strftime('%s', 'now') AS INTEGER) * 1000 - ",
            $ago_ms,
            ")"
        )
    };
}

#[tokio::test]
async fn an_event_that_waits_to_be_published_is_told_of_until_it_is_sent() {
    let stocks = database(inventory::schema).await;
    let pager = Recorder::default();
    let monitor = watch(&stocks, &pager);
    execute(&stocks, due_since!(20_000)).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(
        pager.told().is_empty(),
        "it may wait for a third of a minute"
    );
    execute(&stocks, due_since!(70_000)).await;
    let key = |status| format!("UnpublishedEvents/inventory/1/{status}");
    let first = (key("firing"), Status::Firing);
    Patience::until("it fires", async || pager.told() == [first.clone()]).await;
    execute(&stocks, "UPDATE outbox SET sent = 1").await;
    let told = [first, (key("resolved"), Status::Resolved)];
    Patience::until("it is over", async || pager.told() == told).await;
    monitor.abort();
}

#[tokio::test]
async fn a_webhook_is_called_with_the_key_and_a_refusal_is_no_answer() {
    let calls: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
    let kept = calls.clone();
    let take = async move |headers: HeaderMap, Json(body): Json<Value>| {
        let key = headers["idempotency-key"].to_str().unwrap().to_owned();
        let mut calls = kept.lock().unwrap();
        calls.push((key, body));
        match calls.len() {
            1 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::OK,
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let routes = Router::new().route("/hook", post(take));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let notice = Notice {
        alert: "ParkedEvents",
        labels: [("group", "inventory".to_owned())].into(),
        status: Status::Firing,
        summary: "too much".to_owned(),
        since_ms: 0,
    };
    let pager = HttpPager::new(&url);
    assert!(pager.page("key", &notice).await.is_err());
    pager.page("key", &notice).await.unwrap();
    let calls = calls.lock().unwrap();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1].0, "key");
    assert_eq!(calls[1].1["alerts"][0]["labels"]["group"], "inventory");
}
