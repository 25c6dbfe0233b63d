//! The SMS service: texts the customer once the order is confirmed, if a number is known.
//!
//! It is the service that came later: another consumer of events that were there already. No other service was changed for it, and none
//! knows of it. Numbers are its own business, left with it by `PUT /phones/{customer}`.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::put;
use axum::{Json, Router};
use serde::Deserialize;
use sqlx::AnyConnection;
use tokio::net::TcpListener;

use crate::consumer::{self, Effect, Failure, Handler, Prepared};
use crate::database::Database;
use crate::environment::Environment;
use crate::event::Event;
use crate::event::contract::{OrderConfirmed, event_type, topic};
use crate::ports::sms_gateway::{SmsGateway, TextMessage};
use crate::schema::{Engine, script};
use crate::shutdown::Shutdown;

/// The script that creates the service's tables.
#[must_use]
pub fn schema(engine: Engine) -> &'static str {
    script!(engine, "sms")
}

/// Texts customers until it has to stop.
pub async fn consumer(environment: Environment, gateway: Arc<dyn SmsGateway>) {
    consumer::run(environment, Box::new(Texting::new(gateway))).await
}

/// Takes numbers from `listener` until it has to stop; requests that have begun are still answered.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    database: Database,
    shutdown: Shutdown,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/phones/{customer}", put(leave_number))
        .with_state(database);
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move { shutdown.comes().await })
        .await
}

/// The body of `PUT /phones/{customer}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Number {
    phone: String,
}

async fn leave_number(
    State(database): State<Database>,
    Path(customer): Path<String>,
    Json(Number { phone }): Json<Number>,
) -> StatusCode {
    match keep(&database, &customer, &phone).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(error) => {
            tracing::error!(%error, "number is not kept");
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

async fn keep(database: &Database, customer: &str, phone: &str) -> sqlx::Result<()> {
    let mut tx = database.begin().await?;
    sqlx::query(
        "INSERT INTO phones (customer, phone) VALUES ($1, $2) \
         ON CONFLICT (customer) DO UPDATE SET phone = excluded.phone",
    )
    .bind(customer)
    .bind(phone)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// The SMS service's consumer.
pub struct Texting {
    gateway: Arc<dyn SmsGateway>,
}

impl Texting {
    /// Sends through `gateway`.
    #[must_use]
    pub fn new(gateway: Arc<dyn SmsGateway>) -> Self {
        Self { gateway }
    }
}

/// What is left to do once the message is out.
enum Texted {
    /// To this number.
    To(String),
    /// To nobody.
    NoNumber,
}

#[async_trait]
impl Handler for Texting {
    fn consumer(&self) -> &'static str {
        "sms"
    }

    fn topics(&self) -> &'static [&'static str] {
        &[topic::ORDERS]
    }

    fn handles(&self) -> &'static [&'static str] {
        &[event_type::ORDER_CONFIRMED]
    }

    async fn prepare(
        &self,
        database: &Database,
        event: &Event,
    ) -> Result<Box<dyn Prepared>, Failure> {
        let order: OrderConfirmed = event.data()?;
        let Some(phone) = number_of(database, &order.customer).await? else {
            return Ok(Box::new(Texted::NoNumber));
        };
        let message = TextMessage {
            order_id: event.entity.clone(),
            to: phone.clone(),
            text: format!("{} x {} is paid for.", order.quantity, order.sku),
        };
        // The event's id is the same on every redelivery, so a crash before the commit cannot send a second message.
        let sent = self.gateway.send(&event.id.to_string(), message).await;
        sent.map_err(|error| Failure::Transient(error.to_string()))?;
        Ok(Box::new(Texted::To(phone)))
    }
}

#[async_trait]
impl Prepared for Texted {
    async fn apply(
        self: Box<Self>,
        tx: &mut AnyConnection,
        event: &Event,
    ) -> Result<Effect, Failure> {
        let Texted::To(phone) = *self else {
            let reason = "no number of the customer is known".to_owned();
            return Ok(Effect::Discarded { reason });
        };
        sqlx::query("INSERT INTO texts (order_id, phone) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(&event.entity)
            .bind(phone)
            .execute(&mut *tx)
            .await?;
        Ok(Effect::Applied {
            effect: "confirmation texted",
            announces: None,
        })
    }
}

async fn number_of(database: &Database, customer: &str) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("SELECT phone FROM phones WHERE customer = $1")
        .bind(customer)
        .fetch_optional(database.reads())
        .await
}
