//! A shop whose history is told step by step, for the tests of the properties.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reference_system::monitor::UNPUBLISHED_EVENTS;
use serde_json::{Value, json};
use stormglass::broker::Profile;
use stormglass::checker::{Property, Verdict};
use stormglass::history::{
    Announcement, Answer, Application, Description, ExternalOutcome, Fact, GroupDescription,
    History, What, Withholding,
};
use stormglass::{CORRELATION_ID, EVENT_ID, Message, Position};

use crate::deploy::{ARTICLES, CARD_PROCESSOR, MAILER, PAGER, view};
use crate::told::Told;
use crate::workload::{Manner, Operation};

/// Every order is for two pieces of tea at 300 cents.
const SKU: &str = "tea";
const PIECES: i64 = 2;
pub(crate) const PRICE: i64 = 600;

/// The mail address of the customer of an order.
fn address_of(order: &str) -> String {
    format!("{order}@example.org")
}

/// What the customer of an order asks for.
pub(crate) fn order_of(order: &str) -> Operation {
    Operation::Place {
        customer: address_of(order),
        card: "visa".to_owned(),
        address: "Mill Lane 1".to_owned(),
        sku: SKU.to_owned(),
        quantity: PIECES,
        unit_price_cents: PRICE / PIECES,
        discount_cents: 0,
        idempotency_key: order.to_owned(),
        manner: Manner::Once,
        gateway: 0,
    }
}

/// A shop whose history is told step by step, and whose final tables can be set.
pub(crate) struct Shop {
    pub(crate) history: History,
    pub(crate) orders: BTreeMap<&'static str, &'static str>,
    /// Where orders go that are not left to go anywhere.
    pub(crate) addresses: BTreeMap<&'static str, &'static str>,
    /// What vouchers take off, by order; the view is there if there are any.
    pub(crate) discounts: BTreeMap<&'static str, i64>,
    pub(crate) requests: BTreeMap<&'static str, &'static str>,
    pub(crate) reservations: BTreeMap<&'static str, (i64, &'static str)>,
    pub(crate) shipments: BTreeMap<&'static str, i64>,
    pub(crate) stock: BTreeMap<&'static str, [i64; 3]>,
}

impl Shop {
    pub(crate) fn open() -> Self {
        let group = |name: &str| {
            let own = GroupDescription {
                dead_letters: Some(format!("{name}.dlq")),
                ..GroupDescription::default()
            };
            (name.to_owned(), own)
        };
        let description = Description {
            profile: Profile::kafka(),
            topics: BTreeMap::new(),
            groups: ["payment", "notification"].map(group).into(),
            ..Description::default()
        };
        Shop {
            history: History::new(description),
            orders: BTreeMap::new(),
            addresses: BTreeMap::new(),
            discounts: BTreeMap::new(),
            requests: BTreeMap::new(),
            reservations: BTreeMap::new(),
            shipments: BTreeMap::new(),
            stock: ARTICLES.map(|(sku, free)| (sku, [free, 0, 0])).into(),
        }
    }

    pub(crate) fn happens(&mut self, what: What) -> u64 {
        let at = Duration::from_millis(self.history.events.len() as u64);
        self.history.record(at, &"shop".into(), what)
    }

    pub(crate) fn observed(&mut self, database: &str, fact: Fact) -> u64 {
        self.happens(What::Observed {
            database: database.into(),
            commit: 0,
            fact,
        })
    }

    pub(crate) fn places(&mut self, order: &'static str) -> u64 {
        self.orders.insert(order, "placed");
        self.requests.insert(order, order);
        self.announces("order", order, "order.placed")
    }

    /// State is committed that an event of this type announces.
    pub(crate) fn announces(&mut self, database: &str, order: &str, event_type: &str) -> u64 {
        let announcement = Announcement {
            event_id: format!("{order}: {event_type}"),
            entity: order.to_owned(),
            topic: database.to_owned(),
            event_type: event_type.to_owned(),
            correlation_id: format!("flow of {order}"),
            cause_id: String::new(),
            is_root: None,
        };
        self.observed(database, Fact::Announced(announcement))
    }

    pub(crate) fn applies(&mut self, database: &str, order: &str, effect: &str) -> u64 {
        let application = Application {
            consumer: database.to_owned(),
            event_id: format!("{order}: {effect}"),
            entity: order.to_owned(),
            effect: effect.to_owned(),
            correlation_id: String::new(),
        };
        self.observed(database, Fact::Applied(application))
    }

    pub(crate) fn reserves(&mut self, order: &'static str) -> u64 {
        self.reservations.insert(order, (PIECES, "held"));
        self.moves(0, 1);
        self.applies("inventory", order, "stock reserved")
    }

