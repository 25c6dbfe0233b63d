//! What `money-and-stock` accepts, and each way in which it must refuse.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use stormglass::broker::Profile;
use stormglass::checker::{Property, Verdict};
use stormglass::history::{
    Announcement, Application, Description, ExternalOutcome, Fact, GroupDescription, History, What,
};
use stormglass::{CORRELATION_ID, EVENT_ID, Message, Position};

use super::MoneyAndStock;
use crate::deploy::{ARTICLES, CARD_PROCESSOR, view};

/// Every order is for two pieces of tea at 300 cents.
const SKU: &str = "tea";
const PIECES: i64 = 2;
const PRICE: i64 = 600;

/// A shop whose history is told step by step, and whose final tables can be set.
struct Shop {
    history: History,
    orders: BTreeMap<&'static str, &'static str>,
    reservations: BTreeMap<&'static str, (i64, &'static str)>,
    shipments: BTreeMap<&'static str, i64>,
    stock: BTreeMap<&'static str, [i64; 3]>,
}

impl Shop {
    fn open() -> Self {
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
            attempts_max: 5,
        };
        Shop {
            history: History::new(description),
            orders: BTreeMap::new(),
            reservations: BTreeMap::new(),
            shipments: BTreeMap::new(),
            stock: ARTICLES.map(|(sku, free)| (sku, [free, 0, 0])).into(),
        }
    }

    fn happens(&mut self, what: What) -> u64 {
        let at = Duration::from_millis(self.history.events.len() as u64);
        self.history.record(at, &"shop".into(), what)
    }

    fn observed(&mut self, database: &str, fact: Fact) -> u64 {
        self.happens(What::Observed {
            database: database.into(),
            fact,
        })
    }

    fn places(&mut self, order: &'static str) -> u64 {
        self.orders.insert(order, "placed");
        let announcement = Announcement {
            event_id: format!("{order}-placed"),
            entity: order.to_owned(),
            topic: "orders".to_owned(),
            event_type: "order.placed".to_owned(),
            correlation_id: format!("flow of {order}"),
            cause_id: String::new(),
        };
        self.observed("order", Fact::Announced(announcement))
    }

    fn applies(&mut self, database: &str, order: &str, effect: &str) -> u64 {
        let application = Application {
            consumer: database.to_owned(),
            event_id: format!("{order}: {effect}"),
            entity: order.to_owned(),
            effect: effect.to_owned(),
            correlation_id: String::new(),
        };
        self.observed(database, Fact::Applied(application))
    }

    fn reserves(&mut self, order: &'static str) -> u64 {
        self.reservations.insert(order, (PIECES, "held"));
        self.moves(0, 1);
        self.applies("inventory", order, "stock reserved")
    }

    fn releases(&mut self, order: &'static str) -> u64 {
        self.reservations.insert(order, (PIECES, "released"));
        self.moves(1, 0);
        self.applies("inventory", order, "stock released")
    }

    fn writes_off(&mut self, order: &'static str) -> u64 {
        self.reservations.insert(order, (PIECES, "shipped"));
        self.moves(1, 2);
        self.applies("inventory", order, "stock shipped")
    }

    fn moves(&mut self, from: usize, to: usize) {
        let places = self.stock.entry(SKU).or_default();
        places[from] -= PIECES;
        places[to] += PIECES;
    }

    fn charges(&mut self, order: &str, cents: i64) -> u64 {
        self.books("charge", order, cents, ExternalOutcome::Booked)
    }

    fn books(&mut self, kind: &str, order: &str, cents: i64, outcome: ExternalOutcome) -> u64 {
        self.happens(What::ExternalCalled {
            provider: CARD_PROCESSOR.into(),
            idempotency_key: format!("{kind}-{order}"),
            request: json!({ "kind": kind, "order_id": order, "amount_cents": cents }),
            outcome,
            answered: true,
        })
    }

    fn ships(&mut self, order: &'static str) -> u64 {
        *self.shipments.entry(order).or_default() += PIECES;
        self.applies("shipping", order, "shipment dispatched")
    }

    fn parks_an_event_of(&mut self, order: &str) -> u64 {
        self.parks("payment", order, "stock reserved")
    }

    /// A group parks the event of an order that has a name.
    fn parks(&mut self, group: &str, order: &str, event: &str) -> u64 {
        let topic = format!("{group}.dlq");
        let message = Message::new(&topic, "some key", "")
            .header(EVENT_ID, &format!("{order}: {event}"))
            .header(CORRELATION_ID, &format!("flow of {order}"));
        let position = Position {
            topic: topic.as_str().into(),
            partition: 0,
            offset: 0,
        };
        self.happens(What::Published {
            position,
            message: Arc::new(message),
        })
    }

    fn ends(&mut self, order: &'static str, state: &'static str) {
        self.orders.insert(order, state);
    }

    /// An order that goes as it should.
    fn fulfils(&mut self, order: &'static str) {
        self.places(order);
        self.reserves(order);
        self.charges(order, PRICE);
        self.ships(order);
        self.writes_off(order);
        self.ends(order, "shipped");
    }

    /// An order whose card is declined, and that is undone as it should be.
    fn compensates(&mut self, order: &'static str) {
        self.places(order);
        self.reserves(order);
        self.books("charge", order, PRICE, ExternalOutcome::Refused);
        self.releases(order);
        self.ends(order, "cancelled");
    }

    /// Reads the final tables, and judges. Gives the indexes of the views as well.
    fn closes(mut self) -> (Verdict, BTreeMap<&'static str, u64>) {
        let rows = |columns: Vec<Value>| -> Vec<BTreeMap<String, Value>> {
            let row = |row: Value| serde_json::from_value(row).expect("a row is an object");
            columns.into_iter().map(row).collect()
        };
        let orders = self.orders.iter().map(|(id, state)| {
            json!({ "id": id, "sku": SKU, "quantity": PIECES, "unit_price_cents": PRICE / PIECES, "state": state })
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
        let tables = [
            (view::ORDERS, rows(orders.collect())),
            (view::STOCK, rows(stock.collect())),
            (view::RESERVATIONS, rows(reservations.collect())),
            (view::SHIPMENTS, rows(shipments.collect())),
        ];
        let mut indexes = BTreeMap::new();
        for (view, rows) in tables {
            let what = What::FinalState {
                database: "shop".into(),
                view: view.to_owned(),
                rows,
            };
            indexes.insert(view, self.happens(what));
        }
        (MoneyAndStock.check(&self.history), indexes)
    }

    /// Judges, and asserts that it is broken at the final state of `view`.
    fn must_break_in(self, view: &str, words: &str) {
        let (verdict, indexes) = self.closes();
        assert_broken(&verdict, indexes[view], words);
    }

    /// Judges, and asserts that it is broken at an event.
    fn must_break_at(self, index: u64, words: &str) {
        assert_broken(&self.closes().0, index, words);
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
    assert!(witness.chain.len() <= 12, "{witness:?}");
}

#[test]
fn accepts_orders_that_are_fulfilled_compensated_or_turned_away() {
    let mut shop = Shop::open();
    shop.fulfils("a");
    shop.compensates("b");
    shop.places("c");
    shop.applies("inventory", "c", "stock rejected");
    shop.ends("c", "cancelled");
    assert_eq!(shop.closes().0, Verdict::Holds);
}

#[test]
fn accepts_a_repeated_charge_that_books_nothing_and_a_refund() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.reserves("a");
    shop.charges("a", PRICE);
    shop.books("charge", "a", PRICE, ExternalOutcome::Repeated);
    shop.books("refund", "a", PRICE, ExternalOutcome::Booked);
    shop.releases("a");
    shop.ends("a", "cancelled");
    assert_eq!(shop.closes().0, Verdict::Holds);
}

#[test]
fn excuses_an_order_with_a_parked_event_from_ending_only() {
    let mut shop = Shop::open();
    shop.fulfils("b");
    shop.places("a");
    shop.reserves("a");
    shop.parks_an_event_of("a");
    assert_eq!(shop.closes().0, Verdict::Holds);

    let mut shop = Shop::open();
    shop.places("a");
    shop.parks_an_event_of("a");
    shop.charges("a", PRICE);
    let second = shop.charges("a", PRICE);
    shop.must_break_at(second, "second charge");
}

#[test]
fn a_replayed_event_excuses_nothing() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.reserves("a");
    shop.parks("payment", "a", "card charged");
    shop.applies("payment", "a", "card charged");
    shop.must_break_in(view::ORDERS, "is still placed");
}

