//! Who has which id, who carries which tag, and who wants to know.

use std::collections::{BTreeSet, HashMap};

use super::Key;
use crate::wire::{Id, Name};

/// A many-to-many relation between names and sessions; names without sessions are not kept.
#[derive(Debug, Default)]
pub(super) struct Relation(HashMap<Name, BTreeSet<Key>>);

impl Relation {
    pub(super) fn add(&mut self, name: &Name, key: Key) {
        if let Some(keys) = self.0.get_mut(name) {
            keys.insert(key);
        } else {
            self.0.insert(name.clone(), BTreeSet::from([key]));
        }
    }

    pub(super) fn remove(&mut self, name: &Name, key: Key) {
        if let Some(keys) = self.0.get_mut(name) {
            keys.remove(&key);
            if keys.is_empty() {
                self.0.remove(name);
            }
        }
    }

    /// The sessions of that name, in the order in which they began.
    pub(super) fn of(&self, name: &str) -> impl Iterator<Item = Key> {
        self.0.get(name).into_iter().flatten().copied()
    }

    pub(super) fn count(&self, name: &str) -> usize {
        self.0.get(name).map_or(0, BTreeSet::len)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Name, &BTreeSet<Key>)> {
        self.0.iter()
    }
}

/// The three tables.
#[derive(Debug, Default)]
pub(super) struct Directory {
    pub(super) ids: HashMap<Id, Key>,
    pub(super) carriers: Relation,
    pub(super) watchers: Relation,
}
