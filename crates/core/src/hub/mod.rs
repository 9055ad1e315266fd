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

mod bucket;
mod config;
mod directory;
mod entropy;
mod roster;
mod session;
mod weight;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

pub use bucket::{Bucket, Rate};
pub use config::HubConfig;
use directory::Directory;
pub use entropy::Entropy;
use roster::{Membership, Roster};
use session::{Place, Session};

use crate::error::Code;
use crate::time::{Time, earliest};
use crate::wire::{
    ClientFrame, CloseCode, Hello, Id, Instance, JsonText, LeaveReason, LinkFrame, Media, Member, Name,
    Secret, ServerFrame, Signal, ThreadId, Welcome, limits,
};

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

/// Which of its session's questions or limits a refusal belongs to.
struct Refusal {
    op: Option<u32>,
    code: Code,
    detail: String,
    retry_after: Option<u64>,
}

impl Refusal {
    fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            op: None,
            code,
            detail: detail.into(),
            retry_after: None,
        }
    }

    fn into_frame(self) -> ServerFrame {
        ServerFrame::Fault {
            op: self.op,
            code: self.code,
            detail: self.detail,
            retry_after: self
                .retry_after
                .map(|wait| u32::try_from(wait).unwrap_or(u32::MAX)),
        }
    }
}

/// What a hello for an id that is in use amounts to.
enum Claim {
    Refused,
    Resumes(Secret, u64),
    Renews(LeaveReason),
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

    /// The first frame of a socket came, and authentication allowed `grant`.
    pub fn hello(&mut self, now: Time, conn: ConnId, hello: Hello, grant: Grant) {
        if self.connections.contains_key(&conn) {
            self.expel(conn, CloseCode::ProtocolViolation, "a second hello");
            return;
        }
        if self.drain.is_some() {
            self.say_drain(conn);
            self.close(conn, CloseCode::Draining);
            return;
        }
        if hello.protocol != limits::PROTOCOL {
            let detail = format!("this server speaks version {}", limits::PROTOCOL);
            self.refuse(
                conn,
                CloseCode::Incompatible,
                Refusal::new(Code::ServerIncompatible, detail),
            );
            return;
        }
        let id = match (hello.id.clone(), grant.subject) {
            (Some(id), Some(subject)) if id != subject => {
                let refusal = Refusal::new(Code::Forbidden, "the token is for another id");
                self.refuse(conn, CloseCode::Unauthorized, refusal);
                return;
            }
            (Some(id), _) | (None, Some(id)) => id,
            (None, None) => match Id::new(&entropy::unguessable(&mut *self.entropy)) {
                Ok(id) => id,
                Err(_) => return self.close(conn, CloseCode::Busy),
            },
        };
        let Some(&key) = self.directory.ids.get(&id) else {
            self.open(now, conn, id, hello);
            return;
        };
        match self.claim(key, &hello) {
            Claim::Refused => {
                let mut refusal = Refusal::new(Code::IdTaken, id.as_str());
                if let Some(Place::Away { until, .. }) = self.sessions.get(&key).map(|session| session.place)
                {
                    refusal.retry_after = Some((until - now).max(1));
                }
                self.refuse(conn, CloseCode::IdTaken, refusal);
            }
            Claim::Resumes(shown, received) => self.resume(conn, key, shown, received),
            Claim::Renews(reason) => {
                if let Some(old) = self.sessions.get(&key).and_then(Session::conn) {
                    self.close(old, CloseCode::Replaced);
                }
                self.end(key, reason);
                self.open(now, conn, id, hello);
            }
        }
    }

    fn claim(&self, key: Key, hello: &Hello) -> Claim {
        let (Some(session), Some(resume)) = (self.sessions.get(&key), &hello.resume) else {
            return Claim::Refused;
        };
        if session.began_with(&resume.ticket) {
            return Claim::Renews(LeaveReason::Replaced);
        }
        if !session.has_ticket(&resume.ticket) {
            return Claim::Refused;
        }
        if session.instance != hello.instance {
            Claim::Renews(LeaveReason::Replaced)
        } else if session.can_replay(resume.received) {
            Claim::Resumes(resume.ticket.clone(), resume.received)
        } else {
            Claim::Renews(LeaveReason::TimedOut)
        }
    }

