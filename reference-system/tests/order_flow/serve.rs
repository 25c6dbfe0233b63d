//! The command: the whole shop as a process of its own, from its first line to its exit code.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reference_system::Database;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::body;
use super::system::{Http, Patience, execute};

/// What operators show.
const TOKEN: &str = "open sesame";

/// The shop, running until it is dropped.
pub(crate) struct Shop {
    process: Child,
    http: Http,
    operations: Http,
    registry: Http,
    /// Where neighbours listen, by their names.
    neighbours: BTreeMap<String, Http>,
}

impl Shop {
    /// Starts it on free ports, and waits until it listens.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let ports = ["--listen", "--operations", "--registry"];
        let ports = ports.into_iter().flat_map(|port| [port, "127.0.0.1:0"]);
        let mut process = command()
            .env("OPERATIONS_TOKEN", TOKEN)
            .args(ports)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let first_line = tokio::task::spawn_blocking(move || stdout.lines().next());
        let line = first_line.await.unwrap().unwrap().unwrap();
        let listens = line.strip_prefix("shop listens on http://").unwrap();
        let (http, others) = listens.split_once(", operations on http://").unwrap();
        let (operations, others) = others.split_once(", registry on http://").unwrap();
        let mut others = others.split(", ");
        let registry = others.next().unwrap();
        let neighbours = others.map(|own| own.split_once(" on http://").unwrap());
        let client = |address: &str| Http(address.parse::<SocketAddr>().unwrap());
        Self {
            process,
            http: client(http),
            operations: client(operations),
            registry: client(registry),
            neighbours: neighbours
                .map(|(name, address)| (name.to_owned(), client(address)))
                .collect(),
        }
    }

    /// Places an order and gives its path.
    pub(crate) async fn place(&self, body: &Value) -> String {
        self.place_with(&[], body).await
    }

    /// The same with headers.
    pub(crate) async fn place_with(&self, headers: &[(&str, &str)], body: &Value) -> String {
        let placed = self.http.post("/orders", headers, body).await;
        assert_eq!(placed.status, 202, "{}", placed.json);
        format!("/orders/{}", placed.json["order_id"].as_str().unwrap())
    }

    /// Waits until the order at this path is in `state`.
    pub(crate) async fn reaches(&self, order: &str, state: &str) {
        let reached = async || self.http.get(order).await.json["state"] == state;
        Patience::until(state, reached).await;
    }

    /// Runs a command for operators against it.
    async fn dlq(&self, arguments: &[&str]) -> Output {
        let Http(address) = self.operations;
        let url = format!("http://{address}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_reference-system"));
        command.arg("dlq").args(arguments).args(["--url", &url]);
        command.env("OPERATIONS_TOKEN", TOKEN);
        let output = tokio::task::spawn_blocking(move || command.output());
        output.await.unwrap().unwrap()
    }

    /// The same where it succeeds.
    async fn answers(&self, arguments: &[&str]) -> Value {
        let output = self.dlq(arguments).await;
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{problem}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Asks it to stop as an orchestrator does, and gives its exit code.
    pub(crate) async fn stop(mut self) -> Option<i32> {
        let kill = format!("kill -TERM {}", self.process.id());
        let killed = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(killed.success());
        for _ in 0..2000 {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never stopped");
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reference-system"));
    command.arg("serve");
    command
}

/// Runs it where it cannot start.
fn fails(arguments: &[&str]) -> Output {
    command().args(arguments).output().unwrap()
}

/// Expects an exit code, and one line on stderr with these words.
fn expect(failed: &Output, code: i32, words: &str) {
    let text = String::from_utf8(failed.stderr.clone()).unwrap();
    assert_eq!(failed.status.code(), Some(code), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains(words), "{text}");
    assert!(failed.stdout.is_empty());
}

#[tokio::test]
async fn the_shop_serves_stops_when_asked_to_and_goes_on_where_it_was() {
    let folder = TempDir::new().unwrap();
    // What an address gives a meaning to may be in a path.
    let data = folder.path().join("50% of a shop?");
    let data = ["--data", data.to_str().unwrap(), "--stock", "tea=5"];
    let shop = Shop::start(&data).await;
    let (paid, declined) = (body("tea", "visa"), body("tea", "declined"));
    let declined = shop.place(&declined).await;
    shop.reaches(&declined, "cancelled").await;
    let paid = shop.place(&paid).await;
    shop.reaches(&paid, "shipped").await;
    expect(&fails(&data), 1, "another process uses it");
    let contracts = shop.registry.get("/subjects/order.placed/versions").await;
    assert_eq!(contracts.json, json!([1, 2]));
    assert_eq!(shop.stop().await, Some(0));

    let shop = Shop::start(&data).await;
    shop.reaches(&paid, "shipped").await;
    // A voucher needs the second version of the contract.
    let mut with_voucher = body("tea", "visa");
    with_voucher["quantity"] = json!(1);
    with_voucher["discount_cents"] = json!(50);
    let with_voucher = shop.place(&with_voucher).await;
    shop.reaches(&with_voucher, "shipped").await;
    // There are two packets left at most, because nothing is put into stock again.
    let mut too_much = body("tea", "visa");
    too_much["quantity"] = json!(4);
    let too_much = shop.place(&too_much).await;
    shop.reaches(&too_much, "cancelled").await;
    assert_eq!(shop.stop().await, Some(0));
}

#[tokio::test]
async fn an_order_is_shipped_whatever_way_its_events_take() {
    for pattern in ["sync", "direct", "outbox", "cdc", "in-process"] {
        let folder = TempDir::new().unwrap();
        let data = folder.path().to_str().unwrap();
        let shop = Shop::start(&["--data", data, "--publish", pattern]).await;
        let declined = shop.place(&body("tea", "declined")).await;
        shop.reaches(&declined, "cancelled").await;
        let paid = shop.place(&body("tea", "visa")).await;
        shop.reaches(&paid, "shipped").await;
        assert_eq!(shop.stop().await, Some(0), "{pattern}");
    }
}

#[tokio::test]
async fn an_order_is_shipped_or_undone_whoever_drives_its_saga() {
    for way in ["choreographed", "orchestrated"] {
        let folder = TempDir::new().unwrap();
        let data = folder.path().to_str().unwrap();
        let shop = Shop::start(&["--data", data, "--saga", way]).await;
        let declined = shop.place(&body("tea", "declined")).await;
        shop.reaches(&declined, "cancelled").await;
        let paid = shop.place(&body("tea", "visa")).await;
        shop.reaches(&paid, "shipped").await;
        assert_eq!(shop.stop().await, Some(0), "{way}");
    }
}

/// A server that takes whatever it is sent.
async fn taker() -> (String, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let take = axum::Router::new().fallback(async move || {
        count.fetch_add(1, Ordering::Relaxed);
        axum::http::StatusCode::OK
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/take", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, take).await });
    (url, taken)
}

#[tokio::test]
async fn the_neighbours_that_are_asked_for_run_beside_the_shop() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().to_str().unwrap();
    let ((texts, texted), (partner, told)) = (taker().await, taker().await);
    let free = "127.0.0.1:0";
    let neighbours = [
        ["--data", data],
        ["--search", free],
        ["--analytics", free],
        ["--phones", free],
        ["--sms", &texts],
        ["--webhook", &partner],
        ["--webhook-secret", "whsec_plJ3nmyCDGBKInavdOK15jslMfgKwO8a"],
    ];
    let shop = Shop::start(&neighbours.concat()).await;
    let order = body("tea", "visa");
    let customer = order["customer"].as_str().unwrap();
    let phone = json!({ "phone": "+49 30 1" });
    let phones = format!("http://{}/phones/{customer}", shop.neighbours["phones"].0);
    let left = reqwest::Client::new().put(phones).json(&phone).send();
    assert_eq!(left.await.unwrap().status(), 204);
    let path = shop.place(&order).await;
    shop.reaches(&path, "shipped").await;
    let found = async || {
        let url = format!("/orders?customer={customer}");
        shop.neighbours["search"].get(&url).await.json[0]["state"] == "shipped"
    };
    Patience::until("search shows it", found).await;
    let counted = async || shop.neighbours["analytics"].get("/sales").await.json[0]["orders"] == 1;
    Patience::until("analytics counts it", counted).await;
    let told = async || told.load(Ordering::Relaxed) >= 2 && texted.load(Ordering::Relaxed) == 1;
    Patience::until("partner and customer are told", told).await;
    assert_eq!(shop.stop().await, Some(0));
}

/// Somebody has rolled out a migration ahead of the service, and takes it back.
#[tokio::test]
async fn an_order_that_fails_is_parked_looked_at_replayed_and_shipped() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().to_str().unwrap();
    let shop = Shop::start(&["--data", data]).await;
    let url = format!("sqlite://{data}/inventory.db");
    let inventory = Database::connect(&url).await.unwrap();
    let ahead = "ALTER TABLE reservations ADD COLUMN shelf TEXT CHECK (shelf IS NOT NULL)";
    execute(&inventory, ahead).await;
    let order = shop.place(&body("tea", "visa")).await;
    let parked = async || shop.answers(&["list"]).await["total"] == 1;
    Patience::until("the order is parked", parked).await;

    let groups = shop.answers(&["groups", "--consumer", "inventory"]).await;
    let group = &groups["groups"][0];
    assert_eq!(group["event_type"], "order.placed");
    assert!(group["error"].as_str().unwrap().contains("CHECK"));
    let list = shop.answers(&["list", "--type", "order.placed"]).await;
    let event = list["parked"][0]["event_id"].as_str().unwrap();
    let whole = shop.answers(&["show", "inventory", event]).await;
    assert!(whole["payload"].as_str().unwrap().contains("Mill Lane 1"));
    assert_eq!(whole["headers"]["event-id"], event);

    execute(&inventory, "ALTER TABLE reservations DROP COLUMN shelf").await;
    let who = ["--who", "ada", "--why", "the migration is taken back"];
    let replay = [&["replay", "inventory", "--error", "check"][..], &who].concat();
    let replayed = shop.answers(&replay).await;
    assert_eq!(replayed, json!({ "events": 1, "left": 0, "behind": 0 }));
    shop.reaches(&order, "shipped").await;
    assert_eq!(shop.answers(&["list"]).await["total"], 0);
    let actions = shop.answers(&["actions"]).await;
    assert_eq!(actions["actions"][0]["who"], "ada");
    assert_eq!(actions["actions"][0]["why"], "the migration is taken back");
    assert_eq!(actions["actions"][0]["action"], "replay");
    assert_eq!(actions["actions"][0]["event_id"], event);

    let output = shop.dlq(&["show", "inventory", event]).await;
    expect(&output, 1, "inventory has not parked");
    let output = shop.dlq(&["list", "--token", "wrong"]).await;
    expect(&output, 1, "show the operators' token");
}

#[test]
fn what_a_user_can_cause_is_one_line_and_an_exit_code() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let data = ["--data", data.to_str().unwrap()];
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let run = |arguments: &[&str]| fails(&[&data, arguments].concat());
    expect(&run(&["--listen", &taken]), 1, "cannot listen on");
    let free = ["--listen", "--operations", "--registry"];
    let free: Vec<&str> = free
        .into_iter()
        .flat_map(|own| [own, "127.0.0.1:0"])
        .collect();
    let nowhere = ["--nats", "nats://127.0.0.1:1"];
    expect(&run(&[&free[..], &nowhere].concat()), 1, "NATS server");
    let nowhere = ["--database", "postgres://shop@127.0.0.1:1/shop"];
    let failed = fails(&[&free[..], &nowhere].concat());
    expect(&failed, 1, "cannot use the database");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let failed = fails(&[&free[..], &["--data", file.to_str().unwrap()]].concat());
    expect(&failed, 1, "cannot use the folder");
    let partner = ["--webhook", "http://partner.example"];
    let failed = fails(&[&free[..], &data, &partner].concat());
    expect(&failed, 1, "WEBHOOK_SECRET");
    let sync = ["--publish", "sync", "--saga", "orchestrated"];
    expect(
        &fails(&[&free[..], &data, &sync].concat()),
        1,
        "need a broker",
    );
    let unrelayed = ["--publish", "direct", "--relay-rate", "10"];
    let failed = fails(&[&free[..], &data, &unrelayed].concat());
    expect(&failed, 1, "--publish outbox");
    let nothing = Command::new(env!("CARGO_BIN_EXE_reference-system")).output();
    expect(&nothing.unwrap(), 2, "requires a subcommand");
    for (wrong, words) in [
        (["--stock", "tea"], "tea=40"),
        (["--listen", "8080"], "8080"),
        (["--cards", "https://cards.example"], "http://"),
        (["--database", "mysql://shop"], "postgres://"),
        (["--relay-rate", "0"], "--relay-rate"),
        (["--colour", "blue"], "--colour"),
    ] {
        expect(&fails(&wrong), 2, words);
    }
}
