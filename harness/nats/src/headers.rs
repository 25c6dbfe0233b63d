//! Blocks of message headers, as they stand on the wire: a line with the version, then fields, then an empty
//! line.
//!
//! The form is that of <https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-4.md>:
//! names of fields are compared with their case, and a field may be there more than once.

use bytes::{BufMut, Bytes, BytesMut};

/// The first line of every block.
const VERSION: &[u8] = b"NATS/1.0";

/// The first value of the field `name` in `block`, without the spaces around it.
pub(crate) fn get<'a>(block: &'a [u8], name: &str) -> Option<&'a str> {
    let mut lines = block.split(|byte| *byte == b'\n');
    lines.next();
    lines.find_map(|line| {
        let rest = line.strip_prefix(name.as_bytes())?.strip_prefix(b":")?;
        Some(std::str::from_utf8(rest).ok()?.trim())
    })
}

/// A block that is being written.
pub(crate) struct Builder(BytesMut);

impl Builder {
    /// A block that has the fields of `block` already, which may be empty.
    pub(crate) fn over(block: &[u8]) -> Self {
        let mut bytes = BytesMut::with_capacity(block.len() + 128);
        match block.strip_suffix(b"\r\n") {
            Some(fields) => bytes.put_slice(fields),
            None => {
                bytes.put_slice(VERSION);
                bytes.put_slice(b"\r\n");
            }
        }
        Self(bytes)
    }

    /// A block with a status, as the server's own messages carry it.
    pub(crate) fn status(code: u16, description: &str) -> Self {
        let mut bytes = BytesMut::with_capacity(128);
        bytes.put_slice(VERSION);
        bytes.put_slice(format!(" {code} {description}\r\n").as_bytes());
        Self(bytes)
    }

    /// Adds a field.
    pub(crate) fn field(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.0.put_slice(format!("{name}: {value}\r\n").as_bytes());
        self
    }

    /// The whole block.
    pub(crate) fn finish(mut self) -> Bytes {
        self.0.put_slice(b"\r\n");
        self.0.freeze()
    }
}

/// A block that is nothing but a status. "No responders" and a few others come without a description.
pub(crate) fn status(code: u16, description: &str) -> Bytes {
    if description.is_empty() {
        return Bytes::from(format!("NATS/1.0 {code}\r\n\r\n"));
    }
    Builder::status(code, description).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let block = Builder::over(&[])
            .field("Nats-Msg-Id-Other", "no")
            .field("Nats-Msg-Id", " one ")
            .field("Nats-Msg-Id", "two")
            .finish();
        assert_eq!(get(&block, "Nats-Msg-Id"), Some("one"));
        assert_eq!(get(&block, "Nats-Msg"), None);
        assert_eq!(get(&block, "nats-msg-id"), None);
        assert_eq!(get(&[], "Nats-Msg-Id"), None);
    }

    #[test]
    fn fields_are_added_to_a_block_that_is_there() {
        let block = Builder::over(&[]).field("A", 1).finish();
        assert_eq!(
            &Builder::over(&block).field("B", 2).finish()[..],
            b"NATS/1.0\r\nA: 1\r\nB: 2\r\n\r\n"
        );
    }

    #[test]
    fn a_status_stands_in_the_first_line() {
        assert_eq!(&status(503, "")[..], b"NATS/1.0 503\r\n\r\n");
        assert_eq!(
            &Builder::status(408, "Request Timeout")
                .field("N", 1)
                .finish()[..],
            b"NATS/1.0 408 Request Timeout\r\nN: 1\r\n\r\n"
        );
    }
}
