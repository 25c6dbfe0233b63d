//! Subjects and their versions, as the database has them.
//!
//! Whatever changes something takes its turn at the one row of `settings`, so that of two incompatible versions that are
//! registered at once the second is compared with the first. Refusals are kept: who tried to break a contract is worth
//! knowing. Nothing else is ever forgotten but what is deleted for good.

use std::sync::Arc;

use sqlx::AnyConnection;

use crate::clock::now_ms;
use crate::database::{Database, Transaction};
use crate::fingerprint::fingerprint;

use super::compatibility::{Difference, Mode, Schema, Scope};
use super::problem::Problem;

/// A version of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) subject: String,
    pub(super) version: i64,
    pub(super) id: i64,
    pub(super) text: String,
}

/// Whether what is deleted, but not for good, is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deleted {
    Hidden,
    Shown,
}

impl Deleted {
    /// The greatest mark that is shown.
    fn mark_max(self) -> i64 {
        match self {
            Self::Hidden => 0,
            Self::Shown => 1,
        }
    }
}

/// What a subject is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Number(i64),
    Latest,
}

/// The subjects of a registry.
#[derive(Clone)]
pub(super) struct Subjects {
    database: Database,
    scope: Arc<dyn Scope>,
}

type Columns = (String, i64, i64, String);

impl From<Columns> for Version {
    fn from((subject, version, id, text): Columns) -> Self {
        Self {
            subject,
            version,
            id,
            text,
        }
    }
}

impl Subjects {
    pub(super) fn new(database: Database, scope: Arc<dyn Scope>) -> Self {
        Self { database, scope }
    }

    /// The names of all subjects.
    pub(super) async fn names(&self, deleted: Deleted) -> sqlx::Result<Vec<String>> {
        sqlx::query_scalar(
            "SELECT DISTINCT subject FROM versions WHERE deleted <= $1 ORDER BY subject",
        )
        .bind(deleted.mark_max())
        .fetch_all(self.database.reads())
        .await
    }

    /// The versions of a subject, the oldest first.
    pub(super) async fn versions(
        &self,
        subject: &str,
        deleted: Deleted,
    ) -> Result<Vec<Version>, Problem> {
        let mut reader = self.database.reads().acquire().await?;
        known(&mut reader, subject, deleted).await
    }

    /// One version of a subject.
    pub(super) async fn version(
        &self,
        subject: &str,
        which: Which,
        deleted: Deleted,
    ) -> Result<Version, Problem> {
        let mut versions = self.versions(subject, deleted).await?;
        let found = match which {
            Which::Latest => versions.pop(),
            Which::Number(number) => versions.into_iter().find(|own| own.version == number),
        };
        let asked = match which {
            Which::Latest => "latest".to_owned(),
            Which::Number(number) => number.to_string(),
        };
        found.ok_or(Problem::NoVersion(asked))
    }

    /// The schema of this id, wherever it is a version.
    pub(super) async fn by_id(&self, id: i64) -> Result<String, Problem> {
        let text: Option<String> = sqlx::query_scalar("SELECT text FROM schemas WHERE id = $1")
            .bind(id)
            .fetch_optional(self.database.reads())
            .await?;
        text.ok_or(Problem::NoSchema)
    }

    /// The versions that the schema of this id is.
    pub(super) async fn uses_of(&self, id: i64) -> Result<Vec<Version>, Problem> {
        let uses: Vec<Columns> = sqlx::query_as(
            "SELECT v.subject, v.version, s.id, s.text FROM versions v JOIN schemas s ON s.id = v.schema_id \
             WHERE s.id = $1 AND v.deleted = 0 ORDER BY v.subject, v.version",
        )
        .bind(id)
        .fetch_all(self.database.reads())
        .await?;
        match uses.is_empty() {
            true => Err(Problem::NoSchema),
            false => Ok(uses.into_iter().map(Version::from).collect()),
        }
    }

    /// The version of a subject that is this schema.
    pub(super) async fn look_up(
        &self,
        subject: &str,
        schema: &Schema,
        deleted: Deleted,
    ) -> Result<Version, Problem> {
        let versions = self.versions(subject, deleted).await?;
        let same = versions.into_iter().find(|own| own.text == schema.text());
        same.ok_or(Problem::NoSchema)
    }

