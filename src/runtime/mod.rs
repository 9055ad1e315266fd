//! The core and the run loop. Nothing else borrows the core.
//!
//! *One mutation, then drain*: [`Runtime::input`] borrows the core, hands it one input, moves its outputs to the queue,
//! releases the borrow; only the outermost call carries the queue out.
//!
//! A panic ends the call that it happened in and nothing else: the wasm goes on. The client that it happened in is left
//! in the middle of something, which its next input finds out: it closes with `crashed`, and other clients go on.

mod delivery;
mod lane;
mod output;
mod simulate;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use js_sys::{Function, Promise};
use peerloom_core::Code;
use peerloom_core::client::{Client, Config, ConnectionKey, Output, PeerKey, Terms};
use peerloom_core::link::Receipt;
use peerloom_core::map::Map;
use peerloom_core::privacy::Privacy;
use peerloom_core::time::Time;
use peerloom_core::wire::codec::Codec;
use peerloom_core::wire::{Instance, Name, Secret, ThreadId};
use wasm_bindgen::prelude::*;

use crate::connection::ConnectionSeat;
use crate::events::Listeners;
use crate::options::ClientOptions;
use crate::peer::PeerSeat;
use crate::thread::ThreadSeat;
use crate::web::{self, Afterwards, Connection, Page, PageEvent, Socket, Timer};
use crate::{client, error, value};

use lane::Job;
use simulate::Weather;

#[wasm_bindgen(module = "/js/runtime.js")]
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
    #[wasm_bindgen(js_name = linkStats)]
    fn link_stats(
        connection: Option<&web_sys::RtcPeerConnection>,
        state: &str,
        round_trip: Option<f64>,
        waiting: f64,
    ) -> Promise;
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
    privacy: Privacy,
    socket: RefCell<Option<Socket>>,
    connections: RefCell<Map<PeerKey, (u32, Connection)>>,
    deferreds: Deferreds,
    timer: OnceCell<Timer>,
    afterwards: OnceCell<Afterwards>,
    page: RefCell<Option<Page>>,
    peers: RefCell<Map<PeerKey, Rc<PeerSeat>>>,
    threads: RefCell<Map<ThreadId, Rc<ThreadSeat>>>,
    sessions: RefCell<Map<ConnectionKey, Rc<ConnectionSeat>>>,
    weather: Weather,
    handlers: RefCell<Map<Name, Function>>,
    /// Takes connections that carry files.
    offer_taker: RefCell<Option<Function>>,
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
            privacy: options.privacy,
            codec: Codec::Binary,
            timeout: options.timeout,
            recovery: options.recovery,
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
            privacy: options.privacy,
            socket: RefCell::default(),
            connections: RefCell::default(),
            deferreds: Deferreds::new(),
            timer: OnceCell::new(),
            afterwards: OnceCell::new(),
            page: RefCell::default(),
            peers: RefCell::default(),
            threads: RefCell::default(),
            sessions: RefCell::default(),
            weather: Weather::default(),
            handlers: RefCell::default(),
            offer_taker: RefCell::default(),
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
            for seat in self.sessions.take().values() {
                seat.ended(Code::Crashed, Code::Crashed.as_str());
            }
            self.silence();
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

    /// What the next connection is made with.
    pub(crate) fn ice_servers(&self) -> JsValue {
        self.ice_servers.borrow().clone()
    }

    fn timer(&self) -> &Timer {
        self.timer.get_or_init(|| {
            let this = self.this.clone();
            Timer::new(move || {
                if let Some(this) = this.upgrade() {
                    this.timer().fired();
                    this.tick();
                }
            })
        })
    }

    fn tick(&self) {
        if !self.sleeps() {
            let _ = self.input(Client::tick);
        }
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
                        PageEvent::Changed => core.hurry(now),
                        PageEvent::Gone => core.close(),
                    });
                }
            }));
        }
        self.call(Client::open)
    }

    /// Registers a handler of requests.
    pub(crate) fn handle(&self, name: Name, handler: Function) {
        self.handlers.borrow_mut().insert(name, handler);
    }

    /// Registers who takes offers.
    pub(crate) fn take_offers(&self, taker: Function) {
        self.offer_taker.replace(Some(taker));
    }

    pub(crate) fn offer_taker(&self) -> Option<Function> {
        self.offer_taker.borrow().clone()
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
        self.weather.clear();
        self.timer().clear();
        self.handlers.borrow_mut().clear();
        self.offer_taker.take();
        for job in self.lane.take() {
            let closed = error::new(Code::Closed, "");
            let _ = job.reject.call1(&JsValue::UNDEFINED, &closed);
        }
        self.alive.borrow_mut().take();
    }

    /// Nothing more will be told: listeners hold what they mention, which may be this client.
    fn silence(&self) {
        self.listeners.clear();
        for seat in self.peers.borrow().values() {
            seat.listeners.clear();
        }
        for seat in self.threads.borrow().values() {
            seat.silence();
        }
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

    /// Asks a peer for a connection.
    pub(crate) fn connect(&self, peer: PeerKey, terms: Terms) -> Result<JsValue, JsValue> {
        let asked = {
            let terms = terms.clone();
            self.enter(|core, now| core.connect_to(now, peer, terms))
                .ok_or_else(|| error::new(Code::Crashed, ""))?
        };
        // Before what comes of it is carried out: it may be over at once.
        let seat = asked.map(|key| self.connection(key, terms));
        self.drain();
        match seat {
            Ok(seat) => Ok(seat.wrapper()),
            Err(error) => Err(error::from_core(&error)),
        }
    }

    /// What belongs to a new connection.
    fn connection(&self, key: ConnectionKey, terms: Terms) -> Rc<ConnectionSeat> {
        let peer = self.peer(key.peer).wrapper.clone();
        let seat = ConnectionSeat::new(self.this.clone(), key, peer, terms);
        self.sessions.borrow_mut().insert(key, Rc::clone(&seat));
        seat
    }

    /// How the link to a peer is doing.
    pub(crate) fn stats(&self, key: PeerKey) -> Promise {
        let known = self.look(|core| {
            let state = core.peer_state(key).as_str();
            (state, core.peer_round_trip(key), core.peer_waiting(key))
        });
        let Some((state, round_trip, waiting)) = known else {
            return Promise::reject(&error::new(Code::Crashed, ""));
        };
        let connections = self.connections.borrow();
        let browser = connections.get(&key).map(|(_, connection)| connection.browser());
        let round_trip = round_trip.map(|time| time as f64);
        link_stats(browser, state, round_trip, waiting as f64)
    }

    /// A thread was left.
    pub(crate) fn forget_thread(&self, id: &ThreadId) {
        self.threads.borrow_mut().remove(id);
    }
}
