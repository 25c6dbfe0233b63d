//! The time of day, as a service reads it.

use std::time::SystemTime;

/// Milliseconds since 1970, by the system clock.
pub(crate) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_millis() as i64
}
