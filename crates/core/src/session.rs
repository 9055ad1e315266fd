//! The client's session with a signalling server: open, heartbeat, back-off with jitter, resume.
//!
//! Counted frames wait in an outbox until the server says that it has them. When the socket is lost, the session comes
//! back with its ticket and both sides repeat what the other lacks; or the server says `resumed: false`, and the owner
//! tells it everything anew.

use std::collections::VecDeque;

use crate::error::{Code, Error};
use crate::recovery::{self, Recovery};
use crate::time::{Time, earliest};
use crate::wire::codec::{self, Codec, DecodeError};
use crate::wire::{
    ClientFrame, CloseCode, Hello, Id, Instance, JsonText, Resume, Secret, ServerFrame, Welcome, limits,
};

/// Tries that a first open makes before it gives up.
const FIRST_TRIES: u32 = 4;
/// What a browser closes sockets with when it leaves their page (RFC 6455, section 7.4.1), in Firefox before the page knows;
/// and milliseconds by which the page is gone then. To come back at once would take the id from the page that follows.
const GOING_AWAY: u16 = 1001;
const GONE_BY: u64 = 1_000;
/// Milliseconds that one try may take from the socket's making to the welcome.
const TRY_WITHIN: u64 = 6_000;
/// Milliseconds between heartbeats.
const PING_EVERY: u64 = 4_000;
/// Milliseconds within which anything must come after one; then comes the next.
const PONG_WITHIN: u64 = 4_000;
/// The same for a socket that there is a reason to doubt.
const SUSPECT_WITHIN: u64 = 2_500;
/// Counted frames after which the server is told that it can forget them.
const ACKNOWLEDGE_EVERY: u64 = 64;
/// Bytes of them.
const ACKNOWLEDGE_BYTES: usize = 128 * 1024;

/// Where the session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// Not opened.
    Idle,
    /// A socket is being made, or the welcome is awaited.
    Connecting,
    /// The server has admitted this client.
    Online,
    /// The socket is lost; the next try is at this time.
    Waiting(Time),
    /// Over.
    Closed,
}

/// What the owner is to do or to know.
#[derive(Debug)]
pub enum SessionOutput {
    /// Make a socket.
    Connect,
    /// Send this over it, as one binary or text message of the session's codec.
    Send(Vec<u8>),
    /// Close it, and expect no more of it.
    Close,
    /// The server has admitted this client.
    Welcomed(Box<Welcome>),
    /// A frame came.
    Frame(Box<ServerFrame>),
    /// The socket is lost; the session will come back by itself.
    Lost,
    /// The session is over, or could not be opened.
    Ended(Error),
}

/// What a session says of its client at every hello.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The id that is wanted, or that the server gave.
    pub id: Option<Id>,
    /// What the operator gave this user.
    pub token: Option<Secret>,
    /// This life of the client.
    pub instance: Instance,
    /// Its user data.
    pub user_data: Option<JsonText>,
    /// Whether it can make direct links.
    pub webrtc: bool,
}

/// The client's half of a signalling session.
#[derive(Debug)]
pub struct Session {
    /// What every hello says.
    pub identity: Identity,
    codec: Codec,
    state: SessionState,
    /// Whether the server has admitted this client before.
    opened: bool,
    /// Milliseconds that the first open may take.
    timeout: u64,
    deadline: Time,
    recovery: Recovery,
    /// When the session was lost, while it is.
    lost_at: Option<Time>,
    tries: u32,
    ticket: Option<Secret>,
    outbox: VecDeque<ClientFrame>,
    /// Counted frames that the server has.
    confirmed: u64,
    /// Frames of the outbox that were sent over the present socket.
    sent: usize,
    received: u64,
    told: u64,
    told_bytes: usize,
    ping_at: Time,
    ponged: bool,
    try_ends: Time,
    return_after: Option<u64>,
    fault: Option<Error>,
    jitter: u64,
    outputs: VecDeque<SessionOutput>,
}

