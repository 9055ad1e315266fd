//! What a client and the server say to each other.
//!
//! Frames are *counted* in each direction, from the welcome that began the session on, but for those marked "not
//! counted". A client that resumes says how many it has, the server says the same, and each repeats what the other lacks.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::limits;
use super::link::LinkFrame;
use super::name::{Id, Name, ThreadId};
use super::signal::Signal;
use super::value::{JsonText, bounded, visit_str};
use crate::error::Code;

/// Tells one life of a client object from the next one under the same id. Chosen by the client at random, not a
/// secret, below 2^53 so that JSON carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instance(pub u64);

/// A token or ticket: kept out of every log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret of at most [`limits::TOKEN`] bytes.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        (text.len() <= limits::TOKEN).then(|| Self(text.to_owned()))
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        visit_str(deserializer, |text| {
            Self::new(text).ok_or("a token of at most 8192 bytes")
        })
    }
}

/// Which media a member is willing to give and take in a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// Sound.
    #[serde(default)]
    pub audio: bool,
    /// Picture.
    #[serde(default)]
    pub video: bool,
}

/// What others may know of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerInfo {
    /// Its id.
    pub id: Id,
    /// Its present life.
    pub instance: Instance,
    /// Its own user data.
    #[serde(default)]
    pub user_data: Option<JsonText>,
    /// Whether it can make direct links.
    #[serde(default)]
    pub webrtc: bool,
}

/// A member of a thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub peer: PeerInfo,
    /// Its user data in this thread.
    #[serde(default)]
    pub user_data: Option<JsonText>,
    /// Its media in this thread.
    #[serde(default)]
    pub media: Media,
}

/// Why somebody is no longer a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// It left, or closed its page.
    Left,
    /// Its connection was lost and did not come back in time.
    TimedOut,
    /// An operator or a limit put it out.
    Kicked,
    /// The same id began a new life.
    Replaced,
}

impl LeaveReason {
    /// As in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::TimedOut => "timed_out",
            Self::Kicked => "kicked",
            Self::Replaced => "replaced",
        }
    }
}

/// The first frame of a client on each socket. Not counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`limits::PROTOCOL`].
    pub protocol: u16,
    /// The id that is wanted; without one the server makes an unguessable one.
    #[serde(default)]
    pub id: Option<Id>,
    /// What the operator gave this user.
    #[serde(default)]
    pub token: Option<Secret>,
    /// This life of the client.
    pub instance: Instance,
    /// The client's own user data.
    #[serde(default)]
    pub user_data: Option<JsonText>,
    /// Whether this client can make direct links.
    #[serde(default)]
    pub webrtc: bool,
    /// Continues a session whose socket was lost. A client that has no ticket yet may show a secret of its own choice, of
    /// at least 16 bytes, with nothing received: should the first welcome be lost, the same secret begins the session
    /// anew, until the first `Ping` has shown that a welcome arrived.
    #[serde(default)]
    pub resume: Option<Resume>,
}

/// Continues a session whose socket was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// From the last welcome. Good for one use.
    pub ticket: Secret,
    /// How many counted frames of the server's the client has in this session.
    pub received: u64,
}

/// The server's answer to a [`Hello`] that it accepts. Not counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// This client's id.
    pub id: Id,
    /// For the next resume.
    pub ticket: Secret,
    /// Whether the session goes on with nothing missing. If not, both counts begin at 0, and the server knows nothing
    /// of this client's threads, tags and watches.
    pub resumed: bool,
    /// How many counted frames of the client's the server has in this session.
    pub received: u64,
    /// Milliseconds that a lost session can be resumed for, and its id is kept.
    pub grace: u32,
    /// Milliseconds between the pings that the server expects at the latest.
    pub heartbeat: u32,
    /// What to give to `RTCPeerConnection`, as JSON text of an array of `RTCIceServer`.
    #[serde(default)]
    pub ice_servers: Option<String>,
}

