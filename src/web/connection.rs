//! One `RTCPeerConnection` with its data channels: channel 0 of the link, and one for each connection.

use std::cell::RefCell;
use std::rc::Rc;

use gloo_events::EventListener;
use js_sys::{Array, ArrayBuffer, Function, Promise, Uint8Array};
use peerloom_core::client::{Channel, Number, Terms};
use peerloom_core::map::Map;
use peerloom_core::negotiation::{Command, Done};
use peerloom_core::privacy::Privacy;
use peerloom_core::wire::{Candidate, Description, DescriptionKind, limits};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    MessageEvent, RtcConfiguration, RtcDataChannel, RtcDataChannelEvent, RtcDataChannelInit,
    RtcDataChannelState, RtcDataChannelType, RtcIceCandidate, RtcIceCandidateInit, RtcIceTransportPolicy,
    RtcPeerConnection, RtcPeerConnectionIceEvent, RtcPeerConnectionState, RtcSdpType,
    RtcSessionDescriptionInit,
};

use crate::error;

#[wasm_bindgen(module = "/js/runtime.js")]
extern "C" {
    /// Gives a buffer's memory back at once.
    fn free(buffer: &ArrayBuffer);
}

/// Bytes of a frame that are worth it.
const LARGE: usize = 4096;

#[wasm_bindgen]
extern "C" {
    /// What web-sys lacks: `setLocalDescription` without an argument, `restartIce`, and what `createDataChannel` throws.
    #[wasm_bindgen(extends = RtcPeerConnection)]
    type FullConnection;
    #[wasm_bindgen(method, js_name = setLocalDescription)]
    fn set_local(this: &FullConnection) -> Promise;
    #[wasm_bindgen(method, js_name = restartIce)]
    fn restart_ice(this: &FullConnection);
    /// Throws where there are too many already.
    #[wasm_bindgen(method, catch, js_name = createDataChannel)]
    fn create_channel(
        this: &FullConnection,
        label: &str,
        init: &RtcDataChannelInit,
    ) -> Result<RtcDataChannel, JsValue>;
}

/// What comes from a connection.
pub(crate) enum ConnectionEvent<'a> {
    /// `negotiationneeded`.
    Needed,
    /// `icecandidate`.
    Candidate(Candidate),
    /// Nothing has come from the other side for a while.
    Suspected,
    /// The connection has failed.
    Failed,
    /// The other side made a channel.
    Incoming(RtcDataChannel),
    /// A channel is open.
    Opened(Channel),
    /// A frame came over a channel.
    Received(Channel, &'a [u8]),
    /// A channel has handed everything to the network.
    Drained(Channel),
    /// A channel is closed.
    Closed(Channel),
}

