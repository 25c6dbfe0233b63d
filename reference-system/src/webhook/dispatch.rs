//! Sends what is noted for the partner.
//!
//! Of each order the first that is due is sent, and the next one only once the partner has taken it. Who sends one has claimed it for a while, so that
//! several dispatchers do not get into each other's way; where a claim runs out unaware, the partner gets the same id twice. What
//! the partner has not taken after [`Settings::attempts_max`] attempts is given up, loudly, and stays in the table for
//! somebody to look at. A request goes on from the trace that the event came in.

use std::time::Duration;

use opentelemetry::trace::FutureExt;
use reqwest::Client;
use tokio::time::sleep;

use crate::clock::now_ms;
use crate::database::Database;
use crate::retry::Backoff;
use crate::shutdown::Shutdown;
use crate::telemetry::{Telemetry, TraceContext, http};

use super::signature::{Secret, header};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many are looked for at once.
const PAGE: i64 = 50;

/// A process that tells a partner.
pub struct Dispatcher {
    /// The webhook service's database.
    pub database: Database,
    /// Where the partner takes webhooks.
    pub url: String,
    /// What is signed with.
    pub secret: Secret,
    /// Where its spans go.
    pub telemetry: Telemetry,
    /// When it has to stop.
    pub shutdown: Shutdown,
    /// Numbers and durations.
    pub settings: Settings,
}

/// Numbers and durations that an operator may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often it looks for what is due.
    pub poll: Duration,
    /// How long a dispatcher that is gone keeps what it had claimed from the others; longer than a partner may take to answer.
    pub claim: Duration,
    /// The wait between attempts.
    pub backoff: Backoff,
    /// Attempts before a delivery is given up.
    pub attempts_max: u32,
}

impl Default for Settings {
    /// The attempts of about two days, the later ones four hours apart.
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(200),
            claim: Duration::from_secs(30),
            backoff: Backoff {
                initial: Duration::from_secs(1),
                cap: Duration::from_secs(4 * 60 * 60),
            },
            attempts_max: 25,
        }
    }
}

/// Something noted that is due.
#[derive(sqlx::FromRow)]
struct Due {
    position: i64,
    event_id: String,
    body: String,
    trace: String,
    attempts: i64,
    due_at_ms: i64,
}

impl Dispatcher {
    /// Sends until it has to stop.
    pub async fn run(self) {
        let client = Client::new();
        let mut failures = 0;
        while !self.shutdown.has_come() {
            let wait = match self.pass(&client).await {
                Ok(()) => {
                    failures = 0;
                    self.settings.poll
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, failures, "what is due cannot be read");
                    self.settings
                        .backoff
                        .delay(failures)
                        .min(Duration::from_secs(10))
                }
            };
            self.shutdown.unless_it_comes(sleep(wait)).await;
        }
    }

    /// Sends what is due, until nothing is or the partner has not taken something.
    async fn pass(&self, client: &Client) -> sqlx::Result<()> {
        loop {
            let due = self.due().await?;
            if due.is_empty() {
                return Ok(());
            }
            for delivery in due {
                if self.shutdown.has_come() {
                    return Ok(());
                }
                if !self.claim(&delivery).await? {
                    continue;
                }
                let sent = self.send(client, &delivery).await;
                self.settle(&delivery, sent).await?;
            }
        }
    }

    /// The first of each order, if that is due.
    async fn due(&self) -> sqlx::Result<Vec<Due>> {
        sqlx::query_as(
            "SELECT position, event_id, body, trace, attempts, due_at_ms FROM deliveries AS own \
             WHERE state = 'due' AND due_at_ms <= $1 AND NOT EXISTS \
               (SELECT 1 FROM deliveries AS earlier WHERE earlier.entity = own.entity \
                AND earlier.state = 'due' AND earlier.position < own.position) \
             ORDER BY position LIMIT $2",
        )
        .bind(now_ms())
        .bind(PAGE)
        .fetch_all(self.database.reads())
        .await
    }

    /// Takes a delivery that nobody has taken since it was read.
    async fn claim(&self, delivery: &Due) -> sqlx::Result<bool> {
        let mut tx = self.database.begin().await?;
        let claimed = sqlx::query(
            "UPDATE deliveries SET due_at_ms = $1 \
             WHERE position = $2 AND state = 'due' AND due_at_ms = $3",
        )
        .bind(later(self.settings.claim))
        .bind(delivery.position)
        .bind(delivery.due_at_ms)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(claimed.rows_affected() == 1)
    }

    async fn send(&self, client: &Client, delivery: &Due) -> reqwest::Result<()> {
        let now = now_ms() / 1000;
        let signature = self.secret.sign(&delivery.event_id, now, &delivery.body);
        let request = client
            .post(&self.url)
            .header("content-type", "application/json")
            .header(header::ID, &delivery.event_id)
            .header(header::TIMESTAMP, now)
            .header(header::SIGNATURE, signature)
            .body(delivery.body.clone())
            .timeout(PATIENCE);
        let trace: TraceContext = serde_json::from_str(&delivery.trace).unwrap_or_default();
        let context = trace.context().with_value(self.telemetry.clone());
        let answer = http::send("partner", request).with_context(context).await?;
        answer.error_for_status().map(drop)
    }

    /// Notes what became of a delivery.
    async fn settle(&self, delivery: &Due, sent: reqwest::Result<()>) -> sqlx::Result<()> {
        let attempts = u32::try_from(delivery.attempts).unwrap_or(u32::MAX);
        let attempts = attempts.saturating_add(1);
        let (state, error) = match sent {
            Ok(()) => ("delivered", None),
            Err(error) => {
                let error = error.without_url().to_string();
                let event_id = &delivery.event_id;
                if attempts < self.settings.attempts_max {
                    tracing::warn!(event_id, attempts, error, "partner will be told again");
                    ("due", Some(error))
                } else {
                    tracing::error!(event_id, attempts, error, "partner is not told: given up");
                    ("given up", Some(error))
                }
            }
        };
        let due_at_ms = later(self.settings.backoff.delay(attempts));
        let mut tx = self.database.begin().await?;
        sqlx::query(
            "UPDATE deliveries SET state = $1, attempts = $2, last_error = $3, due_at_ms = $4 \
             WHERE position = $5 AND state = 'due'",
        )
        .bind(state)
        .bind(i64::from(attempts))
        .bind(error)
        .bind(due_at_ms)
        .bind(delivery.position)
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }
}

/// The time after this wait, in milliseconds since 1970.
fn later(wait: Duration) -> i64 {
    now_ms().saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}
