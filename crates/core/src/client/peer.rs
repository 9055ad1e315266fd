//! Peers, and when there is a link to them: made when there is a reason, rebuilt when it breaks, replaced by the
//! server's relay when it can't be had, closed when the reason is gone.

use std::collections::VecDeque;

use super::delivery::{Lookup, Waiting};
use super::{Client, Event, Output};
use crate::error::{Code, Error};
use crate::link::{Carrier, Encoded, Link, Receipt};
use crate::map::Map;
use crate::negotiation::{Done, Negotiation, Op, Step};
use crate::time::{Time, earliest};
use crate::wire::{
    Body, Candidate, ClientFrame, DescriptionKind, Id, Instance, LeaveReason, LinkFrame, Name, PeerInfo,
    Signal, ThreadId, codec, limits,
};

/// Milliseconds without a direct path after which messages travel through the server, the first time.
const RELAY_AFTER: u64 = 5_000;
/// The same when a path was there before.
const RELAY_AGAIN_AFTER: u64 = 2_000;
/// Milliseconds that one connection may take to open its channel.
const CONNECT_WITHIN: u64 = 12_000;
/// Milliseconds that the side which does not make the first offer waits for it.
const OFFER_WITHIN: u64 = 4_000;
/// Milliseconds between tries to get a direct path; the last one repeats.
const RETRY: [u64; 6] = [0, 1_000, 3_000, 6_000, 12_000, 30_000];
/// Milliseconds between tries to reach a peer that the server did not know a moment ago.
const UNREACHABLE_RETRY: u64 = 1_000;
/// Milliseconds of that after which it counts as gone, if no thread is shared.
const UNREACHABLE_FOR: u64 = 15_000;
/// Milliseconds that a link outlives its last reason, so that what is under way arrives.
const LINGER: u64 = 1_500;
/// Milliseconds without any path after which what waits is rejected.
const OUTAGE: u64 = 60_000;
/// Milliseconds between the questions whether a member whom the server does not know is back; it tells of it, too.
const ABSENT_RETRY: u64 = 5_000;
/// Milliseconds that a stranger without a direct path may be silent.
const STRANGER_IDLE: u64 = 120_000;
/// Milliseconds that a message waits for its sender's membership to be confirmed.
const HOLD: u64 = 10_000;

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
struct Connection {
    negotiation: Negotiation,
    open: bool,
    deadline: Time,
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
    fn poll_timeout(&self, online: bool) -> Option<Time> {
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

    fn instance(&self) -> Option<Instance> {
        self.info.as_ref().map(|info| info.instance)
    }

    /// No carrier, from now on; `relay_after` milliseconds until the server takes over.
    fn uncarried(&mut self, now: Time, relay_after: u64) {
        self.link.carry(now, Carrier::None);
        self.relay_at = Some(now + relay_after);
        self.outage_at.get_or_insert(now + OUTAGE);
    }
}

/// Every peer that this client has met.
#[derive(Debug, Default)]
pub(super) struct Peers {
    peers: Vec<Peer>,
    keys: Map<Id, PeerKey>,
    pub(super) lookups: Map<Name, Lookup>,
    /// Those that something came from over a channel since [`Client::acknowledge`].
    owing: Vec<PeerKey>,
}

impl Peers {
    /// The key of that id, made when there is none.
    pub(super) fn key(&mut self, id: &Id) -> PeerKey {
        if let Some(key) = self.keys.get(id) {
            return *key;
        }
        let key = PeerKey(u32::try_from(self.peers.len()).unwrap_or(u32::MAX));
        self.peers.push(Peer {
            id: id.clone(),
            info: None,
            state: PeerState::Offline,
            wanted: false,
            accepted: false,
            shared: false,
            was_reached: false,
            absent: false,
            link: Link::new(1),
            streams: 1,
            connection: None,
            generation: 0,
            next_op: 1,
            retries: 0,
            retry_at: None,
            relay_at: None,
            release_at: None,
            release_code: Code::PeerLeft,
            outage_at: None,
            held: VecDeque::new(),
            held_bytes: 0,
            held_until: None,
        });
        self.keys.insert(id.clone(), key);
        key
    }

    pub(super) fn count(&self) -> u32 {
        self.peers.len() as u32
    }

