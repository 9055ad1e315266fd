//! The core and the run loop. Nothing else borrows the core.
//!
//! *One mutation, then drain*: [`Runtime::input`] borrows the core, hands it one input, moves its outputs to the queue,
//! releases the borrow; only the outermost call carries the queue out.
//!
//! A panic ends the call that it happened in and nothing else: the wasm goes on. The client that it happened in is left
//! in the middle of something, which its next input finds out: it closes with `crashed`, and other clients go on.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use js_sys::{Function, Promise};
use peerloom_core::client::{Client, Config, Event, Output, PeerKey};
use peerloom_core::link::Receipt;
use peerloom_core::map::Map;
use peerloom_core::time::Time;
use peerloom_core::wire::codec::Codec;
use peerloom_core::wire::{Body, Instance, Name, Outcome, Secret, ThreadId, limits};
use peerloom_core::{Code, Error};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};

use crate::events::{self, Listeners};
use crate::options::ClientOptions;
use crate::peer::PeerSeat;
use crate::thread::ThreadSeat;
use crate::value::{self, Packed};
use crate::web::{
    self, Afterwards, Connection, ConnectionEvent, Page, PageEvent, Socket, SocketEvent, Timer,
};
use crate::{client, error};

#[wasm_bindgen(module = "/js/deferred.js")]
extern "C" {
    type Deferreds;
    #[wasm_bindgen(constructor)]
    fn new() -> Deferreds;
    #[wasm_bindgen(method)]
    fn promise(this: &Deferreds, receipt: Receipt) -> Promise;
    #[wasm_bindgen(method)]
    fn settle(this: &Deferreds, first: Receipt, last: Receipt);
    #[wasm_bindgen(method)]
    fn resolve(this: &Deferreds, receipt: Receipt, value: &JsValue);
    #[wasm_bindgen(method)]
    fn reject(this: &Deferreds, receipt: Receipt, error: &JsValue);
    #[wasm_bindgen(method, js_name = rejectAll)]
    fn reject_all(this: &Deferreds, error: &JsValue);
}

