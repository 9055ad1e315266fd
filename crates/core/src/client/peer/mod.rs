//! Peers: what is known of each, when there is a link to it, and what travels over it.

mod book;
mod path;
mod reason;
mod relay;

use std::collections::VecDeque;

pub(super) use book::Peers;

use super::connection::{self, Connection};
use super::delivery::{Lookup, Waiting};
use super::{Channel, Client, Event, Number, Output};
use crate::error::{Code, Error};
use crate::link::{Carrier, Encoded, Link, Receipt, SILENCE};
use crate::map::Map;
use crate::negotiation::Op;
use crate::time::{Time, earliest};
use crate::wire::{Body, ClientFrame, Id, Instance, LinkFrame, Name, PeerInfo, ThreadId, codec, limits};

use path::{Path, Stage};

/// Milliseconds without a direct path after which messages travel through the server, the first time.
const RELAY_AFTER: u64 = 5_000;
/// Milliseconds that the side which does not make the first offer waits for it.
const OFFER_WITHIN: u64 = 4_000;
/// Milliseconds between tries to reach a peer that the server did not know a moment ago.
const UNREACHABLE_RETRY: u64 = 1_000;
/// Milliseconds that somebody whom the server has lost counts as not gone for good.
const OUTAGE: u64 = 60_000;
/// Milliseconds between the questions whether a member whom the server does not know is back; it tells of it, too.
const ABSENT_RETRY: u64 = 5_000;

/// Names one peer within a client: an index, good for the client's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub u32);

/// `peer.state` of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// No link, and no reason for one; or the peer is gone.
    Offline,
    /// A link is being made.
    Connecting,
    /// Direct.
    Live,
    /// A link was there and is being restored.
    Recovering,
    /// Through the server.
    Relayed,
}

impl PeerState {
    /// As in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Recovering => "recovering",
            Self::Relayed => "relayed",
        }
    }
}

#[derive(Debug)]
struct Held {
    thread: ThreadId,
    body: Body,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: Id,
    /// What the server says of it, once asked or told.
    info: Option<PeerInfo>,
    state: PeerState,
    /// This page addressed it.
    wanted: bool,
    /// It addressed this page.
    accepted: bool,
    /// A thread is shared.
    shared: bool,
    /// It had a way to this client before, in this life.
    was_reached: bool,
    /// The server did not know it a moment ago.
    absent: bool,
    pub(super) link: Link,
    pub(in crate::client) connections: Map<Number, Connection>,
    /// How many this client has asked it for.
    pub(in crate::client) connections_made: u32,
    /// The last one that it has asked this client for, in this life.
    pub(in crate::client) connections_heard: u32,
    streams: u32,
    pub(super) path: Option<Path>,
    pub(super) generation: u32,
    next_op: Op,
    retries: u32,
    retry_at: Option<Time>,
    relay_at: Option<Time>,
    release_at: Option<Time>,
    /// What those are told whose messages have not arrived by then.
    release_code: Code,
    outage_at: Option<Time>,
    outage: u64,
    held: VecDeque<Held>,
    held_bytes: usize,
    held_until: Option<Time>,
}

impl Peer {
    fn is_active(&self) -> bool {
        self.wanted || self.accepted || self.shared
    }

    /// `online`: without the server nothing can be begun, and its return is an input.
    pub(super) fn poll_timeout(&self, online: bool) -> Option<Time> {
        let uncarried = self.link.carrier() == Carrier::None;
        [
            self.retry_at.filter(|_| online && !self.absent),
            self.relay_at.filter(|_| online && uncarried && self.is_active()),
            self.release_at,
            self.outage_at.filter(|_| uncarried),
            self.held_until,
            connection::poll_timeout(self.connections.values()),
            self.path.as_ref().and_then(|path| path.poll_timeout(online)),
            self.link.poll_timeout(),
        ]
        .into_iter()
        .fold(None, earliest)
    }

    fn is_stranger(&self) -> bool {
        self.accepted && !self.shared && !self.wanted
    }

    pub(super) fn instance(&self) -> Option<Instance> {
        self.info.as_ref().map(|info| info.instance)
    }

    /// Milliseconds until the server is asked again about one that it did not know.
    fn absent_retry(&self) -> u64 {
        if self.shared {
            ABSENT_RETRY
        } else {
            UNREACHABLE_RETRY
        }
    }

    fn drop_held(&mut self) {
        self.held.clear();
        self.held_bytes = 0;
        self.held_until = None;
    }

