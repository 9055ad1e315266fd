//! Every peer that a client has met, and what waits for their membership.

use std::collections::VecDeque;

use super::super::connection::Connection;
use super::super::delivery::Lookup;
use super::{Held, Peer, PeerKey, PeerState};
use crate::error::Code;
use crate::link::Link;
use crate::map::Map;
use crate::time::{Time, earliest};
use crate::wire::{Body, Id, Name, ThreadId, limits};

/// Milliseconds that a message waits for its sender's membership to be confirmed.
const HOLD: u64 = 10_000;

/// Every peer that this client has met.
#[derive(Debug, Default)]
pub(in crate::client) struct Peers {
    /// Milliseconds without any path after which what waits is rejected.
    outage: u64,
    peers: Vec<Peer>,
    keys: Map<Id, PeerKey>,
    pub(in crate::client) lookups: Map<Name, Lookup>,
    /// Those that something came from over a channel since [`crate::client::Client::acknowledge`].
    pub(super) owing: Vec<PeerKey>,
}

impl Peers {
    pub(in crate::client) fn new(outage: u64) -> Self {
        Self {
            outage,
            ..Self::default()
        }
    }

    /// The key of that id, made when there is none.
    pub(in crate::client) fn key(&mut self, id: &Id) -> PeerKey {
        if let Some(key) = self.find(id) {
            return key;
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
            connections: Map::new(),
            connections_made: 0,
            connections_heard: 0,
            streams: 1,
            path: None,
            generation: 0,
            next_op: 1,
            retries: 0,
            retry_at: None,
            relay_at: None,
            release_at: None,
            release_code: Code::PeerLeft,
            outage_at: None,
            outage: self.outage,
            held: VecDeque::new(),
            held_bytes: 0,
            held_until: None,
        });
        self.keys.insert(id.clone(), key);
        key
    }

    pub(in crate::client) fn count(&self) -> u32 {
        self.peers.len() as u32
    }

    /// Messages and questions that wait.
    pub(in crate::client) fn kept(&self) -> usize {
        let waiting: usize = self.lookups.values().map(|lookup| lookup.waiting.len()).sum();
        let peers = self.peers.iter().map(|peer| {
            let connections = peer.connections.values().map(Connection::kept);
            peer.link.kept() + peer.held.len() + connections.sum::<usize>()
        });
        waiting + peers.sum::<usize>()
    }

    pub(in crate::client) fn kept_bytes(&self) -> usize {
        let peers = self.peers.iter();
        peers
            .map(|peer| peer.link.outbox_bytes() + peer.link.assembly_bytes() + peer.held_bytes)
            .sum()
    }

    /// The key of that id, if there is one.
    pub(super) fn find(&self, id: &Id) -> Option<PeerKey> {
        self.keys.get(id).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.peers.iter()
    }

    /// Those who addressed this page, and whom it has no reason of its own to know.
    pub(super) fn strangers(&self) -> impl Iterator<Item = &Peer> {
        self.iter().filter(|peer| peer.is_stranger())
    }

    /// Something came from it over a channel.
    pub(in crate::client) fn owe(&mut self, key: PeerKey) {
        if !self.owing.contains(&key) {
            self.owing.push(key);
        }
    }

    pub(in crate::client) fn get(&self, key: PeerKey) -> &Peer {
        &self.peers[key.0 as usize]
    }

    pub(in crate::client) fn get_mut(&mut self, key: PeerKey) -> &mut Peer {
        &mut self.peers[key.0 as usize]
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = PeerKey> + use<> {
        (0..self.peers.len() as u32).map(PeerKey)
    }

    pub(in crate::client) fn id(&self, key: PeerKey) -> &Id {
        &self.get(key).id
    }

    /// The key of a peer that there is a way to, or was a moment ago.
    pub(in crate::client) fn reachable(&self, id: &Id) -> Option<PeerKey> {
        let key = self.find(id)?;
        let peer = self.get(key);
        (peer.info.is_some() && peer.is_active() && peer.state != PeerState::Offline).then_some(key)
    }

    pub(in crate::client) fn is_settled(&self, id: &Id) -> bool {
        self.find(id).is_none_or(|key| self.get(key).link.is_settled())
    }

    pub(in crate::client) fn poll_timeout(&self, online: bool) -> Option<Time> {
        let lookups = self
            .lookups
            .values()
            .fold(None, |time, lookup| earliest(time, Some(lookup.until)));
        self.peers
            .iter()
            .fold(lookups, |time, peer| earliest(time, peer.poll_timeout(online)))
    }

    pub(in crate::client) fn hold(
        &mut self,
        now: Time,
        key: PeerKey,
        thread: ThreadId,
        body: Body,
    ) -> Option<Time> {
        let everyone: usize = self.peers.iter().map(|peer| peer.held_bytes).sum();
        let peer = self.get_mut(key);
        let size = body.len();
        if everyone + size > limits::HELD_BYTES_IN_ALL {
            return peer.held_until;
        }
        if peer.held.len() < limits::HELD_MESSAGES && peer.held_bytes + size <= limits::HELD_BYTES {
            peer.held_bytes += size;
            peer.held.push_back(Held { thread, body });
            peer.held_until = Some(now + HOLD);
        }
        peer.held_until
    }

    pub(in crate::client) fn holds(&self, key: PeerKey, thread: &ThreadId) -> bool {
        self.get(key).held.iter().any(|held| held.thread == *thread)
    }

    pub(in crate::client) fn holding(&self) -> Vec<PeerKey> {
        self.keys()
            .filter(|key| !self.get(*key).held.is_empty())
            .collect()
    }

    pub(in crate::client) fn release_held(&mut self, key: PeerKey, thread: &ThreadId) -> Vec<Body> {
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
