//! The two codecs. A frame is one WebSocket message: binary with postcard, or text with JSON.
//!
//! Kinds of frame that this version does not know are told apart from broken ones, so that they can be ignored.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// A kind of frame from a later version: ignore it.
    Unknown,
    /// Not a frame: whoever sent it is broken or hostile.
    Malformed,
}

/// Which codec a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// postcard, `peerloom.v1`.
    Binary,
    /// JSON, `peerloom.v1.json`.
    #[cfg(feature = "json")]
    Json,
}

/// How many kinds of frame a type has, so that a later one's number can be told from noise.
pub trait Kinds {
    /// The number of variants in this version.
    const KINDS: u32;
    /// Their names in JSON, in order.
    const NAMES: &'static [&'static str];
}

macro_rules! kinds {
    ($type:ty, $($name:literal),+ $(,)?) => {
        impl Kinds for $type {
            const KINDS: u32 = Self::NAMES.len() as u32;
            const NAMES: &'static [&'static str] = &[$($name),+];
        }
    };
}

kinds!(
    super::ClientFrame,
    "hello",
    "ping",
    "bye",
    "join",
    "leave",
    "user_data",
    "tag",
    "untag",
    "watch",
    "unwatch",
    "find",
    "signal",
    "relay"
);
kinds!(
    super::ServerFrame,
    "welcome",
    "pong",
    "drain",
    "fault",
    "joined",
    "member_joined",
    "member_updated",
    "member_left",
    "peer_updated",
    "presence",
    "found",
    "signal",
    "relay",
    "unreachable"
);
kinds!(
    super::LinkFrame,
    "data",
    "acknowledge",
    "ping",
    "pong",
    "bye",
    "connection",
);
kinds!(
    super::Item,
    "peer",
    "thread",
    "named",
    "request",
    "reply",
    "part",
    "void",
    "connect",
    "accepted",
    "closed",
    "piece",
);

/// Encodes with postcard.
#[must_use]
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // Only a type that can't say its own length fails here, and the wire has none.
    postcard::to_allocvec(value).unwrap_or_default()
}

/// Writes the length that stands before a byte string, as postcard does.
pub fn push_length(frame: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        frame.push(length as u8 | 0x80);
        length >>= 7;
    }
    frame.push(length as u8);
}

/// Decodes a whole frame, or a whole item, from postcard.
///
/// # Errors
/// [`DecodeError`]; bytes left over are an error too.
pub fn decode<T: DeserializeOwned + Kinds>(bytes: &[u8]) -> Result<T, DecodeError> {
    match postcard::take_from_bytes::<T>(bytes) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(DecodeError::Malformed),
        Err(_) => match postcard::take_from_bytes::<u32>(bytes) {
            Ok((kind, _)) if kind >= T::KINDS => Err(DecodeError::Unknown),
            _ => Err(DecodeError::Malformed),
        },
    }
}

/// Encodes as JSON text.
#[cfg(feature = "json")]
#[must_use]
pub fn encode_json<T: Serialize>(value: &T) -> String {
    // As above: the wire's types all have string keys.
    serde_json::to_string(value).unwrap_or_default()
}

/// Decodes a whole frame from JSON text.
///
/// # Errors
/// [`DecodeError`].
#[cfg(feature = "json")]
pub fn decode_json<T: DeserializeOwned + Kinds>(text: &str) -> Result<T, DecodeError> {
    serde_json::from_str(text).map_err(|_| match serde_json::from_str(text) {
        Ok(value) if is_unknown::<T>(&value) => DecodeError::Unknown,
        _ => DecodeError::Malformed,
    })
}

/// Whether that is an object with one key that names no kind of ours, or such a name alone.
#[cfg(feature = "json")]
pub(super) fn is_unknown<T: Kinds>(value: &serde_json::Value) -> bool {
    let kind = match value {
        serde_json::Value::Object(object) if object.len() == 1 => object.keys().next(),
        serde_json::Value::String(kind) => Some(kind),
        _ => None,
    };
    kind.is_some_and(|kind| !T::NAMES.contains(&kind.as_str()))
}
