//! Who is in which thread, with what.

use std::collections::{BTreeMap, HashMap};

use super::Key;
use crate::wire::{JsonText, Media, ThreadId};

/// What a member brought into one thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) user_data: Option<JsonText>,
    pub(super) media: Media,
}

/// All threads that have members.
#[derive(Debug, Default)]
pub(super) struct Roster {
    threads: HashMap<ThreadId, BTreeMap<Key, Membership>>,
}

impl Roster {
    /// The members of a thread, in the order in which their sessions began.
    pub(super) fn members(&self, thread: &ThreadId) -> impl Iterator<Item = (Key, &Membership)> {
        self.threads
            .get(thread)
            .into_iter()
            .flatten()
            .map(|(key, membership)| (*key, membership))
    }

    pub(super) fn count(&self, thread: &ThreadId) -> usize {
        self.threads.get(thread).map_or(0, BTreeMap::len)
    }

    pub(super) fn get(&self, thread: &ThreadId, key: Key) -> Option<&Membership> {
        self.threads.get(thread)?.get(&key)
    }

    /// Adds or changes; what was there before.
    pub(super) fn put(&mut self, thread: &ThreadId, key: Key, membership: Membership) -> Option<Membership> {
        if let Some(members) = self.threads.get_mut(thread) {
            return members.insert(key, membership);
        }
        self.threads
            .insert(thread.clone(), BTreeMap::from([(key, membership)]));
        None
    }

    pub(super) fn remove(&mut self, thread: &ThreadId, key: Key) {
        if let Some(members) = self.threads.get_mut(thread) {
            members.remove(&key);
            if members.is_empty() {
                self.threads.remove(thread);
            }
        }
    }

    pub(super) fn threads(&self) -> impl Iterator<Item = &ThreadId> {
        self.threads.keys()
    }
}
