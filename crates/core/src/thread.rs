//! The client's view of its threads: who is a member, with which user data and media.
//!
//! What the server says is the truth, with one exception: after a server restart its list is short until the others
//! are back too, so members that it does not name yet are *missed* for a while before they count as gone.

use crate::map::Map;
use crate::time::{Time, earliest};
use crate::wire::{Id, JsonText, LeaveReason, Media, Member, PeerInfo, ThreadId};

/// Milliseconds that a member may be missing after a session began anew.
const MISSED_FOR: u64 = 15_000;

/// Where this client stands with a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The server's answer is awaited, for the first time.
    Joining,
    /// A member.
    Member,
}

#[derive(Clone, Debug)]
struct Seat {
    member: Member,
    missed_until: Option<Time>,
}

/// One thread.
#[derive(Debug)]
pub struct Thread {
    /// Where this client stands.
    pub standing: Standing,
    /// This client's user data there.
    pub user_data: Option<JsonText>,
    /// This client's media there.
    pub media: Media,
    /// The join whose answer is awaited.
    pub op: Option<u32>,
    members: Map<Id, Seat>,
}

/// News about members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Came.
    Joined(Member),
    /// Changed.
    Updated(Member),
    /// Went.
    Left(Member, LeaveReason),
}

impl Thread {
    /// Everybody else in it.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values().map(|seat| &seat.member)
    }

    /// One of them.
    #[must_use]
    pub fn member(&self, id: &Id) -> Option<&Member> {
        self.members.get(id).map(|seat| &seat.member)
    }

    /// Somebody joined, or changed.
    pub fn put(&mut self, member: Member) -> Vec<Change> {
        let id = member.peer.id.clone();
        let before = self
            .members
            .insert(
                id,
                Seat {
                    member: member.clone(),
                    missed_until: None,
                },
            )
            .map(|seat| seat.member);
        match before {
            None => vec![Change::Joined(member)],
            Some(before) if before.peer.instance != member.peer.instance => {
                vec![
                    Change::Left(before, LeaveReason::Replaced),
                    Change::Joined(member),
                ]
            }
            Some(before) if before == member => Vec::new(),
            Some(_) => vec![Change::Updated(member)],
        }
    }

    /// A client's own user data changed; no news of this thread.
    pub fn peer_updated(&mut self, info: &PeerInfo) {
        if let Some(seat) = self.members.get_mut(&info.id)
            && seat.member.peer.instance == info.instance
        {
            seat.member.peer = info.clone();
        }
    }

    /// Somebody is gone.
    pub fn remove(&mut self, id: &Id, reason: LeaveReason) -> Option<Change> {
        self.members
            .remove(id)
            .map(|seat| Change::Left(seat.member, reason))
    }

    /// The server's whole list, in answer to a join. Those who are not on it are missed for a while.
    pub fn replace(&mut self, now: Time, members: Vec<Member>) -> Vec<Change> {
        for seat in self.members.values_mut() {
            seat.missed_until.get_or_insert(now + MISSED_FOR);
        }
        members.into_iter().flat_map(|member| self.put(member)).collect()
    }
}

/// All threads of a client.
#[derive(Debug, Default)]
pub struct Threads {
    threads: Map<ThreadId, Thread>,
}

impl Threads {
    /// One thread.
    #[must_use]
    pub fn get(&self, id: &ThreadId) -> Option<&Thread> {
        self.threads.get(id)
    }

    /// One thread, to change it.
    pub fn get_mut(&mut self, id: &ThreadId) -> Option<&mut Thread> {
        self.threads.get_mut(id)
    }

    /// Every thread.
    pub fn iter(&self) -> impl Iterator<Item = (&ThreadId, &Thread)> {
        self.threads.iter()
    }

    /// Every thread, to change it.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&ThreadId, &mut Thread)> {
        self.threads.iter_mut()
    }

    /// Begins to join, or changes what is allowed. Returns the thread.
    pub fn enter(&mut self, id: &ThreadId) -> &mut Thread {
        self.threads.get_or_insert_with(id.clone(), || Thread {
            standing: Standing::Joining,
            user_data: None,
            media: Media::default(),
            op: None,
            members: Map::new(),
        })
    }

    /// Forgets a thread.
    pub fn leave(&mut self, id: &ThreadId) -> Option<Thread> {
        self.threads.remove(id)
    }

    /// Whether this client shares a thread with that one.
    #[must_use]
    pub fn shares(&self, id: &Id) -> bool {
        self.threads
            .values()
            .any(|thread| thread.members.contains_key(id))
    }

    /// Takes out those who were missed for too long.
    pub fn tick(&mut self, now: Time) -> Vec<(ThreadId, Change)> {
        let mut gone = Vec::new();
        for (thread_id, thread) in self.threads.iter_mut() {
            let ids: Vec<Id> = thread
                .members
                .iter()
                .filter(|(_, seat)| seat.missed_until.is_some_and(|until| until <= now))
                .map(|(id, _)| id.clone())
                .collect();
            for id in ids {
                gone.extend(
                    thread
                        .remove(&id, LeaveReason::TimedOut)
                        .map(|change| (thread_id.clone(), change)),
                );
            }
        }
        gone
    }

    /// When [`Threads::tick`] has something to do next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.threads
            .values()
            .flat_map(|thread| thread.members.values())
            .fold(None, |time, seat| earliest(time, seat.missed_until))
    }
}
