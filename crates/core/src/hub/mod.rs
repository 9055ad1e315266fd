//! The server's half of the protocol: who is connected, who is where, who may do what.
//!
//! [`Hub`] is fed one event at a time and leaves its effects in a queue that [`Hub::poll_output`] empties. It has no
//! clock, no randomness of its own and no I/O. What it keeps is bounded by [`HubConfig`], whatever clients send.
//!
//! # Sessions
//! An id belongs to one session, from its hello until it ends, and is never taken over:
//! - A session whose socket is lost is *away* for the grace period. Members keep seeing it, frames for it wait in its
//!   outbox. It comes back with its ticket, on a new socket, also when the old one still seems to be open (which is then
//!   closed with `Replaced`). After the grace period it ends with `timed_out`.
//! - A ticket is good for one resume, and a new one comes with each welcome. Since a welcome can be lost, the ticket that
//!   was shown stays good until the first frame on the new socket.
//! - A resume whose missing frames are not all there ends the old session and begins a new one under the same id, in
//!   the same hello. So does a valid ticket with another `instance`.
//! - A ticket that is unknown, for an id that is free, begins a new session. Until that session's first `Ping` (which
//!   shows that its welcome arrived) a hello with the same ticket begins it anew. A client that chooses a secret ticket of
//!   its own for its very first hello is thereby safe against the loss of its first welcome.

mod admission;
mod bucket;
mod config;
mod delivery;
mod directory;
mod entropy;
mod membership;
mod presence;
mod roster;
mod session;
mod weight;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

pub use bucket::{Bucket, Rate};
pub use config::HubConfig;
use delivery::Refusal;
use directory::Directory;
pub use entropy::Entropy;
use roster::{Membership, Roster};
use session::{Place, Session};

use crate::time::{Time, earliest};
use crate::wire::{ClientFrame, CloseCode, Id, JsonText, LeaveReason, Media, ServerFrame, ThreadId};

/// One socket, numbered by the caller; a number is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// One session, numbered in the order of their beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key(u64);

/// What authentication allows a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The only id that it may have; `None`: any.
    pub subject: Option<Id>,
}

/// How many milliseconds the caller is to leave the socket unread, because its client is over a budget. 0: go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Pause(pub u64);

/// What the caller is to do.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send one frame to each of these sockets.
    Send {
        /// In no particular order; never empty.
        conns: Vec<ConnId>,
        /// Shared, so that it need be encoded only once per codec.
        frame: Arc<ServerFrame>,
        /// Roughly the frame's size in memory.
        bytes: usize,
    },
    /// Close this socket after what was sent to it. The hub does not expect to hear of it again.
    Close {
        /// Which.
        conn: ConnId,
        /// Why; `None`: a normal end (1000) that the client asked for.
        code: Option<CloseCode>,
    },
}

/// The server's state. See the module's documentation.
pub struct Hub {
    config: HubConfig,
    entropy: Box<dyn Entropy + Send>,
    sessions: HashMap<Key, Session>,
    connections: BTreeMap<ConnId, Key>,
    directory: Directory,
    roster: Roster,
    /// The ends of those who are away.
    expiries: BTreeSet<(Time, Key)>,
    /// While draining: when the sockets are closed.
    drain: Option<Time>,
    next: u64,
    /// Bytes that the present input has cost so far.
    cost: usize,
    outputs: VecDeque<Output>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("sessions", &self.sessions.len())
            .field("connections", &self.connections.len())
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// A hub without clients.
    #[must_use]
    pub fn new(config: HubConfig, entropy: Box<dyn Entropy + Send>) -> Self {
        Self {
            config,
            entropy,
            sessions: HashMap::new(),
            connections: BTreeMap::new(),
            directory: Directory::default(),
            roster: Roster::default(),
            expiries: BTreeSet::new(),
            drain: None,
            next: 0,
            cost: 0,
            outputs: VecDeque::new(),
        }
    }

