//! In-process events: one process, one database, and subscribers that are called instead of a broker, as by
//! `ActiveSupport::Notifications`, or by Spring's `ApplicationEventPublisher` with its `TransactionalEventListener`.
//!
//! Subscribers *before* the commit take part in the transaction that announces the event: they stand or fall with it, and one
//! that fails undoes all. Subscribers *after* the commit get the event from queues in memory, each at its own pace, and
//! try again what may pass.
//!
//! What is in the queues is gone when the process ends without draining them, and nobody can tell that it was there: a crash
//! between the commit and a subscriber behind it loses that subscriber's effect for good. There is no place to park
//! either: what a subscriber cannot handle is logged and left. Where that is not acceptable the event belongs into an outbox.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::trace::FutureExt;
use sqlx::AnyConnection;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::consumer::{self, Failure, Handler};
use crate::database::Database;
use crate::environment::Environment;
use crate::event::Event;
use crate::inbox::Inbox;
use crate::publishing::PublishPattern;
use crate::retention;

/// How long the events of a transaction are remembered of whose commit nothing is heard: longer than any takes.
const COMMIT_MAX: Duration = Duration::from_secs(60);

/// Calls subscribers in this process.
pub struct InProcess {
    database: Database,
    /// Tells the subscribers before the commit what they have handled.
    inbox: Arc<dyn Inbox>,
    before: Vec<Arc<dyn Handler>>,
    after: Vec<(Arc<dyn Handler>, UnboundedSender<Event>)>,
    /// What subscribers before the commit have announced, and when, by the event that caused it.
    announced: Mutex<BTreeMap<Uuid, (Instant, Vec<Event>)>>,
    /// How many events are in the queues or in the hands of a subscriber.
    outstanding: watch::Sender<usize>,
}

/// The queues of the subscribers after the commit, to be worked off beside what publishes.
pub struct Queues {
    queues: Vec<(Arc<dyn Handler>, UnboundedReceiver<Event>)>,
    outstanding: watch::Sender<usize>,
}

impl InProcess {
    /// Calls `before` in the transaction, and `after`, by way of the queues, once it has committed.
    ///
    /// What a subscriber before the commit prepares happens while the transaction is open: it must neither call anybody outside nor
    /// read from the database but by that transaction.
    #[must_use]
    pub fn new(
        database: Database,
        inbox: Arc<dyn Inbox>,
        before: Vec<Arc<dyn Handler>>,
        after: Vec<Arc<dyn Handler>>,
    ) -> (Self, Queues) {
        let outstanding = watch::Sender::new(0);
        let channels = after.into_iter().map(|handler| {
            let (queue, work) = unbounded_channel();
            ((handler.clone(), queue), (handler, work))
        });
        let (after, queues) = channels.unzip();
        let publishing = Self {
            database,
            inbox,
            before,
            after,
            announced: Mutex::default(),
            outstanding: outstanding.clone(),
        };
        let queues = Queues {
            queues,
            outstanding,
        };
        (publishing, queues)
    }

    /// Calls one subscriber in the transaction; what it announces comes back to [`PublishPattern::record`].
    async fn call(
        &self,
        tx: &mut AnyConnection,
        handler: &dyn Handler,
        event: &Event,
    ) -> Result<(), Failure> {
        let consumer = handler.consumer();
        if !self.inbox.first_time(tx, consumer, event).await? {
            return Ok(());
        }
        let prepared = handler.prepare(&self.database, event).await?;
        let announced = consumer::book(tx, self, consumer, prepared, event).await?;
        if let Some(announced) = announced {
            let mut all = self.announced();
            let (_, own) = all
                .entry(event.id)
                .or_insert_with(|| (Instant::now(), Vec::new()));
            own.push(announced);
        }
        Ok(())
    }

