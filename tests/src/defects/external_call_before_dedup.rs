//! `external-call-before-dedup`: the card is charged before anybody asks whether the event is a duplicate.

use std::sync::Arc;

use async_trait::async_trait;
use reference_system::Environment;
use reference_system::consumer::{self, Handler};
use reference_system::event::Event;
use reference_system::identifiers::new_id;
use reference_system::inbox::{Inbox, ProcessedEvents};
use reference_system::ports::card_processor::{
    CardProcessor, CardProcessorError, Charge, ChargeOutcome, HttpCardProcessor,
};
use scenarios::deploy::Processes;
use sqlx::AnyConnection;

use super::third_parties::card_processor;

/// Charges first, under a new idempotency key for each call, and finds the duplicate afterwards.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExternalCallBeforeDedup;

#[async_trait(?Send)]
impl Processes for ExternalCallBeforeDedup {
    async fn consume(&self, environment: Environment, handler: Box<dyn Handler>) {
        let inbox = Arc::new(AskedLast);
        let environment = Environment {
            inbox,
            ..environment
        };
        consumer::run(environment, handler).await
    }

    fn card_processor(&self) -> Arc<dyn CardProcessor> {
        Arc::new(NewKeys(card_processor()))
    }
}

/// The table `processed_events`, asked in the transaction of the effect and not before.
#[derive(Clone, Copy)]
struct AskedLast;

#[async_trait]
impl Inbox for AskedLast {
    async fn knows(&self, _: &mut AnyConnection, _: &str, _: &str) -> sqlx::Result<bool> {
        Ok(false)
    }

    async fn first_time(
        &self,
        tx: &mut AnyConnection,
        consumer: &str,
        event: &Event,
    ) -> sqlx::Result<bool> {
        ProcessedEvents.first_time(tx, consumer, event).await
    }
}

/// A card processor that is never asked the same thing twice.
struct NewKeys(HttpCardProcessor);

#[async_trait]
impl CardProcessor for NewKeys {
    async fn charge(&self, _: &str, charge: Charge) -> Result<ChargeOutcome, CardProcessorError> {
        let key = new_id().to_string();
        self.0.charge(&key, charge).await
    }

    async fn refund(&self, key: &str, charge: Charge) -> Result<(), CardProcessorError> {
        self.0.refund(key, charge).await
    }
}
