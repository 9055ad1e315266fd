//! Values whose meaning the protocol does not look into: user data, and the bodies of messages.
//!
//! User data travels as JSON text. A message's body is one of four forms; the last carries everything that JSON can't
//! (`docs/protocol.md` has its grammar). Byte strings are raw in the binary codec and base64 in JSON.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::limits;

/// Deserializes a string without keeping a copy of what is refused.
pub(super) fn visit_str<'de, D, T, F>(deserializer: D, make: F) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    F: FnOnce(&str) -> Result<T, &'static str>,
{
    struct StrVisitor<F, T>(F, PhantomData<T>);
    impl<T, F: FnOnce(&str) -> Result<T, &'static str>> Visitor<'_> for StrVisitor<F, T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            (self.0)(text).map_err(E::custom)
        }
    }
    deserializer.deserialize_str(StrVisitor(make, PhantomData))
}

/// JSON text of at most so many bytes. Whether it is JSON is for its reader to find out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<const MOST: usize>(Arc<str>);

/// User data, and what is said about a connection.
pub type JsonText = Text<{ limits::USER_DATA }>;
/// What an offer holds.
pub type Manifest = Text<{ limits::MANIFEST }>;

impl<const MOST: usize> Text<MOST> {
    /// Checks the length; `None` if it is over the limit.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        (text.len() <= MOST).then(|| Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MOST: usize> Serialize for Text<MOST> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de, const MOST: usize> Deserialize<'de> for Text<MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        visit_str(deserializer, |text| {
            Self::new(text).ok_or("a text within its limit")
        })
    }
}

/// A byte string.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[cfg(feature = "json")]
        if serializer.is_human_readable() {
            use base64::Engine;
            return serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(&self.0));
        }
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[cfg(feature = "json")]
        if deserializer.is_human_readable() {
            return visit_str(deserializer, |text| {
                use base64::Engine;
                base64::engine::general_purpose::STANDARD
                    .decode(text)
                    .map(Bytes)
                    .map_err(|_| "base64")
            });
        }
        struct BytesVisitor;
        impl Visitor<'_> for BytesVisitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(BytesVisitor)
    }
}

/// The body of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// A value that JSON can carry, as JSON text.
    Json(String),
    /// A string, as it is.
    Text(String),
    /// An `ArrayBuffer`.
    Bytes(Bytes),
    /// Anything else: JSON text with marked places, and the byte strings that belong there.
    Rich {
        /// The text.
        json: String,
        /// The byte strings, in the order in which the text names them; at most [`limits::VALUE_PARTS`].
        #[serde(deserialize_with = "parts")]
        parts: Vec<Bytes>,
    },
}

impl Body {
    /// Bytes of its content.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Json(text) | Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.0.len(),
            Self::Rich { json, parts } => {
                json.len() + parts.iter().map(|part| part.0.len() + 4).sum::<usize>()
            }
        }
    }

    /// Whether there is no content.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn parts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Bytes>, D::Error> {
    bounded(deserializer, limits::VALUE_PARTS)
}

/// Deserializes a list of at most `limit` elements, without trusting the length that it declares.
pub(super) fn bounded<'de, D, T>(deserializer: D, limit: usize) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct BoundedVisitor<T>(usize, PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for BoundedVisitor<T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {} elements", self.0)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Vec<T>, A::Error> {
            let mut elements = Vec::with_capacity(access.size_hint().unwrap_or(0).min(64).min(self.0));
            while let Some(element) = access.next_element()? {
                if elements.len() == self.0 {
                    return Err(A::Error::custom("too many elements"));
                }
                elements.push(element);
            }
            Ok(elements)
        }
    }
    deserializer.deserialize_seq(BoundedVisitor(limit, PhantomData))
}
