//! How a trace gets from one process to the next: the headers of W3C Trace Context (<https://www.w3.org/TR/trace-context/>), in messages
//! and in requests alike.
//!
//! What cannot be read is no trace; the standard says that such a header is to be ignored.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use serde::{Deserialize, Serialize};

/// The names of the headers.
const HEADERS: [&str; 2] = ["traceparent", "tracestate"];

/// The place in a trace at which something was announced, as headers; empty where it belongs to none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TraceContext(BTreeMap<String, String>);

impl TraceContext {
    /// The place at which the current task is.
    #[must_use]
    pub fn current() -> Self {
        let mut headers = BTreeMap::new();
        write(&Context::current(), &mut headers);
        Self(headers)
    }

    /// What a message says of it.
    #[must_use]
    pub fn carried_by(headers: &BTreeMap<String, String>) -> Self {
        let carried = HEADERS.into_iter().filter_map(|name| {
            let value = headers.get(name)?;
            Some((name.to_owned(), value.clone()))
        });
        Self(carried.collect())
    }

    /// Whether it belongs to no trace.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// What goes on from there.
    #[must_use]
    pub fn context(&self) -> Context {
        read(&self.0)
    }
}

/// The context that goes on from where the headers of a message or a request say.
pub(crate) fn read<'h>(headers: impl Into<Carried<'h>>) -> Context {
    let propagator = TraceContextPropagator::new();
    propagator.extract_with_context(&Context::new(), &headers.into())
}

/// Writes the place of a context into headers of a message, instead of what was there.
pub(crate) fn write(context: &Context, headers: &mut BTreeMap<String, String>) {
    let mut written = Written(BTreeMap::new());
    TraceContextPropagator::new().inject_context(context, &mut written);
    if !written.0.is_empty() {
        headers.retain(|name, _| !HEADERS.contains(&&**name));
        headers.append(&mut written.0);
    }
}

/// The headers of a request that goes on from a context.
pub(super) fn of_request(context: &Context) -> HeaderMap {
    let mut written = Written(BTreeMap::new());
    TraceContextPropagator::new().inject_context(context, &mut written);
    let headers = written.0.into_iter().filter_map(|(name, value)| {
        let name: HeaderName = name.parse().ok()?;
        Some((name, HeaderValue::from_str(&value).ok()?))
    });
    headers.collect()
}

/// Headers to be read.
pub(crate) enum Carried<'h> {
    Message(&'h BTreeMap<String, String>),
    Request(&'h HeaderMap),
}

impl<'h> From<&'h BTreeMap<String, String>> for Carried<'h> {
    fn from(headers: &'h BTreeMap<String, String>) -> Self {
        Self::Message(headers)
    }
}

impl<'h> From<&'h HeaderMap> for Carried<'h> {
    fn from(headers: &'h HeaderMap) -> Self {
        Self::Request(headers)
    }
}

impl Extractor for Carried<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match self {
            Self::Message(headers) => headers.get(key).map(String::as_str),
            Self::Request(headers) => headers.get(key).and_then(|value| value.to_str().ok()),
        }
    }

    fn keys(&self) -> Vec<&str> {
        HEADERS.into()
    }
}

/// Headers that are written; none of them is empty.
struct Written(BTreeMap<String, String>);

impl Injector for Written {
    fn set(&mut self, key: &str, value: String) {
        if !value.is_empty() {
            self.0.insert(key.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(parent: &str, state: &str) -> BTreeMap<String, String> {
        let headers = [("traceparent", parent), ("tracestate", state)];
        headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn a_trace_is_passed_on_with_its_state() {
        let given = headers(PARENT, "vendor=value");
        let mut passed_on = BTreeMap::from([("other".to_owned(), "stays".to_owned())]);
        write(&read(&given), &mut passed_on);
        assert_eq!(passed_on.remove("other").as_deref(), Some("stays"));
        assert_eq!(passed_on, given);
        let of_request = of_request(&read(&given));
        assert_eq!(of_request["traceparent"], PARENT);
        let again = read(&of_request);
        let mut passed_on = BTreeMap::new();
        write(&again, &mut passed_on);
        assert_eq!(passed_on, given);
    }

    #[test]
    fn what_cannot_be_read_is_no_trace() {
        for wrong in [
            "",
            "00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        ] {
            let mut passed_on = BTreeMap::new();
            write(&read(&headers(wrong, "vendor=value")), &mut passed_on);
            assert!(passed_on.is_empty(), "{wrong}");
        }
    }
}