    fn open(&mut self, now: Time, conn: ConnId, id: Id, hello: Hello) {
        if self.sessions.len() >= self.config.sessions {
            self.refuse(conn, CloseCode::Busy, Refusal::new(Code::ServerBusy, ""));
            return;
        }
        let Some(ticket) = self.ticket() else {
            return self.close(conn, CloseCode::Busy);
        };
        let key = Key(self.next);
        self.next += 1;
        let session = Session::new(key, id.clone(), conn, hello, ticket.clone(), &self.config, now);
        self.sessions.insert(key, session);
        self.connections.insert(conn, key);
        self.directory.ids.insert(id.clone(), key);
        self.welcome(conn, id.clone(), ticket, false, 0);
        self.announce(key, &Name::from(&id), &id, true, false);
    }

    fn resume(&mut self, conn: ConnId, key: Key, shown: Secret, received: u64) {
        let Some(ticket) = self.ticket() else {
            return self.close(conn, CloseCode::Busy);
        };
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        match session.place {
            Place::Here(old) => {
                self.connections.remove(&old);
                self.outputs.push_back(Output::Close {
                    conn: old,
                    code: Some(CloseCode::Replaced),
                });
            }
            Place::Away { until, .. } => {
                self.expiries.remove(&(until, key));
            }
        }
        session.resume(conn, shown, ticket.clone(), received);
        let missed: Vec<_> = session
            .unconfirmed()
            .map(|(frame, bytes)| (frame.clone(), bytes))
            .collect();
        let (id, counted) = (session.id.clone(), session.received);
        self.connections.insert(conn, key);
        self.welcome(conn, id, ticket, true, counted);
        for (frame, bytes) in missed {
            self.outputs.push_back(Output::Send {
                conns: vec![conn],
                frame,
                bytes,
            });
        }
    }

    fn ticket(&mut self) -> Option<Secret> {
        Secret::new(&entropy::unguessable(&mut *self.entropy))
    }

    fn welcome(&mut self, conn: ConnId, id: Id, ticket: Secret, resumed: bool, received: u64) {
        let welcome = Welcome {
            id,
            ticket,
            resumed,
            received,
            grace: self.config.grace,
            heartbeat: self.config.heartbeat,
            ice_servers: self.config.ice_servers.clone(),
        };
        self.say(conn, ServerFrame::Welcome(welcome));
    }

