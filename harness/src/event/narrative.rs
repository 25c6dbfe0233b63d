//! How an event reads: one line for a person, without time and host.

use std::fmt;

use super::{Announcement, Answer, Application, ExternalOutcome, Fact};
use super::{SettleOutcome, Settlement, What, Withholding};

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::OperationInvoked { operation, text } => {
                write!(f, "operation {operation}: {text}")
            }
            What::OperationAnswered {
                operation,
                answer,
                text,
            } => match answer {
                // `null` is what an operation answers that has nothing to say.
                Answer::Done if text == "null" => write!(f, "operation {operation} done"),
                Answer::Done => write!(f, "operation {operation} done: {text}"),
                Answer::Failed => write!(f, "operation {operation} failed: {text}"),
                Answer::Panicked => write!(f, "operation {operation} panicked: {text}"),
            },
            What::HostStarted { incarnation: 1 } => write!(f, "started"),
            What::HostStarted { incarnation } => write!(f, "restarted, incarnation {incarnation}"),
            What::HostCrashed => write!(f, "crashed"),
            What::HostStopping { until } => {
                write!(f, "told to stop by {:.3} s", until.as_secs_f64())
            }
            What::HostStopped { error: None } => write!(f, "stopped"),
            What::HostStopped { error: Some(error) } => write!(f, "stopped: {error}"),
            What::HostPaused { until } => write!(f, "paused until {:.3} s", until.as_secs_f64()),
            What::HostExited { error: None } => write!(f, "came to an end by itself"),
            What::HostExited { error: Some(error) } => write!(f, "came to an end: {error}"),
            What::FaultBit { fault, text } => write!(f, "fault {fault}: {text}"),
            What::FaultLifted { fault } => write!(f, "fault {fault} lifted"),
            What::HealBegan => write!(f, "all faults lifted, every host up"),
            What::Quiet { background } if background.is_empty() => write!(f, "quiet"),
            What::Quiet { background } => {
                write!(
                    f,
                    "quiet, but for background work: {}",
                    background.join(", ")
                )
            }
            What::LivenessBoundReached { waiting_for } => {
                write!(f, "not quiet at the liveness bound: {waiting_for}")
            }
            What::Published { position, message } => {
                write!(
                    f,
                    "published {position} {}",
                    Identity(message.event_id(), message.event_type())
                )
            }
            What::PublishDeduplicated { position, event_id } => {
                write!(
                    f,
                    "publish of {} recognised as {position}",
                    Identity(event_id.as_deref(), None)
                )
            }
            What::PublishRejected {
                topic,
                event_id,
                reason,
            } => {
                write!(
                    f,
                    "publish of {} to {topic} rejected: {reason}",
                    Identity(event_id.as_deref(), None)
                )
            }
            What::PublishAcknowledged { position, event_id } => {
                write!(
                    f,
                    "publish of {} acknowledged as {position}",
                    Identity(event_id.as_deref(), None)
                )
            }
            What::PublishUnknown { topic, event_id } => {
                write!(
                    f,
                    "publish of {} to {topic}: outcome unknown",
                    Identity(event_id.as_deref(), None)
                )
            }
            What::Rebalanced {
                group,
                generation,
                assignment,
            } => {
                write!(
                    f,
                    "group {group} rebalanced, generation {generation}, {}",
                    Count(assignment.len(), "member")
                )
            }
            What::Delivered {
                group,
                position,
                attempt,
                ..
            } => {
                write!(f, "got {position} for {group}, attempt {attempt}")
            }
            What::MadePoison { group, position } => {
                write!(f, "{position} is poison for {group} from here on")
            }
            What::Settled {
                group,
                position,
                settlement,
                outcome,
                ..
            } => {
                let note = match outcome {
                    SettleOutcome::Accepted => "",
                    SettleOutcome::Fenced => ", refused: no longer its owner",
                    SettleOutcome::Stale => ", without effect: lease over",
                };
                match settlement {
                    Settlement::Ack => write!(f, "{group} acknowledged {position}{note}"),
                    Settlement::Retry => write!(f, "{group} asked for {position} again{note}"),
                }
            }
            What::LeaseExpired { group, position } => {
                write!(f, "lease of {group} on {position} expired")
            }
            What::FinalLog {
                topic,
                partition,
                messages,
            } => {
                write!(
                    f,
                    "{topic}/{partition} ends with {}",
                    Count(messages.len(), "message")
                )
            }
            What::FinalGroup {
                group,
                topic,
                partition,
                unsettled,
            } => {
                write!(
                    f,
                    "{group} left {} unsettled in {topic}/{partition}",
                    unsettled.len()
                )
            }
            What::Committed { database } => write!(f, "committed in {database}"),
            What::RolledBack { database, why } => write!(f, "rolled back in {database}: {why}"),
            What::StatementFailed { database, error } => {
                write!(f, "statement failed in {database}: {error}")
            }
            What::Observed { fact, .. } => write!(f, "{fact}"),
            What::FinalState {
                database,
                view,
                rows,
            } => write!(f, "{database}.{view} has {}", Count(rows.len(), "row")),
            What::ExternalCalled {
                provider,
                idempotency_key,
                request,
                outcome,
                answered,
            } => {
                let outcome = match outcome {
                    ExternalOutcome::Booked => "booked",
                    ExternalOutcome::Repeated => "known already",
                    ExternalOutcome::Refused => "refused",
                    ExternalOutcome::Unavailable => "unavailable",
                };
                let lost = if *answered { "" } else { ", answer lost" };
                write!(
                    f,
                    "{provider} {outcome}{lost}: {request} under {}",
                    idempotency_key
                )
            }
            What::Logged { level, message, .. } => write!(f, "{level} {message}"),
            What::MadeTooLarge { event_id, .. } => {
                write!(f, "{event_id} is too large for the broker from here on")
            }
            What::Panicked { message, place } => {
                let at = if place.is_empty() { "" } else { ", at " };
                write!(f, "panicked: {message}{at}{place}")
            }
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fact::Announced(Announcement {
                event_id,
                entity,
                event_type,
                ..
            }) => {
                write!(
                    f,
                    "{} committed {}",
                    entity,
                    Identity(Some(event_id), Some(event_type))
                )
            }
            Fact::Applied(Application {
                consumer,
                event_id,
                entity,
                effect,
                ..
            }) => {
                write!(
                    f,
                    "{consumer} applied {} to {}{}",
                    event_id,
                    entity,
                    Detail(effect)
                )
            }
            Fact::Discarded(Application {
                consumer,
                event_id,
                entity,
                effect,
                ..
            }) => {
                write!(
                    f,
                    "{consumer} discarded {} for {}{}",
                    event_id,
                    entity,
                    Detail(effect)
                )
            }
            Fact::Withheld(Withholding {
                event_id,
                entity,
                reason,
            }) => write!(f, "{entity} withholds {event_id}{}", Detail(reason)),
        }
    }
}

/// An event named for a person: its type and the end of its id.
struct Identity<'a>(Option<&'a str>, Option<&'a str>);

impl fmt::Display for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.0.unwrap_or("an event without id");
        match self.1 {
            Some(kind) if !kind.is_empty() => write!(f, "{kind} {id}"),
            _ => write!(f, "{id}"),
        }
    }
}

/// A number of things, in words that agree with it.
struct Count(usize, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", self.0, self.1)
    }
}

/// A few words more, where there are any.
struct Detail<'a>(&'a str);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => Ok(()),
            words => write!(f, ": {words}"),
        }
    }
}
