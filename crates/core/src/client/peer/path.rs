//! The direct path to a peer: one `RTCPeerConnection` after the other, each under its own generation.
//!
//! A path that falls silent is suspected first: a browser that notices, a network that changes or a page that wakes up
//! makes the link ask at once whether the other side is there. When no answer comes, ICE is restarted on the connection
//! that there is (W3C WebRTC, section 4.4.2, `restartIce`), which keeps what is in its channels; when that brings nothing
//! in time, or the channel itself is closed, a new connection is made. Meanwhile messages travel through the server.

use super::{OFFER_WITHIN, OUTAGE, Peer, PeerKey, RELAY_AFTER};
use crate::client::connection::Connection;
use crate::client::delivery::Waiting;
use crate::client::{Channel, Client, ConnectionKey, Output};
use crate::link::Carrier;
use crate::negotiation::{Done, Negotiation, Op, Step};
use crate::recovery;
use crate::time::{Time, earliest};
use crate::wire::{
    Candidate, ClientFrame, DescriptionKind, Id, Instance, LinkFrame, Name, PeerInfo, Signal, codec, limits,
};

/// Milliseconds that one connection may take to open its channel.
const CONNECT_WITHIN: u64 = 12_000;
/// Milliseconds that the side which does not make the first offer waits for the other to restart ICE.
const RESTART_TURN: u64 = 1_500;
/// Milliseconds between the questions that are put into a channel whose path is being restored.
const ASK_EVERY: u64 = 1_000;
/// Milliseconds that a stranger without a direct path may be silent.
const STRANGER_IDLE: u64 = 120_000;

/// How far a path has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::client) enum Stage {
    /// Its channel is to open by then.
    Making(Time),
    /// Its channel is open.
    Open,
    /// Nothing came through it any more: it is to come back by then.
    Restoring {
        until: Time,
        /// When ICE is restarted by this side.
        restart_at: Option<Time>,
        /// When the other side is asked again whether it is there.
        ask_at: Time,
    },
}

#[derive(Debug)]
pub(in crate::client) struct Path {
    pub(super) negotiation: Negotiation,
    pub(super) stage: Stage,
}

impl Path {
    /// `online`: without the server nothing can be restarted or made anew, so nothing is given up either.
    pub(super) fn poll_timeout(&self, online: bool) -> Option<Time> {
        match self.stage {
            Stage::Open => None,
            Stage::Making(until) => Some(until),
            Stage::Restoring {
                until,
                restart_at,
                ask_at,
            } => {
                let server = earliest(Some(until), restart_at).filter(|_| online);
                earliest(server, Some(ask_at))
            }
        }
    }

    /// Whether its channel has not opened yet.
    pub(super) fn is_half_made(&self) -> bool {
        matches!(self.stage, Stage::Making(_))
    }
}

