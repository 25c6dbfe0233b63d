//! Published crates that run jobs over sqlx, under test as they are.

mod graphile_worker;
mod jobs;
mod pg_task;
mod pgmq;
mod repeats;