type OnEvent = Rc<dyn Fn(ConnectionEvent<'_>)>;

/// One data channel.
struct Lane {
    channel: RtcDataChannel,
    listeners: Vec<EventListener>,
    on_drained: Closure<dyn FnMut()>,
}

impl Lane {
    fn new(channel: RtcDataChannel, name: Channel, on_event: &OnEvent) -> Self {
        channel.set_binary_type(RtcDataChannelType::Arraybuffer);
        channel.set_buffered_amount_low_threshold(0);
        let mut listeners = Vec::with_capacity(3);
        let listen = Rc::clone(on_event);
        listeners.push(EventListener::new(&channel, "open", move |_| {
            listen(ConnectionEvent::Opened(name));
        }));
        let listen = Rc::clone(on_event);
        listeners.push(EventListener::new(&channel, "close", move |_| {
            listen(ConnectionEvent::Closed(name));
        }));
        let listen = Rc::clone(on_event);
        let watched = channel.clone();
        let on_drained = Closure::new(move || {
            // An event can be late, and the channel have more by then.
            if watched.buffered_amount() == 0 {
                watched.set_onbufferedamountlow(None);
                listen(ConnectionEvent::Drained(name));
            }
        });
        // One buffer for all frames: the only copy on the way in.
        let buffer = RefCell::new(Vec::new());
        let listen = Rc::clone(on_event);
        listeners.push(EventListener::new(&channel, "message", move |event| {
            let data = event.unchecked_ref::<MessageEvent>().data();
            let frame = data.dyn_ref::<ArrayBuffer>();
            // A text is none; and digits would be taken for a length.
            let Some(frame) = frame.filter(|frame| frame.byte_length() as usize <= limits::LINK_FRAME) else {
                listen(ConnectionEvent::Closed(name));
                return;
            };
            let data = Uint8Array::new(frame);
            let length = data.length() as usize;
            let mut bytes = buffer.take();
            bytes.resize(length, 0);
            data.copy_to(&mut bytes);
            if length >= LARGE {
                free(frame);
            }
            listen(ConnectionEvent::Received(name, &bytes));
            buffer.replace(bytes);
        }));
        Self {
            channel,
            listeners,
            on_drained,
        }
    }

    fn send(&self, frame: &[u8]) {
        // What can't be sent is repeated when the link is carried again.
        let _ = self.channel.send_with_u8_array(frame);
    }

    fn await_drained(&self) -> bool {
        let waits = self.channel.buffered_amount() > 0;
        if waits {
            self.channel
                .set_onbufferedamountlow(Some(self.on_drained.as_ref().unchecked_ref()));
        }
        waits
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.listeners.clear();
        self.channel.set_onbufferedamountlow(None);
        self.channel.close();
    }
}

/// A connection with its channels.
pub(crate) struct Connection {
    connection: RtcPeerConnection,
    listeners: Vec<EventListener>,
    link: Lane,
    lanes: RefCell<Map<Number, Lane>>,
    on_event: OnEvent,
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
        on_event: impl Fn(ConnectionEvent<'_>) + 'static,
    ) -> Result<Self, JsValue> {
        let on_event: OnEvent = Rc::new(on_event);
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
        let channel = connection
            .unchecked_ref::<FullConnection>()
            .create_channel("peerloom", &init)?;
        let link = Lane::new(channel, Channel::Link, &on_event);

        let mut listeners = Vec::with_capacity(4);
        let listen = Rc::clone(&on_event);
        listeners.push(EventListener::new(&connection, "negotiationneeded", move |_| {
            listen(ConnectionEvent::Needed);
        }));
        let listen = Rc::clone(&on_event);
        listeners.push(EventListener::new(&connection, "icecandidate", move |event| {
            if let Some(candidate) = event.unchecked_ref::<RtcPeerConnectionIceEvent>().candidate()
                && let Some(candidate) = from_browser(&candidate)
            {
                listen(ConnectionEvent::Candidate(candidate));
            }
        }));
        let listen = Rc::clone(&on_event);
        let watched = connection.clone();
        listeners.push(EventListener::new(
            &connection,
            "connectionstatechange",
            move |_| match watched.connection_state() {
                RtcPeerConnectionState::Failed => listen(ConnectionEvent::Failed),
                RtcPeerConnectionState::Disconnected => listen(ConnectionEvent::Suspected),
                _ => {}
            },
        ));
        let listen = Rc::clone(&on_event);
        listeners.push(EventListener::new(&connection, "datachannel", move |event| {
            let channel = event.unchecked_ref::<RtcDataChannelEvent>().channel();
            listen(ConnectionEvent::Incoming(channel));
        }));
        let mut close = None;
        let closed = Promise::new(&mut |resolve, _| close = Some(resolve));
        Ok(Self {
            connection,
            listeners,
            link,
            lanes: RefCell::default(),
            on_event,
            closed,
            close,
        })
    }

    /// Makes a channel for a connection of the page's.
    ///
    /// # Errors
    /// What the browser throws: too many channels.
    pub(crate) fn open(&self, number: Number, terms: &Terms) -> Result<(), JsValue> {
        let Number::Ours(label) = number else {
            return Ok(());
        };
        let init = RtcDataChannelInit::new();
        init.set_ordered(terms.ordered);
        if let Some(most) = terms.max_retransmits {
            init.set_max_retransmits(most);
        }
        let connection: &FullConnection = self.connection.unchecked_ref();
        let channel = connection.create_channel(&label.to_string(), &init)?;
        let lane = Lane::new(channel, Channel::Connection(number), &self.on_event);
        self.lanes.borrow_mut().insert(number, lane);
        Ok(())
    }

    /// Takes a channel that the other side made, labelled with its number for the connection. Returns what it is for
    /// if it is open already, which nobody will say again.
    pub(crate) fn adopt(&self, channel: RtcDataChannel) -> Option<Channel> {
        let Some(number) = channel.label().parse().ok().map(Number::Theirs) else {
            channel.close();
            return None;
        };
        let is_open = channel.ready_state() == RtcDataChannelState::Open;
        let name = Channel::Connection(number);
        let lane = Lane::new(channel, name, &self.on_event);
        self.lanes.borrow_mut().insert(number, lane);
        is_open.then_some(name)
    }

    /// Closes a connection's channel when it has sent what is in it.
    pub(crate) fn close(&self, number: Number) {
        self.lanes.borrow_mut().remove(&number);
    }

    /// Closes channel 0, for tests of recovery.
    pub(crate) fn close_link(&self) {
        self.link.channel.close();
    }

    /// Gathers new candidates, and negotiates them.
    pub(crate) fn restart_ice(&self) {
        self.connection.unchecked_ref::<FullConnection>().restart_ice();
    }

    /// The browser's own.
    pub(crate) fn browser(&self) -> &RtcPeerConnection {
        &self.connection
    }

    fn with<T>(&self, channel: Channel, act: impl FnOnce(&Lane) -> T) -> Option<T> {
        match channel {
            Channel::Link => Some(act(&self.link)),
            Channel::Connection(number) => self.lanes.borrow().get(&number).map(act),
        }
    }

    /// Sends over a channel.
    pub(crate) fn send(&self, channel: Channel, frame: &[u8]) {
        self.with(channel, |lane| lane.send(frame));
    }

    /// Whether a channel still has something to hand to the network; if so, `Drained` comes when it has not. Listened
    /// for only then: the browser calls the listener for every frame otherwise.
    pub(crate) fn await_drained(&self, channel: Channel) -> bool {
        self.with(channel, Lane::await_drained).unwrap_or(true)
    }

    /// Carries out a command; the future does not borrow the connection.
    pub(crate) fn execute(&self, command: Command) -> impl Future<Output = Done> + use<> {
        let connection = self.connection.clone();
        let closed = self.closed.clone();
        async move {
            let local = matches!(command, Command::SetLocal);
            let promise = match command {
                Command::SetLocal => connection.unchecked_ref::<FullConnection>().set_local(),
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
                // Firefox throws where its description is asked for.
                Ok(_) if connection.connection_state() == RtcPeerConnectionState::Closed => {
                    Done::Failed("closed".into())
                }
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
        self.lanes.take();
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
