//! The neighbours that are asked for: search, text messages, webhooks and analytics. Each is a consumer of events that are published anyway, with a
//! database and, where somebody asks it for something, a listener of its own.
//!
//! None of them runs unless it is asked for, and no other service knows whether it does.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use reference_system::consumer::{self, Handler};
use reference_system::ports::sms_gateway::{HttpSmsGateway, SmsGateway};
use reference_system::search::{self, FIRST_GENERATION, Indexing};
use reference_system::sms::{self, Texting};
use reference_system::webhook::Noting;
use reference_system::webhook::dispatch::{self, Dispatcher};
use reference_system::webhook::signature::Secret;
use reference_system::{Environment, analytics, analytics::Counting};
use tokio::net::TcpListener;

use super::arguments::http;
use super::{ServeError, Service, listen};

/// Which of them run.
#[derive(Args, Clone)]
#[command(next_help_heading = "Neighbours, none of which runs unless it is asked for")]
pub(crate) struct Neighbours {
    /// Where the search service answers, at /orders?customer=&state=&text=
    #[arg(long, value_name = "ADDRESS")]
    pub(super) search: Option<SocketAddr>,

    /// The gateway that sends text messages when an order is confirmed
    #[arg(long, value_name = "URL", value_parser = http, requires = "phones")]
    pub(super) sms: Option<String>,

    /// Where customers leave their numbers for text messages, by PUT /phones/{customer}
    #[arg(long, value_name = "ADDRESS", requires = "sms")]
    pub(super) phones: Option<SocketAddr>,

    /// A partner's receiver of webhooks, who is told what becomes of orders
    #[arg(long, value_name = "URL", value_parser = http)]
    pub(super) webhook: Option<String>,

    /// What webhooks are signed with: whsec_ and at least 24 bytes as base64. Others can read it among the processes of the machine, so
    /// rather set the environment variable WEBHOOK_SECRET
    #[arg(long, value_name = "SECRET", value_parser = Secret::parse)]
    pub(super) webhook_secret: Option<Secret>,

    /// Where analytics answers what was sold, at /sales; the gateway then tells it of every order
    #[arg(long, value_name = "ADDRESS")]
    pub(super) analytics: Option<SocketAddr>,
}

/// The environment variable with what webhooks are signed with.
const WEBHOOK_SECRET: &str = "WEBHOOK_SECRET";

impl Neighbours {
    /// The consumers that run, which are also the names of their databases.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let all = [
            (self.search.is_some(), "search"),
            (self.sms.is_some(), "sms"),
            (self.webhook.is_some(), "webhook"),
            (self.analytics.is_some(), "analytics"),
        ];
        let asked_for = all.into_iter().filter(|(is_asked_for, _)| *is_asked_for);
        asked_for.map(|(_, name)| name).collect()
    }

    /// Where the partner is and what is signed with, if somebody is to be told.
    pub(super) fn partner(&self) -> Result<Option<(String, Secret)>, ServeError> {
        let Some(url) = self.webhook.clone() else {
            return Ok(None);
        };
        let from_environment = || Secret::parse(&std::env::var(WEBHOOK_SECRET).ok()?).ok();
        let secret = self.webhook_secret.clone().or_else(from_environment);
        let secret = secret.ok_or(ServeError::NoSecret)?;
        Ok(Some((url, secret)))
    }
}

/// The listeners of those that run, by their names.
pub(super) struct Listeners {
    pub(super) all: Vec<(&'static str, TcpListener)>,
}

impl Listeners {
    /// Takes their ports.
    pub(super) async fn open(arguments: &Neighbours) -> Result<Self, ServeError> {
        let addresses = [
            ("search", arguments.search),
            ("phones", arguments.phones),
            ("analytics", arguments.analytics),
        ];
        let mut all = Vec::new();
        for (name, address) in addresses {
            if let Some(address) = address {
                all.push((name, listen(address).await?));
            }
        }
        Ok(Self { all })
    }

    /// Where they listen, in words.
    pub(super) fn told(&self) -> Result<String, ServeError> {
        let mut told = String::new();
        for (name, listener) in &self.all {
            let address = listener.local_addr().map_err(ServeError::Start)?;
            told += &format!(", {name} on http://{address}");
        }
        Ok(told)
    }
}

/// What runs of them; `with` gives the environment of a service.
///
/// # Errors
/// When webhooks are asked for without what they are signed with.
pub(super) fn start(
    arguments: Neighbours,
    listeners: Listeners,
    with: impl Fn(&'static str) -> Environment,
) -> Result<Vec<(&'static str, Service)>, ServeError> {
    let mut services: Vec<(&'static str, Service)> = Vec::new();
    for (name, listener) in listeners.all {
        services.push((name, serve(name, listener, &with)));
    }
    for handler in handlers(&arguments) {
        let name = handler.consumer();
        services.push((name, Box::pin(consumer::run(with(name), handler))));
    }
    if let Some((url, secret)) = arguments.partner()? {
        let Environment {
            database,
            telemetry,
            shutdown,
            ..
        } = with("webhook");
        let dispatcher = Dispatcher {
            database,
            url,
            secret,
            telemetry,
            shutdown,
            settings: dispatch::Settings::default(),
        };
        services.push(("webhook dispatcher", Box::pin(dispatcher.run())));
    }
    Ok(services)
}

/// The consumers.
fn handlers(arguments: &Neighbours) -> Vec<Box<dyn Handler>> {
    let mut handlers: Vec<Box<dyn Handler>> = Vec::new();
    if arguments.search.is_some() {
        handlers.push(Box::new(Indexing::new(FIRST_GENERATION)));
    }
    if let Some(url) = &arguments.sms {
        let gateway: Arc<dyn SmsGateway> = Arc::new(HttpSmsGateway::new(url));
        handlers.push(Box::new(Texting::new(gateway)));
    }
    if arguments.webhook.is_some() {
        handlers.push(Box::new(Noting));
    }
    if arguments.analytics.is_some() {
        handlers.push(Box::new(Counting));
    }
    handlers
}

/// Whatever answers at one of the listeners.
fn serve(
    name: &'static str,
    listener: TcpListener,
    with: &impl Fn(&'static str) -> Environment,
) -> Service {
    let of = |service| {
        let Environment {
            database, shutdown, ..
        } = with(service);
        (database, shutdown)
    };
    let (search, phones, analytics) = (of("search"), of("sms"), of("analytics"));
    Box::pin(async move {
        let served = match name {
            "search" => search::serve(listener, search.0, search.1).await,
            "phones" => sms::serve(listener, phones.0, phones.1).await,
            _ => analytics::serve(listener, analytics.0, analytics.1).await,
        };
        if let Err(error) = served {
            tracing::error!(%error, name, "cannot be asked any more");
        }
    })
}
