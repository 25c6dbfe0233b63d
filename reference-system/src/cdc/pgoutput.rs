//! Messages of `pgoutput`, the plugin of PostgreSQL's own logical replication, as far as the capture needs them.
//!
//! The format is that of the chapter "Logical Replication Message Formats" of PostgreSQL's documentation, protocol version 1.
//! Only inserted rows of one table are of interest; whatever else a publication lets through is read past.

use std::collections::BTreeMap;

use crate::relay::{OutboxRow, UNFENCED};

use super::change_log::Transaction;

/// A message that is not what the documentation says.
#[derive(Debug, thiserror::Error)]
#[error("replication message cannot be read: {0}")]
pub struct Malformed(&'static str);

/// Puts the messages of one look at a slot together as transactions.
#[derive(Default)]
pub(super) struct Decoder {
    /// The columns of the tables that the messages speak of, by the tables' ids.
    relations: BTreeMap<u32, Vec<String>>,
    /// The rows of the transaction that has begun.
    rows: Vec<OutboxRow>,
    transactions: Vec<Transaction>,
}

impl Decoder {
    /// Reads one more message.
    pub(super) fn read(&mut self, message: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader(message);
        match reader.byte()? {
            b'B' => self.rows.clear(),
            b'R' => self.relation(&mut reader)?,
            b'I' => self.insert(&mut reader)?,
            b'C' => self.commit(&mut reader)?,
            // Updates and deletes, origins, types and truncations.
            _ => {}
        }
        Ok(())
    }

    /// The transactions that were read to their end.
    pub(super) fn finish(self) -> Vec<Transaction> {
        self.transactions
    }

    fn relation(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let id = reader.u32()?;
        let (_schema, _name) = (reader.text()?, reader.text()?);
        let _replica_identity = reader.byte()?;
        let columns = (0..reader.u16()?).map(|_| {
            let _is_key = reader.byte()?;
            let name = reader.text()?.to_owned();
            let (_type, _modifier) = (reader.u32()?, reader.u32()?);
            Ok(name)
        });
        let columns = columns.collect::<Result<_, _>>()?;
        self.relations.insert(id, columns);
        Ok(())
    }

    fn insert(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let id = reader.u32()?;
        let unknown = Malformed("a row of a table that was not described");
        let columns = self.relations.get(&id).ok_or(unknown)?;
        if reader.byte()? != b'N' {
            return Err(Malformed("an inserted row without its values"));
        }
        let count = reader.u16()?;
        let names = columns.iter().take(usize::from(count));
        let values = names.map(|name| Ok((name.as_str(), reader.value()?)));
        let values = values.collect::<Result<_, _>>()?;
        self.rows.push(row(values)?);
        Ok(())
    }

    fn commit(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let _flags = reader.byte()?;
        let _commit = reader.u64()?;
        let end = reader.u64()?;
        let position = i64::try_from(end).map_err(|_| Malformed("a position out of range"))?;
        let rows = std::mem::take(&mut self.rows);
        self.transactions.push(Transaction { position, rows });
        Ok(())
    }
}

/// The outbox row with these values.
fn row(mut values: BTreeMap<&str, Option<&str>>) -> Result<OutboxRow, Malformed> {
    let mut text = |name| {
        let value = values.remove(name).flatten();
        value
            .map(str::to_owned)
            .ok_or(Malformed("a row without a column of the outbox"))
    };
    let number = |text: String| text.parse().map_err(|_| Malformed("a number that is none"));
    Ok(OutboxRow {
        position: number(text("position")?)?,
        event_id: text("event_id")?,
        topic: text("topic")?,
        partition_key: text("partition_key")?,
        headers: text("headers")?,
        payload: text("payload")?,
        replays: number(text("replays")?)?,
        fence: UNFENCED,
    })
}

/// What of a message is not read yet.
struct Reader<'m>(&'m [u8]);

