//! Core subscriptions: who gets a message that was published to a subject.
//!
//! Subscriptions stand in a tree of tokens. What a message reaches is ordered by when the subscriptions were
//! made, and of a queue group it reaches the member that has waited longest, so that it follows from the
//! state alone.

use std::collections::BTreeMap;

use super::ConnectionId;

/// The number of a subscription, in the order in which they were made.
pub(crate) type SubscriptionId = u64;

/// One subscription.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// Whose it is.
    pub(crate) connection: ConnectionId,
    /// The client's own name of it.
    pub(crate) sid: String,
    /// The pattern of subjects.
    pub(crate) subject: String,
    /// The group of which only one member gets each message.
    queue: Option<String>,
    /// How many messages it got.
    received: u64,
    /// After how many messages it ends.
    max: Option<u64>,
    /// When it was last chosen from its group, as a count of choices.
    chosen: u64,
}

#[derive(Debug, Default)]
struct Node {
    /// The children by token, `*` and `>` among them.
    children: BTreeMap<Box<str>, Node>,
    /// The subscriptions whose pattern ends here.
    here: Vec<SubscriptionId>,
}

/// All core subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Router {
    root: Node,
    subscriptions: BTreeMap<SubscriptionId, Subscription>,
    by_client: BTreeMap<(ConnectionId, String), SubscriptionId>,
    last: SubscriptionId,
    choices: u64,
}

impl Router {
    /// Adds a subscription. Returns whether it is new: a client that says the same twice means it once.
    pub(crate) fn subscribe(
        &mut self,
        connection: ConnectionId,
        sid: &str,
        subject: &str,
        queue: Option<String>,
    ) -> bool {
        let key = (connection, sid.to_owned());
        if self.by_client.contains_key(&key) {
            return false;
        }
        self.last += 1;
        let id = self.last;
        let mut node = &mut self.root;
        for token in subject.split('.') {
            node = node.children.entry(token.into()).or_default();
        }
        node.here.push(id);
        self.by_client.insert(key, id);
        self.subscriptions.insert(
            id,
            Subscription {
                connection,
                sid: sid.to_owned(),
                subject: subject.to_owned(),
                queue,
                received: 0,
                max: None,
                chosen: 0,
            },
        );
        true
    }

    /// Ends a subscription at once, or after `max` messages altogether. Returns the pattern of one that
    /// ended.
    pub(crate) fn unsubscribe(
        &mut self,
        connection: ConnectionId,
        sid: &str,
        max: Option<u64>,
    ) -> Option<String> {
        let id = *self.by_client.get(&(connection, sid.to_owned()))?;
        let subscription = self.subscriptions.get_mut(&id)?;
        match max {
            Some(max) if subscription.received < max => {
                subscription.max = Some(max);
                None
            }
            _ => self.remove(id),
        }
    }

