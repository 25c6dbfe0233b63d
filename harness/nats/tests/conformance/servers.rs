//! The servers that programs run against, each started for one program and gone with it.
//!
//! * Under test: the one at the address in `NATS_UNDER_TEST`, or else the package's own.
//! * Real: the binary in `NATS_SERVER`, or else `nats-server` from `PATH`.
//!
//! A server at an address is shared by all programs. They take turns there, and **each begins by deleting
//! every stream**.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::oneshot;

/// How long a server may take to start.
const START: Duration = Duration::from_secs(20);

/// A server that runs, until it is dropped.
pub(crate) trait Server {
    /// Where clients find it, as `host:port`.
    fn address(&self) -> String;

    /// Ends the server and starts it again on what it had stored, at the same address. False if this is not
    /// the suite's to do.
    fn restart(&mut self) -> bool;
}

/// Which server to run a program against.
pub(crate) enum Which {
    /// Somebody else's, at this address.
    Given(String),
    /// The package's own.
    Own,
    /// A process of this binary.
    Real(PathBuf),
}

impl Which {
    /// The server under test.
    pub(crate) fn under_test() -> Self {
        match std::env::var("NATS_UNDER_TEST") {
            Ok(address) => Self::Given(address),
            Err(_) => Self::Own,
        }
    }

    /// The real server, if one is installed.
    pub(crate) fn real() -> Option<Self> {
        if let Some(binary) = std::env::var_os("NATS_SERVER") {
            return Some(Self::Real(binary.into()));
        }
        let path = std::env::var_os("PATH")?;
        let mut candidates = std::env::split_paths(&path).map(|folder| folder.join("nats-server"));
        candidates.find(|file| file.is_file()).map(Self::Real)
    }

    /// Starts the server, or takes hold of it.
    pub(crate) fn start(&self) -> Box<dyn Server> {
        match self {
            Self::Given(address) => Box::new(Given::take(address)),
            Self::Own => Box::new(Own::start()),
            Self::Real(binary) => Box::new(Process::start(binary.clone())),
        }
    }
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Given(address) => write!(f, "the server at {address}"),
            Self::Own => write!(f, "our server"),
            Self::Real(binary) => write!(f, "the real server ({})", binary.display()),
        }
    }
}

/// The package's server, on a thread of its own.
struct Own {
    server: stormglass_nats::Server,
    address: SocketAddr,
    running: Option<Running>,
}

/// A thread that serves until it is told to end.
struct Running {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Own {
    fn start() -> Self {
        let server = stormglass_nats::Server::new(Arc::new(stormglass_nats::NoWitness));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            running: Some(Running::start(server.clone(), listener)),
            server,
        }
    }

    fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.end.send(()).ok();
            // A server that has panicked shows in what the program sees.
            running.thread.join().ok();
        }
    }
}

impl Running {
    fn start(server: stormglass_nats::Server, listener: TcpListener) -> Self {
        let (end, ended) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().build().unwrap();
            runtime.block_on(async {
                listener.set_nonblocking(true).unwrap();
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    served = server.serve(listener) => served.unwrap(),
                    _ = ended => {}
                }
            });
        });
        Self { end, thread }
    }
}

impl Server for Own {
    fn address(&self) -> String {
        self.address.to_string()
    }

    fn restart(&mut self) -> bool {
        self.stop();
        let listener = TcpListener::bind(self.address).unwrap();
        self.running = Some(Running::start(self.server.clone(), listener));
        true
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A server that somebody else started; one program at a time has it.
struct Given {
    address: String,
    _turn: MutexGuard<'static, ()>,
}

impl Given {
    fn take(address: &str) -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        Self {
            address: address.to_owned(),
            _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl Server for Given {
    fn address(&self) -> String {
        self.address.clone()
    }

    fn restart(&mut self) -> bool {
        false
    }
}

/// A process of a real server, with a folder and a port of its own.
struct Process {
    binary: PathBuf,
    folder: TempDir,
    child: Child,
    address: String,
}

impl Process {
    fn start(binary: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (child, address) = spawn(&binary, &folder, "-1");
        Self {
            binary,
            folder,
            child,
            address,
        }
    }
}

/// Starts a process and waits until it has written down its address.
fn spawn(binary: &PathBuf, folder: &TempDir, port: &str) -> (Child, String) {
    let mut command = Command::new(binary);
    command.args(["-js", "-a", "127.0.0.1", "-p", port, "-sd"]);
    command.arg(folder.path().join("store"));
    command.arg("--ports_file_dir").arg(folder.path());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let since = Instant::now();
    loop {
        if let Some(address) = address_of(folder, child.id()) {
            return (child, address);
        }
        if since.elapsed() > START || child.try_wait().unwrap().is_some() {
            child.kill().ok();
            panic!("{} did not start", binary.display());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The address of process `id`, from the file in which it says on which ports it listens.
fn address_of(folder: &TempDir, id: u32) -> Option<String> {
    let files = folder.path().read_dir().unwrap();
    let suffix = format!("_{id}.ports");
    let mut names = files.map(|file| file.unwrap().path());
    let file = names.find(|path| path.to_string_lossy().ends_with(&suffix))?;
    let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    let address = ports["nats"][0].as_str()?;
    Some(address.trim_start_matches("nats://").to_owned())
}

impl Server for Process {
    fn address(&self) -> String {
        self.address.clone()
    }

    fn restart(&mut self) -> bool {
        // A server that is asked to end writes down what its consumers have delivered; a killed one may not.
        let asked = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        assert!(asked.unwrap().success());
        self.child.wait().unwrap();
        let port = self.address.rsplit(':').next().unwrap();
        self.child = spawn(&self.binary, &self.folder, port).0;
        true
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
