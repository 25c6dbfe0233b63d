//! The client: the host that asks for the operations of the workload and waits for their answers.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::history::{Answer, What};
use crate::plan::Plan;
use crate::system::Carried;
use crate::world::panics::panic_text;
use crate::world::{Gate, lock};

/// Carries out one operation.
pub(super) type CarryOut = Arc<dyn Fn(serde_json::Value) -> Carried + Send + Sync>;

/// What the client host runs.
pub(super) struct Client {
    pub(super) gate: Gate,
    pub(super) plan: Plan,
    /// Tells each operation that its time has come.
    pub(super) turns: Vec<oneshot::Receiver<()>>,
    pub(super) carry_out: CarryOut,
    /// How long an answer is waited for.
    pub(super) timeout: Duration,
    /// How many operations have no answer.
    pub(super) unanswered: Arc<Mutex<usize>>,
}

impl Client {
    /// Asks for every operation at its time, and stays until the run ends: answers that nobody waits for any more are
    /// worked on all the same.
    pub(super) async fn run(mut self) {
        let turns = std::mem::take(&mut self.turns);
        let client = Arc::new(self);
        let mut operations = JoinSet::new();
        for (operation, turn) in turns.into_iter().enumerate() {
            operations.spawn_local(client.clone().ask(operation, turn));
        }
        operations.join_all().await;
        std::future::pending().await
    }

    async fn ask(self: Arc<Self>, operation: usize, turn: oneshot::Receiver<()>) {
        if turn.await.is_err() {
            // The run has come to its end.
            return;
        }
        let planned = &self.plan.workload[operation];
        let text = planned.operation.to_string();
        self.gate.record(What::OperationInvoked { operation, text });
        let value = planned.operation.clone();
        let carried = AssertUnwindSafe(async { (self.carry_out)(value).await });
        let answer = tokio::time::timeout(self.timeout, carried.catch_unwind()).await;
        let (answer, text) = match answer {
            Ok(Ok(Ok(text))) => (Answer::Done, text),
            Ok(Ok(Err(error))) => (Answer::Failed, error),
            Ok(Err(panic)) => (Answer::Panicked, panic_text(&*panic).to_owned()),
            Err(_) => (Answer::Failed, "no answer in time".to_owned()),
        };
        self.gate.record(What::OperationAnswered {
            operation,
            answer,
            text,
        });
        *lock(&self.unanswered) -= 1;
    }
}
