//! Questions to the real server about its backends, beside what they are asked themselves.

use crate::Error;
use crate::cluster::Lease;

/// Whether a backend waits for a lock, or for a snapshot that is safe (`SERIALIZABLE READ ONLY DEFERRABLE`).
pub(super) fn is_locked(lease: &Lease, process: u32) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM pg_locks WHERE pid = $1 AND NOT granted \
               UNION ALL SELECT 1 WHERE pg_safe_snapshot_blocking_pids($1) <> '{}'";
    let rows = lease.with(|real| real.control().query(sql, &[&process.to_string()]))?;
    Ok(!rows.is_empty())
}

/// A text that changes whenever a transaction that has written something comes to its end.
pub(super) fn snapshot(lease: &Lease) -> Result<String, Error> {
    let sql = "SELECT txid_current_snapshot()";
    let rows = lease.with(|real| real.control().query(sql, &[]))?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

/// Asks the real server to send a signal to a backend.
pub(super) fn signal(lease: &Lease, function: &str, process: u32) -> Result<(), Error> {
    let sql = format!("SELECT {function}($1)");
    lease
        .with(|real| real.control().query(&sql, &[&process.to_string()]))
        .map(drop)
}
