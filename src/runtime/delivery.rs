//! Tells the page: events, messages, requests.

use std::rc::Rc;

use js_sys::Promise;
use peerloom_core::Error;
use peerloom_core::client::{Asker, ClientState, ConnectionKey, Event, Output, PeerKey, Terms};
use peerloom_core::wire::{Body, Name, Outcome};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::Runtime;
use crate::connection::ConnectionSeat;
use crate::value::{self, Packed};
use crate::{error, events};

/// Messages that are read together, at most.
const RUN: usize = 1024;

impl Runtime {
    pub(super) fn deliver(&self, event: Event) {
        match event {
            Event::State(state) => {
                self.listeners.emit("state", &state.as_str().into());
                if state == ClientState::Closed {
                    self.release();
                    self.silence();
                }
            }
            Event::PeerState(key, state) => self.peer(key).listeners.emit("state", &state.as_str().into()),
            Event::PeerUpdated(key) => {
                let seat = self.peer(key);
                seat.listeners.emit("update", &seat.wrapper);
            }
            Event::Message(..) | Event::ThreadMessage(..) => self.deliver_messages(event),
            Event::Request(asker, name, body) => self.handle_request(asker, &name, &body),
            Event::Thread(thread, key, change) => {
                let Some(seat) = self.threads.borrow().get(&thread).cloned() else {
                    return;
                };
                seat.change(&self.peer(key), &change);
            }
            Event::ThreadEnded(thread, error) => {
                self.forget_thread(&thread);
                self.report(&error);
            }
            Event::Presence { id, tag, online } => {
                if self.listeners.has("presence") {
                    let tag = tag.as_ref().map(Name::as_str);
                    self.listeners
                        .emit("presence", &events::presence(id.as_str(), tag, online));
                }
            }
            Event::Connection(key, terms) => self.deliver_connection(key, terms),
            Event::ConnectionOpen(key) => self.with_connection(key, ConnectionSeat::opened),
            Event::ConnectionRoom(key) => self.with_connection(key, ConnectionSeat::has_room),
            Event::ConnectionPiece(key, piece) => self.with_connection(key, |seat| seat.received(&piece)),
            Event::ConnectionError(key, error) => self.with_connection(key, |seat| seat.failed(&error)),
            Event::ConnectionClosed(key, code, reason) => {
                let seat = self.sessions.borrow_mut().remove(&key);
                if let Some(seat) = seat {
                    seat.ended(code, &reason);
                }
            }
            Event::Error(error) => self.report(&error),
        }
    }

    fn with_connection(&self, key: ConnectionKey, act: impl FnOnce(&Rc<ConnectionSeat>)) {
        let seat = self.sessions.borrow().get(&key).cloned();
        if let Some(seat) = seat {
            act(&seat);
        }
    }

    /// A peer asks for a connection. Where nobody listens, nobody would ever answer.
    fn deliver_connection(&self, key: ConnectionKey, terms: Terms) {
        let taker = terms.manifest.as_ref().and_then(|_| self.offer_taker());
        if let Some(taker) = taker {
            let seat = self.connection(key, terms);
            events::call(&taker, &seat.wrapper());
        } else if terms.manifest.is_none() && self.listeners.has("connection") {
            let seat = self.connection(key, terms);
            self.listeners.emit("connection", &seat.wrapper());
        } else if let Ok(reason) = Name::new("unhandled") {
            let _ = self.input(|core, now| core.close_connection(now, key, reason));
        }
    }

    fn report(&self, error: &Error) {
        if self.listeners.has("error") {
            self.listeners.emit("error", &error::from_core(error));
        }
    }

    /// Delivers a message, and with it those of the same sender that follow it in the queue: JSON is read together.
    fn deliver_messages(&self, first: Event) {
        let sender = json_message(&first).map(|(key, _)| key);
        let mut run = vec![first];
        if sender.is_some() {
            let mut outputs = self.outputs.borrow_mut();
            while run.len() < RUN
                && let Some(Output::Event(event)) =
                    outputs.pop_front_if(|output| is_json_message_from(output, sender))
            {
                run.push(event);
            }
        }
        let texts: Vec<&str> = run
            .iter()
            .filter_map(json_message)
            .map(|(_, text)| text)
            .collect();
        let values = if texts.len() > 1 {
            value::unpack_all(&texts)
        } else {
            None
        };
        for (index, event) in (0..).zip(&run) {
            self.deliver_message(event, values.as_ref().map(|values| values.get(index)));
        }
    }

    /// `value` is the body's, if it is known already.
    fn deliver_message(&self, event: &Event, value: Option<JsValue>) {
        let read = |body| value.map_or_else(|| value::unpack(body), Ok);
        match event {
            Event::Message(key, name, body) => {
                let seat = self.peer(*key);
                let here = self.listeners.has("message");
                if !here && !seat.listeners.has("message") {
                    return;
                }
                match read(body) {
                    Ok(data) => {
                        let message = events::message(&seat.wrapper, name.as_ref().map(Name::as_str), &data);
                        seat.listeners.emit("message", &message);
                        self.listeners.emit("message", &message);
                    }
                    Err(error) => self.report(&error),
                }
            }
            Event::ThreadMessage(thread, key, body) => {
                let Some(seat) = self.threads.borrow().get(thread).cloned() else {
                    return;
                };
                match read(body) {
                    Ok(data) => seat.message(*key, &data),
                    Err(error) => self.report(&error),
                }
            }
            _ => {}
        }
    }

    fn handle_request(&self, asker: Asker, name: &Name, body: &Body) {
        let handler = self.handlers.borrow().get(name).cloned();
        let Some(handler) = handler else {
            let _ = self.input(|core, now| core.reply(now, asker, Outcome::Unhandled));
            return;
        };
        let Ok(data) = value::unpack(body) else {
            let outcome = Outcome::Failed("the request's content can't be read".into());
            let _ = self.input(|core, now| core.reply(now, asker, outcome));
            return;
        };
        let returned = events::call_handler(&handler, &data, &self.peer(asker.peer()).wrapper);
        let Some(this) = self.this.upgrade() else { return };
        spawn_local(async move {
            let settled = match returned {
                Ok(value) => JsFuture::from(Promise::resolve(&value)).await,
                Err(thrown) => Err(thrown),
            };
            let body = match settled {
                Ok(value) => match value::pack(&value) {
                    Ok(Packed::Ready(body)) => Ok(body),
                    Ok(Packed::Pending(promise)) => value::filled(promise).await,
                    Err(error) => Err(error),
                },
                Err(thrown) => Err(thrown),
            };
            let outcome = match body {
                Ok(body) => Outcome::Done(body),
                Err(thrown) => Outcome::Failed(error::message(&thrown)),
            };
            let _ = this.input(|core, now| core.reply(now, asker, outcome));
        });
    }
}

/// The sender and the text of a message whose body is JSON.
fn json_message(event: &Event) -> Option<(PeerKey, &str)> {
    match event {
        Event::Message(key, _, Body::Json(text)) | Event::ThreadMessage(_, key, Body::Json(text)) => {
            Some((*key, text))
        }
        _ => None,
    }
}

fn is_json_message_from(output: &Output, sender: Option<PeerKey>) -> bool {
    match output {
        Output::Event(event) => json_message(event).is_some_and(|(key, _)| Some(key) == sender),
        _ => false,
    }
}
