//! A sample: what one run showed, out of its history and the final state alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use reference_system::dead_letter;
use serde_json::Value;
use stormglass::checker::{EntityOrder, Property, Verdict};
use stormglass::history::{Answer, CLIENT, ExternalOutcome, Fact, History, What};
use stormglass::plan::Call;
use stormglass::simulation::Run;
use stormglass_reports::comparison::Cell;

use crate::MoneyAndStock;
use crate::deploy::{CARD_PROCESSOR, MAILER, MONITOR, PAGER};
use crate::incidents::figures::{self, Backlog, Orders};
use crate::incidents::sale::millis;
use crate::workload::Operation;

/// When the faults of a run come, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct When {
    /// When the first of them does, if there are any.
    pub(super) begins: Option<u64>,
    /// When something is down, if it is for a while.
    pub(super) window: Option<Range<u64>>,
}

/// What one run of one pattern showed.
#[derive(Debug, Default)]
pub(super) struct Sample {
    bitten: bool,
    accepted: u64,
    refused: u64,
    pub(super) lost: u64,
    untold: u64,
    events: Events,
    inversions: u64,
    books_wrong: u64,
    /// From each request to its answer, in milliseconds.
    pub(super) answers: Vec<Option<u64>>,
    /// From each request whose order was accepted to the mail that its parcel is on its way.
    pub(super) effects: Vec<Option<u64>>,
    asked_meanwhile: u64,
    accepted_meanwhile: u64,
    /// Whether a monitor had somebody told that something is wrong.
    paged: bool,
    /// From the first fault until somebody was told, in milliseconds, where faults had an effect and monitors watch; the inner
    /// `None` where nobody ever was.
    pub(super) noticed: Option<Option<u64>>,
    /// Of events that were committed and not yet published, where a broker is used.
    backlog: Option<Backlog>,
    statements: u64,
    commits: u64,
    publishes: u64,
    deliveries: u64,
}

impl Sample {
    /// What a run showed. Whether services use a broker, and so are watched, is to be said: that nothing is published may be the
    /// worst of losses.
    pub(super) fn of(run: &Run, when: &When, uses_broker: bool) -> Self {
        let bitten = !run.bitten.is_empty();
        let mut sample = Sample::of_history(&run.history, bitten, when, uses_broker);
        let statements = run.calls.iter();
        let statements =
            statements.filter(|((host, call), _)| *call == Call::Statement && !is_monitor(host));
        sample.statements = statements.map(|(_, times)| times).sum();
        sample
    }

    fn of_history(history: &History, bitten: bool, when: &When, uses_broker: bool) -> Self {
        let When { begins, window } = when;
        let orders = Orders::of(history);
        let count = |wanted: fn(&What) -> bool| {
            let own = history.events.iter();
            let own = own.filter(|event| wanted(&event.what) && !is_monitor(&event.host));
            own.count() as u64
        };
        let pages: Vec<u64> = figures::pages(history).map(|(at, _)| millis(at)).collect();
        let noticed = |begins| {
            let since = pages.iter().filter_map(|at| at.checked_sub(begins));
            since.min()
        };
        let until = match window {
            Some(window) => Duration::from_millis(window.end),
            None => history.events.last().map_or(Duration::ZERO, |last| last.at),
        };
        let mut sample = Sample {
            bitten,
            paged: !pages.is_empty(),
            noticed: begins.filter(|_| bitten && uses_broker).map(noticed),
            accepted: orders.accepted,
            refused: orders.refused,
            lost: orders.lost,
            events: Events::of(history, uses_broker),
            inversions: is_broken(&EntityOrder, history),
            books_wrong: is_broken(&MoneyAndStock, history),
            backlog: uses_broker.then(|| Backlog::of(history, until)),
            commits: count(|what| matches!(what, What::Committed { .. })),
            publishes: count(|what| matches!(what, What::Published { .. })),
            deliveries: count(|what| matches!(what, What::Delivered { .. })),
            ..Sample::default()
        };
        sample.customers(history, window.as_ref());
        sample
    }

