//! Where the server under test shows something else than a real one, on purpose.

/// One observation that differs.
pub(crate) struct Difference {
    /// The program, as its path within this suite: `messaging::queue::...`.
    pub(crate) program: &'static str,
    /// What a real server shows.
    pub(crate) real: &'static str,
    /// What the server under test shows instead.
    pub(crate) ours: &'static str,
    /// Why this is meant.
    pub(crate) because: &'static str,
}

/// The reason of all of them.
const JSON_TEXT: &str =
    "what is wrong with a JSON text is said by the library that reads it, in its own words";

/// All that is meant. An entry that no longer differs fails its program.
pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        program: "consumers::life::configurations_that_make_no_sense_are_refused",
        real: r#"{"ack_policy":"nonsense"}: 400 10025 invalid JSON: can not unmarshal "\"nonsense\"""#,
        ours: r#"{"ack_policy":"nonsense"}: 400 10025 invalid JSON: unknown variant `nonsense`, expected one of `none`, `all`, `explicit`"#,
        because: JSON_TEXT,
    },
    Difference {
        program: "consumers::pull_requests::requests_that_make_no_sense_are_refused",
        real: r#"{"batch":"x"}: ["400 Bad Request - json: cannot unmarshal string into Go struct field .batch of type int"]"#,
        ours: r#"{"batch":"x"}: ["400 Bad Request - invalid type: string \"x\", expected i64 at line 1 column 12"]"#,
        because: JSON_TEXT,
    },
    Difference {
        program: "streams::api::questions_that_make_no_sense",
        real: r#"STREAM.CREATE.W: {"error":{"code":400,"description":"invalid JSON: can not unmarshal \"\\\"nonsense\\\"\"","err_code":10025},"type":"io.nats.jetstream.api.v1.stream_create_response"}"#,
        ours: r#"STREAM.CREATE.W: {"error":{"code":400,"description":"invalid JSON: unknown variant `nonsense`, expected one of `limits`, `interest`, `workqueue`","err_code":10025},"type":"io.nats.jetstream.api.v1.stream_create_response"}"#,
        because: JSON_TEXT,
    },
];
