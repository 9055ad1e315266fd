//! Peerloom's SDK for browsers: what JavaScript sees, over the protocol of `peerloom-core`.
//!
//! An exported method parses its arguments, hands one input to the runtime, and returns. The runtime borrows the core for
//! that one input, moves its outputs to a queue, releases the borrow, and only then carries them out: calls to the browser
//! and to the page's listeners. A listener that calls back into the SDK finds no borrow in its way, and what it causes
//! joins the end of the queue, so order holds. Nothing awaits with a borrow.
//!
//! | module | holds |
//! |---|---|
//! | [`client`], [`peer`], [`thread`], [`connection`] | the exported classes |
//! | [`transfer`] | the machines of files on their way, for `js/files.js` |
//! | `options` | JavaScript options to validated configuration |
//! | `runtime` | the core and the run loop; nothing else borrows the core |
//! | `events` | listeners and their delivery; nothing else calls the page's functions |
//! | `value` | JavaScript values to and from message bodies |
//! | `error` | core errors and `DOMException`s to `PeerloomError`; nothing else makes errors |
//! | `web` | the only callers of web-sys |

pub mod client;
pub mod connection;
mod error;
mod events;
mod options;
pub mod peer;
mod runtime;
pub mod thread;
pub mod transfer;
mod value;
mod web;

pub use client::Client;
pub use connection::Connection;
pub use peer::Peer;
pub use thread::Thread;

use wasm_bindgen::prelude::wasm_bindgen;

/// Runs once, when the wasm is loaded.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        runtime::panicked();
    }));
}