    /// What customers saw: answers, mails, and whether they were served while something was down.
    fn customers(&mut self, history: &History, window: Option<&Range<u64>>) {
        let told = dispatched(history);
        let states = states_of_orders(history);
        for asked in history.operations() {
            let at = time_of(history, asked.index);
            let answer = asked.told;
            let answered = answer.map(|told| time_of(history, told.index) - at);
            self.answers.push(answered);
            let is_done = answer.is_some_and(|told| told.answer == Answer::Done);
            if window.is_some_and(|window| window.contains(&at)) {
                self.asked_meanwhile += 1;
                self.accepted_meanwhile += u64::from(is_done);
            }
            let customer = customer(asked.text);
            let Some(state) = states.get(&*customer) else {
                continue;
            };
            let effect = told.get(&*customer).map(|effect| effect - at);
            self.untold += u64::from(*state == "shipped" && effect.is_none());
            self.effects.push(effect);
        }
    }

    /// Adds the run to what all runs of its cell showed.
    pub(super) fn add_to(&self, cell: &mut Cell) {
        cell.runs += 1;
        cell.bitten += u64::from(self.bitten);
        cell.accepted += self.accepted;
        cell.refused += self.refused;
        cell.orders_lost.add(self.lost);
        cell.paged += u64::from(self.paged);
        cell.lost_unnoticed
            .add(if self.paged { 0 } else { self.lost });
        cell.untold.add(self.untold);
        cell.events_lost.add(self.events.lost);
        cell.ghosts.add(self.events.ghosts);
        cell.published_again.add(self.events.published_again);
        cell.effects_twice.add(self.events.effects_twice);
        cell.inversions.add(self.inversions);
        cell.books_wrong.add(self.books_wrong);
        cell.asked_meanwhile += self.asked_meanwhile;
        cell.accepted_meanwhile += self.accepted_meanwhile;
        if let Some(Backlog {
            peak,
            oldest,
            drained_in,
        }) = self.backlog
        {
            cell.backlog_peak = cell.backlog_peak.max(peak as u64);
            cell.backlog_age_ms = cell.backlog_age_ms.max(millis(oldest));
            let drained = drained_in.map_or(0, millis);
            cell.drained_ms = cell.drained_ms.max(drained);
            cell.never_drained += u64::from(drained_in.is_none());
        }
        cell.statements += self.statements;
        cell.commits += self.commits;
        cell.publishes += self.publishes;
        cell.deliveries += self.deliveries;
    }
}

/// Whether it is the monitor's host, which is no part of any pattern.
fn is_monitor(host: &str) -> bool {
    host == MONITOR || host.starts_with("monitor-")
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
    let own = own.filter(|host| ![CARD_PROCESSOR, MAILER, CLIENT, PAGER].contains(host));
    let own = own.filter(|host| !is_monitor(host));
    own.collect::<BTreeSet<&str>>().len() as u64
}

fn is_broken(property: &dyn Property, history: &History) -> u64 {
    u64::from(matches!(property.check(history), Verdict::Broken(_)))
}

fn time_of(history: &History, index: u64) -> u64 {
    let event = history.events.get(index as usize);
    event.map_or(0, |event| millis(event.at))
}

/// The customer of a request: each order of the load has one of its own.
fn customer(text: &str) -> String {
    match serde_json::from_str(text) {
        Ok(Operation::Place { customer, .. }) => customer,
        _ => String::new(),
    }
}

/// The state at the end of the orders in the books, by their customers.
fn states_of_orders(history: &History) -> BTreeMap<&str, &str> {
    let orders = history.final_state(crate::deploy::view::ORDERS);
    let rows = orders.map(|(_, rows)| rows).unwrap_or_default();
    rows.iter()
        .filter_map(|row| Some((row.get("customer")?.as_str()?, row.get("state")?.as_str()?)))
        .collect()
}

/// When each customer was first told that the parcel is on its way.
fn dispatched(history: &History) -> BTreeMap<&str, u64> {
    let mut dispatched = BTreeMap::new();
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
            dispatched
                .entry(field("to").unwrap_or_default())
                .or_insert(millis(event.at));
        }
    }
    dispatched
}

/// What became of events.
#[derive(Debug, Default, PartialEq, Eq)]
struct Events {
    /// Committed, and never taken by a broker that is there for them.
    lost: u64,
    /// Published without a commit.
    ghosts: u64,
    /// Published more often than once, by the surplus.
    published_again: u64,
    /// Applied by a consumer more often than once, by the surplus.
    effects_twice: u64,
}