    fn announced(&self) -> MutexGuard<'_, BTreeMap<Uuid, (Instant, Vec<Event>)>> {
        self.announced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// These events and all that was announced because of them in the same transaction.
    fn committed(&self, events: &[Event]) -> Vec<Event> {
        let mut all = self.announced();
        // Transactions that were rolled back have left theirs behind.
        all.retain(|_, (since, _)| since.elapsed() < COMMIT_MAX);
        let mut committed = events.to_vec();
        let mut next = 0;
        while let Some(event) = committed.get(next) {
            let caused = all.remove(&event.id);
            committed.extend(caused.into_iter().flat_map(|(_, events)| events));
            next += 1;
        }
        committed
    }
}

#[async_trait]
impl PublishPattern for InProcess {
    async fn record(&self, tx: &mut AnyConnection, events: &[Event]) -> sqlx::Result<()> {
        for event in events {
            let subscribers = self.before.iter();
            for handler in subscribers.filter(|handler| wants(handler.as_ref(), event)) {
                let called = self.call(tx, handler.as_ref(), event).await;
                // To whoever announces the event it is the same why the transaction cannot be: it has to be undone.
                called.map_err(|failure| sqlx::Error::AnyDriverError(failure.into()))?;
            }
        }
        Ok(())
    }

    async fn after_commit(&self, events: &[Event]) {
        for event in self.committed(events) {
            let subscribers = self.after.iter();
            for (_, queue) in subscribers.filter(|(handler, _)| wants(handler.as_ref(), &event)) {
                self.outstanding.send_modify(|count| *count += 1);
                if queue.send(event.clone()).is_err() {
                    tracing::error!(event_id = %event.id, "nobody works the queue off: event lost");
                }
            }
        }
    }
}

fn wants(handler: &dyn Handler, event: &Event) -> bool {
    handler.handles().contains(&&*event.event_type)
}

impl Queues {
    /// Works the queues off until the environment has to stop and nothing is left in them, and forgets in time what was handled.
    ///
    /// # Panics
    /// When a subscriber panicked.
    pub async fn run(self, environment: Environment) {
        let mut subscribers = JoinSet::new();
        for (handler, work) in self.queues {
            let outstanding = self.outstanding.clone();
            subscribers.spawn(work_off(environment.clone(), handler, work, outstanding));
        }
        let mut outstanding = self.outstanding.subscribe();
        let drained = async {
            environment.shutdown.comes().await;
            // It fails only without a sender, and there is one here.
            let _ = outstanding.wait_for(|count| *count == 0).await;
        };
        let (database, settings) = (environment.database.clone(), environment.settings);
        tokio::select! {
            () = drained => {}
            never = retention::run(database, settings) => match never {},
            Some(Err(ended)) = subscribers.join_next() => {
                if let Ok(panic) = ended.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
}

async fn work_off(
    environment: Environment,
    handler: Arc<dyn Handler>,
    mut work: UnboundedReceiver<Event>,
    outstanding: watch::Sender<usize>,
) {
    while let Some(event) = work.recv().await {
        handle(&environment, handler.as_ref(), &event).await;
        outstanding.send_modify(|count| *count -= 1);
    }
}

/// Handles one event; what may pass is tried again without limit, what cannot be handled is left.
async fn handle(environment: &Environment, handler: &dyn Handler, event: &Event) {
    let consumer = handler.consumer();
    let mut failures = 0;
    let message = event.encode(event.entity.clone());
    let telemetry = &environment.telemetry;
    let context = telemetry.process(&event.trace.context(), consumer, &message);
    while let Err(failure) = consumer::once(environment, handler, event)
        .with_context(context.clone())
        .await
    {
        if let Failure::Permanent(error) | Failure::UnknownVersion(error) = failure {
            tracing::error!(event_id = %event.id, consumer, error, "event cannot be handled and is lost");
            return;
        }
        failures += 1;
        tracing::warn!(event_id = %event.id, consumer, %failure, failures, "will be tried again");
        sleep(environment.settings.backoff.delay(failures)).await;
    }
}
