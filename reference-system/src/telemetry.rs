//! Tracing: one trace for each request, over all services that it sets in motion, as W3C trace context between them and as spans
//! that OpenTelemetry exports.
//!
//! Reading order: `propagation` how a trace gets from one process to the next; `messaging` and `http` what spans there are,
//! by OpenTelemetry's semantic conventions; `broker` a broker whose publishes are spans; `export` how they get to a collector.
//! A span is the current one of a task as long as a future runs in its context ([`FutureExt::with_context`]). Nothing is
//! global: each service has its own [`Telemetry`]. Where that is off, a trace that came from outside is passed on as it is,
//! and no span is begun.
//!
//! A span is no proof that something happened, and its absence none that it did not: what is exported may be lost. The
//! journal and the audit tables do not depend on it.

mod broker;
mod export;
pub mod http;
pub(crate) mod messaging;
pub(crate) mod propagation;

use std::fmt::Display;
use std::sync::Arc;

use opentelemetry::trace::{FutureExt, SpanBuilder, Status, TraceContextExt};
use opentelemetry_sdk::trace::SdkTracer;

pub use broker::Traced;
pub use export::{ExportError, Exporter, OtlpEndpoint};
pub use opentelemetry::Context;
pub use propagation::TraceContext;

use crate::ports::Broker;

/// Where the spans of one service go. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Telemetry(Option<Tracing>);

/// What spans are begun with.
#[derive(Clone, Debug)]
struct Tracing {
    tracer: SdkTracer,
    /// The broker, as `messaging.system` names it.
    broker: &'static str,
}

impl Telemetry {
    /// No spans.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// The same broker, whose publishes are spans where there are spans.
    #[must_use]
    pub fn around(&self, broker: Arc<dyn Broker>) -> Arc<dyn Broker> {
        match &self.0 {
            None => broker,
            Some(_) => Arc::new(Traced::new(broker, self.clone())),
        }
    }

    /// The context of a new span below `parent`; `parent` itself where there are no spans.
    #[must_use]
    pub fn span(&self, parent: &Context, span: SpanBuilder) -> Context {
        let Some(Tracing { tracer, .. }) = &self.0 else {
            return parent.clone();
        };
        let span = span.start_with_context(tracer, parent);
        parent.with_value(self.clone()).with_span(span)
    }

    /// The broker, as `messaging.system` names it.
    fn broker(&self) -> &'static str {
        self.0.as_ref().map_or("", |own| own.broker)
    }
}

/// The context of a new span below the current one.
#[must_use]
pub fn below(span: SpanBuilder) -> Context {
    let parent = Context::current();
    of_task(&parent).span(&parent, span)
}

/// Does the work within a span below the current one, which tells of a failure.
///
/// # Errors
/// Those of the work.
pub async fn within<T, E: Display>(
    span: SpanBuilder,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let context = below(span);
    let done = work.with_context(context.clone()).await;
    if let Err(error) = &done {
        failed(&context, error);
    }
    done
}

/// Has the span of a context tell of a failure.
pub fn failed(context: &Context, error: &impl Display) {
    let status = Status::error(error.to_string());
    context.span().set_status(status);
}

/// With what the current span was begun.
fn of_task(context: &Context) -> Telemetry {
    context.get::<Telemetry>().cloned().unwrap_or_default()
}