    /// A frame came that is not the socket's first. It has been dealt with even when the answer is to pause.
    pub fn frame(&mut self, now: Time, conn: ConnId, frame: ClientFrame) -> Pause {
        let Some(&key) = self.connections.get(&conn) else {
            self.expel(
                conn,
                CloseCode::ProtocolViolation,
                "the first frame must be a hello",
            );
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

    /// A frame of a kind that is not known came: it is counted, as its sender does, and otherwise ignored.
    pub fn unknown(&mut self, now: Time, conn: ConnId) -> Pause {
        let Some(&key) = self.connections.get(&conn) else {
            self.expel(
                conn,
                CloseCode::ProtocolViolation,
                "the first frame must be a hello",
            );
            return Pause(0);
        };
        if let Some(session) = self.sessions.get_mut(&key) {
            session.prove(false);
            session.received += 1;
        }
        self.charge(now, conn, key, true, 0)
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

    /// Answers a hello with a fault and a close. For the caller's own refusals, such as of a token.
    pub fn turn_away(&mut self, conn: ConnId, code: CloseCode, detail: &str) {
        self.refuse(conn, code, Refusal::new(code.error(), detail));
    }

    fn refuse(&mut self, conn: ConnId, code: CloseCode, refusal: Refusal) {
        self.say(conn, refusal.into_frame());
        self.close(conn, code);
    }

    fn close(&mut self, conn: ConnId, code: CloseCode) {
        self.outputs.push_back(Output::Close {
            conn,
            code: Some(code),
        });
    }

    /// Sends a frame that is not counted.
    fn say(&mut self, conn: ConnId, frame: ServerFrame) {
        let bytes = weight::of_server(&frame);
        self.outputs.push_back(Output::Send {
            conns: vec![conn],
            frame: Arc::new(frame),
            bytes,
        });
    }

    /// Sends a counted frame to each of these sessions.
    fn deliver(&mut self, to: impl IntoIterator<Item = Key>, frame: ServerFrame) {
        debug_assert!(frame.is_counted());
        let bytes = weight::of_server(&frame);
        let frame = Arc::new(frame);
        let mut conns = Vec::new();
        for key in to {
            if let Some(session) = self.sessions.get_mut(&key) {
                self.cost += bytes;
                conns.extend(session.push(&frame, bytes, self.config.outbox));
            }
        }
        if !conns.is_empty() {
            self.outputs.push_back(Output::Send { conns, frame, bytes });
        }
    }

    fn fault(&mut self, key: Key, refusal: Refusal) {
        self.deliver([key], refusal.into_frame());
    }

    /// Books what a frame cost, and says how long the next one is to wait.
    fn charge(&mut self, now: Time, conn: ConnId, key: Key, control: bool, bytes: usize) -> Pause {
        let strikes = self.config.strikes;
        let Some(session) = self
            .sessions
            .get_mut(&key)
            .filter(|session| session.place == Place::Here(conn))
        else {
            return Pause(0);
        };
        let mut wait = session
            .frames
            .spend(now, 1)
            .max(session.bytes.spend(now, bytes as u64));
        let mut over = None;
        if control {
            let debt = session.control.spend(now, 1);
            if debt == 0 {
                session.strikes = 0;
            } else {
                session.strikes += 1;
                over = Some((debt, session.strikes));
            }
            wait = wait.max(debt);
        }
        // The client's pings wait with the rest: it must not take the server for dead.
        if wait > 0 && now - session.ponged >= 1_000 {
            session.ponged = now;
            let received = session.received;
            self.say(conn, ServerFrame::Pong { received });
        }
        match over {
            Some((debt, 1)) => {
                let mut refusal = Refusal::new(Code::RateLimited, "too many questions and changes");
                refusal.retry_after = Some(debt);
                self.fault(key, refusal);
            }
            Some((_, count)) if count > strikes => {
                self.connections.remove(&conn);
                self.close(conn, CloseCode::RateLimited);
                self.put_away(now, key);
            }
            _ => {}
        }
        Pause(wait)
    }

    fn ping(&mut self, now: Time, conn: ConnId, key: Key, received: u64) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if !session.confirm(received) {
            self.expel(
                conn,
                CloseCode::ProtocolViolation,
                "more frames confirmed than sent",
            );
            return;
        }
        session.ponged = now;
        let received = session.received;
        self.say(conn, ServerFrame::Pong { received });
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

    /// Ends a session, and tells everybody concerned.
    fn end(&mut self, key: Key, reason: LeaveReason) {
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

    /// Tells those who watch `name` about `id`; of a tag that it carries, a client itself is not told.
    fn announce(&mut self, key: Key, name: &Name, id: &Id, online: bool, tagged: bool) {
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

    fn member(&self, key: Key, membership: &Membership) -> Option<Member> {
        let session = self.sessions.get(&key)?;
        Some(Member {
            peer: session.info(),
            user_data: membership.user_data.clone(),
            media: membership.media,
        })
    }

    fn join(&mut self, key: Key, op: u32, thread: ThreadId, membership: Membership) {
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

    fn leave(&mut self, key: Key, thread: &ThreadId) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if session.threads.remove(thread) {
            let (id, instance) = (session.id.clone(), session.instance);
            self.roster.remove(thread, key);
            self.tell_left(thread, &id, instance, LeaveReason::Left);
        }
    }

    fn set_user_data(&mut self, key: Key, user_data: Option<JsonText>) {
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

    fn tag(&mut self, key: Key, names: Vec<Name>) {
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

    fn untag(&mut self, key: Key, names: &[Name]) {
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
    fn watch(&mut self, key: Key, names: Vec<Name>) {
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

    fn unwatch(&mut self, key: Key, names: &[Name]) {
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
    fn find(&mut self, key: Key, op: u32, name: &Name) {
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

    fn signal(&mut self, key: Key, to: Id, instance: Option<Instance>, signal: Signal) {
        let Some((from, own)) = self.stamp(key) else {
            return;
        };
        match self.reach(&to, instance) {
            Some(target) => self.deliver(
                [target],
                ServerFrame::Signal {
                    from,
                    instance: own,
                    signal,
                },
            ),
            None => self.deliver([key], ServerFrame::Unreachable { to, instance }),
        }
    }

    fn relay(&mut self, key: Key, to: Id, instance: Option<Instance>, frame: LinkFrame) {
        let Some((from, own)) = self.stamp(key) else {
            return;
        };
        match self.reach(&to, instance) {
            Some(target) => self.deliver(
                [target],
                ServerFrame::Relay {
                    from,
                    instance: own,
                    frame,
                },
            ),
            None => self.deliver([key], ServerFrame::Unreachable { to, instance }),
        }
    }

    fn stamp(&self, key: Key) -> Option<(Id, Instance)> {
        self.sessions
            .get(&key)
            .map(|session| (session.id.clone(), session.instance))
    }

    /// The session of that id, if it is in that life.
    fn reach(&self, to: &Id, instance: Option<Instance>) -> Option<Key> {
        let key = *self.directory.ids.get(to)?;
        let session = self.sessions.get(&key)?;
        instance
            .is_none_or(|instance| instance == session.instance)
            .then_some(key)
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
