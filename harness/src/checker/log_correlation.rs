//! `log-correlation`: what a service says in its log about a flow stands under that flow's id.
//!
//! Log lines are the one claim of a service that is read, because the claim itself is what is promised.
//! A line without an id is not judged, because nothing tells whether it belongs to a flow at all, nor
//! is which of several flows that a host works on at once a line belongs to.

use std::collections::{BTreeMap, BTreeSet};

use super::breach::{Breach, judge};
use super::origins::{Cause, Origins};
use super::placements::Placements;
use super::trail::{Trails, correlation_of};
use super::{Property, Verdict};
use crate::history::{Event, Fact, History, What};

/// A host logs under no correlation id that nothing brought to it.
///
/// Requests come in unseen at a host that is handed no events, and at one that announced or published
/// an event with no other event as its cause: under which ids these log is not judged, and an id that
/// one of them logged may be logged elsewhere. Every other host has its ids from events; where it logs
/// under the id of a flow that it never met, that flow may have come with a call, so it is accused only
/// where the line names an event of another flow.
///
/// The id of a line is the field `correlation_id` of the line itself or of its innermost span.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogCorrelation;

impl Property for LogCorrelation {
    fn id(&self) -> &str {
        "log-correlation"
    }

    fn promise(&self) -> &str {
        "a log line that carries a correlation id carries that of its own flow"
    }

    fn check(&self, history: &History) -> Verdict {
        let trails = Trails::gather(history);
        let origins = Origins::of(&trails);
        let ingress = Ingress::of(&trails, &origins);
        let flows = Flows::of(history);
        let lines: Vec<Line<'_>> = lines(history).collect();
        let strange = lines.iter().filter(|line| {
            let is_known = flows.know(line.flow) && !flows.reached(line.host, line.flow);
            is_known && !ingress.is_at(line.host)
        });
        let crossed = strange.filter_map(|line| crossed(line, &trails, &origins));
        let unknown = unknown_flows(&lines, &flows, &ingress);
        if let Some(broken) = judge(history, crossed.chain(unknown)) {
            return broken;
        }
        if lines.iter().any(|line| !ingress.is_at(line.host)) {
            return Verdict::Holds;
        }
        let reason = "no host that has its flows from events logged under a correlation id";
        Verdict::Vacuous(reason.to_owned())
    }
}

/// A log line that carries a correlation id.
struct Line<'h> {
    index: u64,
    host: &'h str,
    text: &'h str,
    flow: &'h str,
}

fn lines(history: &History) -> impl Iterator<Item = Line<'_>> {
    history.events.iter().filter_map(|event| match &event.what {
        What::Logged {
            message,
            correlation_id: Some(flow),
            ..
        } if !flow.is_empty() => Some(Line {
            index: event.index,
            host: &event.host,
            text: message,
            flow,
        }),
        _ => None,
    })
}

/// The hosts at which requests come in.
struct Ingress<'h> {
    consumers: BTreeSet<&'h str>,
    of_roots: BTreeSet<&'h str>,
}

impl<'h> Ingress<'h> {
    fn of(trails: &Trails<'h>, origins: &Origins<'h>) -> Self {
        let roots = origins.all().map(|(_, own)| own);
        let roots = roots.filter(|own| !matches!(own.cause, Cause::Event(_)));
        Ingress {
            consumers: trails.consumers(),
            of_roots: roots.map(|own| own.host).collect(),
        }
    }

    fn is_at(&self, host: &str) -> bool {
        !self.consumers.contains(host) || self.of_roots.contains(host)
    }
}

/// Lines under a correlation id that no event carries. A request that failed leaves such lines too,
/// so an id is excused that was logged where requests come in.
fn unknown_flows<'h>(
    lines: &[Line<'h>],
    flows: &Flows<'h>,
    ingress: &Ingress<'h>,
) -> Vec<Breach<'h>> {
    let mut unknown: BTreeMap<&str, Vec<&Line<'h>>> = BTreeMap::new();
    for line in lines.iter().filter(|line| !flows.know(line.flow)) {
        unknown.entry(line.flow).or_default().push(line);
    }
    unknown.retain(|_, lines| !lines.iter().any(|line| ingress.is_at(line.host)));
    let first = unknown.values().map(|lines| lines[0]);
    first
        .map(|line| {
            let (host, flow) = (line.host, line.flow);
            let summary = format!(
                "{host} logged correlation id {flow}, which no request and no event brought in"
            );
            Breach::at(line.index, summary).by_rule("unknown-flow")
        })
        .collect()
}

/// A line about an event under the id of another flow.
fn crossed<'h>(line: &Line<'h>, trails: &Trails<'h>, origins: &Origins<'h>) -> Option<Breach<'h>> {
    let named = words(line.text).filter_map(|word| trails.number_of(word));
    let named: Vec<usize> = named.collect();
    let about = &trails.trails[*named.first()?];
    let flow_of = |number: &usize| origins.get(*number).map_or("", |own| own.correlation);
    let is_own = |flow: &str| flow.is_empty() || flow == line.flow;
    let crossed = !named.iter().map(flow_of).any(is_own);
    crossed.then(|| {
        let (host, name, flow) = (line.host, about.name(), line.flow);
        let summary = format!(
            "{host} logged a line about {name} under correlation id {flow}, of which nothing ever \
             reached it"
        );
        let breach = Breach::at(line.index, summary).by_rule("crossed-flow");
        breach.and_about([about.event_id])
    })
}

/// The words of a line that an event's id may be one of.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_inside = |c: char| c.is_alphanumeric() || "-_.:/@#".contains(c);
    text.split(move |c| !is_inside(c))
        .map(|word| word.trim_end_matches(['.', ':']))
        .filter(|word| !word.is_empty())
}

