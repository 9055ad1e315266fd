//! Membership of threads: joining, leaving, and who else is there.

use super::{Client, ClientState, Event, Output};
use crate::error::{Code, Error};
use crate::link::Receipt;
use crate::thread::{Change, Standing, Thread, Threads};
use crate::time::Time;
use crate::wire::{ClientFrame, Id, Instance, JsonText, LeaveReason, Media, Member, ThreadId};

/// Milliseconds that leaving waits for what was sent before to be confirmed.
const FLUSH_WITHIN: u64 = 2_000;

pub(super) struct Leaving {
    pub(super) thread: ThreadId,
    pub(super) until: Time,
    receipt: Receipt,
}

impl Client {
    /// Joins a thread, or changes what is allowed in it; settled when the server has answered.
    pub fn join(
        &mut self,
        thread: &ThreadId,
        user_data: Option<Option<JsonText>>,
        media: Option<Media>,
    ) -> Receipt {
        let receipt = self.receipts.take();
        if self.state == ClientState::Closed {
            self.fail(receipt, Code::Closed.into());
            return receipt;
        }
        self.leaving.retain(|leaving| {
            let again = leaving.thread == *thread;
            if again {
                self.outputs
                    .push_back(Output::Settle(leaving.receipt, leaving.receipt));
            }
            !again
        });
        let entry = self.threads.enter(thread);
        if let Some(user_data) = user_data {
            entry.user_data = user_data;
        }
        if let Some(media) = media {
            entry.media = media;
        }
        self.ask_to_join(thread, Some(receipt));
        receipt
    }

    /// Says that this client joins a thread, as what its entry says. An earlier question is answered by the later one's
    /// answer.
    fn ask_to_join(&mut self, thread: &ThreadId, receipt: Option<Receipt>) {
        let op = self.op();
        let Some(entry) = self.threads.get_mut(thread) else {
            return;
        };
        let superseded = entry.op.replace(op);
        let frame = ClientFrame::Join {
            op,
            thread: thread.clone(),
            user_data: entry.user_data.clone(),
            media: entry.media,
        };
        let earlier = superseded.and_then(|op| self.joins.remove(&op));
        let mut receipts = earlier.map_or_else(Vec::new, |(_, receipts)| receipts);
        receipts.extend(receipt);
        self.joins.insert(op, (thread.clone(), receipts));
        self.session_send(frame);
    }

    /// Leaves a thread, once what was sent there is confirmed or two seconds have passed.
    pub fn leave(&mut self, now: Time, thread: &ThreadId) -> Receipt {
        let receipt = self.receipts.take();
        if self.threads.get(thread).is_none() {
            self.settle(receipt);
            return receipt;
        }
        self.leaving.push(Leaving {
            thread: thread.clone(),
            until: now + FLUSH_WITHIN,
            receipt,
        });
        self.wake_at(Some(now + FLUSH_WITHIN));
        self.finish_leaving(now);
        receipt
    }

    pub(super) fn joined(&mut self, now: Time, op: u32, thread: &ThreadId, mut members: Vec<Member>) {
        let own = self.id().cloned();
        members.retain(|member| Some(&member.peer.id) != own.as_ref());
        let receipts = self
            .joins
            .remove(&op)
            .map_or_else(Vec::new, |(_, receipts)| receipts);
        if let Some(entry) = self.threads.get_mut(thread) {
            if entry.op == Some(op) {
                entry.op = None;
            }
            let first = entry.standing == Standing::Joining;
            entry.standing = Standing::Member;
            let changes = entry.replace(now, members);
            self.wake_at(self.threads.poll_timeout());
            // Whoever was there before is in the list that the call resolves to, and comes as an event too.
            if first {
                for receipt in receipts.iter().copied() {
                    self.settle(receipt);
                }
            }
            for change in changes {
                self.thread_change(now, thread, change);
            }
            self.deliver_held_of(thread);
            if first {
                return;
            }
        }
        for receipt in receipts {
            self.settle(receipt);
        }
    }