impl Events {
    fn of(history: &History, uses_broker: bool) -> Self {
        let mut announced: BTreeSet<&str> = BTreeSet::new();
        let mut published: BTreeMap<&str, u64> = BTreeMap::new();
        let mut applied: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        let groups = history.description.groups.keys();
        let parking: BTreeSet<String> = groups.map(|group| dead_letter::topic(group)).collect();
        for event in &history.events {
            match &event.what {
                What::Observed { fact, .. } => match fact {
                    Fact::Announced(own) => drop(announced.insert(&own.event_id)),
                    Fact::Applied(own) => {
                        let effect = (&*own.consumer, &*own.event_id);
                        *applied.entry(effect).or_default() += 1;
                    }
                    _ => {}
                },
                What::Published { position, message } if !parking.contains(&*position.topic) => {
                    if let Some(id) = message.event_id() {
                        *published.entry(id).or_default() += 1;
                    }
                }
                _ => {}
            }
        }
        let lost = announced.iter().filter(|id| !published.contains_key(*id));
        let ghosts = published.keys().filter(|id| !announced.contains(*id));
        Events {
            lost: if uses_broker { lost.count() as u64 } else { 0 },
            ghosts: ghosts.count() as u64,
            published_again: published.values().map(|times| times - 1).sum(),
            effects_twice: applied.values().map(|times| times - 1).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use stormglass_reports::comparison::{Cell, Count, Latency};

    use super::{Sample, When};
    use crate::test_shop::{PRICE, Shop, order_of};

    /// What the only run of a cell adds to it.
    fn cell_of(shop: Shop, uses_broker: bool) -> Cell {
        let mut cell = Cell::default();
        let sample = Sample::of_history(&shop.closed(), true, &When::default(), uses_broker);
        sample.add_to(&mut cell);
        cell
    }

    fn once(total: u64) -> Count {
        Count { total, seeds: 1 }
    }

    const NONE: Count = Count { total: 0, seeds: 0 };

    /// An order of which everything came, and each event was published once.
    fn shop() -> Shop {
        let mut shop = Shop::open();
        shop.asks_for("one");
        shop.fulfils("one");
        shop.publishes("one", "order.placed");
        shop.mails("one", "dispatched");
        shop
    }

    #[test]
    fn what_goes_as_it_should_counts_as_nothing_else() {
        let cell = cell_of(shop(), true);
        assert_eq!((cell.runs, cell.accepted, cell.publishes), (1, 1, 1));
        for count in [
            cell.orders_lost,
            cell.untold,
            cell.events_lost,
            cell.ghosts,
            cell.published_again,
            cell.effects_twice,
            cell.inversions,
            cell.books_wrong,
        ] {
            assert_eq!(count, NONE, "{cell:?}");
        }
        assert_eq!((cell.backlog_peak, cell.never_drained), (1, 0));
    }

    #[test]
    fn where_nothing_at_all_was_published_all_is_lost_if_there_is_a_broker() {
        let lost = || {
            let mut shop = Shop::open();
            shop.places("one");
            shop.places("two");
            shop
        };
        let cell = cell_of(lost(), true);
        assert_eq!((cell.events_lost, cell.never_drained), (once(2), 1));
        assert_eq!(cell.backlog_peak, 2);
        let cell = cell_of(lost(), false);
        assert_eq!((cell.events_lost, cell.never_drained), (NONE, 0));
        assert_eq!(cell.orders_lost, once(2), "the books know without a broker");
    }

    #[test]
    fn one_event_lost_of_several_is_one() {
        let mut shop = shop();
        shop.places("two");
        assert_eq!(cell_of(shop, true).events_lost, once(1));
    }

    #[test]
    fn what_was_published_without_a_commit_is_a_ghost() {
        let mut shop = shop();
        shop.publishes("two", "order.placed");
        assert_eq!(cell_of(shop, true).ghosts, once(1));
    }

    #[test]
    fn what_is_parked_was_not_published_for_it() {
        let mut shop = shop();
        shop.parks("payment", "one", "order.placed");
        let cell = cell_of(shop, true);
        assert_eq!((cell.ghosts, cell.published_again), (NONE, NONE));
        let mut shop = Shop::open();
        shop.places("one");
        shop.parks("payment", "one", "order.placed");
        assert_eq!(cell_of(shop, true).events_lost, once(1));
    }

    #[test]
    fn a_second_publication_and_a_second_effect_are_told_apart() {
        let mut shop = shop();
        shop.publishes("one", "order.placed");
        shop.publishes("one", "order.placed");
        let cell = cell_of(shop, true);
        assert_eq!((cell.published_again, cell.effects_twice), (once(2), NONE));
        let mut twice = self::shop();
        twice.applies("notification", "one", "told");
        twice.applies("notification", "one", "told");
        assert_eq!(cell_of(twice, true).effects_twice, once(1));
    }

    #[test]
    fn money_that_was_taken_twice_is_in_no_book() {
        let mut shop = shop();
        shop.charges("one", PRICE);
        assert_eq!(cell_of(shop, true).books_wrong, once(1));
    }

    #[test]
    fn a_customer_who_is_not_told_of_a_parcel_is_untold_and_not_lost() {
        let mut shop = Shop::open();
        shop.asks_for("one");
        shop.fulfils("one");
        shop.asks_for("two");
        shop.compensates("two");
        let cell = cell_of(shop, false);
        assert_eq!((cell.untold, cell.orders_lost), (once(1), NONE));
        assert_eq!(cell.accepted, 2);
    }

    #[test]
    fn effects_that_overtake_each_other_are_an_inversion() {
        let mut shop = shop();
        for event in ["order.changed", "order.cancelled"] {
            shop.announces("order", "one", event);
        }
        for event in ["order.cancelled", "order.changed"] {
            shop.publishes("one", event);
            shop.applies("shipping", "one", event);
        }
        assert_eq!(cell_of(shop, true).inversions, once(1));
    }

    /// One order is lost; a monitor tells of it, or that all is well again.
    fn lost_and(status: &str, when: &When, bitten: bool) -> Cell {
        let mut shop = shop();
        shop.places("two");
        shop.pages("order", status);
        let mut cell = Cell::default();
        let sample = Sample::of_history(&shop.closed(), bitten, when, true);
        cell.noticed = Latency::of(sample.noticed.into_iter().collect());
        sample.add_to(&mut cell);
        cell
    }

    #[test]
    fn what_was_lost_without_a_word_is_told_apart() {
        let when = When {
            begins: Some(1),
            window: None,
        };
        let told = lost_and("firing", &when, true);
        assert_eq!((told.paged, told.lost_unnoticed), (1, NONE));
        assert_eq!((told.noticed.count, told.noticed.never), (1, 0));
        assert!(told.noticed.p500 > Some(0), "{told:?}");
        let untold = lost_and("resolved", &when, true);
        assert_eq!((untold.paged, untold.lost_unnoticed), (0, once(1)));
        assert_eq!((untold.noticed.count, untold.noticed.never), (1, 1));
    }

    #[test]
    fn nothing_is_to_be_noticed_where_no_fault_had_an_effect() {
        let when = When {
            begins: Some(1),
            window: None,
        };
        assert_eq!(lost_and("firing", &when, false).noticed.count, 0);
        assert_eq!(lost_and("firing", &When::default(), true).noticed.count, 0);
        let late = When {
            begins: Some(1_000),
            window: None,
        };
        let before = lost_and("firing", &late, true);
        assert_eq!((before.paged, before.noticed.never), (1, 1));
    }

    #[test]
    fn who_was_asked_while_something_was_down_is_counted_apart() {
        let mut shop = shop();
        shop.asks_in_vain(&order_of("two"));
        let when = When {
            window: Some(0..1_000),
            ..When::default()
        };
        let sample = Sample::of_history(&shop.closed(), true, &when, true);
        assert_eq!((sample.asked_meanwhile, sample.accepted_meanwhile), (2, 1));
        assert_eq!(sample.answers.iter().filter(|own| own.is_none()).count(), 1);
        let over = Sample::of_history(&Shop::open().closed(), true, &when, true);
        let backlog = over.backlog.expect("a broker is used");
        assert_eq!(backlog.drained_in, Some(Duration::ZERO));
    }
}