    /// Messages and questions that wait.
    pub(super) fn kept(&self) -> usize {
        let waiting: usize = self.lookups.values().map(|lookup| lookup.waiting.len()).sum();
        let peers = self.peers.iter().map(|peer| peer.link.kept() + peer.held.len());
        waiting + peers.sum::<usize>()
    }

    pub(super) fn kept_bytes(&self) -> usize {
        let peers = self.peers.iter();
        peers
            .map(|peer| peer.link.outbox_bytes() + peer.link.assembly_bytes() + peer.held_bytes)
            .sum()
    }

    fn get(&self, key: PeerKey) -> &Peer {
        &self.peers[key.0 as usize]
    }

    fn get_mut(&mut self, key: PeerKey) -> &mut Peer {
        &mut self.peers[key.0 as usize]
    }

    fn keys(&self) -> impl Iterator<Item = PeerKey> + use<> {
        (0..self.peers.len() as u32).map(PeerKey)
    }

    pub(super) fn id(&self, key: PeerKey) -> &Id {
        &self.get(key).id
    }

    /// The key of a peer that there is a way to, or was a moment ago.
    pub(super) fn reachable(&self, id: &Id) -> Option<PeerKey> {
        let key = *self.keys.get(id)?;
        let peer = self.get(key);
        (peer.info.is_some() && peer.is_active() && peer.state != PeerState::Offline).then_some(key)
    }

    pub(super) fn is_settled(&self, id: &Id) -> bool {
        self.keys
            .get(id)
            .is_none_or(|key| self.get(*key).link.is_settled())
    }

    pub(super) fn hurry(&mut self, now: Time) {
        for peer in &mut self.peers {
            if peer.retry_at.is_some() {
                peer.retries = 0;
                peer.retry_at = Some(now);
            }
        }
    }

    pub(super) fn poll_timeout(&self, online: bool) -> Option<Time> {
        let lookups = self
            .lookups
            .values()
            .fold(None, |time, lookup| earliest(time, Some(lookup.until)));
        self.peers
            .iter()
            .fold(lookups, |time, peer| earliest(time, peer.poll_timeout(online)))
    }

    pub(super) fn hold(
        &mut self,
        now: Time,
        key: PeerKey,
        thread: ThreadId,
        body: Body,
        most: usize,
        most_bytes: usize,
    ) -> Option<Time> {
        let everyone: usize = self.peers.iter().map(|peer| peer.held_bytes).sum();
        let peer = self.get_mut(key);
        let size = body.len();
        if everyone + size > limits::HELD_BYTES_IN_ALL {
            return peer.held_until;
        }
        if peer.held.len() < most && peer.held_bytes + size <= most_bytes {
            peer.held_bytes += size;
            peer.held.push_back(Held { thread, body });
            peer.held_until = Some(now + HOLD);
        }
        peer.held_until
    }

    pub(super) fn holds(&self, key: PeerKey, thread: &ThreadId) -> bool {
        self.get(key).held.iter().any(|held| held.thread == *thread)
    }

    pub(super) fn holding(&self) -> Vec<PeerKey> {
        self.keys()
            .filter(|key| !self.get(*key).held.is_empty())
            .collect()
    }

    pub(super) fn release_held(&mut self, key: PeerKey, thread: &ThreadId) -> Vec<Body> {
        let peer = self.get_mut(key);
        let (out, keep): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut peer.held)
            .into_iter()
            .partition(|held| held.thread == *thread);
        peer.held = keep;
        if peer.held.is_empty() {
            peer.held_until = None;
        }
        let out: Vec<Body> = out.into_iter().map(|held| held.body).collect();
        peer.held_bytes -= out.iter().map(Body::len).sum::<usize>();
        out
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

    // ---- inputs from the browser ----

    /// The connection's `negotiationneeded`.
    pub fn connection_needs_negotiation(&mut self, now: Time, key: PeerKey, generation: u32) {
        self.negotiate(now, key, generation, Negotiation::needed);
    }

    /// The connection's `icecandidate`.
    pub fn connection_candidate(&mut self, now: Time, key: PeerKey, generation: u32, candidate: Candidate) {
        self.negotiate(now, key, generation, |negotiation| {
            negotiation.local_candidate(candidate)
        });
    }

    /// A browser call has ended.
    pub fn connection_done(&mut self, now: Time, key: PeerKey, generation: u32, op: Op, done: Done) {
        self.negotiate(now, key, generation, |negotiation| negotiation.done(op, done));
    }

