//! The client: how the library itself asks the real server, beside the services.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use stormglass_machine::outside;

use crate::backend::{Backend, refusal};
use crate::database::touched_by;
use crate::place::Place;
use crate::slot::Slots;
use crate::statement::statements;
use crate::{Error, lock, wire};

/// The values of a row, as the server writes them; `None` is null.
pub type Row = Vec<Option<String>>;

/// A connection of the library's own.
#[derive(Debug)]
pub(crate) struct Client {
    backend: Backend,
    /// The names of the statements that are prepared.
    prepared: BTreeMap<String, String>,
}

impl Client {
    /// Connects; nothing of it is observable, so that it lives in real time.
    pub(crate) fn open(place: &Place, database: &str) -> Result<Self, Error> {
        let parameters = [
            ("user", &*place.user),
            ("database", database),
            ("client_encoding", "UTF8"),
        ];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (backend, _) = Backend::open(place, &parameters)?;
        Ok(Client {
            backend,
            prepared: BTreeMap::new(),
        })
    }

    /// Carries out a script of one or more statements.
    pub(crate) fn execute(&mut self, script: &str) -> Result<(), Error> {
        let answer = self.backend.ask(wire::query(script), 1)?;
        rows(&answer).map(drop)
    }

    /// Carries out one statement, which stays prepared, and returns its rows.
    pub(crate) fn query(&mut self, sql: &str, values: &[&str]) -> Result<Vec<Row>, Error> {
        let mut request = Vec::new();
        let is_new = !self.prepared.contains_key(sql);
        let next = self.prepared.len();
        let name = self.prepared.entry(sql.to_owned());
        let name = name.or_insert_with(|| format!("s{next}"));
        if is_new {
            let mut parse = Vec::new();
            wire::put_text(&mut parse, name);
            wire::put_text(&mut parse, sql);
            parse.extend([0, 0]);
            wire::put(&mut request, b'P', &parse);
        }
        wire::put(&mut request, b'B', &bind(name, values));
        wire::put(&mut request, b'E', &[0, 0, 0, 0, 0]);
        wire::put(&mut request, b'S', &[]);
        let answer = self.backend.ask(request, 1)?;
        let rows = rows(&answer);
        if rows.is_err() && is_new {
            self.prepared.remove(sql);
        }
        rows
    }

    /// The names of the columns of a query, which is not carried out.
    pub(crate) fn columns(&mut self, sql: &str) -> Result<Vec<String>, Error> {
        let mut request = Vec::new();
        let mut parse = vec![0];
        wire::put_text(&mut parse, sql);
        parse.extend([0, 0]);
        wire::put(&mut request, b'P', &parse);
        wire::put(&mut request, b'D', b"S\0");
        wire::put(&mut request, b'S', &[]);
        let answer = self.backend.ask(request, 1)?;
        rows(&answer)?;
        let described = wire::frames(&answer).find(|own| own.tag == b'T');
        Ok(described.map_or_else(Vec::new, |own| column_names(own.body)))
    }

    /// The rows that a `COPY ... TO STDOUT` gives, as messages.
    pub(crate) fn copy_out(&mut self, sql: &str) -> Result<Vec<u8>, Error> {
        let answer = self.backend.ask(wire::query(sql), 1)?;
        rows(&answer)?;
        let data = wire::frames(&answer).filter(|own| own.tag == b'd');
        Ok(data.flat_map(|own| own.whole.iter().copied()).collect())
    }

    /// Carries out a `COPY ... FROM STDIN` with these messages.
    pub(crate) fn copy_in(&mut self, sql: &str, data: &[u8]) -> Result<(), Error> {
        let answer = self.backend.ask(wire::query(sql), 1)?;
        rows(&answer)?;
        let mut request = data.to_vec();
        wire::put(&mut request, b'c', &[]);
        let answer = self.backend.ask(request, 1)?;
        rows(&answer).map(drop)
    }

    /// Has its process come to the core of the run that has it from now on.
    pub(crate) fn come(&self) {
        stormglass_machine::bring(self.backend.process);
    }

    /// Takes leave, and waits until the real server has, too.
    pub(crate) fn close(&mut self) {
        self.backend.close();
    }
}

