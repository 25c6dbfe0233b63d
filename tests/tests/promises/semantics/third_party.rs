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
    Stage::new().with(|system| system.ported_host("debtor", debtor))
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

/// Asks a bank that may refuse.
async fn doubtful_debtor(host: Host) -> Result<(), String> {
    if host.incarnation() > 1 {
        return idle().await;
    }
    let bank = host.external("bank").may_refuse("no more credit");
    for _ in 0..3 {
        let asked = bank.call("invoice-7", json!({ "cents": 100 }), |_| Ok(json!("paid")));
        match asked.await {
            Ok(answer) => tracing::info!("{answer}"),
            Err(error) => tracing::info!("{error}"),
        }
    }
    idle().await
}

fn doubt() -> Stage {
    Stage::new().with(|system| system.ported_host("debtor", doubtful_debtor))
}

#[test]
fn an_answer_that_is_late_comes_all_the_same_if_somebody_still_waits() {
    for (delay_ms, said, heard) in [(700, "answer 1", true), (1_500, "no answer in time", false)] {
        let late = ExternalFault::AnswerLate { delay_ms };
        let seen = debt().strike("debtor", 1, late).run();
        let at = seen.said_at("debtor", said).as_millis();
        assert!(at >= u128::from(delay_ms.min(1_000)), "{}", seen.text());
        assert_eq!(ledger(&seen)[0], (ExternalOutcome::Booked, heard));
        assert_eq!(seen.said("debtor").last(), Some(&"answer 1"));
        assert_eq!(seen.run.bitten, [0]);
    }
}

#[test]
fn a_refusal_is_heard_by_whoever_asks_again() {
    let seen = doubt()
        .strike("debtor", 1, ExternalFault::RefusedUnheard)
        .run();
    let refused = "refused: no more credit";
    assert_eq!(seen.said("debtor"), ["no answer in time", refused, refused]);
    let expected = [
        (ExternalOutcome::Refused, false),
        (ExternalOutcome::Repeated, true),
        (ExternalOutcome::Repeated, true),
    ];
    assert_eq!(ledger(&seen), expected, "{}", seen.text());
    assert_eq!(seen.run.bitten, [0]);
}

#[test]
fn neither_what_is_booked_nor_who_never_refuses_is_refused() {
    let booked = doubt()
        .strike("debtor", 2, ExternalFault::RefusedUnheard)
        .run();
    assert_eq!(booked.said("debtor"), ["\"paid\""; 3]);
    assert!(booked.run.bitten.is_empty(), "{}", booked.text());

    let never = debt()
        .strike("debtor", 1, ExternalFault::RefusedUnheard)
        .run();
    assert_eq!(never.said("debtor"), ["answer 1"]);
    assert!(never.run.bitten.is_empty(), "{}", never.text());
}

/// Asks a bank under one key at the beginning, after a second and after three, which knows keys for two.
async fn forgotten_debtor(host: Host) -> Result<(), String> {
    if host.incarnation() > 1 {
        return idle().await;
    }
    let bank = host.external("bank").remembers(Duration::from_secs(2));
    for pause_s in [0, 1, 2] {
        sleep(Duration::from_secs(pause_s)).await;
        let asked = bank.call("invoice-7", json!({ "cents": 100 }), |_| Ok(json!("paid")));
        asked.await.map_err(|error| error.to_string())?;
    }
    idle().await
}

#[test]
fn a_key_that_is_forgotten_is_a_new_one() {
    let seen = Stage::new()
        .with(|system| system.ported_host("debtor", forgotten_debtor))
        .run();
    let expected = [
        (ExternalOutcome::Booked, true),
        (ExternalOutcome::Repeated, true),
        (ExternalOutcome::Booked, true),
    ];
    assert_eq!(ledger(&seen), expected, "{}", seen.text());
}