impl<'m> Reader<'m> {
    fn take(&mut self, length: usize) -> Result<&'m [u8], Malformed> {
        let cut = self.0.split_at_checked(length);
        let (taken, rest) = cut.ok_or(Malformed("it ends too soon"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self
            .0
            .split_first_chunk()
            .ok_or(Malformed("it ends too soon"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// Text up to a zero byte.
    fn text(&mut self) -> Result<&'m str, Malformed> {
        let end = self.0.iter().position(|byte| *byte == 0);
        let text = self.take(end.ok_or(Malformed("a text without an end"))?)?;
        self.take(1)?;
        utf8(text)
    }

    /// The value of a column; `None` if it is NULL or, in a changed row, left out because it is large and has not changed.
    fn value(&mut self) -> Result<Option<&'m str>, Malformed> {
        match self.byte()? {
            b'n' | b'u' => Ok(None),
            b't' => {
                let length = self.u32()?;
                let length = usize::try_from(length).map_err(|_| Malformed("a value too large"))?;
                utf8(self.take(length)?).map(Some)
            }
            _ => Err(Malformed("a value that is no text")),
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed("a text that is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [&str; 8] = [
        "position",
        "event_id",
        "topic",
        "partition_key",
        "headers",
        "payload",
        "sent",
        "replays",
    ];

    fn relation(id: u32) -> Vec<u8> {
        let mut message = vec![b'R'];
        message.extend(id.to_be_bytes());
        message.extend(b"public\0outbox\0f");
        message.extend(8_u16.to_be_bytes());
        for name in COLUMNS {
            message.push(1);
            message.extend(name.as_bytes());
            message.push(0);
            message.extend([0; 8]);
        }
        message
    }

    fn insert(id: u32, values: [Option<&str>; 8]) -> Vec<u8> {
        let mut message = vec![b'I'];
        message.extend(id.to_be_bytes());
        message.push(b'N');
        message.extend(8_u16.to_be_bytes());
        for value in values {
            let Some(value) = value else {
                message.push(b'n');
                continue;
            };
            message.push(b't');
            message.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
            message.extend(value.as_bytes());
        }
        message
    }

    fn begin() -> Vec<u8> {
        [vec![b'B'], vec![0; 20]].concat()
    }

    fn commit(end: u64) -> Vec<u8> {
        let mut message = [vec![b'C'], vec![0; 9]].concat();
        message.extend(end.to_be_bytes());
        message.extend([0; 8]);
        message
    }

    fn values(position: &'static str) -> [Option<&'static str>; 8] {
        ["9", "id", "orders", "order-1", "{}", "{\"é\":1}", "0", "2"]
            .map(Some)
            .map({
                let mut first = true;
                move |value| std::mem::take(&mut first).then_some(position).or(value)
            })
    }

    #[test]
    fn rows_come_in_the_transactions_that_committed_them() {
        let mut decoder = Decoder::default();
        let messages = [
            begin(),
            relation(7),
            insert(7, values("1")),
            insert(7, values("2")),
            commit(40),
            begin(),
            vec![b'D'],
            commit(80),
            begin(),
            insert(7, values("3")),
        ];
        for message in messages {
            decoder.read(&message).unwrap();
        }
        let read = decoder.finish();
        let told: Vec<(i64, Vec<i64>)> = read
            .iter()
            .map(|own| {
                (
                    own.position,
                    own.rows.iter().map(|row| row.position).collect(),
                )
            })
            .collect();
        assert_eq!(told, [(40, vec![1, 2]), (80, vec![])]);
        let row = &read[0].rows[0];
        assert_eq!((row.payload.as_str(), row.replays), ("{\"é\":1}", 2));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        let mut missing = values("1");
        missing[1] = None;
        let cut = relation(7)[..20].to_vec();
        for wrong in [
            vec![],
            cut,
            insert(8, values("1")),
            insert(7, missing),
            insert(7, values("x")),
        ] {
            let mut decoder = Decoder::default();
            decoder.read(&relation(7)).unwrap();
            assert!(decoder.read(&wrong).is_err(), "{wrong:?}");
        }
    }
}
