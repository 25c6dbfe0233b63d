//! A pager that only writes to the log.

use async_trait::async_trait;

use super::{Notice, Pager, PagerError, Status};

/// Alerts are lines of the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoggingPager;

#[async_trait]
impl Pager for LoggingPager {
    async fn page(&self, _: &str, notice: &Notice) -> Result<(), PagerError> {
        let (alert, labels, summary) = (notice.alert, &notice.labels, &notice.summary);
        match notice.status {
            Status::Firing => tracing::error!(alert, ?labels, summary, "alert fires"),
            Status::Resolved => tracing::info!(alert, ?labels, summary, "alert is over"),
        }
        Ok(())
    }
}