impl Client {
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
            self.path_failed(now, key, self.config.recovery.relay);
        }
    }

    /// The browser has not heard from the other side for a while, which may pass.
    pub fn connection_suspected(&mut self, now: Time, key: PeerKey, generation: u32) {
        if self.is_current(key, generation) {
            self.suspect(now, key);
        }
    }

    /// A channel is open.
    pub fn channel_opened(&mut self, now: Time, key: PeerKey, generation: u32, channel: Channel) {
        if !self.is_current(key, generation) {
            return;
        }
        if let Channel::Connection(number) = channel {
            self.connection_channel_opened(now, ConnectionKey { peer: key, number });
            return;
        }
        self.path_is_open(now, key);
    }

    /// The path carries from now on.
    fn path_is_open(&mut self, now: Time, key: PeerKey) {
        let peer = self.peers.get_mut(key);
        let same = peer.path.as_ref().is_some_and(|path| !path.is_half_made());
        if let Some(path) = &mut peer.path {
            path.stage = Stage::Open;
        }
        peer.retries = 0;
        peer.retry_at = None;
        peer.relay_at = None;
        peer.outage_at = None;
        peer.was_reached = true;
        if peer.is_stranger() {
            peer.release_at = None;
        }
        if same {
            peer.link.resume(now);
        } else {
            peer.link.carry(now, Carrier::Channel);
        }
        self.flush(now, key);
        self.carry_connections(now, key);
        self.refresh(key);
    }

    /// A frame came over a channel.
    pub fn channel_received(
        &mut self,
        now: Time,
        key: PeerKey,
        generation: u32,
        channel: Channel,
        bytes: &[u8],
    ) {
        if !self.is_current(key, generation) {
            return;
        }
        if let Channel::Connection(number) = channel {
            self.connection_received(now, ConnectionKey { peer: key, number }, bytes);
            return;
        }
        if self.is_restoring(key) {
            self.path_is_open(now, key);
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
                if self.peers.get(key).link.owes() {
                    self.peers.owe(key);
                }
            }
            Err(violation) => self.violated(now, key, violation.0),
        }
    }

    /// Whether something came over a channel and was not acknowledged. [`Client::acknowledge`] is then to be called
    /// when the page has had its chance to answer, so that an answer and an acknowledgement share a frame.
    #[must_use]
    pub fn owes(&self) -> bool {
        let mut owing = self.peers.owing.iter().map(|key| self.peers.get(*key));
        owing.any(|peer| peer.link.owes() || peer.connections.values().any(Connection::owes))
    }

    /// Acknowledges what came over channels, unless what was sent meanwhile did.
    pub fn acknowledge(&mut self, now: Time) {
        for key in std::mem::take(&mut self.peers.owing) {
            self.peers.get_mut(key).link.acknowledge(now);
            self.flush(now, key);
            self.acknowledge_connections(now, key);
        }
    }

    /// Whether that peer is one of the strangers who together begin more large messages than they may.
    pub(super) fn is_overfilled(&self, key: PeerKey) -> bool {
        let peer = self.peers.get(key);
        if !peer.is_stranger() || peer.link.assembly_bytes() == 0 {
            return false;
        }
        let strangers = self.peers.strangers();
        strangers.map(|peer| peer.link.assembly_bytes()).sum::<usize>() > limits::STRANGERS_BYTES
    }

    /// A channel has handed everything to the network.
    pub fn channel_drained(&mut self, now: Time, key: PeerKey, generation: u32, channel: Channel) {
        if !self.is_current(key, generation) {
            return;
        }
        if let Channel::Connection(number) = channel {
            self.connection_channel_drained(now, ConnectionKey { peer: key, number });
        } else {
            self.peers.get_mut(key).link.drained();
            self.flush(now, key);
        }
    }

    /// A channel was closed, by the other side or by the browser.
    pub fn channel_closed(&mut self, now: Time, key: PeerKey, generation: u32, channel: Channel) {
        if !self.is_current(key, generation) {
            return;
        }
        if let Channel::Connection(number) = channel {
            self.connection_channel_closed(now, ConnectionKey { peer: key, number });
        } else {
            self.path_lost(now, key);
        }
    }

    fn is_current(&self, key: PeerKey, generation: u32) -> bool {
        let path = &self.peers.get(key).path;
        path.as_ref()
            .is_some_and(|path| path.negotiation.generation() == generation)
    }

    fn is_restoring(&self, key: PeerKey) -> bool {
        let path = &self.peers.get(key).path;
        path.as_ref()
            .is_some_and(|path| matches!(path.stage, Stage::Restoring { .. }))
    }

    // ---- inside ----

    /// Makes a new connection, under the next generation.
    pub(super) fn connect(&mut self, now: Time, key: PeerKey) {
        self.drop_connection(key);
        let peer = self.peers.get_mut(key);
        peer.generation = peer.generation.saturating_add(1);
        let generation = peer.generation;
        self.make_connection(now, key, generation, false);
    }

    fn make_connection(&mut self, now: Time, key: PeerKey, generation: u32, waits: bool) {
        let polite = !self.outranks(key);
        let peer = self.peers.get_mut(key);
        peer.generation = generation;
        peer.retry_at = None;
        peer.path = Some(Path {
            negotiation: Negotiation::new(generation, polite, self.config.privacy, waits, peer.next_op),
            stage: Stage::Making(now + CONNECT_WITHIN),
        });
        // Numbers of browser calls are never used twice for one peer.
        peer.next_op = peer.next_op.wrapping_add(1 << 12);
        self.outputs.push_back(Output::CreateConnection(key, generation));
        self.wake_at(Some(now + CONNECT_WITHIN));
    }

    /// Whether this side makes the first offer when both could, and wins when both did: both sides find the same.
    pub(super) fn outranks(&self, key: PeerKey) -> bool {
        let peer = self.peers.get(key);
        (self.config.instance, self.id()) > (peer.instance().unwrap_or_default(), Some(&peer.id))
    }

    pub(super) fn drop_connection(&mut self, key: PeerKey) {
        let peer = self.peers.get_mut(key);
        if let Some(path) = peer.path.take() {
            let generation = path.negotiation.generation();
            if peer.link.carrier() == Carrier::Channel {
                peer.link.carry(Time(0), Carrier::None);
            }
            self.outputs.push_back(Output::CloseConnection(key, generation));
            self.forget_channels(key);
        }
    }

    /// Asks at once whether the other side is still there.
    pub(super) fn suspect(&mut self, now: Time, key: PeerKey) {
        self.peers.get_mut(key).link.probe(now);
        self.flush(now, key);
    }

    /// Nothing comes through the path, though its channel may be of use yet: ICE is restarted, once. What waits goes
    /// through the server after `relay` milliseconds.
    pub(super) fn path_failed(&mut self, now: Time, key: PeerKey, relay: u64) {
        let restart = self.config.recovery.restart;
        // Whatever it was may have cut off the server, too.
        self.session.suspect(now);
        self.after_session(now);
        let first = self.outranks(key);
        let releasing = self.peers.get(key).release_at.is_some();
        let direct = self.can_be_direct(key);
        let peer = self.peers.get_mut(key);
        match &mut peer.path {
            Some(path) if path.stage == Stage::Open && restart > 0 && direct && !releasing => {
                path.stage = Stage::Restoring {
                    until: now + restart,
                    restart_at: Some(now + if first { 0 } else { RESTART_TURN.min(restart / 2) }),
                    ask_at: now,
                };
                peer.uncarried(now, relay);
                self.carry_connections(now, key);
                self.restore_path(now, key);
                self.wake_for(key);
                self.refresh(key);
            }
            // It has the time that it was given.
            Some(path) if matches!(path.stage, Stage::Restoring { .. }) => {}
            _ => self.path_lost(now, key),
        }
    }

    /// What is due for a path that is being restored.
    pub(super) fn restore_path(&mut self, now: Time, key: PeerKey) {
        let online = self.is_online();
        let restarts = !self.peers.get(key).is_stranger();
        let peer = self.peers.get_mut(key);
        let Some(path) = &mut peer.path else { return };
        let Stage::Restoring {
            until,
            restart_at,
            ask_at,
        } = &mut path.stage
        else {
            return;
        };
        if online && *until <= now {
            self.path_lost(now, key);
            return;
        }
        let generation = path.negotiation.generation();
        if online && restart_at.take_if(|at| *at <= now).is_some() && restarts {
            self.outputs.push_back(Output::RestartIce(key, generation));
        }
        if *ask_at <= now {
            *ask_at = now + ASK_EVERY;
            let frame = codec::encode(&LinkFrame::Ping { token: now.0 as u32 });
            self.outputs
                .push_back(Output::ChannelSend(key, generation, Channel::Link, frame));
        }
    }

    /// Something has changed: ICE is restarted again. With the server back, the path has all of its time again.
    pub(super) fn restore_again(&mut self, now: Time, key: PeerKey, is_back: bool) {
        let restart = if is_back { self.config.recovery.restart } else { 0 };
        if let Some(path) = &mut self.peers.get_mut(key).path
            && let Stage::Restoring {
                until, restart_at, ..
            } = &mut path.stage
        {
            *until = (*until).max(now + restart);
            restart_at.get_or_insert(now);
        }
        self.restore_path(now, key);
    }

    /// The path is of no use any more.
    pub(super) fn path_lost(&mut self, now: Time, key: PeerKey) {
        let direct = self.peers.get(key).link.carrier() == Carrier::Channel;
        let can_be_direct = self.can_be_direct(key);
        self.drop_connection(key);
        let outranks = self.outranks(key);
        let wait = recovery::step(&self.config.recovery.direct, self.peers.get(key).retries);
        let relay = self.config.recovery.relay;
        let peer = self.peers.get_mut(key);
        if direct {
            peer.uncarried(now, relay);
        }
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
            peer.retry_at = Some(now + wait + if outranks { 0 } else { OFFER_WITHIN / 2 });
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
        let Some(path) = &mut peer.path else {
            return;
        };
        input(&mut path.negotiation);
        let mut broken = false;
        let (to, instance) = (peer.id.clone(), peer.instance());
        while let Some(step) = self
            .peers
            .get_mut(key)
            .path
            .as_mut()
            .and_then(|path| path.negotiation.poll_step())
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
            self.path_lost(now, key);
        }
    }

    /// A step of negotiation from somebody; the server vouches for `from` and `instance`.
    pub(in crate::client) fn signal(&mut self, now: Time, from: &Id, instance: Instance, signal: Signal) {
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
            let relay = self.config.recovery.relay;
            self.drop_connection(key);
            let peer = self.peers.get_mut(key);
            if direct {
                peer.uncarried(now, relay);
            } else if peer.link.carrier() == Carrier::None && peer.relay_at.is_none() {
                peer.uncarried(now, RELAY_AFTER);
            }
            self.make_connection(now, key, generation, true);
            self.refresh(key);
        }
        let overruled = self
            .peers
            .get(key)
            .path
            .as_ref()
            .is_some_and(|path| path.negotiation.is_overruled_by(&signal));
        if overruled && self.is_current(key, generation) {
            self.drop_connection(key);
            self.make_connection(now, key, generation, true);
        }
        if is_offer
            && let Some(path) = &mut self.peers.get_mut(key).path
            && let Stage::Restoring { restart_at, .. } = &mut path.stage
        {
            // The other side was first.
            *restart_at = None;
        }
        self.negotiate(now, key, generation, |negotiation| negotiation.receive(signal));
    }

    /// The peer that something came from, unless there are too many strangers.
    pub(super) fn admit(&mut self, now: Time, from: &Id, instance: Instance) -> Option<PeerKey> {
        let known = self.peers.find(from).map(|key| self.peers.get(key));
        if !known.is_some_and(Peer::is_active) && self.peers.strangers().count() >= limits::STRANGERS {
            return None;
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
}
