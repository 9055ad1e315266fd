//! The WebSocket to the signalling server.

use gloo_events::EventListener;
use js_sys::{ArrayBuffer, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::JsValue;
use web_sys::{BinaryType, CloseEvent, MessageEvent, WebSocket};

/// What comes from a socket.
pub(crate) enum SocketEvent {
    /// It is open.
    Opened,
    /// A binary message.
    Received(Vec<u8>),
    /// It is closed, with this code.
    Closed(u16),
}

/// An open or opening socket.
pub(crate) struct Socket {
    socket: WebSocket,
    listeners: Vec<EventListener>,
}

impl Socket {
    /// Takes `early`, which was made for the same address before, if it is still of use, or makes a socket.
    ///
    /// # Errors
    /// What the browser throws, for an address that it does not allow.
    pub(crate) fn new(
        address: &str,
        protocol: &str,
        early: Option<WebSocket>,
        on_event: impl Fn(SocketEvent) + Clone + 'static,
    ) -> Result<Self, JsValue> {
        let socket = match early.filter(|early| early.ready_state() <= WebSocket::OPEN) {
            Some(early) => early,
            None => WebSocket::new_with_str(address, protocol)?,
        };
        socket.set_binary_type(BinaryType::Arraybuffer);
        let (opened, received, closed) = (on_event.clone(), on_event.clone(), on_event);
        let listeners = vec![
            EventListener::new(&socket, "open", move |_| opened(SocketEvent::Opened)),
            EventListener::new(&socket, "message", move |event| {
                let data = event.unchecked_ref::<MessageEvent>().data();
                // Text on a binary socket is no frame, which an empty one is not either.
                let frame = data.dyn_ref::<ArrayBuffer>();
                let bytes = frame.map_or_else(Vec::new, |frame| Uint8Array::new(frame).to_vec());
                received(SocketEvent::Received(bytes));
            }),
            EventListener::new(&socket, "close", move |event| {
                closed(SocketEvent::Closed(event.unchecked_ref::<CloseEvent>().code()));
            }),
        ];
        Ok(Self { socket, listeners })
    }

    /// Whether it was open before anybody listened.
    pub(crate) fn is_open(&self) -> bool {
        self.socket.ready_state() == WebSocket::OPEN
    }

    /// Sends one binary message.
    pub(crate) fn send(&self, bytes: &[u8]) {
        // What is sent to a socket that has just closed is repeated on the next one.
        let _ = self.socket.send_with_u8_array(bytes);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.listeners.clear();
        // Without a code: 1000 would tell the server that this client is leaving, which it says with a frame if it is so.
        let _ = self.socket.close();
    }
}
