//! Writes what the server says.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::json;

use crate::settings::{Settings, VERSION};

/// A message as a subscriber is shown it. Its subject is not always the one by which it was routed.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) subject: String,
    pub(crate) reply: Option<String>,
    pub(crate) headers: Bytes,
    pub(crate) payload: Bytes,
}

/// Appends `MSG` or `HMSG`. A client without headers gets the payload alone.
pub(crate) fn put_message(out: &mut BytesMut, sid: &str, shown: &Shown, headers: bool) {
    let headers: &[u8] = if headers { &shown.headers } else { &[] };
    let word = if headers.is_empty() { "MSG" } else { "HMSG" };
    out.reserve(64 + shown.subject.len() + headers.len() + shown.payload.len());
    for part in [word, " ", &shown.subject, " ", sid] {
        out.put_slice(part.as_bytes());
    }
    if let Some(reply) = &shown.reply {
        out.put_u8(b' ');
        out.put_slice(reply.as_bytes());
    }
    if !headers.is_empty() {
        put_number(out, headers.len());
    }
    put_number(out, headers.len() + shown.payload.len());
    out.put_slice(b"\r\n");
    out.put_slice(headers);
    out.put_slice(&shown.payload);
    out.put_slice(b"\r\n");
}

/// Appends a space and a number, without the machinery of formatting, which is much of what a small message
/// costs.
fn put_number(out: &mut BytesMut, number: usize) {
    let mut digits = [b' '; 21];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.put_slice(&digits[at - 1..]);
}

/// Appends `-ERR`.
pub(crate) fn put_error(out: &mut BytesMut, text: &str) {
    out.put_slice(b"-ERR '");
    out.put_slice(text.as_bytes());
    out.put_slice(b"'\r\n");
}

/// The first line that a client reads.
pub(crate) fn info(settings: &Settings, client: u64, address: SocketAddr) -> Bytes {
    let mut fields = json!({
        "server_id": settings.server_id,
        "server_name": settings.server_name,
        "version": VERSION,
        "proto": 1,
        "go": "go1.25",
        "host": "0.0.0.0",
        "port": settings.port,
        "headers": true,
        "max_payload": settings.payload_max,
        "jetstream": settings.jetstream,
        "client_id": client,
        "client_ip": address.ip().to_string(),
    });
    if settings.credentials.is_some() {
        fields["auth_required"] = true.into();
    }
    Bytes::from(format!("INFO {fields} \r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(headers: &'static [u8]) -> Shown {
        Shown {
            subject: "a.b".to_owned(),
            reply: Some("r".to_owned()),
            headers: Bytes::from_static(headers),
            payload: Bytes::from_static(b"hello"),
        }
    }

    #[test]
    fn messages_are_written_with_and_without_headers() {
        let mut out = BytesMut::new();
        put_message(&mut out, "7", &shown(b"NATS/1.0\r\n\r\n"), true);
        assert_eq!(&out[..], b"HMSG a.b 7 r 12 17\r\nNATS/1.0\r\n\r\nhello\r\n");
        out.clear();
        put_message(&mut out, "7", &shown(b"NATS/1.0\r\n\r\n"), false);
        assert_eq!(&out[..], b"MSG a.b 7 r 5\r\nhello\r\n");
    }

    #[test]
    fn numbers_are_written_in_full() {
        for number in [0, 9, 10, 1_048_576, usize::MAX] {
            let mut out = BytesMut::new();
            put_number(&mut out, number);
            assert_eq!(out, format!(" {number}"));
        }
    }
}
