//! `Client`: this page's session with a signalling server. `js/index.js` wraps it, so that a client can be made before
//! the wasm is loaded.

use std::rc::Rc;

use js_sys::{Array, Function, Map, Promise};
use peerloom_core::Code;
use peerloom_core::wire::{Name, ThreadId};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise, spawn_local};

use crate::events;
use crate::options::{self, ClientOptions, RequestOptions, ThreadOptions};
use crate::runtime::Runtime;
use crate::{error, value, web};

/// The events of a client.
pub(crate) const EVENTS: &[&str] = &["state", "message", "connection", "offer", "presence", "error"];

/// This page's session with a signalling server.
#[wasm_bindgen(skip_typescript)]
pub struct Client {
    runtime: Rc<Runtime>,
}

#[wasm_bindgen]
impl Client {
    /// A client that is not open. `socket` is one to the server that was made while the wasm came. Throws
    /// `invalid_option` or `invalid_name`.
    #[wasm_bindgen(constructor, skip_typescript)]
    pub fn new(options: &JsValue, socket: Option<web_sys::WebSocket>) -> Result<Client, JsValue> {
        Ok(Self {
            runtime: Runtime::new(ClientOptions::parse(options)?, socket)?,
        })
    }

    /// The id, or an empty string while it is not known.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn id(&self) -> String {
        self.runtime
            .look(|core| core.id().map(|id| id.as_str().to_owned()))
            .flatten()
            .unwrap_or_default()
    }

    /// `"idle"`, `"connecting"`, `"online"`, `"recovering"` or `"closed"`.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn state(&self) -> String {
        self.runtime
            .look(|core| core.state().as_str())
            .unwrap_or("closed")
            .into()
    }

    /// The client's own user data.
    #[wasm_bindgen(getter, js_name = userData, skip_typescript)]
    pub fn user_data(&self) -> JsValue {
        let text = self.runtime.look(|core| core.user_data().cloned()).flatten();
        value::user_data_value(text.as_ref())
    }

    /// The ICE servers of its links: those given, else what the server handed out; undefined while there are none.
    #[wasm_bindgen(getter, js_name = iceServers, skip_typescript)]
    pub fn ice_servers(&self) -> JsValue {
        self.runtime.ice_servers()
    }

    /// Every peer that there is a reason for a link to.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn peers(&self) -> Map {
        let map = Map::new();
        for seat in self.runtime.active_peers() {
            let id = self.runtime.look(|core| core.peer_id(seat.key).clone());
            map.set(&id.as_ref().map_or("", |id| id.as_str()).into(), &seat.wrapper);
        }
        map
    }

    /// The threads that are joined.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn threads(&self) -> Map {
        let map = Map::new();
        for seat in self.runtime.threads() {
            map.set(&seat.id().as_str().into(), &seat.wrapper);
        }
        map
    }

    /// Connects.
    #[wasm_bindgen(skip_typescript)]
    pub fn open(&self) -> Promise {
        self.runtime.open()
    }

    /// Who takes connections that carry files: `js/files.js`.
    #[wasm_bindgen(js_name = takeOffers, skip_typescript)]
    pub fn take_offers(&self, taker: Function) {
        self.runtime.take_offers(taker);
    }

    /// Tells the page of an offer. Returns whether anybody listens.
    #[wasm_bindgen(js_name = emitOffer, skip_typescript)]
    pub fn emit_offer(&self, offer: &JsValue) -> bool {
        self.runtime.listeners.offer(offer)
    }

    /// The peer of that id.
    #[wasm_bindgen(skip_typescript)]
    pub fn peer(&self, id: &str) -> Result<JsValue, JsValue> {
        let id = options::id(id)?;
        let key = self.runtime.input(|core, _| core.peer(&id))?;
        Ok(self.runtime.peer(key).wrapper.clone())
    }

    /// Joins a thread.
    #[wasm_bindgen(skip_typescript)]
    pub fn thread(&self, id: Option<String>, options: JsValue) -> Promise {
        let parsed = || -> Result<_, JsValue> {
            let options = ThreadOptions::parse(&options)?;
            let id = id.map_or_else(|| Ok(unguessable()), |id| options::thread_id(&id))?;
            let given = !options.user_data.is_undefined();
            let user_data = given.then(|| value::user_data(&options.user_data)).transpose()?;
            Ok((id, user_data, options.media))
        };
        let (id, user_data, media) = match parsed() {
            Ok(parsed) => parsed,
            Err(error) => return Promise::reject(&error),
        };
        let runtime = Rc::clone(&self.runtime);
        let seat = runtime.thread(&id);
        let joined = runtime.call(|core, _| core.join(&id, user_data, media));
        future_to_promise(async move {
            match JsFuture::from(joined).await {
                Ok(_) => {
                    seat.open_gate();
                    Ok(seat.wrapper.clone())
                }
                Err(error) => {
                    if runtime.look(|core| core.threads().get(&id).is_none()) == Some(true) {
                        runtime.forget_thread(&id);
                    }
                    Err(error)
                }
            }
        })
    }

    /// Adds tags.
    #[wasm_bindgen(skip_typescript)]
    pub fn tag(&self, tags: Array) -> Result<(), JsValue> {
        let tags = names(&tags, "the tag")?;
        self.runtime.input(|core, _| core.tag(tags))
    }

    /// Removes tags.
    #[wasm_bindgen(skip_typescript)]
    pub fn untag(&self, tags: Array) -> Result<(), JsValue> {
        let tags = names(&tags, "the tag")?;
        self.runtime.input(|core, _| core.untag(&tags))
    }

    /// Asks for presence.
    #[wasm_bindgen(skip_typescript)]
    pub fn watch(&self, watched: Array) -> Result<(), JsValue> {
        let watched = names(&watched, "the name")?;
        self.runtime.input(|core, _| core.watch(watched))
    }

    /// Ends that.
    #[wasm_bindgen(skip_typescript)]
    pub fn unwatch(&self, watched: Array) -> Result<(), JsValue> {
        let watched = names(&watched, "the name")?;
        self.runtime.input(|core, _| core.unwatch(&watched))
    }

    /// Changes the client's own user data.
    #[wasm_bindgen(js_name = setUserData, skip_typescript)]
    pub fn set_user_data(&self, user_data: &JsValue) -> Result<(), JsValue> {
        let user_data = value::user_data(user_data)?;
        self.runtime.input(|core, _| core.set_user_data(user_data))
    }

    /// Sends to ids and tags.
    #[wasm_bindgen(skip_typescript)]
    pub fn send(&self, to: &JsValue, name: &str, data: &JsValue) -> Promise {
        let parsed = || -> Result<_, JsValue> {
            let to = match to.as_string() {
                Some(to) => vec![options::name(&to, "the receiver's name")?],
                None if Array::is_array(to) => names(&Array::from(to), "the receiver's name")?,
                None => {
                    return Err(error::new(
                        Code::InvalidOption,
                        "`to` takes an id, a tag, or an array of these",
                    ));
                }
            };
            Ok((to, options::name(name, "the message's name")?))
        };
        match parsed() {
            Ok((to, name)) => self
                .runtime
                .send(data, move |core, now, body| core.send_named(now, &to, name, body)),
            Err(error) => Promise::reject(&error),
        }
    }

    /// Asks one client.
    #[wasm_bindgen(skip_typescript)]
    pub fn request(&self, to: &str, name: &str, data: &JsValue, options: JsValue) -> Promise {
        let parsed = || -> Result<_, JsValue> {
            let options = RequestOptions::parse(&options)?;
            let to = options::name(to, "the receiver's name")?;
            Ok((
                to,
                options::name(name, "the request's name")?,
                options.timeout,
                options.signal,
            ))
        };
        let (to, name, timeout, signal) = match parsed() {
            Ok(parsed) => parsed,
            Err(error) => return Promise::reject(&error),
        };
        let receipt = Rc::new(std::cell::Cell::new(None));
        let noted = Rc::clone(&receipt);
        let answer = self.runtime.send(data, move |core, now, body| {
            let receipt = core.request(now, &to, name, body, timeout);
            noted.set(Some(receipt));
            receipt
        });
        if signal.is_undefined() || signal.is_null() {
            return answer;
        }
        let runtime = Rc::downgrade(&self.runtime);
        let abort = Closure::<dyn FnMut() -> JsValue>::new(move || {
            if let (Some(runtime), Some(receipt)) = (runtime.upgrade(), receipt.get()) {
                let _ = runtime.input(|core, _| core.cancel(receipt));
            }
            error::new(Code::Aborted, "")
        });
        let ended = events::abortable(&signal, &answer, abort.as_ref());
        spawn_local(async move {
            // It is needed for as long as there may be something to abort.
            let _ = JsFuture::from(answer).await;
            drop(abort);
        });
        ended
    }

    /// Answers requests of that name.
    #[wasm_bindgen(skip_typescript)]
    pub fn handle(&self, name: &str, handler: &JsValue) -> Result<(), JsValue> {
        let name = options::name(name, "the request's name")?;
        let Some(handler) = handler.dyn_ref::<Function>() else {
            return Err(error::new(Code::InvalidOption, "a handler must be a function"));
        };
        self.runtime.handle(name, handler.clone());
        Ok(())
    }

    /// No longer answers requests of that name, if this is still the handler.
    #[wasm_bindgen(skip_typescript)]
    pub fn unhandle(&self, name: &str, handler: &Function) -> Result<(), JsValue> {
        self.runtime
            .unhandle(&options::name(name, "the request's name")?, handler);
        Ok(())
    }

    /// Brings a fault about.
    #[wasm_bindgen(skip_typescript)]
    pub fn simulate(&self, fault: &str, options: &JsValue) -> Promise {
        match self.runtime.simulate(fault, options) {
            Ok(promise) => promise,
            Err(error) => Promise::reject(&error),
        }
    }

    /// Leaves everything.
    #[wasm_bindgen(skip_typescript)]
    pub fn close(&self) -> Result<(), JsValue> {
        // What belongs to it is released when it has said so, whatever is simulated.
        self.runtime.calm_down();
        self.runtime.input(|core, _| core.close())
    }

    /// Adds a listener.
    #[wasm_bindgen(skip_typescript)]
    pub fn on(&self, name: &str, listener: &JsValue, once: bool) -> Result<(), JsValue> {
        self.runtime
            .listeners
            .add(&JsValue::UNDEFINED, name, listener, once)?;
        Ok(())
    }

    /// Removes it.
    #[wasm_bindgen(skip_typescript)]
    pub fn off(&self, name: &str, listener: &JsValue) -> Result<(), JsValue> {
        self.runtime.listeners.remove(name, listener)
    }
}

#[cfg(debug_assertions)]
impl Client {
    /// Panics in the middle of an input, for the test of what comes of it.
    #[doc(hidden)]
    pub fn panic_inside(&self) {
        let _ = self.runtime.input(|_, _| panic!("asked for by a test"));
    }
}

fn names(array: &Array, what: &str) -> Result<Vec<Name>, JsValue> {
    array
        .iter()
        .map(|value| match value.as_string() {
            Some(text) => options::name(&text, what),
            None => Err(error::new(Code::InvalidName, &format!("{what} is not a string"))),
        })
        .collect()
}

/// A thread's id that nobody can guess: 130 bits.
fn unguessable() -> ThreadId {
    let text: String = web::random::<26>()
        .iter()
        .map(|byte| web::letter(*byte))
        .collect();
    // 26 letters are always a name.
    ThreadId::new(&text).unwrap_or_else(|_| unguessable())
}
