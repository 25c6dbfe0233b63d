//! A client of a schema registry: what producers need of it.
//!
//! It neither waits nor tries again; whoever calls knows how long that makes sense.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why a schema is not registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The registry does not let it in, and never will.
    #[error("refused by the registry: {0}")]
    Refused(String),
    /// The registry cannot be reached, or has trouble of its own.
    #[error("registry unavailable: {0}")]
    Unavailable(String),
}

impl From<reqwest::Error> for RegistryError {
    fn from(error: reqwest::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// The registry at an address.
#[derive(Clone, Debug)]
pub struct RegistryClient {
    client: Client,
    subjects: String,
}

/// The part of an answer that tells the version.
#[derive(Deserialize)]
struct Known {
    version: u32,
}

impl RegistryClient {
    /// The registry at `url`, such as `http://registry.example`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            client: Client::new(),
            subjects: format!("{}/subjects", url.trim_end_matches('/')),
        }
    }

    /// Registers a schema, unless it is there already, and gives its number among the versions of `subject`.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn register(&self, subject: &str, schema: &Value) -> Result<u32, RegistryError> {
        let body = json!({ "schemaType": "JSON", "schema": schema.to_string() });
        let subject = format!("{}/{subject}", self.subjects);
        // Whoever starts again has registered it before.
        let known = match self.ask(&subject, &body).await {
            Err(RegistryError::Refused(_)) => {
                self.ask(&format!("{subject}/versions"), &body).await?;
                self.ask(&subject, &body).await?
            }
            known => known?,
        };
        let known: Known = serde_json::from_value(known)
            .map_err(|error| RegistryError::Unavailable(error.to_string()))?;
        Ok(known.version)
    }

    async fn ask(&self, url: &str, body: &Value) -> Result<Value, RegistryError> {
        let request = self.client.post(url).json(body).timeout(PATIENCE);
        let answer = request.send().await?;
        let status = answer.status();
        let body: Value = answer.json().await?;
        let message = || body["message"].as_str().unwrap_or_default().to_owned();
        match status {
            StatusCode::OK => Ok(body),
            status if status.is_client_error() => Err(RegistryError::Refused(message())),
            _ => Err(RegistryError::Unavailable(message())),
        }
    }
}
