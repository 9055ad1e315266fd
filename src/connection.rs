//! `Connection`: an explicit data session with one peer.
//!
//! A message is cut into pieces here and put together here, so that one of any size is never whole in the wasm's memory:
//! a piece is handed to the core when there is room for it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use js_sys::{Array, Function, Promise, Uint8Array};
use peerloom_core::client::{Client, ConnectionKey, Number, Terms};
use peerloom_core::link::Piece;
use peerloom_core::map::Map;
use peerloom_core::transfer;
use peerloom_core::wire::{Name, limits};
use peerloom_core::{Code, Error};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

use crate::events::{self, Listeners, emitter};
use crate::runtime::Runtime;
use crate::value::{self, Flat, Flattened};
use crate::{error, options};

const EVENTS: &[&str] = &["open", "message", "drain", "close", "error"];
/// Bytes of one message that this page takes.
const MESSAGE: usize = 1024 * 1024 * 1024;
/// Bytes of one message about files: a piece, and what stands before it.
const FILES_MESSAGE: usize = transfer::PIECE.1 as usize + 1024;
/// Messages of a lossy connection that may be incomplete at once.
const INCOMPLETE: usize = 64;
/// What a piece takes at least, in bytes.
const CHUNK: usize = 64;

/// A message on its way out.
struct Job {
    content: Flattened,
    index: u32,
    resolve: Function,
    reject: Function,
}

impl Assembly {
    fn size(&self) -> usize {
        self.bytes + CHUNK * self.come as usize
    }
}

/// A close that waits for what was sent before it.
struct Closing {
    reason: Name,
    resolve: Function,
    reject: Function,
}

/// A message on its way in.
#[derive(Default)]
struct Assembly {
    chunks: Array,
    come: u32,
    /// How many there are, once the last one has come.
    all: Option<u32>,
    bytes: usize,
}

/// What belongs to one connection.
pub(crate) struct ConnectionSeat {
    runtime: Weak<Runtime>,
    wrapper: RefCell<JsValue>,
    pub(crate) listeners: Rc<Listeners>,
    key: ConnectionKey,
    peer: JsValue,
    state: Cell<&'static str>,
    /// Both sides want it: messages may go.
    accepted: Cell<bool>,
    terms: Terms,
    jobs: RefCell<VecDeque<Job>>,
    /// Bytes of the jobs.
    waiting: Cell<usize>,
    /// A job's content is being read.
    reads: Cell<bool>,
    /// The page is owed a `drain`.
    was_full: Cell<bool>,
    /// Why it is closed as soon as everything was handed over.
    closing: RefCell<Option<Closing>>,
    /// What `close` returned, for those who call it again.
    ending: RefCell<Option<Promise>>,
    assemblies: RefCell<Map<u64, Assembly>>,
    /// The message about files that is coming in: one buffer for all of them.
    coming: RefCell<Vec<u8>>,
    /// Bytes of all of these.
    assembled: Cell<usize>,
}

impl ConnectionSeat {
    pub(crate) fn new(runtime: Weak<Runtime>, key: ConnectionKey, peer: JsValue, terms: Terms) -> Rc<Self> {
        let seat = Rc::new(Self {
            wrapper: RefCell::default(),
            peer,
            runtime,
            listeners: Rc::new(Listeners::new(EVENTS)),
            key,
            state: Cell::new("connecting"),
            accepted: Cell::new(false),
            terms,
            jobs: RefCell::default(),
            waiting: Cell::new(0),
            reads: Cell::new(false),
            was_full: Cell::new(false),
            closing: RefCell::default(),
            ending: RefCell::default(),
            assemblies: RefCell::default(),
            coming: RefCell::default(),
            assembled: Cell::new(0),
        });
        let wrapper = Connection {
            seat: Rc::clone(&seat),
        };
        *seat.wrapper.borrow_mut() = wrapper.into();
        seat
    }

    /// The page's object; it and this hold each other until the connection is over.
    pub(crate) fn wrapper(&self) -> JsValue {
        self.wrapper.borrow().clone()
    }

    fn buffered(&self) -> usize {
        let core = self
            .runtime
            .upgrade()
            .and_then(|runtime| runtime.look(|core| core.connection_buffered(self.key)));
        self.waiting.get() + core.unwrap_or(0)
    }

    /// It is accepted.
    pub(crate) fn opened(self: &Rc<Self>) {
        self.accepted.set(true);
        if self.state.get() == "connecting" {
            self.state.set("open");
        }
        self.listeners.emit("open", &self.wrapper());
        self.pump();
    }

    /// There is room again.
    pub(crate) fn has_room(self: &Rc<Self>) {
        self.pump();
    }

