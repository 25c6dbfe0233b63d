//! The registry's HTTP interface: paths, parameters and bodies as Confluent's clients send and expect them
//! (Confluent, "Schema Registry API Reference").

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::compatibility::{Mode, Schema};
use super::problem::Problem;
use super::subjects::{Deleted, Subjects, Version, Which};

/// What every answer is.
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.schemaregistry.v1+json");
/// The only type of schemas.
const JSON: &str = "JSON";

type Answer = Result<Json<Value>, Problem>;

/// The routes.
pub(super) fn router(subjects: Subjects) -> Router {
    Router::new()
        .route("/schemas/types", get(async || Json(json!([JSON]))))
        .route("/schemas/ids/{id}", get(by_id))
        .route("/schemas/ids/{id}/schema", get(text_by_id))
        .route("/schemas/ids/{id}/versions", get(uses))
        .route("/subjects", get(names))
        .route("/subjects/{subject}", post(look_up).delete(delete))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route(
            "/subjects/{subject}/versions/{version}",
            get(version).delete(delete_version),
        )
        .route("/subjects/{subject}/versions/{version}/schema", get(text))
        .route("/compatibility/subjects/{subject}/versions", post(try_all))
        .route(
            "/compatibility/subjects/{subject}/versions/{version}",
            post(try_one),
        )
        .route("/config", get(global_config).put(set_global_config))
        .route(
            "/config/{subject}",
            get(config).put(set_config).delete(unset_config),
        )
        .layer(axum::middleware::map_response(with_media_type))
        .with_state(subjects)
}

async fn with_media_type(mut response: Response) -> Response {
    response.headers_mut().insert(CONTENT_TYPE, MEDIA_TYPE);
    response
}

/// The body of a request with a schema.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaBody {
    schema: String,
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<Value>,
}

/// The body of a request with a mode.
#[derive(Deserialize)]
struct ModeBody {
    compatibility: String,
}

/// Parameters; each request looks at its own.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Flags {
    #[serde(deserialize_with = "flag")]
    deleted: bool,
    #[serde(deserialize_with = "flag")]
    permanent: bool,
    #[serde(deserialize_with = "flag")]
    verbose: bool,
    #[serde(deserialize_with = "flag")]
    default_to_global: bool,
}

/// Clients write truth as their languages do, such as `True`; whatever else they write is false.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(String::deserialize(deserializer)?.eq_ignore_ascii_case("true"))
}

impl Flags {
    fn deleted(&self) -> Deleted {
        match self.deleted {
            true => Deleted::Shown,
            false => Deleted::Hidden,
        }
    }
}

/// The body, or what is wrong with it.
fn read<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, Problem> {
    let read = body.map_err(|rejection| Problem::Unreadable(rejection.body_text()));
    read.map(|Json(body)| body)
}

fn schema(body: Result<Json<SchemaBody>, JsonRejection>) -> Result<Schema, Problem> {
    let body = read(body)?;
    // Whoever names no type means Avro.
    let schema_type = body.schema_type.as_deref().unwrap_or("AVRO");
    if schema_type != JSON {
        let problem = format!("schemas of the type {schema_type} are not kept here");
        return Err(Problem::InvalidSchema(problem));
    }
    if !body.references.is_empty() {
        let problem = "references to other schemas are not followed".to_owned();
        return Err(Problem::InvalidSchema(problem));
    }
    Ok(Schema::parse(&body.schema)?)
}

fn which(text: &str) -> Result<Which, Problem> {
    let invalid = || Problem::InvalidVersion(text.to_owned());
    match text {
        "latest" | "-1" => Ok(Which::Latest),
        number => match number.parse() {
            Ok(number @ 1..=2_147_483_647) => Ok(Which::Number(number)),
            _ => Err(invalid()),
        },
    }
}

fn told(version: &Version) -> Value {
    json!({
        "subject": version.subject,
        "version": version.version,
        "id": version.id,
        "schemaType": JSON,
        "schema": version.text,
    })
}

fn numbers(versions: &[Version]) -> Json<Value> {
    Json(versions.iter().map(|own| own.version).collect())
}

/// A schema as it is, not within an answer.
fn as_it_is(text: &str) -> Json<Value> {
    Json(serde_json::from_str(text).unwrap_or_default())
}

async fn by_id(State(subjects): State<Subjects>, Path(id): Path<i64>) -> Answer {
    let text = subjects.by_id(id).await?;
    Ok(Json(json!({ "schemaType": JSON, "schema": text })))
}

async fn text_by_id(State(subjects): State<Subjects>, Path(id): Path<i64>) -> Answer {
    Ok(as_it_is(&subjects.by_id(id).await?))
}

async fn uses(State(subjects): State<Subjects>, Path(id): Path<i64>) -> Answer {
    let uses = subjects.uses_of(id).await?;
    let told = |own: &Version| json!({ "subject": own.subject, "version": own.version });
    Ok(Json(uses.iter().map(told).collect()))
}

async fn names(State(subjects): State<Subjects>, Query(flags): Query<Flags>) -> Answer {
    Ok(Json(subjects.names(flags.deleted()).await?.into()))
}

