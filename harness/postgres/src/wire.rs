//! The wire: messages of PostgreSQL's protocol, version 3, as bytes.
//!
//! Only what stands between a client and a server has to look at is taken apart; rows and values pass through.
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>

/// The first message of a client that wants to speak protocol 3.x: its major version is in the upper half.
pub(crate) const VERSION_MAJOR: u32 = 3;
/// The first message of a client that asks for TLS.
pub(crate) const TLS_REQUEST: u32 = 80_877_103;
/// The first message of a client that asks for encryption by GSSAPI.
pub(crate) const GSS_REQUEST: u32 = 80_877_104;
/// The only message of a connection that asks for the end of another one's statement.
pub(crate) const CANCEL_REQUEST: u32 = 80_877_102;
/// The longest message that is taken, in bytes; PostgreSQL takes no longer one either.
const LENGTH_MAX: usize = 1 << 30;

/// One message: a letter, a length, a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) tag: u8,
    pub(crate) body: &'a [u8],
    /// The message with its head.
    pub(crate) whole: &'a [u8],
}

/// The length of a message has no meaning.
#[derive(Debug)]
pub(crate) struct Malformed;

/// The message that `bytes` begin with; `None` if it is not whole yet.
pub(crate) fn first(bytes: &[u8]) -> Result<Option<Frame<'_>>, Malformed> {
    let Some((head, _)) = bytes.split_first_chunk::<5>() else {
        return Ok(None);
    };
    let [tag, length @ ..] = *head;
    let length = u32::from_be_bytes(length) as usize;
    if !(4..LENGTH_MAX).contains(&length) {
        return Err(Malformed);
    }
    let whole = bytes.get(..length + 1);
    Ok(whole.map(|whole| Frame {
        tag,
        body: whole.get(5..).unwrap_or_default(),
        whole,
    }))
}

/// The whole messages that `bytes` begin with.
pub(crate) fn frames(mut bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        let frame = first(bytes).ok().flatten()?;
        bytes = bytes.get(frame.whole.len()..).unwrap_or_default();
        Some(frame)
    })
}

/// Appends a message.
pub(crate) fn put(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    out.push(tag);
    put_untagged(out, body);
}

/// Appends a message without a letter, as a connection begins with.
pub(crate) fn put_untagged(out: &mut Vec<u8>, body: &[u8]) {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    out.extend(length.to_be_bytes());
    out.extend(body);
}

/// Appends a text and the null byte that ends it.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend(text.bytes().filter(|byte| *byte != 0));
    out.push(0);
}

/// Cuts a text that ends in a null byte off the front of `bytes`.
pub(crate) fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let text = bytes.get(..end)?;
    *bytes = bytes.get(end + 1..)?;
    std::str::from_utf8(text).ok()
}

/// Cuts a 16-bit number off the front of `bytes`.
pub(crate) fn take_u16(bytes: &mut &[u8]) -> Option<u16> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u16::from_be_bytes(*number))
}

/// Cuts a 32-bit number off the front of `bytes`.
pub(crate) fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_be_bytes(*number))
}

/// The first message of a connection of protocol 3.0, with its parameters.
pub(crate) fn startup<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut body = (VERSION_MAJOR << 16).to_be_bytes().to_vec();
    for (name, value) in parameters {
        put_text(&mut body, name);
        put_text(&mut body, value);
    }
    body.push(0);
    let mut out = Vec::new();
    put_untagged(&mut out, &body);
    out
}

/// A simple query.
pub(crate) fn query(sql: &str) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, sql);
    let mut out = Vec::new();
    put(&mut out, b'Q', &body);
    out
}

/// The fields of an error or a notice, each with its letter.
/// <https://www.postgresql.org/docs/current/protocol-error-fields.html>
pub(crate) fn fields(mut body: &[u8]) -> Vec<(u8, &str)> {
    let mut fields = Vec::new();
    while let Some((letter, rest)) = body.split_first()
        && *letter != 0
    {
        body = rest;
        let Some(text) = take_text(&mut body) else {
            break;
        };
        fields.push((*letter, text));
    }
    fields
}

/// Appends an error message made of these fields.
pub(crate) fn put_fields(out: &mut Vec<u8>, tag: u8, fields: &[(u8, &str)]) {
    let mut body = Vec::new();
    for (letter, text) in fields {
        body.push(*letter);
        put_text(&mut body, text);
    }
    body.push(0);
    put(out, tag, &body);
}

/// Appends an error of this severity.
pub(crate) fn put_error(out: &mut Vec<u8>, severity: &str, code: &str, message: &str) {
    let fields = [
        (b'S', severity),
        (b'V', severity),
        (b'C', code),
        (b'M', message),
    ];
    put_fields(out, b'E', &fields);
}

/// Appends the message that says that the server is ready, with the letter of its transaction's state.
pub(crate) fn put_ready(out: &mut Vec<u8>, status: u8) {
    put(out, b'Z', &[status]);
}
