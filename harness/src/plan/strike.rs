//! Strikes: what becomes of one call, typed to the call.
//!
//! So a commit that is lost at a publish cannot be written. What befalls more than one call is an
//! incident.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::fault::Told;
use super::schedule::FaultKind;

/// What becomes of one publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishFault {
    /// The broker appends the message, and the producer never hears of it.
    AckLost,
    /// The payload becomes bytes that nobody can decode.
    Poison,
    /// The broker takes no message as large as this one until somebody has raised its limit: it refuses the message, and every
    /// other publish of the same event, for so long. Kafka does so by `message.max.bytes` (`MESSAGE_TOO_LARGE`), JetStream by
    /// a stream's `max_msg_size` (error 10054). What carries no event id is never struck: nobody would know it again.
    TooLarge {
        /// How long it lasts.
        for_ms: u64,
    },
}

/// What becomes of one delivery on its way to the application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiveFault {
    /// It is held back while others go on.
    Reorder {
        /// For how long.
        hold_ms: u64,
    },
    /// Its group cannot decode the payload of this message, now or at any later delivery; other groups
    /// can. Only what the group gets for the first time becomes so.
    Poison {
        /// How many messages of its key are poison for the group: this one, and those that come next.
        events: u32,
    },
}

/// What becomes of one settlement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettleFault {
    /// It has no effect, and the message is delivered again.
    Duplicate,
    /// It arrives later.
    Delay {
        /// How much later.
        delay_ms: u64,
    },
}

/// What becomes of one statement, the beginning of a transaction included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatementFault {
    /// It fails.
    Error,
    /// The database is locked by somebody else for so long.
    Locked {
        /// How long it lasts.
        for_ms: u64,
    },
    /// It takes so much longer.
    Slow {
        /// How much longer.
        delay_ms: u64,
    },
    /// PostgreSQL finds that it waits for somebody who waits for it, and makes it the victim: it fails with 40P01, and its
    /// transaction can only be rolled back. Who would deadlock on SQLite gets `SQLITE_BUSY` at once instead of waiting,
    /// which is what [`StatementFault::Locked`] does to a transaction that has read before.
    Deadlock,
}

/// What becomes of one commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitFault {
    /// It fails, and nothing was written.
    Lost,
    /// It succeeds, and the caller is told that it failed.
    AnswerLost,
    /// PostgreSQL finds that another transaction has come before it (40001), and nothing was written. No commit of
    /// SQLite's ends so in a log (WAL): there the first write fails whose transaction has read what is out of date, with
    /// `SQLITE_BUSY_SNAPSHOT` and at once, and `database is locked` is what [`StatementFault::Locked`] makes of it as well.
    SerializationFailure,
}

/// What becomes of one call to a third party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExternalFault {
    /// The third party books the call, and the caller never hears of it.
    AnswerLost,
    /// The third party books the call, and its answer takes so much longer: it is in vain where the
    /// caller has given up by then.
    AnswerLate {
        /// How much longer.
        delay_ms: u64,
    },
    /// The third party refuses the call, and the caller does not hear of that until it asks again.
    /// Only a third party that [may refuse](crate::third_party::ThirdParty::may_refuse) does so.
    RefusedUnheard,
}

/// The faults of one kind of call.
pub(crate) trait CallFault: Clone {
    /// The call.
    const CALL: Call;

    /// What a strike does to such a call, if it hits one.
    fn of(strike: &Strike) -> Option<&Self>;
}

