//! What a registry answers when it cannot do what it is asked for: Confluent's error codes.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::compatibility::{Difference, InvalidSchema, UnknownMode};

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("Subject '{0}' not found.")]
    NoSubject(String),
    #[error("Version {0} not found.")]
    NoVersion(String),
    #[error("Schema not found")]
    NoSchema,
    #[error("Subject '{0}' was soft deleted. Set permanent=true to delete permanently")]
    SubjectIsDeleted(String),
    #[error("Subject '{0}' was not deleted first before being permanently deleted")]
    SubjectNotDeleted(String),
    #[error("Subject '{0}' Version {1} was soft deleted. Set permanent=true to delete permanently")]
    VersionIsDeleted(String, i64),
    #[error("Subject '{0}' Version {1} was not deleted first before being permanently deleted")]
    VersionNotDeleted(String, i64),
    #[error("Subject '{0}' does not have subject-level compatibility configured")]
    NoConfiguration(String),
    #[error("Schema being registered is incompatible with an earlier schema: {}", told(.0))]
    Incompatible(Vec<Difference>),
    #[error("Invalid schema: {0}")]
    InvalidSchema(String),
    #[error(
        "The specified version '{0}' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\""
    )]
    InvalidVersion(String),
    #[error("Invalid compatibility level: {0}")]
    InvalidMode(#[from] UnknownMode),
    #[error("The request cannot be read: {0}")]
    Unreadable(String),
    #[error("Error in the backend datastore: {0}")]
    Database(#[from] sqlx::Error),
}

fn told(differences: &[Difference]) -> String {
    let told: Vec<String> = differences.iter().map(ToString::to_string).collect();
    told.join("; ")
}

impl From<InvalidSchema> for Problem {
    fn from(error: InvalidSchema) -> Self {
        Self::InvalidSchema(error.to_string())
    }
}

impl Problem {
    /// The code in the body (Confluent, "Schema Registry API Reference"): its first three digits are the status.
    fn code(&self) -> u32 {
        match self {
            Self::NoSubject(_) => 40401,
            Self::NoVersion(_) => 40402,
            Self::NoSchema => 40403,
            Self::SubjectIsDeleted(_) => 40404,
            Self::SubjectNotDeleted(_) => 40405,
            Self::VersionIsDeleted(..) => 40406,
            Self::VersionNotDeleted(..) => 40407,
            Self::NoConfiguration(_) => 40408,
            Self::Incompatible(_) => 409,
            Self::Unreadable(_) => 422,
            Self::InvalidSchema(_) => 42201,
            Self::InvalidVersion(_) => 42202,
            Self::InvalidMode(_) => 42203,
            Self::Database(_) => 50001,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let code = self.code();
        let status = if code > 999 { code / 100 } else { code };
        let status = u16::try_from(status).ok();
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        let message = match &self {
            Self::Database(error) => {
                tracing::error!(%error, "request failed");
                // The cause is for the log: what a database says is not for a caller's eyes.
                "Error in the backend datastore".to_owned()
            }
            other => other.to_string(),
        };
        let body = Json(json!({ "error_code": code, "message": message }));
        (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body).into_response()
    }
}
