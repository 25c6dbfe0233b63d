//! What a client has prepared, and what it asks for: from messages to batches.

use std::collections::BTreeMap;

use crate::backend::Until;
use crate::statement::{Statement, statements};
use crate::wire::{self, Frame, Malformed};

/// What a client asks for at once.
#[derive(Debug)]
pub(crate) struct Request {
    /// Its messages.
    pub(crate) bytes: Vec<u8>,
    /// The statements that are carried out.
    pub(crate) statements: Vec<Statement>,
    /// What the answer to it ends with.
    pub(crate) until: Until,
    /// Whether it is the data of a `COPY` that an earlier one has begun.
    pub(crate) is_copied: bool,
    pub(crate) is_simple: bool,
}

/// What a client sends next.
#[derive(Debug)]
pub(crate) enum Next {
    /// A request that is whole.
    Request(Request),
    /// It takes its leave.
    Terminate,
}

/// A client's prepared statements and portals.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    statements: BTreeMap<String, Vec<Statement>>,
    portals: BTreeMap<String, Vec<Statement>>,
    /// The request that is not whole yet.
    bytes: Vec<u8>,
    executed: Vec<Statement>,
    answers: u32,
    /// Whether the server waits for data to copy, and whether a simple query has asked for it.
    copying: Option<Copying>,
    last_was_simple: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copying {
    Simple,
    Extended,
}

impl Prepared {
    /// The server has asked for data to copy, or not.
    pub(crate) fn set_copying(&mut self, is_copying: bool) {
        self.copying = is_copying.then_some(match self.last_was_simple {
            true => Copying::Simple,
            false => Copying::Extended,
        });
    }

    /// Takes messages off the front of `arrived`, until a request is whole.
    pub(crate) fn next(&mut self, arrived: &mut Vec<u8>) -> Result<Option<Next>, Malformed> {
        let mut taken = 0;
        let mut next = None;
        while next.is_none()
            && let Some(frame) = wire::first(arrived.get(taken..).unwrap_or_default())?
        {
            taken += frame.whole.len();
            next = self.take(frame);
        }
        arrived.drain(..taken);
        Ok(next)
    }

    fn take(&mut self, frame: Frame<'_>) -> Option<Next> {
        if frame.tag == b'X' {
            return Some(Next::Terminate);
        }
        self.bytes.extend(frame.whole);
        self.note(frame).unwrap_or_default();
        let is_copied = self.copying.is_some();
        let until = match (frame.tag, self.copying) {
            (b'Q' | b'F', None) | (b'S', None | Some(Copying::Extended)) => Until::Ready(1),
            (b'c' | b'f', Some(Copying::Simple)) => Until::Ready(1),
            (b'H', None) => Until::Answers(self.answers),
            _ => return None,
        };
        self.answers = 0;
        self.copying = None;
        self.last_was_simple = matches!(frame.tag, b'Q' | b'F');
        Some(Next::Request(Request {
            bytes: std::mem::take(&mut self.bytes),
            statements: std::mem::take(&mut self.executed),
            until,
            is_copied,
            is_simple: self.last_was_simple,
        }))
    }

    /// Notes what a message prepares or carries out; `None` if it is not what it should be, which the server
    /// will say.
    fn note(&mut self, frame: Frame<'_>) -> Option<()> {
        let mut body = frame.body;
        if matches!(frame.tag, b'P' | b'B' | b'D' | b'E' | b'C') {
            self.answers += 1;
        }
        match frame.tag {
            b'Q' => {
                // It ends what has no name, as the server does.
                self.statements.remove("");
                self.portals.clear();
                self.executed
                    .extend(statements(wire::take_text(&mut body)?));
            }
            b'P' => {
                let name = wire::take_text(&mut body)?.to_owned();
                let text = wire::take_text(&mut body)?;
                self.statements.insert(name, statements(text));
            }
            b'B' => {
                let portal = wire::take_text(&mut body)?.to_owned();
                let statement = wire::take_text(&mut body)?;
                let own = self.statements.get(statement).cloned().unwrap_or_default();
                self.portals.insert(portal, own);
            }
            b'E' => {
                let portal = wire::take_text(&mut body)?;
                let own = self.portals.get(portal).cloned().unwrap_or_default();
                self.executed.extend(own);
            }
            b'C' => {
                let (kind, name) = body.split_first()?;
                let name = wire::take_text(&mut &*name)?;
                match kind {
                    b'S' => self.statements.remove(name),
                    _ => self.portals.remove(name),
                };
            }
            b'F' => self.executed.push(Statement {
                kind: crate::Kind::Other,
                text: "".into(),
                effect: crate::statement::Effect::Unknown,
            }),
            _ => {}
        }
        Some(())
    }
}

