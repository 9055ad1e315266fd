//! JavaScript options to validated configuration. Every message says which option, and what it takes.
//!
//! Read by hand: a deserializer that turns objects into structs weighs 15 kB gzip here, because of the texts that it
//! can make of any value in any place.

use js_sys::{Array, Reflect};
use peerloom_core::Code;
use peerloom_core::client::Terms;
use peerloom_core::privacy::Privacy;
use peerloom_core::recovery::Recovery;
use peerloom_core::wire::{Id, Media, Name, NameError, Secret, ThreadId};
use wasm_bindgen::prelude::*;

use crate::error;

fn invalid(option: &str, why: &str) -> JsValue {
    error::new(Code::InvalidOption, &["`", option, "` ", why].concat())
}

fn invalid_name(what: &str, why: NameError) -> JsValue {
    error::new(Code::InvalidName, &[what, " ", why.as_str()].concat())
}

/// The name of something, from JavaScript.
pub(crate) fn name(text: &str, what: &str) -> Result<Name, JsValue> {
    Name::new(text).map_err(|why| invalid_name(what, why))
}

/// A client's id, from JavaScript.
pub(crate) fn id(text: &str) -> Result<Id, JsValue> {
    Id::new(text).map_err(|why| invalid_name("the id", why))
}

/// A thread's id, from JavaScript.
pub(crate) fn thread_id(text: &str) -> Result<ThreadId, JsValue> {
    ThreadId::new(text).map_err(|why| invalid_name("the thread's id", why))
}

/// Why something is closed, as the other side will read it.
pub(crate) fn reason(value: &JsValue, default: &str) -> Result<Name, JsValue> {
    match value.as_string() {
        Some(text) => name(&text, "the reason"),
        None if value.is_undefined() => name(default, "the reason"),
        None => Err(error::new(Code::InvalidName, "the reason is not a string")),
    }
}

/// An object with options, or nothing.
struct Options<'a>(&'a JsValue);

impl Options<'_> {
    fn new(value: &JsValue) -> Result<Options<'_>, JsValue> {
        if value.is_object() || value.is_undefined() || value.is_null() {
            Ok(Options(value))
        } else {
            Err(invalid("options", "take an object"))
        }
    }

    fn get(&self, option: &str) -> JsValue {
        Reflect::get(self.0, &option.into()).unwrap_or_default()
    }

    fn is_given(&self, option: &str) -> Option<JsValue> {
        Some(self.get(option)).filter(|value| !value.is_undefined() && !value.is_null())
    }

    fn string(&self, option: &str) -> Result<Option<String>, JsValue> {
        self.is_given(option)
            .map(|value| value.as_string().ok_or_else(|| invalid(option, "takes a string")))
            .transpose()
    }

    fn boolean(&self, option: &str) -> Result<bool, JsValue> {
        self.is_given(option).map_or(Ok(false), |value| {
            value
                .as_bool()
                .ok_or_else(|| invalid(option, "takes true or false"))
        })
    }

    /// In milliseconds, at most a day.
    fn timeout(&self, default: u32) -> Result<u64, JsValue> {
        let Some(value) = self.is_given("timeout") else {
            return Ok(u64::from(default));
        };
        milliseconds(&value)
            .filter(|timeout| *timeout > 0)
            .ok_or_else(|| invalid("timeout", "takes 1 to 86400000 milliseconds"))
    }

    /// The same, of an option that may be 0.
    fn wait(&self, option: &str, default: u64) -> Result<u64, JsValue> {
        self.is_given(option).map_or(Ok(default), |value| {
            milliseconds(&value).ok_or_else(|| invalid(option, "takes 0 to 86400000 milliseconds"))
        })
    }

    /// A list of these.
    fn waits(&self, option: &str, default: Vec<u64>) -> Result<Vec<u64>, JsValue> {
        let Some(value) = self.is_given(option) else {
            return Ok(default);
        };
        let waits: Option<Vec<u64>> = value
            .dyn_ref::<Array>()
            .and_then(|waits| waits.iter().map(|wait| milliseconds(&wait)).collect());
        waits
            .filter(|waits| (1..=100).contains(&waits.len()))
            .ok_or_else(|| {
                invalid(
                    option,
                    "takes an array of 1 to 100 times, each 0 to 86400000 milliseconds",
                )
            })
    }

    fn media(&self) -> Result<Media, JsValue> {
        Ok(Media {
            audio: self.boolean("audio")?,
            video: self.boolean("video")?,
        })
    }
}

fn milliseconds(value: &JsValue) -> Option<u64> {
    let time = value.as_f64()?;
    (0.0..=86_400_000.0).contains(&time).then_some(time as u64)
}

