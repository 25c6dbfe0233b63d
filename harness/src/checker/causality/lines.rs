//! Log lines: under which correlation ids a host may speak.
//!
//! A line without an id is not judged, because nothing tells whether it belongs to a chain at all.
//! A host may also be asked about anything by a call that leaves nothing in the history; that a
//! line is crossed is therefore only concluded where the line itself names an event.

use std::collections::{BTreeMap, BTreeSet};

use super::origin::Origins;
use crate::checker::breach::Breach;
use crate::checker::placements::Placements;
use crate::checker::trail::{Trails, correlation_of};
use crate::history::{Event, Fact, What, short};

/// A log line that carries a correlation id.
struct Line<'h> {
    index: u64,
    host: &'h str,
    text: &'h str,
    flow: &'h str,
}

/// Every line that carries an id which it should not carry.
pub(super) fn breaches<'h>(trails: &Trails<'h>, origins: &Origins<'h>) -> Vec<Breach<'h>> {
    let consumers: BTreeSet<&str> = trails.handlings().map(|held| held.host).collect();
    let is_ingress = |host: &str| !consumers.contains(host) || origins.is_ingress(host);
    let (known, unknown): (Vec<_>, Vec<_>) =
        lines(trails).partition(|line| origins.knows(line.flow));
    let mut breaches = unknown_flows(unknown, is_ingress);
    let of_consumers = known.into_iter().filter(|line| !is_ingress(line.host));
    breaches.extend(crossed(of_consumers.collect(), trails, origins));
    breaches
}

fn lines<'h>(trails: &Trails<'h>) -> impl Iterator<Item = Line<'h>> {
    let events = trails.history.events.iter();
    events.filter_map(|event| match &event.what {
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

/// Lines under a correlation id that no event carries. A request that failed leaves such lines too,
/// so an id is excused that some host logged at which requests come in: one that is handed no
/// messages, or that committed a root event.
fn unknown_flows<'h>(lines: Vec<Line<'h>>, is_ingress: impl Fn(&str) -> bool) -> Vec<Breach<'h>> {
    let mut hosts_of_flow: BTreeMap<&str, (u64, BTreeSet<&str>)> = BTreeMap::new();
    for line in lines {
        let hosts = hosts_of_flow
            .entry(line.flow)
            .or_insert((line.index, BTreeSet::new()));
        hosts.1.insert(line.host);
    }
    hosts_of_flow
        .into_iter()
        .filter(|(_, (_, hosts))| !hosts.iter().any(|host| is_ingress(host)))
        .map(|(flow, (index, hosts))| {
            let (host, flow) = (hosts.first().copied().unwrap_or_default(), short(flow));
            let summary = format!(
                "{host} logged correlation id {flow}, which no request and no event brought in"
            );
            Breach::at(index, summary)
        })
        .collect()
}

/// Lines about an event under the id of another flow, of which nothing ever reached the host.
fn crossed<'h>(
    lines: Vec<Line<'h>>,
    trails: &Trails<'h>,
    origins: &Origins<'h>,
) -> Vec<Breach<'h>> {
    if lines.is_empty() {
        return Vec::new();
    }
    let flows = Flows::of(trails);
    let strange = lines
        .into_iter()
        .filter(|line| !flows.reached(line.host, line.flow));
    strange
        .filter_map(|line| {
            let named: Vec<usize> = words(line.text)
                .filter_map(|word| trails.number_of(word))
                .collect();
            let flow_of = |number: &usize| origins.get(*number).map(|origin| origin.correlation);
            let about = &trails.trails[*named.first()?];
            let own = named
                .iter()
                .any(|number| flow_of(number).is_none_or(|own| own == line.flow));
            (!own).then(|| {
                let (host, name, flow) = (line.host, about.name(), short(line.flow));
                let summary = format!(
                    "{host} logged a line about {name} under correlation id {flow}, of which \
                     nothing ever reached it"
                );
                Breach::at(line.index, summary).and_about([about.event_id])
            })
        })
        .collect()
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
    fn of(trails: &Trails<'h>) -> Self {
        let mut flows = Flows::default();
        let mut messages = Placements::new();
        for event in &trails.history.events {
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
        let of_host = self.of_hosts.entry(&event.host).or_default();
        match &event.what {
            What::Published { position, .. } | What::Delivered { position, .. } => {
                of_host.extend(messages.get(position));
            }
            What::Committed { database } => {
                self.databases
                    .entry(&event.host)
                    .or_default()
                    .insert(database);
            }
            What::Observed { database, fact, .. } => {
                let flow = match fact {
                    Fact::Announced(announcement) => &announcement.correlation_id,
                    Fact::Applied(effect) | Fact::Discarded(effect) => &effect.correlation_id,
                };
                self.of_databases.entry(database).or_default().insert(flow);
            }
            _ => {}
        }
    }

    fn reached(&self, host: &str, flow: &str) -> bool {
        let own = self.of_hosts.get(host).into_iter();
        let databases = self.databases.get(host).into_iter().flatten();
        let rows = databases.filter_map(|database| self.of_databases.get(database));
        own.chain(rows).any(|flows| flows.contains(flow))
    }
}