    /// The connection failed or could not be made.
    pub fn connection_failed(&mut self, now: Time, key: PeerKey, generation: u32) {
        if self.is_current(key, generation) {
            self.connection_lost(now, key);
        }
    }

    /// Channel 0 is open.
    pub fn channel_opened(&mut self, now: Time, key: PeerKey, generation: u32) {
        if !self.is_current(key, generation) {
            return;
        }
        let peer = self.peers.get_mut(key);
        if let Some(connection) = &mut peer.connection {
            connection.open = true;
        }
        peer.retries = 0;
        peer.retry_at = None;
        peer.relay_at = None;
        peer.outage_at = None;
        peer.was_reached = true;
        if peer.is_stranger() {
            peer.release_at = None;
        }
        peer.link.carry(now, Carrier::Channel);
        self.flush(now, key);
        self.refresh(key);
    }

    /// A frame came over channel 0.
    pub fn channel_received(&mut self, now: Time, key: PeerKey, generation: u32, bytes: &[u8]) {
        if !self.is_current(key, generation) {
            return;
        }
        let mut arrivals = Vec::new();
        let received = self
            .peers
            .get_mut(key)
            .link
            .receive_bytes(now, bytes, &mut arrivals);
        self.arrived(now, key, arrivals);
        match received {
            Ok(()) if self.is_overfilled(key) => self.violated(now, key, "too much at once from strangers"),
            Ok(()) => {
                self.flush(now, key);
                if self.peers.get(key).link.owes() && !self.peers.owing.contains(&key) {
                    self.peers.owing.push(key);
                }
            }
            Err(violation) => self.violated(now, key, violation.0),
        }
    }

    /// Whether something came over a channel and was not acknowledged. [`Client::acknowledge`] is then to be called
    /// when the page has had its chance to answer, so that an answer and an acknowledgement share a frame.
    #[must_use]
    pub fn owes(&self) -> bool {
        self.peers
            .owing
            .iter()
            .any(|key| self.peers.get(*key).link.owes())
    }

    /// Acknowledges what came over channels, unless what was sent meanwhile did.
    pub fn acknowledge(&mut self, now: Time) {
        for key in std::mem::take(&mut self.peers.owing) {
            self.peers.get_mut(key).link.acknowledge(now);
            self.flush(now, key);
        }
    }

    /// Whether that peer is one of the strangers who together begin more large messages than they may.
    fn is_overfilled(&self, key: PeerKey) -> bool {
        let peer = self.peers.get(key);
        if !peer.is_stranger() || peer.link.assembly_bytes() == 0 {
            return false;
        }
        let strangers = self.peers.peers.iter().filter(|peer| peer.is_stranger());
        strangers.map(|peer| peer.link.assembly_bytes()).sum::<usize>() > limits::STRANGERS_BYTES
    }

    /// Channel 0 has handed everything to the network.
    pub fn channel_drained(&mut self, now: Time, key: PeerKey, generation: u32) {
        if self.is_current(key, generation) {
            self.peers.get_mut(key).link.drained();
            self.flush(now, key);
        }
    }

    /// Channel 0 was closed, by the other side or by the browser.
    pub fn channel_closed(&mut self, now: Time, key: PeerKey, generation: u32) {
        self.connection_failed(now, key, generation);
    }

    fn is_current(&self, key: PeerKey, generation: u32) -> bool {
        let connection = &self.peers.get(key).connection;
        connection
            .as_ref()
            .is_some_and(|connection| connection.negotiation.generation() == generation)
    }

    // ---- reasons ----

    /// The server says who somebody is.
    pub(super) fn learn(&mut self, now: Time, key: PeerKey, info: PeerInfo) {
        self.peers.get_mut(key).absent = false;
        let known = self.peers.get(key).info.clone();
        match known {
            Some(known) if known == info => {}
            Some(known) if known.instance == info.instance => {
                // A signal tells only who it is from: what is known otherwise stays.
                self.peers.get_mut(key).info = Some(info.clone());
                if known.user_data != info.user_data {
                    self.event(Event::PeerUpdated(key));
                }
            }
            Some(_) => self.new_life(now, key, info),
            None => self.peers.get_mut(key).info = Some(info),
        }
        self.wake_for(key);
    }

