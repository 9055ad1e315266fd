//! Core errors and `DOMException`s to `PeerloomError`. Nothing else makes errors.

use js_sys::Reflect;
use peerloom_core::{Code, Error};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(module = "/js/error.js")]
extern "C" {
    #[wasm_bindgen(js_name = makeError)]
    fn make_error(
        code: &str,
        detail: &str,
        retry_after: JsValue,
        cause: JsValue,
        peers: Vec<String>,
    ) -> JsValue;
}

/// The JavaScript form of an error.
pub(crate) fn from_core(error: &Error) -> JsValue {
    let retry_after = error.retry_after.map_or(JsValue::UNDEFINED, JsValue::from);
    make_error(
        error.code.as_str(),
        &error.detail,
        retry_after,
        JsValue::UNDEFINED,
        error.peers.iter().map(|id| id.as_str().into()).collect(),
    )
}

/// An error that this page made.
pub(crate) fn new(code: Code, detail: &str) -> JsValue {
    from_core(&Error::new(code, detail))
}

/// An error whose cause is one of the browser's.
pub(crate) fn caused(code: Code, cause: JsValue) -> JsValue {
    make_error(
        code.as_str(),
        &message(&cause),
        JsValue::UNDEFINED,
        cause,
        Vec::new(),
    )
}

/// The text of whatever was thrown.
pub(crate) fn message(thrown: &JsValue) -> String {
    thrown
        .as_string()
        .or_else(|| Reflect::get(thrown, &"message".into()).ok()?.as_string())
        .unwrap_or_default()
}
