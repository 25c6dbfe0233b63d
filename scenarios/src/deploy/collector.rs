//! The collector of spans, where a deployment has one: a third party that takes whatever a service exports by OTLP, and keeps it.

use reference_system::Telemetry;
use reference_system::telemetry::{Exporter, OtlpEndpoint};
use serde_json::json;
use stormglass::Machine;
use stormglass::third_party::{Response, ThirdParty};

use super::{Deployment, StartError};

/// The host of the collector.
pub const COLLECTOR: &str = "collector";

/// A collector that takes every request.
pub(super) fn collector() -> ThirdParty {
    ThirdParty::new(COLLECTOR, |_| Response::new(200, json!({})))
}

/// The spans of the service on one machine.
#[derive(Default)]
pub(super) struct Spans {
    /// How they are begun.
    pub(super) telemetry: Telemetry,
    exporter: Option<Exporter>,
}

impl Spans {
    /// Sends what is left.
    pub(super) async fn finish(self) {
        if let Some(exporter) = self.exporter {
            exporter.finish().await;
        }
    }
}

impl Deployment {
    /// The spans of the service on `machine`: none, unless there is a collector.
    pub(super) fn spans(&self, machine: &Machine) -> Result<Spans, StartError> {
        if !self.is_traced {
            return Ok(Spans::default());
        }
        let endpoint = OtlpEndpoint {
            url: format!("http://{COLLECTOR}"),
            broker: match self.nats {
                None => "simulated",
                Some(_) => "nats",
            },
        };
        let (telemetry, exporter) = endpoint.telemetry_of(machine.service())?;
        Ok(Spans {
            telemetry,
            exporter: Some(exporter),
        })
    }
}