thread_local! {
    /// Panics of this page's life.
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

/// Counts a panic; for the hook.
pub(crate) fn panicked() {
    PANICS.set(PANICS.get() + 1);
}

/// What a send does once its content is there.
type Start = Box<dyn FnOnce(&mut Client, Time, Body) -> Receipt>;

/// A send whose content is not there yet, or that waits behind one.
struct Job {
    packed: Packed,
    start: Start,
    resolve: Function,
    reject: Function,
}

/// One client with everything that belongs to it.
pub(crate) struct Runtime {
    this: Weak<Self>,
    /// Set while the client is open: pages may keep a thread or a peer, and let go of the client.
    alive: RefCell<Option<Rc<Self>>>,
    core: RefCell<Client>,
    outputs: RefCell<VecDeque<Output>>,
    draining: Cell<bool>,
    /// How many panics there had been when the run loop was entered.
    panics: Cell<u32>,
    crashed: Cell<bool>,
    server: String,
    /// Made before the wasm was there.
    early_socket: Cell<Option<web_sys::WebSocket>>,
    ice_servers: RefCell<JsValue>,
    ice_servers_given: bool,
    relay_only: bool,
    socket: RefCell<Option<Socket>>,
    connections: RefCell<Map<PeerKey, (u32, Connection)>>,
    deferreds: Deferreds,
    timer: OnceCell<Timer>,
    afterwards: OnceCell<Afterwards>,
    page: RefCell<Option<Page>>,
    peers: RefCell<Map<PeerKey, Rc<PeerSeat>>>,
    threads: RefCell<Map<ThreadId, Rc<ThreadSeat>>>,
    handlers: RefCell<Map<Name, Function>>,
    pub(crate) listeners: Rc<Listeners>,
    lane: RefCell<VecDeque<Job>>,
    lane_runs: Cell<bool>,
}

impl Runtime {
    /// A client that is not open.
    pub(crate) fn new(
        options: ClientOptions,
        socket: Option<web_sys::WebSocket>,
    ) -> Result<Rc<Self>, JsValue> {
        let seed = u64::from_le_bytes(web::random());
        let config = Config {
            id: options.id,
            token: options.token,
            // 53 bits, so that JSON carries it.
            instance: Instance(u64::from_le_bytes(web::random()) >> 11),
            user_data: value::user_data(&options.user_data)?,
            webrtc: web::has_global("RTCPeerConnection"),
            codec: Codec::Binary,
            timeout: options.timeout,
            seed,
        };
        let runtime = Rc::new_cyclic(|this: &Weak<Self>| Self {
            this: this.clone(),
            alive: RefCell::default(),
            core: RefCell::new(Client::new(config)),
            outputs: RefCell::default(),
            draining: Cell::new(false),
            panics: Cell::new(0),
            crashed: Cell::new(false),
            server: options.server,
            early_socket: Cell::new(socket),
            ice_servers_given: !options.ice_servers.is_undefined(),
            ice_servers: RefCell::new(options.ice_servers),
            relay_only: options.relay_only,
            socket: RefCell::default(),
            connections: RefCell::default(),
            deferreds: Deferreds::new(),
            timer: OnceCell::new(),
            afterwards: OnceCell::new(),
            page: RefCell::default(),
            peers: RefCell::default(),
            threads: RefCell::default(),
            handlers: RefCell::default(),
            listeners: Rc::new(Listeners::new(client::EVENTS)),
            lane: RefCell::default(),
            lane_runs: Cell::new(false),
        });
        Ok(runtime)
    }

    // ---- the run loop ----

    fn enter<T>(&self, input: impl FnOnce(&mut Client, Time) -> T) -> Option<T> {
        if self.is_crashed() {
            return None;
        }
        let mut core = self.core.try_borrow_mut().ok()?;
        if !self.draining.get() {
            self.panics.set(PANICS.get());
        }
        let result = input(&mut core, web::now());
        self.take_outputs(&mut core);
        Some(result)
    }

    // Apart from `enter`, so that it is not compiled anew for each kind of input.
    fn take_outputs(&self, core: &mut Client) {
        let mut outputs = self.outputs.borrow_mut();
        while let Some(output) = core.poll_output() {
            outputs.push_back(output);
        }
    }

    /// Whether a panic left this client in the middle of something. Finding out closes it.
    fn is_crashed(&self) -> bool {
        let inside = self.draining.get() || self.core.try_borrow_mut().is_err();
        if !self.crashed.get() && inside && self.panics.get() != PANICS.get() {
            self.crashed.set(true);
            self.release();
            let error = error::new(Code::Crashed, "");
            self.deferreds.reject_all(&error);
            self.listeners.emit("error", &error);
            self.listeners.emit("state", &"closed".into());
        }
        self.crashed.get()
    }

    fn drain(&self) {
        if self.draining.replace(true) {
            return;
        }
        loop {
            let Some(output) = self.outputs.borrow_mut().pop_front() else {
                break;
            };
            self.execute(output);
        }
        self.draining.set(false);
        if let Ok(core) = self.core.try_borrow() {
            self.timer().set(core.poll_timeout());
            if core.owes() {
                self.afterwards().post();
            }
        }
    }

    /// Hands the core one input and carries out what comes of it.
    pub(crate) fn input<T>(&self, input: impl FnOnce(&mut Client, Time) -> T) -> Result<T, JsValue> {
        let result = self.enter(input).ok_or_else(|| error::new(Code::Crashed, ""))?;
        self.drain();
        Ok(result)
    }

    /// The same for a call that ends later; never throws.
    pub(crate) fn call(&self, input: impl FnOnce(&mut Client, Time) -> Receipt) -> Promise {
        let Some(receipt) = self.enter(input) else {
            return Promise::reject(&error::new(Code::Crashed, ""));
        };
        let promise = self.deferreds.promise(receipt);
        self.drain();
        promise
    }

    /// Looks at the core.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Client) -> T) -> Option<T> {
        if self.crashed.get() {
            return None;
        }
        self.core.try_borrow().ok().map(|core| at(&core))
    }

    fn timer(&self) -> &Timer {
        self.timer.get_or_init(|| {
            let this = self.this.clone();
            Timer::new(move || {
                if let Some(this) = this.upgrade() {
                    this.timer().fired();
                    let _ = this.input(Client::tick);
                }
            })
        })
    }

    /// Acknowledges in a task of its own: frames that wait already, and listeners that await something before they
    /// answer, come first.
    fn afterwards(&self) -> &Afterwards {
        self.afterwards.get_or_init(|| {
            let this = self.this.clone();
            Afterwards::new(move || {
                if let Some(this) = this.upgrade() {
                    let _ = this.input(Client::acknowledge);
                }
            })
        })
    }

    // ---- calls of the page ----

    /// Opens.
    pub(crate) fn open(&self) -> Promise {
        *self.alive.borrow_mut() = self.this.upgrade();
        // Known to this page alone before the first hello, so that an admission whose answer got lost can be taken up.
        let ticket: String = web::random::<26>()
            .iter()
            .map(|byte| web::letter(*byte))
            .collect();
        if let Some(ticket) = Secret::new(&ticket) {
            let _ = self.enter(|core, _| core.set_ticket(ticket));
        }
        if self.page.borrow().is_none() {
            let this = self.this.clone();
            *self.page.borrow_mut() = Some(Page::new(move |event| {
                if let Some(this) = this.upgrade() {
                    let _ = this.input(|core, now| match event {
                        PageEvent::Back => core.hurry(now),
                        PageEvent::Gone => core.close(),
                    });
                }
            }));
        }
        self.call(Client::open)
    }

    /// Packs `data` and hands it to `start`; sends keep their order while Blobs are read.
    pub(crate) fn send(
        &self,
        data: &JsValue,
        start: impl FnOnce(&mut Client, Time, Body) -> Receipt + 'static,
    ) -> Promise {
        match value::pack(data) {
            Err(error) => Promise::reject(&error),
            Ok(Packed::Ready(body)) if !self.lane_runs.get() => self.call(|core, now| start(core, now, body)),
            Ok(packed) => {
                let mut start = Some(start);
                let mut packed = Some(packed);
                let promise = Promise::new(&mut |resolve, reject| {
                    if let (Some(start), Some(packed)) = (start.take(), packed.take()) {
                        let job = Job {
                            packed,
                            start: Box::new(start),
                            resolve,
                            reject,
                        };
                        self.lane.borrow_mut().push_back(job);
                    }
                });
                self.run_lane();
                promise
            }
        }
    }

    fn run_lane(&self) {
        let Some(this) = self.this.upgrade() else { return };
        if self.lane_runs.replace(true) {
            return;
        }
        spawn_local(async move {
            loop {
                let Some(job) = this.lane.borrow_mut().pop_front() else {
                    break;
                };
                let body = match job.packed {
                    Packed::Ready(body) => Ok(body),
                    Packed::Pending(promise) => value::filled(promise).await,
                };
                // The page looks after the promise that it was given.
                let _ = match body {
                    Ok(body) => {
                        let sent = this.call(|core, now| (job.start)(core, now, body));
                        job.resolve.call1(&JsValue::UNDEFINED, &sent)
                    }
                    Err(error) => job.reject.call1(&JsValue::UNDEFINED, &error),
                };
            }
            this.lane_runs.set(false);
        });
    }

    /// Registers a handler of requests.
    pub(crate) fn handle(&self, name: Name, handler: Function) {
        self.handlers.borrow_mut().insert(name, handler);
    }

    /// Removes it, if it is still this one.
    pub(crate) fn unhandle(&self, name: &Name, handler: &Function) {
        let mut handlers = self.handlers.borrow_mut();
        if handlers.get(name) == Some(handler) {
            handlers.remove(name);
        }
    }

    /// Lets go of everything that would keep the page's objects alive.
    pub(crate) fn release(&self) {
        self.page.borrow_mut().take();
        self.socket.borrow_mut().take();
        self.connections.borrow_mut().clear();
        self.timer().clear();
        self.handlers.borrow_mut().clear();
        for job in self.lane.take() {
            let closed = error::new(Code::Closed, "");
            let _ = job.reject.call1(&JsValue::UNDEFINED, &closed);
        }
        self.alive.borrow_mut().take();
    }

    // ---- seats ----

    /// What belongs to a peer; the same every time.
    pub(crate) fn peer(&self, key: PeerKey) -> Rc<PeerSeat> {
        if let Some(seat) = self.peers.borrow().get(&key) {
            return Rc::clone(seat);
        }
        let id = self.look(|core| core.peer_id(key).clone());
        let seat = Rc::new(PeerSeat::new(
            self.this.clone(),
            key,
            id.as_ref().map_or("", |id| id.as_str()),
        ));
        self.peers.borrow_mut().insert(key, Rc::clone(&seat));
        seat
    }

    /// Every peer that the page or the core has a reason to know.
    pub(crate) fn active_peers(&self) -> Vec<Rc<PeerSeat>> {
        let keys: Vec<PeerKey> = self
            .look(|core| core.active_peers().collect())
            .unwrap_or_default();
        keys.into_iter().map(|key| self.peer(key)).collect()
    }

    /// What belongs to a thread that is joined or being joined.
    pub(crate) fn thread(&self, id: &ThreadId) -> Rc<ThreadSeat> {
        if let Some(seat) = self.threads.borrow().get(id) {
            return Rc::clone(seat);
        }
        let seat = Rc::new(ThreadSeat::new(self.this.clone(), id.clone()));
        self.threads.borrow_mut().insert(id.clone(), Rc::clone(&seat));
        seat
    }

    /// The threads that are joined.
    pub(crate) fn threads(&self) -> Vec<Rc<ThreadSeat>> {
        self.threads
            .borrow()
            .values()
            .filter(|seat| seat.is_given())
            .cloned()
            .collect()
    }

    /// A thread was left.
    pub(crate) fn forget_thread(&self, id: &ThreadId) {
        self.threads.borrow_mut().remove(id);
    }

    // ---- outputs ----

    fn execute(&self, output: Output) {
        match output {
            Output::Connect => self.connect_socket(),
            Output::SocketSend(bytes) => {
                if let Some(socket) = &*self.socket.borrow() {
                    socket.send(&bytes);
                }
            }
            Output::SocketClose => {
                self.socket.borrow_mut().take();
            }
            Output::CreateConnection(key, generation) => self.create_connection(key, generation),
            Output::CloseConnection(key, generation) => {
                let mut connections = self.connections.borrow_mut();
                if connections
                    .get(&key)
                    .is_some_and(|(current, _)| *current == generation)
                {
                    connections.remove(&key);
                }
            }
            Output::Exec(key, generation, op, command) => {
                let future = match self.connections.borrow().get(&key) {
                    Some((current, connection)) if *current == generation => connection.execute(command),
                    _ => return,
                };
                let this = self.this.clone();
                spawn_local(async move {
                    let done = future.await;
                    if let Some(this) = this.upgrade() {
                        let _ = this.input(|core, now| core.connection_done(now, key, generation, op, done));
                    }
                });
            }
            Output::ChannelSend(key, generation, frame) => {
                if let Some((current, connection)) = self.connections.borrow().get(&key)
                    && *current == generation
                {
                    connection.send(&frame);
                }
            }
            Output::Settle(first, last) => self.deferreds.settle(first, last),
            Output::Reject(receipt, error) => self.deferreds.reject(receipt, &error::from_core(&error)),
            Output::Answer(receipt, body) => match value::unpack(&body) {
                Ok(value) => self.deferreds.resolve(receipt, &value),
                Err(error) => self.deferreds.reject(receipt, &error::from_core(&error)),
            },
            Output::IceServers(json) => {
                if !self.ice_servers_given
                    && let Ok(servers) = value::unpack(&Body::Json(json))
                {
                    *self.ice_servers.borrow_mut() = servers;
                }
            }
            Output::Event(event) => self.deliver(event),
        }
    }

    fn connect_socket(&self) {
        let this = self.this.clone();
        let early = self.early_socket.take();
        let socket = Socket::new(&self.server, limits::SUBPROTOCOL, early, move |event| {
            if let Some(this) = this.upgrade() {
                this.socket_event(event);
            }
        });
        match socket {
            Ok(socket) => {
                let is_open = socket.is_open();
                *self.socket.borrow_mut() = Some(socket);
                if is_open {
                    let _ = self.input(Client::socket_opened);
                }
            }
            Err(_) => {
                let _ = self.input(|core, now| core.socket_closed(now, 1006));
            }
        }
    }

    fn socket_event(&self, event: SocketEvent) {
        let _ = match event {
            SocketEvent::Opened => self.input(Client::socket_opened),
            SocketEvent::Received(bytes) => self.input(|core, now| core.socket_received(now, &bytes)),
            SocketEvent::Closed(code) => {
                self.socket.borrow_mut().take();
                self.input(|core, now| core.socket_closed(now, code))
            }
        };
    }

    fn create_connection(&self, key: PeerKey, generation: u32) {
        let this = self.this.clone();
        let connection = Connection::new(&self.ice_servers.borrow(), self.relay_only, move |event| {
            if let Some(this) = this.upgrade() {
                this.connection_event(key, generation, event);
            }
        });
        match connection {
            Ok(connection) => {
                self.connections
                    .borrow_mut()
                    .insert(key, (generation, connection));
            }
            Err(thrown) => {
                self.listeners
                    .emit("error", &error::caused(Code::Unsupported, thrown));
                let _ = self.input(|core, now| core.connection_failed(now, key, generation));
            }
        }
    }

    fn connection_event(&self, key: PeerKey, generation: u32, event: ConnectionEvent<'_>) {
        let _ = self.input(|core, now| match event {
            ConnectionEvent::Needed => core.connection_needs_negotiation(now, key, generation),
            ConnectionEvent::Candidate(candidate) => {
                core.connection_candidate(now, key, generation, candidate)
            }
            ConnectionEvent::Failed => core.connection_failed(now, key, generation),
            ConnectionEvent::Opened => core.channel_opened(now, key, generation),
            ConnectionEvent::Received(bytes) => core.channel_received(now, key, generation, bytes),
            ConnectionEvent::Drained => core.channel_drained(now, key, generation),
            ConnectionEvent::Closed => core.channel_closed(now, key, generation),
        });
    }

    // ---- events ----

    fn deliver(&self, event: Event) {
        match event {
            Event::State(state) => {
                self.listeners.emit("state", &state.as_str().into());
                if state.as_str() == "closed" {
                    self.release();
                }
            }
            Event::PeerState(key, state) => self.peer(key).listeners.emit("state", &state.as_str().into()),
            Event::PeerUpdated(key) => {
                let seat = self.peer(key);
                seat.listeners.emit("update", &seat.wrapper);
            }
            Event::Message(..) | Event::ThreadMessage(..) => self.deliver_messages(event),
            Event::Request(key, request, name, body) => self.handle_request(key, request, &name, &body),
            Event::Thread(thread, key, change) => {
                let Some(seat) = self.threads.borrow().get(&thread).cloned() else {
                    return;
                };
                seat.change(&self.peer(key), &change);
            }
            Event::ThreadEnded(thread, error) => {
                self.forget_thread(&thread);
                self.report(&error);
            }
            Event::Presence { id, tag, online } => {
                if self.listeners.has("presence") {
                    let tag = tag.as_ref().map(Name::as_str);
                    self.listeners
                        .emit("presence", &events::presence(id.as_str(), tag, online));
                }
            }
            Event::Error(error) => self.report(&error),
        }
    }

    fn report(&self, error: &Error) {
        if self.listeners.has("error") {
            self.listeners.emit("error", &error::from_core(error));
        }
    }

    /// Delivers a message, and with it those of the same sender that follow it in the queue: JSON is read together.
    fn deliver_messages(&self, first: Event) {
        let sender = json_message(&first).map(|(key, _)| key);
        let mut run = vec![first];
        if sender.is_some() {
            let mut outputs = self.outputs.borrow_mut();
            while run.len() < RUN
                && let Some(Output::Event(event)) =
                    outputs.pop_front_if(|output| is_json_message_from(output, sender))
            {
                run.push(event);
            }
        }
        let texts: Vec<&str> = run
            .iter()
            .filter_map(json_message)
            .map(|(_, text)| text)
            .collect();
        let values = if texts.len() > 1 {
            value::unpack_all(&texts)
        } else {
            None
        };
        for (index, event) in (0..).zip(&run) {
            self.deliver_message(event, values.as_ref().map(|values| values.get(index)));
        }
    }

    /// `value` is the body's, if it is known already.
    fn deliver_message(&self, event: &Event, value: Option<JsValue>) {
        let read = |body| value.map_or_else(|| value::unpack(body), Ok);
        match event {
            Event::Message(key, name, body) => {
                let seat = self.peer(*key);
                let here = self.listeners.has("message");
                if !here && !seat.listeners.has("message") {
                    return;
                }
                match read(body) {
                    Ok(data) => {
                        let message = events::message(&seat.wrapper, name.as_ref().map(Name::as_str), &data);
                        seat.listeners.emit("message", &message);
                        self.listeners.emit("message", &message);
                    }
                    Err(error) => self.report(&error),
                }
            }
            Event::ThreadMessage(thread, key, body) => {
                let Some(seat) = self.threads.borrow().get(thread).cloned() else {
                    return;
                };
                match read(body) {
                    Ok(data) => seat.message(*key, &data),
                    Err(error) => self.report(&error),
                }
            }
            _ => {}
        }
    }

    fn handle_request(&self, key: PeerKey, request: u32, name: &Name, body: &Body) {
        let handler = self.handlers.borrow().get(name).cloned();
        let Some(handler) = handler else {
            let _ = self.input(|core, now| core.reply(now, key, request, Outcome::Unhandled));
            return;
        };
        let Ok(data) = value::unpack(body) else {
            let outcome = Outcome::Failed("the request's content can't be read".into());
            let _ = self.input(|core, now| core.reply(now, key, request, outcome));
            return;
        };
        let returned = events::call_handler(&handler, &data, &self.peer(key).wrapper);
        let Some(this) = self.this.upgrade() else { return };
        spawn_local(async move {
            let settled = match returned {
                Ok(value) => JsFuture::from(Promise::resolve(&value)).await,
                Err(thrown) => Err(thrown),
            };
            let body = match settled {
                Ok(value) => match value::pack(&value) {
                    Ok(Packed::Ready(body)) => Ok(body),
                    Ok(Packed::Pending(promise)) => value::filled(promise).await,
                    Err(error) => Err(error),
                },
                Err(thrown) => Err(thrown),
            };
            let outcome = match body {
                Ok(body) => Outcome::Done(body),
                Err(thrown) => Outcome::Failed(error::message(&thrown)),
            };
            let _ = this.input(|core, now| core.reply(now, key, request, outcome));
        });
    }
}

/// Messages that are read together, at most.
const RUN: usize = 1024;

/// The sender and the text of a message whose body is JSON.
fn json_message(event: &Event) -> Option<(PeerKey, &str)> {
    match event {
        Event::Message(key, _, Body::Json(text)) | Event::ThreadMessage(_, key, Body::Json(text)) => {
            Some((*key, text))
        }
        _ => None,
    }
}

fn is_json_message_from(output: &Output, sender: Option<PeerKey>) -> bool {
    match output {
        Output::Event(event) => json_message(event).is_some_and(|(key, _)| Some(key) == sender),
        _ => false,
    }
}
