//! Reads operations from bytes, however these are cut into pieces.

use bytes::{Buf, Bytes, BytesMut};

use super::{ConnectOptions, Operation, Publish};

/// The longest line that is not a payload.
const LINE_MAX: usize = 4096;

/// The longest line of options.
const CONNECT_MAX: usize = 64 * 1024;

/// What is wrong with what a client said. Its connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongInput {
    /// No operation begins like that, or one has no arguments, or a message does not end where it should.
    #[error("Unknown Protocol Operation")]
    UnknownOperation,
    /// An operation has too few arguments or too many, or a number is none. The product hangs up without a
    /// word.
    #[error("arguments that cannot be")]
    Arguments,
    /// A line is longer than any operation may be.
    #[error("maximum control line exceeded")]
    LineTooLong,
    /// A message is larger than the settings allow.
    #[error("Maximum Payload Violation")]
    PayloadTooLarge,
}

impl WrongInput {
    /// What the client is told, if anything.
    pub(crate) fn told(self) -> Option<String> {
        (self != Self::Arguments).then(|| self.to_string())
    }
}

/// Takes bytes in and gives operations out.
#[derive(Debug)]
pub struct Reader {
    buffer: BytesMut,
    /// How much of the buffer is known to hold no end of a line.
    searched: usize,
    /// A message whose line was read and whose payload was not.
    announced: Option<Announced>,
    payload_max: usize,
}

#[derive(Debug)]
struct Announced {
    subject: String,
    reply: Option<String>,
    headers: usize,
    total: usize,
}

