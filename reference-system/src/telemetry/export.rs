//! How spans get to a collector: by OTLP over HTTP as JSON, from a bounded queue, by a task of its own.
//!
//! What the service does never waits for it. While the collector cannot be reached, what was taken from the queue is tried again
//! and the queue fills up; what finds no room in it is dropped and counted. The SDK's own processors for batches either keep a thread,
//! or block the one that they run on when they are shut down, which a runtime of one thread cannot afford.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanId, TraceId, TracerProvider};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    IdGenerator, SdkTracerProvider, Span, SpanData, SpanExporter as _, SpanProcessor,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::identifiers::new_id;
use crate::retry::Backoff;

use super::{Context, Telemetry, Tracing};

/// How many spans wait for the collector, and how many go to it at once.
const QUEUE: usize = 2048;
const BATCH: usize = 512;
/// How long spans are gathered before they are sent.
const GATHERING: Duration = Duration::from_millis(500);
/// How long the collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a service that stops waits for what is left.
const LAST_PATIENCE: Duration = Duration::from_millis(1500);

/// Why nothing can be exported.
#[derive(Debug, thiserror::Error)]
#[error("cannot export spans: {0}")]
pub struct ExportError(#[from] ExporterBuildError);

/// A collector, and the broker whose messages the spans tell of.
#[derive(Clone, Debug)]
pub struct OtlpEndpoint {
    /// The collector's address, such as `http://127.0.0.1:4318`.
    pub url: String,
    /// The broker, as `messaging.system` names it.
    pub broker: &'static str,
}

impl OtlpEndpoint {
    /// Telemetry of `service` that goes there, and who sends it. Has to be called within a runtime.
    ///
    /// # Errors
    /// When the address cannot be one.
    pub fn telemetry_of(&self, service: &str) -> Result<(Telemetry, Exporter), ExportError> {
        let name = KeyValue::new("service.name", service.to_owned());
        let resource = Resource::builder_empty().with_attribute(name).build();
        let traces = format!("{}/v1/traces", self.url.trim_end_matches('/'));
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(traces)
            .with_protocol(Protocol::HttpJson)
            .with_timeout(PATIENCE)
            .build()?;
        exporter.set_resource(&resource);
        let (queue, spans) = mpsc::channel(QUEUE);
        let (stop, stopping) = oneshot::channel();
        let dropped = Arc::new(AtomicU64::new(0));
        let outlet = Outlet {
            spans,
            exporter,
            batch: Vec::new(),
            failures: 0,
            dropped: dropped.clone(),
        };
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_id_generator(Ids)
            .with_span_processor(Queue { queue, dropped })
            .build();
        let telemetry = Telemetry(Some(Tracing {
            tracer: provider.tracer("reference-system"),
            broker: self.broker,
        }));
        let task = tokio::spawn(outlet.run(stopping));
        Ok((telemetry, Exporter { stop, task }))
    }
}

/// Who sends the spans of a service, until it is dropped.
#[derive(Debug)]
pub struct Exporter {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Exporter {
    /// Sends what is left, if the collector takes it soon.
    pub async fn finish(self) {
        drop(self.stop);
        if timeout(LAST_PATIENCE, self.task).await.is_err() {
            tracing::warn!("the collector does not answer, the last spans are lost");
        }
    }
}

/// Ids of traces and spans, from where all ids come.
#[derive(Debug)]
struct Ids;

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        TraceId::from_bytes(new_id().into_bytes())
    }

    fn new_span_id(&self) -> SpanId {
        // The first half of an id is mostly its time.
        let (_, chance) = new_id().as_u64_pair();
        SpanId::from(chance)
    }
}

/// Takes spans as they end.
#[derive(Debug)]
struct Queue {
    queue: mpsc::Sender<SpanData>,
    dropped: Arc<AtomicU64>,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let is_wanted = span.span_context.is_sampled();
        if is_wanted && self.queue.try_send(span).is_err() {
            let before = self.dropped.fetch_add(1, Ordering::Relaxed);
            if before == 0 {
                tracing::warn!("spans are dropped until the collector takes some");
            }
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The other end of the queue.
struct Outlet {
    spans: mpsc::Receiver<SpanData>,
    exporter: SpanExporter,
    /// What was taken from the queue and is not with the collector yet.
    batch: Vec<SpanData>,
    failures: u32,
    dropped: Arc<AtomicU64>,
}

impl Outlet {
    async fn run(mut self, mut stopping: oneshot::Receiver<()>) {
        loop {
            let next = async {
                self.gather().await;
                self.deliver().await;
            };
            tokio::select! {
                biased;
                _ = &mut stopping => break,
                () = next => {}
            }
        }
        self.spans.close();
        while let Ok(span) = self.spans.try_recv() {
            self.batch.push(span);
        }
        while !self.batch.is_empty() && self.send().await {}
    }

    /// Waits for spans, and for those that follow soon.
    async fn gather(&mut self) {
        if self.batch.is_empty() {
            if self.spans.recv_many(&mut self.batch, BATCH).await == 0 {
                // Nobody begins spans any more; the word to stop comes next.
                pending::<()>().await;
            }
            sleep(GATHERING).await;
        }
        while self.batch.len() < BATCH
            && let Ok(span) = self.spans.try_recv()
        {
            self.batch.push(span);
        }
    }

    /// Sends the batch, again and again until it is taken.
    async fn deliver(&mut self) {
        while !self.send().await {
            sleep(Backoff::default().delay(self.failures)).await;
        }
    }

    /// Sends the beginning of the batch, and tells whether it was taken.
    async fn send(&mut self) -> bool {
        let end = self.batch.len().min(BATCH);
        if let Err(error) = self.exporter.export(self.batch[..end].to_vec()).await {
            if self.failures == 0 {
                tracing::warn!(%error, "spans wait for the collector");
            }
            self.failures = self.failures.saturating_add(1);
            return false;
        }
        self.batch.drain(..end);
        if self.failures > 0 {
            self.failures = 0;
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            tracing::info!(dropped, "the collector takes spans again");
        }
        true
    }
}
