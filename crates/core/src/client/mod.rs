//! One page's half of the protocol: session, threads, peers and their links, requests, receipts.
//!
//! Every method takes the present time and leaves what is to be done in one queue, [`Client::poll_output`]. Browser
//! calls go out as commands and come back as inputs with the same generation and op; a stale answer is dropped.

mod connection;
mod delivery;
mod membership;
mod names;
mod output;
mod peer;
mod requests;

use std::collections::VecDeque;

pub use connection::{Channel, ConnectionKey, Number, Terms};
pub use output::{Asker, ClientState, Event, Output};
pub use peer::{PeerKey, PeerState};

use crate::error::{Code, Error};
use crate::link::{Encoded, Receipt};
use crate::map::Map;
use crate::privacy::Privacy;
use crate::recovery::Recovery;
use crate::session::{Identity, Session, SessionOutput, SessionState};
use crate::thread::Threads;
use crate::time::{Time, earliest};
use crate::wire::codec::Codec;
use crate::wire::{ClientFrame, Id, Instance, Item, JsonText, Name, Secret, ServerFrame, ThreadId, Welcome};

use delivery::Receipts;
use membership::Leaving;
use peer::Peers;
use requests::Requests;

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
    /// What others may learn of where this page is.
    pub privacy: Privacy,
    /// How frames are encoded towards the server.
    pub codec: Codec,
    /// Milliseconds that the first open may take.
    pub timeout: u64,
    /// When each step of recovery is tried.
    pub recovery: Recovery,
    /// Spreads retries of many clients; any number.
    pub seed: u64,
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
            session: Session::new(
                identity,
                config.codec,
                config.timeout,
                config.recovery.clone(),
                config.seed,
            ),
            peers: Peers::new(config.recovery.outage),
            config,
            state: ClientState::Idle,
            threads: Threads::default(),
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

    /// Changes the client's own user data.
    pub fn set_user_data(&mut self, user_data: Option<JsonText>) {
        self.session.identity.user_data.clone_from(&user_data);
        // Before the first welcome the hello says it.
        if self.state != ClientState::Idle {
            self.session_send(ClientFrame::UserData { user_data });
        }
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
        self.hurry_peers(now);
        self.wake_at(Some(now));
        self.after_session(now);
    }

    /// Loses the socket on purpose; for tests of recovery.
    pub fn drop_socket(&mut self, now: Time) {
        self.session.drop_socket(now);
        self.after_session(now);
    }

    /// Loses the socket and what the server would repeat, so that the session can't be resumed; for tests of recovery.
    pub fn refuse_resume(&mut self, now: Time) {
        self.session.refuse_resume(now);
        self.after_session(now);
    }

    /// The server says that it goes away, to come back to in `return_after` milliseconds; for tests of recovery.
    pub fn drain(&mut self, now: Time, return_after: u32) {
        self.session.drain(now, return_after);
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
        self.end_membership(error);
        self.end_requests(error);
        self.end_peers(error);
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
        self.tell_names();
        if first {
            // Joins and questions of before the welcome are in the session's outbox and went along.
            return;
        }
        // It may have changed between the hello and the welcome.
        let user_data = self.session.identity.user_data.clone();
        self.session_send(ClientFrame::UserData { user_data });
        self.join_again();
        self.ask_again();
    }

    fn server_frame(&mut self, now: Time, frame: ServerFrame) {
        match frame {
            ServerFrame::Welcome(_) | ServerFrame::Pong { .. } | ServerFrame::Drain { .. } => {}
            ServerFrame::Joined { op, thread, members } => self.joined(now, op, &thread, members),
            ServerFrame::MemberJoined { thread, member } | ServerFrame::MemberUpdated { thread, member } => {
                self.member_is(now, &thread, member);
            }
            ServerFrame::MemberLeft {
                thread,
                id,
                instance,
                reason,
            } => self.member_left(now, &thread, &id, instance, reason),
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
                        retry_after,
                        ..Error::new(code, detail)
                    },
                );
            }
        }
    }

    fn fault(&mut self, now: Time, op: Option<u32>, error: Error) {
        let Some(op) = op else {
            self.event(Event::Error(error));
            return;
        };
        if !self.join_failed(now, op, &error) && !self.find_failed(op, &error) {
            self.event(Event::Error(error));
        }
    }
}
