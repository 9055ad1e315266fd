//! JavaScript options to validated configuration. Every message says which option, and what it takes.

use std::fmt::Display;

use peerloom_core::Code;
use peerloom_core::wire::{Id, Media, Name, Secret, ThreadId, limits};
use serde::Deserialize;
use wasm_bindgen::prelude::*;

use crate::{error, web};

/// `ClientOptions` of the API, as they come. User data and ICE servers stay JavaScript values.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawClientOptions {
    id: Option<String>,
    server: Option<String>,
    token: Option<String>,
    #[serde(with = "serde_wasm_bindgen::preserve", default)]
    user_data: JsValue,
    #[serde(with = "serde_wasm_bindgen::preserve", default)]
    ice_servers: JsValue,
    privacy: Option<String>,
    timeout: Option<f64>,
}

/// Validated `ClientOptions`.
pub(crate) struct ClientOptions {
    pub(crate) id: Option<Id>,
    pub(crate) server: String,
    pub(crate) token: Option<Secret>,
    pub(crate) user_data: JsValue,
    pub(crate) ice_servers: JsValue,
    pub(crate) relay_only: bool,
    pub(crate) timeout: u64,
}

fn invalid(option: &str, why: impl Display) -> JsValue {
    error::new(Code::InvalidOption, &format!("`{option}` {why}"))
}

/// The name of something, from JavaScript.
pub(crate) fn name(text: &str, what: &str) -> Result<Name, JsValue> {
    Name::new(text).map_err(|why| error::new(Code::InvalidName, &format!("{what} {why}")))
}

/// A client's id, from JavaScript.
pub(crate) fn id(text: &str) -> Result<Id, JsValue> {
    Id::new(text).map_err(|why| error::new(Code::InvalidName, &format!("the id {why}")))
}

/// A thread's id, from JavaScript.
pub(crate) fn thread_id(text: &str) -> Result<ThreadId, JsValue> {
    ThreadId::new(text).map_err(|why| error::new(Code::InvalidName, &format!("the thread's id {why}")))
}

impl ClientOptions {
    pub(crate) fn parse(options: &JsValue) -> Result<Self, JsValue> {
        let raw: RawClientOptions = if options.is_undefined() {
            serde_wasm_bindgen::from_value(js_sys::Object::new().into())
        } else {
            serde_wasm_bindgen::from_value(options.clone())
        }
        .map_err(|why| invalid("options", why))?;
        let timeout = raw.timeout.unwrap_or(15_000.0);
        if !(timeout >= 1.0 && timeout <= 3_600_000.0) {
            return Err(invalid("timeout", "takes 1 to 3600000 milliseconds"));
        }
        Ok(Self {
            id: raw.id.as_deref().map(id).transpose()?,
            server: server(raw.server.as_deref())?,
            token: match raw.token.as_deref() {
                None => None,
                Some(token) => Some(Secret::new(token).ok_or_else(|| {
                    invalid("token", format_args!("is longer than {} bytes", limits::TOKEN))
                })?),
            },
            user_data: raw.user_data,
            ice_servers: match raw.ice_servers {
                servers if servers.is_null() || servers.is_undefined() => JsValue::UNDEFINED,
                servers if js_sys::Array::is_array(&servers) => servers,
                _ => return Err(invalid("iceServers", "takes an array of RTCIceServer")),
            },
            relay_only: match raw.privacy.as_deref() {
                None | Some("all") => false,
                Some("relay") => true,
                Some(_) => return Err(invalid("privacy", "is \"all\" or \"relay\"")),
            },
            timeout: timeout as u64,
        })
    }
}

/// The socket's address: the page's own origin by default, and `/peerloom` where no path is given.
fn server(given: Option<&str>) -> Result<String, JsValue> {
    let url = web::resolve(given.unwrap_or("/peerloom"))
        .ok_or_else(|| invalid("server", "is not an address; give one such as wss://example.org"))?;
    match url.protocol().as_str() {
        "ws:" | "wss:" => {}
        "http:" => url.set_protocol("ws:"),
        "https:" => url.set_protocol("wss:"),
        _ => return Err(invalid("server", "takes a ws:, wss:, http: or https: address")),
    }
    if url.pathname() == "/" {
        url.set_pathname("/peerloom");
    }
    url.set_hash("");
    Ok(url.href())
}

/// `{ media, userData }` of `client.thread`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ThreadOptions {
    media: Option<ThreadMedia>,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    pub(crate) user_data: JsValue,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ThreadMedia {
    audio: bool,
    video: bool,
}

impl ThreadOptions {
    pub(crate) fn parse(options: JsValue) -> Result<Self, JsValue> {
        if options.is_undefined() || options.is_null() {
            return Ok(Self::default());
        }
        serde_wasm_bindgen::from_value(options).map_err(|why| invalid("options", why))
    }

    pub(crate) fn media(&self) -> Option<Media> {
        self.media.as_ref().map(|media| Media {
            audio: media.audio,
            video: media.video,
        })
    }
}

/// `ThreadMedia` of `thread.setMedia`.
pub(crate) fn media(value: JsValue) -> Result<Media, JsValue> {
    let media: ThreadMedia = serde_wasm_bindgen::from_value(value).map_err(|why| invalid("media", why))?;
    Ok(Media {
        audio: media.audio,
        video: media.video,
    })
}

/// `RequestOptions` of `client.request`.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct RequestOptions {
    timeout: Option<f64>,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    pub(crate) signal: JsValue,
}

impl RequestOptions {
    pub(crate) fn parse(options: JsValue) -> Result<Self, JsValue> {
        if options.is_undefined() || options.is_null() {
            return Ok(Self::default());
        }
        serde_wasm_bindgen::from_value(options).map_err(|why| invalid("options", why))
    }

    /// In milliseconds.
    pub(crate) fn timeout(&self) -> Result<u64, JsValue> {
        match self.timeout {
            None => Ok(30_000),
            Some(timeout) if (1.0..=86_400_000.0).contains(&timeout) => Ok(timeout as u64),
            Some(_) => Err(invalid("timeout", "takes 1 to 86400000 milliseconds")),
        }
    }
}
