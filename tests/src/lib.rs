//! What the tests of the whole share: mistakes to plant, and a small system that makes none.
//!
//! Reading order: [`defects`] replaces one small step of the reference system by a mistake that
//! teams really ship; [`postings`] is a system of two dozen lines for tests that need no more. The
//! tests themselves are under `tests/`. Nothing here is part of a deployment.

pub mod defects;
pub mod pool;
pub mod postings;
