//! A sample: what one run showed, out of its history and the final state alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use reference_system::dead_letter;
use serde_json::Value;
use stormglass::checker::{EntityOrder, Property, Verdict};
use stormglass::history::{Answer, CLIENT, Event, ExternalOutcome, Fact, History, What};
use stormglass::simulation::Run;
use stormglass_reports::comparison::Cell;

use crate::MoneyAndStock;
use crate::deploy::{CARD_PROCESSOR, MAILER};
use crate::incidents::figures::Orders;
use crate::workload::Operation;

/// What one run of one pattern showed.
#[derive(Debug, Default)]
pub(super) struct Sample {
    bitten: bool,
    accepted: u64,
    refused: u64,
    pub(super) lost: u64,
    events_lost: u64,
    ghosts: u64,
    published_again: u64,
    effects_twice: u64,
    inversions: u64,
    books_wrong: u64,
    /// From each request to its answer, in milliseconds.
    pub(super) answers: Vec<Option<u64>>,
    /// From each request whose order was accepted to the mail that its parcel is on its way.
    pub(super) effects: Vec<Option<u64>>,
    asked_meanwhile: u64,
    accepted_meanwhile: u64,
    backlog: Backlog,
    commits: u64,
    pub(super) publishes: u64,
    deliveries: u64,
}

/// Events that were committed and not yet published.
#[derive(Debug, Default)]
struct Backlog {
    peak: u64,
    age_ms: u64,
    drained_ms: Option<u64>,
}

impl Sample {
    /// What a run showed; `window` is when something was down, in milliseconds.
    pub(super) fn of(run: &Run, window: Option<Range<u64>>) -> Self {
        let history = &run.history;
        let orders = Orders::of(history);
        let events = Events::of(history);
        let count = |wanted: fn(&What) -> bool| {
            let own = history.events.iter().filter(|event| wanted(&event.what));
            own.count() as u64
        };
        let mut sample = Sample {
            bitten: !run.bitten.is_empty(),
            accepted: orders.accepted,
            refused: orders.refused,
            lost: orders.lost,
            events_lost: events.lost(),
            ghosts: events.ghosts(),
            published_again: events.published_again(),
            effects_twice: events.effects_twice(),
            inversions: is_broken(&EntityOrder, history),
            books_wrong: is_broken(&MoneyAndStock, history),
            backlog: Backlog::of(history, window.as_ref().map(|own| own.end)),
            commits: count(|what| matches!(what, What::Committed { .. })),
            publishes: events.published.values().sum(),
            deliveries: count(|what| matches!(what, What::Delivered { .. })),
            ..Sample::default()
        };
        sample.customers(history, window);
        sample
    }

    /// What customers saw: answers, mails, and whether they were served while something was down.
    fn customers(&mut self, history: &History, window: Option<Range<u64>>) {
        let shipped = shipped(history);
        let accepted = customers_of_orders(history);
        for asked in history.operations() {
            let at = time_of(history, asked.index);
            let told = asked.told;
            let answered = told.map(|told| time_of(history, told.index) - at);
            self.answers.push(answered);
            let is_done = told.is_some_and(|told| told.answer == Answer::Done);
            if window.as_ref().is_some_and(|window| window.contains(&at)) {
                self.asked_meanwhile += 1;
                self.accepted_meanwhile += u64::from(is_done);
            }
            let customer = customer(asked.text);
            if accepted.contains(&*customer) {
                let effect = shipped.get(&*customer).map(|effect| effect - at);
                self.effects.push(effect);
            }
        }
    }

    /// The median time to the effect, if half of the orders had one.
    pub(super) fn median(&self) -> Option<u64> {
        let mut effects = self.effects.clone();
        effects.sort_by_key(|effect| effect.unwrap_or(u64::MAX));
        effects.get(effects.len() / 2).copied().flatten()
    }

    /// Adds the run to what all runs of its cell showed.
    pub(super) fn add_to(&self, cell: &mut Cell) {
        cell.runs += 1;
        cell.bitten += u64::from(self.bitten);
        cell.accepted += self.accepted;
        cell.refused += self.refused;
        cell.orders_lost.add(self.lost);
        cell.events_lost.add(self.events_lost);
        cell.ghosts.add(self.ghosts);
        cell.published_again.add(self.published_again);
        cell.effects_twice.add(self.effects_twice);
        cell.inversions.add(self.inversions);
        cell.books_wrong.add(self.books_wrong);
        cell.asked_meanwhile += self.asked_meanwhile;
        cell.accepted_meanwhile += self.accepted_meanwhile;
        cell.backlog_peak = cell.backlog_peak.max(self.backlog.peak);
        cell.backlog_age_ms = cell.backlog_age_ms.max(self.backlog.age_ms);
        match self.backlog.drained_ms {
            Some(drained) => cell.drained_ms = cell.drained_ms.max(drained),
            None => cell.never_drained += 1,
        }
        cell.commits += self.commits;
        cell.publishes += self.publishes;
        cell.deliveries += self.deliveries;
    }
}

