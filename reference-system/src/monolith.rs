//! The monolith: all services in one process on one database, with events in the process and no broker.
//!
//! What can be decided in the database takes part in the transaction of whatever causes it: stock, the order's state, parcels.
//! What calls the world outside comes after the commit: cards and mails. So an order and its reservation stand or fall together, and a
//! crash behind their commit leaves the order reserved, and never charged: see [`crate::publishing::InProcess`].
//!
//! The handlers are those of the services; taking one of them out of the monolith again is another deployment.

use std::sync::Arc;

use crate::consumer::Handler;
use crate::database::Database;
use crate::environment::Environment;
use crate::inventory::{self, Stockkeeping};
use crate::notification::{self, Notifying};
use crate::order::{self, OrderDesk, OrderLifecycle};
use crate::payment::{self, Charging};
use crate::ports::{CardProcessor, Mailer};
use crate::publishing::{InProcess, Queues};
use crate::schema::{Engine, migrate};
use crate::shipping::{self, Dispatching};

/// The whole shop.
pub struct Monolith {
    desk: OrderDesk,
    queues: Queues,
    environment: Environment,
}

impl Monolith {
    /// The shop in this environment, whose way of publishing and whose broker are not used.
    #[must_use]
    pub fn new(
        environment: Environment,
        cards: Arc<dyn CardProcessor>,
        mailer: Arc<dyn Mailer>,
    ) -> Self {
        let before: Vec<Arc<dyn Handler>> = vec![
            Arc::new(Stockkeeping),
            Arc::new(OrderLifecycle),
            Arc::new(Dispatching),
        ];
        let after: Vec<Arc<dyn Handler>> = vec![
            Arc::new(Charging::new(cards)),
            Arc::new(Notifying::new(mailer)),
        ];
        let Environment {
            database, inbox, ..
        } = environment.clone();
        let (publishing, queues) = InProcess::new(database, inbox, before, after);
        let environment = Environment {
            publishing: Arc::new(publishing),
            ..environment
        };
        Self {
            desk: OrderDesk::new(environment.clone()),
            queues,
            environment,
        }
    }

    /// What the gateway asks for orders, and the work that comes after the commits until the environment has to stop.
    pub fn split(self) -> (OrderDesk, impl Future<Output = ()> + Send) {
        let Self {
            desk,
            queues,
            environment,
        } = self;
        (desk, queues.run(environment))
    }
}

/// The scripts that create the tables of all services.
#[must_use]
pub fn schemas(engine: Engine) -> [&'static str; 5] {
    [
        order::schema(engine),
        inventory::schema(engine),
        payment::schema(engine),
        shipping::schema(engine),
        notification::schema(engine),
    ]
}

/// Brings the tables of all services into one database.
///
/// # Errors
/// When a statement fails; the tables of some services may be there then.
pub async fn migrate_all(database: &Database) -> sqlx::Result<()> {
    for script in schemas(database.engine()) {
        migrate(database, script).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;
    use crate::correlation::Correlation;
    use crate::order::{Orders, PlaceOrder};
    use crate::ports::broker::InProcessBroker;
    use crate::ports::card_processor::SandboxCardProcessor;
    use crate::ports::mailer::LoggingMailer;

    struct Shop {
        database: Database,
        cards: SandboxCardProcessor,
        mailer: LoggingMailer,
        monolith: Monolith,
    }

    async fn shop() -> Shop {
        let database = Database::connect("sqlite::memory:").await.unwrap();
        migrate_all(&database).await.unwrap();
        inventory::restock(&database, "tea", 4).await.unwrap();
        let (cards, mailer) = (SandboxCardProcessor::default(), LoggingMailer::default());
        let environment = Environment::new(database.clone(), Arc::new(InProcessBroker::new()));
        let monolith = Monolith::new(
            environment,
            Arc::new(cards.clone()),
            Arc::new(mailer.clone()),
        );
        Shop {
            database,
            cards,
            mailer,
            monolith,
        }
    }

    fn order(sku: &str, quantity: i64) -> PlaceOrder {
        PlaceOrder {
            customer: "ada@example.org".to_owned(),
            card: "visa".to_owned(),
            address: "Mill Lane 1".to_owned(),
            sku: sku.to_owned(),
            quantity,
            unit_price_cents: 450,
            discount_cents: 0,
            idempotency_key: None,
        }
    }

    async fn place(desk: &OrderDesk, order: PlaceOrder) -> String {
        let flow = Correlation::at_ingress(None);
        desk.place(order, flow).await.unwrap()
    }

    async fn text(database: &Database, query: &'static str) -> String {
        let found = sqlx::query_scalar(query);
        found.fetch_one(database.reads()).await.unwrap()
    }

    #[tokio::test]
    async fn an_order_is_reserved_in_its_own_transaction_and_charged_and_mailed_behind_it() {
        let shop = shop().await;
        let (desk, work) = shop.monolith.split();
        let order_id = place(&desk, order("tea", 3)).await;
        let reserved = "SELECT state FROM reservations";
        assert_eq!(text(&shop.database, reserved).await, "held");
        assert!(shop.cards.captured().is_empty());

        let work = tokio::spawn(work);
        for _ in 0..400 {
            let order = desk.find(&order_id).await.unwrap().unwrap();
            if order.state == "shipped" && shop.mailer.sent().len() == 4 {
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
        let order = desk.find(&order_id).await.unwrap().unwrap();
        assert_eq!((order.state.as_str(), order.dispatched), ("shipped", 3));
        assert_eq!(shop.cards.captured().len(), 1);
        // The receipt, the confirmation, and two parcels.
        assert_eq!(shop.mailer.sent().len(), 4);
        let stock = "SELECT free || ' ' || reserved || ' ' || shipped FROM stock";
        assert_eq!(text(&shop.database, stock).await, "1 0 3");
        work.abort();
    }

    #[tokio::test]
    async fn what_was_in_the_queues_when_the_process_ended_is_lost() {
        let shop = shop().await;
        let (desk, work) = shop.monolith.split();
        place(&desk, order("tea", 1)).await;
        drop(work);
        drop(desk);
        let again = Environment::new(shop.database.clone(), Arc::new(InProcessBroker::new()));
        let again = Monolith::new(
            again,
            Arc::new(shop.cards.clone()),
            Arc::new(shop.mailer.clone()),
        );
        let (_desk, work) = again.split();
        let work = tokio::spawn(work);
        sleep(Duration::from_millis(50)).await;
        assert_eq!(
            text(&shop.database, "SELECT state FROM orders").await,
            "placed"
        );
        assert_eq!(
            text(&shop.database, "SELECT state FROM reservations").await,
            "held"
        );
        assert!(shop.cards.captured().is_empty());
        work.abort();
    }
}
