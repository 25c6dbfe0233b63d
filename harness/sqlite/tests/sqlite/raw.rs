//! SQLite without sqlx: on the host's own thread, as rusqlite and diesel use it.

#![expect(unsafe_code, reason = "SQLite's own interface is one of C")]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::path::Path;
use std::ptr::null_mut;
use std::sync::Arc;

use libsqlite3_sys as sqlite;
use sqlx::sqlite::SqliteJournalMode;
use stormglass_machine::{Ending, Settings, outside};
use stormglass_sqlite::{Call, CommitFault, Fate, Statement, StatementFault, Witness};

use crate::commits::seen;
use crate::stage::{Log, Scribe, Stage};

/// A connection that is closed when it is dropped.
struct Connection(*mut sqlite::sqlite3);

impl Connection {
    fn open(name: &str) -> Self {
        let name = CString::new(name).unwrap();
        let flags =
            sqlite::SQLITE_OPEN_READWRITE | sqlite::SQLITE_OPEN_CREATE | sqlite::SQLITE_OPEN_URI;
        let mut connection = null_mut();
        // SAFETY: a name that ends in a null byte, and room for the connection.
        let code = unsafe {
            sqlite::sqlite3_open_v2(name.as_ptr(), &mut connection, flags, std::ptr::null())
        };
        assert_eq!(code, sqlite::SQLITE_OK);
        Connection(connection)
    }

    /// Executes statements and tells the first column of the last row, or the extended code of the error.
    fn execute(&self, sql: &str) -> Result<Option<String>, c_int> {
        let sql = CString::new(sql).unwrap();
        let mut found: Option<String> = None;
        // SAFETY: an open connection, and a callback of the right type for its argument.
        let code = unsafe {
            let argument = (&raw mut found).cast();
            sqlite::sqlite3_exec(self.0, sql.as_ptr(), Some(row), argument, null_mut())
        };
        if code == sqlite::SQLITE_OK {
            return Ok(found);
        }
        // SAFETY: an open connection.
        Err(unsafe { sqlite::sqlite3_extended_errcode(self.0) })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: opened by `open`, with no statements left.
        unsafe { sqlite::sqlite3_close(self.0) };
    }
}

unsafe extern "C" fn row(
    found: *mut c_void,
    _: c_int,
    columns: *mut *mut c_char,
    _: *mut *mut c_char,
) -> c_int {
    // SAFETY: what `execute` has given, and a text of SQLite's.
    unsafe {
        let text = CStr::from_ptr(*columns).to_string_lossy().into_owned();
        *found.cast::<Option<String>>() = Some(text);
    }
    0
}

fn file(folder: &Path) -> String {
    folder.join("shop.db").display().to_string()
}

#[test]
fn a_connection_on_the_hosts_own_thread_is_watched() {
    let scribe = Scribe::probing("SELECT count(*) || ' rows' FROM t").commit(3, CommitFault::Lost);
    let lines = Stage::of(SqliteJournalMode::Delete, scribe).run(|service| async move {
        let connection = Connection::open(&file(&service.folder));
        let say = |result| service.log.say(format!("{result:?}"));
        say(connection.execute("CREATE TABLE t (n)"));
        say(connection.execute("INSERT INTO t VALUES (1)"));
        say(connection.execute("INSERT INTO t VALUES (2)"));
        say(connection.execute("SELECT count(*) FROM t"));
    });
    let expected = [
        "ada shop.db#1 commits [CREATE TABLE t (n)]",
        "ada shop.db#1 committed 0 rows [CREATE TABLE t (n)]",
        "Ok(None)",
        "ada shop.db#1 commits [INSERT INTO t VALUES (1)]",
        "ada shop.db#1 committed 1 rows [INSERT INTO t VALUES (1)]",
        "Ok(None)",
        "ada shop.db#1 commits [INSERT INTO t VALUES (2)]",
        "ada shop.db#1 failed 1034 disk I/O error [INSERT INTO t VALUES (2)]",
        "Err(1034)",
        "Ok(Some(\"1\"))",
    ];
    assert_eq!(seen(&lines), expected);
}

