//! Carries out what the core says, and hands in what comes of it.

use peerloom_core::Code;
use peerloom_core::client::{Channel, Client, Output, PeerKey};
use peerloom_core::wire::{Body, limits};
use wasm_bindgen_futures::spawn_local;

use super::Runtime;
use super::simulate::Held;
use crate::web::{Connection, ConnectionEvent, Socket, SocketEvent, soon};
use crate::{error, value};

impl Runtime {
    pub(super) fn execute(&self, output: Output) {
        match output {
            Output::Connect => self.connect_socket(),
            Output::SocketSend(bytes) => {
                if self.is_calm() {
                    self.socket_send(&bytes);
                } else if let Some(Held::ToSocket(bytes)) = self.hold(Held::ToSocket(bytes)) {
                    self.socket_send(&bytes);
                }
            }
            Output::SocketClose => {
                self.weather.forget_socket();
                self.socket.borrow_mut().take();
            }
            Output::CreateConnection(key, generation) => self.create_connection(key, generation),
            Output::CloseConnection(key, generation) => {
                let mut connections = self.connections.borrow_mut();
                if connections
                    .get(&key)
                    .is_some_and(|(current, _)| *current == generation)
                {
                    connections.remove(&key);
                }
                self.weather.forget_path(key, generation);
            }
            Output::Exec(key, generation, op, command) => {
                let future = match self.connections.borrow().get(&key) {
                    Some((current, connection)) if *current == generation => {
                        connection.execute(command.clone())
                    }
                    _ => return,
                };
                let this = self.this.clone();
                spawn_local(async move {
                    let done = future.await;
                    if let Some(this) = this.upgrade() {
                        let done = this.after_call(key, generation, &command, done);
                        let _ = this.input(|core, now| core.connection_done(now, key, generation, op, done));
                    }
                });
            }
            Output::RestartIce(key, generation) => {
                self.with_connection_of(key, generation, Connection::restart_ice);
            }
            Output::OpenChannel(key, generation, terms) => {
                let opened = self.with_connection_of(key.peer, generation, |connection| {
                    connection.open(key.number, &terms)
                });
                if let Some(Err(_)) = opened {
                    let channel = Channel::Connection(key.number);
                    let _ = self.input(|core, now| core.channel_closed(now, key.peer, generation, channel));
                }
            }
            Output::CloseChannel(key, generation) => {
                self.with_connection_of(key.peer, generation, |connection| connection.close(key.number));
            }
            Output::ChannelSend(key, generation, channel, frame) => {
                if self.is_calm() {
                    self.channel_send(key, generation, channel, &frame);
                    return;
                }
                let held = Held::ToChannel(key, generation, channel, frame);
                if let Some(Held::ToChannel(.., frame)) = self.hold(held) {
                    if self.doubles() && channel == Channel::Link {
                        self.channel_send(key, generation, channel, &frame);
                    }
                    self.channel_send(key, generation, channel, &frame);
                }
            }
            Output::AwaitDrained(key, generation, channel) => {
                if self.is_calm() || self.hold(Held::Drained(key, generation, channel)).is_some() {
                    self.await_drained(key, generation, channel);
                }
            }
            Output::Settle(first, last) => self.deferreds.settle(first, last),
            Output::Reject(receipt, error) => self.deferreds.reject(receipt, &error::from_core(&error)),
            Output::Answer(receipt, body) => match value::unpack(&body) {
                Ok(value) => self.deferreds.resolve(receipt, &value),
                Err(error) => self.deferreds.reject(receipt, &error::from_core(&error)),
            },
            Output::IceServers(json) => {
                if !self.ice_servers_given
                    && let Ok(servers) = value::unpack(&Body::Json(json))
                {
                    *self.ice_servers.borrow_mut() = servers;
                }
            }
            Output::Event(event) => self.deliver(event),
        }
    }

    fn with_connection_of<T>(
        &self,
        key: PeerKey,
        generation: u32,
        act: impl FnOnce(&Connection) -> T,
    ) -> Option<T> {
        match self.connections.borrow().get(&key) {
            Some((current, connection)) if *current == generation => Some(act(connection)),
            _ => None,
        }
    }

    pub(super) fn channel_send(&self, key: PeerKey, generation: u32, channel: Channel, frame: &[u8]) {
        self.with_connection_of(key, generation, |connection| connection.send(channel, frame));
    }

