//! An alert: whether something is wrong, remembered, so that people are told once when it begins and once when it is over.
//!
//! The state is a row of the database that it is about. Whoever changes it first has decided, and whoever finds a change
//! that nobody is known to have been told of tells it, under the same key: a restart or a second monitor repeats itself
//! at worst, and the pager drops that. A change waits until the one before it was told, so that they come in order.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::now_ms;
use crate::database::Database;
use crate::ports::Pager;
use crate::ports::pager::{Notice, PagerError, Status};

/// What a measurement says of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It has to fire.
    Wrong(String),
    /// It is over, if it was on.
    Right(String),
    /// It stays as it is: the figures are between the two.
    Undecided,
}

impl Judgement {
    /// What it means that something has waited for so long: it is wrong from `allowed` on, and over below half of it, so
    /// that what is about there does not fire again and again.
    #[must_use]
    pub fn of_wait(waited: Duration, allowed: Duration, summary: String) -> Self {
        if waited >= allowed {
            Judgement::Wrong(summary)
        } else if waited * 2 < allowed {
            Judgement::Right(summary)
        } else {
            Judgement::Undecided
        }
    }
}

/// An alert of one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its name, such as `ParkedEvents`.
    pub name: &'static str,
    /// The consumer group that it is about.
    pub group: String,
}

/// Why people may not have been told.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// The state is not known.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Nobody answers.
    #[error(transparent)]
    Pager(#[from] PagerError),
}

/// The state of an alert: how often it fired, whether it does, whether that was told, since when, and the figures.
type State = (i64, i64, i64, i64, String);

impl Alert {
    /// Takes a measurement into account, and tells what is to be told.
    ///
    /// # Errors
    /// See [`AlertError`]; what was not told is told at the next measurement.
    pub async fn judge(
        &self,
        database: &Database,
        pager: &dyn Pager,
        judgement: Judgement,
    ) -> Result<(), AlertError> {
        let mut state = self.state(database).await?;
        let is_on = state.as_ref().is_some_and(|(_, firing, ..)| *firing == 1);
        let is_told = state.as_ref().is_none_or(|(_, _, told, ..)| *told == 1);
        match judgement {
            Judgement::Wrong(summary) if is_told && !is_on => {
                self.turn(database, Status::Firing, &summary).await?;
                state = self.state(database).await?;
            }
            Judgement::Right(summary) if is_told && is_on => {
                self.turn(database, Status::Resolved, &summary).await?;
                state = self.state(database).await?;
            }
            _ => {}
        }
        match state {
            Some(state) if state.2 == 0 => self.tell(database, pager, state).await,
            _ => Ok(()),
        }
    }

    /// Its key in the database.
    fn key(&self) -> String {
        format!("{}/{}", self.name, self.group)
    }

    async fn state(&self, database: &Database) -> sqlx::Result<Option<State>> {
        sqlx::query_as(
            "SELECT incident, firing, told, since_ms, summary FROM alerts WHERE name = $1",
        )
        .bind(self.key())
        .fetch_optional(database.reads())
        .await
    }

    /// Turns it on or off, unless somebody else has done so.
    async fn turn(&self, database: &Database, to: Status, summary: &str) -> sqlx::Result<()> {
        let firing = i64::from(to == Status::Firing);
        let mut tx = database.begin().await?;
        sqlx::query(
            "INSERT INTO alerts (name, incident, firing, told, since_ms, summary) \
             VALUES ($1, 1, $2, 0, $3, $4) ON CONFLICT (name) DO UPDATE SET \
             incident = alerts.incident + excluded.firing, firing = excluded.firing, told = 0, \
             since_ms = excluded.since_ms, summary = excluded.summary \
             WHERE alerts.firing <> excluded.firing AND alerts.told = 1",
        )
        .bind(self.key())
        .bind(firing)
        .bind(now_ms())
        .bind(summary)
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    async fn tell(
        &self,
        database: &Database,
        pager: &dyn Pager,
        (incident, firing, _, since_ms, summary): State,
    ) -> Result<(), AlertError> {
        let status = match firing {
            1 => Status::Firing,
            _ => Status::Resolved,
        };
        let key = self.key();
        let notice = Notice {
            alert: self.name,
            labels: BTreeMap::from([("group", self.group.clone())]),
            status,
            summary,
            since_ms,
        };
        let idempotency_key = format!("{key}/{incident}/{}", status.word());
        pager.page(&idempotency_key, &notice).await?;
        let mut tx = database.begin().await?;
        sqlx::query("UPDATE alerts SET told = 1 WHERE name = $1 AND incident = $2 AND firing = $3")
            .bind(&key)
            .bind(incident)
            .bind(firing)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }
}
