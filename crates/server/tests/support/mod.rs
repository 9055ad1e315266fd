//! A server in this process, and clients that speak to it over real sockets.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use peerloom_core::hub::Rate;
use peerloom_core::wire::codec::{self, Codec};
use peerloom_core::wire::{
    ClientFrame, Hello, Id, Instance, LinkFrame, Resume, Secret, ServerFrame, ThreadId, Welcome, limits,
};
use peerloom_server::Config;
use peerloom_server::auth::Auth;
use peerloom_server::origin::Origins;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// What no wait in these tests takes, unless something is wrong.
pub const LONG: Duration = Duration::from_secs(30);

pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(LONG, future).await {
        Ok(output) => output,
        Err(_) => panic!("timed out: {what}"),
    }
}

/// A server without tokens, for clients without an Origin and pages of loopback.
pub fn config() -> Config {
    let mut config = Config::new(Auth::Open);
    config.origins = Origins::new(&[], true, true).unwrap();
    config.opens_per_address = Rate::new(1_000, 10_000);
    config
}

pub struct Server {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            peerloom_server::run(listener, config, async {
                let _ = stopped.await;
            })
            .await;
        });
        Self {
            address,
            stop: Some(stop),
            task,
        }
    }

    pub fn ask_to_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub async fn stopped(self) {
        soon("the server's stop", self.task).await.unwrap();
    }
}

pub fn request(address: SocketAddr, protocol: Option<&str>) -> Request<()> {
    let mut request = format!("ws://{address}/peerloom").into_client_request().unwrap();
    if let Some(protocol) = protocol {
        request
            .headers_mut()
            .insert("sec-websocket-protocol", HeaderValue::from_str(protocol).unwrap());
    }
    request
}

/// Opens a WebSocket; the status if it is refused.
pub async fn open(address: SocketAddr, request: Request<()>) -> Result<WebSocketStream<TcpStream>, u16> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    match soon("the handshake", client_async(request, stream)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

pub fn hello(id: &str) -> Hello {
    Hello {
        protocol: limits::PROTOCOL,
        id: Some(Id::new(id).unwrap()),
        token: None,
        instance: Instance(1),
        user_data: None,
        webrtc: false,
        resume: None,
    }
}

pub fn resume(id: &str, ticket: &Secret, received: u64) -> Hello {
    Hello {
        resume: Some(Resume {
            ticket: ticket.clone(),
            received,
        }),
        ..hello(id)
    }
}

pub fn join(name: &str) -> ClientFrame {
    ClientFrame::Join {
        op: 1,
        thread: thread(name),
        user_data: None,
        media: Default::default(),
    }
}

pub fn leave(name: &str) -> ClientFrame {
    ClientFrame::Leave { thread: thread(name) }
}

pub fn thread(name: &str) -> ThreadId {
    ThreadId::new(name).unwrap()
}

pub fn relay(to: &str, token: u32) -> ClientFrame {
    ClientFrame::Relay {
        to: Id::new(to).unwrap(),
        instance: None,
        frame: LinkFrame::Ping { token },
    }
}

pub struct Client {
    pub socket: WebSocketStream<TcpStream>,
    codec: Codec,
}

impl Client {
    pub async fn open(address: SocketAddr, codec: Codec) -> Self {
        let protocol = match codec {
            Codec::Binary => limits::SUBPROTOCOL,
            Codec::Json => limits::SUBPROTOCOL_JSON,
        };
        let socket = open(address, request(address, Some(protocol))).await.unwrap();
        Self { socket, codec }
    }

    /// Opens a socket, says hello, and is welcome.
    pub async fn enter(address: SocketAddr, codec: Codec, hello: Hello) -> (Self, Welcome) {
        let mut client = Self::open(address, codec).await;
        client.send(&ClientFrame::Hello(hello)).await;
        match client.next().await {
            Ok(ServerFrame::Welcome(welcome)) => (client, welcome),
            other => panic!("not welcome: {other:?}"),
        }
    }

    pub async fn send(&mut self, frame: &ClientFrame) {
        soon("sending", self.socket.send(self.message(frame)))
            .await
            .unwrap();
    }

    pub fn message(&self, frame: &ClientFrame) -> Message {
        match self.codec {
            Codec::Binary => Message::Binary(codec::encode(frame).into()),
            Codec::Json => Message::Text(codec::encode_json(frame).into()),
        }
    }

    /// The next frame, or the close code; 1006 if the connection broke.
    pub async fn next(&mut self) -> Result<ServerFrame, u16> {
        loop {
            return match soon("a frame", self.socket.next()).await {
                Some(Ok(Message::Binary(bytes))) => Ok(codec::decode(&bytes).unwrap()),
                Some(Ok(Message::Text(text))) => Ok(codec::decode_json(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map_or(1005, |frame| frame.code.into());
                    // The closing handshake, as a browser would.
                    while let Some(Ok(_)) = soon("the end", self.socket.next()).await {}
                    Err(code)
                }
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => Err(1006),
            };
        }
    }

    /// Reads until there is a frame of the kind that is looked for.
    pub async fn until<T>(&mut self, mut wanted: impl FnMut(&ServerFrame) -> Option<T>) -> T {
        loop {
            let frame = self
                .next()
                .await
                .unwrap_or_else(|code| panic!("closed with {code}"));
            if let Some(found) = wanted(&frame) {
                return found;
            }
        }
    }

    /// Reads until the close, and returns its code.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }

    /// The next relayed token.
    pub async fn token(&mut self) -> u32 {
        self.until(|frame| match frame {
            ServerFrame::Relay {
                frame: LinkFrame::Ping { token },
                ..
            } => Some(*token),
            _ => None,
        })
        .await
    }

    /// Waits until the server has dealt with everything that was sent.
    pub async fn settle(&mut self) {
        self.send(&ClientFrame::Ping { received: 0 }).await;
        self.until(|frame| matches!(frame, ServerFrame::Pong { .. }).then_some(()))
            .await;
    }
}

/// Two clients that talk to each other all the time, while others misbehave.
pub struct Witnesses {
    stop: oneshot::Sender<()>,
    task: JoinHandle<u32>,
}

impl Witnesses {
    pub async fn start(address: SocketAddr) -> Self {
        let (mut one, _) = Client::enter(address, Codec::Binary, hello("witness-1")).await;
        let (mut two, _) = Client::enter(address, Codec::Json, hello("witness-2")).await;
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut token = 0;
            while stopped.try_recv().is_err() {
                one.send(&relay("witness-2", token)).await;
                assert_eq!(two.token().await, token);
                two.send(&relay("witness-1", token)).await;
                assert_eq!(one.token().await, token);
                token += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            token
        });
        Self { stop, task }
    }

    /// They were not disturbed.
    pub async fn check(self) {
        self.stop.send(()).unwrap();
        assert!(soon("the witnesses", self.task).await.unwrap() > 0);
    }
}
