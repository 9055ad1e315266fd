//! What an operator can set.

use super::bucket::Rate;
use crate::wire::limits;

/// How a hub behaves. The defaults are those of `peerloom-server`.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// Milliseconds that a lost session can be resumed for, and its id stays reserved.
    pub grace: u32,
    /// Milliseconds between the pings that clients are asked for.
    pub heartbeat: u32,
    /// For the clients' `RTCPeerConnection`s: JSON text of an array of `RTCIceServer`.
    pub ice_servers: Option<String>,
    /// Sessions at once, those that are away included.
    pub sessions: usize,
    /// Bytes of frames kept for a client until it has confirmed them. When there are more, the oldest are forgotten,
    /// and a resume that would need them is answered with `resumed: false`.
    pub outbox: usize,
    /// Threads that one client can be in.
    pub threads_per_client: usize,
    /// Members of one thread, and carriers of a tag that are told at once.
    pub members_per_thread: usize,
    /// Tags that one client can carry.
    pub tags_per_client: usize,
    /// Names that one client can watch.
    pub watches_per_client: usize,
    /// Frames of every kind, per session. Beyond it the socket is read more slowly; nothing is lost.
    pub frames: Rate,
    /// Frames other than `Signal` and `Relay`, per session. Beyond it there is a `Fault`, and slower reading.
    pub control: Rate,
    /// Bytes, per session: of each frame that comes, or of what has to be sent because of it, whichever is more.
    /// Beyond it the socket is read more slowly.
    pub bytes: Rate,
    /// Control frames over the budget, without a pause in between, after which the socket is closed.
    pub strikes: u32,
    /// Milliseconds from the `Drain` frame to the close of the sockets.
    pub drain_linger: u32,
    /// Milliseconds after which the first client may come back to a server that was drained.
    pub drain_return: u32,
    /// Milliseconds over which the clients' return is spread.
    pub drain_spread: u32,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            grace: 10_000,
            heartbeat: 5_000,
            ice_servers: None,
            sessions: 20_000,
            outbox: 1024 * 1024,
            threads_per_client: limits::THREADS_PER_CLIENT,
            members_per_thread: limits::MEMBERS_PER_THREAD,
            tags_per_client: limits::TAGS_PER_CLIENT,
            watches_per_client: limits::WATCHES_PER_CLIENT,
            // Someone who joins a thread of 256 sends an offer and some candidates to each.
            frames: Rate::new(500, 4000),
            control: Rate::new(100, 1000),
            // Chat between people without a direct link, in reserve for a picture or two.
            bytes: Rate::new(1024 * 1024, 4 * 1024 * 1024),
            strikes: 500,
            drain_linger: 500,
            drain_return: 500,
            drain_spread: 4_500,
        }
    }
}
