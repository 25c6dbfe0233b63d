//! Log lines of the system, captured into the history.
//!
//! Everything that the system says through `tracing` at level INFO or above is recorded in virtual
//! time, with the correlation id of its span. Libraries below the system are left out.

use std::fmt;
use std::sync::LazyLock;

use tracing::dispatcher::{DefaultGuard, set_default};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

use super::World;
use crate::history::What;

/// The field that a span or a line carries its correlation id in.
const CORRELATION_FIELD: &str = "correlation_id";

/// Crates whose lines are not the system's own, with their families, such as `sqlx_core`.
const FOREIGN: &[&str] = &[
    "async_nats",
    "axum",
    "h2",
    "hyper",
    "mio",
    "reqwest",
    "runtime",
    "rustls",
    "sqlx",
    "tokio",
    "tonic",
    "tower",
];

/// Makes sure that no thread can silence the log lines of another one's run; to be called before a run.
///
/// Whether anybody wants the lines of a call site is asked once and remembered for the whole process.
/// As long as tracing knows of no second subscriber it asks that of the current thread, which may
/// have none. Two that never end make it ask all of them, always.
pub(crate) fn keep_listening() {
    static LISTENERS: LazyLock<[Dispatch; 2]> =
        LazyLock::new(|| [(); 2].map(|()| Dispatch::new(Registry::default().with(Listener))));
    LazyLock::force(&LISTENERS);
}

/// Wants what [`Capture`] wants, and records nothing.
struct Listener;

impl<S: Subscriber> Layer<S> for Listener {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        is_of_the_system(metadata)
    }
}

/// What captures the log lines of a run's services.
pub(crate) fn capture() -> Dispatch {
    Dispatch::new(Registry::default().with(Capture))
}

/// Captures the log lines of this thread until the guard is dropped, and those of all threads that its process starts.
pub(crate) fn listen(capture: Dispatch) -> DefaultGuard {
    let own = set_default(&capture);
    stormglass_machine::threads_begin(move || Box::new(set_default(&capture)));
    own
}

struct Capture;

fn is_of_the_system(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target().split("::").next().unwrap_or_default();
    let is_of = |family: &&str| -> bool {
        let rest = target.strip_prefix(*family);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    };
    *metadata.level() <= Level::INFO && !FOREIGN.iter().any(is_of)
}

/// The correlation id of a span.
struct Correlation(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Capture {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        is_of_the_system(metadata)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut own = OfSpan(None);
        attributes.record(&mut own);
        if let (Some(correlation), Some(span)) = (own.0, context.span(id)) {
            span.extensions_mut().insert(Correlation(correlation));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some((world, host)) = World::here() else {
            return;
        };
        let mut line = Line::default();
        event.record(&mut line);
        let of_span = || {
            let scope = context.event_scope(event)?;
            scope.into_iter().find_map(|span| {
                span.extensions()
                    .get::<Correlation>()
                    .map(|own| own.0.clone())
            })
        };
        let correlation_id = line.correlation_id.take().or_else(of_span);
        let what = What::Logged {
            level: event.metadata().level().to_string(),
            message: line.message + &line.fields,
            correlation_id,
        };
        world.recorder.record(&host, what);
    }
}

/// The parts of a line.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
    correlation_id: Option<String>,
}

impl Line {
    fn take(&mut self, field: &Field, value: String) {
        match field.name() {
            CORRELATION_FIELD => self.correlation_id = Some(value),
            "message" => self.message = value,
            name => self.fields.extend([" ", name, "=", &value]),
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format!("{value:?}"));
    }
}

/// The correlation id among the fields of a span, of which nothing else is wanted.
struct OfSpan(Option<String>);

impl Visit for OfSpan {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == CORRELATION_FIELD {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == CORRELATION_FIELD {
            self.0 = Some(format!("{value:?}"));
        }
    }
}
