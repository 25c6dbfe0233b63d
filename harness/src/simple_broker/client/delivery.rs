//! Settling: one message in the hands of one consumer.
//!
//! A delivery that is dropped without being settled is simply not settled; what happens then is
//! the broker's to decide.

use std::sync::Arc;
use std::time::Duration;

use super::subscription::Membership;
use super::{Broker, BrokerError};
use crate::broker::{Claim, Handout, Settled, Wish};
use crate::event::SettleOutcome;
use crate::message::{Message, Position};
use crate::plan::SettleFault;
use crate::simple_broker::protocol::{Request, Response};
use crate::world::Injection;

/// A message that was delivered to a consumer and that it has to settle.
pub struct Delivery {
    broker: Broker,
    membership: Arc<Membership>,
    handout: Handout,
}

impl Delivery {
    pub(super) fn new(broker: Broker, membership: Arc<Membership>, handout: Handout) -> Self {
        Delivery {
            broker,
            membership,
            handout,
        }
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.handout.message
    }

    /// Where it stands in the log.
    pub fn position(&self) -> &Position {
        &self.handout.position
    }

    /// How often the broker handed this message to the group, this time included. JetStream tells
    /// its consumers (`num_delivered`); a consumer of a real Kafka has to count by itself. It
    /// counts what was fetched, whether or not an application ever saw it.
    pub fn attempt(&self) -> u32 {
        self.handout.attempt
    }

    /// Says that the message is done with. Kafka: commits its offset, and waits for the answer.
    /// JetStream: sends an acknowledgement and goes on.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Fenced`] if the consumer no longer owns the partition,
    /// [`BrokerError::Unavailable`] if the broker does not answer. The message may come again; the
    /// application goes on with [`Subscription::next`](super::Subscription::next).
    pub async fn ack(self) -> Result<(), BrokerError> {
        self.settle(Wish::Ack).await
    }

    /// Says that the message is not done with and is wanted again, not before `after`. Kafka:
    /// seeks back to it and pauses its partition, whose later messages come again with it.
    /// JetStream: a negative acknowledgement with a delay.
    ///
    /// # Errors
    ///
    /// As for [`Delivery::ack`].
    pub async fn retry(self, after: Duration) -> Result<(), BrokerError> {
        self.settle(Wish::Retry { after }).await
    }

    async fn settle(self, wish: Wish) -> Result<(), BrokerError> {
        let broker = self.broker.clone();
        let gate = &broker.inner.gate;
        let injection = gate.enter().await;
        let faults = SettleFaults::of(&injection);
        let result = match broker.inner.capabilities.answers_settlements {
            true => self.commit(wish, faults).await,
            false => self.acknowledge(wish, faults).await,
        };
        gate.leave(&injection).await;
        result
    }

    /// A request whose answer the application waits for.
    async fn commit(self, wish: Wish, faults: SettleFaults) -> Result<(), BrokerError> {
        if let Some(delay) = self.delay(faults) {
            tokio::time::sleep(delay).await;
        }
        let request = self.request(wish, faults);
        match self.broker.request(request).await? {
            Response::Settled(settled) => self.learn(wish, settled),
            other => Err(BrokerError::Unavailable(format!("{other:?}"))),
        }
    }

    /// Takes note of what an answer says about the membership.
    fn learn(&self, wish: Wish, settled: Settled) -> Result<(), BrokerError> {
        match settled.generation {
            Some(generation) => self.membership.heard_of(generation),
            None => self.membership.expelled(),
        }
        if settled.outcome == SettleOutcome::Fenced {
            let position = &self.handout.position;
            return Err(BrokerError::Fenced(format!("{position} has another owner")));
        }
        if matches!(wish, Wish::Retry { .. }) {
            self.membership.sought(&self.handout.position, settled.seek);
        }
        Ok(())
    }

    /// Sent, and not waited for.
    async fn acknowledge(self, wish: Wish, faults: SettleFaults) -> Result<(), BrokerError> {
        let is_lost = faults.foiling(wish).is_some();
        let delay = if is_lost { None } else { self.delay(faults) };
        let Some(delay) = delay else {
            return self.send(wish, faults).await;
        };
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            self.broker.inner.gate.open().await;
            // Nobody waits for it: an acknowledgement that cannot be sent is lost.
            let _lost = self.send(wish, faults).await;
        });
        Ok(())
    }

    async fn send(&self, wish: Wish, faults: SettleFaults) -> Result<(), BrokerError> {
        let connection = self.broker.connection().await?;
        connection.tell(self.request(wish, faults));
        Ok(())
    }

    fn request(&self, wish: Wish, faults: SettleFaults) -> Request {
        Request::Settle {
            claim: Claim {
                group: self.membership.group.clone(),
                member: self.membership.member,
                generation: self.handout.generation,
                position: self.handout.position.clone(),
            },
            wish,
            foiled_by: faults.foiling(wish),
        }
    }

    fn delay(&self, faults: SettleFaults) -> Option<Duration> {
        let (fault, delay) = faults.delay?;
        let position = &self.handout.position;
        let text = format!("settlement of {position} delayed by {delay:?}");
        self.broker.inner.gate.bit(fault, text);
        Some(delay)
    }
}

/// The faults that strike one settlement, by their index in the plan.
#[derive(Clone, Copy, Default)]
struct SettleFaults {
    duplicate: Option<usize>,
    delay: Option<(usize, Duration)>,
}

impl SettleFaults {
    fn of(injection: &Injection<SettleFault>) -> Self {
        let mut faults = SettleFaults::default();
        for (fault, strike) in injection.strikes() {
            match strike {
                SettleFault::Duplicate => faults.duplicate = Some(fault),
                SettleFault::Delay { delay_ms } => {
                    faults.delay = Some((fault, Duration::from_millis(*delay_ms)));
                }
            }
        }
        faults
    }

    /// The fault because of which a settlement has no effect at the broker; only an acknowledgement is struck so.
    fn foiling(&self, wish: Wish) -> Option<usize> {
        self.duplicate.filter(|_| wish == Wish::Ack)
    }
}
