//! The schema registry over HTTP, as a client of Confluent's sees it.

use std::sync::Arc;

use reference_system::Shutdown;
use reference_system::event::catalogue::{catalogue, published_by};
use reference_system::event::registration::{Proposal, RegistrationError, proposals, register};
use reference_system::registry::{self, Registry, RegistryClient};
use reference_system::retry::Backoff;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::system::{Http, database};

/// A registry with nothing in it.
struct Fresh {
    http: Http,
    url: String,
}

impl Fresh {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let registry = Registry::new(database(registry::schema).await);
        tokio::spawn(registry.serve(listener, Shutdown::never()));
        Self {
            http: Http(address),
            url: format!("http://{address}"),
        }
    }

    /// Asks, and expects a status; gives the body.
    async fn ask(&self, method: &str, path: &str, body: Option<Value>, status: u16) -> Value {
        let answer = self.http.ask(method, path, body.as_ref()).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.json);
        let media_type = "application/vnd.schemaregistry.v1+json";
        assert_eq!(answer.header("content-type"), Some(media_type));
        answer.json
    }

    async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, None, 200).await
    }

    async fn register(&self, subject: &str, schema: &Value) -> Value {
        let path = format!("/subjects/{subject}/versions");
        self.ask("POST", &path, Some(body(schema)), 200).await
    }

    /// Expects an error.
    async fn refuses(&self, method: &str, path: &str, body: Option<Value>, code: u64) {
        let status = if code > 999 { code / 100 } else { code };
        let answer = self.ask(method, path, body, status as u16).await;
        assert_eq!(answer["error_code"], code, "{answer}");
        assert!(answer["message"].is_string());
    }
}

fn body(schema: &Value) -> Value {
    json!({ "schemaType": "JSON", "schema": schema.to_string() })
}

/// A closed object with these fields, all of them required.
fn object(fields: &[(&str, Value)]) -> Value {
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let fields: serde_json::Map<String, Value> = fields
        .iter()
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    json!({ "type": "object", "properties": fields, "required": names, "additionalProperties": false })
}

fn first() -> Value {
    object(&[("a", json!({ "type": "string" }))])
}

fn second() -> Value {
    let number = json!({ "type": "integer", "default": 0 });
    object(&[("a", json!({ "type": "string" })), ("b", number)])
}

/// Goes with the second and not with the first.
fn third() -> Value {
    let number = json!({ "type": "integer" });
    object(&[("a", json!({ "type": "string" })), ("b", number)])
}

#[tokio::test]
async fn registering_again_gives_the_same_id_and_ids_are_of_all_subjects() {
    let registry = Fresh::start().await;
    let id = registry.register("orders", &first()).await["id"].clone();
    assert_eq!(registry.register("orders", &first()).await["id"], id);
    assert_eq!(registry.register("payments", &first()).await["id"], id);
    let other = registry.register("orders", &second()).await["id"].clone();
    assert_ne!(other, id);
    assert_eq!(
        registry.get("/subjects").await,
        json!(["orders", "payments"])
    );
    assert_eq!(
        registry.get("/subjects/orders/versions").await,
        json!([1, 2])
    );
    let by_id = registry.get(&format!("/schemas/ids/{id}")).await;
    assert_eq!(by_id["schema"], first().to_string());
    let uses = registry.get(&format!("/schemas/ids/{id}/versions")).await;
    let expected =
        json!([{ "subject": "orders", "version": 1 }, { "subject": "payments", "version": 1 }]);
    assert_eq!(uses, expected);
    let latest = registry.get("/subjects/orders/versions/latest").await;
    assert_eq!((&latest["version"], &latest["id"]), (&json!(2), &other));
    assert_eq!(latest["schemaType"], "JSON");
    assert_eq!(
        registry.get("/subjects/orders/versions/1/schema").await,
        first()
    );
    let found = registry
        .ask("POST", "/subjects/orders", Some(body(&first())), 200)
        .await;
    assert_eq!(found["version"], 1);
}

