//! Systems of ordinary services under test: nothing in them is written for it.

mod conformance;
mod http_and_sqlite;
mod misuse;
mod postgres_shop;
mod repeats;
mod semantics;
mod services;
