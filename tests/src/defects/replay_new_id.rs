//! `replay-new-id`: a replay is published as a new event, so that whoever has handled the event handles it again.

use async_trait::async_trait;
use reference_system::database::Database;
use reference_system::identifiers::new_id;
use reference_system::ports::Broker;
use reference_system::ports::broker::{Message, header};
use reference_system::relay::{HandOff, HandOffError, OutboxRow, mark_sent};

/// Gives a replayed event another id.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplayNewId;

#[async_trait]
impl HandOff for ReplayNewId {
    async fn hand_off(
        &self,
        database: &Database,
        broker: &dyn Broker,
        row: &OutboxRow,
    ) -> Result<(), HandOffError> {
        let mut message = row.message()?;
        if row.replays > 0 {
            rename(&mut message, &row.event_id);
        }
        broker.publish(message).await?;
        mark_sent(database, row).await?;
        Ok(())
    }
}

/// Replaces the event's id wherever the message says it.
fn rename(message: &mut Message, event_id: &str) {
    let id = new_id().to_string();
    let body = String::from_utf8_lossy(&message.payload).replace(event_id, &id);
    message.payload = body.into_bytes();
    for name in [header::EVENT_ID, header::MESSAGE_ID] {
        message.headers.insert(name.to_owned(), id.clone());
    }
}
