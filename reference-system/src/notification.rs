//! The notification service: tells the customer how the order stands, once for each stage.
//!
//! A confirmation and a dispatch come from different topics and may arrive in the wrong order. Nobody is told an older
//! stage after a newer one: that event is discarded, with an audit entry.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::AnyConnection;

use crate::consumer::{self, Effect, Failure, Handler, Prepared};
use crate::database::Database;
use crate::environment::Environment;
use crate::event::Event;
use crate::event::contract::{
    OrderCancelled, OrderConfirmed, OrderPlaced, PaymentRefunded, ShipmentDispatched, event_type,
    topic,
};
use crate::ports::mailer::{Mail, Mailer};
use crate::schema::{Engine, script};

/// The script that creates the service's tables.
#[must_use]
pub fn schema(engine: Engine) -> &'static str {
    script!(engine, "notification")
}

/// Notifies customers until it has to stop.
pub async fn consumer(environment: Environment, mailer: Arc<dyn Mailer>) {
    consumer::run(environment, Box::new(Notifying::new(mailer))).await
}

/// The notification service's consumer.
pub struct Notifying {
    mailer: Arc<dyn Mailer>,
}

impl Notifying {
    /// Sends through `mailer`.
    #[must_use]
    pub fn new(mailer: Arc<dyn Mailer>) -> Self {
        Self { mailer }
    }
}

/// What is left to do once the mail is out.
enum Notified {
    /// The customer was told.
    Told(Notice),
    /// The customer knows better already.
    TooLate,
}

/// What the customer is told.
struct Notice {
    /// How far the order has come; a later stage has a higher number.
    stage: i64,
    /// The journal's word for it.
    effect: &'static str,
    /// The mail.
    mail: Mail,
}

#[async_trait]
impl Handler for Notifying {
    fn consumer(&self) -> &'static str {
        "notification"
    }

    fn topics(&self) -> &'static [&'static str] {
        &[topic::ORDERS, topic::PAYMENTS, topic::SHIPMENTS]
    }

    fn handles(&self) -> &'static [&'static str] {
        &[
            event_type::ORDER_PLACED,
            event_type::ORDER_CONFIRMED,
            event_type::ORDER_CANCELLED,
            event_type::PAYMENT_REFUNDED,
            event_type::SHIPMENT_DISPATCHED,
        ]
    }

    async fn prepare(
        &self,
        database: &Database,
        event: &Event,
    ) -> Result<Box<dyn Prepared>, Failure> {
        let notice = notice(event)?;
        if latest_stage(database, event).await? >= notice.stage {
            return Ok(Box::new(Notified::TooLate));
        }
        // The event's id is the same on every redelivery, so a crash before the commit cannot send a second mail.
        let key = event.id.to_string();
        let sent = self.mailer.send(&key, notice.mail.clone()).await;
        sent.map_err(|error| Failure::Transient(error.to_string()))?;
        Ok(Box::new(Notified::Told(notice)))
    }
}

#[async_trait]
impl Prepared for Notified {
    async fn apply(
        self: Box<Self>,
        tx: &mut AnyConnection,
        event: &Event,
    ) -> Result<Effect, Failure> {
        let too_late = || {
            let reason = "the customer was told as much already".to_owned();
            Ok(Effect::Discarded { reason })
        };
        let Notified::Told(notice) = *self else {
            return too_late();
        };
        // Another instance may have told a later stage while this mail was on its way.
        let told = sqlx::query(
            "INSERT INTO notifications (order_id, stage, subject) \
             SELECT $1, CAST($2 AS BIGINT), $3 WHERE NOT EXISTS \
             (SELECT 1 FROM notifications WHERE order_id = $1 AND stage >= CAST($2 AS BIGINT))",
        )
        .bind(&event.entity)
        .bind(notice.stage)
        .bind(&notice.mail.subject)
        .execute(&mut *tx)
        .await?;
        if told.rows_affected() == 0 {
            return too_late();
        }
        Ok(Effect::Applied {
            effect: notice.effect,
            announces: None,
        })
    }
}

/// The latest stage that the customer was told; -1 before the first.
async fn latest_stage(database: &Database, event: &Event) -> sqlx::Result<i64> {
    let stage: i64 = sqlx::query_scalar(
        "SELECT CAST(COALESCE(MAX(stage), -1) AS BIGINT) FROM notifications WHERE order_id = $1",
    )
    .bind(&event.entity)
    .fetch_one(database.reads())
    .await?;
    Ok(stage)
}

fn notice(event: &Event) -> Result<Notice, Failure> {
    let (stage, effect, to, occasion, body) = match event.event_type.as_str() {
        event_type::ORDER_PLACED => {
            let order: OrderPlaced = event.data()?;
            let body = format!("We got your order of {} x {}.", order.quantity, order.sku);
            (0, "receipt mailed", order.customer, "received", body)
        }
        event_type::ORDER_CONFIRMED => {
            let order: OrderConfirmed = event.data()?;
            let body = format!("{} x {} is paid for.", order.quantity, order.sku);
            (1, "confirmation mailed", order.customer, "confirmed", body)
        }
        event_type::ORDER_CANCELLED => {
            let order: OrderCancelled = event.data()?;
            let body = format!("It will not be carried out: {}.", order.reason);
            (1, "cancellation mailed", order.customer, "cancelled", body)
        }
        event_type::PAYMENT_REFUNDED => {
            let refund: PaymentRefunded = event.data()?;
            let body = format!("It is cancelled; {} cents go back.", refund.amount_cents);
            (2, "refund mailed", refund.customer, "refunded", body)
        }
        event_type::SHIPMENT_DISPATCHED => {
            let parcel: ShipmentDispatched = event.data()?;
            let body = format!(
                "{} x {} is on its way in parcel {}.",
                parcel.quantity, parcel.sku, parcel.parcel
            );
            (
                1 + parcel.parcel,
                "dispatch mailed",
                parcel.customer,
                "dispatched",
                body,
            )
        }
        other => {
            return Err(Failure::Permanent(format!("`{other}` is not handled here")));
        }
    };
    let mail = Mail {
        order_id: event.entity.clone(),
        subject: format!("Your order {} is {occasion}", event.entity),
        occasion: occasion.to_owned(),
        to,
        body,
    };
    Ok(Notice {
        stage,
        effect,
        mail,
    })
}
