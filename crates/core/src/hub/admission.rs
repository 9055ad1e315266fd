//! Who is let in: ids, tickets, resumes.

use super::delivery::Refusal;
use super::session::{Place, Session};
use super::{ConnId, Grant, Hub, Key, Output, entropy};
use crate::error::Code;
use crate::time::Time;
use crate::wire::{CloseCode, Hello, Id, LeaveReason, Name, Secret, ServerFrame, Welcome, limits};

/// What a hello for an id that is in use amounts to.
enum Claim {
    Refused,
    Resumes(Secret, u64),
    Renews(LeaveReason),
}

impl Hub {
    /// The first frame of a socket came, and authentication allowed `grant`.
    pub fn hello(&mut self, now: Time, conn: ConnId, hello: Hello, grant: Grant) {
        if self.connections.contains_key(&conn) {
            self.expel(conn, CloseCode::ProtocolViolation, "a second hello");
            return;
        }
        if self.drain.is_some() {
            self.say_drain(conn);
            self.close(conn, CloseCode::Draining);
            return;
        }
        if hello.protocol != limits::PROTOCOL {
            let detail = format!("this server speaks version {}", limits::PROTOCOL);
            self.refuse(
                conn,
                CloseCode::Incompatible,
                Refusal::new(Code::ServerIncompatible, detail),
            );
            return;
        }
        let id = match (hello.id.clone(), grant.subject) {
            (Some(id), Some(subject)) if id != subject => {
                let refusal = Refusal::new(Code::Forbidden, "the token is for another id");
                self.refuse(conn, CloseCode::Unauthorized, refusal);
                return;
            }
            (Some(id), _) | (None, Some(id)) => id,
            (None, None) => match Id::new(&entropy::unguessable(&mut *self.entropy)) {
                Ok(id) => id,
                Err(_) => return self.close(conn, CloseCode::Busy),
            },
        };
        let Some(&key) = self.directory.ids.get(&id) else {
            self.open(now, conn, id, hello);
            return;
        };
        match self.claim(key, &hello) {
            Claim::Refused => {
                let mut refusal = Refusal::new(Code::IdTaken, id.as_str());
                if let Some(Place::Away { until, .. }) = self.sessions.get(&key).map(|session| session.place)
                {
                    refusal.retry_after = Some((until - now).max(1));
                }
                self.refuse(conn, CloseCode::IdTaken, refusal);
            }
            Claim::Resumes(shown, received) => self.resume(conn, key, shown, received),
            Claim::Renews(reason) => {
                if let Some(old) = self.sessions.get(&key).and_then(Session::conn) {
                    self.close(old, CloseCode::Replaced);
                }
                self.end(key, reason);
                self.open(now, conn, id, hello);
            }
        }
    }

    fn claim(&self, key: Key, hello: &Hello) -> Claim {
        let (Some(session), Some(resume)) = (self.sessions.get(&key), &hello.resume) else {
            return Claim::Refused;
        };
        if session.began_with(&resume.ticket) {
            return Claim::Renews(LeaveReason::Replaced);
        }
        if !session.has_ticket(&resume.ticket) {
            return Claim::Refused;
        }
        if session.instance != hello.instance {
            Claim::Renews(LeaveReason::Replaced)
        } else if session.can_replay(resume.received) {
            Claim::Resumes(resume.ticket.clone(), resume.received)
        } else {
            Claim::Renews(LeaveReason::TimedOut)
        }
    }

    fn open(&mut self, now: Time, conn: ConnId, id: Id, hello: Hello) {
        if self.sessions.len() >= self.config.sessions {
            self.refuse(conn, CloseCode::Busy, Refusal::new(Code::ServerBusy, ""));
            return;
        }
        let Some(ticket) = self.ticket() else {
            return self.close(conn, CloseCode::Busy);
        };
        let key = Key(self.next);
        self.next += 1;
        let session = Session::new(key, id.clone(), conn, hello, ticket.clone(), &self.config, now);
        self.sessions.insert(key, session);
        self.connections.insert(conn, key);
        self.directory.ids.insert(id.clone(), key);
        self.welcome(conn, id.clone(), ticket, false, 0);
        self.announce(key, &Name::from(&id), &id, true, false);
    }

    fn resume(&mut self, conn: ConnId, key: Key, shown: Secret, received: u64) {
        let Some(ticket) = self.ticket() else {
            return self.close(conn, CloseCode::Busy);
        };
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        match session.place {
            Place::Here(old) => {
                self.connections.remove(&old);
                self.outputs.push_back(Output::Close {
                    conn: old,
                    code: Some(CloseCode::Replaced),
                });
            }
            Place::Away { until, .. } => {
                self.expiries.remove(&(until, key));
            }
        }
        session.resume(conn, shown, ticket.clone(), received);
        let missed: Vec<_> = session
            .unconfirmed()
            .map(|(frame, bytes)| (frame.clone(), bytes))
            .collect();
        let (id, counted) = (session.id.clone(), session.received);
        self.connections.insert(conn, key);
        self.welcome(conn, id, ticket, true, counted);
        for (frame, bytes) in missed {
            self.outputs.push_back(Output::Send {
                conns: vec![conn],
                frame,
                bytes,
            });
        }
    }

    fn ticket(&mut self) -> Option<Secret> {
        Secret::new(&entropy::unguessable(&mut *self.entropy))
    }

    fn welcome(&mut self, conn: ConnId, id: Id, ticket: Secret, resumed: bool, received: u64) {
        let welcome = Welcome {
            id,
            ticket,
            resumed,
            received,
            grace: self.config.grace,
            heartbeat: self.config.heartbeat,
            ice_servers: self.config.ice_servers.clone(),
        };
        self.say(conn, ServerFrame::Welcome(welcome));
    }
}
