//! Reports such as a sweep would make, for all tests of their renderings.
//!
//! Their figures agree with each other, since a person reads the snapshots for sense.

use std::collections::BTreeMap;

use stormglass_reports::{
    CauseLine, Database, FailureReport, FaultCount, NameLine, Panics, PropertyCount, RowKind,
    ScenarioReport, Signature, SweepReport, Timeline, TimelineRow, VerdictLine, VerdictWord,
};

/// A shrunk failure with everything that one can say.
pub(crate) fn lost_order() -> FailureReport {
    FailureReport {
        test: "no_lost_orders".to_owned(),
        property: "no-lost-event".to_owned(),
        seed: 0x5eed_04d2,
        promise_broken: "order-17 committed its event, billing never got it".to_owned(),
        at_ms: Some(4_210),
        index: Some(812),
        inevitable_from: Some(797),
        faults: vec![
            CauseLine::at(3_102, "crash relay")
                .with_detail("after it read the outbox, before it marked rows as sent")
                .and_without(Some("broken in another way")),
            CauseLine::at(3_118, "lose ack")
                .with_detail("broker → relay, orders/2@17")
                .and_without(Some("holds")),
        ],
        faults_planned: 37,
        operations: vec![
            CauseLine::at(2_950, "place order-17")
                .with_detail("2 of sku-3")
                .and_without(Some("never put to the test")),
        ],
        operations_planned: 20,
        instances: BTreeMap::new(),
        chance: 0,
        shrink_runs: 214,
        shrink_ms: 1_900,
        one_minimal: true,
        chain: [
            "order-17 commit",
            "outbox row 17",
            "publish, ack lost",
            "restart skips id > 17",
        ]
        .map(str::to_owned)
        .to_vec(),
        names: vec![NameLine {
            name: "order-17".to_owned(),
            id: "0199a1b2-7c3d-7000-8000-00000000beef".to_owned(),
        }],
        digest: "9f2c41d07ab3e6580c1d2e3f4a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d".to_owned(),
        artefact: Some("target/stormglass/no_lost_orders-5eed04d2.json".to_owned()),
        keep_as: Some("tests/regressions/no_lost_orders-5eed04d2.json".to_owned()),
        replay_command: "STORMGLASS_REPLAY=target/stormglass/no_lost_orders-5eed04d2.json \
                         cargo test no_lost_orders -- --exact"
            .to_owned(),
        story: Some("target/stormglass/no_lost_orders-5eed04d2.html".to_owned()),
        others: vec!["convergence".to_owned()],
        note: Some(
            "the run ended 1.5 s after the last thing that was owed; what comes later than that was not seen"
                .to_owned(),
        ),
        error: None,
    }
}

/// A failure whose every text is longer than a line, and hostile in its characters.
pub(crate) fn long_failure() -> FailureReport {
    let links = (1..=9).map(|n| format!("attempt {n} of payment-{n} is answered too late"));
    FailureReport {
        property: "effect-once".to_owned(),
        seed: u64::MAX,
        promise_broken: "payment-3 was charged twice: the provider's ledger has two entries for one \
                         idempotency key,\nof which only the second is known to the payment service"
            .to_owned(),
        faults: vec![
            CauseLine::untimed("lose answer of commit 7 at payment"),
            CauseLine::at(754_210, "partition payment from broker, both ways, for 12 s of virtual time")
                .with_detail("while the third delivery was being applied and before its settlement could be sent"),
        ],
        operations: vec![CauseLine::at(90, "place order-3")],
        shrink_runs: 1_000,
        shrink_ms: 61_000,
        one_minimal: false,
        chain: links.collect(),
        others: ["convergence", "causality", "money-and-stock", "entity-order", "dlq-routing", "no-ghost-event", "log"]
            .map(str::to_owned)
            .to_vec(),
        error: Some(
            "host payment panicked: \u{1b}[31mbalance went below zero\u{1b}[0m\n\n  at ledger.rs:40\n".to_owned(),
        ),
        keep_as: None,
        ..lost_order()
    }
}

