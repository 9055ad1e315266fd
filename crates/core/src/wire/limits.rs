//! Every limit on what comes from outside. Each has a test; `docs/protocol.md` lists them.

/// The protocol's version, in [`super::Hello`].
pub const PROTOCOL: u16 = 1;

/// WebSocket subprotocol of the binary codec.
pub const SUBPROTOCOL: &str = "peerloom.v1";
/// WebSocket subprotocol of the JSON codec.
pub const SUBPROTOCOL_JSON: &str = "peerloom.v1.json";

/// Bytes of one frame from a client to the server.
pub const CLIENT_FRAME: usize = 64 * 1024;
/// Bytes of one frame from the server to a client: a full list of members with full user data fits, in JSON too.
pub const SERVER_FRAME: usize = 16 * 1024 * 1024;
/// Bytes of an id, a tag, a thread's id or a message's name, as UTF-8.
pub const NAME: usize = 128;
/// Bytes of user data, as JSON text.
pub const USER_DATA: usize = 4096;
/// Bytes of a token.
pub const TOKEN: usize = 8192;
/// Bytes of an SDP description.
pub const SDP: usize = 32 * 1024;
/// Bytes of one ICE candidate line, and of its media id and user name fragment.
pub const CANDIDATE: usize = 1024;
/// Candidates in one frame.
pub const CANDIDATES_PER_FRAME: usize = 16;
/// Candidates from one description of the other side's to the next, those that wait for a description included.
pub const CANDIDATES_PER_GENERATION: usize = 64;
/// Names in one `Tag`, `Untag`, `Watch` or `Unwatch` frame.
pub const NAMES_PER_FRAME: usize = 64;

/// Threads that one client can be in.
pub const THREADS_PER_CLIENT: usize = 64;
/// Members of one thread.
pub const MEMBERS_PER_THREAD: usize = 256;
/// Tags that one client can carry.
pub const TAGS_PER_CLIENT: usize = 64;
/// Names that one client can watch.
pub const WATCHES_PER_CLIENT: usize = 256;

/// Bytes of one message, encoded, before it is cut into parts.
pub const MESSAGE: usize = 16 * 1024 * 1024;
/// Bytes of one link frame on a data channel.
pub const LINK_FRAME: usize = 64 * 1024;
/// Bytes of an item above which it is cut into parts, and of a link frame after which the next one is begun.
pub const LINK_FRAME_TARGET: usize = 16 * 1024;
/// Bytes of a message of a connection that one piece carries: with what stands before it, it fits into any frame. Larger
/// than a link's frames, because nothing waits behind it but its own connection.
pub const PIECE: usize = 60 * 1024;
/// Connections that one peer may have asked this client for at once.
pub const CONNECTIONS_PER_PEER: usize = 128;
/// Bytes of what an offer says about its files, as JSON text.
pub const MANIFEST: usize = 1024 * 1024;
/// Bytes of these that one peer may have made this client keep.
pub const MANIFESTS: usize = 4 * 1024 * 1024;
/// Gaps in an unordered stream.
pub const GAPS: usize = 4096;
/// Answers to what a peer said that may wait for it.
pub const ANSWERS: usize = 65_536;
/// Bytes of messages that may wait for one peer.
pub const OUTBOX: usize = 256 * 1024 * 1024;
/// Items in one link frame.
pub const ITEMS_PER_FRAME: usize = 8192;
/// Binary parts of one rich value.
pub const VALUE_PARTS: usize = 65_536;
/// Messages that wait for their sender's membership to be confirmed by the server, per peer.
pub const HELD_MESSAGES: usize = 1024;
/// Bytes of these.
pub const HELD_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of these from all peers together.
pub const HELD_BYTES_IN_ALL: usize = 16 * 1024 * 1024;
/// Links with strangers (peers that share no thread with this client and that it never addressed).
pub const STRANGERS: usize = 256;
/// Bytes of messages that came in part from all of these together.
pub const STRANGERS_BYTES: usize = 64 * 1024 * 1024;
/// The highest generation that a link can have; beyond it there must be room to count on.
pub const GENERATION: u32 = 1 << 31;
