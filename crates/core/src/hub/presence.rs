//! Tags, watches, and finding.

use super::delivery::Refusal;
use super::{Hub, Key};
use crate::error::Code;
use crate::wire::{Id, Name, ServerFrame};

impl Hub {
    /// Tells those who watch `name` about `id`; of a tag that it carries, a client itself is not told.
    pub(super) fn announce(&mut self, key: Key, name: &Name, id: &Id, online: bool, tagged: bool) {
        let watchers: Vec<Key> = self
            .directory
            .watchers
            .of(name.as_str())
            .filter(|watcher| !tagged || *watcher != key)
            .collect();
        if !watchers.is_empty() {
            let (name, id) = (name.clone(), id.clone());
            self.deliver(
                watchers,
                ServerFrame::Presence {
                    name,
                    id,
                    online,
                    tagged,
                },
            );
        }
    }

    pub(super) fn tag(&mut self, key: Key, names: Vec<Name>) {
        for name in names {
            let Some(session) = self.sessions.get_mut(&key) else {
                return;
            };
            if session.tags.contains(&name) {
                continue;
            }
            if session.tags.len() >= self.config.tags_per_client {
                self.fault(
                    key,
                    Refusal::new(Code::LimitReached, format!("too many tags for {name}")),
                );
                return;
            }
            session.tags.insert(name.clone());
            let id = session.id.clone();
            self.directory.carriers.add(&name, key);
            self.announce(key, &name, &id, true, true);
        }
    }

    pub(super) fn untag(&mut self, key: Key, names: &[Name]) {
        for name in names {
            let Some(session) = self.sessions.get_mut(&key) else {
                return;
            };
            if session.tags.remove(name) {
                let id = session.id.clone();
                self.directory.carriers.remove(name, key);
                self.announce(key, name, &id, false, true);
            }
        }
    }

    /// Tells the present state at once, also of what is watched already: of an id whether it is there, of a tag each
    /// other client that carries it.
    pub(super) fn watch(&mut self, key: Key, names: Vec<Name>) {
        for name in names {
            let Some(session) = self.sessions.get_mut(&key) else {
                return;
            };
            if !session.watches.contains(&name) {
                if session.watches.len() >= self.config.watches_per_client {
                    self.fault(
                        key,
                        Refusal::new(Code::LimitReached, format!("too many watches for {name}")),
                    );
                    return;
                }
                session.watches.insert(name.clone());
                self.directory.watchers.add(&name, key);
            }
            let id = Id::from(&name);
            let online = self.directory.ids.contains_key(&id);
            self.deliver(
                [key],
                ServerFrame::Presence {
                    name: name.clone(),
                    id,
                    online,
                    tagged: false,
                },
            );
            let limit = self.config.members_per_thread;
            let carriers = self
                .directory
                .carriers
                .of(name.as_str())
                .filter(|carrier| *carrier != key);
            let ids: Vec<Id> = carriers
                .take(limit)
                .filter_map(|carrier| Some(self.sessions.get(&carrier)?.id.clone()))
                .collect();
            for id in ids {
                self.deliver(
                    [key],
                    ServerFrame::Presence {
                        name: name.clone(),
                        id,
                        online: true,
                        tagged: true,
                    },
                );
            }
            let all = self.directory.carriers.count(name.as_str());
            if all > limit + 1 {
                let detail = format!("only {limit} of {all} who carry {name} are told");
                self.fault(key, Refusal::new(Code::LimitReached, detail));
            }
        }
    }

    pub(super) fn unwatch(&mut self, key: Key, names: &[Name]) {
        for name in names {
            if self
                .sessions
                .get_mut(&key)
                .is_some_and(|session| session.watches.remove(name))
            {
                self.directory.watchers.remove(name, key);
            }
        }
    }

    /// Of a tag's carriers, at most as many as a thread can have members, and not the asker.
    pub(super) fn find(&mut self, key: Key, op: u32, name: &Name) {
        let found: Vec<Key> = match self.directory.ids.get(name.as_str()) {
            Some(found) => vec![*found],
            None => {
                let carriers = self
                    .directory
                    .carriers
                    .of(name.as_str())
                    .filter(|carrier| *carrier != key);
                carriers.take(self.config.members_per_thread).collect()
            }
        };
        let peers = found
            .iter()
            .filter_map(|key| Some(self.sessions.get(key)?.info()))
            .collect();
        self.deliver([key], ServerFrame::Found { op, peers });
    }
}