/// A `Bind` message with values as text, as the portal without a name.
fn bind(statement: &str, values: &[&str]) -> Vec<u8> {
    let mut body = vec![0];
    wire::put_text(&mut body, statement);
    body.extend([0, 0]);
    body.extend(
        u16::try_from(values.len())
            .unwrap_or(u16::MAX)
            .to_be_bytes(),
    );
    for value in values {
        body.extend(u32::try_from(value.len()).unwrap_or(0).to_be_bytes());
        body.extend(value.as_bytes());
    }
    body.extend([0, 0]);
    body
}

/// The rows of an answer, or the error that it has.
fn rows(answer: &[u8]) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for frame in wire::frames(answer) {
        match frame.tag {
            b'E' => return Err(refusal(frame.body)),
            b'D' => rows.push(row(frame.body)),
            _ => {}
        }
    }
    Ok(rows)
}

/// The names in a `RowDescription` message, each of which is followed by 18 bytes.
fn column_names(mut body: &[u8]) -> Vec<String> {
    let count = wire::take_u16(&mut body).unwrap_or(0);
    let name = |_| {
        let end = body.iter().position(|byte| *byte == 0)?;
        let name = String::from_utf8_lossy(&body[..end]).into_owned();
        body = body.get(end + 1 + 18..)?;
        Some(name)
    };
    (0..count).map_while(name).collect()
}

fn row(mut body: &[u8]) -> Row {
    let count = wire::take_u16(&mut body).unwrap_or(0);
    let value = |_| {
        let length = wire::take_u32(&mut body)?;
        let length = usize::try_from(length.cast_signed()).ok()?;
        let (value, rest) = body.split_at_checked(length)?;
        body = rest;
        Some(String::from_utf8_lossy(value).into_owned())
    };
    (0..count).map(value).collect()
}

/// A look at a database of the run, for probes: it takes no virtual time, and nothing of it is seen by the
/// services.
///
/// Its clock shows virtual time as that of any other connection. It may be used on any host, also by a
/// [`Witness`] that is told of a commit.
///
/// [`Witness`]: crate::Witness
#[derive(Clone, Debug)]
pub struct Observer {
    client: Arc<Mutex<Client>>,
    /// What it has left in the database.
    touched: Arc<AtomicU8>,
}

impl Observer {
    pub(crate) fn open(
        place: &Place,
        slots: Option<&Slots>,
        database: &str,
    ) -> Result<Self, Error> {
        let mut client = Client::open(place, database)?;
        if let Some(slots) = slots {
            client.backend.arm(slots, 0, 0)?;
        }
        Ok(Observer {
            client: Arc::new(Mutex::new(client)),
            touched: Arc::default(),
        })
    }

    pub(crate) fn touched(&self) -> u8 {
        self.touched.load(Ordering::SeqCst)
    }

    pub(crate) fn come(&self) {
        lock(&self.client).come();
    }

    /// Takes leave for all clones.
    pub(crate) fn close(&self) {
        outside(|| lock(&self.client).close());
    }

    /// Makes it as good as new, by doing this with it.
    pub(crate) fn renew(
        &self,
        work: impl FnOnce(&mut Client) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.touched.store(0, Ordering::SeqCst);
        work(&mut lock(&self.client))
    }

    /// The names of the columns of a query, which is not carried out.
    ///
    /// # Errors
    ///
    /// If the server does not understand the query or cannot be reached.
    pub fn columns(&self, sql: &str) -> Result<Vec<String>, Error> {
        outside(|| lock(&self.client).columns(sql))
    }

    /// Carries out one statement with the values of its parameters (`$1` and so on) as text, and returns its
    /// rows. A statement is prepared when it is asked for the first time.
    ///
    /// # Errors
    ///
    /// If the server refuses the statement or cannot be reached.
    pub fn query(&self, sql: &str, values: &[&str]) -> Result<Vec<Row>, Error> {
        let now = now_us();
        for statement in statements(sql) {
            let touched = touched_by(&statement);
            self.touched.fetch_max(touched, Ordering::SeqCst);
        }
        outside(|| {
            let client = &mut *lock(&self.client);
            client.backend.set_now(now)?;
            client.query(sql, values)
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        outside(|| self.close());
    }
}

/// The time of the current host, in microseconds since 1970.
pub(crate) fn now_us() -> i64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "on a thread of a run this is the clock of its host"
    )]
    let now = SystemTime::now();
    let now = now.duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}