    /// Tells the page, if little waits any more; else it is told of room again.
    fn drained(&self, runtime: &Runtime) {
        if self.was_full.get()
            && !runtime
                .input(|core, _| core.connection_awaits_room(self.key))
                .unwrap_or(false)
        {
            self.was_full.set(false);
            self.listeners.emit("drain", &self.wrapper());
        }
    }

    /// It is over; `code` says whether either side closed it, or what else became of it.
    pub(crate) fn ended(&self, code: Code, reason: &str) {
        self.state.set("closed");
        self.assemblies.take();
        self.coming.take();
        let id = self
            .runtime
            .upgrade()
            .and_then(|runtime| runtime.look(|core| core.peer_id(self.key.peer).clone()));
        let error = id.map_or_else(|| code.into(), |id| Error::about(code, &id));
        let error = error::from_core(&error);
        let undelivered = !self.jobs.borrow().is_empty();
        self.give_up(&error);
        if let Some(closing) = self.closing.take() {
            let _ = if undelivered {
                closing.reject.call1(&JsValue::UNDEFINED, &error)
            } else {
                closing.resolve.call0(&JsValue::UNDEFINED)
            };
        }
        self.listeners.emit("close", &events::closed(reason));
        self.listeners.clear();
        self.wrapper.take();
    }

    /// Nothing more is sent.
    pub(crate) fn give_up(&self, error: &JsValue) {
        self.waiting.set(0);
        for job in self.jobs.take() {
            let _ = job.reject.call1(&JsValue::UNDEFINED, error);
        }
    }

    fn is_closing(&self) -> bool {
        self.state.get().starts_with("clos")
    }