    pub(super) fn peer_updated(&mut self, now: Time, info: PeerInfo) {
        let key = self.peers.key(&info.id);
        for (_, thread) in self.threads.iter_mut() {
            thread.peer_updated(&info);
        }
        self.learn(now, key, info);
    }

    /// The same id, another page: nothing of the old link is of use, and nobody can say what arrived.
    fn new_life(&mut self, now: Time, key: PeerKey, info: PeerInfo) {
        self.drop_connection(key);
        let peer = self.peers.get_mut(key);
        peer.streams += 1;
        let lost = peer.link.abandon(peer.streams);
        peer.link = Link::new(peer.streams);
        peer.generation = 0;
        peer.was_reached = false;
        peer.retries = 0;
        peer.outage_at = None;
        let changed = peer
            .info
            .replace(info.clone())
            .is_some_and(|before| before.user_data != info.user_data);
        for (receipt, sent) in lost {
            let code = if sent { Code::NotConfirmed } else { Code::PeerLeft };
            self.fail(receipt, Error::new(code, info.id.as_str()));
        }
        self.requests_lost(key, Code::NotConfirmed);
        if changed {
            self.event(Event::PeerUpdated(key));
        }
        if self.peers.get(key).is_active() {
            self.begin(now, key);
        }
        self.refresh(key);
    }

    /// There is a reason for a link.
    pub(super) fn activate(&mut self, now: Time, key: PeerKey) {
        let shared = self.threads.shares(self.peers.id(key));
        let peer = self.peers.get_mut(key);
        peer.shared = shared;
        peer.release_at = None;
        if peer.info.is_some()
            && peer.link.carrier() == Carrier::None
            && peer.connection.is_none()
            && peer.retry_at.is_none()
        {
            self.begin(now, key);
        }
        self.seek_path(now, key);
        self.refresh(key);
    }

    /// Begins to make a link to a peer whose instance is known.
    fn begin(&mut self, now: Time, key: PeerKey) {
        let own = (self.config.instance, self.id().cloned());
        let own_webrtc = self.config.webrtc;
        let peer = self.peers.get_mut(key);
        let Some(info) = &peer.info else { return };
        let first = own > (info.instance, Some(info.id.clone())) || !peer.shared;
        let direct = own_webrtc && info.webrtc;
        let relay_after = match (direct, peer.was_reached) {
            (false, _) => 0,
            (true, false) => RELAY_AFTER,
            (true, true) => RELAY_AGAIN_AFTER,
        };
        peer.uncarried(now, relay_after);
        if direct {
            // One side makes the first offer, so that both need not be undone; the other is the reserve.
            peer.retry_at = Some(if first { now } else { now + OFFER_WITHIN });
            if first {
                self.connect(now, key, false);
            }
        } else {
            self.start_relay(now, key);
        }
        self.wake_for(key);
    }

    fn wake_for(&mut self, key: PeerKey) {
        let timeout = self.peers.get(key).poll_timeout(self.is_online());
        self.wake_at(timeout);
    }

    /// The page has something for it.
    pub(super) fn want(&mut self, now: Time, key: PeerKey) {
        let own = Some(self.peers.id(key)) == self.id();
        let peer = self.peers.get_mut(key);
        if !own && !peer.shared && peer.is_active() {
            peer.wanted = true;
            peer.release_at = None;
            self.seek_path(now, key);
        }
    }

    /// A link that goes through the server because nobody had a reason to change that has one now.
    fn seek_path(&mut self, now: Time, key: PeerKey) {
        let direct = self.can_be_direct(key);
        let peer = self.peers.get_mut(key);
        if direct
            && peer.link.carrier() == Carrier::Relay
            && peer.connection.is_none()
            && peer.retry_at.is_none()
        {
            peer.retry_at = Some(now);
            self.wake_for(key);
        }
    }

    fn can_be_direct(&self, key: PeerKey) -> bool {
        self.config.webrtc && self.peers.get(key).info.as_ref().is_some_and(|info| info.webrtc)
    }

    /// No thread is shared any more; `left_it`: because this client left the last one.
    pub(super) fn unshared(&mut self, now: Time, key: PeerKey, reason: LeaveReason, left_it: bool) {
        let peer = self.peers.get_mut(key);
        peer.shared = false;
        peer.release_code = if left_it { Code::Closed } else { Code::PeerLeft };
        peer.absent |= reason == LeaveReason::TimedOut;
        if peer.absent && peer.link.carrier() == Carrier::None {
            // It may come back: what waits for it waits on, as long as an outage may last.
            peer.outage_at.get_or_insert(now + OUTAGE);
        }
        if !peer.wanted || reason != LeaveReason::Left {
            peer.release_at = Some(
                now + if reason == LeaveReason::TimedOut {
                    OUTAGE
                } else {
                    LINGER
                },
            );
        }
        if self.is_leaving(now, key) {
            self.release(key);
            return;
        }
        self.wake_for(key);
        self.refresh(key);
    }

