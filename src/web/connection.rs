//! One `RTCPeerConnection` with data channel 0.

use gloo_events::EventListener;
use js_sys::{Array, ArrayBuffer, Function, Promise, Uint8Array};
use peerloom_core::negotiation::{Command, Done};
use peerloom_core::privacy::Privacy;
use peerloom_core::wire::{Candidate, Description, DescriptionKind, limits};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    MessageEvent, RtcConfiguration, RtcDataChannel, RtcDataChannelInit, RtcDataChannelType, RtcIceCandidate,
    RtcIceCandidateInit, RtcIceTransportPolicy, RtcPeerConnection, RtcPeerConnectionIceEvent,
    RtcPeerConnectionState, RtcSdpType, RtcSessionDescriptionInit,
};

use crate::error;

#[wasm_bindgen]
extern "C" {
    /// `setLocalDescription` without an argument, which web-sys lacks.
    #[wasm_bindgen(extends = RtcPeerConnection)]
    type ImplicitConnection;
    #[wasm_bindgen(method, js_name = setLocalDescription)]
    fn set_local(this: &ImplicitConnection) -> Promise;
}

/// What comes from a connection.
pub(crate) enum ConnectionEvent<'a> {
    /// `negotiationneeded`.
    Needed,
    /// `icecandidate`.
    Candidate(Candidate),
    /// The connection has failed.
    Failed,
    /// Channel 0 is open.
    Opened,
    /// A frame came over channel 0.
    Received(&'a [u8]),
    /// Channel 0 has handed everything to the network.
    Drained,
    /// Channel 0 is closed.
    Closed,
}

/// A connection.
pub(crate) struct Connection {
    connection: RtcPeerConnection,
    channel: RtcDataChannel,
    listeners: Vec<EventListener>,
    on_drained: Closure<dyn FnMut()>,
    /// Ends when the connection is closed: the browser never ends what was under way then.
    closed: Promise,
    close: Option<Function>,
}

