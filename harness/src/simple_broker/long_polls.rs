//! Long polls: the fetches that wait for something to come, and which of them are told when it may have.
//!
//! Told are those that may be answered, in the order in which they began to wait. A message wakes its consumers, not every
//! consumer that the broker has.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use crate::broker::Fetch;
use crate::world::lock;

/// The fetches of one connection that wait, by their number.
#[derive(Default)]
pub(super) struct Waiting {
    fetches: Mutex<BTreeMap<u64, Poll>>,
    /// Told when one of them may be answered.
    pub(super) news: Notify,
}

/// A fetch that waits for something to come.
pub(super) struct Poll {
    pub(super) fetch: Fetch,
    /// When it is answered with nothing.
    pub(super) until: Duration,
}

impl Waiting {
    pub(super) fn add(&self, number: u64, poll: Poll) {
        lock(&self.fetches).insert(number, poll);
    }

    /// Takes the answers of those that `answer` has one for, each with its number.
    pub(super) fn answered<A>(&self, mut answer: impl FnMut(&Poll) -> Option<A>) -> Vec<(u64, A)> {
        let mut fetches = lock(&self.fetches);
        let done = fetches.iter();
        let done: Vec<(u64, A)> = done
            .filter_map(|(number, poll)| Some((*number, answer(poll)?)))
            .collect();
        for (number, _) in &done {
            fetches.remove(number);
        }
        done
    }

    /// When the first of them is answered with nothing; `None` if there are none.
    pub(super) fn until(&self) -> Option<Duration> {
        lock(&self.fetches).values().map(|poll| poll.until).min()
    }
}

/// Everybody who has fetches that wait.
#[derive(Default)]
pub(super) struct LongPolls(Mutex<Line>);

#[derive(Default)]
struct Line {
    waiting: BTreeMap<u64, Arc<Waiting>>,
    /// How often somebody has lined up.
    turns: u64,
}

impl LongPolls {
    /// The process that they wait in has died.
    pub(super) fn crash(&self) {
        lock(&self.0).waiting.clear();
    }

    /// Tells those of whose fetches one `may_be_answered`.
    pub(super) fn tell(&self, may_be_answered: impl Fn(&Fetch) -> bool) {
        for waiting in lock(&self.0).waiting.values() {
            let fetches = lock(&waiting.fetches);
            if fetches.values().any(|poll| may_be_answered(&poll.fetch)) {
                waiting.news.notify_waiters();
            }
        }
    }
}

/// Somebody's place in the line, until it is dropped.
pub(super) struct Place<'p> {
    polls: &'p LongPolls,
    waiting: Arc<Waiting>,
    turn: Option<u64>,
}

impl<'p> Place<'p> {
    pub(super) fn new(polls: &'p LongPolls, waiting: &Arc<Waiting>) -> Self {
        Place {
            polls,
            waiting: waiting.clone(),
            turn: None,
        }
    }

    /// Goes to the end of the line.
    pub(super) fn line_up(&mut self) {
        self.leave();
        let mut line = lock(&self.polls.0);
        line.turns += 1;
        let turn = line.turns;
        line.waiting.insert(turn, self.waiting.clone());
        self.turn = Some(turn);
    }

    fn leave(&mut self) {
        if let Some(turn) = self.turn.take() {
            lock(&self.polls.0).waiting.remove(&turn);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::broker::MemberId;

    fn waiting(member: u64) -> Arc<Waiting> {
        let waiting = Arc::<Waiting>::default();
        let fetch = Fetch {
            group: "group".into(),
            member: MemberId(member),
            generation: 1,
            max: 1,
        };
        let until = Duration::from_secs(member);
        waiting.add(member, Poll { fetch, until });
        waiting
    }

    #[test]
    fn who_may_be_answered_is_told_and_nobody_else() {
        let polls = LongPolls::default();
        let [first, second] = [1, 2].map(waiting);
        let mut places = [&first, &second].map(|own| Place::new(&polls, own));
        places.iter_mut().for_each(Place::line_up);
        let mut told = [&first, &second].map(|own| Box::pin(own.news.notified()));
        assert_eq!(told.each_mut().map(|own| own.as_mut().enable()), [false; 2]);
        polls.tell(|fetch| fetch.member == MemberId(2));
        assert_eq!(
            told.each_mut().map(|own| own.as_mut().enable()),
            [false, true]
        );
    }

    #[test]
    fn who_lines_up_again_comes_last_and_who_has_gone_is_not_asked() {
        let polls = LongPolls::default();
        let own = [1, 2, 3].map(waiting);
        let mut places = own.each_ref().map(|own| Place::new(&polls, own));
        places.iter_mut().for_each(Place::line_up);
        places[0].line_up();
        let asked = RefCell::new(Vec::new());
        let ask = |fetch: &Fetch| {
            asked.borrow_mut().push(fetch.member.0);
            false
        };
        polls.tell(ask);
        let [first, second, third] = places;
        drop(second);
        polls.tell(ask);
        drop((first, third));
        polls.tell(ask);
        assert_eq!(asked.take(), [2, 3, 1, 3, 1]);
    }

    #[test]
    fn what_is_answered_waits_no_more() {
        let own = waiting(1);
        assert_eq!(own.until(), Some(Duration::from_secs(1)));
        assert!(own.answered(|_| None::<()>).is_empty());
        assert_eq!(
            own.answered(|poll| Some(poll.until)),
            [(1, Duration::from_secs(1))]
        );
        assert_eq!(own.until(), None);
    }
}
