//! Faults brought about on purpose, so that pages can test what they do then. Each happens between the core and the
//! browser: the core finds out about it and recovers as it would from the real thing.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use js_sys::Promise;
use peerloom_core::Code;
use peerloom_core::client::{Channel, Client, PeerKey};
use peerloom_core::negotiation::{Command, Done};
use peerloom_core::time::Time;
use peerloom_core::wire::CloseCode;
use wasm_bindgen::prelude::*;

use super::Runtime;
use crate::web::{self, SocketEvent};
use crate::{error, options};

/// What can be simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    SignallingDrop,
    HalfOpenSocket,
    ServerAway,
    ServerDrain,
    ServerBusy,
    ResumeRefused,
    IdLost,
    IceDisconnect,
    IceFailure,
    IceRestart,
    SilentPath,
    ChannelClose,
    LinkRebuild,
    RelayOnly,
    NegotiationFailure,
    SlowNetwork,
    DoubledFrames,
    Offline,
    NetworkChange,
    Sleep,
}

impl Fault {
    /// Their names, and for how many milliseconds they last unless the page says otherwise.
    const ALL: [(&str, Self, u64); 20] = [
        ("signalling_drop", Self::SignallingDrop, 0),
        ("half_open_socket", Self::HalfOpenSocket, 0),
        ("server_away", Self::ServerAway, 5_000),
        ("server_drain", Self::ServerDrain, 0),
        ("server_busy", Self::ServerBusy, 0),
        ("resume_refused", Self::ResumeRefused, 0),
        ("id_lost", Self::IdLost, 0),
        ("ice_disconnect", Self::IceDisconnect, 3_000),
        ("ice_failure", Self::IceFailure, 0),
        ("ice_restart", Self::IceRestart, 0),
        ("silent_path", Self::SilentPath, 0),
        ("channel_close", Self::ChannelClose, 0),
        ("link_rebuild", Self::LinkRebuild, 0),
        ("relay_only", Self::RelayOnly, 8_000),
        ("negotiation_failure", Self::NegotiationFailure, 0),
        ("slow_network", Self::SlowNetwork, 5_000),
        ("doubled_frames", Self::DoubledFrames, 3_000),
        ("offline", Self::Offline, 5_000),
        ("network_change", Self::NetworkChange, 0),
        ("sleep", Self::Sleep, 5_000),
    ];
}

/// Milliseconds that a slow network adds each way.
const SLOW: u64 = 400;

/// A thing on its way between the core and the browser.
pub(super) enum Held {
    ToChannel(PeerKey, u32, Channel, Vec<u8>),
    FromChannel(PeerKey, u32, Channel, Vec<u8>),
    Drained(PeerKey, u32, Channel),
    ToSocket(Vec<u8>),
    FromSocket(SocketEvent),
}

impl Held {
    fn path(&self) -> Option<(PeerKey, u32)> {
        match self {
            Self::ToChannel(key, generation, ..)
            | Self::FromChannel(key, generation, ..)
            | Self::Drained(key, generation, _) => Some((*key, *generation)),
            Self::ToSocket(_) | Self::FromSocket(_) => None,
        }
    }
}

/// A path that carries nothing.
struct Muted {
    key: PeerKey,
    generation: u32,
    /// Until ICE is negotiated anew; else until there is another one.
    restores: bool,
}

/// What goes wrong at present.
#[derive(Default)]
pub(super) struct Weather {
    /// Something does: looked at first, because mostly nothing does.
    stormy: Cell<bool>,
    /// Nothing gets through until then, and all of it afterwards.
    held_until: Cell<Option<Time>>,
    slow_until: Cell<Option<Time>>,
    queue: RefCell<VecDeque<(Time, Held)>>,
    muted: RefCell<Vec<Muted>>,
    /// What is said over the present socket is not heard.
    socket_muted: Cell<bool>,
    /// The server refuses the next socket.
    refuses: Cell<Option<CloseCode>>,
    unreachable_until: Cell<Option<Time>>,
    no_path_until: Cell<Option<Time>>,
    asleep_until: Cell<Option<Time>>,
    doubles_until: Cell<Option<Time>>,
    browser_refuses: Cell<bool>,
}

fn lasts(until: &Cell<Option<Time>>, now: Time) -> bool {
    until.get().is_some_and(|until| now < until)
}

impl Weather {
    /// Nothing of what is held will be of use, and nothing more is held.
    pub(super) fn clear(&self) {
        self.stormy.set(false);
        self.queue.take();
        self.muted.take();
    }

    /// What is held for a socket is not for the next one.
    pub(super) fn forget_socket(&self) {
        self.queue.borrow_mut().retain(|(_, held)| held.path().is_some());
    }

