//! Histories for the checkers' tests, told step by step.
//!
//! The cast: `orders` commits and publishes, `billing` consumes the topic `orders` and parks in
//! `billing.dead` after three attempts. Hosts, groups and databases share their names. Every step
//! answers with the index of the event that it leaves in the history.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Property, Verdict};
use crate::attempts::Attempts;
use crate::broker::{JetStreamSettings, Profile};
use crate::history::{
    Announcement, Application, Description, Fact, GroupDescription, History, SettleOutcome,
    Settlement, What,
};
use crate::message::{CAUSATION_ID, CORRELATION_ID, EVENT_ID, EVENT_TYPE, Message, Position};

/// A history that grows with every step.
pub(super) struct Tale {
    pub(super) history: History,
    ends: BTreeMap<(String, u32), u64>,
    /// The last copy of each event.
    copies: BTreeMap<String, (Position, Message)>,
    generation: u64,
}

/// An order event as its producer hands it to the broker.
pub(super) fn order_event(id: &str, entity: &str) -> Message {
    Message::new("orders", entity, format!("{id} happened"))
        .header(EVENT_ID, id)
        .header(EVENT_TYPE, "order.changed")
}

/// An order event that belongs to a flow and has a cause.
pub(super) fn correlated(id: &str, correlation: &str, cause: &str) -> Message {
    order_event(id, "order-1")
        .header(CORRELATION_ID, correlation)
        .header(CAUSATION_ID, cause)
}

/// State that an event to `orders` announces, with the flow that it belongs to and its cause.
pub(super) fn flow(id: &str, entity: &str, correlation: &str, cause: &str) -> Announcement {
    Announcement {
        event_id: id.to_owned(),
        entity: entity.to_owned(),
        topic: "orders".to_owned(),
        event_type: "order.changed".to_owned(),
        correlation_id: correlation.to_owned(),
        cause_id: cause.to_owned(),
        is_root: None,
    }
}

/// A position in partition zero of a topic.
pub(super) fn at(topic: &str, offset: u64) -> Position {
    Position {
        topic: topic.into(),
        partition: 0,
        offset,
    }
}

/// What `billing` does with an event.
pub(super) fn effect(id: &str, correlation: &str) -> Application {
    Application {
        consumer: "billing".to_owned(),
        event_id: id.to_owned(),
        entity: "account-1".to_owned(),
        effect: "booked".to_owned(),
        correlation_id: correlation.to_owned(),
    }
}

/// The index at which a property is broken.
pub(super) fn broken_at(property: &dyn Property, tale: &Tale) -> Option<u64> {
    let verdict = property.check(&tale.history);
    let witness = verdict.witness()?;
    assert!(witness.chain.is_sorted(), "{witness:?}");
    assert!(witness.chain.contains(&witness.index), "{witness:?}");
    Some(witness.index)
}

/// What a property says in one sentence where it is broken.
pub(super) fn complaint(property: &dyn Property, tale: &Tale) -> String {
    match property.check(&tale.history) {
        Verdict::Broken(witness) => witness.summary,
        other => panic!("expected a breach, got {other:?}"),
    }
}

/// Asserts that a property says nothing was put to the test.
pub(super) fn assert_vacuous(property: &dyn Property, tale: &Tale) {
    let verdict = property.check(&tale.history);
    assert!(matches!(verdict, Verdict::Vacuous(_)), "{verdict:?}");
}

/// Asserts that a property was put to the test and kept.
pub(super) fn assert_holds(property: &dyn Property, tale: &Tale) {
    assert_eq!(property.check(&tale.history), Verdict::Holds);
}

impl Tale {
    pub(super) fn on_kafka() -> Self {
        Tale::on(Profile::kafka())
    }

    /// JetStream that lets so many messages be open at once.
    pub(super) fn on_jetstream(max_ack_pending: u32) -> Self {
        Tale::on(Profile::JetStream(JetStreamSettings {
            max_ack_pending,
            message_id_header: EVENT_ID.to_owned(),
            ..JetStreamSettings::default()
        }))
    }

    fn on(profile: Profile) -> Self {
        let billing = GroupDescription {
            topics: vec!["orders".to_owned()],
            event_types: vec!["order.changed".to_owned()],
            dead_letters: Some("billing.dead".to_owned()),
            ..GroupDescription::default()
        };
        let topics = ["orders", "payments", "billing.dead"].map(|topic| (topic.to_owned(), 1));
        let description = Description {
            profile,
            topics: topics.into(),
            groups: [("billing".to_owned(), billing)].into(),
            attempts: Attempts::Exactly(3),
            is_announced: true,
            ..Description::default()
        };
        Tale {
            history: History::new(description),
            ends: BTreeMap::new(),
            copies: BTreeMap::new(),
            generation: 1,
        }
    }

    /// A request leads to `e1`, and that, at `billing`, to `e2`, both of `flow-1`.
    pub(super) fn of_a_chain() -> Self {
        let mut tale = Tale::on_kafka();
        tale.announces("orders", flow("e1", "order-1", "flow-1", "request-1"));
        tale.sends("orders", correlated("e1", "flow-1", "request-1"));
        tale.delivers("e1");
        tale.announces("billing", flow("e2", "order-1", "flow-1", "e1"));
        tale.sends("billing", correlated("e2", "flow-1", "e1"));
        tale
    }

    /// Something happens at a host, a millisecond after what was last.
    pub(super) fn happens(&mut self, host: &str, what: What) -> u64 {
        let at = Duration::from_millis(self.history.events.len() as u64);
        self.history.record(at, &host.into(), what)
    }

    /// `orders` commits state that an event has to announce.
    pub(super) fn commits(&mut self, id: &str, entity: &str) -> u64 {
        self.announces("orders", flow(id, entity, "", ""))
    }