    /// Whether the link has no reason any more and nothing can travel over it, or nothing waits for somebody whom the
    /// server has lost as well: it is offline, not recovering.
    fn is_leaving(&self, now: Time, key: PeerKey) -> bool {
        let peer = self.peers.get(key);
        !peer.shared
            && !peer.wanted
            && peer.link.carrier() == Carrier::None
            && peer
                .release_at
                .is_some_and(|at| at <= now + LINGER || (peer.absent && peer.link.is_settled()))
    }

    fn release(&mut self, key: PeerKey) {
        let peer = self.peers.get_mut(key);
        peer.release_at = None;
        if !peer.shared {
            peer.wanted = false;
            let code = peer.release_code;
            self.give_up(key, code);
        }
    }

    /// There is no way to this peer, or no reason for one: what waits for it fails.
    pub(super) fn give_up(&mut self, key: PeerKey, code: Code) {
        self.drop_connection(key);
        let peer = self.peers.get_mut(key);
        peer.accepted = false;
        peer.wanted = false;
        peer.link.carry(Time(0), Carrier::None);
        peer.retry_at = None;
        peer.relay_at = None;
        peer.outage_at = None;
        peer.was_reached = false;
        peer.absent = false;
        peer.link.drop_assembly();
        let mut lost = Vec::new();
        if !peer.link.is_settled() {
            peer.streams += 1;
            lost = peer.link.abandon(peer.streams);
        }
        let id = peer.id.clone();
        for (receipt, _) in lost {
            self.fail(receipt, Error::new(code, id.as_str()));
        }
        self.requests_lost(key, code);
        self.refresh(key);
    }

    pub(super) fn bye(&mut self, key: PeerKey) {
        let peer = self.peers.get_mut(key);
        // The server says when it is no longer a member.
        peer.wanted = false;
        peer.accepted = false;
        if !peer.shared {
            self.give_up(key, Code::PeerLeft);
            return;
        }
        peer.streams += 1;
        let lost = peer.link.abandon(peer.streams);
        let id = peer.id.clone();
        for (receipt, _) in lost {
            self.fail(receipt, Error::new(Code::PeerLeft, id.as_str()));
        }
    }

    /// Tells everybody that this client goes away, through the server: a channel that is closed at once carries nothing.
    pub(super) fn say_bye(&mut self) {
        if !self.is_online() {
            return;
        }
        let to: Vec<(Id, Instance)> = self
            .peers
            .peers
            .iter()
            .filter(|peer| peer.is_active())
            .filter_map(|peer| Some((peer.id.clone(), peer.instance()?)))
            .collect();
        for (to, instance) in to {
            self.session_send(ClientFrame::Relay {
                to,
                instance: Some(instance),
                frame: LinkFrame::Bye,
            });
        }
    }

    fn violated(&mut self, now: Time, key: PeerKey, what: &'static str) {
        let id = self.peers.id(key).clone();
        self.event(Event::Error(Error::new(
            Code::ProtocolViolation,
            format!("{id}: {what}"),
        )));
        let peer = self.peers.get_mut(key);
        peer.link.drop_assembly();
        peer.streams += 1;
        let lost = peer.link.abandon(peer.streams);
        for (receipt, _) in lost {
            self.fail(receipt, Error::new(Code::ProtocolViolation, id.as_str()));
        }
        self.connection_lost(now, key);
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
        self.wake_for(key);
    }

    fn relay_frame(&mut self, key: PeerKey, frame: &[u8]) {
        let peer = self.peers.get(key);
        let (to, instance) = (peer.id.clone(), peer.instance());
        if let Ok(frame) = codec::decode::<LinkFrame>(frame) {
            self.session_send(ClientFrame::Relay { to, instance, frame });
        }
    }

    // ---- the direct path ----

