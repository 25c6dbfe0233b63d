//! The check before an order is taken: the gateway asks the customers' service, by a call or by events.

use std::sync::Arc;

use reference_system::authorisation::by_events::{Answering, AskingByEvents};
use reference_system::authorisation::{Authorisation, Authorised, Check};
use reference_system::event::contract::topic;
use reference_system::order::Orders;
use reference_system::publishing::Direct;
use reference_system::{Database, Environment, Shutdown, customers};
use stormglass::{Group, Machine, System};

use super::{Deployment, PARTITIONS, StartError, group, listen, schema, with};

/// The host and the database of the customers' service.
pub(crate) const CUSTOMERS: &str = "customers";
/// The gateway's group for answers: there is one gateway, because each would need a group of its own.
const ANSWERED: &str = "gateway-answers";

/// How the gateway asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// By a call.
    Call,
    /// By an event, which another answers.
    Events,
}

/// The system with customers, and with `known` of them who may order.
pub(super) fn beside(system: System, deployment: &Deployment, known: &[String]) -> System {
    system
        .topic(topic::QUESTIONS, PARTITIONS)
        .topic(topic::ANSWERS, PARTITIONS)
        .group(group(&Answering))
        .group(Group::new(ANSWERED, &[topic::ANSWERS]))
        .database(schema::of_customers(known))
        .host(CUSTOMERS, with(deployment, answer))
        .instances("gateway", 1..=1)
}

impl Asking {
    /// The desk behind the check; `environment` is the gateway's.
    pub(super) fn before(
        self,
        desk: Arc<dyn Orders>,
        environment: &Environment,
    ) -> Arc<dyn Orders> {
        let check: Arc<dyn Check> = match self {
            Asking::Call => match format!("http://{CUSTOMERS}").parse() {
                Ok(url) => Arc::new(Authorisation::new(url)),
                Err(_) => unreachable!("the name of a host is an address"),
            },
            Asking::Events => {
                let asking = AskingByEvents::new(environment.broker.clone());
                let (listening, shutdown) = (asking.clone(), environment.shutdown.clone());
                tokio::spawn(async move { listening.listen(ANSWERED, &shutdown).await });
                Arc::new(asking)
            }
        };
        Arc::new(Authorised::new(desk, check))
    }
}

/// Answers calls and questions alike.
async fn answer(machine: Machine, own: Deployment) -> Result<(), StartError> {
    let (environment, spans) = own.environment(&machine, CUSTOMERS).await?;
    let broker = environment.broker.clone();
    let environment = Environment {
        publishing: Arc::new(Direct::new(broker.clone())),
        ..environment
    };
    let database = Database::connect(machine.url(CUSTOMERS)).await?;
    let shutdown = Shutdown::when(machine.terminated());
    let serving = customers::serve(listen().await?, database, shutdown);
    let consuming = own.processes.consume(environment, Box::new(Answering));
    let (served, ()) = tokio::join!(serving, consuming);
    broker.close().await;
    spans.finish().await;
    Ok(served?)
}
