//! What whoever drives a run is told of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, SystemTime};

use stormglass_machine::{
    Affected, Ending, Machine, RunError, Settings, Usage, elapsed, host, host_of, run,
};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

const SECOND: Duration = Duration::from_secs(1);

fn in_a_run<T: Send + 'static>(drive: impl FnOnce(&Machine) -> T + Send + 'static) -> T {
    run(Settings::of([9; 32]), drive).unwrap()
}

/// Takes one connection after another, and says from which host each comes.
async fn greet(tell: mpsc::Sender<(SocketAddr, String)>) {
    let listener = TcpListener::bind("0.0.0.0:7").await.unwrap();
    loop {
        let (stream, peer) = listener.accept().await.unwrap();
        let name = host_of(peer.ip()).map_or("nobody".to_owned(), |name| name.to_string());
        tell.send((peer, name)).unwrap();
        drop(stream);
    }
}

async fn connect() {
    let mut stream = TcpStream::connect("server:7").await.unwrap();
    let _ = stream.read_u8().await;
}

#[test]
fn code_knows_where_and_when_it_runs() {
    assert_eq!((host(), elapsed()), (None, None));
    let (tell, told) = mpsc::channel();
    in_a_run(move |machine| {
        assert_eq!((host(), elapsed()), (None, Some(Duration::ZERO)));
        machine.sleep(SECOND);
        for name in ["one", "two"] {
            let tell = tell.clone();
            machine.start(name, &[], move || {
                let helper = std::thread::spawn(|| (host(), elapsed()));
                let seen = (host(), elapsed());
                assert_eq!(helper.join().unwrap(), seen);
                let outside = stormglass_machine::outside(|| (host(), elapsed()));
                assert_eq!(outside, (None, None));
                tell.send(seen).unwrap();
            });
            assert_eq!(machine.wait_for_end(name), Some(Ending::Returned));
        }
    });
    let told: Vec<_> = told.iter().collect();
    let expected = ["one", "two"].map(|name| (Some(name.into()), Some(SECOND)));
    assert_eq!(told, expected);
}

#[test]
fn a_server_knows_its_peers_by_name_also_after_they_were_started_again() {
    let (tell, told) = mpsc::channel();
    in_a_run(move |machine| {
        assert_eq!(host_of(IpAddr::from([192, 168, 0, 1])), None);
        machine.start_service("server", &[], move || greet(tell));
        machine.sleep(SECOND);
        for name in ["one", "two", "one"] {
            machine.start_service(name, &[], connect);
            machine.wait_for_end(name);
        }
        machine.kill("server");
        assert_eq!(
            host_of(IpAddr::from([192, 168, 0, 1])).as_deref(),
            Some("server")
        );
    });
    let told: Vec<_> = told.iter().collect();
    let names: Vec<&str> = told.iter().map(|(_, name)| &**name).collect();
    assert_eq!(names, ["one", "two", "one"]);
    assert_eq!(told[0].0.ip(), told[2].0.ip());
}

#[test]
fn a_host_finds_itself_behind_its_own_addresses() {
    in_a_run(|machine| {
        machine.start("own", &[], || {
            assert_eq!(
                host_of(IpAddr::from([127, 0, 0, 1])).as_deref(),
                Some("own")
            );
            let listener = std::net::TcpListener::bind("0.0.0.0:7").unwrap();
            let _stream = std::net::TcpStream::connect("own:7").unwrap();
            let peer = listener.accept().unwrap().1;
            assert_eq!(host_of(peer.ip()).as_deref(), Some("own"));
        });
        assert_eq!(machine.wait_for_end("own"), Some(Ending::Returned));
    });
}

#[test]
fn who_has_looked_at_the_system_clock_is_known() {
    in_a_run(|machine| {
        machine.start("blind", &[], || {
            let began = std::time::Instant::now();
            std::thread::sleep(SECOND);
            assert_eq!(began.elapsed(), SECOND);
        });
        machine.start("reader", &[], || {
            let _ = SystemTime::now();
        });
        machine.wait_for_end("blind");
        machine.start("reader", &[], || ());
        machine.wait_for_end("reader");
        assert!(!machine.has_read_clock("blind"));
        assert!(machine.has_read_clock("reader"));
        assert_eq!(machine.clock_reads("reader"), 1);
    });
}

