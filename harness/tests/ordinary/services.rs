//! Services as people write them: axum, sqlx and async-nats, and no word of who runs them.

pub(crate) mod postgres_shop;
