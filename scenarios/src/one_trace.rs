//! `one-trace`: the spans that reach the collector of one flow are one tree, over all services that had a part in it.
//!
//! A flow is what one request set in motion; its id is in the spans, as in the events. A service that dies takes the spans with it that it had
//! not exported yet, and one that waits for the collector's answer when the run ends has those that came meanwhile: in such a run what has arrived must
//! still be of one trace and have no second root, and may have gaps. What happened itself is judged by other properties; this one only holds the
//! spans against it.

mod spans;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use stormglass::checker::{Property, Verdict};
use stormglass::history::{Application, ExternalOutcome, Fact, History, What};

use crate::breach::{About, Breach, judge};
use crate::deploy::COLLECTOR;

use spans::{Span, exported};

/// How long after an export that was not answered its service may not have come back with it: it waits for the answer for two
/// seconds, and then for a moment.
const EXPORTED_AGAIN: Duration = Duration::from_secs(3);

/// The spans of one flow are one tree.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneTrace;

impl Property for OneTrace {
    fn id(&self) -> &str {
        "one-trace"
    }

    fn promise(&self) -> &str {
        "the spans of one flow are one tree, over all services that had a part in it"
    }

    fn check(&self, history: &History) -> Verdict {
        let spans = exported(history);
        let traces = Traces::of(&spans);
        if traces.flows.is_empty() {
            return Verdict::Vacuous("no span of any flow reached the collector".to_owned());
        }
        let whole = !may_have_lost_spans(history) && !is_exporting(history);
        let flows = traces.flows.iter();
        let mut breaches: Vec<Breach> = flows
            .filter_map(|(flow, of_flow)| traces.judge(flow, of_flow, whole))
            .collect();
        if whole {
            breaches.extend(unseen(history, &spans));
        }
        judge(history, breaches).unwrap_or(Verdict::Holds)
    }
}

/// The spans by what they belong to; each once, however often it was exported.
struct Traces<'h> {
    /// The spans that name a flow.
    flows: BTreeMap<&'h str, Vec<&'h Span<'h>>>,
    /// All spans of a trace by their ids.
    traces: BTreeMap<&'h str, BTreeMap<&'h str, &'h Span<'h>>>,
}

impl<'h> Traces<'h> {
    fn of(spans: &'h [Span<'h>]) -> Self {
        let (mut flows, mut traces) = (BTreeMap::new(), BTreeMap::new());
        for span in spans {
            let trace: &mut BTreeMap<_, _> = traces.entry(span.trace).or_default();
            if trace.insert(span.id, span).is_none()
                && let Some(flow) = span.flow
            {
                let of_flow: &mut Vec<_> = flows.entry(flow).or_default();
                of_flow.push(span);
            }
        }
        Traces { flows, traces }
    }

    fn judge(&self, flow: &str, of_flow: &[&Span<'_>], whole: bool) -> Option<Breach> {
        let first = of_flow.first()?;
        if let Some(other) = of_flow.iter().find(|own| own.trace != first.trace) {
            let summary = format!(
                "`{}` of {} is in a trace of its own, apart from `{}` of {} in the same flow {flow}",
                other.name, other.service, first.name, first.service
            );
            return Some(breach("second-trace", of_flow, other, summary));
        }
        let trace = self.traces.get(first.trace)?;
        let mut roots = trace.values().filter(|span| span.parent.is_none());
        let root = roots.next();
        if let Some(second) = roots.next() {
            let summary = format!(
                "`{}` of {} is a second root in the trace of flow {flow}",
                second.name, second.service
            );
            return Some(breach("second-root", of_flow, second, summary));
        }
        if !whole {
            return None;
        }
        let orphan = trace.values().find(|span| {
            let parent = span.parent;
            parent.is_some_and(|parent| !trace.contains_key(parent))
        });
        if let Some(orphan) = orphan {
            let summary = format!(
                "the parent of `{}` of {} never arrived, and nothing was lost",
                orphan.name, orphan.service
            );
            return Some(breach("orphan", of_flow, orphan, summary));
        }
        root.is_none().then(|| {
            let summary = format!("the trace of flow {flow} has no root");
            breach("no-root", of_flow, first, summary)
        })
    }
}