/// From a client to the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientFrame {
    /// Opens or resumes a session. Not counted.
    Hello(Hello),
    /// Keeps the session alive and tells how many frames have come, so that the server can forget them. Not counted.
    Ping {
        /// Counted frames of the server's that this client has.
        received: u64,
    },
    /// Ends the session at once. Not counted.
    Bye {},
    /// Joins a thread; answered by `Joined` or `Fault` with the same `op`. Again: changes user data and media.
    Join {
        /// The client's number for this question.
        op: u32,
        /// Which thread.
        thread: ThreadId,
        /// The client's user data in it.
        #[serde(default)]
        user_data: Option<JsonText>,
        /// The client's media in it.
        #[serde(default)]
        media: Media,
    },
    /// Leaves a thread.
    Leave {
        /// Which.
        thread: ThreadId,
    },
    /// Changes the client's own user data.
    UserData {
        /// The new value.
        user_data: Option<JsonText>,
    },
    /// Adds tags.
    Tag {
        /// At most [`limits::NAMES_PER_FRAME`].
        #[serde(deserialize_with = "names")]
        names: Vec<Name>,
    },
    /// Removes tags.
    Untag {
        /// At most [`limits::NAMES_PER_FRAME`].
        #[serde(deserialize_with = "names")]
        names: Vec<Name>,
    },
    /// Asks for presence of ids and tags.
    Watch {
        /// At most [`limits::NAMES_PER_FRAME`].
        #[serde(deserialize_with = "names")]
        names: Vec<Name>,
    },
    /// Ends that.
    Unwatch {
        /// At most [`limits::NAMES_PER_FRAME`].
        #[serde(deserialize_with = "names")]
        names: Vec<Name>,
    },
    /// Who has this id, or else who carries this tag? Answered by `Found`.
    Find {
        /// The client's number for this question.
        op: u32,
        /// An id or a tag.
        name: Name,
    },
    /// A step of negotiation for another client.
    Signal {
        /// To whom.
        to: Id,
        /// To which life; left out: whichever there is.
        #[serde(default)]
        instance: Option<Instance>,
        /// The step.
        signal: Signal,
    },
    /// A link frame for another client, when there is no direct path.
    Relay {
        /// To whom.
        to: Id,
        /// To which life; left out: whichever there is.
        #[serde(default)]
        instance: Option<Instance>,
        /// The frame.
        frame: LinkFrame,
    },
}

impl ClientFrame {
    /// Whether it counts.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        !matches!(self, Self::Hello(_) | Self::Ping { .. } | Self::Bye {})
    }
}

/// From the server to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerFrame {
    /// The session is open. Not counted.
    Welcome(Welcome),
    /// Answers `Ping`. Not counted.
    Pong {
        /// Counted frames of the client's that the server has.
        received: u64,
    },
    /// The server is going to stop. Not counted.
    Drain {
        /// Milliseconds to wait before coming back.
        return_after: u32,
    },
    /// Something was refused. Counted while the session is open; not counted where it refuses a hello, or tells why the
    /// server ends the session.
    Fault {
        /// Which question of the client's, if it was one.
        #[serde(default)]
        op: Option<u32>,
        /// What kind of error.
        code: Code,
        /// What exactly.
        #[serde(default)]
        detail: String,
        /// Milliseconds after which another try may succeed.
        #[serde(default)]
        retry_after: Option<u32>,
    },
    /// Answers `Join`: everybody else who is a member.
    Joined {
        /// The client's number.
        op: u32,
        /// Which thread.
        thread: ThreadId,
        /// The others, in no order.
        #[serde(deserialize_with = "members")]
        members: Vec<Member>,
    },
    /// Somebody joined a thread of this client's.
    MemberJoined {
        /// Which.
        thread: ThreadId,
        /// Who.
        member: Member,
    },
    /// A member changed its user data or media there.
    MemberUpdated {
        /// Which thread.
        thread: ThreadId,
        /// The member as it is now.
        member: Member,
    },
    /// A member is gone.
    MemberLeft {
        /// Which thread.
        thread: ThreadId,
        /// Who.
        id: Id,
        /// Which life of it.
        instance: Instance,
        /// Why.
        reason: LeaveReason,
    },
    /// A client that shares a thread with this one, or is watched by it, changed its own user data.
    PeerUpdated {
        /// As it is now.
        peer: PeerInfo,
    },
    /// News about something watched.
    Presence {
        /// What was watched.
        name: Name,
        /// Who came or went; for an id, the same.
        id: Id,
        /// Whether it is there.
        online: bool,
        /// Whether `name` is a tag of it, rather than its id.
        tagged: bool,
    },
    /// Answers `Find`.
    Found {
        /// The client's number.
        op: u32,
        /// Nobody, the one with that id, or those with that tag.
        #[serde(deserialize_with = "peers")]
        peers: Vec<PeerInfo>,
    },
    /// A step of negotiation from another client.
    Signal {
        /// From whom: the server's word.
        from: Id,
        /// Which life: the server's word.
        instance: Instance,
        /// The step.
        signal: Signal,
    },
    /// A link frame from another client.
    Relay {
        /// From whom: the server's word.
        from: Id,
        /// Which life: the server's word.
        instance: Instance,
        /// The frame.
        frame: LinkFrame,
    },
    /// A `Signal` or `Relay` found nobody: that id is not connected, or not in that life.
    Unreachable {
        /// The id that was meant.
        to: Id,
        /// The life that was meant, if one was named.
        #[serde(default)]
        instance: Option<Instance>,
    },
}

impl ServerFrame {
    /// Whether it counts.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        !matches!(self, Self::Welcome(_) | Self::Pong { .. } | Self::Drain { .. })
    }
}

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Name>, D::Error> {
    bounded(deserializer, limits::NAMES_PER_FRAME)
}

fn members<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Member>, D::Error> {
    bounded(deserializer, limits::MEMBERS_PER_THREAD)
}

fn peers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PeerInfo>, D::Error> {
    bounded(deserializer, limits::MEMBERS_PER_THREAD)
}
