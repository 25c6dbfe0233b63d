//! The stage: hosts with a database in a folder of their own, and a witness that writes down what it is told.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{Connection as _, SqlitePool};
use stormglass_machine::{Ending, Machine, Settings, outside};
use stormglass_sqlite::{
    Call, CommitFault, Failure, Fate, Kind, RolledBack, Statement, StatementFault, Watch, Witness,
    keep_logs_in_memory,
};

pub(crate) const MODES: [SqliteJournalMode; 4] = [
    SqliteJournalMode::Wal,
    SqliteJournalMode::Delete,
    SqliteJournalMode::Truncate,
    SqliteJournalMode::Persist,
];

/// What the witness was told and the services have said, in order.
#[derive(Default)]
pub(crate) struct Log {
    lines: Mutex<Vec<String>>,
    began: OnceLock<SystemTime>,
}

impl Log {
    pub(crate) fn say(&self, line: impl Into<String>) {
        self.lines.lock().unwrap().push(line.into());
    }

    /// As `say`, with how much virtual time has passed.
    pub(crate) fn say_at(&self, line: &str) {
        self.say(format!("{} ms: {line}", self.now().as_millis()));
    }

    #[expect(clippy::disallowed_methods, reason = "it is that of the run")]
    fn begin(&self) {
        self.began.set(SystemTime::now()).unwrap();
    }

    pub(crate) fn now(&self) -> Duration {
        let began = self.began.get().unwrap();
        began.elapsed().unwrap()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

/// What shall become of the statements that contain a text.
type Wanted = BTreeMap<&'static str, Fate<StatementFault>>;

/// Writes down what it is told, and has its way with what it was told to.
#[derive(Default)]
pub(crate) struct Scribe {
    pub(crate) log: Arc<Log>,
    /// What is looked up after each commit.
    pub(crate) probe: Option<&'static str>,
    /// What shall become of commits, by their numbers from 1.
    pub(crate) commits: BTreeMap<usize, Fate<CommitFault>>,
    pub(crate) statements: Wanted,
    /// Whether it writes down every statement.
    pub(crate) tells_statements: bool,
    pub(crate) asked: Mutex<usize>,
}

impl Scribe {
    pub(crate) fn probing(query: &'static str) -> Self {
        Scribe {
            probe: Some(query),
            ..Scribe::default()
        }
    }

    pub(crate) fn commit(mut self, number: usize, fate: impl Into<Fate<CommitFault>>) -> Self {
        self.commits.insert(number, fate.into());
        self
    }

    pub(crate) fn statement(
        mut self,
        text: &'static str,
        fate: impl Into<Fate<StatementFault>>,
    ) -> Self {
        self.statements.insert(text, fate.into());
        self
    }

    fn note(&self, call: &Call<'_>, what: &str) {
        let file = call.file.file_name().unwrap().to_str().unwrap();
        let Call {
            host,
            connection,
            sql,
            ..
        } = call;
        self.log
            .say(format!("{host} {file}#{connection} {what} [{sql}]"));
    }
}

/// The result of a query by a connection of its own, opened, used and closed outside of the run. On a thread of its own,
/// because the current one may be that of a runtime.
pub(crate) fn look_up(file: &Path, query: &'static str) -> Result<String, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(file);
    let look = move || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = SqliteConnection::connect_with(&options).await?;
            let found = sqlx::query_scalar(query).fetch_one(&mut connection).await;
            connection.close().await?;
            found
        })
    };
    outside(|| beside(look).join().unwrap())
}

impl Witness for Scribe {
    fn statement(&self, call: &Call<'_>, statement: Statement) -> Fate<StatementFault> {
        if self.tells_statements && statement.kind != Kind::Pragma {
            let within = if statement.in_transaction {
                " within"
            } else {
                ""
            };
            self.note(call, &format!("{:?}{within}", statement.kind));
        }
        let wanted = self.statements.iter();
        let wanted = wanted.filter(|(text, _)| call.sql.contains(**text));
        wanted.map(|(_, fate)| *fate).next().unwrap_or_default()
    }

    fn committing(&self, call: &Call<'_>) -> Fate<CommitFault> {
        let mut asked = self.asked.lock().unwrap();
        *asked += 1;
        self.note(call, &format!("commits as {asked}"));
        self.commits.get(&asked).copied().unwrap_or_default()
    }

