//! The signature of a webhook, as Standard Webhooks has it, so that partners verify it with a library that they have
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).
//!
//! One symmetric secret; rotation and asymmetric keys are left out.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Names of the headers of a webhook.
pub mod header {
    /// The message's id; the same each time it is sent.
    pub const ID: &str = "webhook-id";
    /// When it was sent, in seconds since 1970.
    pub const TIMESTAMP: &str = "webhook-timestamp";
    /// Signatures, divided by spaces, each with its version.
    pub const SIGNATURE: &str = "webhook-signature";
}

/// What a secret begins with in configuration.
const PREFIX: &str = "whsec_";
/// How far a receiver's clock and a message's time may be apart: an older message may be one that somebody has kept.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// What both sides know.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

/// The text is no secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret is `whsec_` and at least 24 bytes as base64")]
pub struct SecretError;

/// Why a webhook is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It is too old, or from the future.
    #[error("timestamp is not within {} seconds", TOLERANCE.as_secs())]
    Timestamp,
    /// No signature is one of this message under this secret.
    #[error("signature does not match")]
    Mismatch,
}

impl Secret {
    /// The secret that is written as `text`.
    ///
    /// # Errors
    /// When it is written otherwise, or is shorter than the specification allows.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SecretError)?;
        let bytes = BASE64.decode(encoded).map_err(|_| SecretError)?;
        match bytes.len() {
            24.. => Ok(Self(bytes)),
            _ => Err(SecretError),
        }
    }

    /// The value of the signature header for a message.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let tag = self.mac(id, timestamp, body).finalize().into_bytes();
        format!("v1,{}", BASE64.encode(tag))
    }

    /// Whether a message is from somebody who knows the secret, and not older than it may be at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// See [`SignatureError`].
    pub fn verify(
        &self,
        (id, timestamp, body): (&str, i64, &str),
        signatures: &str,
        now: i64,
    ) -> Result<(), SignatureError> {
        if now.abs_diff(timestamp) > TOLERANCE.as_secs() {
            return Err(SignatureError::Timestamp);
        }
        let signed = signatures.split(' ').any(|signature| {
            let tag = signature.strip_prefix("v1,").map(|tag| BASE64.decode(tag));
            let Some(Ok(tag)) = tag else {
                return false;
            };
            // The comparison takes the same time wherever two tags differ.
            self.mac(id, timestamp, body).verify_slice(&tag).is_ok()
        });
        signed.then_some(()).ok_or(SignatureError::Mismatch)
    }

    fn mac(&self, id: &str, timestamp: i64, body: &str) -> Hmac<Sha256> {
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            unreachable!("a key of any length will do");
        };
        mac.chain_update(format!("{id}.{timestamp}."))
            .chain_update(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_plJ3nmyCDGBKInavdOK15jslMfKgwO8a";
    const MESSAGE: (&str, i64, &str) = ("msg_1", 1_731_705_121, "{\"type\":\"ping\"}");

    #[test]
    fn a_signature_is_hmac_sha256_of_id_time_and_body() {
        // Computed by Python's hmac module.
        let (id, timestamp, body) = MESSAGE;
        let signature = Secret::parse(SECRET).unwrap().sign(id, timestamp, body);
        assert_eq!(signature, "v1,EtWjaIoEkqCJ82y0IUsWLtdsWOZKAt+1msYPHp7qJWk=");
    }

    #[test]
    fn whatever_is_changed_is_found() {
        let secret = Secret::parse(SECRET).unwrap();
        let (id, timestamp, body) = MESSAGE;
        let own = secret.sign(id, timestamp, body);
        let verify = |message, signatures: &str, now| secret.verify(message, signatures, now);
        assert_eq!(verify(MESSAGE, &own, timestamp + 300), Ok(()));
        assert_eq!(
            verify(MESSAGE, &format!("v1,AAAA {own}"), timestamp),
            Ok(())
        );
        for now in [timestamp + 301, timestamp - 301] {
            assert_eq!(verify(MESSAGE, &own, now), Err(SignatureError::Timestamp));
        }
        for message in [
            ("msg_2", timestamp, body),
            (id, timestamp + 1, body),
            (id, timestamp, "{}"),
        ] {
            let changed = verify(message, &own, timestamp);
            assert_eq!(changed, Err(SignatureError::Mismatch));
        }
        for signatures in ["", "v1,", "v1,!", "v2,AAAA", own.trim_start_matches("v1,")] {
            let unsigned = verify(MESSAGE, signatures, timestamp);
            assert_eq!(unsigned, Err(SignatureError::Mismatch), "{signatures}");
        }
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for text in [
            "",
            "plJ3nmyCDGBKInavdOK15jslMfKgwO8a",
            "whsec_",
            "whsec_!",
            "whsec_c2hvcnQ=",
        ] {
            assert!(Secret::parse(text).is_err(), "{text}");
        }
    }
}
