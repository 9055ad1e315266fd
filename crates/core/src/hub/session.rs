//! One client's session: its ticket, its counts, and what was sent to it until it has confirmed that.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use subtle::ConstantTimeEq;

use super::bucket::Bucket;
use super::config::HubConfig;
use super::{ConnId, Key};
use crate::time::Time;
use crate::wire::{Hello, Id, Instance, JsonText, Name, PeerInfo, Secret, ServerFrame, ThreadId};

/// Bytes that a ticket of the client's own choice must have.
const SECRET: usize = 16;

/// Counted frames, kept until the client has confirmed them. Bounded in bytes: when there are more, the oldest go.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    frames: VecDeque<(Arc<ServerFrame>, usize)>,
    bytes: usize,
    /// The number of the first frame that is kept.
    base: u64,
}

impl Outbox {
    /// Frames sent so far, which is the number of the next one.
    pub(super) fn sent(&self) -> u64 {
        self.base + self.frames.len() as u64
    }

    fn push(&mut self, frame: Arc<ServerFrame>, bytes: usize, limit: usize) {
        self.frames.push_back((frame, bytes));
        self.bytes += bytes;
        while self.bytes > limit {
            if !self.pop() {
                break;
            }
        }
    }

    fn pop(&mut self) -> bool {
        let Some((_, bytes)) = self.frames.pop_front() else {
            return false;
        };
        self.bytes -= bytes;
        self.base += 1;
        true
    }

    /// Forgets what the client has.
    fn confirm(&mut self, received: u64) {
        while self.base < received && self.pop() {}
        if self.frames.is_empty() {
            // A burst must not occupy its peak for the rest of the session.
            self.frames.shrink_to(16);
        }
    }

    fn clear(&mut self) {
        self.base = self.sent();
        self.frames = VecDeque::new();
        self.bytes = 0;
    }
}

/// The secrets that a session can be resumed with.
#[derive(Debug)]
struct Tickets {
    current: Secret,
    /// What the client resumed with last: good until it is known to have `current`, since the welcome can be lost.
    previous: Option<Secret>,
    /// What the client showed when the session began: good for beginning anew, until it is known to have `current`.
    first: Option<Secret>,
}

/// Takes the same time wherever they differ.
fn same(own: &Secret, shown: &Secret) -> bool {
    own.expose().as_bytes().ct_eq(shown.expose().as_bytes()).into()
}

/// Where a session's client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At the other end of this socket.
    Here(ConnId),
    /// Away: the session ends at that time.
    Away {
        /// When.
        until: Time,
        /// How many frames were sent when it was lost.
        sent: u64,
    },
}

/// One client.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) key: Key,
    pub(super) id: Id,
    pub(super) instance: Instance,
    pub(super) user_data: Option<JsonText>,
    pub(super) webrtc: bool,
    pub(super) place: Place,
    pub(super) threads: BTreeSet<ThreadId>,
    pub(super) tags: BTreeSet<Name>,
    pub(super) watches: BTreeSet<Name>,
    /// Counted frames of the client's.
    pub(super) received: u64,
    pub(super) outbox: Outbox,
    pub(super) frames: Bucket,
    pub(super) control: Bucket,
    pub(super) bytes: Bucket,
    /// Control frames over the budget since it was last kept.
    pub(super) strikes: u32,
    /// When the client last had a `Pong`.
    pub(super) ponged: Time,
    tickets: Tickets,
}

impl Session {
    pub(super) fn new(
        key: Key,
        id: Id,
        conn: ConnId,
        hello: Hello,
        ticket: Secret,
        config: &HubConfig,
        now: Time,
    ) -> Self {
        Self {
            key,
            id,
            instance: hello.instance,
            user_data: hello.user_data,
            webrtc: hello.webrtc,
            place: Place::Here(conn),
            threads: BTreeSet::new(),
            tags: BTreeSet::new(),
            watches: BTreeSet::new(),
            received: 0,
            outbox: Outbox::default(),
            frames: Bucket::new(config.frames, now),
            control: Bucket::new(config.control, now),
            bytes: Bucket::new(config.bytes, now),
            strikes: 0,
            ponged: now,
            tickets: Tickets {
                current: ticket,
                previous: None,
                first: hello
                    .resume
                    .map(|resume| resume.ticket)
                    .filter(|own| own.expose().len() >= SECRET),
            },
        }
    }

