//! One WebSocket (RFC 6455), from its opening to its close: reading into the hub, writing what the hub says, and a watch
//! on the clock, side by side in one task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use peerloom_core::hub::{Bucket, ConnId, Pause};
use peerloom_core::wire::codec::{self, Codec, DecodeError};
use peerloom_core::wire::{ClientFrame, CloseCode, limits};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::config::Config;
use crate::outgoing::{Ending, Next, Outgoing};
use crate::switchboard::Switchboard;

/// What an idle socket may occupy for reading, and how much is gathered before it is written.
const BUFFER: usize = 4 * 1024;

/// How often a client that is made to wait is told that the server lives.
const REASSURE: Duration = Duration::from_secs(2);

/// Why a socket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client closed it; `clean` if with 1000 or 1001.
    ByClient { clean: bool },
    /// The connection is gone, or what came on it is no WebSocket frame.
    Lost,
    /// The server closes it.
    ByServer(Option<CloseCode>),
}

/// Takes the socket out of the switchboard, also when its task panics.
struct Registration {
    switchboard: Arc<Switchboard>,
    conn: ConnId,
    clean: bool,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.switchboard.disconnect(self.conn, self.clean);
    }
}

struct Socket<'a> {
    config: &'a Config,
    switchboard: &'a Switchboard,
    conn: ConnId,
    codec: Codec,
    outgoing: &'a Outgoing,
    opened: Instant,
    /// When something last came, in milliseconds after the opening; in the future while reading is paused.
    heard: AtomicU64,
    /// Whether the hello has come.
    greeted: AtomicBool,
}

/// Serves one WebSocket on `stream` after its handshake.
pub async fn serve<S>(stream: S, codec: Codec, config: Arc<Config>, switchboard: Arc<Switchboard>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let settings = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_frame_size(Some(limits::CLIENT_FRAME))
        .max_message_size(Some(limits::CLIENT_FRAME));
    let stream = WebSocketStream::from_raw_socket(stream, Role::Server, Some(settings)).await;
    let (conn, outgoing) = switchboard.connect();
    let mut registration = Registration {
        switchboard: switchboard.clone(),
        conn,
        clean: false,
    };
    let socket = Socket {
        config: &config,
        switchboard: &switchboard,
        conn,
        codec,
        outgoing: &outgoing,
        opened: Instant::now(),
        heard: AtomicU64::new(0),
        greeted: AtomicBool::new(false),
    };
    tracing::info!(conn = conn.0, ?codec, "socket opened");
    let (mut sink, mut source) = stream.split();
    let end = tokio::select! {
        end = socket.read(&mut source) => end,
        end = socket.write(&mut sink) => end,
        end = socket.watch() => end,
    };
    let seconds = socket.opened.elapsed().as_secs();
    tracing::info!(conn = conn.0, ?end, seconds, "socket closed");
    registration.clean = end == End::ByClient { clean: true };
    drop(registration);
    if let Ok(stream) = sink.reunite(source) {
        let _ = timeout(config.close_within, close(stream, end)).await;
    }
}