    /// Makes a new connection, under the next generation.
    fn connect(&mut self, now: Time, key: PeerKey, waits: bool) {
        self.drop_connection(key);
        let peer = self.peers.get_mut(key);
        peer.generation = peer.generation.saturating_add(1);
        let generation = peer.generation;
        self.make_connection(now, key, generation, waits);
    }

    fn make_connection(&mut self, now: Time, key: PeerKey, generation: u32, waits: bool) {
        let own = (self.config.instance, self.id().cloned());
        let peer = self.peers.get_mut(key);
        let polite = own < (peer.instance().unwrap_or_default(), Some(peer.id.clone()));
        peer.generation = generation;
        peer.retry_at = None;
        peer.connection = Some(Connection {
            negotiation: Negotiation::new(generation, polite, waits, peer.next_op),
            open: false,
            deadline: now + CONNECT_WITHIN,
        });
        // Numbers of browser calls are never used twice for one peer.
        peer.next_op = peer.next_op.wrapping_add(1 << 12);
        self.outputs.push_back(Output::CreateConnection(key, generation));
        self.wake_at(Some(now + CONNECT_WITHIN));
    }

    fn drop_connection(&mut self, key: PeerKey) {
        let peer = self.peers.get_mut(key);
        if let Some(connection) = peer.connection.take() {
            let generation = connection.negotiation.generation();
            if peer.link.carrier() == Carrier::Channel {
                peer.link.carry(Time(0), Carrier::None);
            }
            self.outputs.push_back(Output::CloseConnection(key, generation));
        }
    }

    fn connection_lost(&mut self, now: Time, key: PeerKey) {
        let direct = self.peers.get(key).link.carrier() == Carrier::Channel;
        let can_be_direct = self.can_be_direct(key);
        self.drop_connection(key);
        let own = (self.config.instance, self.id().cloned());
        let peer = self.peers.get_mut(key);
        if direct {
            peer.uncarried(now, RELAY_AGAIN_AFTER);
        }
        let first = own > (peer.instance().unwrap_or_default(), Some(peer.id.clone()));
        let wait = RETRY[(peer.retries as usize).min(RETRY.len() - 1)];
        peer.retries += 1;
        if !can_be_direct {
            // What was tried before more was known.
            peer.relay_at = Some(now);
        } else if peer.release_at.is_some() {
            // It is leaving: nothing is rebuilt.
            if self.is_leaving(now, key) {
                self.release(key);
                return;
            }
        } else if peer.wanted || peer.shared {
            peer.retry_at = Some(now + wait + if first { 0 } else { OFFER_WITHIN / 2 });
        } else if peer.accepted {
            // The other side wanted the link; it will offer again if it still does.
            peer.release_at = Some(now + OUTAGE / 2);
        }
        self.wake_for(key);
        self.refresh(key);
    }

    fn negotiate(&mut self, now: Time, key: PeerKey, generation: u32, input: impl FnOnce(&mut Negotiation)) {
        if !self.is_current(key, generation) {
            return;
        }
        let peer = self.peers.get_mut(key);
        let Some(connection) = &mut peer.connection else {
            return;
        };
        input(&mut connection.negotiation);
        let mut broken = false;
        let (to, instance) = (peer.id.clone(), peer.instance());
        while let Some(step) = self
            .peers
            .get_mut(key)
            .connection
            .as_mut()
            .and_then(|connection| connection.negotiation.poll_step())
        {
            match step {
                Step::Exec(op, command) => self.outputs.push_back(Output::Exec(key, generation, op, command)),
                Step::Send(signal) => self.session_send(ClientFrame::Signal {
                    to: to.clone(),
                    instance,
                    signal,
                }),
                Step::Broken(_) => broken = true,
            }
        }
        if broken {
            self.connection_lost(now, key);
        }
    }

