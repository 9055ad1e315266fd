//! `Thread`: a room.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use js_sys::Promise;
use peerloom_core::Code;
use peerloom_core::client::PeerKey;
use peerloom_core::map::Map;
use peerloom_core::thread::Change;
use peerloom_core::wire::{Id, Member, ThreadId};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use crate::events::{self, Listeners, emitter};
use crate::peer::PeerSeat;
use crate::runtime::Runtime;
use crate::{error, options, value, web};

const EVENTS: &[&str] = &["join", "leave", "update", "message", "offer"];

/// What belongs to one thread while this client is a member.
pub(crate) struct ThreadSeat {
    id: ThreadId,
    pub(crate) wrapper: JsValue,
    listeners: Rc<Listeners>,
    members: RefCell<Map<Id, (PeerKey, JsValue)>>,
    map: RefCell<Option<js_sys::Map>>,
    /// Whether the page has, or is being given, the thread: who comes from now on is news.
    given: Cell<bool>,
    /// Events that wait until the page could add listeners.
    gate: RefCell<Option<Vec<(&'static str, JsValue)>>>,
}

impl ThreadSeat {
    pub(crate) fn new(runtime: Weak<Runtime>, id: ThreadId) -> Self {
        Self {
            wrapper: Thread {
                runtime,
                id: id.clone(),
            }
            .into(),
            id,
            listeners: Rc::new(Listeners::new(EVENTS)),
            members: RefCell::default(),
            map: RefCell::default(),
            given: Cell::new(false),
            gate: RefCell::new(Some(Vec::new())),
        }
    }

    /// Whether the page has, or is being given, the thread.
    pub(crate) fn is_given(&self) -> bool {
        self.given.get()
    }

    /// The page has the thread now: what has come meanwhile is delivered after its present task. Those who were there
    /// already are no news.
    pub(crate) fn open_gate(self: &Rc<Self>) {
        if self.given.replace(true) {
            return;
        }
        let this = Rc::clone(self);
        web::soon(move || {
            let waiting = this.gate.borrow_mut().take().unwrap_or_default();
            for (name, argument) in waiting {
                this.listeners.emit(name, &argument);
            }
        });
    }

    /// The thread's id.
    pub(crate) fn id(&self) -> &ThreadId {
        &self.id
    }

    /// Nothing more will be told.
    pub(crate) fn silence(&self) {
        self.gate.borrow_mut().take();
        self.listeners.clear();
    }

    fn emit(&self, name: &'static str, argument: JsValue) {
        if let Some(waiting) = &mut *self.gate.borrow_mut() {
            // Bounded: the gate opens in the task after the one that closed it.
            waiting.push((name, argument));
            return;
        }
        self.listeners.emit(name, &argument);
    }

    /// A message from a member.
    pub(crate) fn message(&self, from: PeerKey, data: &JsValue) {
        let member = self
            .members
            .borrow()
            .values()
            .find(|(key, _)| *key == from)
            .map(|(_, member)| member.clone());
        if let Some(member) = member {
            self.emit("message", events::thread_message(&member, data));
        }
    }

    /// Members changed.
    pub(crate) fn change(&self, peer: &PeerSeat, change: &Change) {
        self.map.borrow_mut().take();
        match change {
            Change::Joined(member) => {
                let value = self.put(peer, member);
                if self.is_given() {
                    self.emit("join", value);
                }
            }
            Change::Updated(member) => {
                let value = self.put(peer, member);
                self.emit("update", value);
            }
            Change::Left(member, reason) => {
                let gone = self.members.borrow_mut().remove(&member.peer.id);
                if let Some((_, value)) = gone {
                    self.emit("leave", events::left(&value, reason.as_str()));
                }
            }
        }
    }