impl Socket<'_> {
    async fn read<S>(&self, source: &mut SplitStream<WebSocketStream<S>>) -> End
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut control = Bucket::new(self.config.control_frames, self.switchboard.now());
        loop {
            let message = match source.next().await {
                Some(Ok(message)) => message,
                Some(Err(Error::Capacity(_))) => {
                    self.expel(CloseCode::TooBig, "a frame takes at most 64 KiB");
                    return self.written().await;
                }
                Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => return End::Lost,
                Some(Err(Error::Protocol(_) | Error::Utf8(_))) => {
                    self.expel(CloseCode::ProtocolViolation, "not a WebSocket frame");
                    return self.written().await;
                }
                Some(Err(_)) | None => return End::Lost,
            };
            self.hear(Duration::ZERO);
            let pause = match (&message, self.codec) {
                (Message::Binary(bytes), Codec::Binary) => self.take(codec::decode(bytes)),
                (Message::Text(text), Codec::Json) => self.take(codec::decode_json(text)),
                (Message::Binary(_) | Message::Text(_), _) => {
                    self.expel(CloseCode::ProtocolViolation, "the other codec's kind of message");
                    None
                }
                (Message::Close(frame), _) => {
                    let code = frame.as_ref().map(|frame| u16::from(frame.code));
                    return End::ByClient {
                        clean: matches!(code, Some(1000 | 1001)),
                    };
                }
                (Message::Ping(_) | Message::Pong(_) | Message::Frame(_), _) => {
                    Some(Pause(control.spend(self.switchboard.now(), 1)))
                }
            };
            match pause {
                None => return self.written().await,
                Some(Pause(0)) => {}
                Some(Pause(wait)) => {
                    let mut left = Duration::from_millis(wait);
                    while !left.is_zero() {
                        let part = left.min(REASSURE);
                        self.hear(part);
                        sleep(part).await;
                        left -= part;
                        if !left.is_zero() {
                            self.switchboard.input(|hub, _| hub.reassure(self.conn));
                        }
                    }
                }
            }
        }
    }

    /// Something came; and nothing more will be looked for until `pause` has passed.
    fn hear(&self, pause: Duration) {
        let at = u64::try_from((self.opened.elapsed() + pause).as_millis()).unwrap_or(u64::MAX);
        self.heard.store(at, Ordering::Relaxed);
    }

    /// Hands a frame to the hub; `None` if the socket is to be closed because of it.
    fn take(&self, frame: Result<ClientFrame, DecodeError>) -> Option<Pause> {
        let conn = self.conn;
        match frame {
            Ok(ClientFrame::Hello(hello)) if !self.greeted.swap(true, Ordering::Relaxed) => {
                let seconds = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(u64::MAX, |since| since.as_secs());
                match self.config.auth.check(hello.token.as_ref(), seconds) {
                    Ok(grant) => self
                        .switchboard
                        .input(|hub, now| hub.hello(now, conn, hello, grant)),
                    Err(problem) => {
                        self.expel(CloseCode::Unauthorized, problem);
                        return None;
                    }
                }
                Some(Pause(0))
            }
            Ok(frame) => Some(self.switchboard.input(|hub, now| hub.frame(now, conn, frame))),
            Err(DecodeError::Unknown) => Some(self.switchboard.input(|hub, now| hub.unknown(now, conn))),
            Err(DecodeError::Malformed) => {
                self.expel(CloseCode::ProtocolViolation, "not a frame");
                None
            }
        }
    }

    fn expel(&self, code: CloseCode, detail: &str) {
        self.switchboard
            .input(|hub, _| hub.expel(self.conn, code, detail));
    }

    /// Nothing more is read; the writer ends the socket.
    async fn written(&self) -> End {
        std::future::pending().await
    }

    async fn write<S>(&self, sink: &mut SplitSink<WebSocketStream<S>, Message>) -> End
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            let done = match self.outgoing.next() {
                Next::Frame(frame) => sink.feed(frame.message(self.codec)).await,
                Next::Ping => sink.feed(Message::Ping(bytes::Bytes::new())).await,
                Next::End(ending) => {
                    // What was fed is lost with this half, unless it is flushed.
                    if let Ending::Close(_) = ending {
                        let _ = sink.flush().await;
                    }
                    return ending.into();
                }
                Next::Idle => match sink.flush().await {
                    Ok(()) => {
                        self.outgoing.more().await;
                        Ok(())
                    }
                    failed => failed,
                },
            };
            if done.is_err() {
                return End::Lost;
            }
        }
    }

    /// The deadlines: of the hello, of silence, and of an ending that the writer can't bring about.
    async fn watch(&self) -> End {
        let clock = async {
            let mut pinged = None;
            while !self.greeted.load(Ordering::Relaxed) {
                let left = self.config.hello_within.saturating_sub(self.opened.elapsed());
                if left.is_zero() {
                    return End::ByServer(Some(CloseCode::TimedOut));
                }
                // The hello is looked for again before the first ping would be due.
                sleep(left.min(self.config.ping_after)).await;
            }
            loop {
                let heard = self.opened + Duration::from_millis(self.heard.load(Ordering::Relaxed));
                let (ping_at, mute_at) = (heard + self.config.ping_after, heard + self.config.mute_after);
                let now = Instant::now();
                if now >= mute_at {
                    return End::ByServer(Some(CloseCode::TimedOut));
                }
                if now < ping_at {
                    sleep_until(ping_at).await;
                    continue;
                }
                if pinged.replace(heard) != Some(heard) {
                    self.outgoing.ping();
                }
                // What came meanwhile moves the next ping, so it is looked for in time.
                sleep_until(mute_at.min(now + self.config.ping_after)).await;
            }
        };
        let ending = async {
            let ending = self.outgoing.ended().await;
            sleep(self.config.close_within).await;
            ending.into()
        };
        tokio::select! {
            end = clock => end,
            end = ending => end,
        }
    }
}

impl From<Ending> for End {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Close(code) => Self::ByServer(code),
            Ending::Overflow => Self::ByServer(Some(CloseCode::SlowReader)),
        }
    }
}

/// The closing handshake (RFC 6455 section 7). After the close frame the socket is still read for a while: were it closed
/// with something unread, the reset would overtake the close frame, and the client would not learn why.
async fn close<S>(mut stream: WebSocketStream<S>, end: End)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match end {
        End::Lost => {
            // Perhaps an answer to a close is waiting to be written.
            let _ = stream.flush().await;
            return;
        }
        End::ByClient { .. } => {}
        End::ByServer(code) => {
            let frame = CloseFrame {
                code: code.map_or(1000, CloseCode::number).into(),
                reason: code.map_or("", |code| code.error().as_str()).into(),
            };
            if stream.close(Some(frame)).await.is_err() {
                return;
            }
        }
    }
    loop {
        match stream.next().await {
            Some(Ok(_)) => {}
            Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => return,
            Some(Err(Error::Capacity(_) | Error::Protocol(_) | Error::Utf8(_))) => break,
            Some(Err(_)) | None => return,
        }
    }
    // No frames can be told apart any more.
    let mut rest = [0; BUFFER];
    while matches!(stream.get_mut().read(&mut rest).await, Ok(1..)) {}
}

#[cfg(test)]
mod tests {
    use peerloom_core::hub::{Grant, HubConfig};
    use peerloom_core::wire::{Hello, Instance};

    use super::*;

    /// The hub must survive a socket whose task panics, and see it as a lost one.
    #[test]
    fn a_task_that_panics_takes_only_its_socket_along() {
        let switchboard = Arc::new(Switchboard::new(HubConfig::default(), 1_000));
        let (conn, _queue) = switchboard.connect();
        let hello = Hello {
            protocol: limits::PROTOCOL,
            id: None,
            token: None,
            instance: Instance(1),
            user_data: None,
            webrtc: false,
            resume: None,
        };
        switchboard.input(|hub, now| hub.hello(now, conn, hello, Grant::default()));
        let registration = Registration {
            switchboard: switchboard.clone(),
            conn,
            clean: false,
        };
        let task = std::thread::spawn(move || {
            let _registration = registration;
            // Without a message: it is meant.
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(task.join().is_err());
        assert_eq!(
            switchboard.input(|hub, _| hub.count()),
            (1, 1),
            "one session, and it is away"
        );
    }
}
