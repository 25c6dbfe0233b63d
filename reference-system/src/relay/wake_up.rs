//! The wake-up of a relay: PostgreSQL says when rows were written, and everywhere the relay looks by itself after a while.
//!
//! A notification only saves waiting. One that is lost, with the connection on which it would have come, costs a poll.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::time::{sleep, timeout};

use crate::database::Database;
use crate::schema::Engine;

/// The channel on which a trigger of the outbox tells of every statement that leaves rows to publish.
const CHANNEL: &str = "outbox";
/// How long a connection may take: meanwhile nothing is published.
const CONNECTING: Duration = Duration::from_millis(500);

/// How a relay learns that there may be something to publish.
pub(super) struct WakeUp {
    listener: Option<PgListener>,
}

impl WakeUp {
    pub(super) fn new() -> Self {
        Self { listener: None }
    }

    /// Waits for a notification, at most for `listening` if there are any, and for `polling` if there are none.
    pub(super) async fn comes(
        &mut self,
        database: &Database,
        listening: Duration,
        polling: Duration,
    ) {
        if database.engine() == Engine::Postgres && self.listener.is_none() {
            // Rows may have been written before anybody listened.
            return self.listen(database, polling).await;
        }
        let Some(listener) = &mut self.listener else {
            return sleep(polling).await;
        };
        if let Ok(heard) = timeout(listening, listener.try_recv()).await {
            self.heard(heard.is_ok_and(|heard| heard.is_some()));
        }
    }

    /// Drops a listener whose connection is lost.
    fn heard(&mut self, is_connected: bool) {
        if !is_connected {
            self.listener = None;
        }
    }

    async fn listen(&mut self, database: &Database, polling: Duration) {
        match timeout(CONNECTING, connected(database)).await {
            Ok(Ok(listener)) => self.listener = Some(listener),
            Ok(Err(error)) => {
                tracing::warn!(%error, "not listening, polls instead");
                sleep(polling).await;
            }
            Err(_) => tracing::warn!("no connection to listen on, polls instead"),
        }
    }
}

async fn connected(database: &Database) -> sqlx::Result<PgListener> {
    let mut listener = PgListener::connect(database.url()).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}