    fn put(&self, peer: &PeerSeat, member: &Member) -> JsValue {
        let value = events::member(
            member.peer.id.as_str(),
            &value::user_data_value(member.user_data.as_ref()),
            &events::media(member.media.audio, member.media.video),
            &peer.wrapper,
        );
        self.members
            .borrow_mut()
            .insert(member.peer.id.clone(), (peer.key, value.clone()));
        value
    }

    fn map(&self) -> js_sys::Map {
        self.map
            .borrow_mut()
            .get_or_insert_with(|| {
                let map = js_sys::Map::new();
                for (id, (_, member)) in self.members.borrow().iter() {
                    map.set(&id.as_str().into(), member);
                }
                map
            })
            .clone()
    }
}

/// A room: its members, their user data, the media that they allow in it.
#[wasm_bindgen(skip_typescript)]
pub struct Thread {
    runtime: Weak<Runtime>,
    id: ThreadId,
}

impl Thread {
    fn seat(&self) -> Option<Rc<ThreadSeat>> {
        self.runtime.upgrade().map(|runtime| runtime.thread(&self.id))
    }

    fn runtime(&self) -> Result<Rc<Runtime>, JsValue> {
        self.runtime.upgrade().ok_or_else(|| error::new(Code::Closed, ""))
    }

    fn member_of(&self) -> Result<Rc<Runtime>, JsValue> {
        let runtime = self.runtime()?;
        if runtime.look(|core| core.threads().get(&self.id).is_some()) == Some(true) {
            Ok(runtime)
        } else {
            Err(error::new(Code::NotMember, self.id.as_str()))
        }
    }
}

#[wasm_bindgen]
impl Thread {
    /// The thread's id.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn id(&self) -> String {
        self.id.as_str().into()
    }

    /// The page's own address with this thread as its hash.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn link(&self) -> String {
        let hash: String = js_sys::encode_uri_component(self.id.as_str()).into();
        format!("{}#{hash}", web::page_address())
    }

    /// The others in this thread, by id.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn members(&self) -> js_sys::Map {
        self.seat().map_or_else(js_sys::Map::new, |seat| seat.map())
    }

    /// To every member.
    #[wasm_bindgen(skip_typescript)]
    pub fn send(&self, data: &JsValue) -> Promise {
        let id = self.id.clone();
        match self.runtime() {
            Ok(runtime) => runtime.send(data, move |core, now, body| core.send_thread(now, &id, body)),
            Err(error) => Promise::reject(&error),
        }
    }

    /// Tells the page of an offer. Returns whether anybody listens.
    #[wasm_bindgen(js_name = emitOffer, skip_typescript)]
    pub fn emit_offer(&self, offer: &JsValue) -> bool {
        self.listeners().offer(offer)
    }

    /// Changes which media are allowed.
    #[wasm_bindgen(js_name = setMedia, skip_typescript)]
    pub fn set_media(&self, media: JsValue) -> Result<(), JsValue> {
        let media = options::media(&media)?;
        self.member_of()?
            .input(|core, _| core.join(&self.id, None, Some(media)))?;
        Ok(())
    }

    /// Changes this client's user data here.
    #[wasm_bindgen(js_name = setUserData, skip_typescript)]
    pub fn set_user_data(&self, user_data: &JsValue) -> Result<(), JsValue> {
        let user_data = value::user_data(user_data)?;
        self.member_of()?
            .input(|core, _| core.join(&self.id, Some(user_data), None))?;
        Ok(())
    }

    /// Leaves.
    #[wasm_bindgen(skip_typescript)]
    pub fn leave(&self) -> Promise {
        let runtime = match self.runtime() {
            Ok(runtime) => runtime,
            Err(_) => return Promise::resolve(&JsValue::UNDEFINED),
        };
        let id = self.id.clone();
        let left = runtime.call(|core, now| core.leave(now, &id));
        future_to_promise(async move {
            let left = JsFuture::from(left).await;
            if runtime.look(|core| core.threads().get(&id).is_none()) == Some(true) {
                runtime.forget_thread(&id);
            }
            left
        })
    }
}

emitter!(Thread, EVENTS);