#[tokio::test]
async fn what_is_missing_or_cannot_be_meant_has_its_code() {
    let registry = Fresh::start().await;
    registry.register("orders", &first()).await;
    for (path, code) in [
        ("/subjects/nobody/versions", 40401),
        ("/subjects/nobody/versions/1", 40401),
        ("/subjects/orders/versions/2", 40402),
        ("/subjects/orders/versions/0", 42202),
        ("/subjects/orders/versions/first", 42202),
        ("/schemas/ids/99", 40403),
        ("/config/orders", 40408),
    ] {
        registry.refuses("GET", path, None, code).await;
    }
    let (versions, lookup) = ("/subjects/orders/versions", "/subjects/orders");
    registry
        .refuses("POST", lookup, Some(body(&second())), 40403)
        .await;
    registry
        .refuses("POST", "/subjects/nobody", Some(body(&first())), 40401)
        .await;
    let invalid = json!({ "type": "text" });
    registry
        .refuses("POST", versions, Some(body(&invalid)), 42201)
        .await;
    let avro = json!({ "schema": first().to_string() });
    registry.refuses("POST", versions, Some(avro), 42201).await;
    let mut with_references = body(&first());
    with_references["references"] = json!([{ "name": "other", "subject": "other", "version": 1 }]);
    registry
        .refuses("POST", versions, Some(with_references), 42201)
        .await;
    registry
        .refuses("POST", versions, Some(json!({})), 422)
        .await;
    let sideward = json!({ "compatibility": "SIDEWARD" });
    registry
        .refuses("PUT", "/config", Some(sideward), 42203)
        .await;
}

#[tokio::test]
async fn the_mode_decides_what_is_let_in() {
    let registry = Fresh::start().await;
    assert_eq!(
        registry.get("/config").await,
        json!({ "compatibilityLevel": "BACKWARD" })
    );
    registry.register("orders", &first()).await;
    registry.register("orders", &second()).await;
    let versions = "/subjects/orders/versions";
    let transitive = json!({ "compatibility": "BACKWARD_TRANSITIVE" });
    let set = registry
        .ask("PUT", "/config/orders", Some(transitive.clone()), 200)
        .await;
    assert_eq!(set, transitive);
    registry
        .refuses("POST", versions, Some(body(&third())), 409)
        .await;
    let own = registry.get("/config/orders").await;
    assert_eq!(own["compatibilityLevel"], "BACKWARD_TRANSITIVE");
    let verbose = "/compatibility/subjects/orders/versions?verbose=True";
    let tried = registry
        .ask("POST", verbose, Some(body(&third())), 200)
        .await;
    assert_eq!(tried["is_compatible"], false);
    let told = tried["messages"][0].as_str().unwrap();
    assert!(
        told.starts_with("REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL"),
        "{told}"
    );
    let with_latest = "/compatibility/subjects/orders/versions/latest?verbose=False";
    let tried = registry
        .ask("POST", with_latest, Some(body(&third())), 200)
        .await;
    assert_eq!(tried, json!({ "is_compatible": true }));
    registry
        .refuses(
            "POST",
            "/compatibility/subjects/orders/versions/9",
            Some(body(&third())),
            40402,
        )
        .await;
    registry.ask("DELETE", "/config/orders", None, 200).await;
    let global = registry.get("/config/orders?defaultToGlobal=true").await;
    assert_eq!(global["compatibilityLevel"], "BACKWARD");
    registry.register("orders", &third()).await;
    let none = json!({ "compatibility": "NONE" });
    registry.ask("PUT", "/config", Some(none), 200).await;
    registry
        .register("orders", &json!({ "type": "integer" }))
        .await;
}

