//! Connections: explicit data sessions with a peer, asked for by one side and accepted by the other.
//!
//! What is said about them travels on the link's own stream, so it is in order and survives what the link survives. Their
//! messages have a channel each, which the side that asked makes whenever there is a direct path, and go through the
//! server while there is none.

mod carriage;

use super::peer::PeerKey;
use super::{Client, ClientState, Event, Output};
use crate::error::{Code, Error};
use crate::link::{Carrier, Delivery, Encoded, Receipt, Stream};
use crate::time::{Time, earliest};
use crate::wire::{Item, JsonText, Manifest, Name, limits};

/// Milliseconds that the rest of a lossy connection may take to arrive once the other side has closed it.
const REST: u64 = 1_000;
/// Bytes that may wait for a peer when it is told that it goes on with something that is over.
const DISOWNED: usize = 64 * 1024;

/// Names one connection within a client, for the client's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionKey {
    /// With whom.
    pub peer: PeerKey,
    /// Which one with them.
    pub number: Number,
}

/// Names a connection within a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Number {
    /// Asked for by this side.
    Ours(u32),
    /// Asked for by the other side.
    Theirs(u32),
}

impl Number {
    fn new(ours: bool, number: u32) -> Self {
        if ours {
            Self::Ours(number)
        } else {
            Self::Theirs(number)
        }
    }

    fn parts(self) -> (bool, u32) {
        match self {
            Self::Ours(number) => (true, number),
            Self::Theirs(number) => (false, number),
        }
    }
}

/// A channel of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// Channel 0.
    Link,
    /// A connection's own.
    Connection(Number),
}

/// What a connection is asked for with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What it is for.
    pub label: Option<Name>,
    /// More about it.
    pub metadata: Option<JsonText>,
    /// Whether messages keep their order.
    pub ordered: bool,
    /// How often a lost packet is sent again; none: until it has arrived.
    pub max_retransmits: Option<u16>,
    /// The files that it is to carry, if it is an offer.
    pub manifest: Option<Manifest>,
}

impl Terms {
    /// An offer of files.
    #[must_use]
    pub fn offer(manifest: Manifest) -> Self {
        Self {
            label: None,
            metadata: None,
            ordered: true,
            max_retransmits: None,
            manifest: Some(manifest),
        }
    }

    fn ask(&self, number: u32) -> Item {
        if let Some(manifest) = &self.manifest {
            return Item::Offer {
                number,
                manifest: manifest.clone(),
            };
        }
        Item::Connect {
            number,
            label: self.label.clone(),
            metadata: self.metadata.clone(),
            ordered: self.ordered,
            max_retransmits: self.max_retransmits,
        }
    }

    fn manifest_bytes(&self) -> usize {
        self.manifest
            .as_ref()
            .map_or(0, |manifest| manifest.as_str().len())
    }

    fn delivery(&self) -> Delivery {
        match (self.max_retransmits, self.ordered) {
            (Some(_), _) => Delivery::Lossy,
            (None, true) => Delivery::Ordered,
            (None, false) => Delivery::Unordered,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// The other side, or this page, is to say whether it is accepted.
    Pending,
    Open,
    /// Closed by this page as soon as everything has arrived, or when nothing has by then.
    Closing(Name, Receipt, Time),
    /// Closed by the other side; what is in the channel may come until then.
    Ending(Name, Time),
}

#[derive(Debug)]
pub(super) struct Connection {
    terms: Terms,
    stage: Stage,
    stream: Stream,
    channel: Opening,
    /// There was no way to the other side, whose answer may be given up: it is asked again.
    asks_again: bool,
    /// How often its channel was closed on the present path.
    closes: u32,
    /// When it is made anew.
    reopen_at: Option<Time>,
}

/// How far a connection's channel has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    None,
    Asked,
    Open,
}

impl Connection {
    fn new(terms: Terms) -> Self {
        Self {
            stream: Stream::new(terms.delivery()),
            terms,
            stage: Stage::Pending,
            channel: Opening::None,
            asks_again: false,
            closes: 0,
            reopen_at: None,
        }
    }

    fn is_lossy(&self) -> bool {
        self.terms.max_retransmits.is_some()
    }

    pub(super) fn owes(&self) -> bool {
        self.stream.owes()
    }

    pub(super) fn is_settled(&self) -> bool {
        self.stream.is_settled()
    }

    pub(super) fn waiting(&self) -> usize {
        self.stream.outbox_bytes()
    }

