//! Listeners and their delivery. Nothing else calls the page's functions.
//!
//! What a listener throws is reported as an uncaught error of the page, and the others still run. A listener that was
//! removed by an earlier one of the same event is not called any more.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Function, Promise};
use peerloom_core::Code;
use wasm_bindgen::prelude::*;

use crate::error;

#[wasm_bindgen(module = "/js/runtime.js")]
extern "C" {
    /// Ends a listener.
    fn unsubscriber(emitter: &JsValue, name: &str, listener: &Function) -> Function;
    fn report(error: &JsValue);
    /// An argument of `message` events.
    pub(crate) fn message(from: &JsValue, name: Option<&str>, data: &JsValue) -> JsValue;
    /// An argument of a thread's `message` events.
    #[wasm_bindgen(js_name = threadMessage)]
    pub(crate) fn thread_message(from: &JsValue, data: &JsValue) -> JsValue;
    /// An argument of `leave` events.
    pub(crate) fn left(member: &JsValue, reason: &str) -> JsValue;
    /// An argument of `presence` events.
    pub(crate) fn presence(id: &str, tag: Option<&str>, online: bool) -> JsValue;
    /// A member of a thread.
    pub(crate) fn member(id: &str, user_data: &JsValue, media: &JsValue, peer: &JsValue) -> JsValue;
    /// A promise that ends like `promise`, or with the error that `abort` returns once `signal` is aborted.
    pub(crate) fn abortable(signal: &JsValue, promise: &Promise, abort: &JsValue) -> Promise;
    /// An argument of `close` events.
    pub(crate) fn closed(reason: &str) -> JsValue;
    /// Media that are allowed.
    pub(crate) fn media(audio: bool, video: bool) -> JsValue;
}

#[derive(Clone)]
struct Listener {
    name: &'static str,
    function: Function,
    once: bool,
}

/// The listeners of one object.
pub(crate) struct Listeners {
    names: &'static [&'static str],
    table: RefCell<Rc<Vec<Listener>>>,
}

impl Listeners {
    /// For an object that has these events.
    pub(crate) fn new(names: &'static [&'static str]) -> Self {
        Self {
            names,
            table: RefCell::default(),
        }
    }

    fn name(&self, name: &str) -> Result<&'static str, JsValue> {
        self.names
            .iter()
            .copied()
            .find(|known| *known == name)
            .ok_or_else(|| {
                let detail = format!(
                    "there is no event \"{name}\" here; there are {}",
                    self.names.join(", ")
                );
                error::new(Code::InvalidOption, &detail)
            })
    }

    /// Adds a listener and returns the function that removes it.
    pub(crate) fn add(
        &self,
        emitter: &JsValue,
        name: &str,
        function: &JsValue,
        once: bool,
    ) -> Result<Function, JsValue> {
        let name = self.name(name)?;
        let Some(function) = function.dyn_ref::<Function>() else {
            return Err(error::new(Code::InvalidOption, "a listener must be a function"));
        };
        Rc::make_mut(&mut *self.table.borrow_mut()).push(Listener {
            name,
            function: function.clone(),
            once,
        });
        Ok(unsubscriber(emitter, name, function))
    }

    /// Removes a listener, or all of that event.
    pub(crate) fn remove(&self, name: &str, function: &JsValue) -> Result<(), JsValue> {
        let name = self.name(name)?;
        let all = function.is_undefined();
        Rc::make_mut(&mut *self.table.borrow_mut())
            .retain(|listener| listener.name != name || !(all || *function == **listener.function));
        Ok(())
    }

    /// Removes all.
    pub(crate) fn clear(&self) {
        *self.table.borrow_mut() = Rc::default();
    }

    /// Whether anybody listens.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.table.borrow().iter().any(|listener| listener.name == name)
    }

    /// Calls the listeners of `name`.
    pub(crate) fn emit(&self, name: &'static str, argument: &JsValue) {
        // The table as it is now is shared, not copied, unless a listener changes it meanwhile.
        let table = Rc::clone(&self.table.borrow());
        for listener in table.iter().filter(|listener| listener.name == name) {
            let changed = !Rc::ptr_eq(&table, &self.table.borrow());
            let is_same = |other: &Listener| other.name == name && other.function == listener.function;
            if changed && !self.table.borrow().iter().any(is_same) {
                continue;
            }
            if listener.once {
                let mut first = true;
                Rc::make_mut(&mut *self.table.borrow_mut()).retain(|other| {
                    let this =
                        first && other.once && other.name == name && other.function == listener.function;
                    first &= !this;
                    !this
                });
            }
            call(&listener.function, argument);
        }
    }

    /// The same; returns whether anybody listens.
    pub(crate) fn offer(&self, argument: &JsValue) -> bool {
        let listens = self.has("offer");
        self.emit("offer", argument);
        listens
    }
}

/// Calls a function of the page's, or of what stands between it and this.
pub(crate) fn call(function: &Function, argument: &JsValue) {
    if let Err(thrown) = function.call1(&JsValue::UNDEFINED, argument) {
        report(&thrown);
    }
}

/// Calls a handler of requests; what it returns may be a promise.
pub(crate) fn call_handler(function: &Function, data: &JsValue, from: &JsValue) -> Result<JsValue, JsValue> {
    function.call2(&JsValue::UNDEFINED, data, from)
}

/// An event's name from the page; what is no string is the name of no event.
pub(crate) fn name(name: &JsValue) -> String {
    name.as_string().unwrap_or_default()
}

/// The three methods that every object with events has. It has a `wrapper()` and `listeners()`, or a `seat()` with both
/// unless the client is gone.
macro_rules! emitter {
    ($class:ident, $events:expr) => {
        impl $class {
            fn wrapper(&self) -> JsValue {
                self.seat()
                    .map_or(JsValue::UNDEFINED, |seat| seat.wrapper.clone())
            }

            fn listeners(&self) -> std::rc::Rc<$crate::events::Listeners> {
                self.seat().map_or_else(
                    || std::rc::Rc::new($crate::events::Listeners::new($events)),
                    |seat| std::rc::Rc::clone(&seat.listeners),
                )
            }
        }

        $crate::events::emitter!($class);
    };
    ($class:ident) => {
        #[wasm_bindgen]
        impl $class {
            /// Calls `listener` at every `name` event; returns the function that ends that.
            #[wasm_bindgen(skip_typescript)]
            pub fn on(&self, name: &JsValue, listener: &JsValue) -> Result<js_sys::Function, JsValue> {
                self.listeners().add(
                    &self.wrapper(),
                    &$crate::events::name(name),
                    listener,
                    false,
                )
            }

            /// Calls `listener` at the next `name` event only.
            #[wasm_bindgen(skip_typescript)]
            pub fn once(&self, name: &JsValue, listener: &JsValue) -> Result<js_sys::Function, JsValue> {
                self.listeners()
                    .add(&self.wrapper(), &$crate::events::name(name), listener, true)
            }

            /// Ends what `on` or `once` began; without `listener`, for all listeners of `name`.
            #[wasm_bindgen(skip_typescript)]
            pub fn off(&self, name: &JsValue, listener: &JsValue) -> Result<(), JsValue> {
                self.listeners()
                    .remove(&$crate::events::name(name), listener)
            }
        }
    };
}
pub(crate) use emitter;
