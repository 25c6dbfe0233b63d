//! `transitive-checks-latest-only`: a new version is compared with the one before it, whatever the mode says.

use reference_system::registry::compatibility::{Mode, Schema, Scope};

/// Looks at the last version only.
#[derive(Clone, Copy, Debug)]
pub(super) struct LatestOnly;

impl Scope for LatestOnly {
    fn compared<'e>(&self, _: Mode, earlier: &'e [Schema]) -> &'e [Schema] {
        &earlier[earlier.len().saturating_sub(1)..]
    }
}