impl Reader {
    /// A reader that accepts messages of up to `payload_max` bytes, headers included.
    pub fn new(payload_max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            searched: 0,
            announced: None,
            payload_max,
        }
    }

    /// Where bytes that came in are appended.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next operation that is there as a whole, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// What the client said is no protocol; nothing more can be read.
    pub fn next_operation(&mut self) -> Result<Option<Operation>, WrongInput> {
        if let Some(announced) = self.announced.take() {
            return self.payload(announced);
        }
        let Some(line) = self.line()? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&line).map_err(|_| WrongInput::Arguments)?;
        let (word, rest) = match text.split_once([' ', '\t']) {
            Some((word, rest)) => (word, rest.trim()),
            None => (text.trim_end(), ""),
        };
        let bare = rest.is_empty();
        // Operations are not told apart by case.
        match word.to_ascii_uppercase().as_str() {
            "PUB" | "HPUB" | "SUB" | "UNSUB" if bare => Err(WrongInput::UnknownOperation),
            "PUB" => {
                let announced = plain(rest)?;
                self.announce(announced)
            }
            "HPUB" => {
                let announced = with_headers(rest)?;
                self.announce(announced)
            }
            "SUB" => subscribe(rest).map(Some),
            "UNSUB" => unsubscribe(rest).map(Some),
            "PING" => Ok(Some(Operation::Ping)),
            "PONG" => Ok(Some(Operation::Pong)),
            "CONNECT" => {
                let options: ConnectOptions =
                    serde_json::from_str(rest).map_err(|_| WrongInput::Arguments)?;
                Ok(Some(Operation::Connect(Box::new(options))))
            }
            "INFO" | "+OK" | "-ERR" => Ok(Some(Operation::Ignored)),
            _ => Err(WrongInput::UnknownOperation),
        }
    }

    /// Takes a line without its end, if it is there.
    fn line(&mut self) -> Result<Option<Bytes>, WrongInput> {
        let found = self.buffer[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n');
        let Some(found) = found else {
            self.searched = self.buffer.len();
            self.check_length(self.searched)?;
            return Ok(None);
        };
        let end = self.searched + found;
        self.searched = 0;
        self.check_length(end)?;
        let mut line = self.buffer.split_to(end + 1).freeze();
        line.truncate(end);
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        Ok(Some(line))
    }

    /// Refuses a line of `length` bytes if that is too long.
    fn check_length(&self, length: usize) -> Result<(), WrongInput> {
        // The options of a client hold credentials, which may be longer than a line of subjects.
        let max = match self.buffer.starts_with(b"CONNECT") {
            true => CONNECT_MAX,
            false => LINE_MAX,
        };
        match length > max {
            true => Err(WrongInput::LineTooLong),
            false => Ok(()),
        }
    }

    fn announce(&mut self, announced: Announced) -> Result<Option<Operation>, WrongInput> {
        if announced.total > self.payload_max {
            return Err(WrongInput::PayloadTooLarge);
        }
        self.payload(announced)
    }

    /// Takes the payload of `announced` if all of it is there.
    fn payload(&mut self, announced: Announced) -> Result<Option<Operation>, WrongInput> {
        if self.buffer.len() < announced.total + 2 {
            self.buffer.reserve(announced.total + 2 - self.buffer.len());
            self.announced = Some(announced);
            return Ok(None);
        }
        let mut payload = self.buffer.split_to(announced.total).freeze();
        if &self.buffer[..2] != b"\r\n" {
            return Err(WrongInput::UnknownOperation);
        }
        self.buffer.advance(2);
        Ok(Some(Operation::Publish(Publish {
            subject: announced.subject,
            reply: announced.reply,
            headers: payload.split_to(announced.headers),
            payload,
        })))
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, WrongInput> {
    text.parse().map_err(|_| WrongInput::Arguments)
}

fn plain(rest: &str) -> Result<Announced, WrongInput> {
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    let (subject, reply, total) = match words[..] {
        [subject, total] => (subject, None, total),
        [subject, reply, total] => (subject, Some(reply), total),
        _ => return Err(WrongInput::Arguments),
    };
    Ok(Announced {
        subject: subject.to_owned(),
        reply: reply.map(str::to_owned),
        headers: 0,
        total: number(total)?,
    })
}

fn with_headers(rest: &str) -> Result<Announced, WrongInput> {
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    let (subject, reply, headers, total) = match words[..] {
        [subject, headers, total] => (subject, None, headers, total),
        [subject, reply, headers, total] => (subject, Some(reply), headers, total),
        _ => return Err(WrongInput::Arguments),
    };
    let (headers, total) = (number(headers)?, number(total)?);
    if headers > total {
        return Err(WrongInput::Arguments);
    }
    Ok(Announced {
        subject: subject.to_owned(),
        reply: reply.map(str::to_owned),
        headers,
        total,
    })
}

fn subscribe(rest: &str) -> Result<Operation, WrongInput> {
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    let (subject, queue, sid) = match words[..] {
        [subject, sid] => (subject, None, sid),
        [subject, queue, sid] => (subject, Some(queue), sid),
        _ => return Err(WrongInput::Arguments),
    };
    Ok(Operation::Subscribe {
        subject: subject.to_owned(),
        queue: queue.map(str::to_owned),
        sid: sid.to_owned(),
    })
}

fn unsubscribe(rest: &str) -> Result<Operation, WrongInput> {
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    let (sid, max) = match words[..] {
        [sid] => (sid, None),
        [sid, max] => (sid, Some(number(max)?)),
        _ => return Err(WrongInput::Arguments),
    };
    Ok(Operation::Unsubscribe {
        sid: sid.to_owned(),
        max: max.filter(|max| *max > 0),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Result<Vec<Operation>, WrongInput> {
        let mut reader = Reader::new(1024);
        let mut operations = Vec::new();
        for piece in pieces {
            reader.buffer().extend_from_slice(piece);
            while let Some(operation) = reader.next_operation()? {
                operations.push(operation);
            }
        }
        Ok(operations)
    }

    const SESSION: &[u8] = b"CONNECT {\"verbose\":false,\"name\":\"n\"}\r\nPING\r\nSUB a.* 1\r\nsub b  q\t2\r\n\
        PUB a.b 5\r\nhello\r\nPUB a.b re.ply 0\r\n\r\nHPUB h 12 14\r\nNATS/1.0\r\n\r\nhi\r\nUNSUB 1 3\r\nUNSUB 2\r\nPONG\r\n";

    #[test]
    fn a_session_is_read() {
        let operations = read(&[SESSION]).unwrap();
        assert_eq!(operations.len(), 10);
        assert!(matches!(&operations[0], Operation::Connect(options)
            if !options.verbose && options.echo && options.name.as_deref() == Some("n")));
        assert_eq!(
            operations[3],
            Operation::Subscribe {
                subject: "b".to_owned(),
                queue: Some("q".to_owned()),
                sid: "2".to_owned()
            }
        );
        assert_eq!(
            operations[5],
            Operation::Publish(Publish {
                subject: "a.b".to_owned(),
                reply: Some("re.ply".to_owned()),
                ..Publish::default()
            })
        );
        let Operation::Publish(publish) = &operations[6] else {
            panic!("{operations:?}");
        };
        assert_eq!(&publish.headers[..], b"NATS/1.0\r\n\r\n");
        assert_eq!(&publish.payload[..], b"hi");
        assert_eq!(
            operations[7],
            Operation::Unsubscribe {
                sid: "1".to_owned(),
                max: Some(3)
            }
        );
    }

    proptest! {
        #[test]
        fn how_bytes_are_cut_makes_no_difference(cuts in proptest::collection::vec(0..SESSION.len(), 0..12)) {
            let mut cuts = cuts;
            cuts.extend([0, SESSION.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &SESSION[pair[0]..pair[1]]).collect();
            prop_assert_eq!(read(&pieces).unwrap(), read(&[SESSION]).unwrap());
        }

        #[test]
        fn nothing_that_a_client_says_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = read(&[&bytes]);
        }
    }

    #[test]
    fn what_is_no_protocol_is_refused() {
        for (input, expected) in [
            ("HELLO\r\n", WrongInput::UnknownOperation),
            ("PUB\r\n", WrongInput::UnknownOperation),
            ("PUB a b c d\r\n", WrongInput::Arguments),
            ("PUB a -1\r\n", WrongInput::Arguments),
            ("PUB a 1\r\nxxx", WrongInput::UnknownOperation),
            ("HPUB a 5 4\r\n", WrongInput::Arguments),
            ("SUB a\r\n", WrongInput::Arguments),
            ("CONNECT {\r\n", WrongInput::Arguments),
            ("PUB a 1025\r\n", WrongInput::PayloadTooLarge),
        ] {
            assert_eq!(read(&[input.as_bytes()]), Err(expected), "{input}");
        }
        let long = format!("SUB {} 1\r\n", "a".repeat(LINE_MAX));
        assert_eq!(read(&[long.as_bytes()]), Err(WrongInput::LineTooLong));
        assert_eq!(
            read(&["a".repeat(LINE_MAX + 1).as_bytes()]),
            Err(WrongInput::LineTooLong)
        );
    }
}
