//! How a connection's frames travel: over a channel of its own, which is made again whenever it is lost, or through the
//! server, as the link does at the time.

use super::{Channel, ConnectionKey, Number, Opening, Stage};
use crate::client::peer::PeerKey;
use crate::client::{Client, Event, Output};
use crate::error::Code;
use crate::link::Carrier;
use crate::time::Time;
use crate::wire::{Bytes, ClientFrame, LinkFrame};

/// Frames that may wait for the server before a lossy connection drops more.
const LOSSY_BACKLOG: usize = 64;
/// Milliseconds before a channel that was closed is made anew, twice as many each time on the same path.
const REOPEN_AFTER: u64 = 50;
const REOPEN_AFTER_MOST: u64 = 5_000;

impl Client {
    pub(in crate::client) fn connection_channel_opened(&mut self, now: Time, key: ConnectionKey) {
        match self.connection_mut(key) {
            Some(connection) => {
                connection.channel = Opening::Open;
                self.carry_connection(now, key);
            }
            None => {
                self.close_channel(key);
                self.disown(now, key);
            }
        }
    }

    pub(in crate::client) fn connection_channel_drained(&mut self, now: Time, key: ConnectionKey) {
        if let Some(connection) = self.connection_mut(key) {
            connection.stream.drained();
            self.flush_connection(now, key);
            self.finish_connection(now, key);
        }
    }

    pub(in crate::client) fn connection_channel_closed(&mut self, now: Time, key: ConnectionKey) {
        let Some(connection) = self.connection_mut(key) else {
            return;
        };
        connection.channel = Opening::None;
        let mut lost = Vec::new();
        connection
            .stream
            .carry(now, Carrier::None, |receipt| lost.push(receipt));
        let ended = match &connection.stage {
            Stage::Ending(reason, _) => Some(reason.clone()),
            _ => None,
        };
        lost.into_iter().for_each(|receipt| self.settle(receipt));
        match ended {
            Some(reason) => self.end_connection(key, Code::Closed, reason.as_str()),
            // The browser closed it: another one is made, as long as there is a path.
            None => {
                if let Some(connection) = self.connection_mut(key) {
                    connection.closes = (connection.closes + 1).min(16);
                    let wait = (REOPEN_AFTER << connection.closes).min(REOPEN_AFTER_MOST);
                    connection.reopen_at = Some(now + wait);
                    self.wake_at(Some(now + wait));
                }
            }
        }
    }

    /// The link's carrier is another one, or the path carries again.
    pub(in crate::client) fn carry_connections(&mut self, now: Time, peer: PeerKey) {
        for key in self.connection_keys(peer) {
            self.carry_connection(now, key);
        }
    }

    /// The channels of a path that was given up are gone.
    pub(in crate::client) fn forget_channels(&mut self, peer: PeerKey) {
        let mut lost = Vec::new();
        for (_, connection) in self.peers.get_mut(peer).connections.iter_mut() {
            connection.channel = Opening::None;
            connection.asks_again = true;
            connection.closes = 0;
            connection.reopen_at = None;
            if connection.stream.carrier() == Carrier::Channel {
                connection
                    .stream
                    .carry(Time(0), Carrier::None, |receipt| lost.push(receipt));
            }
        }
        lost.into_iter().for_each(|receipt| self.settle(receipt));
    }

    pub(in crate::client) fn acknowledge_connections(&mut self, now: Time, peer: PeerKey) {
        for key in self.connection_keys(peer) {
            if let Some(connection) = self.connection_mut(key)
                && connection.owes()
            {
                connection.stream.acknowledge();
                self.flush_connection(now, key);
            }
        }
    }

    pub(super) fn carry_connection(&mut self, now: Time, key: ConnectionKey) {
        let link = self.peers.get(key.peer).link.carrier();
        let generation = self.peers.get(key.peer).generation;
        let Some(connection) = self.connection_mut(key) else {
            return;
        };
        if connection.stage == Stage::Pending {
            connection.asks_again |= link == Carrier::None;
            if link != Carrier::None
                && std::mem::take(&mut connection.asks_again)
                && let Number::Ours(number) = key.number
            {
                let asks = connection.terms.ask(number);
                if let Ok(asks) = self.encode(&asks) {
                    self.tell(now, key.peer, &asks);
                }
            }
            return;
        }
        let had = connection.stream.carrier();
        let carrier = match link {
            Carrier::Channel if connection.channel != Opening::Open => Carrier::None,
            carrier => carrier,
        };
        let terms = connection.terms.clone();
        let makes = link == Carrier::Channel
            && connection.channel == Opening::None
            && connection.reopen_at.is_none_or(|at| at <= now)
            && matches!(key.number, Number::Ours(_));
        if makes {
            connection.channel = Opening::Asked;
            connection.reopen_at = None;
        }
        let mut lost = Vec::new();
        if carrier != had {
            connection
                .stream
                .carry(now, carrier, |receipt| lost.push(receipt));
            if carrier == Carrier::Channel {
                connection.stream.resume(now);
            }
        }
        lost.into_iter().for_each(|receipt| self.settle(receipt));
        if makes {
            self.outputs
                .push_back(Output::OpenChannel(key, generation, terms));
        }
        self.flush_connection(now, key);
        self.finish_connection(now, key);
    }