    pub(super) fn kept(&self) -> usize {
        1 + self.stream.kept()
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let end = match self.stage {
            Stage::Ending(_, until) | Stage::Closing(_, _, until) => Some(until),
            _ => None,
        };
        earliest(end, self.reopen_at)
    }
}

impl Client {
    // ---- the page's calls ----

    /// Asks a peer for a connection. [`Event::ConnectionOpen`] says that it was accepted.
    ///
    /// # Errors
    /// `closed`; `invalid_option` for the client's own id; `too_large`: label and metadata don't fit.
    pub fn connect_to(&mut self, now: Time, peer: PeerKey, terms: Terms) -> Result<ConnectionKey, Error> {
        if Some(self.peers.id(peer)) == self.id() {
            return Err(Error::new(Code::InvalidOption, "this is the client's own id"));
        }
        let state = self.peers.get_mut(peer);
        state.connections_made += 1;
        let number = state.connections_made;
        let asks = self.encode(&terms.ask(number))?;
        let key = ConnectionKey {
            peer,
            number: Number::Ours(number),
        };
        let state = self.peers.get_mut(peer);
        state.connections.insert(key.number, Connection::new(terms));
        self.tell(now, peer, &asks);
        Ok(key)
    }

    /// Accepts one that was asked for; says nothing if it is gone.
    pub fn accept(&mut self, now: Time, key: ConnectionKey) {
        if let (Number::Theirs(number), Some(connection)) = (key.number, self.connection_mut(key))
            && connection.stage == Stage::Pending
        {
            connection.stage = Stage::Open;
            if let Ok(item) = self.encode(&Item::Accepted { number }) {
                self.tell(now, key.peer, &item);
            }
            self.event(Event::ConnectionOpen(key));
            self.carry_connection(now, key);
        }
    }

    /// Puts in a piece of a message, of at most [`limits::PIECE`] bytes; the last one's receipt is settled when the other
    /// side has the message, or when a lossy connection has handed it over.
    pub fn connection_send(
        &mut self,
        now: Time,
        key: ConnectionKey,
        index: u32,
        last: bool,
        bytes: Vec<u8>,
    ) -> Option<Receipt> {
        let receipt = last.then(|| self.receipts.take());
        let id = self.peers.id(key.peer).clone();
        match self.connection_mut(key) {
            Some(connection) if connection.stage == Stage::Open => {
                let dropped = connection.stream.send(now, index, last, bytes, receipt);
                dropped.into_iter().for_each(|receipt| self.settle(receipt));
                self.await_path(now, key.peer);
                self.flush_connection(now, key);
            }
            _ => {
                if let Some(receipt) = receipt {
                    self.fail(receipt, Error::about(Code::Closed, &id));
                }
            }
        }
        receipt
    }

    /// Whether a connection takes more pieces now; [`Event::ConnectionRoom`] says when it does again.
    pub fn connection_has_room(&mut self, key: ConnectionKey) -> bool {
        self.connection_mut(key)
            .is_some_and(|connection| connection.stage == Stage::Open && connection.stream.has_room())
    }

    /// Whether [`Event::ConnectionRoom`] will come, because more waits now than should.
    pub fn connection_awaits_room(&mut self, key: ConnectionKey) -> bool {
        self.connection_mut(key)
            .is_some_and(|connection| connection.stream.awaits_room())
    }

    /// Bytes that wait or are not confirmed.
    #[must_use]
    pub fn connection_buffered(&self, key: ConnectionKey) -> usize {
        let connections = &self.peers.get(key.peer).connections;
        connections
            .get(&key.number)
            .map_or(0, |connection| connection.stream.outbox_bytes())
    }

    /// Closes one when everything that was sent has arrived, or rejects one that was asked for. The receipt is settled
    /// then.
    pub fn close_connection(&mut self, now: Time, key: ConnectionKey, reason: Name) -> Receipt {
        let receipt = self.receipts.take();
        let until = now + self.config.recovery.outage;
        match self.connection_mut(key) {
            Some(connection) if matches!(connection.stage, Stage::Pending | Stage::Open) => {
                connection.stage = Stage::Closing(reason, receipt, until);
                self.wake_at(Some(until));
                self.finish_connection(now, key);
            }
            _ => self.settle(receipt),
        }
        receipt
    }

    /// Ends one at once, whatever is under way.
    pub fn abort_connection(&mut self, now: Time, key: ConnectionKey, code: Code, reason: &Name) {
        if self.connection_mut(key).is_some() {
            self.say_closed(now, key, reason.as_str());
            self.end_connection(key, code, reason.as_str());
        }
    }

