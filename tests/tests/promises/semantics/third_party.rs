//! Calls to third parties: what they booked stands, whatever the caller heard of it.

use std::time::Duration;

use serde_json::json;
use stormglass::Host;
use stormglass::history::{ExternalOutcome, What};
use stormglass::plan::{ExternalFault, Incident};
use tokio::time::sleep;

use super::stage::{Seen, Stage, idle};

/// Asks the bank under one key until it answers; the bank numbers its answers.
async fn debtor(host: Host) -> Result<(), String> {
    if host.incarnation() > 1 {
        return idle().await;
    }
    let bank = host.external("bank");
    for answer in 1.. {
        let asked = bank.call("invoice-7", json!({ "cents": 100 }), |_| Ok(json!(answer)));
        match asked.await {
            Ok(answer) => {
                tracing::info!("answer {answer}");
                break;
            }
            Err(error) => tracing::info!("{error}"),
        }
        sleep(Duration::from_millis(500)).await;
    }
    idle().await
}

fn debt() -> Stage {
    Stage::new().with(|system| system.host("debtor", debtor))
}

/// What the bank made of each call, and whether the caller heard of it.
fn ledger(seen: &Seen) -> Vec<(ExternalOutcome, bool)> {
    seen.of("debtor")
        .filter_map(|event| match &event.what {
            What::ExternalCalled {
                outcome, answered, ..
            } => Some((*outcome, *answered)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_lost_answer_leaves_its_entry_in_the_ledger() {
    let seen = debt().strike("debtor", 1, ExternalFault::AnswerLost).run();
    let expected = [
        (ExternalOutcome::Booked, false),
        (ExternalOutcome::Repeated, true),
    ];
    assert_eq!(ledger(&seen), expected, "{}", seen.text());
    assert_eq!(seen.said("debtor"), ["no answer in time", "answer 1"]);
    assert_eq!(seen.run.bitten, [0]);
}

#[test]
fn an_unreachable_third_party_books_nothing() {
    let outage = Incident::ExternalOutage {
        provider: "bank".to_owned(),
        for_ms: 400,
    };
    let seen = debt().at_ms(0, outage).run();
    let expected = [
        (ExternalOutcome::Unavailable, true),
        (ExternalOutcome::Booked, true),
    ];
    assert_eq!(ledger(&seen), expected, "{}", seen.text());
    assert_eq!(seen.said("debtor"), ["not reachable", "answer 2"]);
    assert_eq!(seen.run.bitten, [0]);
}
