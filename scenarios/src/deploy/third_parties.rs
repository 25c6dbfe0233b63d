//! The third parties of the shop: a card processor, a mail service and, where it is watched, a pager, as the services call them over HTTP.

use reference_system::ports::card_processor::{Declined, Transaction};
use serde_json::{Value, json};
use stormglass::third_party::{Request, Response, ThirdParty};

/// The host of the card processor.
pub const CARD_PROCESSOR: &str = "card-processor";
/// The host of the mail service.
pub const MAILER: &str = "mailer";
/// The host of the pager.
pub const PAGER: &str = "pager";

/// A card processor that declines cards whose token begins with `declined`, and others where a fault says so. A refund is
/// never declined.
pub(super) fn card_processor() -> ThirdParty {
    let charge_of = |request: &Request| match serde_json::from_value(request.body.clone()) {
        Ok(Transaction::Charge(charge)) => Some(charge),
        _ => None,
    };
    let business = move |request: &Request| match charge_of(request) {
        Some(charge) if charge.card.starts_with("declined") => declined("insufficient funds"),
        _ => Response::new(200, Value::Null),
    };
    ThirdParty::new(CARD_PROCESSOR, business)
        .may_refuse_where(declined("declined by the bank"), move |request| {
            charge_of(request).is_some()
        })
}

/// A mail service that accepts every mail.
pub(super) fn mailer() -> ThirdParty {
    ThirdParty::new(MAILER, |_| Response::new(200, Value::Null))
}

/// A pager that is always heard.
pub(super) fn pager() -> ThirdParty {
    ThirdParty::new(PAGER, |_| Response::new(200, Value::Null))
}

fn declined(reason: &str) -> Response {
    let reason = reason.to_owned();
    Response::new(402, json!(Declined { reason }))
}