    /// A service commits, and a probe sees what has to be announced.
    pub(super) fn announces(&mut self, service: &str, announcement: Announcement) -> u64 {
        self.commit(service, service);
        self.observes(service, service, Fact::Announced(announcement))
    }

    /// A host commits something.
    pub(super) fn commit(&mut self, host: &str, database: &str) -> u64 {
        let database = database.into();
        self.happens(host, What::Committed { database })
    }

    /// A probe sees a fact after the last commit of a host to a database.
    pub(super) fn observes(&mut self, host: &str, database: &str, fact: Fact) -> u64 {
        let mut latest_first = self.history.events.iter().rev();
        let commit = latest_first.find(|event| {
            let own =
                matches!(&event.what, What::Committed { database: own } if **own == *database);
            own && *event.host == *host
        });
        let commit = commit.expect("something was committed").index;
        let database = database.into();
        let observed = What::Observed {
            database,
            commit,
            fact,
        };
        self.happens(host, observed)
    }

    /// `orders` publishes an event, or publishes it again.
    pub(super) fn publishes(&mut self, id: &str, entity: &str) -> u64 {
        self.sends("orders", order_event(id, entity))
    }

    /// A host publishes a message; the broker appends it.
    pub(super) fn sends(&mut self, host: &str, message: Message) -> u64 {
        let end = self.ends.entry((message.topic.clone(), 0)).or_default();
        let position = at(&message.topic, *end);
        *end += 1;
        if let (Some(id), "orders") = (message.event_id(), &*message.topic) {
            self.copies
                .insert(id.to_owned(), (position.clone(), message.clone()));
        }
        self.happens(
            host,
            What::Published {
                position,
                message: Arc::new(message),
            },
        )
    }

    /// An event is committed, published and handed to `billing`.
    pub(super) fn brings(&mut self, id: &str, entity: &str) -> u64 {
        self.commits(id, entity);
        self.publishes(id, entity);
        self.delivers(id)
    }

    fn copy(&self, id: &str) -> &(Position, Message) {
        self.copies.get(id).expect("the event was published")
    }

    /// `billing` is handed the last copy of an event.
    pub(super) fn delivers(&mut self, id: &str) -> u64 {
        let position = self.copy(id).0.clone();
        self.delivers_at(position)
    }

    /// `billing` is handed what stands at a position.
    pub(super) fn delivers_at(&mut self, position: Position) -> u64 {
        let generation = self.generation;
        let group = "billing".into();
        self.happens(
            "billing",
            What::Delivered {
                group,
                position,
                attempt: 1,
                generation,
            },
        )
    }

    /// `billing` settles the last copy of an event, and the broker takes it.
    pub(super) fn acks(&mut self, id: &str) -> u64 {
        let position = self.copy(id).0.clone();
        self.settles(position, Settlement::Ack, SettleOutcome::Accepted)
    }

    /// `billing` gives the last copy of an event back.
    pub(super) fn retries(&mut self, id: &str) -> u64 {
        let position = self.copy(id).0.clone();
        self.settles(position, Settlement::Retry, SettleOutcome::Accepted)
    }

    /// `billing` settles what stands at a position.
    pub(super) fn settles(
        &mut self,
        position: Position,
        settlement: Settlement,
        outcome: SettleOutcome,
    ) -> u64 {
        let (group, generation) = ("billing".into(), self.generation);
        self.happens(
            "billing",
            What::Settled {
                group,
                position,
                settlement,
                outcome,
                generation,
            },
        )
    }

    /// The group begins a new generation.
    pub(super) fn rebalances(&mut self) -> u64 {
        self.generation += 1;
        let (group, generation) = ("billing".into(), self.generation);
        self.happens(
            "broker",
            What::Rebalanced {
                group,
                generation,
                assignment: BTreeMap::new(),
            },
        )
    }

    /// `billing` commits the effect of an event.
    pub(super) fn applies(&mut self, id: &str) -> u64 {
        self.ends_with(id, Fact::Applied)
    }

    /// `billing` commits an audit entry instead of an effect.
    pub(super) fn discards(&mut self, id: &str) -> u64 {
        self.ends_with(id, Fact::Discarded)
    }

    /// `billing` commits the effect of an event, booked under a flow.
    pub(super) fn applies_under(&mut self, id: &str, correlation: &str) -> u64 {
        self.commit("billing", "billing");
        let effect = Fact::Applied(effect(id, correlation));
        self.observes("billing", "billing", effect)
    }

    fn ends_with(&mut self, id: &str, fact: fn(Application) -> Fact) -> u64 {
        self.commit("billing", "billing");
        self.observes("billing", "billing", fact(effect(id, "")))
    }

    /// `billing` parks the last copy of an event as it should be parked.
    pub(super) fn parks(&mut self, id: &str) -> u64 {
        self.parks_as(id, |message| message.header("error", "cannot be decoded"))
    }

    /// `billing` parks the last copy of an event after changing it.
    pub(super) fn parks_as(&mut self, id: &str, change: impl Fn(Message) -> Message) -> u64 {
        let mut message = change(self.copy(id).1.clone());
        message.topic = "billing.dead".to_owned();
        self.sends("billing", message)
    }

    /// A host dies and is started again.
    pub(super) fn crashes(&mut self, host: &str) -> u64 {
        let crashed = self.happens(host, What::HostCrashed);
        self.happens(host, What::HostStarted { incarnation: 2 });
        crashed
    }

    /// A statement of a host fails for a passing reason.
    pub(super) fn fails_a_statement(&mut self, host: &str) -> u64 {
        let error = "database is locked".to_owned();
        self.happens(
            host,
            What::StatementFailed {
                database: host.into(),
                error,
            },
        )
    }
}
