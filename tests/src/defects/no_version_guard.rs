//! `no-version-guard`: a projection that writes whatever comes, be it older than what it has.
//!
//! Its team needs no inbox, as they say: an update that is made twice is made.

use std::sync::Arc;

use async_trait::async_trait;
use reference_system::consumer::{self, Effect, Failure, Handler, Prepared};
use reference_system::event::Event;
use reference_system::event::contract::{OrderPlaced, OrderReaddressed, event_type};
use reference_system::search::FIRST_GENERATION;
use reference_system::{Database, Environment};
use scenarios::deploy::Processes;
use sqlx::AnyConnection;

use super::no_dedup::NoDedup;

/// A search service that takes what came last for what is true.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoVersionGuard;

#[async_trait(?Send)]
impl Processes for NoVersionGuard {
    async fn consume(&self, mut environment: Environment, mut handler: Box<dyn Handler>) {
        if handler.consumer() == FIRST_GENERATION {
            environment.inbox = Arc::new(NoDedup);
            handler = Box::new(LastOneWins(handler));
        }
        consumer::run(environment, handler).await
    }
}

/// The search service's consumer with another statement.
struct LastOneWins(Box<dyn Handler>);

#[async_trait]
impl Handler for LastOneWins {
    fn consumer(&self) -> &'static str {
        self.0.consumer()
    }

    fn topics(&self) -> &'static [&'static str] {
        self.0.topics()
    }

    fn handles(&self) -> &'static [&'static str] {
        self.0.handles()
    }

    async fn prepare(&self, _: &Database, event: &Event) -> Result<Box<dyn Prepared>, Failure> {
        let (state, address) = match event.event_type.as_str() {
            event_type::ORDER_PLACED => {
                (Some("placed"), Some(event.data::<OrderPlaced>()?.address))
            }
            event_type::ORDER_READDRESSED => {
                (None, Some(event.data::<OrderReaddressed>()?.address))
            }
            event_type::ORDER_CONFIRMED => (Some("confirmed"), None),
            event_type::ORDER_CANCELLED => (Some("cancelled"), None),
            _ => (Some("shipped"), None),
        };
        Ok(Box::new(Row { state, address }))
    }
}

/// What is written; the rest of the row stays.
struct Row {
    state: Option<&'static str>,
    address: Option<String>,
}

#[async_trait]
impl Prepared for Row {
    async fn apply(
        self: Box<Self>,
        tx: &mut AnyConnection,
        event: &Event,
    ) -> Result<Effect, Failure> {
        sqlx::query(
            "INSERT INTO found_orders (order_id, address, stage, state) VALUES ($1, $2, 0, COALESCE($3, 'placed')) \
             ON CONFLICT (order_id) DO UPDATE SET address = COALESCE($2, found_orders.address), \
             state = COALESCE($3, found_orders.state)",
        )
        .bind(&event.entity)
        .bind(self.address)
        .bind(self.state)
        .execute(&mut *tx)
        .await?;
        Ok(Effect::Applied {
            effect: "order indexed",
            announces: None,
        })
    }
}