#[test]
fn what_a_process_uses_is_counted() {
    let usage = |machine: &Machine| machine.usage("server").unwrap();
    in_a_run(move |machine| {
        assert_eq!(machine.usage("server"), None);
        machine.start("server", &[], || {
            let listener = std::net::TcpListener::bind("0.0.0.0:7").unwrap();
            let other = listener.try_clone().unwrap();
            let waiting = std::thread::spawn(move || drop(other.accept()));
            waiting.join().unwrap();
            std::thread::sleep(SECOND);
        });
        machine.sleep(SECOND);
        let expected = |threads, descriptors| Usage {
            threads,
            descriptors,
        };
        assert_eq!(usage(machine), expected(2, 2));
        machine.start_service("client", &[], connect);
        machine.sleep(SECOND / 2);
        assert_eq!(usage(machine), expected(1, 1));
        machine.kill("server");
        assert_eq!(usage(machine).threads, 0);
    });
}

#[test]
fn the_driver_hears_a_host_through_a_channel_at_that_very_moment() {
    in_a_run(|machine| {
        let (tell, told) = mpsc::channel();
        machine.start("host", &[], move || {
            std::thread::sleep(SECOND);
            tell.send(elapsed()).unwrap();
            std::thread::sleep(SECOND);
        });
        let early = told.recv_timeout(SECOND / 2);
        assert_eq!(early, Err(RecvTimeoutError::Timeout));
        assert_eq!(machine.now(), SECOND / 2);
        assert_eq!(told.recv_timeout(SECOND), Ok(Some(SECOND)));
        assert_eq!(machine.now(), SECOND);
        let over = told.recv_timeout(10 * SECOND);
        assert_eq!(over, Err(RecvTimeoutError::Disconnected));
        assert_eq!(machine.now(), 2 * SECOND);
    });
}

#[test]
fn a_bell_ends_the_wait_of_the_driver() {
    in_a_run(|machine| {
        let bell = machine.bell();
        machine.start("host", &[], move || {
            std::thread::sleep(SECOND);
            bell.ring();
            std::thread::sleep(SECOND);
            bell.ring();
            bell.ring();
        });
        assert!(!machine.wait_for_bell(SECOND / 2));
        assert_eq!(machine.now(), SECOND / 2);
        assert!(machine.wait_for_bell(10 * SECOND));
        assert_eq!(machine.now(), SECOND);
        // Somebody who does not listen hears it later, once.
        machine.sleep(2 * SECOND);
        assert!(machine.wait_for_bell(10 * SECOND));
        assert_eq!(machine.now(), 3 * SECOND);
        assert!(!machine.wait_for_bell(10 * SECOND));
        assert_eq!(machine.now(), 10 * SECOND);
    });
}

#[test]
fn a_fault_of_a_link_is_known_to_have_had_an_effect() {
    in_a_run(|machine| {
        let (tell, _told) = mpsc::channel();
        machine.start_service("server", &[], move || greet(tell));
        machine.start_service("idle", &[], std::future::pending::<()>);
        machine.sleep(SECOND);
        assert!(machine.traffic().is_empty());
        machine.cut("idle", "server");
        machine.cut("client", "server");
        machine.start_service("client", &[], connect);
        assert!(machine.wait_for_bell(10 * SECOND));
        assert_eq!(machine.now(), SECOND);
        let held = ("client".into(), "server".into(), Affected::Held);
        assert_eq!(machine.take_affected(), [held]);
        assert!(!machine.wait_for_bell(5 * SECOND));
        assert_eq!(machine.take_affected(), []);
        machine.heal();
        machine.slow_down("server", "client", SECOND);
        assert!(machine.wait_for_bell(10 * SECOND));
        let slowed = ("server".into(), "client".into(), Affected::Slowed);
        assert_eq!(machine.take_affected(), [slowed]);
        machine.wait_for_end("client");
        let traffic = machine.traffic();
        let way = |from: &str, to: &str| traffic[&(from.into(), to.into())];
        assert_eq!(traffic.len(), 2, "{traffic:?}");
        assert_eq!(way("client", "server").held, 1);
        assert!(way("client", "server").packets > 1);
        let back = way("server", "client");
        assert_eq!((back.held, back.slowed), (0, back.packets));
    });
}

