//! Tracing: what a collector gets of one order, by OTLP over HTTP as any collector takes it.
//!
//! Where Rotel is installed, a collector of the OpenTelemetry world (`pip install rotel`), the shop exports to it, and what it
//! passes on is looked at: the binary in `ROTEL_AGENT`, or else `rotel-agent` from `PATH`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::routing::post;
use axum::{Json, Router};
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::body;
use super::serve::Shop;
use super::system::Patience;

/// Every span that was received, with the name of its service.
#[derive(Clone, Default)]
struct Received(Arc<Mutex<Vec<(String, Span)>>>);

impl Received {
    /// Takes what is exported to the address that is given.
    async fn listening() -> (Self, String) {
        let received = Self::default();
        let own = received.clone();
        let take = async move |headers: HeaderMap, body: Bytes| {
            let mut plain = Vec::new();
            match headers.get(CONTENT_ENCODING) {
                None => plain = body.into(),
                Some(_gzip) => drop(GzDecoder::new(&*body).read_to_end(&mut plain).unwrap()),
            }
            own.take(&match headers[CONTENT_TYPE].to_str().unwrap() {
                "application/x-protobuf" => ExportTraceServiceRequest::decode(&*plain).unwrap(),
                _ => serde_json::from_slice(&plain).unwrap(),
            });
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

    /// Whether a span of this name has come.
    fn has(&self, name: &str) -> bool {
        let all = self.0.lock().unwrap();
        all.iter().any(|(_, span)| span.name == name)
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
    is_one_tree(&received);
}

#[tokio::test]
async fn a_real_collector_takes_the_trace_and_passes_it_on() {
    let Some(binary) = Rotel::installed() else {
        eprintln!("Rotel is not installed: no real collector was asked");
        return;
    };
    let (received, url) = Received::listening().await;
    let folder = TempDir::new().unwrap();
    let data = folder.path().to_str().unwrap();
    let rotel = Rotel::start(&binary, folder.path(), &url).await;
    let shop = Shop::start(&["--data", data, "--otlp", &rotel.url]).await;
    let order = shop.place(&body("tea", "visa")).await;
    shop.reaches(&order, "shipped").await;
    assert_eq!(shop.stop().await, Some(0));
    // The shop sends what is left before it ends; the collector batches.
    let sent = received.clone();
    Patience::until("the last effect's span", async || {
        sent.has("effect notification") && sent.has("relay pass")
    })
    .await;
    rotel.stop().await;
    is_one_tree(&received);
}

#[tokio::test]
async fn the_trace_of_an_order_goes_on_to_the_partner() {
    let (received, url) = Received::listening().await;
    let carried = Arc::new(Mutex::new(Vec::new()));
    let partner = carried.clone();
    let take = async move |headers: HeaderMap| {
        let parent = headers["traceparent"].to_str().unwrap();
        partner.lock().unwrap().push(parent.to_owned());
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(take)).await });
    let folder = TempDir::new().unwrap();
    let data = folder.path().to_str().unwrap();
    let arguments = [
        ["--data", data],
        ["--otlp", &url],
        ["--webhook", &webhook],
        ["--webhook-secret", "whsec_plJ3nmyCDGBKInavdOK15jslMfgKwO8a"],
    ];
    let shop = Shop::start(&arguments.concat()).await;
    shop.place(&body("tea", "visa")).await;
    // Of its confirmation and of its parcel.
    let told = async || carried.lock().unwrap().len() == 2;
    Patience::until("the partner is told", told).await;
    assert_eq!(shop.stop().await, Some(0));
    let trace = received.trace_with("POST /orders");
    let calls = trace.iter().filter(|(_, own)| own.name == "call partner");
    let calls: Vec<_> = calls.collect();
    assert_eq!(calls.len(), 2);
    for (service, span) in calls {
        assert_eq!(service, "webhook");
        let way = above(&trace, span);
        assert_eq!(way[0], "effect webhook", "{way:?}");
        assert_eq!(way.last().unwrap(), "POST /orders", "{way:?}");
        let hex = |bytes: &[u8]| {
            bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        let parent = format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id));
        assert!(carried.lock().unwrap().contains(&parent), "{carried:?}");
    }
}

/// A collector that passes on what it takes, until it is dropped.
struct Rotel {
    process: Child,
    url: String,
}

impl Rotel {
    fn installed() -> Option<PathBuf> {
        if let Some(binary) = std::env::var_os("ROTEL_AGENT") {
            return Some(binary.into());
        }
        let path = std::env::var_os("PATH")?;
        let mut candidates = std::env::split_paths(&path).map(|folder| folder.join("rotel-agent"));
        candidates.find(|file| file.is_file())
    }

    /// Starts it on free ports, with what it writes in `folder`.
    async fn start(binary: &Path, folder: &Path, exports_to: &str) -> Self {
        let ports = [(), ()].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let [http, grpc] = ports.map(|listener| listener.local_addr().unwrap());
        let [pid, log] = ["rotel.pid", "rotel.log"].map(|name| folder.join(name));
        let process = Command::new(binary)
            .arg("start")
            .args(["--otlp-http-endpoint", &http.to_string()])
            .args(["--otlp-grpc-endpoint", &grpc.to_string()])
            .args(["--exporter", "otlp", "--otlp-exporter-protocol", "http"])
            .args(["--otlp-exporter-endpoint", exports_to])
            .arg("--pid-file")
            .arg(pid)
            .arg("--log-file")
            .arg(log)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let listens = async || tokio::net::TcpStream::connect(http).await.is_ok();
        Patience::until("Rotel listens", listens).await;
        Self {
            process,
            url: format!("http://{http}"),
        }
    }

    /// Asks it to stop, which sends what is left.
    async fn stop(mut self) {
        let kill = format!("kill -TERM {}", self.process.id());
        let killed = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(killed.success());
        while self.process.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The trace of the order is one tree over all services, and the relay's passes are linked with it.
fn is_one_tree(received: &Received) {
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