    // ---- what the other side says ----

    pub(super) fn connection_item(&mut self, now: Time, peer: PeerKey, item: Item) {
        match item {
            Item::Connect {
                number,
                label,
                metadata,
                ordered,
                max_retransmits,
            } => {
                let terms = Terms {
                    label,
                    metadata,
                    ordered,
                    max_retransmits,
                    manifest: None,
                };
                self.asked_for(now, peer, number, terms);
            }
            Item::Offer { number, manifest } => self.asked_for(now, peer, number, Terms::offer(manifest)),
            Item::Accepted { number } => {
                let key = ConnectionKey {
                    peer,
                    number: Number::Ours(number),
                };
                match self.connection_mut(key) {
                    Some(connection) if connection.stage == Stage::Pending => {
                        connection.stage = Stage::Open;
                        self.event(Event::ConnectionOpen(key));
                        self.carry_connection(now, key);
                    }
                    Some(_) => {}
                    None => self.disown(now, key),
                }
            }
            Item::Closed { ours, number, reason } => {
                let key = ConnectionKey {
                    peer,
                    number: Number::new(!ours, number),
                };
                match self.connection_mut(key) {
                    Some(connection) if matches!(connection.stage, Stage::Ending(..)) => {}
                    Some(connection)
                        if connection.is_lossy() && connection.stream.carrier() == Carrier::Channel =>
                    {
                        let before =
                            std::mem::replace(&mut connection.stage, Stage::Ending(reason, now + REST));
                        if let Stage::Closing(_, receipt, _) = before {
                            self.settle(receipt);
                        }
                        self.wake_at(Some(now + REST));
                    }
                    _ => self.end_connection(key, Code::Closed, reason.as_str()),
                }
            }
            _ => {}
        }
    }

    /// The other side asks for a connection.
    fn asked_for(&mut self, now: Time, peer: PeerKey, number: u32, terms: Terms) {
        let key = ConnectionKey {
            peer,
            number: Number::Theirs(number),
        };
        let state = self.peers.get_mut(peer);
        if state.link.carrier() == Carrier::None {
            // It broke the rules a moment ago, and what else it said then is of no use.
            return;
        }
        if number <= state.connections_heard {
            // Asked again, because the answer may be lost. Numbers are never used for another one.
            match state
                .connections
                .get(&key.number)
                .map(|connection| &connection.stage)
            {
                Some(Stage::Pending) => {}
                Some(_) => {
                    if let Ok(item) = self.encode(&Item::Accepted { number }) {
                        self.send_encoded(now, peer, &item, None);
                    }
                }
                None => self.disown(now, key),
            }
            return;
        }
        state.connections_heard = number;
        let connections = &mut state.connections;
        let theirs = connections
            .iter()
            .filter(|(key, _)| matches!(key, Number::Theirs(_)));
        let (count, bytes) = theirs.fold((0, terms.manifest_bytes()), |(count, bytes), (_, connection)| {
            (count + 1, bytes + connection.terms.manifest_bytes())
        });
        if count >= limits::CONNECTIONS_PER_PEER || bytes > limits::MANIFESTS {
            self.say_closed(now, key, Code::LimitReached.as_str());
        } else if !connections.contains_key(&key.number) {
            connections.insert(key.number, Connection::new(terms.clone()));
            self.event(Event::Connection(key, terms));
        }
    }

    /// A frame of a connection, over its channel or through the server.
    pub(super) fn connection_received(&mut self, now: Time, key: ConnectionKey, bytes: &[u8]) {
        let mut pieces = Vec::new();
        let mut confirmed = Vec::new();
        let patience = self.config.recovery.outage;
        let Some(connection) = self.connection_mut(key) else {
            self.disown(now, key);
            return;
        };
        if connection.stage == Stage::Pending {
            // Nobody has said that it may.
            return;
        }
        let received = connection
            .stream
            .receive(now, bytes, &mut pieces, |receipt| confirmed.push(receipt));
        let room = connection.stream.poll_room();
        let owes = connection.owes();
        if let Stage::Closing(_, _, until) = &mut connection.stage
            && !confirmed.is_empty()
        {
            *until = (*until).max(now + patience);
        }
        for piece in pieces {
            self.event(Event::ConnectionPiece(key, piece));
        }
        for receipt in confirmed {
            self.settle(receipt);
        }
        if room {
            self.event(Event::ConnectionRoom(key));
        }
        if let Err(violation) = received {
            self.fail_connection(now, key, &Error::new(Code::ProtocolViolation, violation.0));
            return;
        }
        if owes {
            self.peers.owe(key.peer);
        }
        self.flush_connection(now, key);
        self.finish_connection(now, key);
    }

