//! One page's half of the protocol: session, threads, peers and their links, requests, receipts.
//!
//! Every method takes the present time and leaves what is to be done in one queue, [`Client::poll_output`]. Browser
//! calls go out as commands and come back as inputs with the same generation and op; a stale answer is dropped.

mod delivery;
mod peer;
mod requests;

use std::collections::VecDeque;

pub use peer::{PeerKey, PeerState};

use crate::error::{Code, Error};
use crate::link::{Encoded, Receipt};
use crate::map::Map;
use crate::negotiation::{Command, Op};
use crate::session::{Identity, Session, SessionOutput, SessionState};
use crate::thread::{Change, Standing, Threads};
use crate::time::{Time, earliest};
use crate::wire::codec::Codec;
use crate::wire::{
    Body, ClientFrame, Id, Instance, Item, JsonText, Media, Name, Secret, ServerFrame, ThreadId, Welcome,
};

use delivery::Receipts;
use peer::Peers;
use requests::Requests;

/// Milliseconds that leaving waits for what was sent before to be confirmed.
const FLUSH_WITHIN: u64 = 2_000;

/// What a client is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The id that is wanted; none: the server gives one.
    pub id: Option<Id>,
    /// What the operator gave this user.
    pub token: Option<Secret>,
    /// This life of the client: random, below 2^53.
    pub instance: Instance,
    /// Its own user data.
    pub user_data: Option<JsonText>,
    /// Whether the browser can make direct links.
    pub webrtc: bool,
    /// How frames are encoded towards the server.
    pub codec: Codec,
    /// Milliseconds that the first open may take.
    pub timeout: u64,
    /// Spreads retries of many clients; any number.
    pub seed: u64,
}

/// `client.state` of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// Not opened.
    Idle,
    /// Opening.
    Connecting,
    /// Admitted by the server.
    Online,
    /// The server is out of reach; the session comes back by itself.
    Recovering,
    /// Over.
    Closed,
}

impl ClientState {
    /// As in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Online => "online",
            Self::Recovering => "recovering",
            Self::Closed => "closed",
        }
    }
}

/// What the page is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// `client.state` changed.
    State(ClientState),
    /// `peer.state` changed.
    PeerState(PeerKey, PeerState),
    /// A peer's user data changed.
    PeerUpdated(PeerKey),
    /// From `peer.send`, or with a name from `client.send`.
    Message(PeerKey, Option<Name>, Body),
    /// From `thread.send`.
    ThreadMessage(ThreadId, PeerKey, Body),
    /// A request to answer with [`Client::reply`].
    Request(PeerKey, u32, Name, Body),
    /// Members of a thread changed.
    Thread(ThreadId, PeerKey, Change),
    /// This client is no longer in a thread, other than by its own wish.
    ThreadEnded(ThreadId, Error),
    /// News about something watched.
    Presence {
        /// Who.
        id: Id,
        /// The tag that was watched, if it was one.
        tag: Option<Name>,
        /// Whether it is there.
        online: bool,
    },
    /// Something failed that no call waits for.
    Error(Error),
}

/// What is to be done, in order.
#[derive(Debug)]
pub enum Output {
    /// Make a WebSocket.
    Connect,
    /// Send one message over it.
    SocketSend(Vec<u8>),
    /// Close it, and hand in nothing more from it.
    SocketClose,
    /// Make an `RTCPeerConnection` with data channel 0 (negotiated, ordered, reliable), under this generation.
    CreateConnection(PeerKey, u32),
    /// Close that connection, and hand in nothing more from it.
    CloseConnection(PeerKey, u32),
    /// Call the browser; answer with [`Client::connection_done`].
    Exec(PeerKey, u32, Op, Command),
    /// Send over channel 0 of that connection.
    ChannelSend(PeerKey, u32, Vec<u8>),
    /// The calls from the first to the last of these receipts have succeeded.
    Settle(Receipt, Receipt),
    /// The call failed.
    Reject(Receipt, Error),
    /// The request was answered.
    Answer(Receipt, Body),
    /// Tell the page.
    Event(Event),
    /// The server says which ICE servers to use, as JSON text.
    IceServers(String),
}