    /// The connection is closed.
    pub(super) fn forget_path(&self, key: PeerKey, generation: u32) {
        self.queue
            .borrow_mut()
            .retain(|(_, held)| held.path() != Some((key, generation)));
        self.muted
            .borrow_mut()
            .retain(|muted| (muted.key, muted.generation) != (key, generation));
    }

    /// Longer, if it would be shorter.
    fn hold_until(&self, until: Option<Time>) {
        self.held_until.set(self.held_until.get().max(until));
    }

    fn is_muted(&self, key: PeerKey, generation: u32) -> bool {
        let muted = self.muted.borrow();
        muted
            .iter()
            .any(|muted| (muted.key, muted.generation) == (key, generation))
    }

    /// When that gets through; `None`: now.
    fn due(&self, now: Time, held: &Held) -> Option<Time> {
        let queue = self.queue.borrow();
        let due = if held
            .path()
            .is_some_and(|(key, generation)| self.is_muted(key, generation))
        {
            Time(u64::MAX)
        } else if lasts(&self.held_until, now) {
            self.held_until.get()?
        } else if lasts(&self.slow_until, now) {
            now + SLOW
        } else {
            // Behind what was held.
            let mut dues = queue.iter().rev().map(|(due, _)| *due);
            dues.find(|due| due.0 != u64::MAX)?
        };
        Some(due)
    }
}

impl Runtime {
    /// Whether the page is asleep, in this simulation.
    pub(super) fn sleeps(&self) -> bool {
        lasts(&self.weather.asleep_until, web::now())
    }

    /// Nothing is simulated any more: what is held goes its way.
    pub(crate) fn calm_down(&self) {
        if !self.is_calm() {
            for (due, _) in self.weather.queue.borrow_mut().iter_mut() {
                *due = Time(0);
            }
            self.release_held();
            self.weather.clear();
        }
    }

    /// Whether nothing is simulated; if it is, [`Runtime::hold`] has to be asked.
    pub(super) fn is_calm(&self) -> bool {
        !self.weather.stormy.get()
    }

    /// Holds that back, or returns it.
    pub(super) fn hold(&self, held: Held) -> Option<Held> {
        let to_socket = matches!(held, Held::ToSocket(_) | Held::FromSocket(_));
        if to_socket && self.weather.socket_muted.get() {
            return None;
        }
        let now = web::now();
        match self.weather.due(now, &held) {
            None => Some(held),
            Some(due) => {
                self.weather.queue.borrow_mut().push_back((due, held));
                if due.0 != u64::MAX {
                    self.release_at(due);
                }
                None
            }
        }
    }

    fn release_at(&self, due: Time) {
        let this = self.this.clone();
        web::after((due - web::now()) + 1, move || {
            if let Some(this) = this.upgrade() {
                this.release_held();
            }
        });
    }

    /// Lets through what is due, in order. What comes of it meanwhile waits behind the rest.
    fn release_held(&self) {
        let now = web::now();
        loop {
            let held = {
                let mut queue = self.weather.queue.borrow_mut();
                let next = queue.iter().position(|(due, _)| *due <= now);
                next.and_then(|index| queue.remove(index))
            };
            let Some((_, held)) = held else { return };
            self.let_through(held);
        }
    }

    fn let_through(&self, held: Held) {
        match held {
            Held::ToChannel(key, generation, channel, frame) => {
                self.channel_send(key, generation, channel, &frame);
            }
            Held::FromChannel(key, generation, channel, frame) => {
                let _ = self.input(|core, now| core.channel_received(now, key, generation, channel, &frame));
            }
            Held::Drained(key, generation, channel) => self.await_drained(key, generation, channel),
            Held::ToSocket(bytes) => self.socket_send(&bytes),
            Held::FromSocket(event) => self.socket_event(event),
        }
    }

    /// A new socket is made: what was true of the last one is over. Returns why it can't be.
    pub(super) fn refused_socket(&self) -> Option<u16> {
        self.weather.socket_muted.set(false);
        if lasts(&self.weather.unreachable_until, web::now()) {
            return Some(1006);
        }
        self.weather.refuses.take().map(CloseCode::number)
    }

    /// Whether connections can't be made.
    pub(super) fn has_no_path(&self) -> bool {
        lasts(&self.weather.no_path_until, web::now())
    }

    /// Whether frames arrive twice.
    pub(super) fn doubles(&self) -> bool {
        lasts(&self.weather.doubles_until, web::now())
    }

