//! The commands for operators: clients of the operations of a shop that runs somewhere.
//!
//! They say what is answered, as JSON on stdout, and decide nothing.

use std::io::Write;

use clap::{Args, Subcommand};
use reference_system::dead_letter::parked::Filter;
use reqwest::{Client, RequestBuilder, Url};
use serde_json::{Value, json};

use super::TOKEN;

/// What is asked of the shop.
#[derive(Subcommand)]
pub(super) enum Command {
    /// What is parked; whatever is told counts as seen from then on
    List(List),
    /// What is parked, counted by consumer, error and event type
    Groups(Groups),
    /// One parked message, whole
    Show(Show),
    /// Publish parked events again, each behind what is parked ahead of it
    Replay(Act),
    /// Give seen events up: they never take effect
    Discard(Act),
    /// Who replayed or discarded what, and why
    Actions(Shop),
}

/// Which shop.
#[derive(Args)]
pub(super) struct Shop {
    /// Where its operations listen
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8081", value_parser = super::serve::http)]
    url: String,

    /// The operators' token [default: the environment variable OPERATIONS_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
}

/// Which of the parked events.
#[derive(Args)]
struct Only {
    /// The event with this id
    #[arg(long, value_name = "ID")]
    event: Option<String>,

    /// Those whose error contains this text
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,

    /// Those of this type, such as order.placed
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,

    /// Those that were parked at least so long ago
    #[arg(long, value_name = "SECONDS")]
    older_than: Option<u64>,
}

impl Only {
    fn filter(self) -> Filter {
        Filter {
            event_id: self.event,
            error: self.error,
            event_type: self.event_type,
            older_than_seconds: self.older_than,
        }
    }
}

#[derive(Args)]
pub(super) struct List {
    #[command(flatten)]
    shop: Shop,
    #[command(flatten)]
    only: Only,

    /// Of this consumer
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,

    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: u32,
}

#[derive(Args)]
pub(super) struct Groups {
    #[command(flatten)]
    shop: Shop,
    #[command(flatten)]
    only: Only,

    /// Of this consumer
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
}

#[derive(Args)]
pub(super) struct Show {
    #[command(flatten)]
    shop: Shop,

    /// The consumer that has parked it
    consumer: String,

    /// The event's id
    event: String,
}

#[derive(Args)]
pub(super) struct Act {
    #[command(flatten)]
    shop: Shop,
    #[command(flatten)]
    only: Only,

    /// The consumer that has parked them
    consumer: String,

    /// Who does it
    #[arg(long, value_name = "NAME")]
    who: String,

    /// Why
    #[arg(long, value_name = "REASON")]
    why: String,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub(super) enum DlqError {
    #[error("cannot start: {0}")]
    Start(std::io::Error),
    #[error("no token: use --token or the environment variable {TOKEN}")]
    NoToken,
    #[error("no address: {0}")]
    Address(String),
    #[error("no answer: {0}")]
    Http(#[from] reqwest::Error),
    #[error("refused: {0}")]
    Refused(String),
    #[error("cannot write: {0}")]
    Write(std::io::Error),
}

/// Asks the shop and writes its answer.
pub(super) fn dlq(command: Command) -> Result<(), DlqError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(DlqError::Start)?;
    let answer = runtime.block_on(ask(command))?;
    writeln!(std::io::stdout(), "{answer:#}").map_err(DlqError::Write)
}

async fn ask(command: Command) -> Result<Value, DlqError> {
    let http = Client::new();
    let (shop, request) = match command {
        Command::List(List {
            shop,
            only,
            consumer,
            limit,
        }) => {
            let query = [("limit", json!(limit)), ("consumer", json!(consumer))];
            let request = http.get(shop.asking("/parked", only.filter(), query)?);
            (shop, request)
        }
        Command::Groups(Groups {
            shop,
            only,
            consumer,
        }) => {
            let query = [("group_by", json!("error")), ("consumer", json!(consumer))];
            let request = http.get(shop.asking("/parked", only.filter(), query)?);
            (shop, request)
        }
        Command::Show(Show {
            shop,
            consumer,
            event,
        }) => {
            let request = http.get(shop.at(&format!("/parked/{consumer}/{event}")));
            (shop, request)
        }
        Command::Replay(act) => act.order(&http, "replay"),
        Command::Discard(act) => act.order(&http, "discard"),
        Command::Actions(shop) => {
            let request = http.get(shop.at("/actions"));
            (shop, request)
        }
    };
    answer(request.bearer_auth(shop.token()?)).await
}

/// A filter and more as the pairs of a query, without what is not said.
fn told<const N: usize>(filter: Filter, more: [(&str, Value); N]) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, Value)> = match json!(filter) {
        Value::Object(pairs) => pairs.into_iter().collect(),
        _ => Vec::new(),
    };
    pairs.extend(more.map(|(name, value)| (name.to_owned(), value)));
    pairs
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| match value {
            Value::String(text) => (name, text),
            other => (name, other.to_string()),
        })
        .collect()
}

async fn answer(request: RequestBuilder) -> Result<Value, DlqError> {
    let response = request.send().await?;
    let status = response.status();
    let body: Value = response.json().await?;
    match body["error"].as_str() {
        Some(problem) if !status.is_success() => Err(DlqError::Refused(problem.to_owned())),
        _ => Ok(body),
    }
}

impl Shop {
    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url.trim_end_matches('/'))
    }

    /// The address of a path with a query, from which is left out what is not said.
    fn asking<const N: usize>(
        &self,
        path: &str,
        filter: Filter,
        more: [(&str, Value); N],
    ) -> Result<Url, DlqError> {
        let url = Url::parse_with_params(&self.at(path), told(filter, more));
        url.map_err(|error| DlqError::Address(error.to_string()))
    }

    fn token(&self) -> Result<String, DlqError> {
        let given = self.token.clone().or_else(|| std::env::var(TOKEN).ok());
        given
            .filter(|token| !token.is_empty())
            .ok_or(DlqError::NoToken)
    }
}

impl Act {
    fn order(self, http: &Client, deed: &str) -> (Shop, RequestBuilder) {
        let path = format!("/parked/{}/{deed}", self.consumer);
        let order = json!({ "who": self.who, "why": self.why, "only": self.only.filter() });
        let request = http.post(self.shop.at(&path)).json(&order);
        (self.shop, request)
    }
}