fn breach(rule: &'static str, of_flow: &[&Span<'_>], at: &Span<'_>, summary: String) -> Breach {
    let exports: BTreeSet<u64> = of_flow.iter().map(|span| span.index).collect();
    Breach {
        rule,
        index: at.index,
        about: About::Events(exports.into_iter().collect()),
        summary,
    }
}

/// Whether a service ended with spans in hand that the collector cannot have: it died, or it was stopped while the
/// collector took nothing.
fn may_have_lost_spans(history: &History) -> bool {
    let any = |wanted: fn(&What) -> bool| history.events.iter().any(|event| wanted(&event.what));
    let died = any(|what| {
        let is_late = matches!(what, What::HostStopped { error: Some(_) });
        is_late || matches!(what, What::HostCrashed | What::HostExited { .. })
    });
    let stopped = any(|what| matches!(what, What::HostStopping { .. }));
    let refused = any(|what| {
        matches!(what, What::ExternalCalled { provider, outcome, answered, .. }
            if **provider == *COLLECTOR && (*outcome == ExternalOutcome::Unavailable || !answered))
    });
    died || (stopped && refused)
}

/// Whether a service still waited for the collector when the run ended.
fn is_exporting(history: &History) -> bool {
    let Some(end) = history.events.last().map(|last| last.at) else {
        return false;
    };
    let mut waits: BTreeMap<&str, Duration> = BTreeMap::new();
    for event in &history.events {
        match &event.what {
            What::ExternalCalled {
                provider,
                outcome,
                answered,
                ..
            } if **provider == *COLLECTOR => {
                if *answered && *outcome != ExternalOutcome::Unavailable {
                    waits.remove(&*event.host);
                } else {
                    waits.insert(&event.host, event.at);
                }
            }
            _ => {}
        }
    }
    waits
        .values()
        .any(|since| end.saturating_sub(*since) <= EXPORTED_AGAIN)
}