    /// What to do next, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Hub::tick`] has something to do next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        earliest(
            self.expiries.first().map(|(at, _)| *at),
            self.drain.filter(|_| !self.connections.is_empty()),
        )
    }

    /// Time has passed: ends the sessions whose grace period is over, closes the sockets of a drained server.
    pub fn tick(&mut self, now: Time) {
        while let Some(&(at, key)) = self.expiries.first() {
            if at > now {
                break;
            }
            self.end(key, LeaveReason::TimedOut);
        }
        if self.drain.is_some_and(|at| at <= now) {
            while let Some((conn, key)) = self.connections.pop_first() {
                self.outputs.push_back(Output::Close {
                    conn,
                    code: Some(CloseCode::Draining),
                });
                self.put_away(now, key);
            }
        }
    }

    /// Begins to stop: tells all clients when to come back, each at another time, and closes their sockets a little
    /// later. Their sessions are not ended: members of their threads are to meet them again elsewhere.
    pub fn drain(&mut self, now: Time) {
        if self.drain.is_some() {
            return;
        }
        self.drain = Some(now + u64::from(self.config.drain_linger));
        let conns: Vec<ConnId> = self.connections.keys().copied().collect();
        for conn in conns {
            self.say_drain(conn);
        }
    }

    fn say_drain(&mut self, conn: ConnId) {
        let spread = entropy::below(&mut *self.entropy, self.config.drain_spread);
        let return_after = self.config.drain_return.saturating_add(spread);
        self.say(conn, ServerFrame::Drain { return_after });
    }

    /// The number of sessions, and of those that are away.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        (self.sessions.len(), self.expiries.len())
    }

    /// A frame came that is not the socket's first. It has been dealt with even when the answer is to pause.
    pub fn frame(&mut self, now: Time, conn: ConnId, frame: ClientFrame) -> Pause {
        let Some(key) = self.greeted(conn) else {
            return Pause(0);
        };
        self.cost = weight::of_client(&frame);
        let incoming = self.cost;
        let control = !matches!(frame, ClientFrame::Signal { .. } | ClientFrame::Relay { .. });
        if let Some(session) = self.sessions.get_mut(&key) {
            session.prove(matches!(frame, ClientFrame::Ping { .. }));
            session.received += u64::from(frame.is_counted());
        }
        match frame {
            ClientFrame::Hello(_) => self.expel(conn, CloseCode::ProtocolViolation, "a second hello"),
            ClientFrame::Ping { received } => self.ping(now, conn, key, received),
            ClientFrame::Bye {} => {
                self.outputs.push_back(Output::Close { conn, code: None });
                self.end(key, LeaveReason::Left);
            }
            ClientFrame::Join {
                op,
                thread,
                user_data,
                media,
            } => {
                self.join(key, op, thread, Membership { user_data, media });
            }
            ClientFrame::Leave { thread } => self.leave(key, &thread),
            ClientFrame::UserData { user_data } => self.set_user_data(key, user_data),
            ClientFrame::Tag { names } => self.tag(key, names),
            ClientFrame::Untag { names } => self.untag(key, &names),
            ClientFrame::Watch { names } => self.watch(key, names),
            ClientFrame::Unwatch { names } => self.unwatch(key, &names),
            ClientFrame::Find { op, name } => self.find(key, op, &name),
            ClientFrame::Signal { to, instance, signal } => self.signal(key, to, instance, signal),
            ClientFrame::Relay { to, instance, frame } => self.relay(key, to, instance, frame),
        }
        let cost = self.cost.max(incoming);
        self.charge(now, conn, key, control, cost)
    }

    /// The session of a socket that has said hello; any other is expelled.
    fn greeted(&mut self, conn: ConnId) -> Option<Key> {
        let key = self.connections.get(&conn).copied();
        if key.is_none() {
            self.expel(
                conn,
                CloseCode::ProtocolViolation,
                "the first frame must be a hello",
            );
        }
        key
    }

    /// A frame of a kind that is not known came: it is counted, as its sender does, and otherwise ignored.
    pub fn unknown(&mut self, now: Time, conn: ConnId) -> Pause {
        let Some(key) = self.greeted(conn) else {
            return Pause(0);
        };
        if let Some(session) = self.sessions.get_mut(&key) {
            session.prove(false);
            session.received += 1;
        }
        self.charge(now, conn, key, true, 0)
    }

    /// The socket is being left unread for long: tells its client that the server lives all the same.
    pub fn reassure(&mut self, conn: ConnId) {
        let received = self
            .connections
            .get(&conn)
            .and_then(|key| self.sessions.get(key))
            .map(|own| own.received);
        if let Some(received) = received {
            self.say(conn, ServerFrame::Pong { received });
        }
    }

    /// The socket is gone. `clean`: the client closed it with 1000 or 1001, which ends its session at once.
    pub fn disconnected(&mut self, now: Time, conn: ConnId, clean: bool) {
        let Some(key) = self.connections.remove(&conn) else {
            return;
        };
        if clean {
            self.end(key, LeaveReason::Left);
        } else {
            self.put_away(now, key);
        }
    }

    /// The client broke a rule: tells it, closes the socket, and ends its session with `kicked`.
    pub fn expel(&mut self, conn: ConnId, code: CloseCode, detail: &str) {
        self.refuse(conn, code, Refusal::new(code.error(), detail));
        if let Some(key) = self.connections.remove(&conn) {
            self.end(key, LeaveReason::Kicked);
        }
    }

    /// The session's socket is gone (and not in `connections` any more).
    fn put_away(&mut self, now: Time, key: Key) {
        if let Some(session) = self.sessions.get_mut(&key) {
            let until = now + u64::from(self.config.grace);
            session.place = Place::Away {
                until,
                sent: session.outbox.sent(),
            };
            self.expiries.insert((until, key));
        }
    }

    /// The members of a thread with their user data and media there, as the hub has them, sorted by id. For tests.
    #[doc(hidden)]
    #[must_use]
    pub fn members(&self, thread: &ThreadId) -> Vec<(Id, Option<JsonText>, Media)> {
        let mut members: Vec<_> = self
            .roster
            .members(thread)
            .filter_map(|(key, of)| {
                Some((
                    self.sessions.get(&key)?.id.clone(),
                    of.user_data.clone(),
                    of.media,
                ))
            })
            .collect();
        members.sort_by(|a, b| a.0.cmp(&b.0));
        members
    }

    /// Whether all tables agree with each other and keep their bounds. For tests.
    ///
    /// # Panics
    /// If not.
    #[doc(hidden)]
    pub fn check_invariants(&self) {
        let config = &self.config;
        assert!(self.sessions.len() <= config.sessions);
        assert_eq!(self.sessions.len(), self.directory.ids.len());
        assert_eq!(self.sessions.len(), self.connections.len() + self.expiries.len());
        for (key, session) in &self.sessions {
            assert_eq!(session.key, *key);
            assert_eq!(self.directory.ids.get(&session.id), Some(key));
            match session.place {
                Place::Here(conn) => assert_eq!(self.connections.get(&conn), Some(key)),
                Place::Away { until, .. } => assert!(self.expiries.contains(&(until, *key))),
            }
            assert!(session.kept() <= config.outbox);
            assert!(session.threads.len() <= config.threads_per_client);
            assert!(session.tags.len() <= config.tags_per_client);
            assert!(session.watches.len() <= config.watches_per_client);
            assert!(
                session
                    .threads
                    .iter()
                    .all(|thread| self.roster.get(thread, *key).is_some())
            );
        }
        for thread in self.roster.threads() {
            assert!((1..=config.members_per_thread).contains(&self.roster.count(thread)));
            for (key, _) in self.roster.members(thread) {
                assert!(self.sessions[&key].threads.contains(thread));
            }
        }
        let mut pairs = (0, 0);
        for (name, keys) in self.directory.carriers.iter() {
            assert!(!keys.is_empty() && keys.iter().all(|key| self.sessions[key].tags.contains(name)));
            pairs.0 += keys.len();
        }
        for (name, keys) in self.directory.watchers.iter() {
            assert!(!keys.is_empty() && keys.iter().all(|key| self.sessions[key].watches.contains(name)));
            pairs.1 += keys.len();
        }
        assert_eq!(
            pairs.0,
            self.sessions
                .values()
                .map(|session| session.tags.len())
                .sum::<usize>()
        );
        assert_eq!(
            pairs.1,
            self.sessions
                .values()
                .map(|session| session.watches.len())
                .sum::<usize>()
        );
    }
}
