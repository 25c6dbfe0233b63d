//! A small HTTP client for workloads: one request, one connection, JSON bodies.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::Value;

use super::net::TcpStream;
use super::world::Gate;

/// How long a request waits for its answer, in virtual time.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An HTTP request.
#[derive(Clone, Debug)]
pub struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Value>,
}

impl Request {
    /// A `GET` of a path such as `/orders/17`.
    pub fn get(path: impl Into<String>) -> Self {
        Request {
            method: "GET",
            path: path.into(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// A `POST` of a JSON body.
    ///
    /// # Panics
    ///
    /// If `body` cannot be written as JSON (a map whose keys are not strings).
    pub fn post(path: impl Into<String>, body: &impl Serialize) -> Self {
        let body = serde_json::to_value(body).expect("the body can be written as JSON");
        Request {
            method: "POST",
            path: path.into(),
            headers: Vec::new(),
            body: Some(body),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body, if it is JSON; `null` otherwise.
    pub body: Value,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection, or it broke.
    #[error("no connection: {0}")]
    Connection(#[from] std::io::Error),
    /// The answer was not HTTP, or the request was not.
    #[error("not HTTP: {0}")]
    Protocol(String),
    /// No answer in time; the request may or may not have been carried out.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
}

pub(crate) async fn send(
    gate: Gate,
    address: &str,
    request: Request,
) -> Result<Response, HttpError> {
    tokio::time::timeout(TIMEOUT, exchange(gate, address, request))
        .await
        .map_err(|_| HttpError::TimedOut)?
}

async fn exchange(gate: Gate, address: &str, request: Request) -> Result<Response, HttpError> {
    let protocol = |error: &dyn std::fmt::Display| HttpError::Protocol(error.to_string());
    let stream = TcpStream::connect(gate, address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| protocol(&error))?;
    let carried = tokio::spawn(async move { connection.await.is_ok() });
    let mut builder = hyper::Request::builder()
        .method(request.method)
        .uri(&request.path)
        .header("host", address);
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    let body = request
        .body
        .map_or_else(Bytes::new, |body| body.to_string().into());
    let message = builder
        .header("content-type", "application/json")
        .body(Full::new(body))
        .map_err(|error| protocol(&error))?;
    let answer = sender
        .send_request(message)
        .await
        .map_err(|error| protocol(&error))?;
    let status = answer.status().as_u16();
    let body = answer
        .into_body()
        .collect()
        .await
        .map_err(|error| protocol(&error))?
        .to_bytes();
    drop(sender);
    carried.abort();
    Ok(Response {
        status,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    })
}
