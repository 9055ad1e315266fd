//! The direct path to a peer: one connection after the other, each under its own generation.

use super::{OFFER_WITHIN, OUTAGE, Peer, PeerKey, RELAY_AFTER, RELAY_AGAIN_AFTER};
use crate::client::delivery::Waiting;
use crate::client::{Client, Output};
use crate::link::Carrier;
use crate::negotiation::{Done, Negotiation, Op, Step};
use crate::time::Time;
use crate::wire::{Candidate, ClientFrame, DescriptionKind, Id, Instance, Name, PeerInfo, Signal, limits};

/// Milliseconds that one connection may take to open its channel.
const CONNECT_WITHIN: u64 = 12_000;
/// Milliseconds between tries to get a direct path; the last one repeats.
const RETRY: [u64; 6] = [0, 1_000, 3_000, 6_000, 12_000, 30_000];
/// Milliseconds that a stranger without a direct path may be silent.
const STRANGER_IDLE: u64 = 120_000;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) negotiation: Negotiation,
    pub(super) open: bool,
    pub(super) deadline: Time,
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
    pub(super) fn is_overfilled(&self, key: PeerKey) -> bool {
        let peer = self.peers.get(key);
        if !peer.is_stranger() || peer.link.assembly_bytes() == 0 {
            return false;
        }
        let strangers = self.peers.strangers();
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
        peer.connection = Some(Connection {
            negotiation: Negotiation::new(generation, polite, self.config.privacy, waits, peer.next_op),
            open: false,
            deadline: now + CONNECT_WITHIN,
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
        if let Some(connection) = peer.connection.take() {
            let generation = connection.negotiation.generation();
            if peer.link.carrier() == Carrier::Channel {
                peer.link.carry(Time(0), Carrier::None);
            }
            self.outputs.push_back(Output::CloseConnection(key, generation));
        }
    }

    pub(super) fn connection_lost(&mut self, now: Time, key: PeerKey) {
        let direct = self.peers.get(key).link.carrier() == Carrier::Channel;
        let can_be_direct = self.can_be_direct(key);
        self.drop_connection(key);
        let outranks = self.outranks(key);
        let peer = self.peers.get_mut(key);
        if direct {
            peer.uncarried(now, RELAY_AGAIN_AFTER);
        }
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
