//! Third parties over HTTP: what the system calls outside of itself, such as a card processor.
//!
//! A third party keeps a ledger by idempotency key. What it booked is in the history whether or not the
//! caller heard of it, so that a double charge is visible where it hurts: at the customer's bank, not in the
//! system's own tables.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

/// The header that carries the key by which most card processors tell calls apart
/// (<https://docs.stripe.com/api/idempotent_requests>).
const KEY_HEADER: &str = "idempotency-key";

/// A call of a third party.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// `POST`, `GET` and so on.
    pub method: String,
    /// The path with its query, such as `/charges?expand=1`.
    pub path: String,
    /// The headers, by their names in small letters.
    pub headers: BTreeMap<String, String>,
    /// The body, if it is JSON; as text otherwise.
    pub body: Value,
}

/// An answer of a third party.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body, which is sent as JSON.
    pub body: Value,
}

impl Response {
    /// An answer with this status and a JSON body.
    pub fn new(status: u16, body: Value) -> Self {
        Response { status, body }
    }

    /// Whether the call was booked: its status is below 400.
    pub(crate) fn is_booked(&self) -> bool {
        self.status < 400
    }
}

type Decide = Arc<dyn Fn(&Request) -> Response + Send + Sync>;

/// What a fault may make of a call.
#[derive(Clone)]
pub(crate) struct Refusal {
    answer: Response,
    is_refusable: Arc<dyn Fn(&Request) -> bool + Send + Sync>,
}

impl Refusal {
    /// The refusal of a call; `None` if it is never refused.
    pub(crate) fn of(&self, request: &Request) -> Option<&Response> {
        (self.is_refusable)(request).then_some(&self.answer)
    }
}

/// A third party at `http://NAME/`.
///
/// Every call with a key in its `Idempotency-Key` header is decided once; a repeated key gets the first answer
/// again, as long as it is [remembered](ThirdParty::remembers). A call without a key is decided anew each time. An answer
/// below 400 is booked; one above is a refusal of the business, such as a declined card.
#[derive(Clone)]
pub struct ThirdParty {
    pub(crate) name: Arc<str>,
    pub(crate) decide: Decide,
    pub(crate) key_header: String,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) memory: Option<Duration>,
}

impl Debug for ThirdParty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThirdParty")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl ThirdParty {
    /// A third party with this host name; `decide` is its business.
    pub fn new(name: &str, decide: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        ThirdParty {
            name: name.into(),
            decide: Arc::new(decide),
            key_header: KEY_HEADER.to_owned(),
            refusal: None,
            memory: None,
        }
    }

    /// The header that carries the idempotency key, if it is another one.
    #[must_use]
    pub fn key_header(mut self, name: &str) -> Self {
        self.key_header = name.to_ascii_lowercase();
        self
    }

    /// It may refuse with this answer what its business would book: a card that the bank declines today, say. A
    /// fault of the plan decides when, and the key stays refused.
    #[must_use]
    pub fn may_refuse(self, refusal: Response) -> Self {
        self.may_refuse_where(refusal, |_| true)
    }

    /// As [`ThirdParty::may_refuse`], but only calls of which `is_refusable` says so: a charge may be declined, and a
    /// refund is not.
    #[must_use]
    pub fn may_refuse_where(
        mut self,
        refusal: Response,
        is_refusable: impl Fn(&Request) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.refusal = Some(Refusal {
            answer: refusal,
            is_refusable: Arc::new(is_refusable),
        });
        self
    }

    /// It knows a key for so long, in virtual time, and takes it for a new one after that; for ever unless this is
    /// said. Card processors keep keys for a day or more.
    #[must_use]
    pub fn remembers(mut self, keys_for: Duration) -> Self {
        self.memory = Some(keys_for);
        self
    }
}