/// What is sent in place of a request whose statements shall fail: everything before the first one that is
/// carried out, and something that fails.
pub(crate) fn failing(request: &Request) -> Vec<u8> {
    if request.is_simple {
        return wire::query("fails");
    }
    let mut bytes = Vec::new();
    for frame in wire::frames(&request.bytes).take_while(|frame| frame.tag != b'E') {
        bytes.extend(frame.whole);
    }
    let mut nowhere = Vec::new();
    wire::put_text(&mut nowhere, "no such portal");
    nowhere.extend([0; 4]);
    wire::put(&mut bytes, b'E', &nowhere);
    wire::put(&mut bytes, b'S', &[]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::{Next, Prepared};
    use crate::backend::Until;
    use crate::wire;

    fn message(tag: u8, texts: &[&str]) -> Vec<u8> {
        let mut body = Vec::new();
        for text in texts {
            wire::put_text(&mut body, text);
        }
        let mut out = Vec::new();
        wire::put(&mut out, tag, &body);
        out
    }

    fn texts(next: Option<Next>) -> Vec<String> {
        let Some(Next::Request(request)) = next else {
            return vec!["nothing".to_owned()];
        };
        let statements = request.statements.iter();
        statements.map(|own| own.text.to_string()).collect()
    }

    #[test]
    fn a_request_ends_where_the_server_answers() {
        let mut prepared = Prepared::default();
        let mut arrived = [
            message(b'P', &["a", "SELECT 1"]),
            message(b'B', &["", "a"]),
            message(b'E', &[""]),
            message(b'S', &[]),
            wire::query("COMMIT"),
            message(b'X', &[]),
        ]
        .concat();
        assert_eq!(texts(prepared.next(&mut arrived).unwrap()), ["SELECT 1"]);
        assert_eq!(texts(prepared.next(&mut arrived).unwrap()), ["COMMIT"]);
        let end = prepared.next(&mut arrived).unwrap();
        assert!(matches!(end, Some(Next::Terminate)));
        assert!(arrived.is_empty());
    }

    #[test]
    fn half_a_message_waits_for_its_rest() {
        let mut prepared = Prepared::default();
        let whole = wire::query("SELECT 1");
        let mut arrived = whole[..7].to_vec();
        assert!(prepared.next(&mut arrived).unwrap().is_none());
        arrived.extend(&whole[7..]);
        assert_eq!(texts(prepared.next(&mut arrived).unwrap()), ["SELECT 1"]);
    }

    #[test]
    fn a_flush_is_answered_for_each_message_before_it() {
        let mut prepared = Prepared::default();
        let mut arrived = [
            message(b'P', &["a", "SELECT 1"]),
            message(b'D', &["Sa"]),
            message(b'H', &[]),
        ]
        .concat();
        let next = prepared.next(&mut arrived).unwrap();
        assert!(matches!(next, Some(Next::Request(own)) if own.until == Until::Answers(2)));
    }

    #[test]
    fn data_to_copy_ends_as_its_query_was_asked() {
        let mut prepared = Prepared::default();
        let mut arrived = wire::query("COPY t FROM STDIN");
        assert!(prepared.next(&mut arrived).unwrap().is_some());
        prepared.set_copying(true);
        let mut arrived = [
            message(b'd', &["1"]),
            message(b'S', &[]),
            message(b'c', &[]),
        ]
        .concat();
        assert!(prepared.next(&mut arrived).unwrap().is_some());
        assert!(arrived.is_empty());
    }

    #[test]
    fn a_length_without_meaning_is_refused() {
        let mut arrived = vec![b'Q', 0, 0, 0, 1];
        assert!(Prepared::default().next(&mut arrived).is_err());
    }
}