    fn committed(&self, call: &Call<'_>) {
        let seen = self.probe.map(|query| look_up(call.file, query));
        match seen {
            None => self.note(call, "committed"),
            Some(Ok(seen)) => self.note(call, &format!("committed {seen}")),
            Some(Err(error)) => self.note(call, &format!("committed {error}")),
        }
    }

    fn rolled_back(&self, call: &Call<'_>, why: RolledBack) {
        self.note(call, &format!("rolled back {why:?}"));
    }

    fn failed(&self, call: &Call<'_>, failure: &Failure<'_>) {
        self.note(
            call,
            &format!("failed {} {}", failure.code, failure.message),
        );
    }

    fn ran_full(&self, call: &Call<'_>) {
        self.note(call, "ran full");
    }

    fn waited(&self, call: &Call<'_>, time: Duration) {
        self.note(call, &format!("waited {time:?}"));
    }
}

/// What a service is given.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) folder: PathBuf,
    pub(crate) mode: SqliteJournalMode,
    pub(crate) log: Arc<Log>,
}

impl Service {
    pub(crate) fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(self.folder.join("shop.db"))
            .create_if_missing(true)
            .journal_mode(self.mode)
    }

    pub(crate) async fn pool(&self, connections: u32) -> SqlitePool {
        let options = SqlitePoolOptions::new().max_connections(connections);
        options.connect_with(self.options()).await.unwrap()
    }

    /// A pool with a table of numbers.
    pub(crate) async fn table(&self, connections: u32) -> SqlitePool {
        let pool = self.pool(connections).await;
        let table = "CREATE TABLE IF NOT EXISTS t (n INTEGER UNIQUE)";
        sqlx::query(table).execute(&pool).await.unwrap();
        pool
    }

    /// Says how something went.
    pub(crate) fn tell<T>(&self, what: &str, result: Result<T, sqlx::Error>) {
        match result {
            Ok(_) => self.log.say(format!("{what}: done")),
            Err(error) => self.log.say(format!("{what}: {}", short(&error))),
        }
    }
}

/// What SQLite says, without what sqlx puts before it.
pub(crate) fn short(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// A run over a folder of its own.
pub(crate) struct Stage {
    pub(crate) seed: u8,
    pub(crate) mode: SqliteJournalMode,
    pub(crate) scribe: Scribe,
    /// Whether its logs are kept in memory.
    pub(crate) in_memory: bool,
}

impl Stage {
    pub(crate) fn of(mode: SqliteJournalMode, scribe: Scribe) -> Self {
        Stage {
            seed: 1,
            mode,
            scribe,
            in_memory: true,
        }
    }

    /// Lets `drive` drive a run; what was told and said.
    pub(crate) fn drive(
        self,
        drive: impl FnOnce(&Machine, &Service, &Watch) + Send + 'static,
    ) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let log = self.scribe.log.clone();
        let service = Service {
            folder: folder.path().to_owned(),
            mode: self.mode,
            log: log.clone(),
        };
        let keep = || keep_logs_in_memory(folder.path()).unwrap();
        let _logs = self.in_memory.then(keep);
        let scribe = Arc::new(self.scribe);
        stormglass_machine::run(Settings::of([self.seed; 32]), move |machine| {
            service.log.begin();
            let watch = stormglass_sqlite::watch(&service.folder, scribe).unwrap();
            drive(machine, &service, &watch);
        })
        .unwrap();
        log.lines()
    }

    /// Lets one host do its work to the end.
    pub(crate) fn run<F: Future<Output = ()>>(
        self,
        work: impl FnOnce(Service) -> F + Send + 'static,
    ) -> Vec<String> {
        self.drive(move |machine, service, _| {
            let service = service.clone();
            machine.start_service("ada", &[], move || work(service));
            assert_eq!(machine.wait_for_end("ada"), Some(Ending::Returned));
        })
    }
}

/// Does `work` beside others.
#[expect(
    clippy::disallowed_methods,
    reason = "runs beside each other are what is tested"
)]
pub(crate) fn beside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    std::thread::spawn(work)
}
