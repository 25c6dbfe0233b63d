//! The calls in turn: every service that has to do with an event is called, one after the other, and so are those that have
//! to do with what they answer.
//!
//! The first call that fails is the last one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::AnyConnection;

use crate::consumer::Handler;
use crate::event::Event;
use crate::publishing::PublishPattern;
use crate::telemetry::http;

use super::{Answer, PATH};

/// How long a service may take to answer. It calls others itself, such as a card processor, and waits for them.
const PATIENCE: Duration = Duration::from_secs(3);

/// A service that can be called.
#[derive(Clone, Debug)]
pub struct Service {
    name: &'static str,
    url: String,
    /// The types of events it has to do with.
    handles: &'static [&'static str],
    client: reqwest::Client,
}

/// Why a service has not done its part. It may have, where the answer was lost.
#[derive(Debug, thiserror::Error)]
#[error("{service} has not answered: {why}")]
pub struct ServiceError {
    /// The service.
    pub service: &'static str,
    /// What was met instead of an answer.
    pub why: String,
}

impl Service {
    /// The service with this handler, at `url`, such as `http://payment.example`.
    #[must_use]
    pub fn new(handler: &dyn Handler, url: &str) -> Self {
        Self {
            name: handler.consumer(),
            url: format!("{}{PATH}", url.trim_end_matches('/')),
            handles: handler.handles(),
            client: reqwest::Client::new(),
        }
    }

    /// Has the event applied, and gives what the service would have announced.
    async fn call(&self, event: &Event) -> Result<Option<Event>, ServiceError> {
        let failed = |error: reqwest::Error| ServiceError {
            service: self.name,
            why: error.without_url().to_string(),
        };
        let request = self.client.post(&self.url).json(event).timeout(PATIENCE);
        let response = http::send(self.name, request).await.map_err(failed)?;
        let answer = response.error_for_status().map_err(failed)?;
        let Answer { announced } = answer.json().await.map_err(failed)?;
        Ok(announced)
    }
}

/// The calls that one request makes, instead of publishing.
pub(super) struct InTurn {
    services: Arc<[Service]>,
    failure: Mutex<Option<ServiceError>>,
}

impl InTurn {
    pub(super) fn new(services: Arc<[Service]>) -> Self {
        Self {
            services,
            failure: Mutex::default(),
        }
    }

    /// What kept the calls from their end.
    pub(super) fn failure(&self) -> Option<ServiceError> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take()
    }

    async fn call_all(&self, events: &[Event]) -> Result<(), ServiceError> {
        let mut due: VecDeque<Event> = events.iter().cloned().collect();
        while let Some(event) = due.pop_front() {
            for service in self.services.iter() {
                if service.handles.contains(&&*event.event_type) {
                    due.extend(service.call(&event).await?);
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl PublishPattern for InTurn {
    async fn record(&self, _tx: &mut AnyConnection, _events: &[Event]) -> sqlx::Result<()> {
        Ok(())
    }

    async fn after_commit(&self, events: &[Event]) {
        if let Err(error) = self.call_all(events).await {
            tracing::error!(%error, "the request fails, and what is done stays done");
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }
}

/// What a called service publishes: nothing, because its answer says it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByAnswer;

#[async_trait]
impl PublishPattern for ByAnswer {
    async fn record(&self, _tx: &mut AnyConnection, _events: &[Event]) -> sqlx::Result<()> {
        Ok(())
    }

    async fn after_commit(&self, _events: &[Event]) {}
}
