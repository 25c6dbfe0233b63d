//! Deadlines: until when a step has to be answered, as rows that are written in the transaction which begins the step.
//!
//! An order has one deadline at a time. Nothing acts on one here; see [`Timer`](super::Timer).

use sqlx::AnyConnection;
use uuid::Uuid;

use crate::clock::now_ms;
use crate::correlation::Correlation;
use crate::database::Database;
use crate::event::Event;
use crate::schema::{Engine, migration};

use super::{Limits, Step};

/// How many deadlines are looked at in one go.
const PAGE: i64 = 100;

/// The script that creates the table, beside those of a service.
#[must_use]
pub fn schema(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => migration!("sqlite/deadlines.sql"),
        Engine::Postgres => migration!("postgres/deadlines.sql"),
    }
}

/// A deadline that has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// The order.
    pub order_id: String,
    /// The step that was not answered.
    pub step: Step,
    /// When it was due, in milliseconds since 1970.
    pub due_at_ms: i64,
    /// The flow, and the event that began the step.
    pub chain: Correlation,
}

/// Sets the deadline of the step that `cause` begins, in the place of the one of the step before.
pub(super) async fn begin(
    tx: &mut AnyConnection,
    limits: &Limits,
    step: Step,
    cause: &Event,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO deadlines (order_id, step, due_at_ms, correlation_id, cause_id) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (order_id) DO UPDATE SET step = excluded.step, \
         due_at_ms = excluded.due_at_ms, cause_id = excluded.cause_id",
    )
    .bind(&cause.entity)
    .bind(step.name())
    .bind(due(limits, step))
    .bind(&cause.correlation_id)
    .bind(cause.id.to_string())
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Takes the deadline of `from` on to the step behind it, which `cause` begins, and tells whether it stood.
pub(super) async fn go_on(
    tx: &mut AnyConnection,
    limits: &Limits,
    from: Step,
    to: Step,
    cause: &Event,
) -> sqlx::Result<bool> {
    let moved = sqlx::query(
        "UPDATE deadlines SET step = $1, due_at_ms = $2, cause_id = $3 \
         WHERE order_id = $4 AND step = $5",
    )
    .bind(to.name())
    .bind(due(limits, to))
    .bind(cause.id.to_string())
    .bind(&cause.entity)
    .bind(from.name())
    .execute(&mut *tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// The order waits for nobody any more.
pub(super) async fn end(tx: &mut AnyConnection, order_id: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM deadlines WHERE order_id = $1")
        .bind(order_id)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

/// Takes a deadline away for good, and tells whether it still stood: of several timers one is told so.
///
/// # Errors
/// When the statement fails; the caller rolls back.
pub async fn take(tx: &mut AnyConnection, deadline: &Deadline) -> sqlx::Result<bool> {
    let taken =
        sqlx::query("DELETE FROM deadlines WHERE order_id = $1 AND step = $2 AND due_at_ms = $3")
            .bind(&deadline.order_id)
            .bind(deadline.step.name())
            .bind(deadline.due_at_ms)
            .execute(&mut *tx)
            .await?;
    Ok(taken.rows_affected() == 1)
}

/// Those that have passed, the longest first.
///
/// # Errors
/// When the database fails.
pub async fn passed(database: &Database) -> sqlx::Result<Vec<Deadline>> {
    let rows: Vec<(String, String, i64, String, String)> = sqlx::query_as(
        "SELECT order_id, step, due_at_ms, correlation_id, cause_id FROM deadlines \
         WHERE due_at_ms <= $1 ORDER BY due_at_ms, order_id LIMIT $2",
    )
    .bind(now_ms())
    .bind(PAGE)
    .fetch_all(database.reads())
    .await?;
    let deadline =
        |(order_id, step, due_at_ms, correlation_id, cause): (_, String, _, _, String)| {
            Some(Deadline {
                order_id,
                step: Step::named(&step)?,
                due_at_ms,
                chain: Correlation {
                    correlation_id,
                    causation_id: Uuid::parse_str(&cause).ok(),
                },
            })
        };
    Ok(rows.into_iter().filter_map(deadline).collect())
}

fn due(limits: &Limits, step: Step) -> i64 {
    let limit = i64::try_from(limits.of(step).as_millis()).unwrap_or(i64::MAX);
    now_ms().saturating_add(limit)
}
