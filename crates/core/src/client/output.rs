//! What a client says: events for the page, and work for its run loop.

use super::{Channel, ConnectionKey, PeerKey, PeerState, Terms};
use crate::error::{Code, Error};
use crate::link::{Piece, Receipt};
use crate::negotiation::{Command, Op};
use crate::thread::Change;
use crate::wire::{Body, Id, Instance, Name, ThreadId};

/// `client.state` of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// Not opened.
    Idle,
    /// Opening.
    Connecting,
    /// Admitted by the server.
    Online,
    /// The server is out of reach; the session comes back by itself.
    Recovering,
    /// Over.
    Closed,
}

impl ClientState {
    /// As in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Online => "online",
            Self::Recovering => "recovering",
            Self::Closed => "closed",
        }
    }
}

/// Who asked, in which life, and under which number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    pub(super) peer: PeerKey,
    pub(super) instance: Instance,
    pub(super) request: u32,
}

impl Asker {
    /// Who asked.
    #[must_use]
    pub fn peer(&self) -> PeerKey {
        self.peer
    }
}

/// What the page is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// `client.state` changed.
    State(ClientState),
    /// `peer.state` changed.
    PeerState(PeerKey, PeerState),
    /// A peer's user data changed.
    PeerUpdated(PeerKey),
    /// From `peer.send`, or with a name from `client.send`.
    Message(PeerKey, Option<Name>, Body),
    /// From `thread.send`.
    ThreadMessage(ThreadId, PeerKey, Body),
    /// A request to answer with [`super::Client::reply`].
    Request(Asker, Name, Body),
    /// Members of a thread changed.
    Thread(ThreadId, PeerKey, Change),
    /// This client is no longer in a thread, other than by its own wish.
    ThreadEnded(ThreadId, Error),
    /// News about something watched.
    Presence {
        /// Who.
        id: Id,
        /// The tag that was watched, if it was one.
        tag: Option<Name>,
        /// Whether it is there.
        online: bool,
    },
    /// A peer asks for a connection, which waits for [`super::Client::accept`] or
    /// [`super::Client::close_connection`].
    Connection(ConnectionKey, Terms),
    /// It is accepted.
    ConnectionOpen(ConnectionKey),
    /// A piece of a message came over it.
    ConnectionPiece(ConnectionKey, Piece),
    /// It takes more again.
    ConnectionRoom(ConnectionKey),
    /// Something went wrong with it.
    ConnectionError(ConnectionKey, Error),
    /// It is over: `closed` by either side, or what else became of it; and why, in the words of whoever closed it, or as
    /// the code again.
    ConnectionClosed(ConnectionKey, Code, String),
    /// Something failed that no call waits for.
    Error(Error),
}

/// What is to be done, in order.
#[derive(Debug)]
pub enum Output {
    /// Make a WebSocket.
    Connect,
    /// Send one message over it.
    SocketSend(Vec<u8>),
    /// Close it, and hand in nothing more from it.
    SocketClose,
    /// Make an `RTCPeerConnection` with data channel 0 (negotiated, ordered, reliable), under this generation.
    CreateConnection(PeerKey, u32),
    /// Close that connection, and hand in nothing more from it.
    CloseConnection(PeerKey, u32),
    /// Call the browser; answer with [`super::Client::connection_done`].
    Exec(PeerKey, u32, Op, Command),
    /// Call `restartIce()` of that connection.
    RestartIce(PeerKey, u32),
    /// Make a channel for a connection, labelled with its number, on the `RTCPeerConnection` of this generation.
    OpenChannel(ConnectionKey, u32, Terms),
    /// Close it, when what is in it has been sent, and hand in nothing more from it.
    CloseChannel(ConnectionKey, u32),
    /// Send over a channel of that `RTCPeerConnection`.
    ChannelSend(PeerKey, u32, Channel, Vec<u8>),
    /// Messages wait for that channel to be empty: call [`super::Client::channel_drained`] when it is, or now.
    AwaitDrained(PeerKey, u32, Channel),
    /// The calls from the first to the last of these receipts have succeeded.
    Settle(Receipt, Receipt),
    /// The call failed.
    Reject(Receipt, Error),
    /// The request was answered.
    Answer(Receipt, Body),
    /// Tell the page.
    Event(Event),
    /// The server says which ICE servers to use, as JSON text.
    IceServers(String),
}
