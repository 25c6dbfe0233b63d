//! `mail-and-charge`: what the shop has others do is done once for each reason, and never without one.
//!
//! The ledgers of the third parties are compared with what the services committed. A mail or a charge under
//! another idempotency key is another mail or charge. Prices, and whether an order came to its end, are the
//! business of `money-and-stock`.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use reference_system::event::contract::event_type;
use serde_json::Value;
use stormglass::checker::{Property, Verdict};
use stormglass::history::{ExternalOutcome, Fact, History, What};

use crate::breach::{Breach, judge};
use crate::deploy::{CARD_PROCESSOR, MAILER};

/// Each mail, charge and refund is done once for each event that asks for it, and no service says that one
/// was done that was not.
#[derive(Clone, Copy, Debug, Default)]
pub struct MailAndCharge;

/// Something that is done outside of the system, and the type of the event that is its reason.
struct Deed {
    provider: &'static str,
    /// The third party's word for it.
    kind: &'static str,
    reason: &'static str,
    /// What says that it was done.
    claim: Claim,
}

/// What a service commits once a third party has done its part.
enum Claim {
    /// The effect of the notification service.
    Effect(&'static str),
    /// The announcement of an event of this type.
    Event(&'static str),
}

const DEEDS: &[Deed] = &[
    Deed {
        provider: MAILER,
        kind: "received",
        reason: event_type::ORDER_PLACED,
        claim: Claim::Effect("receipt mailed"),
    },
    Deed {
        provider: MAILER,
        kind: "confirmed",
        reason: event_type::ORDER_CONFIRMED,
        claim: Claim::Effect("confirmation mailed"),
    },
    Deed {
        provider: MAILER,
        kind: "cancelled",
        reason: event_type::ORDER_CANCELLED,
        claim: Claim::Effect("cancellation mailed"),
    },
    Deed {
        provider: MAILER,
        kind: "dispatched",
        reason: event_type::SHIPMENT_DISPATCHED,
        claim: Claim::Effect("dispatch mailed"),
    },
    Deed {
        provider: MAILER,
        kind: "refunded",
        reason: event_type::PAYMENT_REFUNDED,
        claim: Claim::Effect("refund mailed"),
    },
    Deed {
        provider: CARD_PROCESSOR,
        kind: "charge",
        reason: event_type::STOCK_RESERVED,
        claim: Claim::Event(event_type::PAYMENT_CAPTURED),
    },
    Deed {
        provider: CARD_PROCESSOR,
        kind: "refund",
        reason: event_type::REFUND_REQUESTED,
        claim: Claim::Event(event_type::PAYMENT_REFUNDED),
    },
];

impl Property for MailAndCharge {
    fn id(&self) -> &str {
        "mail-and-charge"
    }

    fn promise(&self) -> &str {
        "each mail, charge and refund is done once for its reason, and none without one"
    }

    fn check(&self, history: &History) -> Verdict {
        let booked = history.ledger(MAILER).chain(history.ledger(CARD_PROCESSOR));
        if booked.count() == 0 {
            return Verdict::Vacuous("no mail was sent and no card charged".to_owned());
        }
        let mut breaches = of_unknown_kind(history);
        for deed in DEEDS {
            for (order, account) in deed.accounts(history) {
                breaches.extend(account.excess(deed, order));
                breaches.extend(account.empty_claim(deed, order));
            }
        }
        breaches.extend(refunds_of_nothing(history));
        judge(history, breaches).unwrap_or(Verdict::Holds)
    }
}

/// What is said of one kind of deed for one order. Each number is an event of the history.
#[derive(Default)]
struct Account {
    reasons: Vec<u64>,
    done: Vec<u64>,
    claims: Vec<u64>,
}

impl Deed {
    /// The account of every order.
    fn accounts<'h>(&self, history: &'h History) -> BTreeMap<&'h str, Account> {
        let mut accounts: BTreeMap<&str, Account> = BTreeMap::new();
        for event in &history.events {
            let index = event.index;
            match &event.what {
                What::Observed {
                    fact: Fact::Announced(announced),
                    ..
                } => {
                    let account = accounts.entry(&announced.entity).or_default();
                    if announced.event_type == self.reason {
                        account.reasons.push(index);
                    }
                    if matches!(self.claim, Claim::Event(own) if own == announced.event_type) {
                        account.claims.push(index);
                    }
                }
                What::Observed {
                    fact: Fact::Applied(applied),
                    ..
                } if matches!(self.claim, Claim::Effect(own) if own == applied.effect) => {
                    accounts
                        .entry(&applied.entity)
                        .or_default()
                        .claims
                        .push(index);
                }
                What::ExternalCalled {
                    provider,
                    request,
                    outcome: ExternalOutcome::Booked,
                    ..
                } if **provider == *self.provider && kind(request) == self.kind => {
                    accounts.entry(order(request)).or_default().done.push(index);
                }
                _ => {}
            }
        }
        accounts
    }

