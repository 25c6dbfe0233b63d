//! What `serve` is asked for.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;

use super::Neighbours;
use super::ServeError;
use super::publish::{Publish, Saga};

/// Where the shop keeps what it knows, whom it calls and where it listens.
#[derive(Args)]
#[command(after_help = BROKER)]
pub(crate) struct Arguments {
    /// The folder of the SQLite files; it is created, and one process at a time uses it
    #[arg(long, value_name = "DIR", default_value = "shop-data")]
    pub(super) data: PathBuf,

    /// A PostgreSQL database instead of files, such as postgres://user@127.0.0.1/shop; each service gets a schema in it
    #[arg(long, value_name = "URL", value_parser = postgres, conflicts_with = "data")]
    pub(super) database: Option<String>,

    /// How events get from one service to the others
    #[arg(long, value_name = "PATTERN", value_enum, default_value_t)]
    pub(super) publish: Publish,

    /// How many events a second the relay of the outbox publishes from each service at most [default: as many as it can]
    #[arg(long, value_name = "COUNT")]
    pub(super) relay_rate: Option<NonZeroU32>,

    /// Who sees to it that an order whose step is not answered in time is undone
    #[arg(long, value_name = "WAY", value_enum)]
    pub(super) saga: Option<Saga>,

    /// A NATS server with JetStream as the broker, such as nats://127.0.0.1:4222, instead of one inside the process
    #[arg(long, value_name = "URL")]
    pub(super) nats: Option<String>,

    /// Where customers place orders
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(super) listen: SocketAddr,

    /// Where operators look at what is parked and settle it
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    pub(super) operations: SocketAddr,

    /// What operators have to show; others can read it among the processes of the machine, so rather set
    /// the environment variable OPERATIONS_TOKEN. Without either, operations are closed
    #[arg(long, value_name = "TOKEN")]
    pub(super) token: Option<String>,
    /// Where the schema registry answers; the shop's contracts are registered there before anything is published
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8082")]
    pub(super) registry: SocketAddr,

    /// The card processor [default: one in this process that declines cards that begin with `declined`]
    #[arg(long, value_name = "URL", value_parser = http)]
    pub(super) cards: Option<String>,

    /// The mail service [default: one in this process that writes mails to the log]
    #[arg(long, value_name = "URL", value_parser = http)]
    pub(super) mail: Option<String>,

    /// Who is told that too much is parked: a webhook that takes what Alertmanager sends [default: the log]
    #[arg(long, value_name = "URL", value_parser = http)]
    pub(super) pager: Option<String>,

    /// A collector that takes traces by OTLP over HTTP, such as http://127.0.0.1:4318 [default: none]
    #[arg(long, value_name = "URL", value_parser = http)]
    pub(super) otlp: Option<String>,

    /// How many events a consumer may have parked before somebody is told
    #[arg(long, value_name = "COUNT", default_value_t = 500, value_parser = clap::value_parser!(i64).range(1..))]
    pub(super) parked_max: i64,

    /// The same for those parked within the last hour
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..))]
    pub(super) parked_hourly_max: i64,

    /// An article and how many pieces of it are put into stock where it is new; can be repeated
    #[arg(
        long, value_name = "SKU=QUANTITY", value_parser = article,
        default_values = ["tea=40", "cup=12", "kettle=5", "samovar=2"]
    )]
    pub(super) stock: Vec<Article>,

    #[command(flatten)]
    pub(super) neighbours: Neighbours,
}

impl Arguments {
    /// Who has a database beside the services that an order cannot do without.
    pub(super) fn beside(&self) -> Vec<&'static str> {
        let mut names = self.neighbours.names();
        names.extend((self.saga == Some(Saga::Orchestrated)).then_some("saga"));
        names
    }

    /// Whether what is to run can run together.
    pub(super) fn check(&self) -> Result<(), ServeError> {
        self.neighbours.partner()?;
        if self.relay_rate.is_some() && self.publish != Publish::Outbox {
            return Err(ServeError::WithoutRelay);
        }
        let needs_broker = !self.beside().is_empty() || self.saga.is_some();
        let is_without = [Publish::Sync, Publish::InProcess].contains(&self.publish);
        match needs_broker && is_without {
            true => Err(ServeError::WithoutBroker),
            false => Ok(()),
        }
    }
}

const BROKER: &str = "\
Without --nats events go through a broker inside the process. What it holds is gone with the process:
an order whose event was under way when it ended stays where it was. Where orders matter, use --nats.

SIGINT and SIGTERM stop the shop once what it has in hand is finished, a second one at once.
Exit codes: 0 stopped when asked to, 1 failed, 2 usage.";

/// An article and a number of pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Article {
    pub(super) sku: String,
    pub(super) quantity: u32,
}

fn article(text: &str) -> Result<Article, String> {
    let wanted = "an article looks like tea=40";
    let (sku, quantity) = text.rsplit_once('=').ok_or(wanted)?;
    if sku.trim().is_empty() {
        return Err(wanted.to_owned());
    }
    Ok(Article {
        sku: sku.to_owned(),
        quantity: quantity.parse().map_err(|_| wanted)?,
    })
}

pub(crate) fn http(text: &str) -> Result<String, String> {
    let url: reqwest::Url = text.parse().map_err(|error| format!("{error}"))?;
    match url.scheme() {
        "http" => Ok(text.to_owned()),
        other => Err(format!("only http:// can be called, not {other}://")),
    }
}

fn postgres(text: &str) -> Result<String, String> {
    match text.split_once("://") {
        Some(("postgres" | "postgresql", _)) => Ok(text.to_owned()),
        _ => Err("the address of a PostgreSQL database begins with postgres://".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_said() {
        let tea = Article {
            sku: "tea=green".to_owned(),
            quantity: 40,
        };
        assert_eq!(article("tea=green=40"), Ok(tea));
        for wrong in ["tea", "=4", "tea=", "tea=-1", "tea=4.5", "tea=4294967296"] {
            assert!(article(wrong).is_err(), "{wrong}");
        }
        assert!(http("http://cards.example").is_ok());
        assert!(http("https://cards.example").is_err());
        assert!(http("cards.example").is_err());
        assert!(postgres("postgres://shop@localhost/shop").is_ok());
        assert!(postgres("mysql://localhost").is_err());
    }
}
