//! `answer-before-commit`: the client has its answer while the commit is still under way.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use reference_system::Environment;
use reference_system::correlation::Correlation;
use reference_system::event::Event;
use reference_system::order::{OrderDesk, OrderView, Orders, OrdersError, PlaceOrder, Readdress};
use reference_system::publishing::PublishPattern;
use scenarios::deploy::Processes;
use sqlx::AnyConnection;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Answers as soon as everything is written, for the sake of speed, and commits behind the client's back.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerBeforeCommit;

impl Processes for AnswerBeforeCommit {
    fn desk(&self, environment: Environment) -> Arc<dyn Orders> {
        Arc::new(Hasty(environment))
    }
}

struct Hasty(Environment);

impl Hasty {
    /// A desk that tells when the changes of its one request are written.
    fn desk(&self) -> (OrderDesk, oneshot::Receiver<String>) {
        let (tell, told) = oneshot::channel();
        let publishing = Telling {
            tell: Mutex::new(Some(tell)),
            publishing: self.0.publishing.clone(),
        };
        let environment = Environment {
            publishing: Arc::new(publishing),
            ..self.0.clone()
        };
        (OrderDesk::new(environment), told)
    }
}

#[async_trait]
impl Orders for Hasty {
    async fn place(
        &self,
        order: PlaceOrder,
        correlation: Correlation,
    ) -> Result<String, OrdersError> {
        let (desk, written) = self.desk();
        let placing = tokio::spawn(async move { desk.place(order, correlation).await });
        tokio::select! {
            biased;
            Ok(order_id) = written => Ok(order_id),
            placed = end(placing) => placed,
        }
    }

    async fn cancel(&self, order_id: &str, correlation: Correlation) -> Result<(), OrdersError> {
        let ((desk, written), order_id) = (self.desk(), order_id.to_owned());
        let cancelling = tokio::spawn(async move { desk.cancel(&order_id, correlation).await });
        tokio::select! {
            biased;
            Ok(_) = written => Ok(()),
            cancelled = end(cancelling) => cancelled,
        }
    }

    async fn readdress(
        &self,
        order_id: &str,
        change: Readdress,
        correlation: Correlation,
    ) -> Result<(), OrdersError> {
        let ((desk, written), order_id) = (self.desk(), order_id.to_owned());
        let changing =
            tokio::spawn(async move { desk.readdress(&order_id, change, correlation).await });
        tokio::select! {
            biased;
            Ok(_) = written => Ok(()),
            changed = end(changing) => changed,
        }
    }

    async fn of_customer(&self, customer: &str) -> Result<Vec<OrderView>, OrdersError> {
        OrderDesk::new(self.0.clone()).of_customer(customer).await
    }

    async fn find(&self, order_id: &str) -> Result<Option<OrderView>, OrdersError> {
        OrderDesk::new(self.0.clone()).find(order_id).await
    }
}

/// What a request that runs by itself gives.
async fn end<T>(request: JoinHandle<Result<T, OrdersError>>) -> Result<T, OrdersError> {
    match request.await {
        Ok(given) => given,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// A way of publishing that tells the order's id when its event is recorded, which is the last thing before the commit.
struct Telling {
    tell: Mutex<Option<oneshot::Sender<String>>>,
    publishing: Arc<dyn PublishPattern>,
}

#[async_trait]
impl PublishPattern for Telling {
    async fn record(&self, tx: &mut AnyConnection, events: &[Event]) -> sqlx::Result<()> {
        self.publishing.record(tx, events).await?;
        let mut tell = self.tell.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(event), Some(tell)) = (events.first(), tell.take()) {
            // Whoever asked may have gone away.
            let _ = tell.send(event.entity.clone());
        }
        Ok(())
    }

    async fn after_commit(&self, events: &[Event]) {
        self.publishing.after_commit(events).await;
    }
}