struct Leaving {
    thread: ThreadId,
    until: Time,
    receipt: Receipt,
}

/// One page's half of the protocol.
pub struct Client {
    config: Config,
    state: ClientState,
    session: Session,
    threads: Threads,
    peers: Peers,
    receipts: Receipts,
    requests: Requests,
    tags: Vec<Name>,
    watches: Vec<Name>,
    /// Joins whose answer is awaited: op, thread, receipts.
    joins: Map<u32, (ThreadId, Vec<Receipt>)>,
    leaving: Vec<Leaving>,
    opening: Option<Receipt>,
    next_op: u32,
    wake: Option<Time>,
    outputs: VecDeque<Output>,
}

impl Client {
    /// A client that is not open yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let identity = Identity {
            id: config.id.clone(),
            token: config.token.clone(),
            instance: config.instance,
            user_data: config.user_data.clone(),
            webrtc: config.webrtc,
        };
        Self {
            session: Session::new(identity, config.codec, config.timeout, config.seed),
            config,
            state: ClientState::Idle,
            threads: Threads::default(),
            peers: Peers::default(),
            receipts: Receipts::default(),
            requests: Requests::default(),
            tags: Vec::new(),
            watches: Vec::new(),
            joins: Map::new(),
            leaving: Vec::new(),
            opening: None,
            next_op: 1,
            wake: None,
            outputs: VecDeque::new(),
        }
    }

    /// What to do next, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// `client.state`.
    #[must_use]
    pub fn state(&self) -> ClientState {
        self.state
    }

    /// The id, once it is known.
    #[must_use]
    pub fn id(&self) -> Option<&Id> {
        self.session.identity.id.as_ref()
    }

    /// The client's own user data.
    #[must_use]
    pub fn user_data(&self) -> Option<&JsonText> {
        self.session.identity.user_data.as_ref()
    }

    /// The threads that this client is a member of.
    #[must_use]
    pub fn threads(&self) -> &Threads {
        &self.threads
    }

    // ---- the page's calls ----

    /// A secret of this client's own choice: at least 16 unguessable bytes, said in its first hello. With it, a first
    /// welcome that is lost on its way does not leave the id taken. With that of an earlier page, which it kept until
    /// it was loaded again, this client follows that one under the same id.
    pub fn set_ticket(&mut self, ticket: Secret) {
        self.session.set_ticket(ticket);
    }

    /// Begins to open; the receipt is settled when the server has admitted this client.
    pub fn open(&mut self, now: Time) -> Receipt {
        let receipt = self.receipts.take();
        match self.state {
            ClientState::Idle => {
                self.opening = Some(receipt);
                self.set_state(ClientState::Connecting);
                self.session.open(now);
                self.after_session(now);
            }
            ClientState::Online | ClientState::Recovering => self.settle(receipt),
            ClientState::Connecting => {
                let error = Error::new(Code::InvalidOption, "the client is opening already");
                self.outputs.push_back(Output::Reject(receipt, error));
            }
            ClientState::Closed => self
                .outputs
                .push_back(Output::Reject(receipt, Code::Closed.into())),
        }
        receipt
    }

    /// Leaves everything.
    pub fn close(&mut self) {
        if self.state != ClientState::Closed {
            self.say_bye();
            self.session.close();
            while let Some(output) = self.session.poll_output() {
                match output {
                    SessionOutput::Send(bytes) => self.outputs.push_back(Output::SocketSend(bytes)),
                    SessionOutput::Close => self.outputs.push_back(Output::SocketClose),
                    _ => {}
                }
            }
            self.end(&Code::Closed.into());
        }
    }

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
        let op = self.op();
        let entry = self.threads.enter(thread);
        if let Some(user_data) = user_data {
            entry.user_data = user_data;
        }
        if let Some(media) = media {
            entry.media = media;
        }
        let superseded = entry.op.replace(op);
        let frame = ClientFrame::Join {
            op,
            thread: thread.clone(),
            user_data: entry.user_data.clone(),
            media: entry.media,
        };
        // An earlier join of the same thread is answered by the later one's answer.
        let mut receipts = superseded
            .and_then(|op| self.joins.remove(&op))
            .map_or_else(Vec::new, |(_, receipts)| receipts);
        receipts.push(receipt);
        self.joins.insert(op, (thread.clone(), receipts));
        self.session_send(frame);
        receipt
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

    /// Changes the client's own user data.
    pub fn set_user_data(&mut self, user_data: Option<JsonText>) {
        self.session.identity.user_data.clone_from(&user_data);
        // Before the first welcome the hello says it.
        if self.state != ClientState::Idle {
            self.session_send(ClientFrame::UserData { user_data });
        }
    }

    /// Adds tags.
    pub fn tag(&mut self, names: Vec<Name>) {
        let new = add(&mut self.tags, names);
        self.send_names(new, |names| ClientFrame::Tag { names });
    }

    /// Removes tags.
    pub fn untag(&mut self, names: &[Name]) {
        let gone = remove(&mut self.tags, names);
        self.send_names(gone, |names| ClientFrame::Untag { names });
    }

    /// Asks for presence.
    pub fn watch(&mut self, names: Vec<Name>) {
        let new = add(&mut self.watches, names);
        self.send_names(new, |names| ClientFrame::Watch { names });
    }

    /// Ends that.
    pub fn unwatch(&mut self, names: &[Name]) {
        let gone = remove(&mut self.watches, names);
        self.send_names(gone, |names| ClientFrame::Unwatch { names });
    }

    /// To one peer, without a name.
    pub fn send(&mut self, now: Time, key: PeerKey, body: Body) -> Receipt {
        let receipt = self.receipts.take();
        match self.encode(&Item::Peer { body }) {
            Ok(encoded) => self.send_to_peer(now, key, encoded, receipt),
            Err(error) => self.fail(receipt, error),
        }
        receipt
    }

    /// To every member of a thread.
    pub fn send_thread(&mut self, now: Time, thread: &ThreadId, body: Body) -> Receipt {
        let receipt = self.receipts.take();
        let is_leaving = self.leaving.iter().any(|leaving| leaving.thread == *thread);
        let Some(entry) = self.threads.get(thread).filter(|_| !is_leaving) else {
            let error = match self.state {
                ClientState::Closed => Code::Closed.into(),
                _ if is_leaving => Error::new(Code::Closed, thread.as_str()),
                _ => Error::new(Code::NotMember, thread.as_str()),
            };
            self.fail(receipt, error);
            return receipt;
        };
        let ids: Vec<Id> = entry.members().map(|member| member.peer.id.clone()).collect();
        match self.encode(&Item::Thread {
            thread: thread.clone(),
            body,
        }) {
            Ok(encoded) => {
                self.receipts.group(receipt, ids.len(), true);
                if ids.is_empty() {
                    self.settle(receipt);
                }
                for id in ids {
                    let key = self.peers.key(&id);
                    self.send_encoded(now, key, &encoded, Some(receipt));
                }
            }
            Err(error) => self.fail(receipt, error),
        }
        receipt
    }

    /// To ids and tags, with a name.
    pub fn send_named(&mut self, now: Time, to: &[Name], name: Name, body: Body) -> Receipt {
        let receipt = self.receipts.take();
        match self.encode(&Item::Named { name, body }) {
            Ok(encoded) => {
                self.receipts.group(receipt, to.len(), false);
                if to.is_empty() {
                    self.settle(receipt);
                }
                for target in to {
                    self.send_to_name(now, target, encoded.clone(), receipt);
                }
            }
            Err(error) => self.fail(receipt, error),
        }
        receipt
    }

    // ---- the socket ----

    /// The WebSocket is open.
    pub fn socket_opened(&mut self, now: Time) {
        self.session.socket_opened();
        self.after_session(now);
    }

    /// A message came over it.
    pub fn socket_received(&mut self, now: Time, bytes: &[u8]) {
        self.session.socket_received(now, bytes);
        self.after_session(now);
    }

    /// It was closed, or could not be made.
    pub fn socket_closed(&mut self, now: Time, code: u16) {
        self.session.socket_closed(now, code);
        self.after_session(now);
    }

    /// The network is back, or the page woke up.
    pub fn hurry(&mut self, now: Time) {
        self.session.hurry(now);
        self.peers.hurry(now);
        self.wake_at(Some(now));
        self.after_session(now);
    }

    /// Loses the socket on purpose; for tests of recovery.
    pub fn drop_socket(&mut self, now: Time) {
        self.session.drop_socket(now);
        self.after_session(now);
    }

    // ---- time ----

    /// Time has passed.
    pub fn tick(&mut self, now: Time) {
        let late = self.wake.take().map_or(0, |wake| now - wake);
        self.session.tick(now, late);
        self.after_session(now);
        for (thread, change) in self.threads.tick(now) {
            self.thread_change(now, &thread, change);
        }
        self.tick_peers(now, late);
        self.tick_lookups(now);
        self.tick_requests(now);
        self.finish_leaving(now);
        self.after_session(now);
        let next = earliest(
            self.threads.poll_timeout(),
            self.peers.poll_timeout(self.is_online()),
        );
        self.wake_at(earliest(next, self.requests.poll_timeout()));
        let leaving = self
            .leaving
            .iter()
            .fold(None, |time, leaving| earliest(time, Some(leaving.until)));
        self.wake_at(leaving);
    }

    /// When [`Client::tick`] is to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.state == ClientState::Closed {
            None
        } else {
            self.wake
        }
    }

    fn wake_at(&mut self, time: Option<Time>) {
        self.wake = earliest(self.wake, time);
    }

    /// How much is kept for others: entries of every queue and table that grows with what is sent and asked. 0 when
    /// nothing waits. For tests.
    #[doc(hidden)]
    #[must_use]
    pub fn kept(&self) -> usize {
        self.session.backlog()
            + self.joins.len()
            + self.leaving.len()
            + self.receipts.open()
            + self.requests.open()
            + self.peers.kept()
    }

    /// Bytes of messages that wait, on their way out or in, or for a membership. For tests.
    #[doc(hidden)]
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.peers.kept_bytes()
    }

    /// How many peers this client has met. For tests.
    #[doc(hidden)]
    #[must_use]
    pub fn peer_count(&self) -> u32 {
        self.peers.count()
    }

    // ---- inside ----

    fn op(&mut self) -> u32 {
        let op = self.next_op;
        self.next_op = self.next_op.wrapping_add(1);
        op
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn set_state(&mut self, state: ClientState) {
        if self.state != state {
            self.state = state;
            self.event(Event::State(state));
        }
    }

    fn session_send(&mut self, frame: ClientFrame) {
        self.session.send(frame);
        self.drain_sends();
    }

    /// Moves what the session wants sent; what else it says is for [`Client::after_session`].
    fn drain_sends(&mut self) {
        while let Some(bytes) = self.session.poll_send() {
            self.outputs.push_back(Output::SocketSend(bytes));
        }
    }

    fn send_names(&mut self, names: Vec<Name>, frame: impl Fn(Vec<Name>) -> ClientFrame) {
        if self.state == ClientState::Idle {
            // Said with the first welcome.
            return;
        }
        for chunk in names.chunks(crate::wire::limits::NAMES_PER_FRAME) {
            self.session_send(frame(chunk.to_vec()));
        }
    }

    fn encode(&self, item: &Item) -> Result<Encoded, Error> {
        match self.state {
            ClientState::Closed => Err(Code::Closed.into()),
            _ => Encoded::new(item).ok_or_else(|| Code::TooLarge.into()),
        }
    }

    fn is_online(&self) -> bool {
        self.session.state() == SessionState::Online
    }

    fn after_session(&mut self, now: Time) {
        while let Some(output) = self.session.poll_output() {
            match output {
                SessionOutput::Connect => self.outputs.push_back(Output::Connect),
                SessionOutput::Send(bytes) => self.outputs.push_back(Output::SocketSend(bytes)),
                SessionOutput::Close => self.outputs.push_back(Output::SocketClose),
                SessionOutput::Welcomed(welcome) => self.welcomed(now, *welcome),
                SessionOutput::Frame(frame) => self.server_frame(now, *frame),
                SessionOutput::Lost => {
                    self.set_state(ClientState::Recovering);
                    self.relay_lost(now);
                }
                SessionOutput::Ended(error) => {
                    if self.opening.is_none() {
                        self.event(Event::Error(error.clone()));
                    }
                    self.end(&error);
                }
            }
        }
        self.wake_at(self.session.poll_timeout());
    }

    fn end(&mut self, error: &Error) {
        if let Some(receipt) = self.opening.take() {
            self.outputs.push_back(Output::Reject(receipt, error.clone()));
        }
        for (_, (_, receipts)) in self.joins.drain() {
            for receipt in receipts {
                self.outputs.push_back(Output::Reject(receipt, error.clone()));
            }
        }
        for leaving in self.leaving.drain(..) {
            self.outputs
                .push_back(Output::Settle(leaving.receipt, leaving.receipt));
        }
        self.end_requests(error);
        self.end_peers(error);
        self.threads = Threads::default();
        self.set_state(ClientState::Closed);
        self.wake = None;
    }

    fn welcomed(&mut self, now: Time, welcome: Welcome) {
        let first = self.state == ClientState::Connecting;
        if let Some(servers) = welcome.ice_servers {
            self.outputs.push_back(Output::IceServers(servers));
        }
        self.set_state(ClientState::Online);
        if let Some(receipt) = self.opening.take() {
            self.settle(receipt);
        }
        if !welcome.resumed {
            self.tell_everything(first);
        }
        self.session_is_back(now, welcome.resumed);
    }

    /// A session began: the server is told of threads, tags, watches and open questions.
    fn tell_everything(&mut self, first: bool) {
        let (tags, watches) = (self.tags.clone(), self.watches.clone());
        self.send_names_now(tags, |names| ClientFrame::Tag { names });
        self.send_names_now(watches, |names| ClientFrame::Watch { names });
        if first {
            // Joins and questions of before the welcome are in the session's outbox and went along.
            return;
        }
        // It may have changed between the hello and the welcome.
        let user_data = self.session.identity.user_data.clone();
        self.session_send(ClientFrame::UserData { user_data });
        let threads: Vec<ThreadId> = self.threads.iter().map(|(id, _)| id.clone()).collect();
        for thread in threads {
            let op = self.op();
            let Some(entry) = self.threads.get_mut(&thread) else {
                continue;
            };
            let before = entry.op.replace(op);
            let frame = ClientFrame::Join {
                op,
                thread: thread.clone(),
                user_data: entry.user_data.clone(),
                media: entry.media,
            };
            let waiting = before
                .and_then(|op| self.joins.remove(&op))
                .map_or_else(Vec::new, |(_, waiting)| waiting);
            self.joins.insert(op, (thread, waiting));
            self.session_send(frame);
        }
        self.ask_again();
    }

    fn send_names_now(&mut self, names: Vec<Name>, frame: impl Fn(Vec<Name>) -> ClientFrame) {
        for chunk in names.chunks(crate::wire::limits::NAMES_PER_FRAME) {
            self.session_send(frame(chunk.to_vec()));
        }
    }

    fn server_frame(&mut self, now: Time, frame: ServerFrame) {
        match frame {
            ServerFrame::Welcome(_) | ServerFrame::Pong { .. } | ServerFrame::Drain { .. } => {}
            ServerFrame::Joined { op, thread, members } => self.joined(now, op, &thread, members),
            ServerFrame::MemberJoined { thread, member } | ServerFrame::MemberUpdated { thread, member } => {
                if Some(&member.peer.id) == self.id() {
                    return;
                }
                let Some(entry) = self.threads.get_mut(&thread) else {
                    return;
                };
                for change in entry.put(member) {
                    self.thread_change(now, &thread, change);
                }
            }
            ServerFrame::MemberLeft {
                thread,
                id,
                instance,
                reason,
            } => {
                let Some(entry) = self.threads.get_mut(&thread) else {
                    return;
                };
                if entry
                    .member(&id)
                    .is_some_and(|member| member.peer.instance == instance)
                    && let Some(change) = entry.remove(&id, reason)
                {
                    self.thread_change(now, &thread, change);
                }
            }
            ServerFrame::PeerUpdated { peer } => self.peer_updated(now, peer),
            ServerFrame::Presence {
                name,
                id,
                online,
                tagged,
            } => {
                self.event(Event::Presence {
                    id,
                    tag: tagged.then_some(name),
                    online,
                });
            }
            ServerFrame::Found { op, peers } => self.found(now, op, peers),
            ServerFrame::Signal {
                from,
                instance,
                signal,
            } => self.signal(now, &from, instance, signal),
            ServerFrame::Relay {
                from,
                instance,
                frame,
            } => self.relayed(now, &from, instance, frame),
            ServerFrame::Unreachable { to, instance } => self.unreachable(now, &to, instance),
            ServerFrame::Fault {
                op,
                code,
                detail,
                retry_after,
            } => {
                self.fault(
                    now,
                    op,
                    Error {
                        code,
                        detail,
                        retry_after,
                    },
                );
            }
        }
    }

    fn joined(&mut self, now: Time, op: u32, thread: &ThreadId, mut members: Vec<crate::wire::Member>) {
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

    fn fault(&mut self, now: Time, op: Option<u32>, error: Error) {
        let Some(op) = op else {
            self.event(Event::Error(error));
            return;
        };
        if let Some((thread, receipts)) = self.joins.remove(&op) {
            let nobody_waits = receipts.is_empty();
            for receipt in receipts {
                self.outputs.push_back(Output::Reject(receipt, error.clone()));
            }
            let ended = self.threads.get_mut(&thread).is_some_and(|entry| {
                entry.op = None;
                entry.standing == Standing::Joining || nobody_waits
            });
            if ended {
                if let Some(entry) = self.threads.leave(&thread) {
                    self.unshare(now, &entry);
                }
                if nobody_waits {
                    self.event(Event::ThreadEnded(thread, error));
                }
            }
        } else if !self.find_failed(op, &error) {
            self.event(Event::Error(error));
        }
    }

    fn thread_change(&mut self, now: Time, thread: &ThreadId, change: Change) {
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
    fn unshare(&mut self, now: Time, thread: &crate::thread::Thread) {
        for member in thread.members() {
            let key = self.peers.key(&member.peer.id);
            if !self.threads.shares(&member.peer.id) {
                self.unshared(now, key, crate::wire::LeaveReason::Left, true);
            }
        }
    }

    fn finish_leaving(&mut self, now: Time) {
        if self.leaving.is_empty() {
            return;
        }
        let online = self.is_online();
        let (done, wait): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.leaving)
                .into_iter()
                .partition(|leaving| {
                    leaving.until <= now
                        || !online
                        || self.threads.get(&leaving.thread).is_none_or(|thread| {
                            thread
                                .members()
                                .all(|member| self.peers.is_settled(&member.peer.id))
                        })
                });
        self.leaving = wait;
        for leaving in done {
            if let Some(thread) = self.threads.leave(&leaving.thread) {
                self.session_send(ClientFrame::Leave {
                    thread: leaving.thread,
                });
                self.unshare(now, &thread);
                if let Some(op) = thread.op
                    && let Some((_, receipts)) = self.joins.remove(&op)
                {
                    for receipt in receipts {
                        self.outputs
                            .push_back(Output::Reject(receipt, Code::Closed.into()));
                    }
                }
            }
            self.settle(leaving.receipt);
        }
    }
}

fn add(set: &mut Vec<Name>, names: Vec<Name>) -> Vec<Name> {
    let mut new = Vec::new();
    for name in names {
        if !set.contains(&name) {
            set.push(name.clone());
            new.push(name);
        }
    }
    new
}

fn remove(set: &mut Vec<Name>, names: &[Name]) -> Vec<Name> {
    let mut gone = Vec::new();
    set.retain(|name| {
        let going = names.contains(name);
        if going {
            gone.push(name.clone());
        }
        !going
    });
    gone
}
