//! Carries out what the core says, and hands in what comes of it.

use peerloom_core::Code;
use peerloom_core::client::{Client, Output, PeerKey};
use peerloom_core::wire::{Body, limits};
use wasm_bindgen_futures::spawn_local;

use super::Runtime;
use crate::web::{Connection, ConnectionEvent, Socket, SocketEvent};
use crate::{error, value};

impl Runtime {
    pub(super) fn execute(&self, output: Output) {
        match output {
            Output::Connect => self.connect_socket(),
            Output::SocketSend(bytes) => {
                if let Some(socket) = &*self.socket.borrow() {
                    socket.send(&bytes);
                }
            }
            Output::SocketClose => {
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
            }
            Output::Exec(key, generation, op, command) => {
                let future = match self.connections.borrow().get(&key) {
                    Some((current, connection)) if *current == generation => connection.execute(command),
                    _ => return,
                };
                let this = self.this.clone();
                spawn_local(async move {
                    let done = future.await;
                    if let Some(this) = this.upgrade() {
                        let _ = this.input(|core, now| core.connection_done(now, key, generation, op, done));
                    }
                });
            }
            Output::ChannelSend(key, generation, frame) => {
                if let Some((current, connection)) = self.connections.borrow().get(&key)
                    && *current == generation
                {
                    connection.send(&frame);
                }
            }
            Output::AwaitDrained(key, generation) => {
                let waits = match self.connections.borrow().get(&key) {
                    Some((current, connection)) if *current == generation => connection.await_drained(),
                    _ => return,
                };
                if !waits {
                    let _ = self.input(|core, now| core.channel_drained(now, key, generation));
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

    fn connect_socket(&self) {
        let this = self.this.clone();
        let early = self.early_socket.take();
        let socket = Socket::new(&self.server, limits::SUBPROTOCOL, early, move |event| {
            if let Some(this) = this.upgrade() {
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

    fn socket_event(&self, event: SocketEvent) {
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
        let _ = self.input(|core, now| match event {
            ConnectionEvent::Needed => core.connection_needs_negotiation(now, key, generation),
            ConnectionEvent::Candidate(candidate) => {
                core.connection_candidate(now, key, generation, candidate)
            }
            ConnectionEvent::Failed => core.connection_failed(now, key, generation),
            ConnectionEvent::Opened => core.channel_opened(now, key, generation),
            ConnectionEvent::Received(bytes) => core.channel_received(now, key, generation, bytes),
            ConnectionEvent::Drained => core.channel_drained(now, key, generation),
            ConnectionEvent::Closed => core.channel_closed(now, key, generation),
        });
    }
}