    /// The other side goes on with a connection that is over here, because this side could not say so then.
    fn disown(&mut self, now: Time, key: ConnectionKey) {
        if self.peers.get(key.peer).link.outbox_bytes() < DISOWNED {
            self.say_closed(now, key, Code::Closed.as_str());
        }
    }

    /// The link to that peer is over, or begins anew: so are its connections. Returns whether there were any.
    pub(super) fn end_connections(&mut self, peer: PeerKey, code: Code) -> bool {
        let keys = self.connection_keys(peer);
        for key in &keys {
            self.end_connection(*key, code, code.as_str());
        }
        !keys.is_empty()
    }

    /// The other side has ended all that there were when it began anew, and may have heard of some only after that.
    pub(super) fn renew_connections(&mut self, now: Time, peer: PeerKey) {
        for key in self.connection_keys(peer) {
            self.say_closed(now, key, Code::Timeout.as_str());
            self.end_connection(key, Code::Timeout, Code::Timeout.as_str());
        }
    }

    // ---- inside ----

    fn connection_mut(&mut self, key: ConnectionKey) -> Option<&mut Connection> {
        self.peers.get_mut(key.peer).connections.get_mut(&key.number)
    }

    fn connection_keys(&self, peer: PeerKey) -> Vec<ConnectionKey> {
        let numbers = self.peers.get(peer).connections.keys();
        numbers
            .map(|number| ConnectionKey {
                peer,
                number: *number,
            })
            .collect()
    }

    /// Says something about a connection.
    fn tell(&mut self, now: Time, peer: PeerKey, item: &Encoded) {
        if self.state == ClientState::Closed {
            return;
        }
        self.want(now, peer);
        self.send_encoded(now, peer, item, None);
    }

    fn say_closed(&mut self, now: Time, key: ConnectionKey, reason: &str) {
        let (ours, number) = key.number.parts();
        if let Ok(reason) = Name::new(reason)
            && let Ok(item) = self.encode(&Item::Closed { ours, number, reason })
        {
            self.send_encoded(now, key.peer, &item, None);
        }
    }

    /// Closes one that is being closed, once everything has arrived.
    fn finish_connection(&mut self, now: Time, key: ConnectionKey) {
        let Some(connection) = self.connection_mut(key) else {
            return;
        };
        if let Stage::Closing(reason, ..) = &connection.stage
            && connection.stream.is_settled()
        {
            let reason = reason.clone();
            self.say_closed(now, key, reason.as_str());
            self.end_connection(key, Code::Closed, reason.as_str());
        }
    }

    /// The other side broke the rules on this one.
    fn fail_connection(&mut self, now: Time, key: ConnectionKey, error: &Error) {
        self.event(Event::ConnectionError(key, error.clone()));
        self.say_closed(now, key, error.code.as_str());
        self.end_connection(key, error.code, error.code.as_str());
    }

    /// It is over: what was not confirmed fails.
    fn end_connection(&mut self, key: ConnectionKey, code: Code, reason: &str) {
        let id = self.peers.id(key.peer).clone();
        let Some(mut connection) = self.peers.get_mut(key.peer).connections.remove(&key.number) else {
            return;
        };
        for receipt in connection.stream.abandon() {
            self.fail(receipt, Error::about(code, &id));
        }
        match connection.stage {
            Stage::Closing(_, receipt, _) if code == Code::Closed => self.settle(receipt),
            Stage::Closing(_, receipt, _) => self.fail(receipt, Error::about(code, &id)),
            _ => {}
        }
        self.close_channel(key);
        self.event(Event::ConnectionClosed(key, code, reason.into()));
    }

    fn close_channel(&mut self, key: ConnectionKey) {
        let peer = self.peers.get(key.peer);
        if peer.path.is_some() {
            self.outputs.push_back(Output::CloseChannel(key, peer.generation));
        }
    }
}

/// When the first of these has something to do.
pub(super) fn poll_timeout<'a>(connections: impl Iterator<Item = &'a Connection>) -> Option<Time> {
    connections.fold(None, |time, connection| {
        let stream = connection.stream.poll_timeout();
        earliest(time, earliest(connection.poll_timeout(), stream))
    })
}
