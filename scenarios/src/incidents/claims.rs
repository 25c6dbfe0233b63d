//! The claims of the article that can be measured, each in a sentence of our own.
//!
//! What it says of people (setup times, team sizes, what a manual refund costs) is no claim about a system, and left out.

/// One claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What code and findings call it.
    pub id: &'static str,
    /// What is claimed.
    pub text: &'static str,
}

const fn claim(id: &'static str, text: &'static str) -> Claim {
    Claim { id, text }
}

/// Every claim, in the order of the article.
pub const CLAIMS: &[Claim] = &[
    claim(
        "latency-compounds",
        "Where every service is called in turn, the answer takes as long as all of them together",
    ),
    claim(
        "any-failure-fails-all",
        "Where every service is called in turn, the request fails when one of them is down",
    ),
    claim(
        "consumers-are-added",
        "A new consumer is a new service, and nothing else changes",
    ),
    claim(
        "scales-apart",
        "A slow and a fast consumer of the same events do not contend",
    ),
    claim(
        "orders-go-on",
        "When the notification service is down orders are processed, and the mails catch up",
    ),
    claim(
        "order-inverts-under-load",
        "Without entity keys a later event of an order overtakes an earlier one, rarely, and only under load",
    ),
    claim(
        "entity-keys-keep-order",
        "With the entity's id as partition key no event overtakes another of its entity",
    ),
    claim(
        "redelivery-charges-twice",
        "A payment consumer without idempotency charges customers twice when the broker delivers again",
    ),
    claim(
        "idempotency-charges-once",
        "With a table of processed event ids nobody is charged twice",
    ),
    claim(
        "idempotency-is-cheap",
        "The look-up costs about 2 ms an event",
    ),
    claim(
        "one-query-traces",
        "With correlation ids one query shows the whole chain and where it broke",
    ),
    claim(
        "schema-mismatch-is-silent",
        "A schema mismatch that is caught and logged at DEBUG loses events without a sign",
    ),
    claim(
        "registry-refuses",
        "A registry refuses the incompatible version before it is published",
    ),
    claim(
        "outage-only-delays",
        "While the broker is down events wait in the outbox, and are published when it is back",
    ),
    claim(
        "direct-loses-orders",
        "Direct publish loses orders when the broker is at its capacity",
    ),
    claim(
        "outbox-loses-none",
        "The outbox loses none, and its relay drains at a controlled rate",
    ),
    claim(
        "cdc-loses-none",
        "Change data capture loses none, without a change in the services' code",
    ),
    claim(
        "dlq-keeps",
        "What fails again and again is parked instead of dropped, and can be replayed",
    ),
    claim(
        "dlq-alert",
        "A few parked events are normal, hundreds an hour give one alert and not hundreds",
    ),
    claim(
        "lag-is-seen",
        "A lag monitor tells of a consumer that falls behind before its customers do",
    ),
    claim(
        "fat-events-couple",
        "Events with the whole entity break every consumer when its schema changes",
    ),
    claim(
        "versions-coexist",
        "Consumers that handle two versions survive a rolling deployment",
    ),
    claim(
        "breaker-spares",
        "A circuit breaker on the publish path keeps an outage of the broker from taking the callers with it",
    ),
    claim(
        "call-beats-event",
        "Where an answer is needed at once, a synchronous call is simpler and faster than an event",
    ),
    claim(
        "monolith-does",
        "For a small team a monolith with in-process events does, without a broker to run",
    ),
    claim(
        "monolith-loses-on-crash",
        "Its price: what a crash finds between a commit and the subscribers behind it is lost",
    ),
];
