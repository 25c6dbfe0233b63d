//! The search service: finds orders by customer, article, address and state in a projection of its own.
//!
//! It asks nobody: events tell it everything, and come from topics that know no order among each other. So whatever an event says is
//! taken where it is newer than what is known (a later stage, a higher version of the address), and a row may begin with
//! any of them.
//!
//! The projection is rebuilt from the log, not repaired: a new generation, which is another consumer with tables of its own, reads the topics
//! from their beginning while the old one answers. That takes a broker that keeps its log.

mod query;

use async_trait::async_trait;
use sqlx::AnyConnection;

use crate::consumer::{self, Effect, Failure, Handler, Prepared};
use crate::database::Database;
use crate::environment::Environment;
use crate::event::Event;
use crate::event::contract::{
    OrderCancelled, OrderConfirmed, OrderPlaced, OrderReaddressed, ShipmentDispatched, event_type,
    topic,
};
use crate::schema::{Engine, script};

pub use query::{Found, serve};

/// The first generation's consumer.
pub const FIRST_GENERATION: &str = "search";

/// The script that creates the service's tables.
#[must_use]
pub fn schema(engine: Engine) -> &'static str {
    script!(engine, "search")
}

/// Keeps the projection of one generation until it has to stop.
pub async fn consumer(environment: Environment, generation: &'static str) {
    consumer::run(environment, Box::new(Indexing::new(generation))).await
}

/// The search service's consumer.
#[derive(Clone, Copy, Debug)]
pub struct Indexing {
    generation: &'static str,
}

impl Indexing {
    /// Of this generation, which is the consumer's name.
    #[must_use]
    pub fn new(generation: &'static str) -> Self {
        Self { generation }
    }
}

/// What one event tells about an order.
#[derive(Default)]
struct Told {
    customer: Option<String>,
    sku: Option<String>,
    quantity: Option<i64>,
    address: Option<String>,
    /// The version of the order that has this address; 0 without one.
    address_version: i64,
    stage: Stage,
}

/// How far an order has come, as its events tell; a later stage stands below an earlier one.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Nothing but that there is one.
    #[default]
    Placed,
    Confirmed,
    /// Some of it is on its way.
    Dispatched,
    Shipped,
    Cancelled,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Confirmed => "confirmed",
            Self::Dispatched => "dispatched",
            Self::Shipped => "shipped",
            Self::Cancelled => "cancelled",
        }
    }
}

#[async_trait]
impl Handler for Indexing {
    fn consumer(&self) -> &'static str {
        self.generation
    }

    fn topics(&self) -> &'static [&'static str] {
        &[topic::ORDERS, topic::SHIPMENTS]
    }

    fn handles(&self) -> &'static [&'static str] {
        &[
            event_type::ORDER_PLACED,
            event_type::ORDER_CONFIRMED,
            event_type::ORDER_READDRESSED,
            event_type::ORDER_CANCELLED,
            event_type::SHIPMENT_DISPATCHED,
        ]
    }

    async fn prepare(&self, _: &Database, event: &Event) -> Result<Box<dyn Prepared>, Failure> {
        Ok(Box::new(told(event)?))
    }
}

#[async_trait]
impl Prepared for Told {
    async fn apply(
        self: Box<Self>,
        tx: &mut AnyConnection,
        event: &Event,
    ) -> Result<Effect, Failure> {
        sqlx::query(
            "INSERT INTO found_orders \
             (order_id, customer, sku, quantity, address, address_version, stage, state) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (order_id) DO UPDATE SET \
             customer = COALESCE(found_orders.customer, excluded.customer), \
             sku = COALESCE(found_orders.sku, excluded.sku), \
             quantity = COALESCE(found_orders.quantity, excluded.quantity), \
             address = CASE WHEN excluded.address_version > found_orders.address_version \
                       THEN excluded.address ELSE found_orders.address END, \
             address_version = CASE WHEN excluded.address_version > found_orders.address_version \
                       THEN excluded.address_version ELSE found_orders.address_version END, \
             state = CASE WHEN excluded.stage > found_orders.stage \
                     THEN excluded.state ELSE found_orders.state END, \
             stage = CASE WHEN excluded.stage > found_orders.stage \
                     THEN excluded.stage ELSE found_orders.stage END",
        )
        .bind(&event.entity)
        .bind(self.customer)
        .bind(self.sku)
        .bind(self.quantity)
        .bind(self.address)
        .bind(self.address_version)
        .bind(self.stage as i64)
        .bind(self.stage.name())
        .execute(&mut *tx)
        .await?;
        Ok(Effect::Applied {
            effect: "order indexed",
            announces: None,
        })
    }
}

fn told(event: &Event) -> Result<Told, Failure> {
    match event.event_type.as_str() {
        event_type::ORDER_PLACED => {
            let order: OrderPlaced = event.data()?;
            Ok(Told {
                customer: Some(order.customer),
                sku: Some(order.sku),
                quantity: Some(order.quantity),
                address: Some(order.address),
                address_version: 1,
                stage: Stage::Placed,
            })
        }
        event_type::ORDER_CONFIRMED => {
            let order: OrderConfirmed = event.data()?;
            Ok(Told {
                customer: Some(order.customer),
                sku: Some(order.sku),
                quantity: Some(order.quantity),
                address: Some(order.address),
                address_version: order.version,
                stage: Stage::Confirmed,
            })
        }
        event_type::ORDER_READDRESSED => {
            let OrderReaddressed { address, version } = event.data()?;
            Ok(Told {
                address: Some(address),
                address_version: version,
                ..Told::default()
            })
        }
        event_type::ORDER_CANCELLED => {
            let order: OrderCancelled = event.data()?;
            Ok(Told {
                customer: Some(order.customer),
                stage: Stage::Cancelled,
                ..Told::default()
            })
        }
        event_type::SHIPMENT_DISPATCHED => {
            let parcel: ShipmentDispatched = event.data()?;
            Ok(Told {
                customer: Some(parcel.customer),
                sku: Some(parcel.sku),
                stage: match parcel.left {
                    0 => Stage::Shipped,
                    _ => Stage::Dispatched,
                },
                ..Told::default()
            })
        }
        other => Err(Failure::Permanent(format!("`{other}` is not handled here"))),
    }
}
