//! What the page goes through: the network goes, comes back or is another one, the page is shown again, or goes away.

use gloo_events::EventListener;
use wasm_bindgen::JsCast;

/// Listens to the page for as long as it lives.
pub(crate) struct Page {
    _listeners: Vec<EventListener>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageEvent {
    /// The network is back, gone, or another one, or the page is shown again: what waits for a retry need not wait any
    /// longer, and what seems to be well may not be.
    Changed,
    /// The page goes away for good.
    Gone,
}

impl Page {
    /// Begins to listen; `None` outside of a page (a worker).
    pub(crate) fn new(on_event: impl Fn(PageEvent) + Clone + 'static) -> Self {
        let mut listeners = Vec::new();
        if let Some(window) = web_sys::window() {
            for name in ["online", "offline", "pageshow"] {
                let on_event = on_event.clone();
                listeners.push(EventListener::new(&window, name, move |_| {
                    on_event(PageEvent::Changed)
                }));
            }
            // Not in every browser: `navigator.connection`.
            let network = js_sys::Reflect::get(&window.navigator(), &"connection".into());
            if let Some(network) = network.ok().and_then(|network| network.dyn_into().ok()) {
                let network: web_sys::EventTarget = network;
                let on_event = on_event.clone();
                listeners.push(EventListener::new(&network, "change", move |_| {
                    on_event(PageEvent::Changed)
                }));
            }
            let on_hide = on_event.clone();
            listeners.push(EventListener::new(&window, "pagehide", move |event| {
                // A page that the browser keeps for the back button may come back.
                let kept =
                    js_sys::Reflect::get(event, &"persisted".into()).is_ok_and(|kept| kept.is_truthy());
                if !kept {
                    on_hide(PageEvent::Gone);
                }
            }));
            if let Some(document) = window.document() {
                let target: web_sys::EventTarget = document.clone().unchecked_into();
                listeners.push(EventListener::new(&target, "visibilitychange", move |_| {
                    if document.visibility_state() == web_sys::VisibilityState::Visible {
                        on_event(PageEvent::Changed);
                    }
                }));
            }
        }
        Self {
            _listeners: listeners,
        }
    }
}
