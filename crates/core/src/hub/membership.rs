//! Threads and their members, and the end of a session.

use std::collections::BTreeSet;

use super::delivery::Refusal;
use super::roster::Membership;
use super::session::Place;
use super::{Hub, Key};
use crate::error::Code;
use crate::wire::{Id, Instance, JsonText, LeaveReason, Member, Name, ServerFrame, ThreadId};

impl Hub {
    /// Ends a session, and tells everybody concerned.
    pub(super) fn end(&mut self, key: Key, reason: LeaveReason) {
        let Some(session) = self.sessions.remove(&key) else {
            return;
        };
        match session.place {
            Place::Here(conn) => {
                self.connections.remove(&conn);
            }
            Place::Away { until, .. } => {
                self.expiries.remove(&(until, key));
            }
        }
        self.directory.ids.remove(&session.id);
        for name in &session.watches {
            self.directory.watchers.remove(name, key);
        }
        for thread in &session.threads {
            self.roster.remove(thread, key);
            self.tell_left(thread, &session.id, session.instance, reason);
        }
        for tag in &session.tags {
            self.directory.carriers.remove(tag, key);
            self.announce(key, tag, &session.id, false, true);
        }
        self.announce(key, &Name::from(&session.id), &session.id, false, false);
    }

    fn tell_left(&mut self, thread: &ThreadId, id: &Id, instance: Instance, reason: LeaveReason) {
        let members: Vec<Key> = self.roster.members(thread).map(|(key, _)| key).collect();
        let thread = thread.clone();
        self.deliver(
            members,
            ServerFrame::MemberLeft {
                thread,
                id: id.clone(),
                instance,
                reason,
            },
        );
    }

    fn member(&self, key: Key, membership: &Membership) -> Option<Member> {
        let session = self.sessions.get(&key)?;
        Some(Member {
            peer: session.info(),
            user_data: membership.user_data.clone(),
            media: membership.media,
        })
    }

    pub(super) fn join(&mut self, key: Key, op: u32, thread: ThreadId, membership: Membership) {
        let before = self.roster.get(&thread, key).cloned();
        if before.is_none() {
            let full = if self.roster.count(&thread) >= self.config.members_per_thread {
                Some("the thread is full")
            } else if self
                .sessions
                .get(&key)
                .is_none_or(|own| own.threads.len() >= self.config.threads_per_client)
            {
                Some("in too many threads")
            } else {
                None
            };
            if let Some(detail) = full {
                let mut refusal = Refusal::new(Code::LimitReached, detail);
                refusal.op = Some(op);
                self.fault(key, refusal);
                return;
            }
            if let Some(session) = self.sessions.get_mut(&key) {
                session.threads.insert(thread.clone());
            }
        }
        let changed = before.as_ref() != Some(&membership);
        self.roster.put(&thread, key, membership.clone());
        let others: Vec<Key> = self
            .roster
            .members(&thread)
            .map(|(other, _)| other)
            .filter(|other| *other != key)
            .collect();
        let members = self
            .roster
            .members(&thread)
            .filter(|(other, _)| *other != key)
            .filter_map(|(other, membership)| self.member(other, membership))
            .collect();
        self.deliver(
            [key],
            ServerFrame::Joined {
                op,
                thread: thread.clone(),
                members,
            },
        );
        if let Some(member) = self.member(key, &membership).filter(|_| changed) {
            self.deliver(
                others,
                if before.is_none() {
                    ServerFrame::MemberJoined { thread, member }
                } else {
                    ServerFrame::MemberUpdated { thread, member }
                },
            );
        }
    }

    pub(super) fn leave(&mut self, key: Key, thread: &ThreadId) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if session.threads.remove(thread) {
            let (id, instance) = (session.id.clone(), session.instance);
            self.roster.remove(thread, key);
            self.tell_left(thread, &id, instance, LeaveReason::Left);
        }
    }

    pub(super) fn set_user_data(&mut self, key: Key, user_data: Option<JsonText>) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if session.user_data == user_data {
            return;
        }
        session.user_data = user_data;
        let peer = session.info();
        let mut concerned: BTreeSet<Key> = self.directory.watchers.of(session.id.as_str()).collect();
        for thread in &session.threads {
            concerned.extend(self.roster.members(thread).map(|(key, _)| key));
        }
        concerned.remove(&key);
        self.deliver(concerned, ServerFrame::PeerUpdated { peer });
    }
}