/// A failure that was not shrunk and of which little is known.
pub(crate) fn bare_failure() -> FailureReport {
    FailureReport {
        test: "calm".to_owned(),
        property: "convergence".to_owned(),
        seed: 7,
        promise_broken: "the system was not quiet 60 s after healing".to_owned(),
        operations: (1..=30)
            .map(|n| CauseLine::at(n * 100, format!("place order-{n}")))
            .collect(),
        operations_planned: 30,
        replay_command: "stormglass run calm --seed 0x00000007".to_owned(),
        ..FailureReport::default()
    }
}

/// A sweep in which all properties hold.
pub(crate) fn green_sweep() -> SweepReport {
    SweepReport {
        version: SweepReport::VERSION,
        first_seed: 1,
        jobs: Some(2),
        database: Database::Sqlite,
        interrupted: false,
        elapsed_ms: Some(41_230),
        code_version: "0.1.0".to_owned(),
        shard: None,
        scenarios: vec![calm(), relay_crashes(), everything()],
    }
}

/// A sweep that was stopped, in which one run broke two properties and another property was never in danger.
pub(crate) fn broken_sweep() -> SweepReport {
    let mut sweep = green_sweep();
    sweep.interrupted = true;
    sweep.database = Database::Postgres;
    let relay = &mut sweep.scenarios[1];
    for property in ["no-lost-event", "convergence"] {
        let once = PropertyCount {
            holds: 199,
            broken: 1,
            vacuous: 0,
        };
        relay.properties.insert(property.to_owned(), once);
    }
    relay.failures.push(lost_order());
    let seed = lost_order().seed;
    relay.signatures = ["convergence", "no-lost-event"]
        .map(|property| Signature::once(property, "", seed, ["crash", "lose-ack"]))
        .to_vec();
    let calm = &mut sweep.scenarios[0];
    calm.properties.insert(
        "dlq-routing".to_owned(),
        PropertyCount {
            holds: 0,
            broken: 0,
            vacuous: 50,
        },
    );
    sweep
}

fn calm() -> ScenarioReport {
    ScenarioReport {
        name: "calm".to_owned(),
        promise: "Without any fault every order is confirmed.".to_owned(),
        seeds: 50,
        seeds_asked: 50,
        virtual_ms: 3_000_000,
        faults: BTreeMap::new(),
        properties: properties(&["no-lost-event", "effect-once", "entity-order"], 50),
        back: None,
        failures: Vec::new(),
        signatures: Vec::new(),
        kept: 2,
        panics: Vec::new(),
    }
}

fn relay_crashes() -> ScenarioReport {
    ScenarioReport {
        name: "relay-crashes".to_owned(),
        promise: "A relay that dies at any point loses no committed event.".to_owned(),
        seeds: 200,
        seeds_asked: 200,
        virtual_ms: 24_000_000,
        faults: faults(&[("crash", 412, 396), ("lose-ack", 120, 88)]),
        properties: properties(
            &[
                "causality",
                "convergence",
                "effect-once",
                "entity-order",
                "log",
                "no-ghost-event",
                "no-lost-event",
            ],
            200,
        ),
        back: None,
        failures: Vec::new(),
        signatures: Vec::new(),
        kept: 0,
        panics: vec![Panics {
            place: "shop/src/relay/pace.rs:52:20".to_owned(),
            seeds: 3,
            first_seed: 0x5eed_0007,
            host: "relay".to_owned(),
            message: "assertion failed: min <= max".to_owned(),
        }],
    }
}

fn everything() -> ScenarioReport {
    let kinds = [
        ("broker-outage", 160, 151),
        ("capacity-limit", 88, 40),
        ("commit-answer-lost", 97, 61),
        ("crash", 412, 396),
        ("delayed-settlement", 70, 22),
        ("duplicate", 310, 310),
        ("latency-spike", 143, 0),
        ("lose-ack", 120, 88),
        ("one-way-partition", 65, 47),
        ("partition", 91, 80),
        ("pause", 58, 31),
        ("poison", 40, 40),
        ("rebalance", 102, 77),
        ("reorder", 204, 113),
        ("statement-error", 190, 164),
    ];
    let names = [
        "causality",
        "convergence",
        "dlq-routing",
        "effect-once",
        "entity-order",
        "log",
        "money-and-stock",
        "no-ghost-event",
        "no-lost-event",
    ];
    let mut properties = properties(&names, 250);
    properties.insert(
        "dlq-routing".to_owned(),
        PropertyCount {
            holds: 38,
            broken: 0,
            vacuous: 212,
        },
    );
    ScenarioReport {
        name: "everything-at-once".to_owned(),
        promise: "Under all faults together every order ends confirmed or compensated.".to_owned(),
        seeds: 250,
        seeds_asked: 250,
        virtual_ms: 327_000_000,
        faults: faults(&kinds),
        properties,
        back: None,
        failures: Vec::new(),
        signatures: Vec::new(),
        kept: 0,
        panics: Vec::new(),
    }
}

