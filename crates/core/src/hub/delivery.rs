//! What goes out, to whom, and what it costs the one who caused it.

use std::sync::Arc;

use super::session::Place;
use super::{ConnId, Hub, Key, Output, Pause, weight};
use crate::error::Code;
use crate::time::Time;
use crate::wire::{CloseCode, Id, Instance, LinkFrame, ServerFrame, Signal};

/// Which of its session's questions or limits a refusal belongs to.
pub(super) struct Refusal {
    pub(super) op: Option<u32>,
    code: Code,
    detail: String,
    pub(super) retry_after: Option<u64>,
}

impl Refusal {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            op: None,
            code,
            detail: detail.into(),
            retry_after: None,
        }
    }

    fn into_frame(self) -> ServerFrame {
        ServerFrame::Fault {
            op: self.op,
            code: self.code,
            detail: self.detail,
            retry_after: self
                .retry_after
                .map(|wait| u32::try_from(wait).unwrap_or(u32::MAX)),
        }
    }
}

impl Hub {
    pub(super) fn refuse(&mut self, conn: ConnId, code: CloseCode, refusal: Refusal) {
        self.say(conn, refusal.into_frame());
        self.close(conn, code);
    }

    pub(super) fn close(&mut self, conn: ConnId, code: CloseCode) {
        self.outputs.push_back(Output::Close {
            conn,
            code: Some(code),
        });
    }

    /// Sends a frame that is not counted.
    pub(super) fn say(&mut self, conn: ConnId, frame: ServerFrame) {
        let bytes = weight::of_server(&frame);
        self.outputs.push_back(Output::Send {
            conns: vec![conn],
            frame: Arc::new(frame),
            bytes,
        });
    }

    /// Sends a counted frame to each of these sessions.
    pub(super) fn deliver(&mut self, to: impl IntoIterator<Item = Key>, frame: ServerFrame) {
        debug_assert!(frame.is_counted());
        let bytes = weight::of_server(&frame);
        let frame = Arc::new(frame);
        let mut conns = Vec::new();
        for key in to {
            if let Some(session) = self.sessions.get_mut(&key) {
                self.cost += bytes;
                conns.extend(session.push(&frame, bytes, self.config.outbox));
            }
        }
        if !conns.is_empty() {
            self.outputs.push_back(Output::Send { conns, frame, bytes });
        }
    }

    pub(super) fn fault(&mut self, key: Key, refusal: Refusal) {
        self.deliver([key], refusal.into_frame());
    }

    /// Books what a frame cost, and says how long the next one is to wait.
    pub(super) fn charge(&mut self, now: Time, conn: ConnId, key: Key, control: bool, bytes: usize) -> Pause {
        let strikes = self.config.strikes;
        let Some(session) = self
            .sessions
            .get_mut(&key)
            .filter(|session| session.place == Place::Here(conn))
        else {
            return Pause(0);
        };
        let mut wait = session
            .frames
            .spend(now, 1)
            .max(session.bytes.spend(now, bytes as u64));
        let mut over = None;
        if control {
            let debt = session.control.spend(now, 1);
            if debt == 0 {
                session.strikes = 0;
            } else {
                session.strikes += 1;
                over = Some((debt, session.strikes));
            }
            wait = wait.max(debt);
        }
        // The client's pings wait with the rest: it must not take the server for dead.
        if wait > 0 && now - session.ponged >= 1_000 {
            session.ponged = now;
            let received = session.received;
            self.say(conn, ServerFrame::Pong { received });
        }
        match over {
            Some((debt, 1)) => {
                let mut refusal = Refusal::new(Code::RateLimited, "too many questions and changes");
                refusal.retry_after = Some(debt);
                self.fault(key, refusal);
            }
            Some((_, count)) if count > strikes => {
                self.connections.remove(&conn);
                self.close(conn, CloseCode::RateLimited);
                self.put_away(now, key);
            }
            _ => {}
        }
        Pause(wait)
    }

    pub(super) fn ping(&mut self, now: Time, conn: ConnId, key: Key, received: u64) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if !session.confirm(received) {
            self.expel(
                conn,
                CloseCode::ProtocolViolation,
                "more frames confirmed than sent",
            );
            return;
        }
        session.ponged = now;
        let received = session.received;
        self.say(conn, ServerFrame::Pong { received });
    }

    pub(super) fn signal(&mut self, key: Key, to: Id, instance: Option<Instance>, signal: Signal) {
        let Some((from, own)) = self.stamp(key) else {
            return;
        };
        match self.reach(&to, instance) {
            Some(target) => self.deliver(
                [target],
                ServerFrame::Signal {
                    from,
                    instance: own,
                    signal,
                },
            ),
            None => self.deliver([key], ServerFrame::Unreachable { to, instance }),
        }
    }

    pub(super) fn relay(&mut self, key: Key, to: Id, instance: Option<Instance>, frame: LinkFrame) {
        let Some((from, own)) = self.stamp(key) else {
            return;
        };
        match self.reach(&to, instance) {
            Some(target) => self.deliver(
                [target],
                ServerFrame::Relay {
                    from,
                    instance: own,
                    frame,
                },
            ),
            None => self.deliver([key], ServerFrame::Unreachable { to, instance }),
        }
    }

    fn stamp(&self, key: Key) -> Option<(Id, Instance)> {
        self.sessions
            .get(&key)
            .map(|session| (session.id.clone(), session.instance))
    }

    /// The session of that id, if it is in that life.
    fn reach(&self, to: &Id, instance: Option<Instance>) -> Option<Key> {
        let key = *self.directory.ids.get(to)?;
        let session = self.sessions.get(&key)?;
        instance
            .is_none_or(|instance| instance == session.instance)
            .then_some(key)
    }
}