/// Effects of which the collector has no span.
fn unseen(history: &History, spans: &[Span<'_>]) -> Option<Breach> {
    let seen: BTreeSet<_> = spans
        .iter()
        .map(|span| (span.group, span.message))
        .collect();
    history.events.iter().find_map(|event| {
        let What::Observed {
            fact:
                Fact::Applied(Application {
                    consumer,
                    event_id,
                    entity,
                    ..
                }),
            ..
        } = &event.what
        else {
            return None;
        };
        if event_id.is_empty() || seen.contains(&(Some(&**consumer), Some(&**event_id))) {
            return None;
        }
        let summary = format!("{consumer} applied {event_id}, and no span says so");
        Some(Breach::of("unseen", entity, event.index, summary))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::test_shop::Shop;

    /// A span of the flow `f`: its trace, its id, its parent.
    fn span(trace: &str, id: &str, parent: &str) -> Value {
        json!({
            "traceId": trace,
            "spanId": id,
            "parentSpanId": parent,
            "name": format!("process {id}"),
            "attributes": [
                { "key": "messaging.message.conversation_id", "value": { "stringValue": "f" } },
                { "key": "messaging.consumer.group.name", "value": { "stringValue": "payment" } },
                { "key": "messaging.message.id", "value": { "stringValue": "a: paid" } },
            ],
        })
    }

    fn export(shop: &mut Shop, outcome: ExternalOutcome, answered: bool, spans: &[Value]) -> u64 {
        let service = json!({ "key": "service.name", "value": { "stringValue": "payment" } });
        shop.happens(What::ExternalCalled {
            provider: COLLECTOR.into(),
            idempotency_key: String::new(),
            request: json!({ "resourceSpans": [{
                "resource": { "attributes": [service] },
                "scopeSpans": [{ "spans": spans }],
            }]}),
            outcome,
            answered,
        })
    }

    fn collected(shop: &mut Shop, spans: &[Value]) -> u64 {
        export(shop, ExternalOutcome::Booked, true, spans)
    }

    /// The collector takes a span, and its answer is lost; an effect has no span; and so much happens before the run ends.
    fn unanswered(events_after: usize) -> (Shop, u64) {
        let mut shop = Shop::open();
        let spans = [span("t", "1", "")];
        export(&mut shop, ExternalOutcome::Booked, false, &spans);
        let index = shop.applies("shipping", "a", "sent");
        for _ in 0..events_after {
            shop.mails("a", "sent");
        }
        (shop, index)
    }

    /// As it was recorded: two answers of the collector were lost, and nothing else happened any more.
    #[test]
    fn accepts_gaps_where_a_service_waits_for_the_collector_at_the_end() {
        let (shop, _) = unanswered(10);
        assert_eq!(shop.judged_by(&OneTrace), Verdict::Holds);
    }

    #[test]
    fn rejects_gaps_where_a_service_never_comes_back_to_the_collector() {
        let (shop, index) = unanswered(3_100);
        shop.must_break_at(&OneTrace, index, "no span says so");
    }

    #[test]
    fn rejects_gaps_where_the_collector_answered_afterwards() {
        let (mut shop, index) = unanswered(10);
        collected(&mut shop, &[span("t", "1", "")]);
        shop.must_break_at(&OneTrace, index, "no span says so");
    }

    #[test]
    fn accepts_one_tree_that_arrives_in_parts_and_twice() {
        let mut shop = Shop::open();
        shop.applies("payment", "a", "paid");
        collected(&mut shop, &[span("t", "2", "1"), span("t", "3", "1")]);
        collected(&mut shop, &[span("t", "1", ""), span("t", "2", "1")]);
        assert_eq!(shop.judged_by(&OneTrace), Verdict::Holds);
    }

    #[test]
    fn accepts_gaps_where_a_service_died() {
        let mut shop = Shop::open();
        shop.applies("payment", "a", "paid");
        shop.happens(What::HostCrashed);
        collected(&mut shop, &[span("t", "3", "2")]);
        assert_eq!(shop.judged_by(&OneTrace), Verdict::Holds);
    }

    #[test]
    fn is_vacuous_where_nothing_arrives() {
        let mut shop = Shop::open();
        export(
            &mut shop,
            ExternalOutcome::Unavailable,
            true,
            &[span("t", "1", "")],
        );
        assert!(matches!(shop.judged_by(&OneTrace), Verdict::Vacuous(_)));
    }

    #[test]
    fn rejects_a_second_trace_even_where_a_service_died() {
        let mut shop = Shop::open();
        shop.happens(What::HostCrashed);
        collected(&mut shop, &[span("t", "1", "")]);
        let index = collected(&mut shop, &[span("u", "2", "")]);
        shop.must_break_at(&OneTrace, index, "trace of its own");
    }

    #[test]
    fn rejects_a_second_root_even_where_a_service_died() {
        let mut shop = Shop::open();
        shop.happens(What::HostCrashed);
        collected(&mut shop, &[span("t", "1", "")]);
        let index = collected(&mut shop, &[span("t", "2", "")]);
        shop.must_break_at(&OneTrace, index, "second root");
    }

    #[test]
    fn rejects_a_gap_that_nobody_made() {
        let mut shop = Shop::open();
        let index = collected(&mut shop, &[span("t", "1", ""), span("t", "3", "2")]);
        shop.must_break_at(&OneTrace, index, "never arrived");
    }

    #[test]
    fn rejects_a_tree_without_a_root() {
        let mut shop = Shop::open();
        let index = collected(&mut shop, &[span("t", "1", "2"), span("t", "2", "1")]);
        shop.must_break_at(&OneTrace, index, "no root");
    }

    #[test]
    fn rejects_an_effect_without_a_span() {
        let mut shop = Shop::open();
        let index = shop.applies("shipping", "a", "sent");
        collected(&mut shop, &[span("t", "1", "")]);
        shop.must_break_at(&OneTrace, index, "no span says so");
    }
}
