//! Third parties over HTTP, and their ledger.

use std::time::Duration;

use serde_json::json;
use stormglass::System;
use stormglass::history::{ExternalOutcome, What};
use stormglass::plan::{Call, ExternalFault, Incident, Side};
use stormglass::third_party::{Request, Response, ThirdParty};

use super::{Seen, Stage, idle};

/// A bank that never pays more than a hundred.
fn bank(request: &Request) -> Response {
    match request.body["amount"].as_u64() {
        Some(amount) if amount <= 100 => Response::new(200, json!({ "paid": amount })),
        _ => Response::new(402, json!({ "why": "too much" })),
    }
}

/// Asks the bank for what it is due, once more where it heard nothing, and says what became of it.
async fn payee() -> Result<(), reqwest::Error> {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_millis(500))
        .build()?;
    for (key, amount) in [("a", 10), ("b", 1_000), ("c", 30)] {
        for _ in 0..2 {
            let payment = client
                .post("http://bank/payments")
                .header("Idempotency-Key", key);
            match payment.json(&json!({ "amount": amount })).send().await {
                Ok(answer) => {
                    tracing::info!("{key}: {}", answer.status().as_u16());
                    break;
                }
                Err(_) => tracing::info!("{key}: no answer"),
            }
        }
    }
    std::future::pending().await
}

fn system(bank: ThirdParty) -> System {
    System::new("payee")
        .third_party(bank)
        .host("payee", |_| payee())
}

fn run(disturb: impl FnOnce(Stage) -> Stage) -> Seen {
    let bank = ThirdParty::new("bank", bank).may_refuse(Response::new(402, json!({})));
    disturb(Stage::of(system(bank))).run()
}

/// What the bank made of each call, and whether it answered.
fn outcomes(seen: &Seen) -> Vec<(ExternalOutcome, bool)> {
    seen.of("payee")
        .filter_map(|event| match &event.what {
            What::ExternalCalled {
                outcome, answered, ..
            } => Some((*outcome, *answered)),
            _ => None,
        })
        .collect()
}

fn booked(seen: &Seen) -> Vec<&str> {
    seen.0.ledger("bank").map(|(_, key, _)| key).collect()
}

#[test]
fn what_its_business_takes_is_booked() {
    let seen = run(|stage| stage);
    assert_eq!(seen.said("payee"), ["a: 200", "b: 402", "c: 200"]);
    assert_eq!(booked(&seen), ["a", "c"]);
}

#[test]
fn a_call_whose_answer_is_lost_is_booked_once() {
    let seen = run(|stage| stage.strike("payee", 1, ExternalFault::AnswerLost));
    assert_eq!(seen.said("payee")[..2], ["a: no answer", "a: 200"]);
    assert_eq!(booked(&seen), ["a", "c"]);
    let expected = [
        (ExternalOutcome::Booked, false),
        (ExternalOutcome::Repeated, true),
    ];
    assert_eq!(outcomes(&seen)[..2], expected, "{}", seen.text());
}

#[test]
fn an_answer_that_is_late_comes_after_its_caller_has_given_up() {
    let late = ExternalFault::AnswerLate { delay_ms: 2_000 };
    let seen = run(|stage| stage.strike("payee", 3, late));
    assert_eq!(seen.said("payee")[2..], ["c: no answer", "c: 200"]);
    assert_eq!(booked(&seen), ["a", "c"]);
}

#[test]
fn an_answer_that_is_late_comes_all_the_same_if_somebody_still_waits() {
    let late = ExternalFault::AnswerLate { delay_ms: 300 };
    let seen = run(|stage| stage.strike("payee", 1, late));
    assert_eq!(seen.said("payee"), ["a: 200", "b: 402", "c: 200"]);
    assert!(seen.said_at("payee", "a: 200") >= Duration::from_millis(300));
}

#[test]
fn a_refusal_that_was_not_heard_stays_one() {
    let seen = run(|stage| stage.strike("payee", 1, ExternalFault::RefusedUnheard));
    assert_eq!(seen.said("payee")[..2], ["a: no answer", "a: 402"]);
    assert_eq!(booked(&seen), ["c"]);
    let expected = [
        (ExternalOutcome::Refused, false),
        (ExternalOutcome::Repeated, true),
    ];
    assert_eq!(outcomes(&seen)[..2], expected, "{}", seen.text());
}

#[test]
fn neither_what_is_booked_nor_who_never_refuses_is_refused() {
    // The first call is booked, but nobody hears of it: the second is the same again.
    let refusing = ThirdParty::new("bank", bank).may_refuse(Response::new(402, json!({})));
    let seen = Stage::of(system(refusing))
        .strike("payee", 1, ExternalFault::AnswerLost)
        .strike("payee", 2, ExternalFault::RefusedUnheard)
        .run_biting(&[0]);
    assert_eq!(seen.said("payee")[..2], ["a: no answer", "a: 200"]);

    let seen = Stage::of(system(ThirdParty::new("bank", bank)))
        .strike("payee", 1, ExternalFault::RefusedUnheard)
        .run_biting(&[]);
    assert_eq!(seen.said("payee"), ["a: 200", "b: 402", "c: 200"]);
}

/// Asks a bank under one key at the beginning, after a second and after three, which knows keys for two.
async fn forgotten_payee() -> Result<(), reqwest::Error> {
    let client = reqwest::Client::new();
    for pause_s in [0, 1, 2] {
        tokio::time::sleep(Duration::from_secs(pause_s)).await;
        let payment = client
            .post("http://bank/payments")
            .header("Idempotency-Key", "a");
        payment.json(&json!({ "amount": 10 })).send().await?;
    }
    idle().await
}

#[test]
fn a_key_that_is_forgotten_is_a_new_one() {
    let bank = ThirdParty::new("bank", bank).remembers(Duration::from_secs(2));
    let system = System::new("payee")
        .third_party(bank)
        .host("payee", |_| forgotten_payee());
    let seen = Stage::of(system).run();
    let expected = [
        (ExternalOutcome::Booked, true),
        (ExternalOutcome::Repeated, true),
        (ExternalOutcome::Booked, true),
    ];
    assert_eq!(outcomes(&seen), expected, "{}", seen.text());
}

#[test]
fn who_cannot_be_reached_books_nothing() {
    let outage = Incident::ExternalOutage {
        provider: "bank".to_owned(),
        for_ms: 3_000,
    };
    let seen = run(|stage| stage.at_ms(0, outage));
    assert_eq!(seen.said("payee"), ["a: 503", "b: 503", "c: 503"]);
    assert!(booked(&seen).is_empty());
}

#[test]
fn a_caller_that_dies_before_its_call_books_nothing_and_one_that_dies_after_it_does() {
    let crashed = |side| run(|stage| stage.crash(side, "payee", Call::External, 1));
    let (first, again) = (
        (ExternalOutcome::Booked, true),
        (ExternalOutcome::Repeated, true),
    );
    let before = crashed(Side::Before);
    assert_eq!(booked(&before), ["a", "c"]);
    assert_eq!(outcomes(&before)[0], first);
    assert!(!outcomes(&before).contains(&again), "{}", before.text());
    let after = crashed(Side::After);
    assert_eq!(booked(&after), ["a", "c"]);
    assert_eq!(outcomes(&after)[..2], [first, again]);
}