    /// A step of negotiation from somebody; the server vouches for `from` and `instance`.
    pub(super) fn signal(&mut self, now: Time, from: &Id, instance: Instance, signal: Signal) {
        if !self.config.webrtc || Some(from) == self.id() {
            return;
        }
        let Some(key) = self.admit(now, from, instance) else {
            return;
        };
        let generation = signal.generation();
        if generation > limits::GENERATION {
            return;
        }
        let peer = self.peers.get(key);
        let is_offer = matches!(
            &signal,
            Signal::Description { description, .. } if description.kind == DescriptionKind::Offer
        );
        if generation > peer.generation {
            if !is_offer {
                return;
            }
            let direct = peer.link.carrier() == Carrier::Channel;
            self.drop_connection(key);
            let peer = self.peers.get_mut(key);
            if direct {
                peer.uncarried(now, RELAY_AGAIN_AFTER);
            } else if peer.link.carrier() == Carrier::None && peer.relay_at.is_none() {
                peer.uncarried(now, RELAY_AFTER);
            }
            self.make_connection(now, key, generation, true);
            self.refresh(key);
        }
        let overruled = self
            .peers
            .get(key)
            .connection
            .as_ref()
            .is_some_and(|connection| connection.negotiation.is_overruled_by(&signal));
        if overruled && self.is_current(key, generation) {
            self.drop_connection(key);
            self.make_connection(now, key, generation, true);
        }
        self.negotiate(now, key, generation, |negotiation| negotiation.receive(signal));
    }

    /// The peer that something came from, unless there are too many strangers.
    fn admit(&mut self, now: Time, from: &Id, instance: Instance) -> Option<PeerKey> {
        let known = self.peers.keys.get(from).map(|key| self.peers.get(*key));
        if !known.is_some_and(Peer::is_active) {
            let strangers = self.peers.peers.iter().filter(|peer| peer.is_stranger());
            if strangers.count() >= limits::STRANGERS {
                return None;
            }
        }
        let key = self.peers.key(from);
        let known = self.peers.get(key).info.clone();
        if known.as_ref().is_none_or(|info| info.instance != instance) {
            let info = PeerInfo {
                id: from.clone(),
                instance,
                user_data: None,
                webrtc: true,
            };
            self.learn(now, key, info);
            // The server knows the rest.
            self.look_up(now, &Name::from(from), Waiting::Peer(key));
        }
        let peer = self.peers.get_mut(key);
        peer.accepted = true;
        peer.absent = false;
        if peer.is_stranger() {
            let direct = peer.link.carrier() == Carrier::Channel;
            peer.release_at = (!direct).then_some(now + STRANGER_IDLE);
        }
        self.wake_for(key);
        Some(key)
    }

    // ---- the server's relay ----

    fn start_relay(&mut self, now: Time, key: PeerKey) {
        if !self.is_online() {
            return;
        }
        let peer = self.peers.get_mut(key);
        peer.relay_at = None;
        peer.outage_at = None;
        peer.was_reached = true;
        peer.link.carry(now, Carrier::Relay);
        self.flush(now, key);
        self.refresh(key);
    }

    /// A link frame that came through the server; it vouches for `from` and `instance`.
    pub(super) fn relayed(&mut self, now: Time, from: &Id, instance: Instance, frame: LinkFrame) {
        if Some(from) == self.id() {
            return;
        }
        if frame == LinkFrame::Bye {
            if let Some(key) = self.peers.keys.get(from).copied()
                && self.peers.get(key).instance() == Some(instance)
            {
                self.bye(key);
            }
            return;
        }
        let Some(key) = self.admit(now, from, instance) else {
            return;
        };
        let is_data = matches!(frame, LinkFrame::Data { .. });
        if self.peers.get(key).link.carrier() == Carrier::None {
            // The other side has no other way, so neither has this one.
            self.start_relay(now, key);
        }
        let mut arrivals = Vec::new();
        let size = limits::LINK_FRAME_TARGET / 4;
        let received = self
            .peers
            .get_mut(key)
            .link
            .receive(now, frame, size, &mut arrivals);
        self.arrived(now, key, arrivals);
        if let Err(violation) = received {
            self.violated(now, key, violation.0);
            return;
        }
        if self.is_overfilled(key) {
            self.violated(now, key, "too much at once from strangers");
            return;
        }
        if is_data && self.peers.get(key).link.carrier() == Carrier::Channel {
            // This side thinks that there is a direct path, the other does not: it is answered where it listens.
            let acknowledged = self.peers.get(key).link.acknowledgement();
            let frame = LinkFrame::Acknowledge {
                acknowledged,
                again: false,
            };
            self.session_send(ClientFrame::Relay {
                to: from.clone(),
                instance: Some(instance),
                frame,
            });
        }
        self.flush(now, key);
    }

    /// The session's socket is lost: nothing travels through the server until it is back.
    pub(super) fn relay_lost(&mut self, now: Time) {
        for key in self.peers.keys() {
            let peer = self.peers.get_mut(key);
            if peer.link.carrier() == Carrier::Relay {
                peer.uncarried(now, 0);
                self.refresh(key);
            }
        }
    }