    pub(super) fn await_drained(&self, key: PeerKey, generation: u32, channel: Channel) {
        let waits = match self.connections.borrow().get(&key) {
            Some((current, connection)) if *current == generation => connection.await_drained(channel),
            _ => return,
        };
        if !waits {
            let _ = self.input(|core, now| core.channel_drained(now, key, generation, channel));
        }
    }

    pub(super) fn socket_send(&self, bytes: &[u8]) {
        if let Some(socket) = &*self.socket.borrow() {
            socket.send(bytes);
        }
    }

    fn connect_socket(&self) {
        self.weather.forget_socket();
        if !self.is_calm()
            && let Some(code) = self.refused_socket()
        {
            let this = self.this.clone();
            soon(move || {
                if let Some(this) = this.upgrade() {
                    let _ = this.input(|core, now| core.socket_closed(now, code));
                }
            });
            return;
        }
        let this = self.this.clone();
        let early = self.early_socket.take();
        let socket = Socket::new(&self.server, limits::SUBPROTOCOL, early, move |event| {
            if let Some(this) = this.upgrade()
                && let Some(event) = this.heard(event)
            {
                this.socket_event(event);
            }
        });
        match socket {
            Ok(socket) => {
                let is_open = socket.is_open();
                *self.socket.borrow_mut() = Some(socket);
                if is_open {
                    let _ = self.input(Client::socket_opened);
                }
            }
            Err(_) => {
                let _ = self.input(|core, now| core.socket_closed(now, 1006));
            }
        }
    }

    fn heard(&self, event: SocketEvent) -> Option<SocketEvent> {
        if self.is_calm() {
            return Some(event);
        }
        match self.hold(Held::FromSocket(event)) {
            Some(Held::FromSocket(event)) => Some(event),
            _ => None,
        }
    }

    pub(super) fn socket_event(&self, event: SocketEvent) {
        let _ = match event {
            SocketEvent::Opened => self.input(Client::socket_opened),
            SocketEvent::Received(bytes) => self.input(|core, now| core.socket_received(now, &bytes)),
            SocketEvent::Closed(code) => {
                self.socket.borrow_mut().take();
                self.input(|core, now| core.socket_closed(now, code))
            }
        };
    }

    fn create_connection(&self, key: PeerKey, generation: u32) {
        if !self.is_calm() && self.has_no_path() {
            let _ = self.input(|core, now| core.connection_failed(now, key, generation));
            return;
        }
        let this = self.this.clone();
        let connection = Connection::new(&self.ice_servers.borrow(), self.privacy, move |event| {
            if let Some(this) = this.upgrade() {
                this.connection_event(key, generation, event);
            }
        });
        match connection {
            Ok(connection) => {
                self.connections
                    .borrow_mut()
                    .insert(key, (generation, connection));
            }
            Err(thrown) => {
                self.listeners
                    .emit("error", &error::caused(Code::Unsupported, thrown));
                let _ = self.input(|core, now| core.connection_failed(now, key, generation));
            }
        }
    }

    fn connection_event(&self, key: PeerKey, generation: u32, event: ConnectionEvent<'_>) {
        let event = match event {
            ConnectionEvent::Incoming(channel) => {
                let connections = self.connections.borrow();
                let connection = connections
                    .get(&key)
                    .filter(|(current, _)| *current == generation);
                match connection.and_then(|(_, connection)| connection.adopt(channel)) {
                    Some(channel) => ConnectionEvent::Opened(channel),
                    None => return,
                }
            }
            ConnectionEvent::Received(channel, bytes) if !self.is_calm() => {
                let held = Held::FromChannel(key, generation, channel, bytes.to_vec());
                if self.hold(held).is_none() {
                    return;
                }
                ConnectionEvent::Received(channel, bytes)
            }
            event => event,
        };
        let _ = self.input(|core, now| match event {
            ConnectionEvent::Needed => core.connection_needs_negotiation(now, key, generation),
            ConnectionEvent::Candidate(candidate) => {
                core.connection_candidate(now, key, generation, candidate)
            }
            ConnectionEvent::Suspected => core.connection_suspected(now, key, generation),
            ConnectionEvent::Failed => core.connection_failed(now, key, generation),
            ConnectionEvent::Opened(channel) => core.channel_opened(now, key, generation, channel),
            ConnectionEvent::Received(channel, bytes) => {
                core.channel_received(now, key, generation, channel, bytes)
            }
            ConnectionEvent::Drained(channel) => core.channel_drained(now, key, generation, channel),
            ConnectionEvent::Closed(channel) => core.channel_closed(now, key, generation, channel),
            ConnectionEvent::Incoming(_) => {}
        });
    }
}
