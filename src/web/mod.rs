//! The only callers of web-sys. Each type owns a browser object with its listeners, detaches the listeners before it
//! closes the object, and turns what comes into calls of the runtime. None of them knows an exported class.

mod connection;
mod page;
mod socket;
mod timer;

pub(crate) use connection::{Connection, ConnectionEvent};
pub(crate) use page::{Page, PageEvent};
pub(crate) use socket::{Socket, SocketEvent};
pub(crate) use timer::{Afterwards, Timer, after, soon};

use peerloom_core::time::Time;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn get_random_values(buffer: &mut [u8]);
}

/// Now, on a clock that never goes back.
pub(crate) fn now() -> Time {
    Time(performance_now() as u64)
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    get_random_values(&mut bytes);
    bytes
}

/// Five bits as a letter or digit that is hard to confuse with another.
pub(crate) fn letter(byte: u8) -> char {
    char::from(b"abcdefghijkmnpqrstuvwxyz23456789"[usize::from(byte & 31)])
}

/// Whether the browser has that global.
pub(crate) fn has_global(name: &str) -> bool {
    js_sys::Reflect::get(&js_sys::global(), &name.into()).is_ok_and(|value| value.is_function())
}

/// The page's address, without its hash; empty where there is no page.
pub(crate) fn page_address() -> String {
    web_sys::window()
        .and_then(|window| window.location().href().ok())
        .map_or_else(String::new, |mut address| {
            address.truncate(address.find('#').unwrap_or(address.len()));
            address
        })
}
