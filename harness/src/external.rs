//! Third parties: what the system calls outside of itself, such as a card processor.
//!
//! A third party keeps a ledger of its own, by idempotency key. What it booked is in the history
//! whether or not the caller heard of it, so a double charge is visible where it hurts: at the
//! customer's bank, not in the system's own tables.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::history::{ExternalOutcome, What};
use crate::plan::ExternalFault;
use crate::simulation::world::{Gate, lock};

/// How long a third party takes to answer, in virtual time.
const LATENCY: Duration = Duration::from_millis(20);
/// How long a caller waits for an answer that does not come.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What all third parties of a run have booked.
#[derive(Default)]
pub(crate) struct Ledgers {
    answers: BTreeMap<(String, String), Answer>,
    outages: BTreeMap<String, usize>,
}

/// The first answer under an idempotency key.
struct Answer {
    given_at: Duration,
    answer: Result<Value, String>,
}

impl Ledgers {
    /// The third parties that were called so far.
    pub(crate) fn providers(&self) -> Vec<String> {
        let mut providers: Vec<String> = self
            .answers
            .keys()
            .map(|(provider, _)| provider.clone())
            .collect();
        providers.dedup();
        providers
    }

    /// The fault because of which a third party cannot be reached.
    pub(crate) fn outage_of(&self, provider: &str) -> Option<usize> {
        self.outages.get(provider).copied()
    }

    /// Replaces the set of third parties that cannot be reached, each with the fault that did it.
    pub(crate) fn set_outages(&mut self, outages: BTreeMap<String, usize>) {
        self.outages = outages;
    }
}

/// A third party, as one host calls it.
#[derive(Clone)]
pub struct External {
    gate: Gate,
    provider: Arc<str>,
    refusal: Option<Arc<str>>,
    memory: Option<Duration>,
}

/// Why a call to a third party gave no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExternalError {
    /// It refused for a reason of the business; nothing was booked, and asking again is no use.
    #[error("refused: {0}")]
    Refused(String),
    /// It could not be reached; nothing was booked.
    #[error("not reachable")]
    Unavailable,
    /// No answer came; it may or may not have booked the call.
    #[error("no answer in time")]
    TimedOut,
}

impl External {
    pub(crate) fn new(gate: Gate, provider: &str) -> Self {
        External {
            gate,
            provider: provider.into(),
            refusal: None,
            memory: None,
        }
    }

    /// The third party may refuse what its business logic would book, for this reason: a card that
    /// the bank declines today, say. A fault of the plan decides when, and the key stays refused.
    #[must_use]
    pub fn may_refuse(mut self, reason: &str) -> Self {
        self.refusal = Some(reason.into());
        self
    }

    /// The third party knows an idempotency key for so long, in virtual time, and takes it for a new one
    /// after that; for ever unless this is said. Card processors keep keys for a day or more.
    #[must_use]
    pub fn remembers(mut self, keys_for: Duration) -> Self {
        self.memory = Some(keys_for);
        self
    }

    /// Calls the third party. `decide` is its own business logic: it sees the request and either
    /// books it with an answer or refuses it with a reason. It runs once per idempotency key; a
    /// repeated key gets the first answer again, as card processors do, as long as it is
    /// [remembered](External::remembers).
    ///
    /// # Errors
    ///
    /// See [`ExternalError`].
    pub async fn call(
        &self,
        idempotency_key: &str,
        request: Value,
        decide: impl FnOnce(&Value) -> Result<Value, String>,
    ) -> Result<Value, ExternalError> {
        let injection = self.gate.enter().await;
        tokio::time::sleep(LATENCY).await;
        self.gate.open().await;
        let outage = self.gate.world().outage_of(&self.provider);
        if let Some(fault) = outage {
            self.gate
                .bit(fault, format!("{} not reachable", self.provider));
            self.record(
                idempotency_key,
                request,
                ExternalOutcome::Unavailable,
                Heard::Yes,
            );
            self.gate.leave(&injection).await;
            return Err(ExternalError::Unavailable);
        }
        let strike = injection.strikes().next();
        let refusal = match strike {
            Some((_, ExternalFault::RefusedUnheard)) => self.refusal.as_deref(),
            _ => None,
        };
        let decide = |request: &Value| match refusal {
            Some(reason) => Err(reason.to_owned()),
            None => decide(request),
        };
        let (outcome, answer) = self.book(idempotency_key, &request, decide);
        let held_up = strike.and_then(|(fault, strike)| {
            let wait = match strike {
                ExternalFault::AnswerLost => TIMEOUT,
                ExternalFault::AnswerLate { delay_ms } => Duration::from_millis(*delay_ms),
                // A key that was booked before is not refused now.
                ExternalFault::RefusedUnheard if outcome != ExternalOutcome::Refused => {
                    return None;
                }
                ExternalFault::RefusedUnheard => refusal.map(|_| TIMEOUT)?,
            };
            Some((fault, strike.to_string(), wait.min(TIMEOUT)))
        });
        let heard = match &held_up {
            Some((_, _, wait)) if *wait == TIMEOUT => Heard::No,
            _ => Heard::Yes,
        };
        self.record(idempotency_key, request, outcome, heard);
        self.gate.leave(&injection).await;
        if let Some((fault, text, wait)) = held_up {
            self.gate.bit(fault, format!("{text} ({})", self.provider));
            tokio::time::sleep(wait).await;
            self.gate.open().await;
            if heard == Heard::No {
                return Err(ExternalError::TimedOut);
            }
        }
        answer.map_err(ExternalError::Refused)
    }

    fn book(
        &self,
        key: &str,
        request: &Value,
        decide: impl FnOnce(&Value) -> Result<Value, String>,
    ) -> (ExternalOutcome, Result<Value, String>) {
        let now = self.gate.world().now();
        let mut ledgers = lock(&self.gate.world().ledgers);
        let entry = (self.provider.to_string(), key.to_owned());
        let is_known = |known: &&Answer| {
            let age = now.saturating_sub(known.given_at);
            self.memory.is_none_or(|memory| age < memory)
        };
        if let Some(known) = ledgers.answers.get(&entry).filter(is_known) {
            return (ExternalOutcome::Repeated, known.answer.clone());
        }
        let answer = decide(request);
        let first = Answer {
            given_at: now,
            answer: answer.clone(),
        };
        ledgers.answers.insert(entry, first);
        let outcome = match answer {
            Ok(_) => ExternalOutcome::Booked,
            Err(_) => ExternalOutcome::Refused,
        };
        (outcome, answer)
    }

    fn record(&self, key: &str, request: Value, outcome: ExternalOutcome, heard: Heard) {
        self.gate.record(What::ExternalCalled {
            provider: self.provider.clone(),
            idempotency_key: key.to_owned(),
            request,
            outcome,
            answered: heard == Heard::Yes,
        });
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Yes,
    No,
}