/// How many processes of the shop's own had anything to do; the products that they use are left out, and the customers.
pub(super) fn processes(run: &Run) -> u64 {
    let servers = &run.history.description.servers;
    let events = run.history.events.iter();
    let started = events.clone().filter_map(|event| match event.what {
        What::HostStarted { .. } => Some(&*event.host),
        _ => None,
    });
    let busy = events.filter(|event| {
        let is_idle = matches!(event.what, What::HostStarted { .. } | What::Logged { .. });
        !is_idle
    });
    let busy: BTreeSet<&str> = busy.map(|event| &*event.host).collect();
    let own = started.filter(|host| busy.contains(host) && !servers.contains(*host));
    let own = own.filter(|host| ![CARD_PROCESSOR, MAILER, CLIENT].contains(host));
    own.collect::<BTreeSet<&str>>().len() as u64
}

fn is_broken(property: &dyn Property, history: &History) -> u64 {
    u64::from(matches!(property.check(history), Verdict::Broken(_)))
}

fn millis(event: &Event) -> u64 {
    event.at.as_millis() as u64
}

fn time_of(history: &History, index: u64) -> u64 {
    history.events.get(index as usize).map_or(0, millis)
}

/// The customer of a request: each order of the load has one of its own.
fn customer(text: &str) -> String {
    match serde_json::from_str(text) {
        Ok(Operation::Place { customer, .. }) => customer,
        _ => String::new(),
    }
}

/// The customers whose orders stand in the books at the end.
fn customers_of_orders(history: &History) -> BTreeSet<&str> {
    let orders = history.final_state(crate::deploy::view::ORDERS);
    let rows = orders.map(|(_, rows)| rows).unwrap_or_default();
    rows.iter()
        .filter_map(|row| row.get("customer")?.as_str())
        .collect()
}

/// When each customer was first told that the parcel is on its way.
fn shipped(history: &History) -> BTreeMap<&str, u64> {
    let mut shipped = BTreeMap::new();
    for event in &history.events {
        let What::ExternalCalled {
            provider,
            request,
            outcome: ExternalOutcome::Booked,
            ..
        } = &event.what
        else {
            continue;
        };
        let field = |name: &str| request.get(name).and_then(Value::as_str);
        if **provider == *MAILER && field("occasion") == Some("dispatched") {
            shipped
                .entry(field("to").unwrap_or_default())
                .or_insert(millis(event));
        }
    }
    shipped
}

/// What was committed, published and applied, by the ids of events.
struct Events<'h> {
    announced: BTreeSet<&'h str>,
    published: BTreeMap<&'h str, u64>,
    applied: BTreeMap<(&'h str, &'h str), u64>,
}

impl<'h> Events<'h> {
    fn of(history: &'h History) -> Self {
        let mut events = Events {
            announced: BTreeSet::new(),
            published: BTreeMap::new(),
            applied: BTreeMap::new(),
        };
        let groups = history.description.groups.keys();
        let parking: BTreeSet<String> = groups.map(|group| dead_letter::topic(group)).collect();
        for event in &history.events {
            match &event.what {
                What::Observed {
                    fact: Fact::Announced(own),
                    ..
                } => {
                    events.announced.insert(&own.event_id);
                }
                What::Observed {
                    fact: Fact::Applied(own),
                    ..
                } => {
                    *events
                        .applied
                        .entry((&own.consumer, &own.event_id))
                        .or_default() += 1
                }
                What::Published { position, message } if !parking.contains(&*position.topic) => {
                    if let Some(id) = message.event_id() {
                        *events.published.entry(id).or_default() += 1;
                    }
                }
                _ => {}
            }
        }
        events
    }

    /// Committed and in no log; where nothing is published at all, nothing was to be.
    fn lost(&self) -> u64 {
        match self.published.is_empty() {
            true => 0,
            false => {
                let lost = self
                    .announced
                    .iter()
                    .filter(|id| !self.published.contains_key(*id));
                lost.count() as u64
            }
        }
    }

    fn ghosts(&self) -> u64 {
        let ghosts = self
            .published
            .keys()
            .filter(|id| !self.announced.contains(*id));
        ghosts.count() as u64
    }

    fn published_again(&self) -> u64 {
        self.published.values().map(|times| times - 1).sum()
    }

    fn effects_twice(&self) -> u64 {
        self.applied.values().map(|times| times - 1).sum()
    }
}

impl Backlog {
    /// The backlog of a run, and how long after `until_ms` it took to be gone.
    fn of(history: &History, until_ms: Option<u64>) -> Self {
        let is_published = history
            .events
            .iter()
            .any(|event| matches!(event.what, What::Published { .. }));
        let mut waiting: BTreeMap<&str, u64> = BTreeMap::new();
        let mut backlog = Backlog {
            drained_ms: Some(0),
            ..Backlog::default()
        };
        if !is_published {
            return backlog;
        }
        let until_ms = until_ms.unwrap_or_default();
        for event in &history.events {
            match &event.what {
                What::Observed {
                    fact: Fact::Announced(own),
                    ..
                } => {
                    waiting.insert(&own.event_id, millis(event));
                    backlog.peak = backlog.peak.max(waiting.len() as u64);
                }
                What::Published { message, .. } => {
                    let since = message.event_id().and_then(|id| waiting.remove(id));
                    if let Some(since) = since {
                        backlog.age_ms = backlog.age_ms.max(millis(event) - since);
                        if until_ms > 0 && since <= until_ms && millis(event) > until_ms {
                            backlog.drained_ms = Some(millis(event) - until_ms);
                        }
                    }
                }
                _ => {}
            }
        }
        if !waiting.is_empty() {
            backlog.drained_ms = None;
        }
        backlog
    }
}