#[test]
fn a_driver_that_waits_in_vain_is_named() {
    let settings = Settings {
        patience: SECOND,
        ..Settings::of([9; 32])
    };
    let result = run(settings, |_| {
        let (_tell, told) = mpsc::channel::<()>();
        let _ = told.recv();
    });
    assert!(
        matches!(&result, Err(RunError::Blocked { host, .. }) if host == "driver"),
        "{result:?}"
    );
}

#[test]
fn a_process_that_was_stopped_is_not_blocked() {
    const IS_CHILD: &str = "STORMGLASS_MACHINE_TEST_STOPPED";
    if std::env::var(IS_CHILD).is_ok() {
        let settings = Settings {
            patience: 2 * SECOND,
            ..Settings::of([9; 32])
        };
        let work = || (0..6).for_each(|_| std::thread::sleep(SECOND / 10));
        return run(settings, move |_| stormglass_machine::outside(work)).unwrap();
    }
    let name = "driving::a_process_that_was_stopped_is_not_blocked";
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let mut child = child
        .args(["--exact", name])
        .env(IS_CHILD, "1")
        .spawn()
        .unwrap();
    let id = rustix::process::Pid::from_child(&child);
    let signal = |signal| rustix::process::kill_process(id, signal).unwrap();
    std::thread::sleep(SECOND * 3 / 10);
    signal(rustix::process::Signal::STOP);
    std::thread::sleep(3 * SECOND);
    signal(rustix::process::Signal::CONT);
    assert!(child.wait().unwrap().success());
}

#[test]
fn all_threads_of_a_run_stay_on_one_core_and_of_two_runs_on_two() {
    const IS_CHILD: &str = "STORMGLASS_MACHINE_TEST_CORES";
    if std::env::var(IS_CHILD).is_ok() {
        return on_cores_of_their_own();
    }
    // Runs of other tests may have taken every core of this process.
    let name = "driving::all_threads_of_a_run_stay_on_one_core_and_of_two_runs_on_two";
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let child = child.args(["--exact", name]).env(IS_CHILD, "1");
    assert!(child.status().unwrap().success());
}

fn on_cores_of_their_own() {
    let all = cores_of_this_thread();
    if all.len() < 2 {
        return;
    }
    let first = in_a_run(|_| {
        let threads = cores_of_threads();
        // The core of the run around it is taken.
        let other = stormglass_machine::outside(|| in_a_run(|_| cores_of_threads()));
        (threads, other)
    });
    let (one, other) = first;
    for threads in [&one, &other] {
        assert_eq!(threads[0].len(), 1, "{threads:?} of {all:?}");
        assert_eq!(threads[0], threads[1]);
        assert!(all.contains(&threads[0][0]));
    }
    assert_ne!(one[0], other[0]);
    assert_eq!(cores_of_this_thread(), all);
    let (own, brought) = in_a_run(move |_| {
        stormglass_machine::outside(|| {
            let mut other = std::process::Command::new("sleep");
            let mut other = other.arg("60").spawn().unwrap();
            // Whoever has everybody's cores is not where it would have been anyway.
            let id = rustix::process::Pid::from_child(&other);
            let mut everywhere = rustix::thread::CpuSet::new();
            all.iter().for_each(|core| everywhere.set(*core));
            rustix::thread::sched_setaffinity(Some(id), &everywhere).unwrap();
            stormglass_machine::bring(other.id());
            let brought = cores_of(Some(id));
            other.kill().unwrap();
            other.wait().unwrap();
            (cores_of_this_thread(), brought)
        })
    });
    assert_eq!((own.len(), &brought), (1, &own));
}

/// The cores of the current thread of a run, and of one that it starts.
fn cores_of_threads() -> [Vec<usize>; 2] {
    let look = || stormglass_machine::outside(cores_of_this_thread);
    [look(), std::thread::spawn(look).join().unwrap()]
}

/// The cores that the current thread may be on.
fn cores_of_this_thread() -> Vec<usize> {
    cores_of(None)
}

fn cores_of(process: Option<rustix::process::Pid>) -> Vec<usize> {
    let set = rustix::thread::sched_getaffinity(process).unwrap();
    let most = rustix::thread::CpuSet::MAX_CPU;
    (0..most).filter(|core| set.is_set(*core)).collect()
}
