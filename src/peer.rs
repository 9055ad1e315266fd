//! `Peer`: another client, as seen from here.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use js_sys::Promise;
use peerloom_core::Code;
use peerloom_core::client::{PeerKey, Terms};
use peerloom_core::wire::{JsonText, Manifest};
use wasm_bindgen::prelude::*;

use crate::events::{Listeners, emitter};
use crate::runtime::Runtime;
use crate::{error, options, value};

const EVENTS: &[&str] = &["state", "message", "update"];

/// What belongs to one peer and lives as long as its client: the one `Peer` object, and its listeners.
pub(crate) struct PeerSeat {
    pub(crate) wrapper: JsValue,
    pub(crate) listeners: Rc<Listeners>,
    pub(crate) key: PeerKey,
    user_data: RefCell<Option<(JsonText, JsValue)>>,
}

impl PeerSeat {
    pub(crate) fn new(runtime: Weak<Runtime>, key: PeerKey, id: &str) -> Self {
        Self {
            wrapper: Peer {
                runtime,
                key,
                id: id.into(),
            }
            .into(),
            listeners: Rc::new(Listeners::new(EVENTS)),
            key,
            user_data: RefCell::default(),
        }
    }

    /// The same value for the same user data, so that pages can compare.
    fn user_data(&self, text: Option<JsonText>) -> JsValue {
        let mut cached = self.user_data.borrow_mut();
        match (text, &*cached) {
            (None, _) => JsValue::UNDEFINED,
            (Some(text), Some((known, value))) if *known == text => value.clone(),
            (Some(text), _) => {
                let value = value::user_data_value(Some(&text));
                *cached = Some((text, value.clone()));
                value
            }
        }
    }
}

/// Another client, as seen from here; owns the one link to it.
#[wasm_bindgen(skip_typescript)]
pub struct Peer {
    runtime: Weak<Runtime>,
    key: PeerKey,
    id: JsValue,
}

impl Peer {
    fn seat(&self) -> Option<Rc<PeerSeat>> {
        self.runtime.upgrade().map(|runtime| runtime.peer(self.key))
    }
}

#[wasm_bindgen]
impl Peer {
    /// The peer's id.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn id(&self) -> JsValue {
        self.id.clone()
    }

    /// `"offline"`, `"connecting"`, `"live"`, `"recovering"` or `"relayed"`.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn state(&self) -> String {
        let state = self
            .runtime
            .upgrade()
            .and_then(|runtime| runtime.look(|core| core.peer_state(self.key)));
        state.map_or("offline", |state| state.as_str()).into()
    }

    /// The peer's own user data.
    #[wasm_bindgen(getter, js_name = userData, skip_typescript)]
    pub fn user_data(&self) -> JsValue {
        let Some(runtime) = self.runtime.upgrade() else {
            return JsValue::UNDEFINED;
        };
        let text = runtime.look(|core| core.peer_info(self.key).and_then(|info| info.user_data.clone()));
        runtime.peer(self.key).user_data(text.flatten())
    }

    /// Resolves when the other side has it.
    #[wasm_bindgen(skip_typescript)]
    pub fn send(&self, data: &JsValue) -> Promise {
        let key = self.key;
        match self.runtime.upgrade() {
            Some(runtime) => runtime.send(data, move |core, now, body| core.send(now, key, body)),
            None => Promise::reject(&error::new(Code::Closed, "")),
        }
    }

    /// Asks for a connection.
    #[wasm_bindgen(skip_typescript)]
    pub fn connect(&self, options: &JsValue) -> Result<JsValue, JsValue> {
        let terms = options::terms(options)?;
        let runtime = self
            .runtime
            .upgrade()
            .ok_or_else(|| error::new(Code::Closed, ""))?;
        runtime.connect(self.key, terms)
    }

    /// Offers what `manifest`, JSON text, tells of: a connection that carries files.
    #[wasm_bindgen(js_name = offering, skip_typescript)]
    pub fn offering(&self, manifest: &str) -> Result<JsValue, JsValue> {
        let manifest = Manifest::new(manifest)
            .ok_or_else(|| error::new(Code::TooLarge, "names of more files than fit into an offer"))?;
        let runtime = self
            .runtime
            .upgrade()
            .ok_or_else(|| error::new(Code::Closed, ""))?;
        runtime.connect(self.key, Terms::offer(manifest))
    }

    /// How the link is doing.
    #[wasm_bindgen(skip_typescript)]
    pub fn stats(&self) -> Promise {
        match self.runtime.upgrade() {
            Some(runtime) => runtime.stats(self.key),
            None => Promise::reject(&error::new(Code::Closed, "")),
        }
    }
}

emitter!(Peer, EVENTS);