    /// Whether it is over.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.get() == "closed"
    }

    fn send(self: &Rc<Self>, data: &JsValue) -> Promise {
        if self.is_closing() {
            return Promise::reject(&error::new(Code::Closed, "the connection"));
        }
        match value::flatten(data) {
            Ok(content) => self.put(content),
            Err(error) => Promise::reject(&error),
        }
    }

    /// Sends it after what waits already.
    fn put(self: &Rc<Self>, content: Flattened) -> Promise {
        if let Flattened::Ready(flat) = &content {
            self.waiting.set(self.waiting.get() + flat.length());
        }
        let mut content = Some(content);
        let promise = Promise::new(&mut |resolve, reject| {
            if let Some(content) = content.take() {
                self.jobs.borrow_mut().push_back(Job {
                    content,
                    index: 0,
                    resolve,
                    reject,
                });
            }
        });
        self.pump();
        promise
    }

    /// Hands over as much as there is room for.
    fn pump(self: &Rc<Self>) {
        let Some(runtime) = self.runtime.upgrade() else {
            return;
        };
        while !self.reads.get() && self.accepted.get() && !self.is_closed() {
            let mut jobs = self.jobs.borrow_mut();
            let Some(job) = jobs.front_mut() else {
                drop(jobs);
                // Who looks at `bufferedAmount` waits for `drain`, also if it was the last message that filled it up.
                let is_full = runtime.input(|core, _| !core.connection_has_room(self.key));
                self.was_full.set(self.was_full.get() || is_full.unwrap_or(false));
                self.finish(&runtime);
                self.drained(&runtime);
                return;
            };
            let flat = match &job.content {
                Flattened::Ready(flat) => flat,
                Flattened::Pending(promise) => {
                    let reading = value::flattened(promise.clone());
                    drop(jobs);
                    self.read(reading);
                    return;
                }
            };
            if !runtime
                .input(|core, _| core.connection_has_room(self.key))
                .unwrap_or(false)
            {
                self.was_full.set(true);
                return;
            }
            let bytes = flat.take(limits::PIECE);
            let last = flat.length() == 0;
            let index = job.index;
            job.index += 1;
            self.waiting.set(self.waiting.get().saturating_sub(bytes.len()));
            let done = if last { jobs.pop_front() } else { None };
            drop(jobs);
            let send = |core: &mut Client, now| core.connection_send(now, self.key, index, last, bytes);
            match done {
                None => {
                    let _ = runtime.input(send);
                }
                Some(job) => {
                    // The last piece always has a receipt.
                    let sent = runtime.call(|core, now| send(core, now).unwrap_or_default());
                    let _ = job.resolve.call1(&JsValue::UNDEFINED, &sent);
                }
            }
        }
    }

    /// Everything was handed over: closes it, if that is what the page wants.
    fn finish(&self, runtime: &Runtime) {
        if let Some(closing) = self.closing.take() {
            let closed = runtime.call(|core, now| core.close_connection(now, self.key, closing.reason));
            let _ = closing.resolve.call1(&JsValue::UNDEFINED, &closed);
        }
    }

    /// Waits for Blobs of the first job.
    fn read(self: &Rc<Self>, reading: impl Future<Output = Result<Flat, JsValue>> + 'static) {
        self.reads.set(true);
        let this = Rc::clone(self);
        spawn_local(async move {
            let read = reading.await;
            this.reads.set(false);
            let mut jobs = this.jobs.borrow_mut();
            let first = jobs.front_mut();
            match (read, first) {
                (Ok(flat), Some(job)) => {
                    this.waiting.set(this.waiting.get() + flat.length());
                    job.content = Flattened::Ready(flat);
                }
                (Err(error), Some(_)) => {
                    if let Some(job) = jobs.pop_front() {
                        let _ = job.reject.call1(&JsValue::UNDEFINED, &error);
                    }
                }
                (_, None) => {}
            }
            drop(jobs);
            this.pump();
        });
    }

    /// Whether it carries files, which are not values.
    fn is_offer(&self) -> bool {
        self.terms.manifest.is_some()
    }

    /// A piece has come.
    pub(crate) fn received(self: &Rc<Self>, piece: &Piece) {
        if self.is_offer() {
            self.received_of_files(piece);
            return;
        }
        let bytes = Uint8Array::from(piece.bytes.as_slice());
        if piece.index == 0 && piece.last {
            self.deliver(&Array::of1(&bytes), piece.bytes.len());
            return;
        }
        let mut assemblies = self.assemblies.borrow_mut();
        let lossy = self.terms.max_retransmits.is_some();
        if lossy && !assemblies.contains_key(&piece.message) && assemblies.len() >= INCOMPLETE {
            // The oldest has lost something, and stays incomplete for ever.
            let oldest = assemblies.keys().next().copied();
            if let Some(oldest) = oldest.and_then(|oldest| assemblies.remove(&oldest)) {
                self.assembled.set(self.assembled.get() - oldest.size());
            }
        }
        let assembly = assemblies.get_or_insert_with(piece.message, Assembly::default);
        let out_of_turn = self.terms.ordered && !lossy && piece.index != assembly.come;
        if !out_of_turn && !assembly.chunks.get(piece.index).is_undefined() {
            return;
        }
        let before = assembly.size();
        assembly.bytes += piece.bytes.len();
        assembly.come += 1;
        if piece.last {
            assembly.all = piece.index.checked_add(1);
        }
        let size = self.assembled.get() + assembly.size() - before;
        if out_of_turn || size > MESSAGE || piece.index as usize > MESSAGE / CHUNK {
            drop(assemblies);
            self.not_put_together(if out_of_turn {
                Code::ProtocolViolation
            } else {
                Code::TooLarge
            });
            return;
        }
        self.assembled.set(size);
        assembly.chunks.set(piece.index, bytes.into());
        if assembly.all != Some(assembly.come) {
            return;
        }
        let assembly = assemblies.remove(&piece.message);
        drop(assemblies);
        if let Some(assembly) = assembly {
            self.assembled.set(self.assembled.get() - assembly.size());
            self.deliver(&assembly.chunks, assembly.bytes);
        }
    }

    /// The same where files are carried, whose messages come in order and are bytes.
    fn received_of_files(&self, piece: &Piece) {
        let mut coming = self.coming.borrow_mut();
        if piece.index == 0 {
            coming.clear();
        }
        if coming.len() + piece.bytes.len() > FILES_MESSAGE {
            drop(coming);
            self.not_put_together(Code::TooLarge);
            return;
        }
        coming.extend_from_slice(&piece.bytes);
        if piece.last {
            let message = Uint8Array::from(coming.as_slice());
            drop(coming);
            self.listeners.emit("message", &message);
        }
    }

    fn not_put_together(&self, code: Code) {
        self.failed(&Error::new(code, "what came can't be put together"));
        if let Ok(reason) = Name::new(code.as_str()) {
            self.abort(code, &reason);
        }
    }

    fn deliver(&self, pieces: &Array, length: usize) {
        match value::unflatten(pieces, length) {
            Ok(data) => self.listeners.emit("message", &data),
            Err(error) => self.failed(&error),
        }
    }

    /// Something went wrong with it.
    pub(crate) fn failed(&self, error: &Error) {
        self.listeners.emit("error", &error::from_core(error));
    }

    /// Ends it at once.
    fn abort(&self, code: Code, reason: &Name) {
        if !self.is_closed()
            && let Some(runtime) = self.runtime.upgrade()
        {
            let _ = runtime.input(|core, now| core.abort_connection(now, self.key, code, reason));
        }
    }

    fn close(self: &Rc<Self>, reason: Name) -> Promise {
        if let Some(ending) = &*self.ending.borrow() {
            return ending.clone();
        }
        if self.is_closed() {
            return Promise::resolve(&JsValue::UNDEFINED);
        }
        let Some(runtime) = self.runtime.upgrade() else {
            return Promise::resolve(&JsValue::UNDEFINED);
        };
        let mut reason = Some(reason);
        let promise = Promise::new(&mut |resolve, reject| {
            *self.closing.borrow_mut() = reason.take().map(|reason| Closing {
                reason,
                resolve,
                reject,
            });
        });
        *self.ending.borrow_mut() = Some(promise.clone());
        let nothing_to_say = self.jobs.borrow().is_empty() || matches!(self.key.number, Number::Theirs(_));
        if self.state.get() == "connecting" && nothing_to_say {
            // What this side has said already is not for somebody whom it does not want.
            self.give_up(&error::new(Code::Closed, "the connection"));
            self.finish(&runtime);
        } else if self.state.get() == "open" {
            self.pump();
        }
        // Else it goes once what waits for the other side's answer has gone.
        if !self.is_closed() {
            self.state.set("closing");
        }
        promise
    }
}

