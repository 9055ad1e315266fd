//! Sends whose content is still being read, and those that wait behind them.

use js_sys::{Function, Promise};
use peerloom_core::client::Client;
use peerloom_core::link::Receipt;
use peerloom_core::time::Time;
use peerloom_core::wire::Body;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

use super::Runtime;
use crate::value::{self, Packed};

/// What a send does once its content is there.
type Start = Box<dyn FnOnce(&mut Client, Time, Body) -> Receipt>;

/// A send whose content is not there yet, or that waits behind one.
pub(super) struct Job {
    packed: Packed,
    start: Start,
    resolve: Function,
    pub(super) reject: Function,
}

impl Runtime {
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
}