#[test]
fn the_default_vfs_is_watched_by_its_name_as_well() {
    let lines = Stage::of(SqliteJournalMode::Wal, Scribe::default()).run(|service| async move {
        let name = format!("file:{}?vfs=unix", file(&service.folder));
        Connection::open(&name)
            .execute("CREATE TABLE t (n)")
            .unwrap();
    });
    let told = [
        "ada shop.db#1 commits [CREATE TABLE t (n)]",
        "ada shop.db#1 committed [CREATE TABLE t (n)]",
    ];
    assert_eq!(seen(&lines), told);
}

unsafe extern "C" fn ignored(_: c_uint, _: *mut c_void, _: *mut c_void, _: *mut c_void) -> c_int {
    0
}

#[test]
fn commits_of_a_service_that_traces_its_statements_are_seen_without_their_text() {
    for mode in ["WAL", "DELETE"] {
        let scribe = Scribe {
            tells_statements: true,
            ..Scribe::default()
        };
        let lines = Stage::of(SqliteJournalMode::Wal, scribe).run(move |service| async move {
            let connection = Connection::open(&file(&service.folder));
            let events = sqlite::SQLITE_TRACE_STMT as c_uint;
            // SAFETY: an open connection, and a function of the right type.
            unsafe { sqlite::sqlite3_trace_v2(connection.0, events, Some(ignored), null_mut()) };
            connection.execute(&format!("PRAGMA journal_mode = {mode}; CREATE TABLE t (n)")).unwrap();
            service.log.say("begin");
            let script = "BEGIN; INSERT INTO t VALUES (1); COMMIT; BEGIN; INSERT INTO t VALUES (1); ROLLBACK";
            connection.execute(script).unwrap();
        });
        let lines = seen(&lines);
        let told = lines.iter().skip_while(|line| *line != "begin").skip(1);
        let told: Vec<_> = told.collect();
        assert_eq!(
            told,
            ["ada shop.db#1 commits []", "ada shop.db#1 committed []"],
            "{mode}"
        );
    }
}

/// Looks at the file on the thread that commits.
struct Looker(Arc<Log>);

impl Witness for Looker {
    fn statement(&self, call: &Call<'_>, _: Statement) -> Fate<StatementFault> {
        self.0.say(format!("{}: {}", call.connection, call.sql));
        Fate::default()
    }

    fn committed(&self, call: &Call<'_>) {
        let connection = Connection::open(call.file.to_str().unwrap());
        let found = connection.execute("SELECT count(*) FROM sqlite_schema");
        self.0.say(format!("{found:?}"));
    }
}

#[test]
fn what_a_witness_opens_on_its_thread_is_not_watched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let log = Arc::new(Log::default());
    let looker = Arc::new(Looker(log.clone()));
    stormglass_machine::run(Settings::of([1; 32]), move |machine| {
        let _watch = stormglass_sqlite::watch(&path, looker).unwrap();
        machine.start_service("ada", &[], move || async move {
            for sql in ["CREATE TABLE one (n)", "CREATE TABLE two (n)"] {
                Connection::open(&file(&path)).execute(sql).unwrap();
            }
        });
        assert_eq!(machine.wait_for_end("ada"), Some(Ending::Returned));
    })
    .unwrap();
    let told = [
        "1: CREATE TABLE one (n)",
        "Ok(Some(\"1\"))",
        "2: CREATE TABLE two (n)",
        "Ok(Some(\"2\"))",
    ];
    assert_eq!(log.lines(), told);
}

#[test]
fn a_connection_of_a_host_is_left_alone_outside_of_the_run() {
    let scribe = Scribe::default().statement("VALUES (1)", StatementFault::Io);
    let lines = Stage::of(SqliteJournalMode::Wal, scribe).drive(|machine, service, watch| {
        let own = service.clone();
        machine.start_service("ada", &[], move || async move {
            let connection = Connection::open(&file(&own.folder));
            connection.execute("CREATE TABLE t (n)").unwrap();
            tokio::time::sleep(std::time::Duration::from_secs(2)).await;
            own.log.say("begin");
            let insert = "INSERT INTO t VALUES (1)";
            own.log
                .say(format!("{:?}", outside(|| connection.execute(insert))));
        });
        machine.sleep(std::time::Duration::from_secs(1));
        let minute = std::time::Duration::from_secs(60);
        watch.lock("shop.db".as_ref(), minute).unwrap();
        assert_eq!(machine.wait_for_end("ada"), Some(Ending::Returned));
    });
    assert_eq!(
        lines[lines.len() - 2..],
        ["begin", "Ok(None)"],
        "{lines:#?}"
    );
}
