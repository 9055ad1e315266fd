//! Reasons for a link to a peer: it is made when there is one, and closed when the last one is gone.

use super::{OFFER_WITHIN, OUTAGE, PeerKey, RELAY_AFTER};
use crate::client::{Client, Event};
use crate::error::{Code, Error};
use crate::link::{Carrier, Link};
use crate::time::Time;
use crate::wire::{ClientFrame, Id, Instance, LeaveReason, LinkFrame, PeerInfo};

/// Milliseconds that a link outlives its last reason, so that what is under way arrives.
const LINGER: u64 = 1_500;

impl Client {
    /// The server says who somebody is.
    pub(in crate::client) fn learn(&mut self, now: Time, key: PeerKey, info: PeerInfo) {
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

    pub(in crate::client) fn peer_updated(&mut self, now: Time, info: PeerInfo) {
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
        peer.connections_heard = 0;
        peer.generation = 0;
        peer.was_reached = false;
        peer.retries = 0;
        peer.outage_at = None;
        // Said by somebody else, perhaps, who had the id before.
        peer.drop_held();
        let changed = peer
            .info
            .replace(info.clone())
            .is_some_and(|before| before.user_data != info.user_data);
        for (receipt, sent) in lost {
            let code = if sent { Code::NotConfirmed } else { Code::PeerLeft };
            self.fail(receipt, Error::about(code, &info.id));
        }
        self.end_connections(key, Code::PeerLeft);
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
    pub(in crate::client) fn activate(&mut self, now: Time, key: PeerKey) {
        let shared = self.threads.shares(self.peers.id(key));
        let peer = self.peers.get_mut(key);
        peer.shared = shared;
        if !peer.is_stranger() {
            peer.release_at = None;
        }
        if peer.info.is_some()
            && peer.link.carrier() == Carrier::None
            && peer.path.is_none()
            && peer.retry_at.is_none()
        {
            self.begin(now, key);
        }
        self.seek_path(now, key);
        self.refresh(key);
    }

    /// Begins to make a link to a peer whose instance is known.
    fn begin(&mut self, now: Time, key: PeerKey) {
        let direct = self.can_be_direct(key);
        let outranks = self.outranks(key);
        let peer = self.peers.get_mut(key);
        let first = outranks || !peer.shared;
        let relay_after = match (direct, peer.was_reached) {
            (false, _) => 0,
            (true, false) => RELAY_AFTER,
            (true, true) => self.config.recovery.relay,
        };
        peer.uncarried(now, relay_after);
        if direct {
            // One side makes the first offer, so that both need not be undone; the other is the reserve.
            peer.retry_at = Some(if first { now } else { now + OFFER_WITHIN });
            if first {
                self.connect(now, key);
            }
        } else {
            self.start_relay(now, key);
        }
        self.wake_for(key);
    }

    pub(super) fn wake_for(&mut self, key: PeerKey) {
        let timeout = self.peers.get(key).poll_timeout(self.is_online());
        self.wake_at(timeout);
    }

    /// The page has something for it.
    pub(in crate::client) fn want(&mut self, now: Time, key: PeerKey) {
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
        if direct && peer.link.carrier() == Carrier::Relay && peer.path.is_none() && peer.retry_at.is_none() {
            peer.retry_at = Some(now);
            self.wake_for(key);
        }
    }

    pub(super) fn can_be_direct(&self, key: PeerKey) -> bool {
        self.config.webrtc && self.peers.get(key).info.as_ref().is_some_and(|info| info.webrtc)
    }

    /// No thread is shared any more; `left_it`: because this client left the last one.
    pub(in crate::client) fn unshared(
        &mut self,
        now: Time,
        key: PeerKey,
        reason: LeaveReason,
        left_it: bool,
    ) {
        let peer = self.peers.get_mut(key);
        peer.shared = false;
        // An open connection is a reason of its own.
        peer.wanted |= !peer.connections.is_empty();
        peer.release_code = if left_it { Code::Closed } else { Code::PeerLeft };
        peer.absent |= reason == LeaveReason::TimedOut;
        if peer.absent && peer.link.carrier() == Carrier::None {
            // It may come back: what waits for it waits on, as long as an outage may last.
            peer.outage_at.get_or_insert(now + peer.outage);
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
    pub(super) fn is_leaving(&self, now: Time, key: PeerKey) -> bool {
        let peer = self.peers.get(key);
        !peer.shared
            && !peer.wanted
            && peer.link.carrier() == Carrier::None
            && peer
                .release_at
                .is_some_and(|at| at <= now + LINGER || (peer.absent && peer.link.is_settled()))
    }

    pub(super) fn release(&mut self, key: PeerKey) {
        let peer = self.peers.get_mut(key);
        peer.release_at = None;
        if !peer.shared {
            peer.wanted = false;
            let code = peer.release_code;
            self.give_up(key, code);
        }
    }

    /// There is no way to this peer, or no reason for one: what waits for it fails.
    pub(in crate::client) fn give_up(&mut self, key: PeerKey, code: Code) {
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
        if !peer.link.is_settled() || !peer.connections.is_empty() {
            let error = Error::new(code, peer.id.as_str());
            self.abandon(key, &error);
        }
        self.requests_lost(key, code);
        self.refresh(key);
    }

    pub(in crate::client) fn bye(&mut self, key: PeerKey) {
        let peer = self.peers.get_mut(key);
        // The server says when it is no longer a member.
        peer.wanted = false;
        peer.accepted = false;
        if !peer.shared {
            self.give_up(key, Code::PeerLeft);
            return;
        }
        let error = Error::new(Code::PeerLeft, peer.id.as_str());
        self.abandon(key, &error);
    }

    /// Tells everybody that this client goes away, through the server: a channel that is closed at once carries nothing.
    pub(in crate::client) fn say_bye(&mut self) {
        if !self.is_online() {
            return;
        }
        let to: Vec<(Id, Instance)> = self
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

    pub(super) fn violated(&mut self, now: Time, key: PeerKey, what: &'static str) {
        let id = self.peers.id(key).clone();
        self.event(Event::Error(Error::new(
            Code::ProtocolViolation,
            format!("{id}: {what}"),
        )));
        self.peers.get_mut(key).link.drop_assembly();
        self.abandon(key, &Error::new(Code::ProtocolViolation, id.as_str()));
        self.path_lost(now, key);
    }

    /// What waits for that peer fails, and a new stream begins.
    pub(super) fn abandon(&mut self, key: PeerKey, error: &Error) {
        let connected = self.end_connections(key, error.code);
        let peer = self.peers.get_mut(key);
        peer.streams += 1;
        let mut error = error.clone();
        error.peers = vec![peer.id.clone()];
        let lost = peer.link.abandon(peer.streams);
        if connected {
            // The other side goes on with them otherwise.
            peer.link.announce();
        }
        for (receipt, _) in lost {
            self.fail(receipt, error.clone());
        }
    }
}
