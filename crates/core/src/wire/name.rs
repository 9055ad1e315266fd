//! Names from outside: of clients, threads, tags and messages. Checked once, when decoded or parsed; cheap to clone.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use super::limits;

/// Why a string can't be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// It has no characters.
    Empty,
    /// It has more than [`limits::NAME`] bytes.
    TooLong,
    /// It has a control character.
    Control,
}

impl NameError {
    /// What is wrong with it, to follow on the name of the thing.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "is empty",
            Self::TooLong => "is longer than 128 bytes",
            Self::Control => "has a control character",
        }
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        Err(NameError::Empty)
    } else if text.len() > limits::NAME {
        Err(NameError::TooLong)
    } else if text.chars().any(char::is_control) {
        Err(NameError::Control)
    } else {
        Ok(())
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks `text`: 1 to [`limits::NAME`] bytes without control characters.
            ///
            /// # Errors
            /// [`NameError`] says which of these it breaks.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check(text)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                super::value::visit_str(deserializer, |text| Self::new(text).map_err(|_| "a name of 1 to 128 bytes"))
            }
        }
    };
}

name! {
    /// The address of one client.
    Id
}
name! {
    /// The id of a thread.
    ThreadId
}
name! {
    /// A tag, something watched (an id or a tag), or the name of a message.
    Name
}

impl From<&Id> for Name {
    fn from(id: &Id) -> Self {
        Self(id.0.clone())
    }
}

impl From<&Name> for Id {
    /// Ids and other names have the same form.
    fn from(name: &Name) -> Self {
        Self(name.0.clone())
    }
}