    /// Whether a join had that op. It failed.
    pub(super) fn join_failed(&mut self, now: Time, op: u32, error: &Error) -> bool {
        let Some((thread, receipts)) = self.joins.remove(&op) else {
            return false;
        };
        let nobody_waits = receipts.is_empty();
        self.reject_all(receipts, error);
        let ended = self.threads.get_mut(&thread).is_some_and(|entry| {
            entry.op = None;
            entry.standing == Standing::Joining || nobody_waits
        });
        if ended {
            if let Some(entry) = self.threads.leave(&thread) {
                self.unshare(now, &entry);
            }
            if nobody_waits {
                self.event(Event::ThreadEnded(thread, error.clone()));
            }
        }
        true
    }

    fn reject_all(&mut self, receipts: Vec<Receipt>, error: &Error) {
        for receipt in receipts {
            self.outputs.push_back(Output::Reject(receipt, error.clone()));
        }
    }

    /// A session began: the server is told of every thread.
    pub(super) fn join_again(&mut self) {
        let threads: Vec<ThreadId> = self.threads.iter().map(|(id, _)| id.clone()).collect();
        for thread in threads {
            self.ask_to_join(&thread, None);
        }
    }

    /// Everything is over.
    pub(super) fn end_membership(&mut self, error: &Error) {
        let joins: Vec<_> = self.joins.drain().collect();
        for (_, (_, receipts)) in joins {
            self.reject_all(receipts, error);
        }
        for leaving in self.leaving.drain(..) {
            self.outputs
                .push_back(Output::Settle(leaving.receipt, leaving.receipt));
        }
        self.threads = Threads::default();
    }

    /// Somebody is a member, and says this of itself.
    pub(super) fn member_is(&mut self, now: Time, thread: &ThreadId, member: Member) {
        if Some(&member.peer.id) == self.id() {
            return;
        }
        let changes = self
            .threads
            .get_mut(thread)
            .map_or_else(Vec::new, |entry| entry.put(member));
        for change in changes {
            self.thread_change(now, thread, change);
        }
    }

    /// Somebody is no longer a member.
    pub(super) fn member_left(
        &mut self,
        now: Time,
        thread: &ThreadId,
        id: &Id,
        instance: Instance,
        reason: LeaveReason,
    ) {
        let Some(entry) = self.threads.get_mut(thread) else {
            return;
        };
        let is_that_life = entry
            .member(id)
            .is_some_and(|member| member.peer.instance == instance);
        if is_that_life && let Some(change) = entry.remove(id, reason) {
            self.thread_change(now, thread, change);
        }
    }

    pub(super) fn thread_change(&mut self, now: Time, thread: &ThreadId, change: Change) {
        let (info, gone) = match &change {
            Change::Joined(member) | Change::Updated(member) => (member.peer.clone(), None),
            Change::Left(member, reason) => (member.peer.clone(), Some(*reason)),
        };
        let id = info.id.clone();
        let key = self.peers.key(&id);
        match gone {
            None => {
                self.learn(now, key, info);
                self.event(Event::Thread(thread.clone(), key, change));
                self.activate(now, key);
                self.deliver_held(key, thread);
            }
            Some(reason) => {
                self.event(Event::Thread(thread.clone(), key, change));
                if !self.threads.shares(&id) {
                    self.unshared(now, key, reason, false);
                }
            }
        }
    }

    /// This client is no longer in that thread.
    pub(super) fn unshare(&mut self, now: Time, thread: &Thread) {
        for member in thread.members() {
            let key = self.peers.key(&member.peer.id);
            if !self.threads.shares(&member.peer.id) {
                self.unshared(now, key, LeaveReason::Left, true);
            }
        }
    }

    pub(super) fn finish_leaving(&mut self, now: Time) {
        if self.leaving.is_empty() {
            return;
        }
        let online = self.is_online();
        let is_settled = |thread: &Thread| {
            thread
                .members()
                .all(|member| self.peers.is_settled(&member.peer.id))
        };
        let is_done = |leaving: &mut Leaving| {
            leaving.until <= now || !online || self.threads.get(&leaving.thread).is_none_or(is_settled)
        };
        let done: Vec<Leaving> = self.leaving.extract_if(.., is_done).collect();
        for leaving in done {
            if let Some(thread) = self.threads.leave(&leaving.thread) {
                self.session_send(ClientFrame::Leave {
                    thread: leaving.thread,
                });
                self.unshare(now, &thread);
                if let Some(op) = thread.op
                    && let Some((_, receipts)) = self.joins.remove(&op)
                {
                    self.reject_all(receipts, &Code::Closed.into());
                }
            }
            self.settle(leaving.receipt);
        }
    }
}
