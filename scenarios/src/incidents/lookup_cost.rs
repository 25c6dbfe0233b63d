//! *The price of idempotency*: how long the look-up of an event takes in the table of processed events, which the article puts at
//! about two milliseconds.
//!
//! It is the only figure in real time, and so the only one that differs from machine to machine: in a simulation a statement takes
//! the time of its way to the database and back.

use std::time::{Duration, Instant};

use reference_system::inbox::{Inbox, ProcessedEvents};
use reference_system::schema::migrate;
use reference_system::{Database, notification};
use stormglass::Seed;
use stormglass::database::RealDatabase;
use tokio::runtime;

use super::figures::percentile;
use super::{Finding, Incident, MeasureError};

/// What the article reckons with.
pub(super) struct LookupCost;

/// What a look-up may cost, as the article has it.
const CLAIMED: Duration = Duration::from_millis(2);
/// How many look-ups are measured; the table knows ten times as many events.
const LOOK_UPS: u32 = 2_000;
/// The consumer that looks up.
const CONSUMER: &str = "notification";
/// Fills the table with events that the consumer has handled.
const FILL: &str = "WITH RECURSIVE numbers (number) AS \
     (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 20000) \
     INSERT INTO processed_events \
     (consumer, event_id, event_type, entity, correlation_id, outcome, handled_at_ms) \
     SELECT 'notification', 'event-' || number, 'order.placed', 'order-' || number, '', 'applied', 0 FROM numbers";

impl Incident for LookupCost {
    fn name(&self) -> &'static str {
        "lookup-cost"
    }

    fn promise(&self) -> &'static str {
        "knowing what was handled costs a fraction of what handling it costs"
    }

    fn claims(&self) -> &'static [&'static str] {
        &["idempotency-is-cheap"]
    }

    fn measure(&self, _: &[Seed]) -> Result<Vec<Finding>, MeasureError> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("inbox");
        let url = format!("sqlite:{}?mode=rwc", file.display());
        let sqlite = runtime.block_on(look_ups(&url))?;
        let postgres = match RealDatabase::on_postgres("inbox")? {
            Some(database) => Some(runtime.block_on(look_ups(&database.url()))?),
            None => None,
        };
        let told = |times: &[Duration]| {
            let [median, most] =
                [50, 99].map(|own| percentile(times.to_vec(), own).as_secs_f64() * 1e6);
            format!("{median:.0} µs a look-up (median), {most:.0} µs (99 %), in real time")
        };
        let median = |times: &[Duration]| percentile(times.to_vec(), 50);
        let is_cheap = median(&sqlite) <= CLAIMED
            && postgres.as_deref().is_none_or(|own| median(own) <= CLAIMED);
        let on_postgres = match &postgres {
            Some(times) => told(times),
            None => "no server is installed".to_owned(),
        };
        let finding = Finding::of("idempotency-is-cheap", is_cheap)
            .with("SQLite", told(&sqlite))
            .with("PostgreSQL", on_postgres);
        Ok(vec![finding])
    }
}

/// How long each look-up took in a new database.
async fn look_ups(url: &str) -> sqlx::Result<Vec<Duration>> {
    let database = Database::connect(url).await?;
    migrate(&database, notification::schema(database.engine())).await?;
    let mut tx = database.begin().await?;
    sqlx::query(FILL).execute(&mut *tx).await?;
    tx.commit().await?;
    let mut connection = database.reads().acquire().await?;
    let mut times = Vec::new();
    for number in 0..LOOK_UPS {
        let event_id = format!("event-{}", number * 11);
        let began = Instant::now();
        ProcessedEvents
            .knows(&mut connection, CONSUMER, &event_id)
            .await?;
        times.push(began.elapsed());
    }
    drop(connection);
    database.close().await;
    Ok(times)
}