    /// No carrier, from now on; `relay_after` milliseconds until the server takes over.
    fn uncarried(&mut self, now: Time, relay_after: u64) {
        self.link.carry(now, Carrier::None);
        self.relay_at = Some(now + relay_after);
        self.outage_at.get_or_insert(now + self.outage);
    }
}

impl Client {
    /// The key of that id, made when there is none.
    pub fn peer(&mut self, id: &Id) -> PeerKey {
        self.peers.key(id)
    }

    /// A peer's id.
    #[must_use]
    pub fn peer_id(&self, key: PeerKey) -> &Id {
        self.peers.id(key)
    }

    /// `peer.state`.
    #[must_use]
    pub fn peer_state(&self, key: PeerKey) -> PeerState {
        self.peers.get(key).state
    }

    /// Milliseconds from a question to its answer over the link, when one was last asked.
    #[must_use]
    pub fn peer_round_trip(&self, key: PeerKey) -> Option<u64> {
        self.peers.get(key).link.round_trip()
    }

    /// Bytes that wait for a peer or are not confirmed, those of connections included.
    #[must_use]
    pub fn peer_waiting(&self, key: PeerKey) -> usize {
        let peer = self.peers.get(key);
        let connections = peer.connections.values().map(Connection::waiting);
        peer.link.outbox_bytes() + connections.sum::<usize>()
    }

    /// What the server says of a peer.
    #[must_use]
    pub fn peer_info(&self, key: PeerKey) -> Option<&PeerInfo> {
        self.peers.get(key).info.as_ref()
    }

    /// Every peer that there is a reason for a link to.
    pub fn active_peers(&self) -> impl Iterator<Item = PeerKey> {
        self.peers.keys().filter(|key| self.peers.get(*key).is_active())
    }

    // ---- sending ----

    pub(super) fn send_encoded(
        &mut self,
        now: Time,
        key: PeerKey,
        message: &Encoded,
        receipt: Option<Receipt>,
    ) {
        if Some(self.peers.id(key)) == self.id() {
            if let Some(receipt) = receipt {
                self.fail(
                    receipt,
                    Error::new(Code::InvalidOption, "this is the client's own id"),
                );
            }
            return;
        }
        let peer = self.peers.get_mut(key);
        let full = peer.link.outbox_bytes() > limits::OUTBOX;
        match receipt {
            Some(receipt) if full => {
                let error = Error::about(Code::BacklogFull, &peer.id);
                self.fail(receipt, error);
                return;
            }
            None if full || peer.link.answers() >= limits::ANSWERS => {
                self.violated(now, key, "asks for more than it takes");
                return;
            }
            _ => {}
        }
        peer.link.send(now, message, receipt);
        self.await_path(now, key);
        let peer = self.peers.get_mut(key);
        if peer.state == PeerState::Offline || !peer.is_active() {
            peer.wanted = true;
            peer.release_at = None;
            if peer.info.is_none() || peer.state == PeerState::Offline {
                let name = Name::from(&peer.id);
                if !peer.shared {
                    self.look_up(now, &name, Waiting::Peer(key));
                }
            } else {
                self.activate(now, key);
            }
            self.refresh(key);
        }
        self.flush(now, key);
    }

    /// Something waits: without a path, only so long.
    pub(super) fn await_path(&mut self, now: Time, key: PeerKey) {
        let peer = self.peers.get_mut(key);
        if peer.link.carrier() == Carrier::None {
            peer.outage_at.get_or_insert(now + peer.outage);
            self.wake_for(key);
        }
    }

    /// Hands over what the carrier takes.
    pub(super) fn flush(&mut self, now: Time, key: PeerKey) {
        let online = self.is_online();
        loop {
            let peer = self.peers.get_mut(key);
            if peer.link.carrier() == Carrier::Relay && !online {
                break;
            }
            let Some(frame) = peer.link.poll_frame(now) else {
                break;
            };
            match (peer.link.carrier(), &peer.path) {
                (Carrier::Channel, Some(path)) => {
                    let generation = path.negotiation.generation();
                    self.outputs
                        .push_back(Output::ChannelSend(key, generation, Channel::Link, frame));
                }
                _ => self.relay_frame(key, &frame),
            }
        }
        let peer = self.peers.get_mut(key);
        if peer.link.poll_awaits_channel()
            && let Some(path) = &peer.path
        {
            let generation = path.negotiation.generation();
            self.outputs
                .push_back(Output::AwaitDrained(key, generation, Channel::Link));
        }
        self.wake_for(key);
    }

