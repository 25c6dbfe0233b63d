//! What an answer of the real server says, and what of it differs from run to run.

use std::collections::BTreeMap;

use crate::statement::Effect;
use crate::wire::{self, Frame};
use crate::{Failure, Kind, Statement};

/// What an answer says of its batch.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// What the server has done, for each statement that it has carried out.
    pub(super) tags: Vec<String>,
    pub(super) errors: Vec<Failure>,
    /// The state of the transaction afterwards; `None` if the server is not ready for the next batch.
    pub(super) status: Option<u8>,
    /// Whether it waits for data to copy.
    pub(super) is_copying: bool,
}

impl Outcome {
    pub(super) fn of(answer: &[u8]) -> Self {
        let mut outcome = Outcome::default();
        for frame in wire::frames(answer) {
            let mut body = frame.body;
            match frame.tag {
                b'C' => {
                    let tag = wire::take_text(&mut body).unwrap_or_default();
                    outcome.tags.push(tag.to_owned());
                }
                // No statement, and one that has more rows.
                b'I' | b's' => outcome.tags.push(String::new()),
                b'E' => outcome.errors.push(failure(frame.body)),
                b'Z' => outcome.status = frame.body.first().copied(),
                b'G' => outcome.is_copying = true,
                _ => {}
            }
        }
        outcome
    }

    /// Whether these statements have written, as far as the rows that they have changed tell.
    pub(super) fn effect(&self, statements: &[Statement]) -> Effect {
        let mut pairs = statements.iter().zip(&self.tags);
        let has_written = pairs.any(|(statement, tag)| {
            let count = tag.rsplit(' ').next().and_then(|count| count.parse().ok());
            statement.kind == Kind::Write && count.is_some_and(|count: u64| count > 0)
        });
        match has_written {
            true => Effect::Certain,
            false => Effect::None,
        }
    }
}

/// Whether a transaction has taken effect, by what the server says that it has done.
pub(super) fn is_commit(tag: &str) -> bool {
    ["COMMIT", "PREPARE TRANSACTION", "COMMIT PREPARED"].contains(&tag)
}

fn failure(body: &[u8]) -> Failure {
    let fields = wire::fields(body);
    let field = |letter: u8| {
        let found = fields.iter().find(|(own, _)| *own == letter);
        found.map_or_else(String::new, |(_, text)| (*text).to_owned())
    };
    Failure {
        code: field(b'C'),
        message: field(b'M'),
        is_fatal: ["FATAL", "PANIC"].contains(&&*field(b'V')),
    }
}

/// An answer without numbers of the real server's processes, as far as messages of the protocol and the
/// details of a deadlock have them.
pub(super) fn rewritten(answer: Vec<u8>, processes: &BTreeMap<u32, u32>) -> Vec<u8> {
    let is_concerned =
        |frame: Frame<'_>| frame.tag == b'A' || (frame.tag == b'E' && is_deadlock(frame.body));
    if !wire::frames(&answer).any(is_concerned) {
        return answer;
    }
    let mut out = Vec::new();
    for frame in wire::frames(&answer) {
        match frame.tag {
            b'A' => {
                let mut body = frame.body;
                let real = wire::take_u32(&mut body).unwrap_or(0);
                let own = processes.get(&real).copied().unwrap_or(0);
                wire::put(&mut out, b'A', &[&own.to_be_bytes(), body].concat());
            }
            b'E' if is_deadlock(frame.body) => put_deadlock(&mut out, frame.body, processes),
            _ => out.extend(frame.whole),
        }
    }
    out
}

fn is_deadlock(body: &[u8]) -> bool {
    wire::fields(body).contains(&(b'C', "40P01"))
}

/// Who waits for what, without the numbers that only the real server knows.
fn put_deadlock(out: &mut Vec<u8>, body: &[u8], processes: &BTreeMap<u32, u32>) {
    let fields = wire::fields(body);
    let detail = |text: &str| {
        let mut own = String::new();
        for word in text.split_inclusive([' ', '\n']) {
            let before = own.split_whitespace().next_back().unwrap_or_default();
            let digits = word.find(|letter: char| !letter.is_ascii_digit());
            let (number, rest) = word.split_at(digits.unwrap_or(word.len()));
            let known = || number.parse().ok().and_then(|real| processes.get(&real));
            let shown = match before.to_lowercase().as_str() {
                _ if number.is_empty() => String::new(),
                "process" => known().map_or_else(|| "?".to_owned(), u32::to_string),
                "transaction" | "database" | "relation" => "?".to_owned(),
                _ => number.to_owned(),
            };
            own.push_str(&shown);
            own.push_str(rest);
        }
        own
    };
    let fields: Vec<(u8, String)> = fields
        .into_iter()
        .map(|(letter, text)| match letter {
            b'D' => (letter, detail(text)),
            _ => (letter, text.to_owned()),
        })
        .collect();
    let fields: Vec<(u8, &str)> = fields.iter().map(|own| (own.0, &*own.1)).collect();
    wire::put_fields(out, b'E', &fields);
}

/// An answer whose first error is replaced by another one, and with which it ends.
pub(super) fn replaced(answer: &[u8], failure: &Failure, status: u8) -> Vec<u8> {
    let mut out = Vec::new();
    for frame in wire::frames(answer).take_while(|frame| frame.tag != b'E') {
        out.extend(frame.whole);
    }
    let severity = if failure.is_fatal { "FATAL" } else { "ERROR" };
    wire::put_error(&mut out, severity, &failure.code, &failure.message);
    if !failure.is_fatal {
        wire::put_ready(&mut out, status);
    }
    out
}
