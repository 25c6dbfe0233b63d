//! Systems of ordinary services under test: nothing in them is written for it.

mod postgres_shop;