    fn relay_frame(&mut self, key: PeerKey, frame: &[u8]) {
        let peer = self.peers.get(key);
        let (to, instance) = (peer.id.clone(), peer.instance());
        if let Ok(frame) = codec::decode::<LinkFrame>(frame) {
            self.session_send(ClientFrame::Relay { to, instance, frame });
        }
    }

    // ---- time and state ----

    /// The network may have changed, or the page slept: what waits for a retry is tried now, and what seems to be well is
    /// asked whether it is.
    pub(super) fn hurry_peers(&mut self, now: Time) {
        for key in self.peers.keys() {
            let peer = self.peers.get_mut(key);
            if peer.retry_at.is_some() {
                peer.retries = 0;
                peer.retry_at = Some(now);
            }
            if self.is_online() {
                self.restore_again(now, key, false);
            }
            self.suspect(now, key);
        }
    }

    pub(super) fn tick_peers(&mut self, now: Time, late: u64) {
        for key in self.peers.keys() {
            let online = self.is_online();
            let peer = self.peers.get_mut(key);
            let due = |at: Option<Time>| at.is_some_and(|at| at <= now);
            if due(peer.held_until) {
                peer.drop_held();
            }
            if due(peer.release_at) {
                self.release(key);
                continue;
            }
            if due(peer.outage_at) && peer.link.carrier() == Carrier::None {
                peer.outage_at = None;
                if !peer.shared {
                    self.give_up(key, Code::PeerLeft);
                    continue;
                }
                let connected = peer
                    .connections
                    .values()
                    .any(|connection| !connection.is_settled());
                if peer.link.is_settled() && !connected {
                    continue;
                }
                let detail = format!("no way to {} for {} seconds", peer.id, peer.outage / 1_000);
                self.abandon(key, &Error::new(Code::Timeout, detail));
                continue;
            }
            match peer.path.as_ref().map(|path| path.stage) {
                Some(Stage::Making(until)) if until <= now => self.path_lost(now, key),
                Some(Stage::Restoring { .. }) => self.restore_path(now, key),
                _ => {}
            }
            self.tick_connections(now, key);
            let peer = self.peers.get_mut(key);
            peer.link.watch(peer.wanted || peer.shared);
            if self.peers.get_mut(key).link.tick(now, late) {
                // So long without a word that the server's way is due, unless the page wants to wait longer.
                let relay = self.config.recovery.relay.saturating_sub(SILENCE);
                self.path_failed(now, key, relay);
            }
            let peer = self.peers.get_mut(key);
            if due(peer.retry_at) {
                if peer.path.is_some() {
                    peer.retry_at = None;
                } else if online && !peer.absent {
                    self.connect(now, key);
                }
            }
            let peer = self.peers.get_mut(key);
            if due(peer.relay_at) {
                if peer.link.carrier() != Carrier::None {
                    peer.relay_at = None;
                } else if online && peer.is_active() && peer.absent {
                    peer.relay_at = Some(now + peer.absent_retry());
                    let name = Name::from(&peer.id);
                    self.look_up(now, &name, Waiting::Absent(key));
                } else if online && peer.is_active() {
                    self.start_relay(now, key);
                }
            }
            self.flush(now, key);
            self.refresh(key);
        }
    }

    /// Tells the page if `peer.state` has changed.
    fn refresh(&mut self, key: PeerKey) {
        let peer = self.peers.get_mut(key);
        let state = match peer.link.carrier() {
            Carrier::Channel => PeerState::Live,
            Carrier::Relay if !peer.link.is_stalled() => PeerState::Relayed,
            Carrier::None if !peer.is_active() => PeerState::Offline,
            _ if peer.was_reached => PeerState::Recovering,
            _ => PeerState::Connecting,
        };
        if peer.state != state {
            peer.state = state;
            self.event(Event::PeerState(key, state));
        }
    }

    /// The client is over.
    pub(super) fn end_peers(&mut self, error: &Error) {
        for key in self.peers.keys() {
            self.drop_connection(key);
            let peer = self.peers.get_mut(key);
            peer.shared = false;
            peer.wanted = false;
            peer.accepted = false;
            peer.link.carry(Time(0), Carrier::None);
            peer.link.drop_assembly();
            peer.drop_held();
            self.abandon(key, error);
            self.refresh(key);
        }
        let lookups: Vec<Lookup> = self.peers.lookups.drain().map(|(_, lookup)| lookup).collect();
        for lookup in lookups {
            self.lookup_failed(lookup, error);
        }
    }
}
