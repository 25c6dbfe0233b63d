//! `answer-before-commit`: the client has its answer while the commit is still under way.

use reference_system::Environment;
use reference_system::order::{OrderDesk, Orders};
use reference_system::ports::{Database, Transaction};
use scenarios::deploy::{Processes, SimulatedDatabase};
use sqlx::{Any, Executor};
use stormglass::Host;

use super::rewired::Rewired;

/// Commits behind the client's back, for the sake of fast answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerBeforeCommit;

impl Processes for AnswerBeforeCommit {
    fn desk<E: Environment>(&self, host: &Host, environment: E) -> impl Orders {
        let database = SimulatedDatabase::of(host, "order").expect("the gateway has it");
        OrderDesk::new(Rewired::database(environment, WrittenBehind(database)))
    }
}

/// A database that takes a commit for done when it is asked for.
#[derive(Clone)]
struct WrittenBehind(SimulatedDatabase);

impl Database for WrittenBehind {
    type Transaction = Unwritten;

    async fn begin(&self) -> sqlx::Result<Unwritten> {
        self.0.begin().await.map(Unwritten)
    }

    async fn begin_read(&self) -> sqlx::Result<Unwritten> {
        self.0.begin_read().await.map(Unwritten)
    }
}

/// A transaction whose commit nobody waits for.
struct Unwritten(<SimulatedDatabase as Database>::Transaction);

impl Transaction for Unwritten {
    fn executor(&mut self) -> impl Executor<'_, Database = Any> {
        self.0.executor()
    }

    async fn commit(self) -> sqlx::Result<()> {
        tokio::spawn(async move {
            if let Err(error) = self.0.commit().await {
                tracing::error!(%error, "not written");
            }
        });
        Ok(())
    }

    async fn rollback(self) -> sqlx::Result<()> {
        self.0.rollback().await
    }
}