/// `Recovery` of `ClientOptions`.
fn recovery(options: &Options<'_>) -> Result<Recovery, JsValue> {
    let default = Recovery::default();
    let value = options.get("recovery");
    let options = if value.is_object() || value.is_undefined() || value.is_null() {
        Options(&value)
    } else {
        return Err(invalid("recovery", "takes an object"));
    };
    Ok(Recovery {
        server: options.waits("server", default.server)?,
        direct: options.waits("direct", default.direct)?,
        restart: options.wait("restart", default.restart)?,
        relay: options.wait("relay", default.relay)?,
        outage: options.wait("outage", default.outage)?,
    })
}

/// `ConnectOptions` of `peer.connect`.
pub(crate) fn terms(value: &JsValue) -> Result<Terms, JsValue> {
    let options = Options::new(value)?;
    Ok(Terms {
        label: match options.string("label")? {
            Some(label) if !label.is_empty() => Some(name(&label, "the label")?),
            _ => None,
        },
        metadata: crate::value::metadata(&options.get("metadata"))?,
        ordered: options.is_given("ordered").is_none() || options.boolean("ordered")?,
        max_retransmits: match options.is_given("maxRetransmits") {
            None => None,
            Some(most) => match most.as_f64() {
                Some(most) if (0.0..=65_535.0).contains(&most) && most.fract() == 0.0 => Some(most as u16),
                _ => return Err(invalid("maxRetransmits", "takes a whole number from 0 to 65535")),
            },
        },
        manifest: None,
    })
}

/// `{ duration }` of `client.simulate`, in milliseconds.
pub(crate) fn duration(value: &JsValue, default: u64) -> Result<u64, JsValue> {
    Options::new(value)?.wait("duration", default)
}

/// Validated `ClientOptions`. User data and ICE servers stay JavaScript values.
pub(crate) struct ClientOptions {
    pub(crate) id: Option<Id>,
    /// A socket's address, which `js/index.js` has made of what was given.
    pub(crate) server: String,
    pub(crate) token: Option<Secret>,
    pub(crate) user_data: JsValue,
    pub(crate) ice_servers: JsValue,
    pub(crate) privacy: Privacy,
    pub(crate) timeout: u64,
    pub(crate) recovery: Recovery,
}

impl ClientOptions {
    pub(crate) fn parse(options: &JsValue) -> Result<Self, JsValue> {
        let options = Options::new(options)?;
        Ok(Self {
            id: options.string("id")?.as_deref().map(id).transpose()?,
            server: options.string("server")?.unwrap_or_default(),
            token: match options.string("token")? {
                None => None,
                Some(token) => {
                    Some(Secret::new(&token).ok_or_else(|| invalid("token", "is longer than 8192 bytes"))?)
                }
            },
            user_data: options.get("userData"),
            ice_servers: match options.is_given("iceServers") {
                None => JsValue::UNDEFINED,
                Some(servers) if Array::is_array(&servers) => servers,
                Some(_) => return Err(invalid("iceServers", "takes an array of RTCIceServer")),
            },
            privacy: match options.string("privacy")?.as_deref() {
                None | Some("all") => Privacy::All,
                Some("relay") => Privacy::Relay,
                Some(_) => return Err(invalid("privacy", "is \"all\" or \"relay\"")),
            },
            timeout: options.timeout(15_000)?,
            recovery: recovery(&options)?,
        })
    }
}

/// `{ media, userData }` of `client.thread`.
pub(crate) struct ThreadOptions {
    pub(crate) media: Option<Media>,
    pub(crate) user_data: JsValue,
}

impl ThreadOptions {
    pub(crate) fn parse(options: &JsValue) -> Result<Self, JsValue> {
        let options = Options::new(options)?;
        Ok(Self {
            media: options.is_given("media").map(|value| media(&value)).transpose()?,
            user_data: options.get("userData"),
        })
    }
}

/// `ThreadMedia` of `thread.setMedia`.
pub(crate) fn media(value: &JsValue) -> Result<Media, JsValue> {
    Options::new(value)?.media()
}

/// `RequestOptions` of `client.request`.
pub(crate) struct RequestOptions {
    /// In milliseconds.
    pub(crate) timeout: u64,
    pub(crate) signal: JsValue,
}

impl RequestOptions {
    pub(crate) fn parse(options: &JsValue) -> Result<Self, JsValue> {
        let options = Options::new(options)?;
        Ok(Self {
            timeout: options.timeout(30_000)?,
            signal: options.get("signal"),
        })
    }
}