impl Session {
    /// A session that is not open yet. `seed` makes the jitter.
    #[must_use]
    pub fn new(identity: Identity, codec: Codec, timeout: u64, recovery: Recovery, seed: u64) -> Self {
        Self {
            identity,
            codec,
            state: SessionState::Idle,
            opened: false,
            timeout,
            deadline: Time(0),
            recovery,
            lost_at: None,
            tries: 0,
            ticket: None,
            outbox: VecDeque::new(),
            confirmed: 0,
            sent: 0,
            received: 0,
            told: 0,
            told_bytes: 0,
            ping_at: Time(0),
            ponged: true,
            try_ends: Time(0),
            return_after: None,
            fault: None,
            jitter: seed | 1,
            outputs: VecDeque::new(),
        }
    }

    /// Where the session is.
    #[must_use]
    pub fn state(&self) -> SessionState {
        self.state
    }

    /// What to do next, in order.
    pub fn poll_output(&mut self) -> Option<SessionOutput> {
        self.outputs.pop_front()
    }

    /// What the first hello shows, so that it can be repeated when its welcome is lost.
    pub fn set_ticket(&mut self, ticket: Secret) {
        if !self.opened {
            self.ticket = Some(ticket);
        }
    }

    /// What to send next, if that is what to do next.
    pub fn poll_send(&mut self) -> Option<Vec<u8>> {
        match self.outputs.pop_front() {
            Some(SessionOutput::Send(bytes)) => Some(bytes),
            Some(other) => {
                self.outputs.push_front(other);
                None
            }
            None => None,
        }
    }

    /// Begins to open.
    pub fn open(&mut self, now: Time) {
        if self.state == SessionState::Idle {
            self.deadline = now + self.timeout;
            self.attempt(now);
        }
    }

    /// Ends the session and tells the server.
    pub fn close(&mut self) {
        if self.state == SessionState::Online {
            self.transmit(&ClientFrame::Bye {});
        }
        if self.state == SessionState::Online || self.state == SessionState::Connecting {
            self.outputs.push_back(SessionOutput::Close);
        }
        self.state = SessionState::Closed;
        self.outbox.clear();
    }

    /// Sends a counted frame, now or as soon as the session is back.
    pub fn send(&mut self, frame: ClientFrame) {
        if self.state != SessionState::Closed {
            self.outbox.push_back(frame);
            self.flush();
        }
    }

