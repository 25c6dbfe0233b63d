//! The spans of requests: one where a request is served, one where another service or a third party is called.
//!
//! Names and attributes are those of <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use opentelemetry::KeyValue;
use opentelemetry::trace::{FutureExt, SpanBuilder, SpanKind, TraceContextExt};
use reqwest::RequestBuilder;

use super::{Context, Telemetry, below, failed, of_task, propagation};

/// The same routes, whose requests are spans if they ask for that with [`served`].
pub(crate) fn traced(routes: Router, telemetry: &Telemetry) -> Router {
    if telemetry.0.is_none() {
        return routes;
    }
    let telemetry = telemetry.clone();
    routes.layer(from_fn(move |request: Request, next: Next| {
        let context = Context::new().with_value(telemetry.clone());
        next.run(request).with_context(context)
    }))
}

/// The context of a request to `route`, such as `POST /orders`, which goes on from its caller's.
pub(crate) fn served(route: &'static str, headers: &HeaderMap, correlation_id: &str) -> Context {
    let (method, path) = route.split_once(' ').unwrap_or(("", route));
    let span = SpanBuilder::from_name(route)
        .with_kind(SpanKind::Server)
        .with_attributes([
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", path),
            KeyValue::new("shop.correlation_id", correlation_id.to_owned()),
        ]);
    of_task(&Context::current()).span(&propagation::read(headers), span)
}

/// Has the span of a request tell how it was answered.
pub(crate) fn answered(context: &Context, status: StatusCode) {
    let code = KeyValue::new("http.response.status_code", i64::from(status.as_u16()));
    context.span().set_attribute(code);
    if status.is_server_error() {
        failed(context, &status);
    }
}

/// Sends a request to `peer` within a span below the current one.
///
/// # Errors
/// Those of the request.
pub(crate) async fn send(
    peer: &'static str,
    request: RequestBuilder,
) -> reqwest::Result<reqwest::Response> {
    let span = SpanBuilder::from_name(format!("call {peer}"))
        .with_kind(SpanKind::Client)
        .with_attributes([KeyValue::new("server.address", peer)]);
    let context = below(span);
    let request = request.headers(propagation::of_request(&context));
    let answer = request.send().with_context(context.clone()).await;
    match &answer {
        Ok(answer) => answered(&context, answer.status()),
        Err(error) => failed(&context, error),
    }
    answer
}
