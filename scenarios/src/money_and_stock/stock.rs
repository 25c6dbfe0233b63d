//! Stock: no piece is promised twice, none appears, none disappears.
//!
//! The warehouse's moves are followed one by one from the first stock on, so that a shortage is seen
//! at the moment at which it arose, whatever the table says; at the end the table has to agree.

use std::collections::BTreeMap;

use reference_system::shipping::PARCEL_PIECES_MAX;

use super::books::{Books, Last, Move};
use crate::breach::{About, Breach};
use crate::deploy::ARTICLES;

/// Moves and final stocks that break a promise.
pub(super) fn breaches(books: &Books<'_>, last: &Last<'_>) -> Vec<Breach> {
    let mut warehouse = Warehouse::new(last);
    let mut breaches: Vec<Breach> = books
        .moves
        .iter()
        .filter_map(|step| warehouse.take(step))
        .collect();
    breaches.extend(warehouse.disagreements());
    breaches
}

/// Where the pieces are, going by the moves alone.
struct Warehouse<'b, 'h> {
    last: &'b Last<'h>,
    shelves: BTreeMap<&'h str, Shelf>,
    /// Reserved pieces by order.
    held: BTreeMap<&'h str, i64>,
}

/// One article.
#[derive(Default)]
struct Shelf {
    /// Free, reserved and shipped pieces.
    places: [i64; 3],
    /// The moves so far, by their events: what is wrong with an article may be another order's doing.
    moves: Vec<u64>,
}

impl<'b, 'h> Warehouse<'b, 'h> {
    fn new(last: &'b Last<'h>) -> Self {
        let shelf = |(sku, free)| {
            let places = [free, 0, 0];
            let moves = Vec::new();
            (sku, Shelf { places, moves })
        };
        Warehouse {
            last,
            shelves: ARTICLES.map(shelf).into(),
            held: BTreeMap::new(),
        }
    }

    /// Makes a move, and says what is wrong with it.
    fn take(&mut self, step: &Move<'h>) -> Option<Breach> {
        let order = self.last.orders.get(step.order)?;
        let sku = order.sku;
        let shelf = self.shelves.entry(sku).or_default();
        let held = self.held.entry(step.order).or_default();
        let (free, id) = (shelf.places[0], step.order);
        let pieces = match step.effect {
            // An order leaves the house parcel by parcel.
            "stock shipped" => (*held).clamp(1, PARCEL_PIECES_MAX),
            _ => order.quantity,
        };
        let (from, to, wrong) = match step.effect {
            "stock reserved" if free < pieces => (
                0,
                1,
                Some(format!(
                    "{pieces} pieces of {sku} were reserved for order {id}, but only {free} were free"
                )),
            ),
            "stock reserved" => {
                let again = format!("stock was reserved for order {id} a second time");
                (0, 1, (*held > 0).then_some(again))
            }
            "stock released" | "stock shipped" => {
                let nothing = format!("{} for order {id}, which held none", step.effect);
                let to = if step.effect == "stock shipped" { 2 } else { 0 };
                (1, to, (*held < pieces).then_some(nothing))
            }
            _ => return None,
        };
        shelf.places[from] -= pieces;
        shelf.places[to] += pieces;
        *held += if to == 1 { pieces } else { -pieces };
        shelf.moves.push(step.index);
        wrong.map(|summary| Breach {
            rule: "wrong-move",
            index: step.index,
            about: About::Events(shelf.moves.clone()),
            summary,
        })
    }

    /// Where the final stock is not what the moves make of the first.
    fn disagreements(&self) -> impl Iterator<Item = Breach> {
        self.shelves.iter().filter_map(|(sku, shelf)| {
            let counted = self.last.stock.get(sku).copied().unwrap_or_default();
            (counted != shelf.places).then(|| Breach {
                rule: "wrong-stock",
                index: self.last.stock_index,
                about: About::Events(shelf.moves.clone()),
                summary: format!(
                    "{sku}: {} is in stock, {} by what was moved",
                    places(counted),
                    places(shelf.places)
                ),
            })
        })
    }
}

fn places([free, reserved, shipped]: [i64; 3]) -> String {
    format!("{free} free + {reserved} reserved + {shipped} shipped")
}
