//! One timer that is set to the earliest moment at which the core has something to do.

use std::cell::Cell;
use std::rc::Rc;

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

#[wasm_bindgen(module = "/js/runtime.js")]
extern "C" {
    type Task;
    #[wasm_bindgen(constructor)]
    fn new(run: &Function) -> Task;
    #[wasm_bindgen(method)]
    fn post(this: &Task);
    #[wasm_bindgen(method)]
    fn end(this: &Task);
}

/// A function that runs in a task of its own, after those that wait already.
pub(crate) struct Afterwards {
    task: Task,
    _function: Closure<dyn FnMut()>,
    posted: Rc<Cell<bool>>,
}

impl Afterwards {
    /// Not asked for yet.
    pub(crate) fn new(mut function: impl FnMut() + 'static) -> Self {
        let posted = Rc::new(Cell::new(false));
        let runs = Rc::clone(&posted);
        let function: Closure<dyn FnMut()> = Closure::new(move || {
            runs.set(false);
            function();
        });
        Self {
            task: Task::new(function.as_ref().unchecked_ref()),
            _function: function,
            posted,
        }
    }

    /// Asks for one run; asking again before it is needless.
    pub(crate) fn post(&self) {
        if !self.posted.replace(true) {
            self.task.post();
        }
    }
}

impl Drop for Afterwards {
    fn drop(&mut self) {
        self.task.end();
    }
}

/// Runs something after the browser's present task and its promises.
pub(crate) fn soon(function: impl FnOnce() + 'static) {
    after(0, function);
}

/// Runs something after so many milliseconds.
pub(crate) fn after(milliseconds: u64, function: impl FnOnce() + 'static) {
    let function = Closure::once_into_js(function);
    set_timeout(function.unchecked_ref(), milliseconds as f64);
}
