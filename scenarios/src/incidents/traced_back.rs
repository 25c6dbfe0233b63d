//! *Traced back to sanity*: a customer changes an address, and search goes on showing the old one, because its release cannot read
//! that one event.
//!
//! Counted are the lines that the services really logged. Whoever has no correlation ids reads every stream from the time of
//! the request on, until the line that tells; whoever has them asks for the lines of the one flow. How long a person takes for a
//! line is not measured.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use reference_system::consumer::{self, Failure, Handler, Prepared};
use reference_system::event::Event;
use reference_system::event::contract::event_type::ORDER_READDRESSED;
use reference_system::{Database, Environment};
use serde_json::Value;
use stormglass::Seed;
use stormglass::history::{Announcement, Fact, History, What};
use stormglass::plan::{self, Plan};

use super::sale::{Sale, plan, run};
use super::{Finding, Incident, MeasureError};
use crate::deploy::{Deployment, Extent, Processes};
use crate::workload::Operation;

/// The article's incident.
pub(super) struct TracedBack;

const SALE: Sale = Sale {
    from: Duration::from_secs(1),
    lasts: Duration::from_secs(60),
    orders: 60,
};
/// One order in so many is readdressed.
const READDRESSED: usize = 6;
/// How long after the order: it is not on its way yet.
const THINKS_MS: u64 = 20;
/// The service that does not show the change.
const SEARCH: &str = "search";

impl Incident for TracedBack {
    fn name(&self) -> &'static str {
        "traced-back"
    }

    fn promise(&self) -> &'static str {
        "one query by correlation id shows the whole chain of a change, and where it broke"
    }

    fn claims(&self) -> &'static [&'static str] {
        &["one-query-traces"]
    }

    fn measure(&self, seeds: &[Seed]) -> Result<Vec<Finding>, MeasureError> {
        let mut searches = Searches::default();
        for seed in seeds {
            let deployment = Deployment::new("traced back")
                .extent(Extent::WithNeighbours)
                .processes(Misreading);
            searches.add(&run(deployment, &readdressing(*seed))?.history);
        }
        Ok(vec![
            Finding::of("one-query-traces", searches.is_shorter())
                .with("without correlation ids", searches.by_hand())
                .with("with them", searches.by_query()),
        ])
    }
}

/// The sale, in which some customers change their minds about the address at once.
fn readdressing(seed: Seed) -> Plan {
    let mut plan = plan(seed, &[SALE], Vec::new());
    let orders = plan.workload.iter().step_by(READDRESSED);
    let changes: Vec<plan::Operation> = orders.filter_map(change_of).collect();
    plan.workload.extend(changes);
    plan.workload.sort_by_key(|own| own.at_ms);
    plan
}

fn change_of(placing: &plan::Operation) -> Option<plan::Operation> {
    let order: Operation = serde_json::from_value(placing.operation.clone()).ok()?;
    let Operation::Place {
        customer,
        idempotency_key,
        ..
    } = order
    else {
        return None;
    };
    let change = Operation::Readdress {
        customer,
        which: 0,
        address: "Harbour Street 9".to_owned(),
        idempotency_key: format!("{idempotency_key}-to-the-harbour"),
        gateway: 0,
    };
    Some(plan::Operation {
        at_ms: placing.at_ms + THINKS_MS,
        // A workload of this crate's own type is always an object.
        operation: serde_json::to_value(change).unwrap_or(Value::Null),
    })
}

/// What it took to find out.
#[derive(Default)]
struct Searches {
    /// Changes that search does not show.
    changes: usize,
    /// Those of them whose chain and failure one query shows.
    explained: usize,
    /// Lines and streams that had to be read, of all changes together.
    lines: usize,
    streams: usize,
    /// Lines that the queries gave, of all changes together.
    found: usize,
    /// The services that those lines are of.
    services: usize,
}

impl Searches {
    fn add(&mut self, history: &History) {
        for event in &history.events {
            if let What::Observed {
                fact: Fact::Announced(announced),
                ..
            } = &event.what
                && announced.event_type == ORDER_READDRESSED
            {
                self.look_for(announced, event.index, history);
            }
        }
    }

    /// Looks for the first error that the search service logged in this flow, by hand and by a query.
    fn look_for(&mut self, change: &Announcement, from: u64, history: &History) {
        self.changes += 1;
        let (mut all, mut of_flow) = (Vec::new(), Vec::new());
        for event in history.events.iter().filter(|event| event.index >= from) {
            let What::Logged {
                level,
                correlation_id,
                ..
            } = &event.what
            else {
                continue;
            };
            all.push(&*event.host);
            if correlation_id.as_deref() != Some(&*change.correlation_id) {
                continue;
            }
            of_flow.push(&*event.host);
            if level == "ERROR" && event.host.starts_with(SEARCH) {
                self.explained += usize::from(of_flow.len() > 1);
                break;
            }
        }
        let hosts = |lines: &[&str]| lines.iter().copied().collect::<BTreeSet<_>>().len();
        self.lines += all.len();
        self.streams += hosts(&all);
        self.found += of_flow.len();
        self.services += hosts(&of_flow);
    }

    /// Whether each query shows how it came to the error, and is less to read.
    fn is_shorter(&self) -> bool {
        self.changes > 0 && self.explained == self.changes && self.found < self.lines
    }

    fn by_hand(&self) -> String {
        let (streams, lines) = (self.each(self.streams), self.each(self.lines));
        format!(
            "{streams:.1} log streams and {lines:.1} lines until the one that tells, for each of {} changes",
            self.changes
        )
    }

    fn by_query(&self) -> String {
        let (services, found) = (self.each(self.services), self.each(self.found));
        let Searches {
            changes, explained, ..
        } = self;
        format!(
            "one query gives {found:.1} lines of {services:.1} services, and the error is among them for {explained} of {changes} changes"
        )
    }

    fn each(&self, sum: usize) -> f64 {
        sum as f64 / self.changes.max(1) as f64
    }
}

/// A search service whose release does not read what an address change says.
struct Misreading;

#[async_trait(?Send)]
impl Processes for Misreading {
    async fn consume(&self, environment: Environment, handler: Box<dyn Handler>) {
        let handler = match handler.consumer() {
            SEARCH => Box::new(Misread(handler)),
            _ => handler,
        };
        consumer::run(environment, handler).await
    }
}

struct Misread(Box<dyn Handler>);

#[async_trait]
impl Handler for Misread {
    fn consumer(&self) -> &'static str {
        self.0.consumer()
    }

    fn topics(&self) -> &'static [&'static str] {
        self.0.topics()
    }

    fn handles(&self) -> &'static [&'static str] {
        self.0.handles()
    }

    async fn prepare(
        &self,
        database: &Database,
        event: &Event,
    ) -> Result<Box<dyn Prepared>, Failure> {
        if event.event_type == ORDER_READDRESSED {
            let problem = "missing field `street`".to_owned();
            return Err(Failure::Permanent(problem));
        }
        self.0.prepare(database, event).await
    }
}
