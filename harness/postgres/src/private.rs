//! Private servers: real ones from installed binaries, for this process alone.
//!
//! They live in one folder, in memory where the machine has it, and are reached by Unix sockets in it, so
//! that they take no port. A *watcher*, a child process, stops them and removes the folder once this process
//! is gone, however it went: it waits for the end of a pipe of which this process has the other end.
//!
//! Not covered: a watcher that is killed together with its process leaves the servers and the folder behind.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::Error;
use crate::place::{At, Place};
use crate::slot::Slots;

/// What is loaded into the server's processes, see `build.rs`.
const PRELOAD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/backend.so"));

/// Where packages put servers that are not in `PATH`, in a folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The port that a server's socket is named after.
const PORT: u16 = 5432;

/// Nothing outlives the process, so nothing has to reach the disk. Whatever the server does by itself, or in
/// parallel, could be seen by a run, and is off.
const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "fsync=off",
    // Without `fsync` a flush costs next to nothing, and logical decoding sees no further than it.
    "synchronous_commit=on",
    "full_page_writes=off",
    "wal_level=logical",
    "max_replication_slots=64",
    "max_wal_senders=0",
    "max_wal_size=64MB",
    "min_wal_size=2MB",
    "checkpoint_timeout=1d",
    "autovacuum=off",
    "max_logical_replication_workers=0",
    "synchronize_seqscans=off",
    "max_parallel_workers_per_gather=0",
    "max_parallel_maintenance_workers=0",
    "jit=off",
    "track_counts=off",
    "update_process_title=off",
    "bgwriter_delay=10s",
    "wal_writer_delay=10s",
    "dynamic_shared_memory_type=mmap",
    "huge_pages=off",
    "shared_buffers=32MB",
    "max_connections=500",
    "max_locks_per_transaction=256",
    "max_prepared_transactions=64",
    "timezone=UTC",
    "log_timezone=UTC",
    "log_min_messages=fatal",
];

