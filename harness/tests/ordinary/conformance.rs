//! Every profile keeps what it declares, and a declaration that is not kept is found out.

use std::time::Duration;

use stormglass::broker::{Capabilities, Deduplication, JetStreamSettings, KafkaSettings, Profile};
use stormglass::conformance;

/// The profiles, with settings that change what they do.
fn profiles() -> [Profile; 4] {
    [
        Profile::kafka(),
        Profile::Kafka(KafkaSettings {
            idempotent_producer: false,
            session_timeout: Duration::from_secs(5),
        }),
        Profile::jetstream(),
        Profile::JetStream(JetStreamSettings {
            ack_wait: Duration::from_secs(4),
            max_ack_pending: 8,
            duplicate_window: Duration::from_secs(5),
            message_id_header: "event-id".to_owned(),
        }),
    ]
}

#[test]
fn every_profile_keeps_what_it_declares() {
    for profile in profiles() {
        let kept = conformance::check(&profile, &profile.capabilities());
        assert!(kept.is_ok(), "{profile:?}\n{}", kept.unwrap_err());
    }
}

/// What is declared falsely, and the promise that is then not kept.
type Lie = (fn(&mut Capabilities), &'static str);

#[test]
fn every_false_declaration_is_found_out() {
    let lies: [Lie; 7] = [
        (
            |own| own.settles_cumulatively ^= true,
            "an acknowledgement settles as far as declared",
        ),
        (
            |own| own.assigns_partitions ^= true,
            "a group's members share its partitions",
        ),
        (
            |own| own.answers_settlements ^= true,
            "a settlement is answered where declared",
        ),
        (
            |own| {
                let longer = Duration::from_secs(4);
                own.session_timeout = own.session_timeout.is_none().then_some(longer);
            },
            "a silent member is removed as declared",
        ),
        (
            |own| {
                let longer = Duration::from_secs(2);
                own.ack_wait = own.ack_wait.is_none().then_some(longer);
            },
            "an unsettled message of a living member comes again as declared",
        ),
        (
            |own| own.unsettled_max = Some(own.unsettled_max.map_or(3, |most| most + 1)),
            "a group has as much in hand as declared",
        ),
        (
            |own| {
                own.deduplication = match own.deduplication {
                    Deduplication::Nothing => Deduplication::ProducerSequence,
                    _ => Deduplication::Nothing,
                };
            },
            "a repeated publish is recognised as declared",
        ),
    ];
    for profile in profiles() {
        for (lie, promise) in lies {
            let mut declared = profile.capabilities();
            lie(&mut declared);
            // Who has one message in hand at a time shows nothing of how far an acknowledgement reaches.
            let shows_nothing = profile.capabilities().unsettled_max == Some(1);
            if shows_nothing && declared.settles_cumulatively {
                continue;
            }
            let unkept = conformance::check(&profile, &declared).expect_err(promise);
            assert!(
                unkept.promises().any(|own| own == promise),
                "{promise}\n{unkept}"
            );
        }
    }
}