    /// Lets a schema in as the next version of a subject, unless it is one already, and gives its id.
    pub(super) async fn register(&self, subject: &str, schema: &Schema) -> Result<i64, Problem> {
        if let Ok(known) = self.look_up(subject, schema, Deleted::Hidden).await {
            return Ok(known.id);
        }
        let (mut tx, global) = self.turn().await?;
        let versions = all(&mut tx, subject, Deleted::Shown).await?;
        let live = all(&mut tx, subject, Deleted::Hidden).await?;
        if let Some(known) = live.iter().find(|own| own.text == schema.text()) {
            let id = known.id;
            tx.rollback().await?;
            return Ok(id);
        }
        let mode = own_mode(&mut tx, subject).await?.unwrap_or(global);
        let differences = self.differences(mode, schema, &live)?;
        if !differences.is_empty() {
            let problem = Problem::Incompatible(differences);
            note_refusal(&mut tx, subject, schema, &problem).await?;
            tx.commit().await?;
            tracing::error!(subject, %mode, %problem, "registration refused");
            return Err(problem);
        }
        let id = id_of(&mut tx, schema).await?;
        let version = versions.last().map_or(1, |last| last.version + 1);
        sqlx::query("INSERT INTO versions (subject, version, schema_id) VALUES ($1, $2, $3)")
            .bind(subject)
            .bind(version)
            .bind(id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        tracing::info!(subject, version, id, "registered");
        Ok(id)
    }

    /// What keeps a schema from being let in, compared with one version of the subject or, if none is given, with those
    /// that its mode names.
    pub(super) async fn try_out(
        &self,
        subject: &str,
        schema: &Schema,
        which: Option<Which>,
    ) -> Result<Vec<Difference>, Problem> {
        let mode = self.mode_of(subject).await?;
        match which {
            Some(which) => {
                let version = self.version(subject, which, Deleted::Hidden).await?;
                Ok(mode.check(schema, [&Schema::parse(&version.text)?]))
            }
            None => {
                let mut reader = self.database.reads().acquire().await?;
                let versions = all(&mut reader, subject, Deleted::Hidden).await?;
                self.differences(mode, schema, &versions)
            }
        }
    }

    fn differences(
        &self,
        mode: Mode,
        schema: &Schema,
        earlier: &[Version],
    ) -> Result<Vec<Difference>, Problem> {
        let earlier = earlier.iter().map(|own| Schema::parse(&own.text));
        let earlier = earlier.collect::<Result<Vec<Schema>, _>>()?;
        Ok(mode.check(schema, self.scope.compared(mode, &earlier)))
    }

    /// Deletes a subject, and gives the numbers of its versions.
    pub(super) async fn delete(&self, subject: &str) -> Result<Vec<i64>, Problem> {
        let (mut tx, _) = self.turn().await?;
        let versions = all(&mut tx, subject, Deleted::Shown).await?;
        let live = all(&mut tx, subject, Deleted::Hidden).await?;
        if live.is_empty() {
            tx.rollback().await?;
            return Err(match versions.is_empty() {
                true => Problem::NoSubject(subject.to_owned()),
                false => Problem::SubjectIsDeleted(subject.to_owned()),
            });
        }
        sqlx::query("UPDATE versions SET deleted = 1 WHERE subject = $1")
            .bind(subject)
            .execute(&mut *tx)
            .await?;
        forget_mode(&mut tx, subject).await?;
        tx.commit().await?;
        Ok(live.into_iter().map(|own| own.version).collect())
    }

    /// Deletes a subject for good that is deleted already.
    pub(super) async fn delete_for_good(&self, subject: &str) -> Result<Vec<i64>, Problem> {
        let (mut tx, _) = self.turn().await?;
        let versions = all(&mut tx, subject, Deleted::Shown).await?;
        let live = all(&mut tx, subject, Deleted::Hidden).await?;
        if versions.is_empty() || !live.is_empty() {
            tx.rollback().await?;
            return Err(match versions.is_empty() {
                true => Problem::NoSubject(subject.to_owned()),
                false => Problem::SubjectNotDeleted(subject.to_owned()),
            });
        }
        sqlx::query("DELETE FROM versions WHERE subject = $1")
            .bind(subject)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(versions.into_iter().map(|own| own.version).collect())
    }

    /// Deletes one version of a subject, and gives its number.
    pub(super) async fn delete_version(&self, subject: &str, which: Which) -> Result<i64, Problem> {
        let live = self.version(subject, which, Deleted::Hidden).await;
        let version = match live {
            Ok(version) => version.version,
            Err(problem) => {
                let deleted = self.version(subject, which, Deleted::Shown).await;
                return Err(deleted.map_or(problem, |own| {
                    Problem::VersionIsDeleted(own.subject, own.version)
                }));
            }
        };
        self.change_version(
            "UPDATE versions SET deleted = 1 WHERE subject = $1 AND version = $2",
            subject,
            version,
        )
        .await
    }

    /// Deletes one version for good that is deleted already.
    pub(super) async fn delete_version_for_good(
        &self,
        subject: &str,
        which: Which,
    ) -> Result<i64, Problem> {
        let version = self.version(subject, which, Deleted::Shown).await?.version;
        if self
            .version(subject, Which::Number(version), Deleted::Hidden)
            .await
            .is_ok()
        {
            return Err(Problem::VersionNotDeleted(subject.to_owned(), version));
        }
        self.change_version(
            "DELETE FROM versions WHERE subject = $1 AND version = $2 AND deleted = 1",
            subject,
            version,
        )
        .await
    }

    async fn change_version(
        &self,
        statement: &'static str,
        subject: &str,
        version: i64,
    ) -> Result<i64, Problem> {
        let (mut tx, _) = self.turn().await?;
        sqlx::query(statement)
            .bind(subject)
            .bind(version)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(version)
    }

    /// The mode of subjects that have none of their own.
    pub(super) async fn global_mode(&self) -> Result<Mode, Problem> {
        let mode: String = sqlx::query_scalar("SELECT compatibility FROM settings")
            .fetch_one(self.database.reads())
            .await?;
        Ok(mode.parse()?)
    }

    /// The mode that a subject has of its own.
    pub(super) async fn own_mode(&self, subject: &str) -> Result<Option<Mode>, Problem> {
        let mut reader = self.database.reads().acquire().await?;
        own_mode(&mut reader, subject).await
    }

    /// The mode that counts for a subject.
    pub(super) async fn mode_of(&self, subject: &str) -> Result<Mode, Problem> {
        match self.own_mode(subject).await? {
            Some(mode) => Ok(mode),
            None => self.global_mode().await,
        }
    }

    /// Sets the mode of one subject, or of all that have none of their own.
    pub(super) async fn set_mode(&self, subject: Option<&str>, mode: Mode) -> Result<(), Problem> {
        let (mut tx, _) = self.turn().await?;
        let set = match subject {
            Some(subject) => sqlx::query(
                "INSERT INTO subject_settings (compatibility, subject) VALUES ($1, $2) \
                 ON CONFLICT (subject) DO UPDATE SET compatibility = excluded.compatibility",
            )
            .bind(mode.to_string())
            .bind(subject),
            None => sqlx::query("UPDATE settings SET compatibility = $1").bind(mode.to_string()),
        };
        set.execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Takes the mode of its own from a subject, and gives it.
    pub(super) async fn unset_mode(&self, subject: &str) -> Result<Mode, Problem> {
        let (mut tx, _) = self.turn().await?;
        let Some(mode) = own_mode(&mut tx, subject).await? else {
            tx.rollback().await?;
            return Err(Problem::NoConfiguration(subject.to_owned()));
        };
        forget_mode(&mut tx, subject).await?;
        tx.commit().await?;
        Ok(mode)
    }

    /// Begins a change once all others are done, and gives the global mode.
    async fn turn(&self) -> Result<(Transaction, Mode), Problem> {
        let mut tx = self.database.begin().await?;
        let mode: String =
            sqlx::query_scalar("UPDATE settings SET changes = changes + 1 RETURNING compatibility")
                .fetch_one(&mut *tx)
                .await?;
        Ok((tx, mode.parse()?))
    }
}

/// The versions of a subject that has any.
async fn known(
    reader: &mut AnyConnection,
    subject: &str,
    deleted: Deleted,
) -> Result<Vec<Version>, Problem> {
    let versions = all(reader, subject, deleted).await?;
    match versions.is_empty() {
        true => Err(Problem::NoSubject(subject.to_owned())),
        false => Ok(versions),
    }
}

async fn all(
    reader: &mut AnyConnection,
    subject: &str,
    deleted: Deleted,
) -> sqlx::Result<Vec<Version>> {
    let versions: Vec<Columns> = sqlx::query_as(
        "SELECT v.subject, v.version, s.id, s.text FROM versions v JOIN schemas s ON s.id = v.schema_id \
         WHERE v.subject = $1 AND v.deleted <= $2 ORDER BY v.version",
    )
    .bind(subject)
    .bind(deleted.mark_max())
    .fetch_all(&mut *reader)
    .await?;
    Ok(versions.into_iter().map(Version::from).collect())
}

async fn own_mode(reader: &mut AnyConnection, subject: &str) -> Result<Option<Mode>, Problem> {
    let mode: Option<String> =
        sqlx::query_scalar("SELECT compatibility FROM subject_settings WHERE subject = $1")
            .bind(subject)
            .fetch_optional(&mut *reader)
            .await?;
    Ok(mode.map(|mode| mode.parse()).transpose()?)
}

async fn forget_mode(tx: &mut AnyConnection, subject: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM subject_settings WHERE subject = $1")
        .bind(subject)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

/// The id of a schema, the same whatever subject it is a version of.
async fn id_of(tx: &mut AnyConnection, schema: &Schema) -> sqlx::Result<i64> {
    let text = schema.text();
    let fingerprint = format!("{:016x}", fingerprint([text.as_bytes()]));
    let known: Option<i64> =
        sqlx::query_scalar("SELECT id FROM schemas WHERE fingerprint = $1 AND text = $2")
            .bind(&fingerprint)
            .bind(text)
            .fetch_optional(&mut *tx)
            .await?;
    if let Some(id) = known {
        return Ok(id);
    }
    sqlx::query_scalar("INSERT INTO schemas (fingerprint, text) VALUES ($1, $2) RETURNING id")
        .bind(&fingerprint)
        .bind(text)
        .fetch_one(&mut *tx)
        .await
}

async fn note_refusal(
    tx: &mut AnyConnection,
    subject: &str,
    schema: &Schema,
    problem: &Problem,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO refusals (subject, text, reason, refused_at_ms) VALUES ($1, $2, $3, $4)",
    )
    .bind(subject)
    .bind(schema.text())
    .bind(problem.to_string())
    .bind(now_ms())
    .execute(&mut *tx)
    .await?;
    Ok(())
}