    /// The deed in words, such as `mail "received"`.
    fn words(&self) -> String {
        match self.provider {
            MAILER => format!("mail \"{}\"", self.kind),
            _ => self.kind.to_owned(),
        }
    }
}

impl Account {
    /// A deed without a reason, or one more than there are reasons.
    ///
    /// A reason may be committed after the deed: only one that never comes is missing.
    fn excess(&self, deed: &Deed, order: &str) -> Option<Breach> {
        let reasons = self.reasons.len();
        let &first_too_many = self.done.get(reasons)?;
        let (done, what, id) = (self.done.len(), deed.words(), order);
        let rule = match reasons {
            0 => "without-reason",
            _ => "too-many",
        };
        let summary = match reasons {
            0 => format!(
                "{what} for order {id} has no reason: no {} of it was committed",
                deed.reason
            ),
            1 => format!(
                "{what} for order {id} was done {done} times for one {}",
                deed.reason
            ),
            _ => format!(
                "{what} for order {id} was done {done} times for {reasons} {}",
                deed.reason
            ),
        };
        Some(Breach::of(rule, order, first_too_many, summary))
    }

    /// A claim that the deed was done before it was, or that it was done more often than it was.
    fn empty_claim(&self, deed: &Deed, order: &str) -> Option<Breach> {
        let mut claims = self.claims.iter().enumerate();
        let (_, &index) = claims.find(|&(nth, claim)| {
            let done_before = self.done.iter().filter(|&done| done < claim).count();
            done_before <= nth
        })?;
        let (provider, what, id) = (deed.provider, deed.words(), order);
        let summary =
            format!("{what} for order {id} is said to be done, and the {provider} knows of none");
        Some(Breach::of("empty-claim", order, index, summary))
    }
}

/// Entries of a ledger that are none of the shop's deeds.
fn of_unknown_kind(history: &History) -> Vec<Breach> {
    let mut strange = Vec::new();
    for provider in [MAILER, CARD_PROCESSOR] {
        for (index, _, request) in history.ledger(provider) {
            let is_known = |deed: &Deed| deed.provider == provider && deed.kind == kind(request);
            if !DEEDS.iter().any(is_known) {
                let summary = format!("the {provider} was asked for something unknown: {request}");
                strange.push(Breach::of("unknown-kind", order(request), index, summary));
            }
        }
    }
    strange
}

/// Money that went back before as much had been paid.
fn refunds_of_nothing(history: &History) -> Vec<Breach> {
    let mut paid: BTreeMap<&str, i64> = BTreeMap::new();
    let mut breaches = Vec::new();
    for (index, _, request) in history.ledger(CARD_PROCESSOR) {
        let cents = request["amount_cents"].as_i64().unwrap_or_default();
        let paid = paid.entry(order(request)).or_default();
        match kind(request) {
            "refund" => *paid -= cents,
            _ => *paid += cents,
        }
        if *paid < 0 {
            let id = order(request);
            let summary =
                format!("{cents} cents for order {id} went back, which is more than was paid");
            breaches.push(Breach::of(
                "refund-of-nothing",
                order(request),
                index,
                summary,
            ));
        }
    }
    breaches
}

/// What a third party was asked for.
fn kind(request: &Value) -> &str {
    let kind = request.get("kind").or_else(|| request.get("occasion"));
    kind.and_then(Value::as_str).unwrap_or_default()
}

fn order(request: &Value) -> &str {
    request["order_id"].as_str().unwrap_or_default()
}