    /// Frames that the server has not confirmed.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.outbox.len()
    }

    /// The network is back, or the page woke up: the next try is made at once.
    pub fn hurry(&mut self, now: Time) {
        match self.state {
            SessionState::Waiting(_) => {
                self.tries = self.tries.min(1);
                self.attempt(now);
            }
            _ => self.suspect(now),
        }
    }

    /// The socket may be dead without knowing it.
    pub fn suspect(&mut self, now: Time) {
        if self.state == SessionState::Online && (self.ponged || self.ping_at > now + SUSPECT_WITHIN) {
            self.ping(now);
            self.ping_at = now + SUSPECT_WITHIN;
        }
    }

    /// The socket is open.
    pub fn socket_opened(&mut self) {
        if self.state != SessionState::Connecting {
            return;
        }
        let identity = self.identity.clone();
        let resume = self.ticket.clone().map(|ticket| Resume {
            ticket,
            received: self.received,
        });
        self.transmit(&ClientFrame::Hello(Hello {
            protocol: limits::PROTOCOL,
            id: identity.id,
            token: identity.token,
            instance: identity.instance,
            user_data: identity.user_data,
            webrtc: identity.webrtc,
            resume,
        }));
        if !self.opened {
            // Nothing depends on the welcome: whatever waits goes along, and saves a round trip.
            self.flush_all();
        }
    }

    /// A message came over the socket.
    pub fn socket_received(&mut self, now: Time, bytes: &[u8]) {
        if !matches!(self.state, SessionState::Connecting | SessionState::Online) {
            return;
        }
        let decoded = if bytes.len() > limits::SERVER_FRAME {
            Err(DecodeError::Malformed)
        } else {
            match self.codec {
                Codec::Binary => codec::decode::<ServerFrame>(bytes),
                #[cfg(feature = "json")]
                Codec::Json => std::str::from_utf8(bytes)
                    .map_err(|_| DecodeError::Malformed)
                    .and_then(codec::decode_json::<ServerFrame>),
            }
        };
        self.ponged = true;
        match decoded {
            Ok(frame) => self.take(now, frame, bytes.len()),
            Err(DecodeError::Unknown) if self.state == SessionState::Online => self.count(bytes.len()),
            Err(DecodeError::Unknown) => {}
            Err(DecodeError::Malformed) => {
                self.outputs.push_back(SessionOutput::Close);
                self.end(Error::new(
                    Code::ProtocolViolation,
                    "the server sent something that is not a frame",
                ));
            }
        }
    }

    fn take(&mut self, now: Time, frame: ServerFrame, size: usize) {
        match frame {
            ServerFrame::Welcome(welcome) => self.welcome(now, welcome),
            ServerFrame::Pong { received } => self.confirm(received),
            ServerFrame::Drain { return_after } => self.return_after = Some(u64::from(return_after)),
            ServerFrame::Fault {
                op: None,
                code,
                detail,
                retry_after,
            } if self.state != SessionState::Online => {
                self.fault = Some(Error {
                    retry_after,
                    ..Error::new(code, detail)
                });
            }
            frame if self.state == SessionState::Online => {
                if let ServerFrame::Fault {
                    op: None,
                    code,
                    detail,
                    retry_after,
                } = &frame
                {
                    // It may be the reason of a close that follows.
                    self.fault = Some(Error {
                        retry_after: *retry_after,
                        ..Error::new(*code, detail.clone())
                    });
                }
                self.outputs.push_back(SessionOutput::Frame(Box::new(frame)));
                self.count(size);
            }
            _ => {}
        }
    }

    fn count(&mut self, size: usize) {
        self.received += 1;
        self.told_bytes += size;
        if self.received - self.told >= ACKNOWLEDGE_EVERY || self.told_bytes >= ACKNOWLEDGE_BYTES {
            self.tell();
        }
    }

    fn tell(&mut self) {
        self.told = self.received;
        self.told_bytes = 0;
        self.transmit(&ClientFrame::Ping {
            received: self.received,
        });
    }

    fn confirm(&mut self, received: u64) {
        while self.confirmed < received && self.sent > 0 {
            self.outbox.pop_front();
            self.confirmed += 1;
            self.sent -= 1;
        }
    }

    fn welcome(&mut self, now: Time, welcome: Welcome) {
        if self.state != SessionState::Connecting {
            return;
        }
        if welcome.resumed {
            let has = welcome
                .received
                .saturating_sub(self.confirmed)
                .min(self.outbox.len() as u64);
            for _ in 0..has {
                self.outbox.pop_front();
            }
            self.confirmed = welcome.received;
            self.sent = 0;
        } else {
            self.received = 0;
            self.confirmed = 0;
            if self.opened {
                // The server knows nothing any more: the owner says everything anew.
                self.outbox.clear();
                self.sent = 0;
            }
        }
        self.told = self.received;
        self.told_bytes = 0;
        self.opened = true;
        self.lost_at = None;
        self.tries = 0;
        self.fault = None;
        self.return_after = None;
        self.identity.id = Some(welcome.id.clone());
        self.ticket = Some(welcome.ticket.clone());
        self.state = SessionState::Online;
        self.ping_at = now + PING_EVERY;
        self.ponged = true;
        self.outputs.push_back(SessionOutput::Welcomed(Box::new(welcome)));
        self.flush();
    }

    /// The socket was closed, by anybody, or could not be made.
    pub fn socket_closed(&mut self, now: Time, code: u16) {
        if !matches!(self.state, SessionState::Connecting | SessionState::Online) {
            return;
        }
        let close = CloseCode::from_number(code);
        // A server that was started again may have given the id to somebody who had asked first, or who is this client
        // itself, over a socket that died: it may come free.
        let waits_for_id = close == Some(CloseCode::IdTaken)
            && self.opened
            && self.lost_at.is_some_and(|at| now - at < self.recovery.outage);
        if let Some(close) = close.filter(|close| !close.comes_back() && !waits_for_id) {
            let mut error = self.fault.take().unwrap_or_else(|| close.error().into());
            if error.code == Code::RateLimited {
                error.code = close.error();
            }
            self.end(error);
            return;
        }
        if close == Some(CloseCode::Busy) && !self.opened {
            self.end(Code::ServerBusy.into());
            return;
        }
        if code == GOING_AWAY {
            self.return_after.get_or_insert(GONE_BY);
        }
        self.lost(now);
    }

    fn lost(&mut self, now: Time) {
        let was_online = self.state == SessionState::Online;
        self.lost_at.get_or_insert(now);
        if !self.opened && (self.tries >= FIRST_TRIES || now >= self.deadline) {
            let error = self
                .fault
                .take()
                .unwrap_or_else(|| Code::ServerUnreachable.into());
            self.end(error);
            return;
        }
        let step = recovery::step(&self.recovery.server, self.tries);
        let wait = self
            .return_after
            .take()
            .unwrap_or_else(|| step / 2 + self.random(step / 2 + 1));
        let retry = self
            .fault
            .take()
            .and_then(|fault| fault.retry_after)
            .map_or(0, u64::from);
        self.sent = 0;
        self.state = SessionState::Waiting(now + wait.max(retry));
        if was_online {
            self.outputs.push_back(SessionOutput::Lost);
        }
    }

    fn end(&mut self, error: Error) {
        self.state = SessionState::Closed;
        self.outbox.clear();
        self.outputs.push_back(SessionOutput::Ended(error));
    }

    fn attempt(&mut self, now: Time) {
        self.tries += 1;
        self.sent = 0;
        self.state = SessionState::Connecting;
        self.try_ends = now + TRY_WITHIN;
        self.outputs.push_back(SessionOutput::Connect);
    }

    fn ping(&mut self, now: Time) {
        self.ponged = false;
        self.ping_at = now + PONG_WITHIN;
        self.tell();
    }

    /// Time has passed; `late` is how many milliseconds after the asked-for moment this call comes.
    pub fn tick(&mut self, now: Time, late: u64) {
        match self.state {
            SessionState::Waiting(at) if at <= now => self.attempt(now),
            SessionState::Connecting if self.try_ends.min(self.first_deadline()) <= now => {
                self.outputs.push_back(SessionOutput::Close);
                self.lost(now);
            }
            SessionState::Online if self.ping_at <= now => {
                // A page that slept asks again before it draws conclusions.
                if self.ponged || late > 1_000 {
                    self.ping(now);
                } else {
                    self.outputs.push_back(SessionOutput::Close);
                    self.lost(now);
                }
            }
            _ => {}
        }
    }

    /// Ends the present socket as if it had been lost; for tests of recovery.
    pub fn drop_socket(&mut self, now: Time) {
        if matches!(self.state, SessionState::Connecting | SessionState::Online) {
            self.outputs.push_back(SessionOutput::Close);
            self.lost(now);
        }
    }

    /// The same, and what the server keeps for this client is of no use to it.
    pub fn refuse_resume(&mut self, now: Time) {
        // Nobody can have received as much.
        self.received = 1 << 52;
        self.drop_socket(now);
    }

    /// As if the server went away, and had said when to come back.
    pub fn drain(&mut self, now: Time, return_after: u32) {
        if self.state == SessionState::Online {
            self.return_after = Some(u64::from(return_after));
            self.drop_socket(now);
        }
    }

    fn first_deadline(&self) -> Time {
        if self.opened {
            Time(u64::MAX)
        } else {
            self.deadline
        }
    }

    /// When [`Session::tick`] has something to do next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.state {
            SessionState::Idle | SessionState::Closed => None,
            SessionState::Connecting => earliest(Some(self.try_ends), Some(self.first_deadline())),
            SessionState::Online => Some(self.ping_at),
            SessionState::Waiting(at) => Some(at),
        }
    }

    fn flush(&mut self) {
        if self.state == SessionState::Online {
            self.flush_all();
        }
    }

    fn flush_all(&mut self) {
        while let Some(frame) = self.outbox.get(self.sent) {
            let bytes = self.encode(frame);
            self.outputs.push_back(SessionOutput::Send(bytes));
            self.sent += 1;
        }
    }

    fn transmit(&mut self, frame: &ClientFrame) {
        let bytes = self.encode(frame);
        self.outputs.push_back(SessionOutput::Send(bytes));
    }

    fn encode(&self, frame: &ClientFrame) -> Vec<u8> {
        match self.codec {
            Codec::Binary => codec::encode(frame),
            #[cfg(feature = "json")]
            Codec::Json => codec::encode_json(frame).into_bytes(),
        }
    }

    /// xorshift64: spreads clients out, and need be nothing more.
    fn random(&mut self, below: u64) -> u64 {
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        self.jitter % below.max(1)
    }
}
