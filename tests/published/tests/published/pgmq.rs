//! `pgmq`: a message that is read stays hidden for a time and comes back unless it is deleted, so at least once. A
//! worker that deletes it in the transaction of its effect does each job exactly once.

use std::time::Duration;

use pgmq::{Message, PGMQueueExt, PgmqError};
use sqlx::PgPool;
use stormglass::System;

use crate::jobs::{EVERY_TIME, Failure, job, pool, sql_of, system, take_effect};

const QUEUE: &str = "jobs";

async fn queue() -> Result<(PgPool, PGMQueueExt), Failure> {
    let pool = pool().await?;
    Ok((pool.clone(), PGMQueueExt::new_with_pool(pool).await))
}

/// The next job, once there is one; hidden from others for five seconds.
async fn next(queue: &PGMQueueExt) -> Result<Message<i64>, PgmqError> {
    loop {
        match queue.read(QUEUE, 5).await? {
            Some(message) => return Ok(message),
            None => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

async fn work() -> Result<(), Failure> {
    let (pool, queue) = queue().await?;
    loop {
        let job = next(&queue).await?;
        let mut transaction = pool.begin().await?;
        take_effect(&mut *transaction, job.message).await?;
        let deletes = queue.delete_with_cxn(QUEUE, job.msg_id, &mut *transaction);
        // Whoever comes too late to delete it leaves the job to the one that was quicker.
        match deletes.await? {
            true => transaction.commit().await?,
            false => transaction.rollback().await?,
        }
    }
}

async fn enqueue(job: i64) -> Result<(), Failure> {
    let (_, queue) = queue().await?;
    Ok(queue.send(QUEUE, &job).await.map(drop)?)
}

/// The table of effects, and what whoever cannot install PGMQ as an extension runs instead.
fn schema() -> String {
    let pgmq = sql_of("pgmq", "src/install/embedded/sql/pgmq.sql");
    format!("{EVERY_TIME} CREATE SCHEMA pgmq; {pgmq} SELECT pgmq.create('{QUEUE}');")
}

pub(crate) fn right_system() -> System {
    system("pgmq", &schema(), |_| work()).operations(job, enqueue)
}

#[test]
fn a_job_that_is_deleted_with_its_effect_is_done_once() {
    right_system().check();
}

#[test]
fn a_worker_that_pops_a_job_before_it_works_is_found_to_lose_it() {
    let pops = |_| async {
        let (pool, queue) = queue().await?;
        loop {
            match queue.pop(QUEUE).await? {
                Some(Message::<i64> { message, .. }) => take_effect(&pool, message).await?,
                None => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    };
    let found = system("pgmq that pops", &schema(), pops)
        .operations(job, enqueue)
        .try_check();
    let told = found.unwrap_err().to_string();
    assert!(told.contains("never took effect"), "{told}");
}