impl Connection {
    /// Makes a connection with channel 0: negotiated, ordered, reliable.
    ///
    /// # Errors
    /// What the browser throws: a bad configuration, or too many connections.
    pub(crate) fn new(
        ice_servers: &JsValue,
        privacy: Privacy,
        on_event: impl Fn(ConnectionEvent<'_>) + Clone + 'static,
    ) -> Result<Self, JsValue> {
        let configuration = RtcConfiguration::new();
        if !ice_servers.is_undefined() {
            configuration.set_ice_servers(ice_servers);
        }
        if privacy == Privacy::Relay {
            configuration.set_ice_transport_policy(RtcIceTransportPolicy::Relay);
        }
        let connection = RtcPeerConnection::new_with_configuration(&configuration)?;
        let init = RtcDataChannelInit::new();
        init.set_negotiated(true);
        init.set_id(0);
        let channel = connection.create_data_channel_with_data_channel_dict("peerloom", &init);
        channel.set_binary_type(RtcDataChannelType::Arraybuffer);
        channel.set_buffered_amount_low_threshold(0);

        let mut listeners = Vec::with_capacity(6);
        let listen = on_event.clone();
        listeners.push(EventListener::new(&connection, "negotiationneeded", move |_| {
            listen(ConnectionEvent::Needed);
        }));
        let listen = on_event.clone();
        listeners.push(EventListener::new(&connection, "icecandidate", move |event| {
            if let Some(candidate) = event.unchecked_ref::<RtcPeerConnectionIceEvent>().candidate()
                && let Some(candidate) = from_browser(&candidate)
            {
                listen(ConnectionEvent::Candidate(candidate));
            }
        }));
        let listen = on_event.clone();
        let watched = connection.clone();
        listeners.push(EventListener::new(
            &connection,
            "connectionstatechange",
            move |_| {
                if watched.connection_state() == RtcPeerConnectionState::Failed {
                    listen(ConnectionEvent::Failed);
                }
            },
        ));
        let listen = on_event.clone();
        listeners.push(EventListener::new(&channel, "open", move |_| {
            listen(ConnectionEvent::Opened)
        }));
        let listen = on_event.clone();
        listeners.push(EventListener::new(&channel, "close", move |_| {
            listen(ConnectionEvent::Closed)
        }));
        let listen = on_event.clone();
        let watched = channel.clone();
        let on_drained = Closure::new(move || {
            // An event can be late, and the channel have more by then.
            if watched.buffered_amount() == 0 {
                watched.set_onbufferedamountlow(None);
                listen(ConnectionEvent::Drained);
            }
        });
        // One buffer for all frames: the only copy on the way in.
        let buffer = std::cell::RefCell::new(Vec::new());
        listeners.push(EventListener::new(&channel, "message", move |event| {
            let data = event.unchecked_ref::<MessageEvent>().data();
            let frame = data.dyn_ref::<ArrayBuffer>();
            // A text is none; and digits would be taken for a length.
            let Some(frame) = frame.filter(|frame| frame.byte_length() as usize <= limits::LINK_FRAME) else {
                on_event(ConnectionEvent::Failed);
                return;
            };
            let data = Uint8Array::new(frame);
            let length = data.length() as usize;
            let mut bytes = buffer.take();
            bytes.resize(length, 0);
            data.copy_to(&mut bytes);
            on_event(ConnectionEvent::Received(&bytes));
            buffer.replace(bytes);
        }));
        let mut close = None;
        let closed = Promise::new(&mut |resolve, _| close = Some(resolve));
        Ok(Self {
            connection,
            channel,
            listeners,
            on_drained,
            closed,
            close,
        })
    }

    /// Sends over channel 0.
    pub(crate) fn send(&self, frame: &[u8]) {
        // What can't be sent is repeated when the link is carried again.
        let _ = self.channel.send_with_u8_array(frame);
    }

    /// Whether the channel still has something to hand to the network; if so, `Drained` comes when it has not. Listened
    /// for only then: the browser calls the listener for every frame otherwise.
    pub(crate) fn await_drained(&self) -> bool {
        let waits = self.channel.buffered_amount() > 0;
        if waits {
            self.channel
                .set_onbufferedamountlow(Some(self.on_drained.as_ref().unchecked_ref()));
        }
        waits
    }

    /// Carries out a command; the future does not borrow the connection.
    pub(crate) fn execute(&self, command: Command) -> impl Future<Output = Done> + use<> {
        let connection = self.connection.clone();
        let closed = self.closed.clone();
        async move {
            let local = matches!(command, Command::SetLocal);
            let promise = match command {
                Command::SetLocal => connection.unchecked_ref::<ImplicitConnection>().set_local(),
                Command::SetRemote(description) => {
                    connection.set_remote_description(&to_browser(&description))
                }
                Command::AddCandidate(candidate) => {
                    let init = RtcIceCandidateInit::new(&candidate.candidate);
                    init.set_sdp_mid(candidate.mid.as_deref());
                    init.set_sdp_m_line_index(candidate.line_index);
                    connection.add_ice_candidate_with_opt_rtc_ice_candidate_init(Some(&init))
                }
            };
            match JsFuture::from(Promise::race(&Array::of2(&promise, &closed))).await {
                Err(thrown) => Done::Failed(error::message(&thrown)),
                Ok(_) if !local => Done::Applied,
                Ok(_) => match connection.local_description() {
                    Some(description) => Done::Local(Description {
                        kind: match description.type_() {
                            RtcSdpType::Offer => DescriptionKind::Offer,
                            _ => DescriptionKind::Answer,
                        },
                        sdp: description.sdp(),
                    }),
                    None => Done::Failed("no local description".into()),
                },
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.listeners.clear();
        self.channel.set_onbufferedamountlow(None);
        self.channel.close();
        self.connection.close();
        if let Some(close) = &self.close {
            let _ = close.call0(&JsValue::UNDEFINED);
        }
    }
}

fn to_browser(description: &Description) -> RtcSessionDescriptionInit {
    let init = RtcSessionDescriptionInit::new(match description.kind {
        DescriptionKind::Offer => RtcSdpType::Offer,
        DescriptionKind::Answer => RtcSdpType::Answer,
    });
    init.set_sdp(&description.sdp);
    init
}

fn from_browser(candidate: &RtcIceCandidate) -> Option<Candidate> {
    let line = candidate.candidate();
    // The end of candidates needs no word: the other side has enough or fails by itself.
    (!line.is_empty()).then(|| Candidate {
        candidate: line,
        mid: candidate.sdp_mid(),
        line_index: candidate.sdp_m_line_index(),
        fragment: None,
    })
}