#[tokio::test]
async fn what_is_deleted_can_be_seen_until_it_is_deleted_for_good() {
    let registry = Fresh::start().await;
    registry.register("orders", &first()).await;
    let id = registry.register("orders", &second()).await["id"].clone();
    let delete = async |path: &str| registry.ask("DELETE", path, None, 200).await;
    registry
        .refuses(
            "DELETE",
            "/subjects/orders/versions/2?permanent=true",
            None,
            40407,
        )
        .await;
    assert_eq!(delete("/subjects/orders/versions/2").await, 2);
    registry
        .refuses("DELETE", "/subjects/orders/versions/2", None, 40406)
        .await;
    assert_eq!(registry.get("/subjects/orders/versions").await, json!([1]));
    assert_eq!(
        registry.get("/subjects/orders/versions?deleted=true").await,
        json!([1, 2])
    );
    assert_eq!(registry.register("orders", &second()).await["id"], id);
    assert_eq!(
        registry.get("/subjects/orders/versions").await,
        json!([1, 3])
    );
    assert_eq!(
        delete("/subjects/orders/versions/2?permanent=true").await,
        2
    );
    registry
        .refuses("DELETE", "/subjects/orders?permanent=true", None, 40405)
        .await;
    assert_eq!(delete("/subjects/orders").await, json!([1, 3]));
    registry
        .refuses("DELETE", "/subjects/orders", None, 40404)
        .await;
    registry
        .refuses("GET", "/subjects/orders/versions", None, 40401)
        .await;
    assert_eq!(
        registry.get("/subjects?deleted=true").await,
        json!(["orders"])
    );
    assert_eq!(
        registry.get(&format!("/schemas/ids/{id}")).await["schema"],
        second().to_string()
    );
    assert_eq!(
        delete("/subjects/orders?permanent=true").await,
        json!([1, 3])
    );
    registry
        .refuses("DELETE", "/subjects/orders", None, 40401)
        .await;
}

#[tokio::test]
async fn of_two_incompatible_versions_at_once_one_is_let_in() {
    let registry = Arc::new(Fresh::start().await);
    registry.register("orders", &first()).await;
    let number = json!({ "type": "integer", "default": 0 });
    let text = json!({ "type": "string", "default": "" });
    let proposals = [number, text].map(|b| object(&[("a", json!({ "type": "string" })), ("b", b)]));
    let asked = proposals.map(|schema| {
        let registry = registry.clone();
        tokio::spawn(async move {
            let path = "/subjects/orders/versions";
            registry
                .http
                .ask("POST", path, Some(&body(&schema)))
                .await
                .status
        })
    });
    let mut statuses = Vec::new();
    for asked in asked {
        statuses.push(asked.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    assert_eq!(
        registry.get("/subjects/orders/versions").await,
        json!([1, 2])
    );
}

#[tokio::test]
async fn a_producer_registers_its_contracts_and_is_told_what_it_must_not_publish() {
    let fresh = Fresh::start().await;
    let client = RegistryClient::new(&fresh.url);
    let (backoff, shutdown) = (Backoff::default(), Shutdown::never());
    let all: Vec<Proposal> = catalogue()
        .iter()
        .flat_map(|entry| proposals(entry, 2))
        .collect();
    for _ in 0..2 {
        register(&client, all.clone(), backoff, &shutdown)
            .await
            .unwrap();
    }
    let subjects = fresh.get("/subjects").await;
    assert_eq!(subjects.as_array().unwrap().len(), catalogue().len());
    assert_eq!(
        fresh.get("/subjects/order.placed/versions").await,
        json!([1, 2])
    );
    let mut broken = published_by("order")[0].versions[1].schema.clone();
    broken["properties"]["address"] = json!({ "type": "object" });
    let broken = Proposal {
        subject: "order.placed".to_owned(),
        version: 3,
        schema: broken,
    };
    let refused = register(&client, [broken.clone()], backoff, &shutdown).await;
    assert!(
        matches!(refused, Err(RegistrationError::Refused { version: 3, .. })),
        "{refused:?}"
    );
    let misnumbered = Proposal {
        subject: "order.new".to_owned(),
        ..broken
    };
    let refused = register(&client, [misnumbered], backoff, &shutdown).await;
    assert!(
        matches!(
            refused,
            Err(RegistrationError::OtherNumber { found: 1, .. })
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_registry_that_is_not_there_yet_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = RegistryClient::new(&format!("http://{address}"));
    let entry = &published_by("payment")[0];
    let proposed: Vec<Proposal> = proposals(entry, 1).collect();
    let registering = tokio::spawn(async move {
        register(&client, proposed, Backoff::default(), &Shutdown::never()).await
    });
    tokio::task::yield_now().await;
    let own = Registry::new(database(registry::schema).await);
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(own.serve(listener, Shutdown::never()));
    registering.await.unwrap().unwrap();
}