/// An explicit data session with one peer.
#[wasm_bindgen(skip_typescript)]
pub struct Connection {
    seat: Rc<ConnectionSeat>,
}

impl Connection {
    fn listeners(&self) -> Rc<Listeners> {
        Rc::clone(&self.seat.listeners)
    }

    fn wrapper(&self) -> JsValue {
        self.seat.wrapper()
    }
}

#[wasm_bindgen]
impl Connection {
    /// With whom.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn peer(&self) -> JsValue {
        self.seat.peer.clone()
    }

    /// What it is for.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn label(&self) -> String {
        let label = self.seat.terms.label.as_ref();
        label.map_or_else(String::new, |label| label.as_str().into())
    }

    /// What the one who asked said about it.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn metadata(&self) -> JsValue {
        value::user_data_value(self.seat.terms.metadata.as_ref())
    }

    /// Whether messages keep their order.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn ordered(&self) -> bool {
        self.seat.terms.ordered
    }

    /// How often a lost packet is sent again.
    #[wasm_bindgen(getter, js_name = maxRetransmits, skip_typescript)]
    pub fn max_retransmits(&self) -> Option<u16> {
        self.seat.terms.max_retransmits
    }

    /// `"connecting"`, `"open"`, `"closing"` or `"closed"`.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn state(&self) -> String {
        self.seat.state.get().into()
    }

    /// Bytes that wait or are not confirmed.
    #[wasm_bindgen(getter, js_name = bufferedAmount, skip_typescript)]
    pub fn buffered_amount(&self) -> f64 {
        self.seat.buffered() as f64
    }

    /// Accepts it.
    #[wasm_bindgen(skip_typescript)]
    pub fn accept(&self) {
        // An object of before may have the key of a later one.
        if self.seat.state.get() == "connecting"
            && let Some(runtime) = self.seat.runtime.upgrade()
        {
            let _ = runtime.input(|core, now| core.accept(now, self.seat.key));
        }
    }

    /// Does not.
    #[wasm_bindgen(skip_typescript)]
    pub fn reject(&self, reason: &JsValue) -> Result<(), JsValue> {
        let reason = options::reason(reason, "rejected")?;
        self.seat.abort(Code::Closed, &reason);
        Ok(())
    }

    /// Resolves when the other side has it.
    #[wasm_bindgen(skip_typescript)]
    pub fn send(&self, data: &JsValue) -> Promise {
        self.seat.send(data)
    }

    /// Whether `drain` will come, before which nothing more should be sent.
    #[wasm_bindgen(getter, js_name = isFull, skip_typescript)]
    pub fn is_full(&self) -> bool {
        self.seat.was_full.get()
    }

    /// What is offered, as JSON text, if it is to carry files.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn manifest(&self) -> Option<String> {
        let manifest = self.seat.terms.manifest.as_ref();
        manifest.map(|manifest| manifest.as_str().into())
    }

    /// Sends bytes as they are, where files are carried; resolves when the other side has them.
    #[wasm_bindgen(js_name = sendFlat, skip_typescript)]
    pub fn send_flat(&self, flat: JsValue) -> Promise {
        if self.seat.is_closing() || !self.seat.is_offer() {
            return Promise::reject(&error::new(Code::Closed, "the connection"));
        }
        self.seat.put(Flattened::Ready(flat.unchecked_into()))
    }

    /// Closes it when everything has arrived.
    #[wasm_bindgen(skip_typescript)]
    pub fn close(&self, reason: &JsValue) -> Promise {
        match options::reason(reason, "closed") {
            Ok(reason) => self.seat.close(reason),
            Err(error) => Promise::reject(&error),
        }
    }
}

emitter!(Connection);
