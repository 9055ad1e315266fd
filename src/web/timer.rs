//! One timer that is set to the earliest moment at which the core has something to do.

use std::cell::Cell;

use js_sys::Function;
use peerloom_core::time::Time;
use wasm_bindgen::prelude::*;

use super::now;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(function: &Function, milliseconds: f64) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(timer: &JsValue);
}

/// A timer with one function.
pub(crate) struct Timer {
    function: Closure<dyn FnMut()>,
    set: Cell<Option<Time>>,
    handle: Cell<JsValue>,
}

impl Timer {
    /// A timer that is not set.
    pub(crate) fn new(function: impl FnMut() + 'static) -> Self {
        Self {
            function: Closure::new(function),
            set: Cell::new(None),
            handle: Cell::new(JsValue::UNDEFINED),
        }
    }

    /// Sets it, unless it fires early enough already.
    pub(crate) fn set(&self, time: Option<Time>) {
        let Some(time) = time else { return };
        if self.set.get().is_some_and(|set| set <= time) {
            return;
        }
        self.clear();
        self.set.set(Some(time));
        let function: &Function = self.function.as_ref().unchecked_ref();
        self.handle.set(set_timeout(function, (time - now()) as f64));
    }

    /// It has fired.
    pub(crate) fn fired(&self) {
        self.set.set(None);
    }

    /// Stops it.
    pub(crate) fn clear(&self) {
        if self.set.take().is_some() {
            clear_timeout(&self.handle.replace(JsValue::UNDEFINED));
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Runs something after the browser's present task and its promises.
pub(crate) fn soon(function: impl FnOnce() + 'static) {
    let function = Closure::once_into_js(function);
    set_timeout(function.unchecked_ref(), 0.0);
}