#[test]
fn an_event_that_only_the_notification_parked_excuses_nothing() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.reserves("a");
    shop.parks("notification", "a", "stock reserved");
    shop.must_break_in(view::ORDERS, "is still placed");
}

#[test]
fn is_vacuous_if_every_order_is_excused() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.parks_an_event_of("a");
    assert!(matches!(shop.closes().0, Verdict::Vacuous(_)));
}

#[test]
fn is_vacuous_without_an_order() {
    assert!(matches!(Shop::open().closes().0, Verdict::Vacuous(_)));
}

#[test]
fn is_vacuous_without_the_final_state() {
    let mut shop = Shop::open();
    shop.places("a");
    assert!(matches!(
        MoneyAndStock.check(&shop.history),
        Verdict::Vacuous(_)
    ));
}

#[test]
fn refuses_a_second_charge() {
    let mut shop = Shop::open();
    shop.fulfils("a");
    let second = shop.charges("a", PRICE);
    shop.must_break_at(second, "second charge");
}

#[test]
fn refuses_a_second_charge_after_a_refund() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.reserves("a");
    shop.charges("a", PRICE);
    shop.books("refund", "a", PRICE, ExternalOutcome::Booked);
    let second = shop.charges("a", PRICE);
    shop.ships("a");
    shop.writes_off("a");
    shop.ends("a", "shipped");
    shop.must_break_at(second, "second charge");
}

