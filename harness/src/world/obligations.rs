//! Obligations: what was committed and not yet published, followed while the history grows.
//!
//! Only a run's end depends on it (a run that still owes something is not quiet); the verdict is
//! the checkers' alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Announcement, Description, Fact, What, Withholding};

/// The announcements of a run that no publication has met yet.
#[derive(Default)]
pub(crate) struct Obligations {
    /// What is owed, with its entity.
    owed: BTreeMap<String, String>,
    published: BTreeSet<String>,
    /// What its publisher has put aside, with its entity: until that is published nothing of the entity can be.
    withheld: BTreeMap<String, String>,
    /// Topics where a copy says nothing of the original: a consumer has parked it.
    dead_letters: BTreeSet<String>,
}

impl Obligations {
    /// Nothing is owed yet.
    pub(crate) fn new(description: &Description) -> Self {
        let groups = description.groups.values();
        Obligations {
            dead_letters: groups
                .filter_map(|group| group.dead_letters.clone())
                .collect(),
            ..Obligations::default()
        }
    }

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
            What::Published { position, message } => {
                let Some(id) = message.event_id() else {
                    return false;
                };
                if !self.dead_letters.contains(&*position.topic) {
                    self.withheld.remove(id);
                }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::history::GroupDescription;
    use crate::message::{EVENT_ID, Message, Position};

    fn announced(id: &str) -> What {
        observed(Fact::Announced(Announcement {
            event_id: id.to_owned(),
            entity: "order-1".to_owned(),
            topic: "orders".to_owned(),
            event_type: String::new(),
            correlation_id: String::new(),
            cause_id: String::new(),
            is_root: None,
        }))
    }

    fn observed(fact: Fact) -> What {
        What::Observed {
            database: "orders".into(),
            commit: 0,
            fact,
        }
    }

    fn published(topic: &str, id: &str) -> What {
        What::Published {
            position: Position {
                topic: topic.into(),
                partition: 0,
                offset: 0,
            },
            message: Arc::new(Message::new(topic, "order-1", "").header(EVENT_ID, id)),
        }
    }

    #[test]
    fn only_the_original_lets_out_what_waits_behind_a_withheld_event() {
        let billing = GroupDescription {
            dead_letters: Some("billing.dead".to_owned()),
            ..GroupDescription::default()
        };
        let mut obligations = Obligations::new(&Description {
            groups: [("billing".to_owned(), billing)].into(),
            ..Description::default()
        });
        obligations.observe(&announced("e1"));
        obligations.observe(&observed(Fact::Withheld(Withholding {
            event_id: "e1".to_owned(),
            entity: "order-1".to_owned(),
            reason: "too large".to_owned(),
        })));
        obligations.observe(&announced("e2"));
        obligations.observe(&published("billing.dead", "e1"));
        assert!(obligations.are_met());
        obligations.observe(&published("orders", "e1"));
        assert!(!obligations.are_met(), "e2 is due");
    }
}
