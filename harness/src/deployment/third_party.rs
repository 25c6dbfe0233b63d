//! The host of a third party: HTTP, a ledger, and the faults that hit its answers.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use stormglass_machine as os;
use tokio::net::TcpListener;

use super::server::{self, Server};
use crate::history::{ExternalOutcome, What};
use crate::plan::ExternalFault;
use crate::third_party::{Request, Response, ThirdParty};
use crate::world::Injection;
use crate::world::{Gate, lock, now};

/// How long it takes to answer, in virtual time.
const LATENCY: Duration = Duration::from_millis(20);
/// After how long an answer that is lost is given up, with the connection; clients have given up before.
const SILENCE: Duration = Duration::from_secs(120);

/// The host of a third party.
pub(super) struct ThirdPartyHost {
    business: Arc<ThirdParty>,
    ledger: Arc<Mutex<Ledger>>,
}

/// The first answer under each key, and when it was given.
type Ledger = BTreeMap<String, (Duration, Response)>;

impl ThirdPartyHost {
    pub(super) fn new(business: &ThirdParty) -> Self {
        ThirdPartyHost {
            business: Arc::new(business.clone()),
            ledger: Arc::default(),
        }
    }
}

impl Server for ThirdPartyHost {
    fn name(&self) -> &Arc<str> {
        &self.business.name
    }

    fn start(&self, machines: &os::Machine<'_>, gate: Gate) {
        let desk = Desk {
            business: self.business.clone(),
            ledger: self.ledger.clone(),
            gate,
        };
        machines.start_service(&self.business.name, &[], || desk.serve());
    }
}

/// Who answers calls.
#[derive(Clone)]
struct Desk {
    business: Arc<ThirdParty>,
    ledger: Arc<Mutex<Ledger>>,
    gate: Gate,
}

/// What becomes of an answer.
enum Answered {
    /// It is given at once.
    Now(Response),
    /// It comes so much later, because of a fault.
    Late(Response, Duration),
    /// It never comes.
    Never,
}

impl Desk {
    async fn serve(self) {
        let listener = match TcpListener::bind(("0.0.0.0", 80)).await {
            Ok(listener) => listener,
            Err(error) => return self.gate.ended(Some(error.to_string())),
        };
        loop {
            let Ok((stream, peer)) = listener.accept().await else {
                continue;
            };
            let desk = self.clone();
            let answer = service_fn(move |request| desk.clone().answer(peer, request));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer);
            tokio::task::spawn_local(connection);
        }
    }

    async fn answer(
        self,
        peer: SocketAddr,
        request: hyper::Request<Incoming>,
    ) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
        let answer = match read(request).await {
            Some(request) => {
                tokio::time::sleep(LATENCY).await;
                self.decide(peer, &request)
            }
            None => Answered::Now(Response::new(400, Value::Null)),
        };
        let answer = match answer {
            Answered::Now(answer) => answer,
            Answered::Late(answer, later) => {
                tokio::time::sleep(later).await;
                answer
            }
            Answered::Never => {
                tokio::time::sleep(SILENCE).await;
                Response::new(504, Value::Null)
            }
        };
        let body = Full::new(Bytes::from(answer.body.to_string()));
        let mut response = hyper::Response::new(body);
        let json = hyper::header::HeaderValue::from_static("application/json");
        response.headers_mut().insert("content-type", json);
        if let Ok(status) = answer.status.try_into() {
            *response.status_mut() = status;
        }
        Ok(response)
    }

    /// What it makes of a call.
    fn decide(&self, peer: SocketAddr, request: &Request) -> Answered {
        let Some(caller) = server::caller(self.gate.world(), peer) else {
            return Answered::Now((self.business.decide)(request));
        };
        let key = request.headers.get(&self.business.key_header);
        let provider = &self.business.name;
        // A call that was on its way when its caller died arrives all the same.
        let injection = match caller.is_dead() {
            true => Injection::default(),
            false => {
                let injection = caller.strike::<ExternalFault>();
                if caller.is_dead() {
                    return Answered::Never;
                }
                injection
            }
        };
        let tell = |outcome, answered| {
            let what = What::ExternalCalled {
                provider: provider.clone(),
                idempotency_key: key.cloned().unwrap_or_default(),
                request: request.body.clone(),
                outcome,
                answered,
            };
            // It is booked, whatever became of its caller.
            self.gate.world().recorder.record(caller.host(), what);
        };
        if let Some(fault) = self.gate.world().conditions.outage_of(provider) {
            caller.bit(fault, format!("{provider} not reachable"));
            tell(ExternalOutcome::Unavailable, true);
            caller.struck(&injection);
            return Answered::Now(Response::new(503, Value::Null));
        }
        let strike = injection.strikes().next();
        let refusal = match strike {
            Some((_, ExternalFault::RefusedUnheard)) => {
                let refusal = self.business.refusal.as_ref();
                refusal.and_then(|own| own.of(request))
            }
            _ => None,
        };
        let (outcome, answer) = self.book(key, request, refusal);
        let answered = match strike {
            Some((_, ExternalFault::AnswerLost)) => Answered::Never,
            Some((_, ExternalFault::AnswerLate { delay_ms })) => {
                Answered::Late(answer, Duration::from_millis(*delay_ms))
            }
            // A key that was booked before is not refused now.
            Some((_, ExternalFault::RefusedUnheard))
                if refusal.is_some() && outcome == ExternalOutcome::Refused =>
            {
                Answered::Never
            }
            Some((_, ExternalFault::RefusedUnheard)) | None => Answered::Now(answer),
        };
        tell(outcome, !matches!(answered, Answered::Never));
        caller.struck(&injection);
        if let Some((fault, strike)) = strike
            && !matches!(answered, Answered::Now(_))
        {
            caller.bit(fault, format!("{strike} ({provider})"));
        }
        answered
    }

    fn book(
        &self,
        key: Option<&String>,
        request: &Request,
        refusal: Option<&Response>,
    ) -> (ExternalOutcome, Response) {
        let now = now();
        let mut ledger = lock(&self.ledger);
        let known = key.and_then(|key| ledger.get(key));
        if let Some((given_at, answer)) = known {
            let age = now.saturating_sub(*given_at);
            if self.business.memory.is_none_or(|memory| age < memory) {
                return (ExternalOutcome::Repeated, answer.clone());
            }
        }
        let answer = match refusal {
            Some(refusal) => refusal.clone(),
            None => (self.business.decide)(request),
        };
        if let Some(key) = key {
            ledger.insert(key.clone(), (now, answer.clone()));
        }
        let outcome = match answer.is_booked() {
            true => ExternalOutcome::Booked,
            false => ExternalOutcome::Refused,
        };
        (outcome, answer)
    }
}

async fn read(request: hyper::Request<Incoming>) -> Option<Request> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers = parts.headers.iter();
    let headers = headers.map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes())));
    Some(Request {
        method: parts.method.to_string(),
        path: parts.uri.to_string(),
        headers: headers.collect(),
        body: serde_json::from_slice(&body).unwrap_or_else(|_| Value::from(text(&body))),
    })
}
