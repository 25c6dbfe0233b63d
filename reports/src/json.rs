//! A sweep's report as one JSON document, for other programs.
//!
//! The document carries a version. A reader of this program takes its own version and every older one, and refuses
//! a newer one by name, because what a newer writer meant cannot be guessed. Fields it does not know are skipped.
//! It does not read artefacts: those belong to the harness.

use serde::Deserialize;

use crate::sweep::SweepReport;

/// Why a document could not be read as a report. Each is a fragment that fits after "failed to read FILE: ".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The text is no JSON document at all, or is cut off.
    #[error("it is not a whole JSON document: {0}")]
    NotJson(#[source] serde_json::Error),
    /// It is JSON, but says no version.
    #[error("it is not a sweep report: it has no version")]
    NoVersion,
    /// A newer program wrote it.
    #[error(
        "it has version {found}, and this stormglass reads up to version {newest}: use the one that wrote it, or a newer one"
    )]
    Newer {
        /// The version that the document says.
        found: u64,
        /// The newest version that can be read here.
        newest: u32,
    },
    /// It has a version that can be read, but is some other document.
    #[error("it is not a sweep report: {0}")]
    Foreign(#[source] serde_json::Error),
}

/// The only field that every version has.
#[derive(Deserialize)]
struct Header {
    /// Wider than the field itself, so that an absurd version is still called newer and not foreign.
    version: Option<u64>,
}

/// The report as one indented JSON document with a line break at its end.
#[must_use]
pub fn write(report: &SweepReport) -> String {
    let mut text = serde_json::to_string_pretty(report)
        .expect("plain data with text keys always has a JSON form");
    text.push('\n');
    text
}

/// Reads what [`write()`] wrote, now or in an older version. The result has the current version: it is what
/// writing it again would give.
///
/// # Errors
/// [`ReadError`] if the text is cut off, is something else, or comes from a newer version.
pub fn read(text: &str) -> Result<SweepReport, ReadError> {
    let document: serde_json::Value = serde_json::from_str(text).map_err(ReadError::NotJson)?;
    let header = Header::deserialize(&document).map_err(ReadError::Foreign)?;
    let found = header.version.ok_or(ReadError::NoVersion)?;
    if found > u64::from(SweepReport::VERSION) {
        return Err(ReadError::Newer {
            found,
            newest: SweepReport::VERSION,
        });
    }
    let report = SweepReport::deserialize(&document).map_err(ReadError::Foreign)?;
    Ok(SweepReport {
        version: SweepReport::VERSION,
        ..report
    })
}
