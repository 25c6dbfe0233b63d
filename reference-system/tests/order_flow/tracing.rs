//! Tracing: what a collector gets of one order, by OTLP over HTTP as any collector takes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::routing::post;
use axum::{Json, Router};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::body;
use super::serve::Shop;

/// Every span that was received, with the name of its service.
#[derive(Clone, Default)]
struct Received(Arc<Mutex<Vec<(String, Span)>>>);

impl Received {
    /// Takes what is exported to the address that is given.
    async fn listening() -> (Self, String) {
        let received = Self::default();
        let own = received.clone();
        let take = async move |body: Bytes| {
            own.take(&serde_json::from_slice(&body).unwrap());
            Json(json!({}))
        };
        let routes = Router::new().route("/v1/traces", post(take));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (received, format!("http://{address}"))
    }

    fn take(&self, request: &ExportTraceServiceRequest) {
        for of_service in &request.resource_spans {
            let resource = of_service.resource.as_ref().unwrap();
            let service = text(&resource.attributes, "service.name").unwrap();
            let spans = of_service.scope_spans.iter().flat_map(|own| &own.spans);
            let spans = spans.map(|span| (service.clone(), span.clone()));
            self.0.lock().unwrap().extend(spans);
        }
    }

    /// The spans of the trace that a span of this name is in.
    fn trace_with(&self, name: &str) -> Vec<(String, Span)> {
        let all = self.0.lock().unwrap();
        let (_, one) = all.iter().find(|(_, span)| span.name == name).unwrap();
        let of_trace = |(_, span): &&(String, Span)| span.trace_id == one.trace_id;
        all.iter().filter(of_trace).cloned().collect()
    }

    /// The spans that those of a name are linked with.
    fn linked_from(&self, name: &str) -> BTreeSet<Vec<u8>> {
        let all = self.0.lock().unwrap();
        let linking = all.iter().filter(|(_, span)| span.name == name);
        let links = linking.flat_map(|(_, span)| &span.links);
        links.map(|link| link.span_id.clone()).collect()
    }
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|own| own.key == key)?;
    match &found.value {
        Some(AnyValue {
            value: Some(Value::StringValue(text)),
        }) => Some(text.clone()),
        _ => None,
    }
}

/// The names of all spans above this one, the nearest first.
fn above(trace: &[(String, Span)], span: &Span) -> Vec<String> {
    let by_id: BTreeMap<&[u8], &Span> = trace
        .iter()
        .map(|(_, span)| (&*span.span_id, span))
        .collect();
    let (mut names, mut span) = (Vec::new(), span);
    while !span.parent_span_id.is_empty() {
        span = by_id.get(&*span.parent_span_id).expect("a known parent");
        names.push(span.name.clone());
    }
    names
}

#[tokio::test]
async fn the_trace_of_one_order_is_one_tree_over_all_services() {
    let (received, url) = Received::listening().await;
    let folder = TempDir::new().unwrap();
    let data = folder.path().to_str().unwrap();
    let shop = Shop::start(&["--data", data, "--otlp", &url]).await;
    let order = shop.place(&body("tea", "visa")).await;
    shop.reaches(&order, "shipped").await;
    assert_eq!(shop.stop().await, Some(0));

    let trace = received.trace_with("POST /orders");
    let roots: Vec<_> = trace
        .iter()
        .filter(|(_, span)| span.parent_span_id.is_empty())
        .collect();
    assert_eq!(roots.len(), 1, "{trace:#?}");
    for (service, span) in &trace {
        let above = above(&trace, span);
        let root = above.last().unwrap_or(&span.name);
        assert_eq!(root, "POST /orders", "{} of {service}", span.name);
    }
    let services: BTreeSet<&str> = trace.iter().map(|(service, _)| &**service).collect();
    let wanted = [
        "gateway",
        "inventory",
        "notification",
        "order",
        "payment",
        "relay",
        "shipping",
    ];
    assert_eq!(services, wanted.into());
    let groups =
        |(_, span): &(String, Span)| text(&span.attributes, "messaging.consumer.group.name");
    let groups: BTreeSet<String> = trace.iter().filter_map(groups).collect();
    let consumers = ["inventory", "notification", "order", "payment", "shipping"];
    assert_eq!(groups, consumers.map(str::to_owned).into());

    let named = |name: &str| &trace.iter().find(|(_, span)| span.name == name).unwrap().1;
    let charged = above(&trace, named("call card-processor"));
    let way = [
        "process inventory",
        "send inventory",
        "create inventory",
        "effect inventory",
        "process orders",
        "send orders",
        "create orders",
        "POST /orders",
    ];
    assert_eq!(charged, way);
    let linked = received.linked_from("relay pass");
    let created = trace
        .iter()
        .filter(|(_, own)| own.name.starts_with("create "));
    for (_, span) in created {
        assert!(linked.contains(&span.span_id), "{}", span.name);
    }
}

#[tokio::test]
async fn a_trace_from_outside_goes_on_and_a_collector_that_is_away_holds_nothing_up() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().to_str().unwrap();
    let nobody = ["--data", data, "--otlp", "http://127.0.0.1:1"];
    let shop = Shop::start(&nobody).await;
    let order = shop.place(&body("tea", "visa")).await;
    shop.reaches(&order, "shipped").await;
    assert_eq!(shop.stop().await, Some(0));

    let (received, url) = Received::listening().await;
    let shop = Shop::start(&["--data", data, "--otlp", &url]).await;
    let outside = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("traceparent", outside), ("tracestate", "vendor=value")];
    shop.place_with(&headers, &body("cup", "visa")).await;
    assert_eq!(shop.stop().await, Some(0));
    let trace = received.trace_with("POST /orders");
    let (_, root) = trace
        .iter()
        .find(|(_, span)| span.name == "POST /orders")
        .unwrap();
    assert_eq!(
        root.trace_id,
        0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes()
    );
    assert_eq!(root.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    assert_eq!(root.trace_state, "vendor=value");
}
