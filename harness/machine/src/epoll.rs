//! An epoll instance: what a process wants to hear of its descriptors, and what there is to hear.
//!
//! As on Linux, something that happens puts a descriptor on a list, and what it is ready for is asked when the list
//! is read; edge-triggered interest leaves the list then, level-triggered interest while it is not ready.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_int;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};

use crate::descriptor::{Object, ObjectId};
use crate::lock;
use crate::symbols::Errno;

#[derive(Default)]
pub(crate) struct Epoll(Mutex<Interests>);

#[derive(Default)]
struct Interests {
    by_object: BTreeMap<(ObjectId, c_int), Interest>,
    list: VecDeque<(ObjectId, c_int)>,
}

struct Interest {
    object: Arc<Object>,
    events: u32,
    data: u64,
    is_listed: bool,
}

impl Interests {
    fn put_on_list(&mut self, key: (ObjectId, c_int)) {
        self.put_all_on_list(key..=key);
    }

    fn put_all_on_list(&mut self, keys: RangeInclusive<(ObjectId, c_int)>) {
        for (key, interest) in self.by_object.range_mut(keys) {
            if !std::mem::replace(&mut interest.is_listed, true) {
                self.list.push_back(*key);
            }
        }
    }
}

/// What is told of a descriptor.
pub(crate) struct Ready {
    pub(crate) events: u32,
    pub(crate) data: u64,
}

impl Epoll {
    pub(crate) fn add(
        &self,
        descriptor: c_int,
        object: &Arc<Object>,
        events: u32,
        data: u64,
    ) -> Result<(), Errno> {
        let mut interests = lock(&self.0);
        let key = (object.id, descriptor);
        if interests.by_object.contains_key(&key) {
            return Err(Errno(libc::EEXIST));
        }
        let interest = Interest {
            object: object.clone(),
            events,
            data,
            is_listed: false,
        };
        interests.by_object.insert(key, interest);
        interests.put_on_list(key);
        Ok(())
    }

    pub(crate) fn modify(
        &self,
        descriptor: c_int,
        object: &Object,
        events: u32,
        data: u64,
    ) -> Result<(), Errno> {
        let mut interests = lock(&self.0);
        let key = (object.id, descriptor);
        let interest = interests.by_object.get_mut(&key);
        let interest = interest.ok_or(Errno(libc::ENOENT))?;
        (interest.events, interest.data) = (events, data);
        interests.put_on_list(key);
        Ok(())
    }

    pub(crate) fn remove(&self, descriptor: c_int, object: &Object) -> Result<(), Errno> {
        let key = (object.id, descriptor);
        let removed = lock(&self.0).by_object.remove(&key);
        removed.map(|_| ()).ok_or(Errno(libc::ENOENT))
    }

    /// An open file has been closed.
    pub(crate) fn forget(&self, id: ObjectId) {
        lock(&self.0).by_object.retain(|key, _| key.0 != id);
    }

    /// Something has happened to an open file.
    pub(crate) fn signal(&self, id: ObjectId) {
        lock(&self.0).put_all_on_list((id, c_int::MIN)..=(id, c_int::MAX));
    }

    /// What there is to tell, at most `most`; `readiness` says what an open file is ready for.
    pub(crate) fn collect(
        &self,
        most: usize,
        mut readiness: impl FnMut(&Object) -> u32,
    ) -> Vec<Ready> {
        let mut interests = lock(&self.0);
        let mut told = Vec::new();
        for _ in 0..interests.list.len() {
            if told.len() == most {
                break;
            }
            let Some(key) = interests.list.pop_front() else {
                break;
            };
            let Some(interest) = interests.by_object.get_mut(&key) else {
                continue;
            };
            interest.is_listed = false;
            let always = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
            let wanted = match interest.events & !(libc::EPOLLET | libc::EPOLLONESHOT) as u32 {
                0 => 0,
                wanted => wanted | always,
            };
            let events = readiness(&interest.object) & wanted;
            if events == 0 {
                continue;
            }
            told.push(Ready {
                events,
                data: interest.data,
            });
            if interest.events & libc::EPOLLONESHOT as u32 != 0 {
                interest.events = 0;
            } else if interest.events & libc::EPOLLET as u32 == 0 {
                interests.put_on_list(key);
            }
        }
        told
    }
}
