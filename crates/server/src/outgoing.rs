//! What waits to be written to one socket. Bounded in bytes: a client that does not read is cut off rather than waited
//! for, and comes back to what its session has kept for it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use peerloom_core::wire::codec::{self, Codec};
use peerloom_core::wire::{CloseCode, ServerFrame};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// A frame on its way to one socket or many, encoded at most once per codec.
#[derive(Debug)]
pub struct Shared {
    frame: Arc<ServerFrame>,
    binary: OnceLock<Bytes>,
    json: OnceLock<Utf8Bytes>,
}

impl Shared {
    /// Of a frame that is not encoded yet.
    #[must_use]
    pub fn new(frame: Arc<ServerFrame>) -> Arc<Self> {
        Arc::new(Self {
            frame,
            binary: OnceLock::new(),
            json: OnceLock::new(),
        })
    }

    /// As a WebSocket message.
    #[must_use]
    pub fn message(&self, codec: Codec) -> Message {
        match codec {
            Codec::Binary => {
                let bytes = self.binary.get_or_init(|| codec::encode(&*self.frame).into());
                Message::Binary(bytes.clone())
            }
            Codec::Json => {
                let text = self.json.get_or_init(|| codec::encode_json(&*self.frame).into());
                Message::Text(text.clone())
            }
        }
    }
}

/// How the server wants a socket to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As the hub said: after everything that was sent before.
    Close(Option<CloseCode>),
    /// At once: too much was waiting.
    Overflow,
}

/// What the writer is to do next.
#[derive(Debug)]
pub enum Next {
    /// Write this.
    Frame(Arc<Shared>),
    /// Write a WebSocket ping.
    Ping,
    /// End.
    End(Ending),
    /// Nothing for now.
    Idle,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<(Arc<Shared>, usize)>,
    bytes: usize,
    ping: bool,
    ending: Option<Ending>,
}

/// The queue of one socket.
#[derive(Debug)]
pub struct Outgoing {
    waiting: Mutex<Waiting>,
    limit: usize,
    more: Notify,
    ended: Notify,
}

impl Outgoing {
    /// An empty queue for `limit` bytes. One frame larger than that is taken when nothing else waits.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            limit,
            more: Notify::new(),
            ended: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No operation on the queue can panic half-way.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a frame of roughly `bytes`, or ends the socket if there is no room.
    pub fn push(&self, frame: Arc<Shared>, bytes: usize) {
        let mut waiting = self.lock();
        if waiting.ending.is_some() {
            return;
        }
        if waiting.bytes + bytes > self.limit && !waiting.frames.is_empty() {
            waiting.frames = VecDeque::new();
            waiting.bytes = 0;
            waiting.ending = Some(Ending::Overflow);
            self.ended.notify_one();
        } else {
            waiting.frames.push_back((frame, bytes));
            waiting.bytes += bytes;
        }
        self.more.notify_one();
    }

    /// Ends the socket after what was pushed before.
    pub fn close(&self, code: Option<CloseCode>) {
        self.lock().ending.get_or_insert(Ending::Close(code));
        self.ended.notify_one();
        self.more.notify_one();
    }

    /// Asks for a WebSocket ping.
    pub fn ping(&self) {
        self.lock().ping = true;
        self.more.notify_one();
    }

    /// What to do next. For one writer only.
    pub fn next(&self) -> Next {
        let mut waiting = self.lock();
        if let Some((frame, bytes)) = waiting.frames.pop_front() {
            waiting.bytes -= bytes;
            if waiting.frames.is_empty() {
                waiting.frames.shrink_to(16);
            }
            return Next::Frame(frame);
        }
        if let Some(ending) = waiting.ending {
            return Next::End(ending);
        }
        if std::mem::take(&mut waiting.ping) {
            return Next::Ping;
        }
        Next::Idle
    }

    /// Waits until there is something to do. For the writer only.
    pub async fn more(&self) {
        self.more.notified().await;
    }

    /// Waits until the socket is to end. For one task only.
    pub async fn ended(&self) -> Ending {
        loop {
            if let Some(ending) = self.lock().ending {
                return ending;
            }
            self.ended.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Arc<Shared> {
        Shared::new(Arc::new(ServerFrame::Pong { received: 1 }))
    }

    #[test]
    fn everything_before_the_close_is_written() {
        let queue = Outgoing::new(100);
        queue.push(frame(), 1000);
        queue.ping();
        queue.close(Some(CloseCode::Replaced));
        queue.close(None);
        queue.push(frame(), 1);
        assert!(matches!(queue.next(), Next::Frame(_)));
        assert!(matches!(
            queue.next(),
            Next::End(Ending::Close(Some(CloseCode::Replaced)))
        ));
    }

    #[test]
    fn an_overflow_drops_what_waits_and_ends() {
        let queue = Outgoing::new(100);
        queue.push(frame(), 60);
        queue.push(frame(), 60);
        assert!(matches!(queue.next(), Next::End(Ending::Overflow)));
        queue.close(None);
        assert!(matches!(queue.next(), Next::End(Ending::Overflow)));
    }
}
