//! A private PostgreSQL server for one sweep, from binaries that are installed.
//!
//! It installs nothing, keeps nothing, and serves nobody else. `tests/postgres.sh` does the same for any
//! command, with the same settings.

use std::io;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where packages put servers that are not in `PATH`, in a folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Nothing outlives the sweep, so nothing has to reach the disk; autovacuum's locks would make a
/// statement's lock timeout a matter of luck.
const SETTINGS: &str = "-c autovacuum=off -c fsync=off -c synchronous_commit=off -c full_page_writes=off \
     -c max_connections=300 -c max_locks_per_transaction=256 -c listen_addresses=127.0.0.1";

/// A running server. It stops when it is dropped.
pub(super) struct Cluster {
    folder: PathBuf,
    binaries: PathBuf,
    owner: Option<(u32, u32)>,
    port: u16,
}

impl Cluster {
    /// Starts a server, or says in a few words why there is none.
    pub(super) fn start() -> Result<Self, String> {
        let binaries = binaries().ok_or("no server is installed")?;
        let folder =
            std::env::temp_dir().join(format!("stormglass-postgres-{}", std::process::id()));
        let made = std::fs::create_dir_all(&folder).and_then(|()| std::fs::metadata(&folder));
        let made = made.map_err(|error| format!("{}: {error}", folder.display()))?;
        let port = free_port().map_err(|error| format!("no free port: {error}"))?;
        let mut cluster = Cluster {
            folder,
            binaries,
            owner: None,
            port,
        };
        // A server refuses to run as root, so that root hands the folder to the package's user.
        if made.uid() == 0 {
            let owner = user("postgres")
                .ok_or("root cannot run a server, and there is no user `postgres`")?;
            let (uid, gid) = owner;
            std::os::unix::fs::chown(&cluster.folder, Some(uid), Some(gid))
                .map_err(|error| error.to_string())?;
            cluster.owner = Some(owner);
        }
        let data = cluster.data();
        cluster.carry_out(
            "initdb",
            &[
                "-D",
                &data,
                "-U",
                "stormglass",
                "-A",
                "trust",
                "-N",
                "-E",
                "UTF8",
                "--locale=C",
            ],
        )?;
        let settings = format!("{SETTINGS} -c port={port} -c unix_socket_directories=");
        let log = cluster.folder.join("server.log").display().to_string();
        cluster.carry_out(
            "pg_ctl",
            &[
                "-D", &data, "-l", &log, "-w", "-s", "-o", &settings, "start",
            ],
        )?;
        Ok(cluster)
    }

    /// Where it is reached.
    pub(super) fn address(&self) -> String {
        format!("postgres://stormglass@127.0.0.1:{}/postgres", self.port)
    }

    fn data(&self) -> String {
        self.folder.join("data").display().to_string()
    }

    fn carry_out(&self, program: &str, arguments: &[&str]) -> Result<(), String> {
        let failed =
            |why: &str| format!("{program}: {}", why.lines().next().unwrap_or("no word why"));
        let output = self
            .run(program, arguments)
            .map_err(|error| failed(&error.to_string()))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(failed(&String::from_utf8_lossy(&output.stderr))),
        }
    }

    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<Output> {
        let mut command = Command::new(self.binaries.join(program));
        command.args(arguments).current_dir(&self.folder);
        // The server inherits them, and whoever reads a pipe would wait for as long as it lives.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let complaints = self.folder.join("complaints");
        command.stderr(std::fs::File::create(&complaints)?);
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
        }
        let status = command.status()?;
        let stderr = std::fs::read(&complaints)?;
        let stdout = Vec::new();
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A server that never started cannot be stopped, and what cannot be removed is temporary.
        let _ = self.run(
            "pg_ctl",
            &["-D", &self.data(), "-m", "immediate", "-s", "stop"],
        );
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The folder of the newest server there is.
fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let packaged = versions.into_iter().rev().map(|(_, bin)| bin);
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

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
