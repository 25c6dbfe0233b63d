//! The books: what the history says about each order, gathered in one pass.
//!
//! Sources are the journals' facts, the card processor's ledger, the broker's log and the final
//! state. Nothing is judged here.

use std::collections::{BTreeMap, BTreeSet};

use reference_system::event::contract::event_type;
use serde_json::Value;
use stormglass::CORRELATION_ID;
use stormglass::history::{Event, ExternalOutcome, Fact, History, What};

use crate::deploy::{CARD_PROCESSOR, view};

/// The groups without which no order comes to its end.
const SAGA: [&str; 5] = ["order", "inventory", "payment", "shipping", "saga"];

/// Everything about all orders.
pub(super) struct Books<'h> {
    /// Orders that were placed, by id.
    pub(super) orders: BTreeMap<&'h str, Order<'h>>,
    /// Charges for orders that nobody placed, with the id that they name.
    pub(super) strange_charges: Vec<(u64, &'h str)>,
    /// What happened in the warehouse, in order.
    pub(super) moves: Vec<Move<'h>>,
    /// The final state, if it was read.
    pub(super) last: Option<Last<'h>>,
}

/// One order.
#[derive(Default)]
pub(super) struct Order<'h> {
    /// Its flow.
    correlation_id: &'h str,
    /// Entries of the card processor's ledger.
    pub(super) entries: Vec<Entry>,
    /// Shipments, by the event that shows their commit.
    pub(super) shipments: Vec<u64>,
    /// Whether one of its events waits in the dead letter topic of a service that it depends on.
    pub(super) is_parked: bool,
}

/// Money that changed hands.
pub(super) struct Entry {
    pub(super) index: u64,
    /// Positive for a charge, negative for a refund.
    pub(super) cents: i64,
}

/// Pieces that changed their place in the warehouse on behalf of an order.
pub(super) struct Move<'h> {
    pub(super) index: u64,
    pub(super) order: &'h str,
    /// The journal's word for it.
    pub(super) effect: &'h str,
}

/// The final state of the services' databases.
pub(super) struct Last<'h> {
    /// The event that shows the orders.
    pub(super) orders_index: u64,
    /// The event that shows the stock.
    pub(super) stock_index: u64,
    /// The event that shows the reservations.
    pub(super) reservations_index: u64,
    /// Orders by id.
    pub(super) orders: BTreeMap<&'h str, OrderRow<'h>>,
    /// Free, reserved and shipped pieces by article.
    pub(super) stock: BTreeMap<&'h str, [i64; 3]>,
    /// Reservations by order: pieces and state.
    pub(super) reservations: BTreeMap<&'h str, (i64, &'h str)>,
    /// Shipped pieces by order.
    pub(super) shipments: BTreeMap<&'h str, i64>,
}

/// An order in the order service's table.
pub(super) struct OrderRow<'h> {
    pub(super) sku: &'h str,
    pub(super) quantity: i64,
    pub(super) price_cents: i64,
    pub(super) state: &'h str,
}

impl<'h> Books<'h> {
    /// Gathers the books of a history.
    pub(super) fn of(history: &'h History) -> Self {
        let mut books = Books {
            orders: placed(history),
            strange_charges: Vec::new(),
            moves: Vec::new(),
            last: Last::of(history),
        };
        let waiting = waiting(history);
        for event in &history.events {
            books.enter(event, &waiting);
        }
        for order in withheld(history) {
            if let Some(order) = books.orders.get_mut(order) {
                order.is_parked = true;
            }
        }
        books
    }

    fn enter(&mut self, event: &'h Event, waiting: &BTreeSet<u64>) {
        let index = event.index;
        match &event.what {
            What::Observed { database, fact, .. } => self.enter_fact(index, database, fact),
            What::ExternalCalled {
                provider,
                request,
                outcome: ExternalOutcome::Booked,
                ..
            } if **provider == *CARD_PROCESSOR => {
                self.enter_money(index, request);
            }
            What::Published { message, .. } if waiting.contains(&index) => {
                let flow = message.headers.get(CORRELATION_ID).map(String::as_str);
                let concerned = self.orders.iter_mut().filter(|(id, order)| {
                    **id == message.key || flow == Some(order.correlation_id)
                });
                for (_, order) in concerned {
                    order.is_parked = true;
                }
            }
            _ => {}
        }
    }

    fn enter_fact(&mut self, index: u64, database: &str, fact: &'h Fact) {
        let Fact::Applied(applied) = fact else { return };
        let Some(order) = self.orders.get_mut(&*applied.entity) else {
            return;
        };
        match database {
            "shipping" if applied.effect == "parcel dispatched" => order.shipments.push(index),
            "inventory" => self.moves.push(Move {
                index,
                order: &applied.entity,
                effect: &applied.effect,
            }),
            _ => {}
        }
    }

    fn enter_money(&mut self, index: u64, request: &'h Value) {
        let id = request["order_id"].as_str().unwrap_or_default();
        let cents = request["amount_cents"].as_i64().unwrap_or_default();
        let cents = if request["kind"] == "refund" {
            -cents
        } else {
            cents
        };
        match self.orders.get_mut(id) {
            Some(order) => order.entries.push(Entry { index, cents }),
            None => self.strange_charges.push((index, id)),
        }
    }
}

