//! `mail-before-commit`: the receipt is mailed from within the transaction that places the order.

use std::sync::Arc;

use async_trait::async_trait;
use reference_system::Environment;
use reference_system::event::Event;
use reference_system::event::contract::{OrderPlaced, event_type};
use reference_system::order::{OrderDesk, Orders};
use reference_system::ports::mailer::{HttpMailer, Mail, Mailer, MailerError};
use reference_system::publishing::PublishPattern;
use scenarios::deploy::Processes;
use sqlx::AnyConnection;

use super::third_parties::mailer;

/// The word for the mail, by which the notification service knows that it is out.
const RECEIVED: &str = "received";

/// Tells the customer at once, and rolls back if that fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct MailBeforeCommit;

impl Processes for MailBeforeCommit {
    fn desk(&self, environment: Environment) -> Arc<dyn Orders> {
        let publishing = Receipts {
            mailer: mailer(),
            publishing: environment.publishing.clone(),
        };
        Arc::new(OrderDesk::new(Environment {
            publishing: Arc::new(publishing),
            ..environment
        }))
    }

    fn mailer(&self) -> Arc<dyn Mailer> {
        Arc::new(AllButReceipts(mailer()))
    }
}

/// A way of publishing that mails a receipt for each order that is placed.
struct Receipts {
    mailer: HttpMailer,
    publishing: Arc<dyn PublishPattern>,
}

#[async_trait]
impl PublishPattern for Receipts {
    async fn record(&self, tx: &mut AnyConnection, events: &[Event]) -> sqlx::Result<()> {
        self.publishing.record(tx, events).await?;
        for event in events {
            if event.event_type == event_type::ORDER_PLACED {
                let order: OrderPlaced = event.data().map_err(std::io::Error::other)?;
                let key = event.id.to_string();
                let sent = self.mailer.send(&key, receipt(event, order));
                sent.await.map_err(std::io::Error::other)?;
            }
        }
        Ok(())
    }

    async fn after_commit(&self, events: &[Event]) {
        self.publishing.after_commit(events).await;
    }
}

fn receipt(event: &Event, order: OrderPlaced) -> Mail {
    Mail {
        order_id: event.entity.clone(),
        occasion: RECEIVED.to_owned(),
        to: order.customer,
        subject: format!("Your order {} is received", event.entity),
        body: format!("We got your order of {} x {}.", order.quantity, order.sku),
    }
}

/// A mail service for what is not mailed already.
struct AllButReceipts(HttpMailer);

#[async_trait]
impl Mailer for AllButReceipts {
    async fn send(&self, key: &str, mail: Mail) -> Result<(), MailerError> {
        match mail.occasion.as_str() {
            RECEIVED => Ok(()),
            _ => self.0.send(key, mail).await,
        }
    }
}
