//! The monolith on one host: the same handlers in one process on one database, and no broker.

use std::sync::Arc;

use reference_system::monolith::Monolith;
use reference_system::ports::broker::InProcessBroker;
use reference_system::ports::card_processor::HttpCardProcessor;
use reference_system::ports::mailer::HttpMailer;
use reference_system::{Database, Environment, Shutdown, Telemetry, gateway};
use stormglass::{Machine, System};

use super::{CARD_PROCESSOR, MAILER, StartError, listen, schema, third_parties};

/// The one database.
const DATABASE: &str = "shop";

/// The deployed monolith with this stock, with neither operations nor properties.
pub fn monolith(name: &str, stock: &[(&str, i64)]) -> System {
    System::new(name)
        .database(schema::monolith(DATABASE, stock))
        .third_party(third_parties::card_processor())
        .third_party(third_parties::mailer())
        .host("gateway", serve)
}

async fn serve(machine: Machine) -> Result<(), StartError> {
    let database = Database::connect(machine.url(DATABASE)).await?;
    let shutdown = Shutdown::when(machine.terminated());
    let environment = Environment {
        shutdown: shutdown.clone(),
        ..Environment::new(database, Arc::new(InProcessBroker::new()))
    };
    let cards = Arc::new(HttpCardProcessor::new(&format!("http://{CARD_PROCESSOR}")));
    let mailer = Arc::new(HttpMailer::new(&format!("http://{MAILER}")));
    let (desk, work) = Monolith::new(environment, cards, mailer).split();
    let serving = gateway::serve(listen().await?, Arc::new(desk), Telemetry::off(), shutdown);
    let (served, ()) = tokio::join!(serving, work);
    Ok(served?)
}
