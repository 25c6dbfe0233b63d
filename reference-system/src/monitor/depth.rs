//! The depth of a dead letter queue: how much of it is too much, and when that is over.

use std::time::Duration;

use crate::alert::{Alert, Judgement};
use crate::clock::now_ms;
use crate::database::Database;

/// The alert's name.
pub const PARKED_EVENTS: &str = "ParkedEvents";

/// The alert of a consumer.
pub(super) fn alert(consumer: &str) -> Alert {
    Alert {
        name: PARKED_EVENTS,
        group: consumer.to_owned(),
    }
}

/// How much a consumer may have parked. The alert fires where either figure is reached, and is over once both are below
/// half of it, so that it does not come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthThreshold {
    /// Events that nobody has settled.
    pub parked: i64,
    /// Those among them that were parked within the window.
    pub lately: i64,
    /// How long ago counts as lately.
    pub window: Duration,
}

impl Default for DepthThreshold {
    /// A hundred within an hour, or five hundred altogether.
    fn default() -> Self {
        Self {
            parked: 500,
            lately: 100,
            window: Duration::from_secs(60 * 60),
        }
    }
}

impl DepthThreshold {
    /// What a measurement means.
    #[must_use]
    pub fn judge(&self, depth: Depth) -> Judgement {
        let Depth { parked, lately } = depth;
        let seconds = self.window.as_secs();
        let summary = format!("{parked} events are parked, {lately} of them within {seconds} s");
        if parked >= self.parked || lately >= self.lately {
            Judgement::Wrong(summary)
        } else if parked * 2 < self.parked && lately * 2 < self.lately {
            Judgement::Right(summary)
        } else {
            Judgement::Undecided
        }
    }
}

/// How much a consumer has parked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Events in its dead letter topic that nobody has settled.
    pub parked: i64,
    /// Those among them that were parked lately.
    pub lately: i64,
}

impl Depth {
    /// Counts what `consumer` has parked in `database`, and what of it within the last `window`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn measure(
        database: &Database,
        consumer: &str,
        window: Duration,
    ) -> sqlx::Result<Self> {
        let window_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        let (parked, lately) = sqlx::query_as(
            "SELECT COUNT(*), COALESCE(SUM(CASE WHEN parked_at_ms > $2 THEN 1 ELSE 0 END), 0) \
             FROM parked WHERE consumer = $1 AND published = 1",
        )
        .bind(consumer)
        .bind(now_ms().saturating_sub(window_ms))
        .fetch_one(database.reads())
        .await?;
        Ok(Self { parked, lately })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_at_either_figure_and_is_over_below_half_of_both() {
        let threshold = DepthThreshold {
            parked: 10,
            lately: 4,
            window: Duration::from_secs(60),
        };
        let judge = |parked, lately| threshold.judge(Depth { parked, lately });
        assert!(matches!(judge(10, 0), Judgement::Wrong(_)));
        assert!(matches!(judge(4, 4), Judgement::Wrong(_)));
        assert!(matches!(judge(9, 3), Judgement::Undecided));
        assert!(matches!(judge(5, 1), Judgement::Undecided));
        assert!(matches!(judge(4, 1), Judgement::Right(_)));
        let Judgement::Wrong(summary) = judge(12, 2) else {
            panic!("undecided");
        };
        assert_eq!(summary, "12 events are parked, 2 of them within 60 s");
    }
}
