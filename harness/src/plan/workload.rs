//! The workload: which operations reach the system, and when.
//!
//! An operation is the user's own type, kept as JSON so that a plan can be saved, printed and
//! shrunk without knowing it.

use std::fmt;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One operation of a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Virtual time in milliseconds since the start of the run.
    pub at_ms: u64,
    /// The operation as the user's type serialises.
    pub operation: Value,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>7.3} s  {}",
            self.at_ms as f64 / 1000.0,
            self.operation
        )
    }
}

/// How many operations a plan has, and over which time they are spread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// The least number of operations.
    pub operations_min: usize,
    /// The greatest number of operations.
    pub operations_max: usize,
    /// Operations begin within this time, in virtual milliseconds, pauses not counted.
    pub over_ms: u64,
    /// At some moment nothing is asked for at least so long, in virtual milliseconds.
    pub pause_ms_min: u64,
    /// And at most so long; zero for no pause at all. What the system had before a pause may be
    /// forgotten after it.
    pub pause_ms_max: u64,
}

impl Default for Load {
    fn default() -> Self {
        Load {
            operations_min: 8,
            operations_max: 20,
            over_ms: 4_000,
            pause_ms_min: 0,
            pause_ms_max: 0,
        }
    }
}

/// Workloads of operations that `operation` generates, in order of time.
pub(super) fn workload(
    load: &Load,
    operation: BoxedStrategy<Value>,
) -> BoxedStrategy<Vec<Operation>> {
    let one = (0..load.over_ms.max(1), operation)
        .prop_map(|(at_ms, operation)| Operation { at_ms, operation });
    let many = load.operations_min..=load.operations_max.max(load.operations_min);
    let operations = prop::collection::vec(one, many).prop_map(|mut operations| {
        operations.sort_by_key(|operation| operation.at_ms);
        operations
    });
    if load.pause_ms_max == 0 {
        return operations.boxed();
    }
    let pause_ms = load.pause_ms_min..=load.pause_ms_max.max(load.pause_ms_min);
    (operations, 0..load.over_ms.max(1), pause_ms)
        .prop_map(|(mut operations, from_ms, pause_ms)| {
            for operation in &mut operations {
                if operation.at_ms >= from_ms {
                    operation.at_ms += pause_ms;
                }
            }
            operations
        })
        .boxed()
}