    /// A browser call has ended: with what, in this simulation.
    pub(super) fn after_call(&self, key: PeerKey, generation: u32, command: &Command, done: Done) -> Done {
        if self.is_calm() {
            return done;
        }
        if matches!(command, Command::SetLocal | Command::SetRemote(_)) && self.weather.browser_refuses.take()
        {
            return Done::Failed("simulated".into());
        }
        if matches!(command, Command::SetRemote(_)) {
            let restored = {
                let mut muted = self.weather.muted.borrow_mut();
                let before = muted.len();
                muted.retain(|muted| !(muted.restores && (muted.key, muted.generation) == (key, generation)));
                muted.len() < before
            };
            if restored {
                let now = web::now();
                for (due, held) in self.weather.queue.borrow_mut().iter_mut() {
                    if held.path() == Some((key, generation)) {
                        *due = now;
                    }
                }
                self.release_at(now);
            }
        }
        done
    }

    /// `client.simulate`.
    pub(crate) fn simulate(&self, name: &str, given: &JsValue) -> Result<Promise, JsValue> {
        let Some((_, fault, usual)) = Fault::ALL.iter().find(|(known, ..)| *known == name) else {
            let names: Vec<&str> = Fault::ALL.iter().map(|(name, ..)| *name).collect();
            let detail = format!("there is no fault \"{name}\"; there are {}", names.join(", "));
            return Err(error::new(Code::InvalidOption, &detail));
        };
        let duration = options::duration(given, *usual)?;
        self.weather.stormy.set(true);
        let until = Some(web::now() + duration);
        let weather = &self.weather;
        let paths: Vec<(PeerKey, u32)> = self
            .connections
            .borrow()
            .iter()
            .map(|(key, (generation, _))| (*key, *generation))
            .collect();
        let mute = |restores| {
            let paths = paths.iter().map(|(key, generation)| Muted {
                key: *key,
                generation: *generation,
                restores,
            });
            weather.muted.borrow_mut().extend(paths);
        };
        // The other side finds out for itself.
        let close = || {
            for (key, generation) in &paths {
                let (key, generation) = (*key, *generation);
                let _ = self.input(|core, now| core.channel_closed(now, key, generation, Channel::Link));
            }
        };
        match fault {
            Fault::SignallingDrop => drop(self.input(Client::drop_socket)),
            Fault::HalfOpenSocket => weather.socket_muted.set(true),
            Fault::ServerAway => {
                weather.unreachable_until.set(until);
                let _ = self.input(Client::drop_socket);
            }
            Fault::ServerDrain => drop(self.input(|core, now| core.drain(now, 500))),
            Fault::ServerBusy | Fault::IdLost => {
                let code = match fault {
                    Fault::IdLost => CloseCode::IdTaken,
                    _ => CloseCode::Busy,
                };
                weather.refuses.set(Some(code));
                let _ = self.input(Client::drop_socket);
            }
            Fault::ResumeRefused => drop(self.input(Client::refuse_resume)),
            Fault::IceDisconnect => {
                weather.hold_until(until);
                for (key, generation) in &paths {
                    let _ = self.input(|core, now| core.connection_suspected(now, *key, *generation));
                }
            }
            Fault::IceFailure => {
                mute(true);
                for (key, generation) in &paths {
                    let _ = self.input(|core, now| core.connection_failed(now, *key, *generation));
                }
            }
            Fault::IceRestart => {
                for (_, connection) in self.connections.borrow().values() {
                    connection.restart_ice();
                }
            }
            Fault::SilentPath => mute(false),
            Fault::ChannelClose => {
                for (_, connection) in self.connections.borrow().values() {
                    connection.close_link();
                }
            }
            Fault::LinkRebuild => close(),
            Fault::RelayOnly => {
                weather.no_path_until.set(until);
                close();
            }
            Fault::NegotiationFailure => {
                weather.browser_refuses.set(true);
                close();
            }
            Fault::SlowNetwork => weather.slow_until.set(until),
            Fault::DoubledFrames => weather.doubles_until.set(until),
            Fault::Offline => {
                weather.hold_until(until);
                weather.unreachable_until.set(until);
            }
            Fault::NetworkChange => {
                mute(true);
                let _ = self.input(Client::drop_socket);
                let _ = self.input(Client::hurry);
            }
            Fault::Sleep => {
                weather.hold_until(until);
                weather.unreachable_until.set(until);
                weather.asleep_until.set(until);
            }
        }
        let fault = *fault;
        let this = self.this.clone();
        Ok(Promise::new(&mut |resolve, _| {
            let this = this.clone();
            web::after(duration, move || {
                if let Some(this) = this.upgrade() {
                    this.pass(fault);
                }
                let _ = resolve.call0(&JsValue::UNDEFINED);
            });
        }))
    }

    /// A fault that lasts some time is over.
    fn pass(&self, fault: Fault) {
        match fault {
            Fault::Sleep => {
                let _ = self.input(Client::tick);
                self.release_held();
            }
            Fault::Offline | Fault::RelayOnly => {
                self.release_held();
                let _ = self.input(Client::hurry);
            }
            _ => self.release_held(),
        }
    }
}