    pub(in crate::client) fn flush_connection(&mut self, now: Time, key: ConnectionKey) {
        let online = self.is_online();
        let backlog = self.session.backlog();
        let peer = self.peers.get(key.peer);
        let generation = peer.generation;
        let talks = peer.link.talks(now);
        let channel = Channel::Connection(key.number);
        if let Some(connection) = self.connection_mut(key) {
            connection.stream.talk(talks);
        }
        loop {
            let Some(connection) = self.connection_mut(key) else {
                return;
            };
            let carrier = connection.stream.carrier();
            if carrier == Carrier::Relay && !online {
                break;
            }
            let drops = carrier == Carrier::Relay && connection.is_lossy() && backlog >= LOSSY_BACKLOG;
            let mut handed = Vec::new();
            let frame = connection.stream.poll_frame(now, |receipt| handed.push(receipt));
            handed.into_iter().for_each(|receipt| self.settle(receipt));
            match frame {
                None => break,
                Some(frame) if carrier == Carrier::Channel => {
                    self.outputs
                        .push_back(Output::ChannelSend(key.peer, generation, channel, frame));
                }
                Some(_) if drops => {}
                Some(frame) => self.relay_connection(key, frame),
            }
        }
        if let Some(connection) = self.connection_mut(key) {
            let awaits = connection.stream.poll_awaits_channel();
            let room = connection.stream.poll_room();
            let timeout = connection.stream.poll_timeout();
            if awaits {
                self.outputs
                    .push_back(Output::AwaitDrained(key.peer, generation, channel));
            }
            if room {
                self.event(Event::ConnectionRoom(key));
            }
            self.wake_at(timeout);
        }
    }

    fn relay_connection(&mut self, key: ConnectionKey, frame: Vec<u8>) {
        let peer = self.peers.get(key.peer);
        let (to, instance) = (peer.id.clone(), peer.instance());
        let (ours, number) = key.number.parts();
        self.session_send(ClientFrame::Relay {
            to,
            instance,
            frame: LinkFrame::Connection {
                ours,
                number,
                frame: Bytes(frame),
            },
        });
    }

    /// A connection's frame that came through the server.
    pub(in crate::client) fn connection_relayed(
        &mut self,
        now: Time,
        peer: PeerKey,
        ours: bool,
        number: u32,
        frame: &[u8],
    ) {
        let number = Number::new(!ours, number);
        self.connection_received(now, ConnectionKey { peer, number }, frame);
    }

    pub(in crate::client) fn tick_connections(&mut self, now: Time, peer: PeerKey) {
        for key in self.connection_keys(peer) {
            let ended = match self.connection_mut(key).map(|connection| &connection.stage) {
                Some(Stage::Ending(reason, until)) if *until <= now => Some(reason.clone()),
                _ => None,
            };
            if let Some(reason) = ended {
                self.end_connection(key, Code::Closed, reason.as_str());
            }
            let late = matches!(
                self.connection_mut(key).map(|connection| &connection.stage),
                Some(Stage::Closing(_, _, until)) if *until <= now
            );
            if late {
                self.say_closed(now, key, Code::Timeout.as_str());
                self.end_connection(key, Code::Timeout, Code::Timeout.as_str());
            }
            self.tick_stream(now, key);
            let reopens = self
                .connection_mut(key)
                .is_some_and(|connection| connection.reopen_at.take_if(|at| *at <= now).is_some());
            if reopens {
                self.carry_connection(now, key);
            }
        }
    }

    fn tick_stream(&mut self, now: Time, key: ConnectionKey) {
        if let Some(connection) = self.connection_mut(key)
            && connection.stream.tick(now)
        {
            self.flush_connection(now, key);
        }
    }
}