    pub(super) fn info(&self) -> PeerInfo {
        PeerInfo {
            id: self.id.clone(),
            instance: self.instance,
            user_data: self.user_data.clone(),
            webrtc: self.webrtc,
        }
    }

    pub(super) fn conn(&self) -> Option<ConnId> {
        match self.place {
            Place::Here(conn) => Some(conn),
            Place::Away { .. } => None,
        }
    }

    /// Keeps a counted frame; the socket that it is to be sent on now, if there is one.
    pub(super) fn push(&mut self, frame: &Arc<ServerFrame>, bytes: usize, limit: usize) -> Option<ConnId> {
        self.outbox.push(frame.clone(), bytes, limit);
        match self.place {
            Place::Here(conn) => Some(conn),
            Place::Away { sent, .. } => {
                if self.outbox.base > sent {
                    // The client can't have what is lost already: no use in keeping the rest.
                    self.outbox.clear();
                }
                None
            }
        }
    }

    /// The client has that many frames; `false` if that many were never sent.
    pub(super) fn confirm(&mut self, received: u64) -> bool {
        if received > self.outbox.sent() {
            return false;
        }
        self.outbox.confirm(received);
        true
    }

    /// A frame came on the present socket. After a resume that shows that the welcome was received; at the very
    /// beginning only a ping does, since other frames may be sent along with the hello.
    pub(super) fn prove(&mut self, ping: bool) {
        self.tickets.previous = None;
        if ping {
            self.tickets.first = None;
        }
    }

    /// Whether the session can be resumed with that.
    pub(super) fn has_ticket(&self, shown: &Secret) -> bool {
        let Tickets {
            current, previous, ..
        } = &self.tickets;
        same(current, shown) || previous.as_ref().is_some_and(|own| same(own, shown))
    }

    /// Whether the session began with that, and its client may not know that it did.
    pub(super) fn began_with(&self, shown: &Secret) -> bool {
        self.tickets.first.as_ref().is_some_and(|own| same(own, shown))
    }

    /// Whether everything from `received` on is there to be sent again.
    pub(super) fn can_replay(&self, received: u64) -> bool {
        (self.outbox.base..=self.outbox.sent()).contains(&received)
    }

    /// Goes on over `conn`, with a new ticket beside the one that was shown.
    pub(super) fn resume(&mut self, conn: ConnId, shown: Secret, next: Secret, received: u64) {
        self.place = Place::Here(conn);
        self.tickets = Tickets {
            current: next,
            previous: Some(shown),
            first: None,
        };
        self.outbox.confirm(received);
    }

    /// What the client lacks.
    pub(super) fn unconfirmed(&self) -> impl Iterator<Item = (&Arc<ServerFrame>, usize)> {
        self.outbox.frames.iter().map(|(frame, bytes)| (frame, *bytes))
    }

    /// Bytes kept for the client.
    pub(super) fn kept(&self) -> usize {
        self.outbox.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(n: u32) -> Arc<ServerFrame> {
        Arc::new(ServerFrame::Found {
            op: n,
            peers: Vec::new(),
        })
    }

    #[test]
    fn the_outbox_forgets_the_oldest_when_it_is_full() {
        let mut outbox = Outbox::default();
        for n in 0..10 {
            outbox.push(frame(n), 10, 35);
        }
        assert_eq!((outbox.base, outbox.sent(), outbox.bytes), (7, 10, 30));
        outbox.confirm(9);
        assert_eq!((outbox.base, outbox.sent(), outbox.bytes), (9, 10, 10));
        outbox.confirm(3);
        assert_eq!(outbox.base, 9);
        outbox.push(frame(10), 100, 35);
        assert_eq!((outbox.base, outbox.sent(), outbox.bytes), (11, 11, 0));
    }
}