/// The parked messages that keep an order from its end: those of the saga's groups that the group
/// has neither applied nor discarded since.
fn waiting(history: &History) -> BTreeSet<u64> {
    let groups = &history.description.groups;
    let parking: BTreeMap<&str, &str> = SAGA
        .iter()
        .filter_map(|&name| Some((groups.get(name)?.dead_letters.as_deref()?, name)))
        .collect();
    let mut waiting = BTreeSet::new();
    let mut by_event: BTreeMap<(&str, &str), Vec<u64>> = BTreeMap::new();
    for event in &history.events {
        match &event.what {
            What::Published { position, message } => {
                let Some(&group) = parking.get(&*position.topic) else {
                    continue;
                };
                waiting.insert(event.index);
                if let Some(id) = message.event_id() {
                    by_event.entry((group, id)).or_default().push(event.index);
                }
            }
            What::Observed {
                fact: Fact::Applied(ended) | Fact::Discarded(ended),
                ..
            } => {
                let replayed = by_event.remove(&(&*ended.consumer, &*ended.event_id));
                for index in replayed.into_iter().flatten() {
                    waiting.remove(&index);
                }
            }
            _ => {}
        }
    }
    waiting
}

/// The orders of which some event is withheld by its publisher until the end.
fn withheld(history: &History) -> impl Iterator<Item = &str> {
    let groups = history.description.groups.values();
    let dead_letters: BTreeSet<&str> = groups
        .filter_map(|group| group.dead_letters.as_deref())
        .collect();
    let mut withheld = BTreeMap::new();
    for event in &history.events {
        match &event.what {
            What::Observed {
                fact: Fact::Withheld(own),
                ..
            } => {
                withheld.insert(&*own.event_id, &*own.entity);
            }
            // A copy that a consumer has parked does not mean that the original is out.
            What::Published { position, message } if !dead_letters.contains(&*position.topic) => {
                if let Some(id) = message.event_id() {
                    withheld.remove(id);
                }
            }
            _ => {}
        }
    }
    withheld.into_values()
}

/// The orders whose placing was committed.
fn placed(history: &History) -> BTreeMap<&str, Order<'_>> {
    let announced = history.events.iter().filter_map(|event| match &event.what {
        What::Observed {
            fact: Fact::Announced(announcement),
            ..
        } => Some(announcement),
        _ => None,
    });
    announced
        .filter(|announcement| announcement.event_type == event_type::ORDER_PLACED)
        .map(|announcement| {
            let correlation_id = &*announcement.correlation_id;
            (
                &*announcement.entity,
                Order {
                    correlation_id,
                    ..Order::default()
                },
            )
        })
        .collect()
}

type Row = BTreeMap<String, Value>;

impl<'h> Last<'h> {
    fn of(history: &'h History) -> Option<Self> {
        let (orders_index, orders) = history.final_state(view::ORDERS)?;
        let (stock_index, stock) = history.final_state(view::STOCK)?;
        let (reservations_index, reservations) = history.final_state(view::RESERVATIONS)?;
        let (_, shipments) = history.final_state(view::SHIPMENTS)?;
        let discounts = history.final_state(view::DISCOUNTS);
        let discounts: BTreeMap<&str, i64> = discounts
            .into_iter()
            .flat_map(|(_, rows)| rows)
            .map(|row| (text(row, "id"), number(row, "discount_cents")))
            .collect();
        Some(Last {
            orders_index,
            stock_index,
            reservations_index,
            orders: orders
                .iter()
                .map(|row| {
                    let id = text(row, "id");
                    (
                        id,
                        OrderRow::of(row, discounts.get(id).copied().unwrap_or_default()),
                    )
                })
                .collect(),
            stock: stock
                .iter()
                .map(|row| {
                    (
                        text(row, "sku"),
                        ["free", "reserved", "shipped"].map(|place| number(row, place)),
                    )
                })
                .collect(),
            reservations: reservations
                .iter()
                .map(|row| {
                    (
                        text(row, "order_id"),
                        (number(row, "quantity"), text(row, "state")),
                    )
                })
                .collect(),
            shipments: shipments
                .iter()
                .map(|row| (text(row, "order_id"), number(row, "quantity")))
                .collect(),
        })
    }
}

impl<'h> OrderRow<'h> {
    fn of(row: &'h Row, discount_cents: i64) -> Self {
        let quantity = number(row, "quantity");
        OrderRow {
            sku: text(row, "sku"),
            quantity,
            price_cents: quantity * number(row, "unit_price_cents") - discount_cents,
            state: text(row, "state"),
        }
    }
}

fn text<'h>(row: &'h Row, column: &str) -> &'h str {
    row.get(column).and_then(Value::as_str).unwrap_or_default()
}

fn number(row: &Row, column: &str) -> i64 {
    row.get(column).and_then(Value::as_i64).unwrap_or_default()
}
