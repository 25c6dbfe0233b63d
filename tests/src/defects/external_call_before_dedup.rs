//! `external-call-before-dedup`: the card is charged before anybody asks whether the event is a duplicate.

use reference_system::Environment;
use reference_system::consumer::{self, Handler};
use reference_system::event::Event;
use reference_system::inbox::{Inbox, ProcessedEvents};
use reference_system::ports::Transaction;
use reference_system::ports::card_processor::{
    CardProcessor, CardProcessorError, Charge, ChargeOutcome,
};
use reference_system::ports::identifiers::{Identifiers, UuidV7};
use scenarios::deploy::{Processes, SimulatedCardProcessor};
use stormglass::Host;

use super::rewired::Rewired;

/// Charges first, under a new idempotency key for each call, and finds the duplicate afterwards.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExternalCallBeforeDedup;

impl Processes for ExternalCallBeforeDedup {
    async fn consume<E: Environment, H: Handler>(&self, environment: E, handler: H) {
        consumer::run(Rewired::inbox(environment, AskedLast), handler).await
    }

    fn card_processor(&self, host: &Host) -> impl CardProcessor {
        NewKeys(SimulatedCardProcessor::of(host))
    }
}

/// The table `processed_events`, asked in the transaction of the effect and not before.
#[derive(Clone, Copy)]
struct AskedLast;

impl Inbox for AskedLast {
    async fn knows<T: Transaction>(&self, _: &mut T, _: &str, _: &str) -> sqlx::Result<bool> {
        Ok(false)
    }

    async fn first_time<T: Transaction>(
        &self,
        tx: &mut T,
        consumer: &str,
        event: &Event,
    ) -> sqlx::Result<bool> {
        ProcessedEvents.first_time(tx, consumer, event).await
    }
}

/// A card processor that is never asked the same thing twice.
#[derive(Clone)]
struct NewKeys(SimulatedCardProcessor);

impl CardProcessor for NewKeys {
    async fn charge(&self, _: &str, charge: Charge) -> Result<ChargeOutcome, CardProcessorError> {
        let key = UuidV7.next().to_string();
        self.0.charge(&key, charge).await
    }

    async fn refund(&self, key: &str, charge: Charge) -> Result<(), CardProcessorError> {
        self.0.refund(key, charge).await
    }
}