    /// The session is back.
    pub(super) fn session_is_back(&mut self, now: Time, resumed: bool) {
        for key in self.peers.keys() {
            let peer = self.peers.get_mut(key);
            if !peer.is_active() || peer.info.is_none() {
                continue;
            }
            let half_made = peer
                .connection
                .as_ref()
                .is_some_and(|connection| !connection.open);
            if half_made && !resumed {
                // Signals of it may be lost for ever.
                self.connection_lost(now, key);
            }
            let peer = self.peers.get_mut(key);
            if peer.link.carrier() == Carrier::None && peer.relay_at.is_some_and(|at| at <= now) {
                if resumed {
                    self.start_relay(now, key);
                } else {
                    // The server began anew: the other side may be on its way back, too.
                    peer.absent = true;
                }
            }
        }
        self.wake_at(Some(now + 1));
    }

    /// The server knows nobody of that id, or not in that life.
    pub(super) fn unreachable(&mut self, now: Time, to: &Id, instance: Option<Instance>) {
        let Some(key) = self.peers.keys.get(to).copied() else {
            return;
        };
        let peer = self.peers.get_mut(key);
        if peer.link.carrier() == Carrier::Channel || (instance.is_some() && instance != peer.instance()) {
            return;
        }
        if !peer.shared && !peer.was_reached {
            self.give_up(key, Code::PeerUnavailable);
            return;
        }
        // It was there a moment ago: perhaps the server, or the other page, is just coming back.
        let relayed = peer.link.carrier() == Carrier::Relay;
        peer.absent = true;
        let retry = if peer.shared {
            ABSENT_RETRY
        } else {
            UNREACHABLE_RETRY
        };
        if relayed || peer.relay_at.is_none() {
            peer.uncarried(now, retry);
        }
        self.drop_connection(key);
        let peer = self.peers.get_mut(key);
        if !peer.shared {
            peer.outage_at = earliest(peer.outage_at, Some(now + UNREACHABLE_FOR));
        }
        if self.config.webrtc && peer.info.as_ref().is_some_and(|info| info.webrtc) && peer.is_active() {
            peer.retry_at = Some(now);
        }
        self.wake_for(key);
        self.refresh(key);
    }

    /// The server knows it again.
    pub(super) fn returned(&mut self, now: Time, key: PeerKey) {
        let peer = self.peers.get_mut(key);
        peer.absent = false;
        if peer.link.carrier() == Carrier::None && peer.is_active() {
            peer.relay_at = Some(now);
        }
        self.wake_at(Some(now));
    }

    // ---- time and state ----

    pub(super) fn tick_peers(&mut self, now: Time, late: u64) {
        for key in self.peers.keys() {
            let online = self.is_online();
            let peer = self.peers.get_mut(key);
            let due = |at: Option<Time>| at.is_some_and(|at| at <= now);
            if due(peer.held_until) {
                peer.held.clear();
                peer.held_bytes = 0;
                peer.held_until = None;
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
                peer.streams += 1;
                let lost = peer.link.abandon(peer.streams);
                let id = peer.id.clone();
                for (receipt, _) in lost {
                    self.fail(
                        receipt,
                        Error::new(Code::Timeout, format!("no way to {id} for a minute")),
                    );
                }
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
                    self.connect(now, key, false);
                }
            }
            let peer = self.peers.get_mut(key);
            if due(peer.relay_at) {
                if peer.link.carrier() != Carrier::None {
                    peer.relay_at = None;
                } else if online && peer.is_active() && peer.absent {
                    let retry = if peer.shared {
                        ABSENT_RETRY
                    } else {
                        UNREACHABLE_RETRY
                    };
                    peer.relay_at = Some(now + retry);
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
            peer.streams += 1;
            let lost = peer.link.abandon(peer.streams);
            peer.link.carry(Time(0), Carrier::None);
            peer.link.drop_assembly();
            peer.held.clear();
            peer.held_bytes = 0;
            for (receipt, _) in lost {
                self.fail(receipt, error.clone());
            }
            self.refresh(key);
        }
        let lookups: Vec<Lookup> = self.peers.lookups.drain().map(|(_, lookup)| lookup).collect();
        for lookup in lookups {
            self.lookup_failed(lookup, error);
        }
    }
}
