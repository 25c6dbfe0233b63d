//! A pager over HTTP: `POST` of what Alertmanager sends to its webhooks, so that whatever takes those can be behind it
//! (<https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>, version 4).

use std::time::Duration;

use async_trait::async_trait;
use reqwest::Client;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Notice, Pager, PagerError, Status};
use crate::fingerprint::fingerprint;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// The end of an alert that has none yet, as Alertmanager writes it.
const NO_END: &str = "0001-01-01T00:00:00Z";

/// The webhook at an address.
#[derive(Clone, Debug)]
pub struct HttpPager {
    client: Client,
    url: String,
}

impl HttpPager {
    /// The webhook at `url`, such as `https://pager.example/hook`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            client: Client::new(),
            url: url.to_owned(),
        }
    }
}

#[async_trait]
impl Pager for HttpPager {
    async fn page(&self, idempotency_key: &str, notice: &Notice) -> Result<(), PagerError> {
        let request = self.client.post(&self.url).json(&webhook(notice));
        let request = request.header("idempotency-key", idempotency_key);
        let answer = request.timeout(PATIENCE).send().await;
        match answer.and_then(reqwest::Response::error_for_status) {
            Ok(_) => Ok(()),
            Err(error) => Err(PagerError::Unavailable(error.to_string())),
        }
    }
}

/// The body of a call: one alert, which is a group of its own.
fn webhook(notice: &Notice) -> Value {
    let mut labels = json!(notice.labels);
    labels["alertname"] = json!(notice.alert);
    let (status, since) = (notice.status.word(), rfc3339(notice.since_ms));
    let (starts_at, ends_at) = match notice.status {
        Status::Firing => (since, NO_END.to_owned()),
        // When it began is not known any more, and was told when it did.
        Status::Resolved => (NO_END.to_owned(), since),
    };
    let annotations = json!({ "summary": notice.summary });
    let text = labels.to_string();
    json!({
        "version": "4",
        "groupKey": format!("{{}}:{text}"),
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "pager",
        "groupLabels": labels,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [{
            "status": status,
            "labels": labels,
            "annotations": annotations,
            "startsAt": starts_at,
            "endsAt": ends_at,
            "generatorURL": "",
            "fingerprint": format!("{:016x}", fingerprint([text.as_bytes()])),
        }],
    })
}

fn rfc3339(ms: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    let text = moment.ok().and_then(|moment| moment.format(&Rfc3339).ok());
    text.unwrap_or_else(|| NO_END.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_webhook_says_what_alertmanager_would() {
        let notice = Notice {
            alert: "ParkedEvents",
            labels: BTreeMap::from([("group", "inventory".to_owned())]),
            status: Status::Firing,
            summary: "120 events are parked".to_owned(),
            since_ms: 1_000_000_000_500,
        };
        let body = webhook(&notice);
        let alert = &body["alerts"][0];
        assert_eq!(body["status"], "firing");
        let labels = json!({ "alertname": "ParkedEvents", "group": "inventory" });
        assert_eq!(alert["labels"], labels);
        assert_eq!(alert["startsAt"], "2001-09-09T01:46:40.5Z");
        assert_eq!(alert["endsAt"], NO_END);
        let over = Notice {
            status: Status::Resolved,
            ..notice
        };
        assert_eq!(
            webhook(&over)["alerts"][0]["endsAt"],
            "2001-09-09T01:46:40.5Z"
        );
        assert_eq!(
            webhook(&over)["alerts"][0]["fingerprint"],
            alert["fingerprint"]
        );
    }
}
