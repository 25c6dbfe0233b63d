//! Who may do what operators do: whoever has the token. Without a token at all, nobody may.

use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use super::Problem;

/// The word that operators show. It is never printed.
#[derive(Clone)]
pub struct Token(Arc<str>);

impl Token {
    /// The token of this text; `None` if it is empty.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.into()))
    }

    /// Whether a request shows it. How long the comparison takes tells nothing but the token's length.
    fn is_shown_by(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let shown = shown.and_then(|value| value.split_at_checked(SCHEME.len()));
        shown.is_some_and(|(scheme, shown)| {
            scheme.eq_ignore_ascii_case(SCHEME) && self.0.as_bytes().ct_eq(shown).into()
        })
    }
}

/// How the token is announced in the header (RFC 6750, section 2.1); the word itself is in any case (RFC 9110, section 11.1).
const SCHEME: &[u8] = b"Bearer ";

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Lets a request through that shows the token.
pub(super) async fn admit(
    State(token): State<Option<Token>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(token) = token else {
        let problem = "operations are closed: the shop was started without a token";
        return Problem(StatusCode::FORBIDDEN, problem.to_owned()).into_response();
    };
    if token.is_shown_by(request.headers()) {
        return next.run(request).await;
    }
    let problem = "show the operators' token: authorization: Bearer <token>";
    let refused = Problem(StatusCode::UNAUTHORIZED, problem.to_owned());
    let scheme = HeaderValue::from_static("Bearer");
    ([(WWW_AUTHENTICATE, scheme)], refused).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shows(value: &'static str) -> bool {
        let value = HeaderValue::from_static(value);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        Token::new("secret").unwrap().is_shown_by(&headers)
    }

    #[test]
    fn only_the_whole_token_counts() {
        assert!(shows("Bearer secret"));
        assert!(shows("bearer secret"));
        for wrong in ["", "Bearer", "Bearer ", "Bearer secre", "Bearer secrets"] {
            assert!(!shows(wrong), "{wrong}");
        }
        assert!(!shows("Basic secret"));
        assert!(!shows("secret"));
        assert!(!Token::new("secret").unwrap().is_shown_by(&HeaderMap::new()));
    }

    #[test]
    fn an_empty_token_is_none_and_none_is_printed() {
        assert!(Token::new("").is_none());
        assert_eq!(format!("{:?}", Token::new("secret")), "Some(Token(..))");
    }
}