    /// Ends all subscriptions of a connection. Returns their patterns.
    pub(crate) fn disconnect(&mut self, connection: ConnectionId) -> Vec<String> {
        let ids: Vec<SubscriptionId> = self
            .by_client
            .range((connection, String::new())..)
            .take_while(|((owner, _), _)| *owner == connection)
            .map(|(_, id)| *id)
            .collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    fn remove(&mut self, id: SubscriptionId) -> Option<String> {
        let subscription = self.subscriptions.remove(&id)?;
        self.by_client
            .remove(&(subscription.connection, subscription.sid));
        let tokens: Vec<&str> = subscription.subject.split('.').collect();
        prune(&mut self.root, &tokens, id);
        Some(subscription.subject)
    }

    /// The subscription with this number.
    pub(crate) fn get(&self, id: SubscriptionId) -> Option<&Subscription> {
        self.subscriptions.get(&id)
    }

    /// Counts a message for a subscription. Returns its pattern if it has had enough and ended.
    pub(crate) fn count(&mut self, id: SubscriptionId) -> Option<String> {
        let subscription = self.subscriptions.get_mut(&id)?;
        subscription.received += 1;
        match subscription.max {
            Some(max) if subscription.received >= max => self.remove(id),
            _ => None,
        }
    }

    /// Who gets a message with this subject, in order. `except` is a connection that does not want its own
    /// messages.
    pub(crate) fn recipients(
        &mut self,
        subject: &str,
        except: Option<ConnectionId>,
    ) -> Vec<SubscriptionId> {
        let mut matched = self.matching(subject);
        matched.retain(|id| Some(self.subscriptions[id].connection) != except);
        if matched
            .iter()
            .all(|id| self.subscriptions[id].queue.is_none())
        {
            return matched;
        }
        let mut groups: BTreeMap<&str, SubscriptionId> = BTreeMap::new();
        for id in &matched {
            let subscription = &self.subscriptions[id];
            let Some(queue) = &subscription.queue else {
                continue;
            };
            let first = groups.entry(queue).or_insert(*id);
            if subscription.chosen < self.subscriptions[first].chosen {
                *first = *id;
            }
        }
        let chosen: Vec<SubscriptionId> = groups.into_values().collect();
        matched.retain(|id| self.subscriptions[id].queue.is_none() || chosen.contains(id));
        for id in chosen {
            self.choices += 1;
            let choices = self.choices;
            if let Some(subscription) = self.subscriptions.get_mut(&id) {
                subscription.chosen = choices;
            }
        }
        matched
    }

    /// Whether anybody would get a message with this subject.
    pub(crate) fn has_interest(&self, subject: &str) -> bool {
        !self.matching(subject).is_empty()
    }

    /// Whether a subscription of the group `queue`, or one without a group if there is none, waits for
    /// `subject`.
    pub(crate) fn has_interest_of(&self, subject: &str, queue: Option<&str>) -> bool {
        self.matching(subject)
            .iter()
            .any(|id| self.subscriptions[id].queue.as_deref() == queue)
    }

    /// The subscription of `connection` that would get a message with this subject.
    pub(crate) fn of_connection(
        &self,
        subject: &str,
        connection: ConnectionId,
    ) -> Option<SubscriptionId> {
        self.matching(subject)
            .into_iter()
            .find(|id| self.subscriptions[id].connection == connection)
    }

    fn matching(&self, subject: &str) -> Vec<SubscriptionId> {
        let mut matched = Vec::new();
        collect(&self.root, Some(subject), &mut matched);
        matched.sort_unstable();
        matched
    }
}

/// Gathers what stands at or below `node` for the tokens that are left.
fn collect(node: &Node, rest: Option<&str>, matched: &mut Vec<SubscriptionId>) {
    let Some(rest) = rest else {
        matched.extend_from_slice(&node.here);
        return;
    };
    let (token, rest) = match rest.split_once('.') {
        Some((token, rest)) => (token, Some(rest)),
        None => (rest, None),
    };
    if let Some(child) = node.children.get(token) {
        collect(child, rest, matched);
    }
    if token != "*"
        && let Some(child) = node.children.get("*")
    {
        collect(child, rest, matched);
    }
    if let Some(child) = node.children.get(">")
        && token != ">"
    {
        matched.extend_from_slice(&child.here);
    }
}

/// Takes a subscription out of the tree, and the nodes that nothing is left in.
fn prune(node: &mut Node, tokens: &[&str], id: SubscriptionId) {
    let Some((token, rest)) = tokens.split_first() else {
        node.here.retain(|other| *other != id);
        return;
    };
    if let Some(child) = node.children.get_mut(*token) {
        prune(child, rest, id);
        if child.here.is_empty() && child.children.is_empty() {
            node.children.remove(*token);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::subject;

    #[test]
    fn a_group_takes_turns_and_others_get_everything() {
        let mut router = Router::default();
        for (connection, queue) in [(1, Some("q")), (2, None), (3, Some("q")), (4, Some("r"))] {
            router.subscribe(connection, "1", "a.*", queue.map(str::to_owned));
        }
        assert_eq!(router.recipients("a.b", None), [1, 2, 4]);
        assert_eq!(router.recipients("a.b", None), [2, 3, 4]);
        assert_eq!(router.recipients("a.b", None), [1, 2, 4]);
        assert_eq!(router.recipients("a.b", Some(3)), [1, 2, 4]);
        router.disconnect(1);
        assert_eq!(router.recipients("a.b", None), [2, 3, 4]);
    }

    #[test]
    fn a_subscription_ends_after_its_last_message() {
        let mut router = Router::default();
        router.subscribe(1, "1", "a", None);
        assert_eq!(router.unsubscribe(1, "1", Some(2)), None);
        assert_eq!(router.count(1), None);
        assert_eq!(router.count(1), Some("a".to_owned()));
        assert!(!router.has_interest("a"));
        router.subscribe(1, "2", "b", None);
        router.count(2);
        assert_eq!(router.unsubscribe(1, "2", Some(1)), Some("b".to_owned()));
        assert!(router.root.children.is_empty());
    }

    fn pattern() -> impl Strategy<Value = String> {
        let token = prop_oneof![Just("a"), Just("b"), Just("*")];
        (proptest::collection::vec(token, 1..4), any::<bool>()).prop_map(|(tokens, open)| {
            let mut pattern = tokens.join(".");
            if open {
                pattern.push_str(".>");
            }
            pattern
        })
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_a_look_at_each_finds(
            patterns in proptest::collection::vec(pattern(), 0..12),
            removed in proptest::collection::vec(any::<bool>(), 12),
            subject in proptest::collection::vec(prop_oneof![Just("a"), Just("b")], 1..5),
        ) {
            let mut router = Router::default();
            for (number, pattern) in patterns.iter().enumerate() {
                router.subscribe(1, &number.to_string(), pattern, None);
            }
            for (number, removed) in removed.iter().enumerate() {
                if *removed {
                    router.unsubscribe(1, &number.to_string(), None);
                }
            }
            let subject = subject.join(".");
            let expected: Vec<SubscriptionId> = (0..patterns.len())
                .filter(|number| !removed[*number] && subject::matches(&patterns[*number], &subject))
                .map(|number| number as SubscriptionId + 1)
                .collect();
            prop_assert_eq!(router.recipients(&subject, None), expected);
        }
    }
}
