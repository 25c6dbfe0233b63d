//! *Charged twice*: a link that parts again and again keeps acknowledgements of one payment service from the broker, which
//! delivers what is not acknowledged to the other one.
//!
//! The consumer acknowledges each message before it takes the next, so that each time one message at most comes twice; one that
//! acknowledges in batches repeats a batch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reference_system::event::Event;
use reference_system::identifiers::new_id;
use reference_system::inbox::{Inbox, ProcessedEvents};
use reference_system::ports::CardProcessor;
use reference_system::ports::card_processor::{
    CardProcessorError, Charge, ChargeOutcome, HttpCardProcessor, Transaction,
};
use sqlx::AnyConnection;
use stormglass::Seed;
use stormglass::checker::EffectOnce;
use stormglass::history::History;
use stormglass::plan::{Fault, Incident as Befalls, Plan};

use super::figures::Judged;
use super::sale::{Sale, millis, plan, run, unhurried};
use super::{Finding, Incident, MeasureError};
use crate::deploy::{CARD_PROCESSOR, Deployment, Processes};

/// The article's incident.
pub(super) struct ChargedTwice;

const MINUTE: Duration = Duration::from_secs(60);
const SALE: Sale = Sale {
    from: MINUTE,
    lasts: MINUTE.saturating_mul(60),
    orders: 400,
};
/// How often the link parts in that time, and for how long: longer than the broker waits for an acknowledgement.
const PARTS: (u32, Duration) = (60, Duration::from_secs(40));

impl Incident for ChargedTwice {
    fn name(&self) -> &'static str {
        "charged-twice"
    }

    fn promise(&self) -> &'static str {
        "whatever the broker delivers again, every customer is charged once"
    }

    fn claims(&self) -> &'static [&'static str] {
        &["redelivery-charges-twice", "idempotency-charges-once"]
    }

    fn measure(&self, seeds: &[Seed]) -> Result<Vec<Finding>, MeasureError> {
        let (mut without, mut with) = (Charges::none(), Charges::none());
        for seed in seeds {
            let forgetful = Deployment::new("charged twice")
                .inbox(Forgetful)
                .processes(Keyless);
            without.add(&run(forgetful.settings(unhurried()), &parted(*seed))?.history);
            let right = Deployment::new("charged once").settings(unhurried());
            with.add(&run(right, &parted(*seed))?.history);
        }
        Ok(vec![
            Finding::of("redelivery-charges-twice", without.are_doubled())
                .with("without idempotency", without.told()),
            Finding::of("idempotency-charges-once", with.are_single())
                .with("processed_events", with.told()),
        ])
    }
}

/// The sale, while nothing comes through from the payment service to the broker for a while, many times.
fn parted(seed: Seed) -> Plan {
    let (times, lasts) = PARTS;
    let every = SALE.lasts / times;
    let cut = Befalls::OneWayPartition {
        from: "payment".to_owned(),
        to: "nats".to_owned(),
        for_ms: millis(lasts),
    };
    let schedule = (0..times).map(|number| {
        let at = SALE.from + every * number;
        Fault::at(millis(at), cut.clone())
    });
    Plan {
        // The other one gets what the first has not acknowledged.
        instances: [("payment".to_owned(), 2)].into(),
        ..plan(seed, &[SALE], schedule.collect())
    }
}

/// What the card processor booked.
struct Charges {
    effect_once: Judged,
    /// Customers that were charged.
    charged: u64,
    /// Customers that were charged more than once.
    twice: u64,
    /// What they were charged too much, in cents.
    too_much_cents: i64,
}

impl Charges {
    fn none() -> Self {
        Charges {
            effect_once: Judged::by(&EffectOnce),
            charged: 0,
            twice: 0,
            too_much_cents: 0,
        }
    }

    fn are_doubled(&self) -> bool {
        self.twice > 0 && self.effect_once.is_broken()
    }

    fn are_single(&self) -> bool {
        self.charged > 0 && self.twice == 0 && self.effect_once.is_kept()
    }

    fn add(&mut self, history: &History) {
        self.effect_once.add(&EffectOnce, history);
        let mut booked: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for (_, _, request) in history.ledger(CARD_PROCESSOR) {
            if let Ok(Transaction::Charge(charge)) = serde_json::from_value(request.clone()) {
                let of_order = booked.entry(charge.order_id).or_default();
                of_order.push(charge.amount_cents);
            }
        }
        for amounts in booked.values() {
            self.charged += 1;
            self.twice += u64::from(amounts.len() > 1);
            self.too_much_cents += amounts.iter().skip(1).sum::<i64>();
        }
    }

    fn told(&self) -> String {
        let Charges { charged, twice, .. } = self;
        let too_much = self.too_much_cents as f64 / 100.0;
        let judged = self.effect_once.told();
        format!("{twice} of {charged} customers charged twice, {too_much:.2} too much, {judged}")
    }
}

/// An inbox that knows nothing of what the payment service has handled.
struct Forgetful;

#[async_trait]
impl Inbox for Forgetful {
    async fn knows(
        &self,
        tx: &mut AnyConnection,
        consumer: &str,
        event_id: &str,
    ) -> sqlx::Result<bool> {
        match consumer {
            "payment" => Ok(false),
            _ => ProcessedEvents.knows(tx, consumer, event_id).await,
        }
    }

    async fn first_time(
        &self,
        tx: &mut AnyConnection,
        consumer: &str,
        event: &Event,
    ) -> sqlx::Result<bool> {
        match consumer {
            "payment" => Ok(true),
            _ => ProcessedEvents.first_time(tx, consumer, event).await,
        }
    }
}

/// A payment service that asks the card processor under a new key each time.
struct Keyless;

impl Processes for Keyless {
    fn card_processor(&self) -> Arc<dyn CardProcessor> {
        Arc::new(NewKeys(HttpCardProcessor::new(&format!(
            "http://{CARD_PROCESSOR}"
        ))))
    }
}

struct NewKeys(HttpCardProcessor);

#[async_trait]
impl CardProcessor for NewKeys {
    async fn charge(&self, _: &str, charge: Charge) -> Result<ChargeOutcome, CardProcessorError> {
        self.0.charge(&new_id().to_string(), charge).await
    }

    async fn refund(&self, key: &str, charge: Charge) -> Result<(), CardProcessorError> {
        self.0.refund(key, charge).await
    }
}