/// What stops everything once its standard input ends: `$1` has the binaries, `$2` is the folder.
const WATCHER: &str = r#"
cat > /dev/null
for data in "$2"/*/data; do "$1/pg_ctl" -D "$data" -m immediate -s stop; done
rm -rf "$2"
"#;

/// The folder of this process' servers, and what they have in common.
#[derive(Debug)]
struct Home {
    folder: PathBuf,
    binaries: PathBuf,
    /// The user and the group that the servers run as; `None` for those of this process.
    owner: Option<(u32, u32)>,
    /// Waits for the end of this process.
    _watcher: Child,
}

/// The folder, once there is one. A failure is not kept: a server may be installed meanwhile.
static HOME: Mutex<Option<Home>> = Mutex::new(None);

/// A server of this process.
pub(crate) struct Private {
    pub(crate) place: Place,
    pub(crate) slots: Slots,
    /// The number of the process that starts all others.
    pub(crate) postmaster: u32,
}

/// Starts one more server of this process.
pub(crate) fn start() -> Result<Private, Error> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut home = HOME.lock().unwrap_or_else(PoisonError::into_inner);
    let home = match &mut *home {
        Some(home) => home,
        none => none.insert(Home::create()?),
    };
    let folder = home
        .folder
        .join(COUNT.fetch_add(1, Ordering::Relaxed).to_string());
    home.start(&folder)
}

impl Home {
    fn create() -> Result<Self, Error> {
        let binaries = binaries().ok_or(Error::NotInstalled)?;
        let folder = create_folder().map_err(|error| Error::Start(error.to_string()))?;
        let owner = owner_of(&folder)?;
        let watcher = watch(&folder, &binaries, owner);
        let home = Home {
            _watcher: watcher.map_err(|error| Error::Start(format!("no watcher: {error}")))?,
            folder,
            binaries,
            owner,
        };
        let preload = home.folder.join("backend.so");
        fs::write(preload, PRELOAD).map_err(|error| Error::Start(error.to_string()))?;
        let pristine = home.folder.join("pristine");
        let options = "-U postgres -A trust -N -E UTF8 --locale=C --wal-segsize=1 -D";
        let mut command = home.command("initdb");
        command.args(options.split(' ')).arg(pristine);
        home.carry_out(&mut command)?;
        Ok(home)
    }

    fn start(&self, folder: &Path) -> Result<Private, Error> {
        let start = |error: io::Error| Error::Start(error.to_string());
        self.create_own(folder).map_err(start)?;
        let data = folder.join("data");
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(self.folder.join("pristine")).arg(&data);
        self.carry_out(&mut copy)?;
        let slots = folder.join("slots");
        let file = Slots::create(&slots).map_err(start)?;
        if let Some((user, group)) = self.owner {
            chown(&slots, Some(user), Some(group)).map_err(start)?;
        }
        let mut settings = format!(
            "-c unix_socket_directories={} -c port={PORT}",
            folder.display()
        );
        for setting in SETTINGS {
            settings.push_str(" -c ");
            settings.push_str(setting);
        }
        let mut command = self.command("pg_ctl");
        command.env("LD_PRELOAD", self.folder.join("backend.so"));
        command.env("STORMGLASS_SLOTS", &slots);
        command
            .arg("-D")
            .arg(&data)
            .arg("-l")
            .arg(folder.join("log"));
        command.args(["-w", "-s", "-o", &settings, "start"]);
        self.carry_out(&mut command)?;
        let place = Place {
            at: At::Socket(folder.join(format!(".s.PGSQL.{PORT}"))),
            user: "postgres".to_owned(),
            password: None,
        };
        let running = fs::read_to_string(data.join("postmaster.pid")).map_err(start)?;
        let postmaster = running.lines().next().and_then(|own| own.parse().ok());
        Ok(Private {
            place,
            slots: file,
            postmaster: postmaster.unwrap_or(0),
        })
    }

    fn create_own(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir(folder)?;
        match self.owner {
            Some((user, group)) => chown(folder, Some(user), Some(group)),
            None => Ok(()),
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command.env("LC_ALL", "C");
        command
    }

    /// Runs a program as the servers' user, until it has succeeded.
    fn carry_out(&self, command: &mut Command) -> Result<(), Error> {
        let program = command.get_program().display().to_string();
        let failed = |why: &str| {
            let why = why.lines().next().unwrap_or("no word why");
            Error::Start(format!("{program}: {why}"))
        };
        let io_failed = |error: io::Error| failed(&error.to_string());
        // A server inherits them, and whoever reads a pipe would wait for as long as it lives.
        let complaints = self.folder.join("complaints");
        let stderr = File::create(&complaints).map_err(io_failed)?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr);
        command.current_dir(&self.folder);
        as_owner(command, self.owner);
        if command.status().map_err(io_failed)?.success() {
            return Ok(());
        }
        Err(failed(&fs::read_to_string(&complaints).unwrap_or_default()))
    }
}

fn as_owner(command: &mut Command, owner: Option<(u32, u32)>) {
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
}

/// Starts the watcher, in a group of its own: a key that ends this process is not meant for it.
fn watch(folder: &Path, binaries: &Path, owner: Option<(u32, u32)>) -> io::Result<Child> {
    let mut command = Command::new("sh");
    command.args(["-c", WATCHER, "watcher"]);
    command.arg(binaries).arg(folder);
    command.stdin(Stdio::piped());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.current_dir("/").process_group(0);
    as_owner(&mut command, owner);
    command.spawn()
}

/// A new folder, which its owner alone can enter.
fn create_folder() -> io::Result<PathBuf> {
    let bases = [PathBuf::from("/dev/shm"), std::env::temp_dir()];
    let mut result = Err(io::ErrorKind::NotFound.into());
    for base in bases {
        for count in 0..1000 {
            let name = format!("stormglass-postgres-{}-{count}", std::process::id());
            let folder = base.join(name);
            result = fs::create_dir(&folder).map(|()| folder);
            match &result {
                Ok(folder) => {
                    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
                    return result;
                }
                // Left by a process of the same number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(_) => break,
            }
        }
    }
    result
}

/// A server refuses to run as root, so that root hands the folder to the package's user.
fn owner_of(folder: &Path) -> Result<Option<(u32, u32)>, Error> {
    let start = |error: io::Error| Error::Start(error.to_string());
    if fs::metadata(folder).map_err(start)?.uid() != 0 {
        return Ok(None);
    }
    let owner = user("postgres");
    let (user, group) = owner.ok_or_else(|| {
        Error::Start("root cannot run a server, and there is no user `postgres`".to_owned())
    })?;
    chown(folder, Some(user), Some(group)).map_err(start)?;
    Ok(Some((user, group)))
}

/// The folder of the newest server there is.
fn binaries() -> Option<PathBuf> {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let packaged = versions.into_iter().rev().map(|(_, folder)| folder);
    let mut folders = packaged.chain(std::env::split_paths(&path));
    folders.find(|folder| is_server(folder))
}

fn is_server(folder: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres"]
        .iter()
        .all(|program| folder.join(program).is_file())
}

/// The numbers of a user and its group.
fn user(name: &str) -> Option<(u32, u32)> {
    let id = |what: &str| -> Option<u32> {
        let output = Command::new("id").args([what, name]).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    Some((id("-u")?, id("-g")?))
}