#[test]
fn refuses_a_cancelled_order_whose_goods_were_shipped() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.reserves("a");
    shop.charges("a", PRICE);
    shop.ships("a");
    shop.books("refund", "a", PRICE, ExternalOutcome::Booked);
    shop.releases("a");
    shop.ends("a", "cancelled");
    shop.must_break_in(view::ORDERS, "its goods were shipped");
}

#[test]
fn refuses_a_charge_at_another_price() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.reserves("a");
    let wrong = shop.charges("a", PRICE - 1);
    shop.must_break_at(wrong, "has paid 599");
}

#[test]
fn refuses_a_charge_for_an_order_that_nobody_placed() {
    let mut shop = Shop::open();
    shop.fulfils("a");
    let strange = shop.charges("ghost", PRICE);
    shop.must_break_at(strange, "nobody placed");
}

#[test]
fn refuses_a_shipment_before_the_payment() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.reserves("a");
    let unpaid = shop.ships("a");
    shop.charges("a", PRICE);
    shop.writes_off("a");
    shop.ends("a", "shipped");
    shop.must_break_at(unpaid, "before it was paid");
}

#[test]
fn refuses_a_shipment_after_a_refund() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.reserves("a");
    shop.charges("a", PRICE);
    shop.books("refund", "a", PRICE, ExternalOutcome::Booked);
    let unpaid = shop.ships("a");
    shop.writes_off("a");
    shop.ends("a", "shipped");
    shop.must_break_at(unpaid, "before it was paid");
}

#[test]
fn refuses_a_second_shipment() {
    let mut shop = Shop::open();
    shop.fulfils("a");
    let second = shop.ships("a");
    shop.must_break_at(second, "4 were shipped");
}

#[test]
fn refuses_a_reservation_of_more_than_there_is() {
    let mut shop = Shop::open();
    let names: Vec<&'static str> = (0..21).map(|n| &*format!("order {n}").leak()).collect();
    for name in &names[..20] {
        shop.fulfils(name);
    }
    shop.places(names[20]);
    let oversold = shop.reserves(names[20]);
    shop.must_break_at(oversold, "only 0 were free");
}

#[test]
fn refuses_a_second_reservation() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.reserves("a");
    let second = shop.reserves("a");
    shop.must_break_at(second, "a second time");
}

#[test]
fn refuses_a_second_compensation() {
    let mut shop = Shop::open();
    shop.compensates("a");
    let second = shop.releases("a");
    shop.must_break_at(second, "which held none");
}

#[test]
fn refuses_a_write_off_of_what_was_not_reserved() {
    let mut shop = Shop::open();
    shop.compensates("a");
    let wrong = shop.writes_off("a");
    shop.must_break_at(wrong, "which held none");
}

#[test]
fn refuses_a_final_stock_that_does_not_add_up() {
    let mut shop = Shop::open();
    shop.fulfils("a");
    shop.stock.insert("cup", [11, 0, 0]);
    shop.must_break_in(view::STOCK, "cup");
}

#[test]
fn refuses_an_order_that_is_stuck() {
    for state in ["placed", "confirmed"] {
        let mut shop = Shop::open();
        shop.places("a");
        shop.reserves("a");
        shop.charges("a", PRICE);
        shop.ends("a", state);
        shop.must_break_in(view::ORDERS, state);
    }
}

#[test]
fn refuses_an_order_that_is_gone() {
    let mut shop = Shop::open();
    shop.fulfils("a");
    shop.orders.remove("a");
    shop.must_break_in(view::ORDERS, "is gone");
}

#[test]
fn refuses_a_shipped_order_that_nobody_paid_or_nothing_left() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.reserves("a");
    shop.writes_off("a");
    shop.ends("a", "shipped");
    shop.must_break_in(view::ORDERS, "nothing was paid");

    let mut shop = Shop::open();
    shop.fulfils("a");
    shop.shipments.clear();
    shop.must_break_in(view::ORDERS, "nothing left the house");
}

#[test]
fn refuses_a_cancelled_order_that_was_paid() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.reserves("a");
    shop.charges("a", PRICE);
    shop.releases("a");
    shop.ends("a", "cancelled");
    shop.must_break_in(view::ORDERS, "has paid 600");
}

#[test]
fn refuses_a_reservation_that_outlives_its_order() {
    for state in ["cancelled", "shipped"] {
        let mut shop = Shop::open();
        shop.places("a");
        shop.reserves("a");
        if state == "shipped" {
            shop.charges("a", PRICE);
            shop.ships("a");
        }
        shop.ends("a", state);
        shop.must_break_in(view::RESERVATIONS, "its reservation is held");
    }
}
