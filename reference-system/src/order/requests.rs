//! Idempotency keys: a request that is repeated under its key is carried out once, wherever the repetition arrives.
//!
//! The key is bound in the transaction of the request's effect, so that both stand or fall together. Keys are never
//! forgotten here.

use sqlx::AnyConnection;

use crate::fingerprint::fingerprint;

use super::orders::{OrdersError, PlaceOrder, Readdress};

/// A request as far as its repetition is concerned.
pub(super) struct Request<'a> {
    key: Option<&'a str>,
    /// Tells another request under the same key.
    fingerprint: String,
}

impl<'a> Request<'a> {
    pub(super) fn placing(order: &'a PlaceOrder) -> Self {
        let numbers =
            [order.quantity, order.unit_price_cents, order.discount_cents].map(i64::to_le_bytes);
        let mut parts = vec![
            b"place",
            order.customer.as_bytes(),
            order.card.as_bytes(),
            order.address.as_bytes(),
            order.sku.as_bytes(),
            &numbers[0],
            &numbers[1],
        ];
        // A request is the same at an instance that does not know vouchers yet, where it has none.
        if order.discount_cents != 0 {
            parts.push(&numbers[2]);
        }
        Self::new(order.idempotency_key.as_deref(), parts)
    }

    pub(super) fn readdressing(order_id: &str, change: &'a Readdress) -> Self {
        let parts = [
            b"readdress",
            order_id.as_bytes(),
            change.address.as_bytes(),
            &change.version.to_le_bytes(),
        ];
        Self::new(change.idempotency_key.as_deref(), parts)
    }

    fn new<'p>(key: Option<&'a str>, parts: impl IntoIterator<Item = &'p [u8]>) -> Self {
        let fingerprint = format!("{:016x}", fingerprint(parts));
        Self { key, fingerprint }
    }
}

/// Binds the request's key to `order_id`, or gives the order that it is bound to already.
///
/// On PostgreSQL the insert waits for another transaction with the same key, so that the look-up then sees its order.
pub(super) async fn claim(
    tx: &mut AnyConnection,
    request: Request<'_>,
    order_id: &str,
) -> Result<Option<String>, OrdersError> {
    let Some(key) = request.key else {
        return Ok(None);
    };
    let claimed = sqlx::query(
        "INSERT INTO requests (idempotency_key, fingerprint, order_id) VALUES ($1, $2, $3) \
         ON CONFLICT DO NOTHING",
    )
    .bind(key)
    .bind(&request.fingerprint)
    .bind(order_id)
    .execute(&mut *tx)
    .await?;
    if claimed.rows_affected() == 1 {
        return Ok(None);
    }
    let (fingerprint, known): (String, String) =
        sqlx::query_as("SELECT fingerprint, order_id FROM requests WHERE idempotency_key = $1")
            .bind(key)
            .fetch_one(&mut *tx)
            .await?;
    if fingerprint != request.fingerprint {
        return Err(OrdersError::KeyReused);
    }
    Ok(Some(known))
}
