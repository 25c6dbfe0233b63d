//! Names that stand for several hosts, and processes that wake or end one another.

use std::sync::mpsc;
use std::time::Duration;

use stormglass_machine::{Ending, Machine, Settings, run, terminated};

const SECOND: Duration = Duration::from_secs(1);

fn in_a_run<T: Send + 'static>(drive: impl FnOnce(&Machine) -> T + Send + 'static) -> T {
    run(Settings::of([8; 32]), drive).unwrap()
}

#[test]
fn instances_of_a_service_take_turns() {
    let found = in_a_run(|machine| {
        let (tell, told) = mpsc::channel();
        machine.alias("orders", &["orders-1", "orders-2", "orders-3"]);
        machine.start_service("client", &[], move || async move {
            for name in ["orders:1", "orders:1", "orders-2:1", "orders:1", "orders:1"] {
                let found = tokio::net::lookup_host(name).await.unwrap();
                let names = found.map(|address| {
                    let name = stormglass_machine::host_of(address.ip()).unwrap();
                    name.trim_start_matches("orders-").to_owned()
                });
                tell.send(names.collect::<Vec<_>>().concat()).unwrap();
            }
        });
        machine.wait_for_end("client");
        told.iter().collect::<Vec<_>>()
    });
    assert_eq!(found, ["123", "231", "2", "312", "123"]);
}

#[test]
fn whoever_connects_goes_on_to_the_next_instance() {
    in_a_run(|machine| {
        machine.alias("orders", &["orders-1", "orders-2"]);
        machine.start("orders-2", &[], || {
            let listener = std::net::TcpListener::bind("0.0.0.0:7").unwrap();
            let _ = listener.accept().unwrap();
            let _ = listener.accept().unwrap();
        });
        machine.sleep(SECOND);
        machine.start("client", &[], || {
            for _ in 0..2 {
                std::net::TcpStream::connect("orders:7").unwrap();
            }
        });
        assert_eq!(machine.wait_for_end("client"), Some(Ending::Returned));
        assert_eq!(machine.wait_for_end("orders-2"), Some(Ending::Returned));
    });
}

#[test]
fn a_process_that_listens_is_asked_to_end() {
    in_a_run(|machine| {
        machine.start_service("graceful", &[], || async {
            terminated().await;
            tokio::time::sleep(SECOND).await;
        });
        machine.start_service("deaf", &[], std::future::pending::<()>);
        machine.sleep(SECOND);
        assert!(machine.terminate("graceful"));
        assert_eq!(machine.ending("graceful"), None);
        assert!(!machine.terminate("deaf"));
        assert_eq!(machine.ending("deaf"), Some(Ending::Killed));
        assert!(machine.wait_for_bell(10 * SECOND));
        assert_eq!(machine.now(), SECOND);
        assert!(machine.wait_for_bell(10 * SECOND));
        assert_eq!(machine.now(), 2 * SECOND);
        assert_eq!(machine.ending("graceful"), Some(Ending::Returned));
        assert!(!machine.terminate("graceful"));
        // The next process has not been asked.
        machine.start_service("graceful", &[], || async { terminated().await });
        assert!(!machine.wait_for_bell(20 * SECOND));
        machine.terminate("graceful");
        assert_eq!(machine.wait_for_end("graceful"), Some(Ending::Returned));
    });
}

#[test]
fn every_task_of_a_process_may_wait_for_its_end_on_any_runtime() {
    in_a_run(|machine| {
        machine.start("own", &[], || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(2).enable_all().build().unwrap();
            let tasks: Vec<_> = (0..3).map(|_| runtime.spawn(terminated())).collect();
            runtime.block_on(async {
                for task in tasks {
                    task.await.unwrap();
                }
            });
        });
        machine.sleep(SECOND);
        assert!(machine.terminate("own"));
        assert_eq!(machine.wait_for_end("own"), Some(Ending::Returned));
        assert_eq!(machine.now(), SECOND);
    });
}

#[test]
fn the_driver_hands_work_to_a_host_through_a_channel() {
    let (tell, told) = mpsc::channel();
    in_a_run(move |machine| {
        let (work, mut more) = tokio::sync::mpsc::unbounded_channel();
        // Their descriptors have numbers of their own, so that it is the right one that is woken.
        machine.start_service("other", &[], std::future::pending::<()>);
        machine.start_service("worker", &[], move || async move {
            while let Some(number) = more.recv().await {
                let at = stormglass_machine::elapsed().unwrap();
                tell.send((number, at)).unwrap();
            }
        });
        for number in 0..3 {
            machine.sleep(SECOND);
            work.send(number).unwrap();
        }
        machine.sleep(SECOND);
        drop(work);
        assert_eq!(machine.wait_for_end("worker"), Some(Ending::Returned));
    });
    let expected = [1, 2, 3].map(|second: u32| (second - 1, second * SECOND));
    assert_eq!(told.iter().collect::<Vec<_>>(), expected);
}
