//! The same check by events: a question is published, and the answer comes back as an event to whoever has asked.
//!
//! It is here to be compared with the call, which needs neither a broker nor a subscription for each asker, nor a table of who
//! waits for what. Questions and answers are published without an outbox, which is as fast as events get: whoever has lost one asks again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::AnyConnection;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::consumer::{Effect, Failure, Handler, Prepared};
use crate::correlation::Correlation;
use crate::customers;
use crate::database::Database;
use crate::event::contract::{AuthorisationAnswered, AuthorisationAsked, event_type, topic};
use crate::event::{Event, NewEvent};
use crate::ports::Broker;
use crate::ports::broker::{BrokerError, Message};
use crate::schema::{Engine, script};
use crate::shutdown::Shutdown;

use super::{Check, NoAnswer};

/// How long an answer is waited for: longer than that of a call, because the question waits its turn.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// The wait before the answers are subscribed to again.
const PAUSE: Duration = Duration::from_millis(200);

/// The scripts that create the tables of customers who are asked by events.
#[must_use]
pub fn schema(engine: Engine) -> &'static str {
    script!(engine, "customer")
}

/// Those who wait for an answer, by the id of their question.
type Waiting = Arc<Mutex<BTreeMap<String, oneshot::Sender<bool>>>>;

/// Asks by events. Clones share what they wait for.
#[derive(Clone)]
pub struct AskingByEvents {
    broker: Arc<dyn Broker>,
    waiting: Waiting,
}

impl AskingByEvents {
    /// Asks over `broker`; there is no answer unless [`AskingByEvents::listen`] runs.
    #[must_use]
    pub fn new(broker: Arc<dyn Broker>) -> Self {
        let waiting = Waiting::default();
        Self { broker, waiting }
    }

    /// Hands answers to those who wait for them, until it has to stop. Each process that asks needs a `group` of its own,
    /// because each gets all answers.
    pub async fn listen(&self, group: &str, shutdown: &Shutdown) {
        while !shutdown.has_come() {
            let lost = shutdown.unless_it_comes(self.hear(group)).await;
            if let Some(Err(error)) = lost {
                tracing::warn!(%error, "answers are subscribed to again");
                sleep(PAUSE).await;
            }
        }
    }

    async fn hear(&self, group: &str) -> Result<(), BrokerError> {
        let mut answers = self.broker.subscribe(group, &[topic::ANSWERS]).await?;
        loop {
            let delivery = answers.next().await?;
            self.hand_on(delivery.message());
            delivery.ack().await?;
        }
    }

    /// An answer that nobody waits for any more is of no use to anybody.
    fn hand_on(&self, message: &Message) {
        let Ok(event) = Event::decode(message) else {
            tracing::error!("an answer cannot be read");
            return;
        };
        let asked = event.causation_id.map(|id| id.to_string());
        let waiting = asked.and_then(|id| self.waiting().remove(&id));
        if let (Some(waiting), Ok(AuthorisationAnswered { may_order })) = (waiting, event.data()) {
            // Who has given up meanwhile does not hear it.
            let _ = waiting.send(may_order);
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, oneshot::Sender<bool>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Check for AskingByEvents {
    async fn may_order(&self, customer: &str, flow: &Correlation) -> Result<bool, NoAnswer> {
        let data = AuthorisationAsked {
            customer: customer.to_owned(),
        };
        let question = flow.event(NewEvent::new(customer, data));
        let id = question.id.to_string();
        let (tell, told) = oneshot::channel();
        self.waiting().insert(id.clone(), tell);
        let asked = async {
            let published = self
                .broker
                .publish(question.encode(question.entity.clone()));
            published
                .await
                .map_err(|error| NoAnswer(error.to_string()))?;
            told.await
                .map_err(|_| NoAnswer("nobody listens".to_owned()))
        };
        let answer = timeout(PATIENCE, asked).await;
        self.waiting().remove(&id);
        answer.unwrap_or_else(|_| Err(NoAnswer("no answer in time".to_owned())))
    }
}

/// The consumer that answers from the customers' rows.
#[derive(Clone, Copy, Debug)]
pub struct Answering;

/// What is answered.
struct Answer(bool);

#[async_trait]
impl Handler for Answering {
    fn consumer(&self) -> &'static str {
        "customers"
    }

    fn topics(&self) -> &'static [&'static str] {
        &[topic::QUESTIONS]
    }

    fn handles(&self) -> &'static [&'static str] {
        &[event_type::AUTHORISATION_ASKED]
    }

    async fn prepare(
        &self,
        database: &Database,
        event: &Event,
    ) -> Result<Box<dyn Prepared>, Failure> {
        let AuthorisationAsked { customer } = event.data()?;
        let customer = customers::select(database, &customer).await?;
        let may_order = customer.is_some_and(|customer| customer.may_order);
        Ok(Box::new(Answer(may_order)))
    }
}

#[async_trait]
impl Prepared for Answer {
    async fn apply(
        self: Box<Self>,
        _: &mut AnyConnection,
        event: &Event,
    ) -> Result<Effect, Failure> {
        let data = AuthorisationAnswered { may_order: self.0 };
        Ok(Effect::Applied {
            effect: "question answered",
            announces: Some(NewEvent::new(&event.entity, data)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::broker::InProcessBroker;
    use crate::publishing::Direct;
    use crate::{Environment, consumer, migrate};

    #[tokio::test]
    async fn a_question_is_answered_from_the_row_and_without_anybody_not_at_all() {
        let database = Database::connect("sqlite::memory:").await.unwrap();
        migrate(&database, schema(database.engine())).await.unwrap();
        let row = "INSERT INTO customers (id, name, may_order) VALUES ('ada', 'Ada', 1)";
        sqlx::query(row).execute(database.reads()).await.unwrap();
        let broker: Arc<dyn Broker> = Arc::new(InProcessBroker::new());
        let asking = AskingByEvents::new(broker.clone());
        let flow = Correlation::at_ingress(None);
        assert!(asking.may_order("ada", &flow).await.is_err());
        let listening = asking.clone();
        tokio::spawn(async move { listening.listen("desk", &Shutdown::never()).await });
        let environment = Environment {
            publishing: Arc::new(Direct::new(broker.clone())),
            ..Environment::new(database, broker)
        };
        tokio::spawn(consumer::run(environment, Box::new(Answering)));
        for (customer, may_order) in [("ada", true), ("bob", false)] {
            assert_eq!(asking.may_order(customer, &flow).await.unwrap(), may_order);
        }
        assert!(asking.waiting().is_empty());
    }
}
