//! Alarms: what a pager was told, as its ledger shows it.
//!
//! A call is read as Alertmanager's webhook (<https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>):
//! `alerts`, each with its `status` and `labels`. Only what the pager booked is an alarm: a repeated key wakes nobody.

use serde_json::Value;

use crate::history::{Event, ExternalOutcome, What};

/// The label with the name of an alert.
const NAME: &str = "alertname";
/// The label with the consumer group that an alert is about.
const GROUP: &str = "group";

/// Whether an alarm begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    Firing,
    Resolved,
}

/// Which alarms a property is about.
#[derive(Clone, Debug)]
pub(super) struct Pager {
    /// The third party that is told.
    pub(super) provider: String,
    /// The name of the alert.
    pub(super) alert: String,
}

impl Pager {
    /// The alarms of an event of the history, with the group that each is about.
    pub(super) fn heard<'h>(&self, event: &'h Event) -> Vec<(&'h str, Alarm)> {
        match &event.what {
            What::ExternalCalled {
                provider,
                request,
                outcome: ExternalOutcome::Booked,
                ..
            } if **provider == *self.provider => {
                let alerts = request["alerts"].as_array();
                let alerts = alerts.into_iter().flatten();
                alerts.filter_map(|alert| self.read(alert)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn read<'h>(&self, alert: &'h Value) -> Option<(&'h str, Alarm)> {
        let labels = &alert["labels"];
        if labels[NAME] != *self.alert {
            return None;
        }
        let alarm = match alert["status"].as_str()? {
            "firing" => Alarm::Firing,
            "resolved" => Alarm::Resolved,
            _ => return None,
        };
        Some((labels[GROUP].as_str()?, alarm))
    }
}