    pub(crate) fn releases(&mut self, order: &'static str) -> u64 {
        self.reservations.insert(order, (PIECES, "released"));
        self.moves(1, 0);
        self.applies("inventory", order, "stock released")
    }

    pub(crate) fn writes_off(&mut self, order: &'static str) -> u64 {
        self.reservations.insert(order, (PIECES, "shipped"));
        self.moves(1, 2);
        self.applies("inventory", order, "stock shipped")
    }

    pub(crate) fn moves(&mut self, from: usize, to: usize) {
        let places = self.stock.entry(SKU).or_default();
        places[from] -= PIECES;
        places[to] += PIECES;
    }

    pub(crate) fn charges(&mut self, order: &str, cents: i64) -> u64 {
        self.books("charge", order, cents, ExternalOutcome::Booked)
    }

    pub(crate) fn books(
        &mut self,
        kind: &str,
        order: &str,
        cents: i64,
        outcome: ExternalOutcome,
    ) -> u64 {
        self.happens(What::ExternalCalled {
            provider: CARD_PROCESSOR.into(),
            idempotency_key: format!("{kind}-{order}"),
            request: json!({ "kind": kind, "order_id": order, "amount_cents": cents }),
            outcome,
            answered: true,
        })
    }

    /// A mail is sent, under an idempotency key of its own.
    pub(crate) fn mails(&mut self, order: &str, occasion: &str) -> u64 {
        let number = self.history.events.len();
        self.happens(What::ExternalCalled {
            provider: MAILER.into(),
            idempotency_key: format!("mail {number}"),
            request: json!({ "to": address_of(order), "order_id": order, "occasion": occasion }),
            outcome: ExternalOutcome::Booked,
            answered: true,
        })
    }

    /// A monitor has people told that events of this service are not published, or that this is over.
    pub(crate) fn pages(&mut self, service: &str, status: &str) -> u64 {
        let number = self.history.events.len();
        let labels = json!({ "alertname": UNPUBLISHED_EVENTS, "group": service });
        self.happens(What::ExternalCalled {
            provider: PAGER.into(),
            idempotency_key: format!("page {number}"),
            request: json!({ "alerts": [{ "status": status, "labels": labels }] }),
            outcome: ExternalOutcome::Booked,
            answered: true,
        })
    }

    /// A client asks, and is told this.
    pub(crate) fn tells(&mut self, told: &[Told]) -> u64 {
        let operation = self.history.events.len();
        self.happens(What::OperationInvoked {
            operation,
            text: "{}".to_owned(),
        });
        self.happens(What::OperationAnswered {
            operation,
            answer: Answer::Done,
            text: serde_json::to_string(told).expect("an answer is JSON"),
        })
    }

    /// The customer of an order asks for it, and is told that it was taken.
    pub(crate) fn asks_for(&mut self, order: &str) {
        let operation = self.history.events.len();
        self.asks_in_vain(&order_of(order));
        self.happens(What::OperationAnswered {
            operation,
            answer: Answer::Done,
            text: String::new(),
        });
    }

    /// A client asks, and is told nothing.
    pub(crate) fn asks_in_vain(&mut self, operation: &Operation) {
        let text = serde_json::to_string(operation).expect("an operation is JSON");
        let operation = self.history.events.len();
        self.happens(What::OperationInvoked { operation, text });
    }

    pub(crate) fn ships(&mut self, order: &'static str) -> u64 {
        *self.shipments.entry(order).or_default() += PIECES;
        self.applies("shipping", order, "parcel dispatched")
    }

    /// A service withholds the event of an order that has a name.
    pub(crate) fn withholds(&mut self, database: &str, order: &str, event: &str) -> u64 {
        let withholding = Withholding {
            event_id: format!("{order}: {event}"),
            entity: order.to_owned(),
            reason: "message too large".to_owned(),
        };
        self.observed(database, Fact::Withheld(withholding))
    }

    pub(crate) fn parks_an_event_of(&mut self, order: &str) -> u64 {
        self.parks("payment", order, "stock reserved")
    }

    /// The broker takes an event of an order that has a name.
    pub(crate) fn publishes(&mut self, order: &str, event: &str) -> u64 {
        let message =
            Message::new("orders", order, "").header(EVENT_ID, &format!("{order}: {event}"));
        self.logs(message)
    }

    /// The broker takes a message.
    fn logs(&mut self, message: Message) -> u64 {
        let position = Position {
            topic: message.topic.as_str().into(),
            partition: 0,
            offset: 0,
        };
        self.happens(What::Published {
            position,
            message: Arc::new(message),
        })
    }

