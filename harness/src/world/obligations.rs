//! Obligations: what was committed and not yet published, followed while the history grows.
//!
//! Only a run's end depends on it (a run that still owes something is not quiet); the verdict is
//! the checkers' alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Announcement, Fact, What, Withholding};

/// The announcements of a run that no publication has met yet.
#[derive(Default)]
pub(crate) struct Obligations {
    /// What is owed, with its entity.
    owed: BTreeMap<String, String>,
    published: BTreeSet<String>,
    /// What its publisher has put aside, with its entity: until that is published nothing of the entity can be.
    withheld: BTreeMap<String, String>,
}

impl Obligations {
    /// Takes one more event into account, and says whether it is a publication that was owed.
    pub(crate) fn observe(&mut self, what: &What) -> bool {
        match what {
            What::Observed {
                fact: Fact::Announced(announcement),
                ..
            } if !self.published.contains(&announcement.event_id) => {
                let Announcement {
                    event_id, entity, ..
                } = announcement;
                self.owed.insert(event_id.clone(), entity.clone());
                false
            }
            What::Observed {
                fact:
                    Fact::Withheld(Withholding {
                        event_id, entity, ..
                    }),
                ..
            } => {
                self.withheld.insert(event_id.clone(), entity.clone());
                false
            }
            What::Published { message, .. } => {
                let Some(id) = message.event_id() else {
                    return false;
                };
                self.withheld.remove(id);
                self.published.insert(id.to_owned());
                self.owed.remove(id).is_some()
            }
            _ => false,
        }
    }

    /// Whether nothing is owed.
    pub(crate) fn are_met(&self) -> bool {
        self.due().next().is_none()
    }

    /// What is owed and does not wait for anything that is withheld.
    fn due(&self) -> impl Iterator<Item = (&String, &String)> {
        let waits = |id: &String, entity: &String| {
            let mut withheld = self.withheld.iter();
            withheld.any(|(own, of)| own == id || of == entity)
        };
        self.owed
            .iter()
            .filter(move |(id, entity)| !waits(id, entity))
    }

    /// Describes what is owed, or `None` if nothing is.
    pub(crate) fn outstanding(&self) -> Option<String> {
        let (id, entity) = self.due().next()?;
        Some(format!(
            "{} committed but not published, the first is {} of {}",
            self.due().count(),
            id,
            entity
        ))
    }
}
