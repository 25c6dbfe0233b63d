//! Where the spans of the shop's services go: `--otlp`. Each service is one of its own there, although all are in one process.

use std::collections::BTreeMap;

use reference_system::Telemetry;
use reference_system::telemetry::{ExportError, Exporter, OtlpEndpoint};
use tokio::task::JoinSet;

/// The services that have spans.
const SERVICES: [&str; 11] = [
    "analytics",
    "gateway",
    "order",
    "inventory",
    "payment",
    "shipping",
    "notification",
    "relay",
    "search",
    "sms",
    "webhook",
];

/// The collector, if there is one.
#[derive(Default)]
pub(super) struct Collector {
    telemetry: BTreeMap<&'static str, Telemetry>,
    exporters: Vec<Exporter>,
}

impl Collector {
    /// The one at this address.
    pub(super) fn at(endpoint: Option<&OtlpEndpoint>) -> Result<Self, ExportError> {
        let mut collector = Self::default();
        if let Some(endpoint) = endpoint {
            for service in SERVICES {
                let (telemetry, exporter) = endpoint.telemetry_of(service)?;
                collector.telemetry.insert(service, telemetry);
                collector.exporters.push(exporter);
            }
        }
        Ok(collector)
    }

    /// Where the spans of a service go.
    pub(super) fn telemetry_of(&self, service: &str) -> Telemetry {
        self.telemetry.get(service).cloned().unwrap_or_default()
    }

    /// Sends what is left.
    pub(super) async fn finish(self) {
        let mut exporters: JoinSet<()> = self.exporters.into_iter().map(Exporter::finish).collect();
        while exporters.join_next().await.is_some() {}
    }
}