fn faults(kinds: &[(&str, u64, u64)]) -> BTreeMap<String, FaultCount> {
    kinds
        .iter()
        .map(|&(kind, planned, bitten)| {
            (
                kind.to_owned(),
                FaultCount {
                    planned,
                    bitten,
                    never_called: 0,
                },
            )
        })
        .collect()
}

fn properties(names: &[&str], holds: u64) -> BTreeMap<String, PropertyCount> {
    names
        .iter()
        .map(|&name| {
            (
                name.to_owned(),
                PropertyCount {
                    holds,
                    broken: 0,
                    vacuous: 0,
                },
            )
        })
        .collect()
}

/// A run in which an event is lost.
pub(crate) fn timeline() -> Timeline {
    let row = |index, at_ns, host: &str, kind, text: &str| TimelineRow {
        index,
        at_ns,
        host: host.to_owned(),
        kind,
        text: text.to_owned(),
        emphasis: false,
    };
    let witness = |row: TimelineRow| TimelineRow {
        emphasis: true,
        ..row
    };
    Timeline {
        title: "relay-crashes, shrunk from 37 faults to 2".to_owned(),
        scenario: "relay-crashes".to_owned(),
        seed: 0x5eed_04d2,
        digest: "9f2c41d07ab3e6580c1d2e3f4a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d".to_owned(),
        hosts: ["gateway", "order", "relay", "broker", "billing"]
            .map(str::to_owned)
            .to_vec(),
        rows: vec![
            row(0, 0, "", RowKind::Run, "chaos begins"),
            row(
                641,
                2_950_400_000,
                "gateway",
                RowKind::Operation,
                "POST /orders order-17, 2 of sku-3",
            ),
            witness(row(
                644,
                2_951_999_999,
                "order",
                RowKind::Database,
                "commit 23: orders +1, outbox +1 (row 17)",
            )),
            row(
                650,
                2_960_000_000,
                "order",
                RowKind::Log,
                "order accepted\norder=order-17",
            ),
            row(
                702,
                3_090_100_000,
                "relay",
                RowKind::Broker,
                "publish orders/2 order-17 OrderPlaced",
            ),
            witness(row(
                703,
                3_102_000_000,
                "relay",
                RowKind::Fault,
                "crash before it marked rows as sent",
            )),
            row(
                704,
                3_118_000_000,
                "broker",
                RowKind::Fault,
                "lose ack broker → relay, orders/2@17",
            ),
            row(797, 3_600_000_000, "relay", RowKind::Run, "restart"),
            witness(row(
                812,
                4_210_000_000,
                "relay",
                RowKind::Database,
                "select from outbox where id > 17: no rows",
            )),
            row(
                1_020,
                61_000_000_000,
                "",
                RowKind::Verdict,
                "no-lost-event broken",
            ),
        ],
        names: Vec::new(),
        verdicts: vec![
            VerdictLine {
                property: "no-lost-event".to_owned(),
                verdict: VerdictWord::Broken,
                detail: "order-17 committed its event, billing never got it".to_owned(),
            },
            VerdictLine {
                property: "effect-once".to_owned(),
                verdict: VerdictWord::Holds,
                detail: "19 effects, 4 redeliveries".to_owned(),
            },
            VerdictLine {
                property: "dlq-routing".to_owned(),
                verdict: VerdictWord::Vacuous,
                detail: "no payload was poisoned".to_owned(),
            },
        ],
    }
}
