//! What two clients say to each other over their link: on data channel 0, or inside the server's `Relay` frames when no
//! direct path exists. The numbers are the same on both ways.
//!
//! An item is serialized once, when it is sent, and a data frame is a [`LinkHeader`] followed by such items, each with its
//! length before it; so a message to a whole thread is encoded once, a repeated frame costs a copy, and an item of a kind
//! that is not known can be stepped over.

use serde::{Deserialize, Serialize};

use super::name::{Name, ThreadId};
use super::value::{Body, Bytes, JsonText, Manifest};

/// "I have everything of your stream `stream` up to, not including, number `next`."
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// The stream of the other side's; 0 if nothing came yet.
    pub stream: u32,
    /// The number that is expected next.
    pub next: u64,
}

/// What stands before the items of a data frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkHeader {
    /// The sender's stream: a number that grows whenever it begins to count anew. Never 0.
    pub stream: u32,
    /// The number of the first item; the others follow it.
    pub first: u64,
    /// What the sender has of the receiver.
    pub acknowledged: Acknowledgement,
}

/// One frame of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkFrame {
    /// Items, and an acknowledgement.
    Data {
        /// Stream, first number, acknowledgement.
        header: LinkHeader,
        /// At most [`super::limits::ITEMS_PER_FRAME`].
        #[serde(with = "items")]
        items: Vec<Item>,
    },
    /// An acknowledgement alone.
    Acknowledge {
        /// What has arrived.
        acknowledged: Acknowledgement,
        /// Something is missing: send again from there on.
        again: bool,
    },
    /// Are you there?
    Ping {
        /// Comes back in the answer.
        token: u32,
    },
    /// Yes.
    Pong {
        /// From the question.
        token: u32,
    },
    /// The sender has let go of everything between the two: it is going away, or it has dropped a message in its middle
    /// because there was no reason to keep it. Whoever gets this gives up what is not confirmed, and begins a new stream
    /// should it send again.
    Bye,
    /// A frame of one connection's stream, on its way through the server; a channel of its own carries it otherwise.
    Connection {
        /// Whether the sender of this frame asked for the connection.
        ours: bool,
        /// Which one.
        number: u32,
        /// `Data` or `Acknowledge`, in its binary form.
        frame: Bytes,
    },
}

/// What is numbered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// From `peer.send`.
    Peer {
        /// The content.
        body: Body,
    },
    /// From `thread.send`.
    Thread {
        /// Both must be members of it.
        thread: ThreadId,
        /// The content.
        body: Body,
    },
    /// From `client.send`.
    Named {
        /// The message's name.
        name: Name,
        /// The content.
        body: Body,
    },
    /// From `client.request`.
    Request {
        /// The asker's number for it.
        request: u32,
        /// What is asked.
        name: Name,
        /// The content.
        body: Body,
    },
    /// The answer to one.
    Reply {
        /// The asker's number.
        request: u32,
        /// How it went.
        outcome: Outcome,
    },
    /// A piece of an item that is larger than [`super::limits::LINK_FRAME_TARGET`].
    Part {
        /// Whether the item is complete with it.
        last: bool,
        /// The piece of the item's binary encoding.
        bytes: Bytes,
    },
    /// A number that turned out to carry nothing (its sender could not read the content).
    Void,
    /// From `peer.connect`.
    Connect {
        /// Counts the connections that the sender asked for; never used twice.
        number: u32,
        /// What the connection is for.
        label: Option<Name>,
        /// More about it.
        metadata: Option<JsonText>,
        /// Whether messages keep their order.
        ordered: bool,
        /// How often a lost packet is sent again; none: until it has arrived.
        max_retransmits: Option<u16>,
    },
    /// From `connection.accept`.
    Accepted {
        /// As in `Connect`.
        number: u32,
    },
    /// From `connection.reject`, or from `connection.close` when everything has arrived.
    Closed {
        /// Whether the sender asked for the connection.
        ours: bool,
        /// Which one.
        number: u32,
        /// Why.
        reason: Name,
    },
    /// A piece of a message of a connection; in streams of connections only.
    Piece {
        /// Counts the message's pieces.
        index: u32,
        /// Whether the message is complete with it.
        last: bool,
        /// At most [`super::limits::PIECE`].
        bytes: Bytes,
    },
    /// A connection that carries files, once it is accepted. Numbered as those of `Connect` are.
    Offer {
        /// Counts the connections that the sender asked for; never used twice.
        number: u32,
        /// What is offered.
        manifest: Manifest,
    },
    /// A kind of a later version, as it came: a server passes it on, a receiver ignores it. In JSON, which could not
    /// carry what nobody here understands, it becomes `Void`.
    #[serde(skip)]
    Unknown(Bytes),
}

/// How a request went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The handler's reply.
    Done(Body),
    /// The handler threw; its error's message.
    Failed(String),
    /// Nobody handles requests of that name.
    Unhandled,
}

mod items {
    use std::fmt;

    use serde::de::{Error, Visitor};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Item;
    use crate::wire::codec::{self, DecodeError};
    use crate::wire::limits;
    use crate::wire::value::{Bytes, bounded};

    struct Framed(Item);

    impl<'de> Deserialize<'de> for Framed {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            #[cfg(feature = "json")]
            if deserializer.is_human_readable() {
                let value = serde_json::Value::deserialize(deserializer)?;
                if codec::is_unknown::<Item>(&value) {
                    return Ok(Self(Item::Void));
                }
                return Item::deserialize(value).map(Self).map_err(D::Error::custom);
            }
            struct ItemVisitor;
            impl Visitor<'_> for ItemVisitor {
                type Value = Framed;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an item")
                }
                fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Framed, E> {
                    match codec::decode(bytes) {
                        Ok(item) => Ok(Framed(item)),
                        Err(DecodeError::Unknown) => Ok(Framed(Item::Unknown(Bytes(bytes.to_vec())))),
                        Err(DecodeError::Malformed) => Err(E::custom("not an item")),
                    }
                }
            }
            deserializer.deserialize_bytes(ItemVisitor)
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Item>, D::Error> {
        let framed: Vec<Framed> = bounded(deserializer, limits::ITEMS_PER_FRAME)?;
        Ok(framed.into_iter().map(|Framed(item)| item).collect())
    }

    struct Framing<'a>(&'a Item);

    impl Serialize for Framing<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            #[cfg(feature = "json")]
            if serializer.is_human_readable() {
                return match self.0 {
                    Item::Unknown(_) => Item::Void.serialize(serializer),
                    item => item.serialize(serializer),
                };
            }
            match self.0 {
                Item::Unknown(bytes) => serializer.serialize_bytes(&bytes.0),
                item => serializer.serialize_bytes(&codec::encode(item)),
            }
        }
    }

    pub(super) fn serialize<S: Serializer>(items: &[Item], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(items.iter().map(Framing))
    }
}
