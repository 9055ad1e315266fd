//! JavaScript values to and from message bodies. The work on values is done in `js/value.js`, by the browser's own JSON
//! code where it can be, because each crossing costs more than the step that it would take here.

use js_sys::{Array, Promise, Reflect, Uint8Array};
use peerloom_core::wire::{Body, Bytes, JsonText, limits};
use peerloom_core::{Code, Error};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::error;

#[wasm_bindgen(module = "/js/value.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = pack)]
    fn pack_js(value: &JsValue) -> Result<JsValue, JsValue>;
    fn fill(packed: &JsValue) -> Promise;
    #[wasm_bindgen(catch, js_name = parse)]
    fn parse_js(text: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_name = parseAll)]
    fn parse_all(texts: &str, count: usize) -> Option<Array>;
    #[wasm_bindgen(catch, js_name = unpack)]
    fn unpack_js(json: &str, parts: Array) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch, js_name = flatten)]
    fn flatten_js(value: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch, js_name = unflatten)]
    fn unflatten_js(pieces: &Array, length: usize) -> Result<JsValue, JsValue>;
    /// A message of a connection, taken piece by piece.
    pub(crate) type Flat;
    #[wasm_bindgen(method)]
    pub(crate) fn take(this: &Flat, most: usize) -> Vec<u8>;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn length(this: &Flat) -> usize;
    #[wasm_bindgen(catch, js_name = userDataText)]
    fn user_data_text(value: &JsValue, what: &str) -> Result<JsValue, JsValue>;
}

/// A value on its way into a message.
pub(crate) enum Packed {
    /// Complete.
    Ready(Body),
    /// Blobs are being read.
    Pending(Promise),
}

/// Packs a value.
pub(crate) fn pack(value: &JsValue) -> Result<Packed, JsValue> {
    // Half of a surrogate pair becomes U+FFFD in UTF-8; JSON has an escape for it.
    if let Some(text) = value.as_string().filter(|text| !text.contains('\u{FFFD}')) {
        return Ok(Packed::Ready(Body::Text(text)));
    }
    let packed = pack_js(value).map_err(|thrown| error::new(Code::InvalidData, &error::message(&thrown)))?;
    if let Some(json) = packed.as_string() {
        return Ok(Packed::Ready(Body::Json(json)));
    }
    if let Some(bytes) = packed.dyn_ref::<Uint8Array>() {
        return Ok(Packed::Ready(Body::Bytes(Bytes(bytes.to_vec()))));
    }
    let parts = Array::from(&get(&packed, "parts")).length() as usize;
    if parts > limits::VALUE_PARTS {
        let detail = format!(
            "{parts} buffers and Blobs; there may be {} in a message",
            limits::VALUE_PARTS
        );
        return Err(error::new(Code::TooLarge, &detail));
    }
    if get(&packed, "pending").is_truthy() {
        return Ok(Packed::Pending(fill(&packed)));
    }
    Ok(Packed::Ready(rich(&packed)))
}

/// Waits for Blobs to be read.
pub(crate) async fn filled(promise: Promise) -> Result<Body, JsValue> {
    match JsFuture::from(promise).await {
        Ok(packed) => Ok(rich(&packed)),
        Err(thrown) => Err(error::caused(Code::InvalidData, thrown)),
    }
}

fn rich(packed: &JsValue) -> Body {
    let parts = Array::from(&get(packed, "parts"));
    Body::Rich {
        json: get(packed, "json").as_string().unwrap_or_default(),
        parts: parts
            .iter()
            .map(|part| Bytes(part.unchecked_into::<Uint8Array>().to_vec()))
            .collect(),
    }
}

fn get(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &key.into()).unwrap_or_default()
}

/// The value of a body from outside.
///
/// # Errors
/// `protocol_violation`: it is not of the form that it claims.
pub(crate) fn unpack(body: &Body) -> Result<JsValue, Error> {
    match body {
        Body::Text(text) => Ok(JsValue::from_str(text)),
        Body::Json(json) => parse_js(json),
        Body::Bytes(bytes) => Ok(Uint8Array::from(bytes.0.as_slice()).buffer().into()),
        Body::Rich { json, parts } => unpack_js(
            json,
            parts
                .iter()
                .map(|part| Uint8Array::from(part.0.as_slice()))
                .collect(),
        ),
    }
    .map_err(|_| Error::new(Code::ProtocolViolation, "a message whose content can't be read"))
}

/// The values of JSON texts of one sender, read with one crossing; `None` if some are not JSON.
pub(crate) fn unpack_all(texts: &[&str]) -> Option<Array> {
    parse_all(&texts.join(","), texts.len())
}

/// A message of a connection on its way out.
pub(crate) enum Flattened {
    /// Complete.
    Ready(Flat),
    /// Blobs are being read.
    Pending(Promise),
}

/// Flattens a value.
pub(crate) fn flatten(value: &JsValue) -> Result<Flattened, JsValue> {
    match flatten_js(value) {
        Ok(flat) if flat.is_instance_of::<Promise>() => Ok(Flattened::Pending(flat.unchecked_into())),
        Ok(flat) => Ok(Flattened::Ready(flat.unchecked_into())),
        Err(thrown) => Err(refused(&thrown)),
    }
}

fn refused(thrown: &JsValue) -> JsValue {
    let code = match get(thrown, "code").as_string().as_deref() {
        Some("too_large") => Code::TooLarge,
        _ => Code::InvalidData,
    };
    error::new(code, &error::message(thrown))
}

/// Waits for Blobs to be read.
pub(crate) async fn flattened(promise: Promise) -> Result<Flat, JsValue> {
    match JsFuture::from(promise).await {
        Ok(flat) => Ok(flat.unchecked_into()),
        Err(thrown) => Err(refused(&thrown)),
    }
}

/// The value of a message whose pieces are Uint8Arrays of `length` bytes together.
///
/// # Errors
/// `protocol_violation`: it is not of the form that it claims.
pub(crate) fn unflatten(pieces: &Array, length: usize) -> Result<JsValue, Error> {
    unflatten_js(pieces, length)
        .map_err(|_| Error::new(Code::ProtocolViolation, "a message whose content can't be read"))
}

/// User data from the page.
pub(crate) fn user_data(value: &JsValue) -> Result<Option<JsonText>, JsValue> {
    json_text(value, "user data")
}

/// What the page says about a connection.
pub(crate) fn metadata(value: &JsValue) -> Result<Option<JsonText>, JsValue> {
    json_text(value, "metadata")
}

fn json_text(value: &JsValue, what: &str) -> Result<Option<JsonText>, JsValue> {
    let text = user_data_text(value, what)
        .map_err(|thrown| error::new(Code::InvalidData, &error::message(&thrown)))?;
    match text.as_string() {
        None => Ok(None),
        Some(text) => match JsonText::new(&text) {
            Some(text) => Ok(Some(text)),
            None => Err(error::new(
                Code::TooLarge,
                &[what, " is over 4096 bytes as JSON"].concat(),
            )),
        },
    }
}

/// User data for the page; `undefined` if it is none, or not JSON.
pub(crate) fn user_data_value(text: Option<&JsonText>) -> JsValue {
    text.and_then(|text| parse_js(text.as_str()).ok())
        .unwrap_or_default()
}
