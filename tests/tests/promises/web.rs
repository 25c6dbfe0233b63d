//! HTTP as the services and clients of these tests use it.
//!
//! It knows nothing of the systems that use it.

use std::io;
use std::time::Duration;

use axum::Router;
use serde::Serialize;
use serde_json::Value;
use tokio::net::TcpListener;

/// How long a request waits for its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// An answer.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The body, if it is JSON.
    pub(crate) body: Value,
}

/// Serves `router` on port 80 of the host, for ever.
pub(crate) async fn serve(router: Router) -> io::Result<()> {
    axum::serve(TcpListener::bind("0.0.0.0:80").await?, router).await
}

/// Posts a JSON body.
pub(crate) async fn post(url: &str, body: &impl Serialize) -> Result<Answer, reqwest::Error> {
    send(client()?.post(url).json(body)).await
}

/// Posts a JSON body under an idempotency key.
pub(crate) async fn post_once(
    url: &str,
    key: &str,
    body: &impl Serialize,
) -> Result<Answer, reqwest::Error> {
    send(
        client()?
            .post(url)
            .header("idempotency-key", key)
            .json(body),
    )
    .await
}

fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder().timeout(PATIENCE).build()
}

async fn send(request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    let body = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
    Ok(Answer { status, body })
}