async fn versions(
    State(subjects): State<Subjects>,
    Path(subject): Path<String>,
    Query(flags): Query<Flags>,
) -> Answer {
    Ok(numbers(
        &subjects.versions(&subject, flags.deleted()).await?,
    ))
}

async fn version(
    State(subjects): State<Subjects>,
    Path((subject, version)): Path<(String, String)>,
    Query(flags): Query<Flags>,
) -> Answer {
    let found = subjects.version(&subject, which(&version)?, flags.deleted());
    Ok(Json(told(&found.await?)))
}

async fn text(
    State(subjects): State<Subjects>,
    Path((subject, version)): Path<(String, String)>,
    Query(flags): Query<Flags>,
) -> Answer {
    let found = subjects.version(&subject, which(&version)?, flags.deleted());
    Ok(as_it_is(&found.await?.text))
}

async fn look_up(
    State(subjects): State<Subjects>,
    Path(subject): Path<String>,
    Query(flags): Query<Flags>,
    body: Result<Json<SchemaBody>, JsonRejection>,
) -> Answer {
    let schema = schema(body)?;
    let found = subjects.look_up(&subject, &schema, flags.deleted());
    Ok(Json(told(&found.await?)))
}

async fn register(
    State(subjects): State<Subjects>,
    Path(subject): Path<String>,
    body: Result<Json<SchemaBody>, JsonRejection>,
) -> Answer {
    let id = subjects.register(&subject, &schema(body)?).await?;
    Ok(Json(json!({ "id": id })))
}

async fn try_all(
    State(subjects): State<Subjects>,
    Path(subject): Path<String>,
    Query(flags): Query<Flags>,
    body: Result<Json<SchemaBody>, JsonRejection>,
) -> Answer {
    tried(&subjects, &subject, None, &flags, schema(body)?).await
}

async fn try_one(
    State(subjects): State<Subjects>,
    Path((subject, version)): Path<(String, String)>,
    Query(flags): Query<Flags>,
    body: Result<Json<SchemaBody>, JsonRejection>,
) -> Answer {
    let which = Some(which(&version)?);
    tried(&subjects, &subject, which, &flags, schema(body)?).await
}

async fn tried(
    subjects: &Subjects,
    subject: &str,
    which: Option<Which>,
    flags: &Flags,
    schema: Schema,
) -> Answer {
    let differences = subjects.try_out(subject, &schema, which).await?;
    let mut answer = json!({ "is_compatible": differences.is_empty() });
    if flags.verbose {
        let messages: Vec<String> = differences.iter().map(ToString::to_string).collect();
        answer["messages"] = messages.into();
    }
    Ok(Json(answer))
}

async fn delete(
    State(subjects): State<Subjects>,
    Path(subject): Path<String>,
    Query(flags): Query<Flags>,
) -> Answer {
    let deleted = match flags.permanent {
        true => subjects.delete_for_good(&subject).await?,
        false => subjects.delete(&subject).await?,
    };
    Ok(Json(deleted.into()))
}

async fn delete_version(
    State(subjects): State<Subjects>,
    Path((subject, version)): Path<(String, String)>,
    Query(flags): Query<Flags>,
) -> Answer {
    let which = which(&version)?;
    let deleted = match flags.permanent {
        true => subjects.delete_version_for_good(&subject, which).await?,
        false => subjects.delete_version(&subject, which).await?,
    };
    Ok(Json(deleted.into()))
}

fn level(mode: Mode) -> Json<Value> {
    Json(json!({ "compatibilityLevel": mode.to_string() }))
}

async fn global_config(State(subjects): State<Subjects>) -> Answer {
    Ok(level(subjects.global_mode().await?))
}

async fn set_global_config(
    State(subjects): State<Subjects>,
    body: Result<Json<ModeBody>, JsonRejection>,
) -> Answer {
    set(&subjects, None, body).await
}

async fn config(
    State(subjects): State<Subjects>,
    Path(subject): Path<String>,
    Query(flags): Query<Flags>,
) -> Answer {
    match subjects.own_mode(&subject).await? {
        Some(mode) => Ok(level(mode)),
        None if flags.default_to_global => Ok(level(subjects.global_mode().await?)),
        None => Err(Problem::NoConfiguration(subject)),
    }
}

async fn set_config(
    State(subjects): State<Subjects>,
    Path(subject): Path<String>,
    body: Result<Json<ModeBody>, JsonRejection>,
) -> Answer {
    set(&subjects, Some(&subject), body).await
}

async fn set(
    subjects: &Subjects,
    subject: Option<&str>,
    body: Result<Json<ModeBody>, JsonRejection>,
) -> Answer {
    let mode: Mode = read(body)?.compatibility.parse()?;
    subjects.set_mode(subject, mode).await?;
    Ok(Json(json!({ "compatibility": mode.to_string() })))
}

async fn unset_config(State(subjects): State<Subjects>, Path(subject): Path<String>) -> Answer {
    Ok(level(subjects.unset_mode(&subject).await?))
}
