//! Stock: no piece is promised twice, none appears, none disappears.
//!
//! The warehouse's moves are followed one by one from the first stock on, so that a shortage is seen
//! at the moment at which it arose, whatever the table says; at the end the table has to agree.

use std::collections::BTreeMap;

use stormglass::history::short;

use super::Breach;
use super::books::{Books, Last, Move};
use crate::deploy::ARTICLES;

/// Moves and final stocks that break a promise.
pub(super) fn breaches<'h>(books: &Books<'h>, last: &Last<'h>) -> Vec<Breach<'h>> {
    let mut warehouse = Warehouse::new(last);
    let mut breaches: Vec<Breach<'h>> = books
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
    /// Free, reserved and shipped pieces by article.
    stock: BTreeMap<&'h str, [i64; 3]>,
    /// Reserved pieces by order.
    held: BTreeMap<&'h str, i64>,
}

impl<'b, 'h> Warehouse<'b, 'h> {
    fn new(last: &'b Last<'h>) -> Self {
        let stock = ARTICLES.map(|(sku, free)| (sku, [free, 0, 0]));
        Warehouse {
            last,
            stock: stock.into(),
            held: BTreeMap::new(),
        }
    }

    /// Makes a move, and says what is wrong with it.
    fn take(&mut self, step: &Move<'h>) -> Option<Breach<'h>> {
        let order = self.last.orders.get(step.order)?;
        let (pieces, sku) = (order.quantity, order.sku);
        let places = self.stock.entry(sku).or_default();
        let held = self.held.entry(step.order).or_default();
        let id = short(step.order);
        let (from, to, wrong) = match step.effect {
            "stock reserved" if places[0] < pieces => {
                let free = places[0];
                (
                    0,
                    1,
                    Some(format!(
                        "{pieces} pieces of {sku} were reserved for order {id}, but only {free} were free"
                    )),
                )
            }
            "stock reserved" if *held > 0 => (
                0,
                1,
                Some(format!("stock was reserved for order {id} a second time")),
            ),
            "stock reserved" => (0, 1, None),
            "stock released" if *held < pieces => (
                1,
                0,
                Some(format!(
                    "stock was released for order {id}, which held none"
                )),
            ),
            "stock released" => (1, 0, None),
            "stock shipped" if *held < pieces => (
                1,
                2,
                Some(format!("stock was shipped for order {id}, which held none")),
            ),
            "stock shipped" => (1, 2, None),
            _ => return None,
        };
        places[from] -= pieces;
        places[to] += pieces;
        *held += if to == 1 { pieces } else { -pieces };
        wrong.map(|summary| Breach {
            index: step.index,
            order: Some(step.order),
            summary,
        })
    }

    /// Where the final stock is not what the moves make of the first.
    fn disagreements(&self) -> impl Iterator<Item = Breach<'h>> {
        self.stock.iter().filter_map(|(sku, moved)| {
            let counted = self.last.stock.get(sku).copied().unwrap_or_default();
            (counted != *moved).then(|| Breach {
                index: self.last.stock_index,
                order: None,
                summary: format!(
                    "{sku}: {} is in stock, {} by what was moved",
                    places(counted),
                    places(*moved)
                ),
            })
        })
    }
}

fn places([free, reserved, shipped]: [i64; 3]) -> String {
    format!("{free} free + {reserved} reserved + {shipped} shipped")
}
