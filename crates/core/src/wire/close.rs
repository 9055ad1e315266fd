//! The codes that the server closes a WebSocket with, and whether the client is to come back.

use crate::error::Code;

/// Why the server closed a socket (RFC 6455 section 7.4; 4000 and up are Peerloom's own).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// 1009: a frame was over [`super::limits::CLIENT_FRAME`].
    TooBig,
    /// 4001: what came was not a frame, or not allowed at that point.
    ProtocolViolation,
    /// 4002: no token, or not a valid one.
    Unauthorized,
    /// 4003: the id belongs to another client.
    IdTaken,
    /// 4004: another version of the protocol.
    Incompatible,
    /// 4005: too much in too short a time, in spite of a `Fault`.
    RateLimited,
    /// 4006: the client did not read what was sent to it.
    SlowReader,
    /// 4007: nothing came in time: the first frame, or a heartbeat.
    TimedOut,
    /// 4008: the session goes on over another socket.
    Replaced,
    /// 4009: the server stops; a `Drain` frame told when to come back.
    Draining,
    /// 4010: no room for more clients.
    Busy,
    /// 4011: put out by an operator.
    Kicked,
}

impl CloseCode {
    /// Every code.
    pub const ALL: &'static [Self] = &[
        Self::TooBig,
        Self::ProtocolViolation,
        Self::Unauthorized,
        Self::IdTaken,
        Self::Incompatible,
        Self::RateLimited,
        Self::SlowReader,
        Self::TimedOut,
        Self::Replaced,
        Self::Draining,
        Self::Busy,
        Self::Kicked,
    ];

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::TooBig => 1009,
            Self::ProtocolViolation => 4001,
            Self::Unauthorized => 4002,
            Self::IdTaken => 4003,
            Self::Incompatible => 4004,
            Self::RateLimited => 4005,
            Self::SlowReader => 4006,
            Self::TimedOut => 4007,
            Self::Replaced => 4008,
            Self::Draining => 4009,
            Self::Busy => 4010,
            Self::Kicked => 4011,
        }
    }

    /// The code of that number; any other close is a lost connection, and worth coming back from.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.number() == number)
    }

    /// Whether the client is to try again.
    #[must_use]
    pub fn comes_back(self) -> bool {
        matches!(
            self,
            Self::RateLimited | Self::SlowReader | Self::TimedOut | Self::Draining | Self::Busy
        )
    }

    /// What the client tells the page when it does not come back, or could not open at all.
    #[must_use]
    pub fn error(self) -> Code {
        match self {
            Self::TooBig | Self::ProtocolViolation => Code::ProtocolViolation,
            Self::Unauthorized => Code::Unauthorized,
            Self::IdTaken => Code::IdTaken,
            Self::Incompatible => Code::ServerIncompatible,
            Self::RateLimited => Code::RateLimited,
            Self::SlowReader | Self::TimedOut => Code::Timeout,
            Self::Replaced | Self::Kicked => Code::Closed,
            Self::Draining | Self::Busy => Code::ServerBusy,
        }
    }
}