    /// A group parks the event of an order that has a name.
    pub(crate) fn parks(&mut self, group: &str, order: &str, event: &str) -> u64 {
        let topic = format!("{group}.dlq");
        let message = Message::new(&topic, "some key", "")
            .header(EVENT_ID, &format!("{order}: {event}"))
            .header(CORRELATION_ID, &format!("flow of {order}"));
        self.logs(message)
    }

    /// A group parks an event under the order's own key.
    pub(crate) fn parks_as(&mut self, group: &str, order: &str) -> u64 {
        self.logs(Message::new(&format!("{group}.dlq"), order, ""))
    }

    pub(crate) fn ends(&mut self, order: &'static str, state: &'static str) {
        self.orders.insert(order, state);
    }

    /// An order that goes as it should.
    pub(crate) fn fulfils(&mut self, order: &'static str) {
        self.places(order);
        self.reserves(order);
        self.charges(order, PRICE);
        self.ships(order);
        self.writes_off(order);
        self.ends(order, "shipped");
    }

    /// An order whose card is declined, and that is undone as it should be.
    pub(crate) fn compensates(&mut self, order: &'static str) {
        self.places(order);
        self.reserves(order);
        self.books("charge", order, PRICE, ExternalOutcome::Refused);
        self.releases(order);
        self.ends(order, "cancelled");
    }

    /// Reads the final tables. Gives the indexes of the views.
    fn closes(&mut self) -> BTreeMap<&'static str, u64> {
        let rows = |columns: Vec<Value>| -> Vec<BTreeMap<String, Value>> {
            let row = |row: Value| serde_json::from_value(row).expect("a row is an object");
            columns.into_iter().map(row).collect()
        };
        let orders = self.orders.iter().map(|(id, state)| {
            json!({
                "id": id,
                "customer": address_of(id),
                "address": self.addresses.get(id),
                "sku": SKU,
                "quantity": PIECES,
                "unit_price_cents": PRICE / PIECES,
                "state": state,
            })
        });
        let stock = self.stock.iter().map(|(sku, [free, reserved, shipped])| {
            json!({ "sku": sku, "free": free, "reserved": reserved, "shipped": shipped })
        });
        let reservations = self.reservations.iter().map(|(id, (quantity, state))| {
            json!({ "order_id": id, "sku": SKU, "quantity": quantity, "state": state })
        });
        let shipments = self
            .shipments
            .iter()
            .map(|(id, quantity)| json!({ "order_id": id, "sku": SKU, "quantity": quantity }));
        let requests = self
            .requests
            .iter()
            .map(|(key, id)| json!({ "idempotency_key": key, "order_id": id }));
        let tables = [
            (view::ORDERS, rows(orders.collect())),
            (view::REQUESTS, rows(requests.collect())),
            (view::STOCK, rows(stock.collect())),
            (view::RESERVATIONS, rows(reservations.collect())),
            (view::SHIPMENTS, rows(shipments.collect())),
        ];
        let discounts = self.discounts.iter();
        let discounts = discounts.map(|(id, cents)| json!({ "id": id, "discount_cents": cents }));
        let discounts =
            (!self.discounts.is_empty()).then(|| (view::DISCOUNTS, rows(discounts.collect())));
        let mut indexes = BTreeMap::new();
        for (view, rows) in discounts.into_iter().chain(tables) {
            let what = What::FinalState {
                database: "shop".into(),
                view: view.to_owned(),
                rows,
            };
            indexes.insert(view, self.happens(what));
        }
        indexes
    }

    /// Reads the final tables, and gives the history.
    pub(crate) fn closed(mut self) -> History {
        self.closes();
        self.history
    }

    /// Reads the final tables, and judges.
    pub(crate) fn judged_by(mut self, property: &impl Property) -> Verdict {
        self.closes();
        property.check(&self.history)
    }

    /// Judges, and asserts that it is broken at the final state of `view`.
    pub(crate) fn must_break_in(mut self, property: &impl Property, view: &str, words: &str) {
        let indexes = self.closes();
        assert_broken(&property.check(&self.history), indexes[view], words);
    }

    /// Judges, and asserts that it is broken at an event.
    pub(crate) fn must_break_at(self, property: &impl Property, index: u64, words: &str) {
        assert_broken(&self.judged_by(property), index, words);
    }
}

fn assert_broken(verdict: &Verdict, index: u64, words: &str) {
    let witness = verdict
        .witness()
        .unwrap_or_else(|| panic!("expected a breach, got {verdict:?}"));
    assert_eq!(witness.index, index, "{witness:?}");
    assert!(witness.summary.contains(words), "{witness:?}");
    assert!(
        witness.chain.is_sorted() && witness.chain.contains(&index),
        "{witness:?}"
    );
}
