//! The neighbours: services that came after the others, which know nothing of them.
//!
//! Search, text messages and the partner's webhooks are consumers like any; the partner is a host of its own, with a database that the
//! shop cannot see.

use std::sync::Arc;
use std::time::Duration;

use reference_system::ports::sms_gateway::{HttpSmsGateway, SmsGateway};
use reference_system::retry::Backoff;
use reference_system::search::{FIRST_GENERATION, Indexing};
use reference_system::sms::Texting;
use reference_system::webhook::dispatch::{self, Dispatcher};
use reference_system::webhook::signature::Secret;
use reference_system::webhook::{Noting, receiver};
use reference_system::{Database, Shutdown};
use stormglass::third_party::{Response, ThirdParty};
use stormglass::{Group, Machine, System};

use super::{Deployment, HTTP_PORT, StartError, group, listen, schema, with};

/// The host of the gateway for text messages.
pub(crate) const SMS_GATEWAY: &str = "sms-gateway";
/// What the shop and its partner have agreed on.
const SECRET: &str = "whsec_plJ3nmyCDGBKInavdOK15jslMfKgwO8a";

/// The system with its neighbours.
pub(super) fn beside(system: System, deployment: &Deployment) -> System {
    let memory = deployment.settings.retention.known_for();
    let system = groups().into_iter().fold(system, |system, group| {
        system.group(group.remembers(memory))
    });
    let system = schema::of_neighbours()
        .into_iter()
        .fold(system, System::database);
    let search = |machine, own| {
        consume(
            machine,
            own,
            "search",
            Box::new(Indexing::new(FIRST_GENERATION)),
        )
    };
    let sms = |machine, own| consume(machine, own, "sms", Box::new(Texting::new(sms_gateway())));
    let accepts = |_: &_| Response::new(200, serde_json::Value::Null);
    system
        .third_party(ThirdParty::new(SMS_GATEWAY, accepts))
        .host("search", with(deployment, search))
        .host("sms", with(deployment, sms))
        .host("webhook", with(deployment, tell_partner))
        .host("partner", with(deployment, take_webhooks))
        .instances("search", 1..=2)
        .instances("sms", 1..=2)
        .instances("webhook", 1..=2)
}

/// Every consumer group of them.
fn groups() -> [Group; 3] {
    [
        group(&Indexing::new(FIRST_GENERATION)),
        group(&Texting::new(sms_gateway())),
        group(&Noting),
    ]
}

fn sms_gateway() -> Arc<dyn SmsGateway> {
    Arc::new(HttpSmsGateway::new(&format!("http://{SMS_GATEWAY}")))
}

/// Consumes with `handler` on the database of this name.
async fn consume(
    machine: Machine,
    own: Deployment,
    database: &'static str,
    handler: Box<dyn reference_system::consumer::Handler>,
) -> Result<(), StartError> {
    let (environment, spans) = own.environment(&machine, database).await?;
    let broker = environment.broker.clone();
    let handler = own.events.handled(handler);
    own.processes.consume(environment, handler).await;
    broker.close().await;
    spans.finish().await;
    Ok(())
}

/// Notes events, and sends what is noted.
async fn tell_partner(machine: Machine, own: Deployment) -> Result<(), StartError> {
    let spans = own.spans(&machine)?;
    let dispatcher = Dispatcher {
        database: Database::connect(machine.url("webhook")).await?,
        url: format!("http://partner:{HTTP_PORT}/webhooks"),
        secret: secret(),
        telemetry: spans.telemetry.clone(),
        shutdown: Shutdown::when(machine.terminated()),
        settings: dispatch::Settings {
            // The usual times are made for partners who are away for hours.
            claim: Duration::from_secs(6),
            backoff: Backoff {
                initial: Duration::from_millis(200),
                cap: Duration::from_secs(2),
            },
            ..dispatch::Settings::default()
        },
    };
    let noting = consume(machine, own, "webhook", Box::new(Noting));
    let (noted, ()) = tokio::join!(noting, dispatcher.run());
    spans.finish().await;
    noted
}

/// The partner's side.
async fn take_webhooks(machine: Machine, _: Deployment) -> Result<(), StartError> {
    let database = Database::connect(machine.url("partner")).await?;
    let shutdown = Shutdown::when(machine.terminated());
    Ok(receiver::serve(listen().await?, database, secret(), shutdown).await?)
}

fn secret() -> Secret {
    Secret::parse(SECRET).expect("it is one")
}
