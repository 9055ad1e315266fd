//! The server's path to a peer, for as long as there is no direct one.

use super::PeerKey;
use super::path::Path;
use crate::client::Client;
use crate::error::Code;
use crate::link::Carrier;
use crate::time::{Time, earliest};
use crate::wire::{ClientFrame, Id, Instance, LinkFrame, limits};

/// Milliseconds of that after which it counts as gone, if no thread is shared.
const UNREACHABLE_FOR: u64 = 15_000;

impl Client {
    pub(super) fn start_relay(&mut self, now: Time, key: PeerKey) {
        if !self.is_online() {
            return;
        }
        let peer = self.peers.get_mut(key);
        peer.relay_at = None;
        peer.link.carry(now, Carrier::Relay);
        peer.link.watch(peer.wanted || peer.shared);
        self.flush(now, key);
        self.carry_connections(now, key);
        self.refresh(key);
    }

    /// A link frame that came through the server; it vouches for `from` and `instance`.
    pub(in crate::client) fn relayed(&mut self, now: Time, from: &Id, instance: Instance, frame: LinkFrame) {
        if Some(from) == self.id() {
            return;
        }
        if frame == LinkFrame::Bye {
            if let Some(key) = self.peers.find(from)
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
        if let LinkFrame::Connection { ours, number, frame } = frame {
            self.connection_relayed(now, key, ours, number, &frame.0);
            return;
        }
        let mut arrivals = Vec::new();
        let size = limits::LINK_FRAME_TARGET / 4;
        let received = self
            .peers
            .get_mut(key)
            .link
            .receive(now, Carrier::Relay, frame, size, &mut arrivals);
        let peer = self.peers.get_mut(key);
        if peer.link.carrier() == Carrier::Relay {
            peer.was_reached = true;
            peer.outage_at = None;
        }
        self.refresh(key);
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
            self.suspect(now, key);
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
    pub(in crate::client) fn relay_lost(&mut self, now: Time) {
        for key in self.peers.keys() {
            let peer = self.peers.get_mut(key);
            if peer.link.carrier() == Carrier::Relay {
                peer.uncarried(now, 0);
                self.carry_connections(now, key);
                self.refresh(key);
            }
        }
    }

    /// The session is back.
    pub(in crate::client) fn session_is_back(&mut self, now: Time, resumed: bool) {
        for key in self.peers.keys() {
            let peer = self.peers.get_mut(key);
            if !peer.is_active() || peer.info.is_none() {
                continue;
            }
            if peer.path.as_ref().is_some_and(Path::is_half_made) && !resumed {
                // Signals of it may be lost for ever.
                self.path_lost(now, key);
            }
            self.restore_again(now, key, true);
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
    pub(in crate::client) fn unreachable(&mut self, now: Time, to: &Id, instance: Option<Instance>) {
        let Some(key) = self.peers.find(to) else {
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
        if relayed || peer.relay_at.is_none() {
            peer.uncarried(now, peer.absent_retry());
        }
        if peer.path.as_ref().is_some_and(Path::is_half_made) {
            self.drop_connection(key);
        }
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
    pub(in crate::client) fn returned(&mut self, now: Time, key: PeerKey) {
        let peer = self.peers.get_mut(key);
        peer.absent = false;
        if peer.link.carrier() == Carrier::None && peer.is_active() {
            peer.relay_at = Some(now);
        }
        self.wake_at(Some(now));
    }
}