macro_rules! calls {
    ($($call:ident $fault:ident $name:literal $doc:literal;)*) => {
        /// The ports at which a fault can strike.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Call {
            $(#[doc = $doc] $call,)*
        }

        /// What becomes of one call, by the kind of call.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Strike {
            $(#[doc = $doc] $call($fault),)*
        }

        impl Call {
            fn name(self) -> &'static str {
                match self { $(Call::$call => $name,)* }
            }
        }

        impl Strike {
            /// The call that it hits.
            pub fn call(&self) -> Call {
                match self { $(Strike::$call(_) => Call::$call,)* }
            }

            pub(super) fn told(&self) -> Told {
                match self { $(Strike::$call(fault) => fault.told(),)* }
            }
        }

        $(impl CallFault for $fault {
            const CALL: Call = Call::$call;

            fn of(strike: &Strike) -> Option<&Self> {
                match strike {
                    Strike::$call(fault) => Some(fault),
                    _ => None,
                }
            }
        }

        impl fmt::Display for $fault {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.told().2)
            }
        }

        impl From<$fault> for Strike {
            fn from(fault: $fault) -> Self {
                Strike::$call(fault)
            }
        })*
    };
}

calls! {
    Publish PublishFault "publish" "Publishing a message.";
    Receive ReceiveFault "receive" "A delivery reaching the application.";
    Settle SettleFault "settle" "Settling a delivery.";
    Statement StatementFault "statement" "A statement on a database, the beginning of a transaction included.";
    Commit CommitFault "commit" "The commit of a transaction.";
    External ExternalFault "external call" "A call to a third party.";
}

impl PublishFault {
    fn told(&self) -> Told {
        match self {
            PublishFault::AckLost => (FaultKind::LoseAck, 0, "lost ack".to_owned()),
            PublishFault::Poison => (FaultKind::Poison, 0, "poison".to_owned()),
            PublishFault::TooLarge { for_ms: ms } => {
                let text = format!("too large for the broker for {ms} ms");
                (FaultKind::TooLarge, *ms, text)
            }
        }
    }
}

impl ReceiveFault {
    fn told(&self) -> Told {
        match self {
            ReceiveFault::Reorder { hold_ms: ms } => {
                let text = format!("reorder, held back for {ms} ms");
                (FaultKind::Reorder, *ms, text)
            }
            ReceiveFault::Poison { events } => {
                let text = match events {
                    0 | 1 => "poison for one group".to_owned(),
                    _ => format!("{events} of one key poison for one group"),
                };
                (FaultKind::GroupPoison, 0, text)
            }
        }
    }
}

impl SettleFault {
    fn told(&self) -> Told {
        match self {
            SettleFault::Duplicate => (FaultKind::Duplicate, 0, "duplicate".to_owned()),
            SettleFault::Delay { delay_ms: ms } => (
                FaultKind::DelaySettle,
                *ms,
                format!("settlement delayed by {ms} ms"),
            ),
        }
    }
}

impl StatementFault {
    fn told(&self) -> Told {
        match self {
            StatementFault::Error => (FaultKind::StatementError, 0, "statement error".to_owned()),
            StatementFault::Locked { for_ms: ms } => (
                FaultKind::Locked,
                *ms,
                format!("database locked for {ms} ms"),
            ),
            StatementFault::Slow { delay_ms: ms } => (
                FaultKind::Slow,
                *ms,
                format!("slow statement, {ms} ms longer"),
            ),
            StatementFault::Deadlock => (FaultKind::Deadlock, 0, "deadlock".to_owned()),
        }
    }
}

impl CommitFault {
    fn told(&self) -> Told {
        match self {
            CommitFault::Lost => (FaultKind::CommitLost, 0, "commit lost".to_owned()),
            CommitFault::AnswerLost => (
                FaultKind::CommitAnswerLost,
                0,
                "commit answer lost".to_owned(),
            ),
            CommitFault::SerializationFailure => (
                FaultKind::SerializationFailure,
                0,
                "serialization failure".to_owned(),
            ),
        }
    }
}

impl ExternalFault {
    fn told(&self) -> Told {
        match self {
            ExternalFault::AnswerLost => (
                FaultKind::ExternalAnswerLost,
                0,
                "external answer lost".to_owned(),
            ),
            ExternalFault::AnswerLate { delay_ms: ms } => (
                FaultKind::ExternalAnswerLate,
                *ms,
                format!("external answer late, {ms} ms longer"),
            ),
            ExternalFault::RefusedUnheard => (
                FaultKind::ExternalRefusal,
                0,
                "external refusal unheard".to_owned(),
            ),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