/// The flows that reached each host: in messages that it was handed or published, and in rows of
/// the databases that it committed to.
#[derive(Default)]
struct Flows<'h> {
    of_hosts: BTreeMap<&'h str, BTreeSet<&'h str>>,
    of_databases: BTreeMap<&'h str, BTreeSet<&'h str>>,
    databases: BTreeMap<&'h str, BTreeSet<&'h str>>,
}

impl<'h> Flows<'h> {
    fn of(history: &'h History) -> Self {
        let mut flows = Flows::default();
        let mut messages = Placements::new();
        for event in &history.events {
            if let What::Published { position, message } = &event.what
                && let Some(flow) = correlation_of(message)
            {
                messages.insert(position, flow);
            }
            flows.read(event, &messages);
        }
        flows
    }

    fn read(&mut self, event: &'h Event, messages: &Placements<'h, &'h str>) {
        let host = &*event.host;
        match &event.what {
            What::Published { position, .. } | What::Delivered { position, .. } => {
                let own = self.of_hosts.entry(host).or_default();
                own.extend(messages.get(position));
            }
            What::Committed { database } => {
                self.databases.entry(host).or_default().insert(database);
            }
            What::Observed { database, fact, .. } => {
                let flow = match fact {
                    Fact::Announced(announcement) => &announcement.correlation_id,
                    Fact::Applied(effect) | Fact::Discarded(effect) => &effect.correlation_id,
                    Fact::Withheld(_) => return,
                };
                self.of_databases.entry(database).or_default().insert(flow);
            }
            _ => {}
        }
    }

    fn know(&self, flow: &str) -> bool {
        let mut all = self.of_hosts.values().chain(self.of_databases.values());
        all.any(|flows| flows.contains(flow))
    }

    fn reached(&self, host: &str, flow: &str) -> bool {
        let own = self.of_hosts.get(host).into_iter();
        let databases = self.databases.get(host).into_iter().flatten();
        let rows = databases.filter_map(|database| self.of_databases.get(database));
        own.chain(rows).any(|flows| flows.contains(flow))
    }
}

#[cfg(test)]
mod tests {
    use super::LogCorrelation;
    use crate::checker::test_history::{
        Tale, assert_holds, assert_vacuous, at, broken_at, correlated, flow,
    };
    use crate::history::What;

    fn logs(tale: &mut Tale, host: &str, correlation: &str) -> u64 {
        says(tale, host, "working", Some(correlation))
    }

    fn says(tale: &mut Tale, host: &str, text: &str, correlation: Option<&str>) -> u64 {
        let line = What::Logged {
            level: "INFO".to_owned(),
            message: text.to_owned(),
            correlation_id: correlation.map(str::to_owned),
        };
        tale.happens(host, line)
    }

    #[test]
    fn accepts_log_lines_of_a_chain() {
        let mut tale = Tale::of_a_chain();
        logs(&mut tale, "billing", "flow-1");
        assert_holds(&LogCorrelation, &tale);
    }

    #[test]
    fn accepts_log_lines_of_a_request_that_failed() {
        let mut tale = Tale::of_a_chain();
        logs(&mut tale, "billing", "flow-9");
        logs(&mut tale, "gateway", "flow-9");
        let (group, position) = ("orders".into(), at("orders", 0));
        let delivered = What::Delivered {
            group,
            position,
            attempt: 1,
            generation: 1,
        };
        tale.happens("orders", delivered);
        logs(&mut tale, "orders", "flow-8");
        assert_holds(&LogCorrelation, &tale);
    }

    #[test]
    fn accepts_log_lines_under_every_flow_that_reached_the_host() {
        let mut tale = Tale::of_a_chain();
        for (id, entity, own) in [("e3", "order-3", "flow-3"), ("e4", "order-4", "flow-4")] {
            tale.announces("orders", flow(id, entity, own, "request"));
        }
        tale.sends("orders", correlated("e3", "flow-3", "request"));
        tale.delivers("e3");
        tale.applies_under("e4", "flow-4");
        for flow in ["flow-3", "flow-4"] {
            says(&mut tale, "billing", "waits for event_id=e1", Some(flow));
        }
        // No id says nothing; and somebody may have asked for a report under a flow of his own.
        says(&mut tale, "billing", "handling event_id=e1", None);
        tale.announces("orders", flow("e9", "order-9", "flow-9", "request-9"));
        logs(&mut tale, "billing", "flow-9");
        says(&mut tale, "billing", "e1 goes before e9.", Some("flow-9"));
        assert_holds(&LogCorrelation, &tale);
    }

    #[test]
    fn rejects_log_lines_under_an_id_that_a_consumer_made_up() {
        let mut tale = Tale::of_a_chain();
        let made_up = logs(&mut tale, "billing", "flow-made-up");
        assert_eq!(broken_at(&LogCorrelation, &tale), Some(made_up));
    }

    #[test]
    fn rejects_a_log_line_about_an_event_under_a_flow_that_the_host_never_had() {
        let mut tale = Tale::of_a_chain();
        tale.announces("orders", flow("e9", "order-9", "flow-9", "request-9"));
        let crossed = says(&mut tale, "billing", "handling event_id=e1", Some("flow-9"));
        assert_eq!(broken_at(&LogCorrelation, &tale), Some(crossed));
    }

    #[test]
    fn is_vacuous_where_only_an_ingress_logs() {
        let mut tale = Tale::of_a_chain();
        logs(&mut tale, "orders", "flow-1");
        says(&mut tale, "billing", "working", None);
        assert_vacuous(&LogCorrelation, &tale);
    }
}
