//! Peers: what is known of each, when there is a link to it, and what travels over it.

mod book;
mod connection;
mod reason;
mod relay;

use std::collections::VecDeque;

pub(super) use book::Peers;

use super::delivery::{Lookup, Waiting};
use super::{Client, Event, Output};
use crate::error::{Code, Error};
use crate::link::{Carrier, Encoded, Link, Receipt};
use crate::negotiation::Op;
use crate::time::{Time, earliest};
use crate::wire::{Body, ClientFrame, Id, Instance, LinkFrame, Name, PeerInfo, ThreadId, codec};

use connection::Connection;

/// Milliseconds without a direct path after which messages travel through the server, the first time.
const RELAY_AFTER: u64 = 5_000;
/// The same when a path was there before.
const RELAY_AGAIN_AFTER: u64 = 2_000;
/// Milliseconds that the side which does not make the first offer waits for it.
const OFFER_WITHIN: u64 = 4_000;
/// Milliseconds between tries to reach a peer that the server did not know a moment ago.
const UNREACHABLE_RETRY: u64 = 1_000;
/// Milliseconds without any path after which what waits is rejected.
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
struct Peer {
    id: Id,
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
    link: Link,
    streams: u32,
    connection: Option<Connection>,
    generation: u32,
    next_op: Op,
    retries: u32,
    retry_at: Option<Time>,
    relay_at: Option<Time>,
    release_at: Option<Time>,
    /// What those are told whose messages have not arrived by then.
    release_code: Code,
    outage_at: Option<Time>,
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
        let connection = self.connection.as_ref().filter(|connection| !connection.open);
        let uncarried = self.link.carrier() == Carrier::None;
        [
            self.retry_at.filter(|_| online && !self.absent),
            self.relay_at.filter(|_| online && uncarried && self.is_active()),
            self.release_at,
            self.outage_at.filter(|_| uncarried),
            self.held_until,
            connection.map(|connection| connection.deadline),
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
        self.outage_at.get_or_insert(now + OUTAGE);
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
        peer.link.send(now, message, receipt);
        if peer.link.carrier() == Carrier::None {
            peer.outage_at.get_or_insert(now + OUTAGE);
        }
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

    /// Hands over what the carrier takes.
    fn flush(&mut self, now: Time, key: PeerKey) {
        let online = self.is_online();
        loop {
            let peer = self.peers.get_mut(key);
            if peer.link.carrier() == Carrier::Relay && !online {
                break;
            }
            let Some(frame) = peer.link.poll_frame(now) else {
                break;
            };
            match (peer.link.carrier(), &peer.connection) {
                (Carrier::Channel, Some(connection)) => {
                    let generation = connection.negotiation.generation();
                    self.outputs
                        .push_back(Output::ChannelSend(key, generation, frame));
                }
                _ => self.relay_frame(key, &frame),
            }
        }
        let peer = self.peers.get_mut(key);
        if peer.link.poll_awaits_channel()
            && let Some(connection) = &peer.connection
        {
            let generation = connection.negotiation.generation();
            self.outputs.push_back(Output::AwaitDrained(key, generation));
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
                if peer.link.is_settled() {
                    continue;
                }
                let detail = format!("no way to {} for a minute", peer.id);
                self.abandon(key, &Error::new(Code::Timeout, detail));
                continue;
            }
            let overdue = peer
                .connection
                .as_ref()
                .is_some_and(|connection| !connection.open && connection.deadline <= now);
            if overdue || peer.link.tick(now, late) {
                self.connection_lost(now, key);
            }
            let peer = self.peers.get_mut(key);
            if due(peer.retry_at) {
                if peer.connection.is_some() {
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
            Carrier::Relay => PeerState::Relayed,
            Carrier::None if !peer.is_active() => PeerState::Offline,
            Carrier::None if peer.was_reached => PeerState::Recovering,
            Carrier::None => PeerState::Connecting,
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
