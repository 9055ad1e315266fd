//! What others do. Each is closed with the right code, while two witnesses talk on undisturbed.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use peerloom_core::Code;
use peerloom_core::hub::Rate;
use peerloom_core::wire::codec::{self, Codec};
use peerloom_core::wire::{
    Body, Bytes, ClientFrame, Id, Item, LinkFrame, LinkHeader, Name, ServerFrame, limits,
};
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

#[tokio::test]
async fn oversize_messages() {
    let server = Server::start(config()).await;
    let witnesses = Witnesses::start(server.address).await;
    for (size, code) in [
        (limits::CLIENT_FRAME, 4001),
        (limits::CLIENT_FRAME + 1, 1009),
        (60 << 20, 1009),
    ] {
        let (client, _) = Client::enter(server.address, Codec::Binary, hello("big")).await;
        // Sent and read at once: the server closes while this is still being sent.
        let (mut sink, mut source) = client.socket.split();
        let sending = tokio::spawn(async move {
            let _ = sink.send(Message::Binary(vec![0xFF; size].into())).await;
            sink
        });
        let mut closed = None;
        while let Some(Ok(message)) = soon("the close", source.next()).await {
            if let Message::Close(frame) = message {
                closed = frame.map(|frame| u16::from(frame.code));
            }
        }
        drop(source);
        let _ = soon("the sender", sending).await;
        assert_eq!(closed, Some(code), "{size}");
    }
    witnesses.check().await;
}

#[tokio::test]
async fn oversize_messages_in_pieces() {
    let server = Server::start(config()).await;
    let witnesses = Witnesses::start(server.address).await;
    let (mut client, _) = Client::enter(server.address, Codec::Binary, hello("big")).await;
    for n in 0..80 {
        let opcode = OpCode::Data(if n == 0 { Data::Binary } else { Data::Continue });
        let piece = Frame::message(vec![0; 1024], opcode, false);
        if client.socket.send(Message::Frame(piece)).await.is_err() {
            break;
        }
    }
    assert_eq!(client.closed().await, 1009);
    witnesses.check().await;
}

#[tokio::test]
async fn what_is_not_a_frame() {
    let server = Server::start(config()).await;
    let witnesses = Witnesses::start(server.address).await;
    for (codec, message) in [
        (Codec::Binary, Message::Text("{}".into())),
        (Codec::Json, Message::Binary(vec![1].into())),
        (Codec::Binary, Message::Binary(vec![].into())),
        (Codec::Binary, Message::Binary(vec![3, 1].into())),
        (Codec::Json, Message::Text("".into())),
        (Codec::Json, Message::Text("[".repeat(60_000).into())),
        (
            Codec::Json,
            Message::Text(r#"{"join":{"op":1,"thread":""}}"#.into()),
        ),
    ] {
        let (mut client, _) = Client::enter(server.address, codec, hello("odd")).await;
        client.socket.send(message.clone()).await.unwrap();
        assert!(matches!(
            client.next().await,
            Ok(ServerFrame::Fault {
                code: Code::ProtocolViolation,
                ..
            })
        ));
        assert_eq!(client.closed().await, 4001, "{message:?}");
    }
    // And what is no WebSocket frame either.
    let (mut client, _) = Client::enter(server.address, Codec::Binary, hello("odd")).await;
    client.socket.get_mut().write_all(&[0xFF; 64]).await.unwrap();
    assert_eq!(client.closed().await, 4001);
    // A hello is the first frame, and the only one.
    let mut client = Client::open(server.address, Codec::Json).await;
    client.send(&join("t")).await;
    assert_eq!(client.closed().await, 4001);
    let (mut client, _) = Client::enter(server.address, Codec::Json, hello("odd")).await;
    client.send(&ClientFrame::Hello(hello("odd"))).await;
    assert_eq!(client.closed().await, 4001);
    witnesses.check().await;
}

#[tokio::test]
async fn unknown_kinds_are_ignored() {
    let server = Server::start(config()).await;
    let (mut client, _) = Client::enter(server.address, Codec::Json, hello("new")).await;
    client
        .socket
        .send(Message::Text(r#"{"teleport":{"to":"mars"}}"#.into()))
        .await
        .unwrap();
    client.send(&ClientFrame::Ping { received: 0 }).await;
    assert_eq!(client.next().await, Ok(ServerFrame::Pong { received: 1 }));
}

#[tokio::test]
async fn mute_sockets() {
    let mut config = config();
    config.hello_within = Duration::from_millis(200);
    let server = Server::start(config).await;
    let witnesses = Witnesses::start(server.address).await;
    let mut mute = Client::open(server.address, Codec::Binary).await;
    assert_eq!(mute.closed().await, 4007);
    // Pings are no hello.
    let mut pinging = Client::open(server.address, Codec::Binary).await;
    let begun = Instant::now();
    let code = loop {
        let _ = pinging.socket.send(Message::Ping(vec![].into())).await;
        if let Ok(Err(code)) = tokio::time::timeout(Duration::from_millis(20), pinging.next()).await {
            break code;
        }
    };
    assert_eq!(code, 4007);
    assert!(begun.elapsed() < Duration::from_secs(5));
    witnesses.check().await;
}

#[tokio::test]
async fn half_open_sockets() {
    let mut config = config();
    config.ping_after = Duration::from_millis(100);
    config.mute_after = Duration::from_millis(300);
    config.hub.grace = 10_000;
    let server = Server::start(config).await;
    let witnesses = Witnesses::start(server.address).await;
    let (mut silent, welcome) = Client::enter(server.address, Codec::Binary, hello("silent")).await;
    silent.send(&join("t")).await;
    silent.settle().await;
    // The raw connection is watched, so that no ping is answered: the close comes by itself.
    let mut bytes = Vec::new();
    soon("the close", silent.socket.get_mut().read_to_end(&mut bytes))
        .await
        .unwrap();
    let code = 4007_u16.to_be_bytes();
    assert!(bytes.windows(2).any(|two| two == code), "{bytes:?}");
    // Its session is kept.
    let (_, again) = Client::enter(
        server.address,
        Codec::Binary,
        resume("silent", &welcome.ticket, 1),
    )
    .await;
    assert!(again.resumed);
    witnesses.check().await;
}

#[tokio::test]
async fn floods_of_questions() {
    let mut config = config();
    config.hub.control = Rate::new(100, 200);
    config.hub.strikes = 50;
    let server = Server::start(config).await;
    let witnesses = Witnesses::start(server.address).await;
    let (client, _) = Client::enter(server.address, Codec::Json, hello("flood")).await;
    let message = client.message(&ClientFrame::Find {
        op: 1,
        name: Name::new("x").unwrap(),
    });
    let (mut sink, mut source) = client.socket.split();
    let flooding = tokio::spawn(async move { while sink.send(message.clone()).await.is_ok() {} });
    let (mut closed, mut retry) = (None, None);
    while let Some(Ok(message)) = soon("the close", source.next()).await {
        match message {
            Message::Close(frame) => closed = frame.map(|frame| u16::from(frame.code)),
            Message::Text(text) => {
                if let Ok(ServerFrame::Fault {
                    code: Code::RateLimited,
                    retry_after,
                    ..
                }) = codec::decode_json(&text)
                {
                    retry = retry_after;
                }
            }
            _ => {}
        }
    }
    drop(source);
    soon("the flood", flooding).await.unwrap();
    assert_eq!(closed, Some(4005));
    assert!(retry.is_some_and(|wait| wait > 0));
    witnesses.check().await;
}

#[tokio::test]
async fn floods_of_relayed_frames_are_slowed_down_without_loss() {
    let mut config = config();
    config.hub.frames = Rate::new(2_000, 500);
    config.ping_after = Duration::from_millis(100);
    config.mute_after = Duration::from_millis(300);
    let server = Server::start(config).await;
    let witnesses = Witnesses::start(server.address).await;
    let (mut from, _) = Client::enter(server.address, Codec::Binary, hello("from")).await;
    let (mut to, _) = Client::enter(server.address, Codec::Binary, hello("to")).await;
    let begun = Instant::now();
    let sending = tokio::spawn(async move {
        for token in 0..3_000 {
            from.send(&relay("to", token)).await;
        }
        from
    });
    for token in 0..3_000 {
        assert_eq!(to.token().await, token);
    }
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
    let mut from = sending.await.unwrap();
    from.settle().await;
    witnesses.check().await;
}

#[tokio::test]
async fn floods_of_websocket_pings() {
    let mut config = config();
    config.control_frames = Rate::new(50, 10);
    let server = Server::start(config).await;
    let witnesses = Witnesses::start(server.address).await;
    let (mut client, _) = Client::enter(server.address, Codec::Binary, hello("pings")).await;
    let begun = Instant::now();
    for _ in 0..60 {
        client
            .socket
            .send(Message::Ping(vec![0; 125].into()))
            .await
            .unwrap();
    }
    client.settle().await;
    assert!(
        begun.elapsed() >= Duration::from_millis(900),
        "{:?}",
        begun.elapsed()
    );
    witnesses.check().await;
}

#[tokio::test]
async fn slow_readers() {
    let mut config = config();
    config.outgoing = 200_000;
    config.close_within = Duration::from_secs(20);
    config.hub.grace = 1;
    config.hub.bytes = Rate::new(1 << 30, 1 << 30);
    let server = Server::start(config).await;
    let witnesses = Witnesses::start(server.address).await;
    let (mut slow, _) = Client::enter(server.address, Codec::Binary, hello("slow")).await;
    let (mut fast, _) = Client::enter(server.address, Codec::Binary, hello("fast")).await;
    fast.send(&ClientFrame::Watch {
        names: vec![Name::new("slow").unwrap()],
    })
    .await;
    let frame = ClientFrame::Relay {
        to: Id::new("slow").unwrap(),
        instance: None,
        frame: LinkFrame::Data {
            header: LinkHeader {
                stream: 1,
                first: 0,
                acknowledged: Default::default(),
            },
            items: vec![Item::Peer {
                body: Body::Bytes(Bytes(vec![7; 60_000])),
            }],
        },
    };
    // Fills the kernel's buffers as well as the server's queue, until the slow one is cut off.
    let message = fast.message(&frame);
    let (mut sink, mut source) = fast.socket.split();
    let sending = tokio::spawn(async move { while sink.send(message.clone()).await.is_ok() {} });
    loop {
        let Some(Ok(Message::Binary(bytes))) = soon("the cut", source.next()).await else {
            continue;
        };
        if let Ok(ServerFrame::Presence { online: false, .. }) = codec::decode(&bytes) {
            break;
        }
    }
    sending.abort();
    // It reads when it is too late, and learns why.
    assert_eq!(slow.closed().await, 4006);
    witnesses.check().await;
}

#[tokio::test]
async fn slow_heads() {
    let mut config = config();
    config.head_within = Duration::from_millis(300);
    config.sockets_per_address = 40;
    let server = Server::start(config).await;
    let witnesses = Witnesses::start(server.address).await;
    let begun = Instant::now();
    let mut slow = Vec::new();
    for n in 0..30 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head: &[u8] = match n % 3 {
            0 => b"",
            1 => b"GET /peerloom HTTP/1.1\r\nhost: x\r\n",
            _ => b"GET / HTTP/1.1\r\nhost: x\r\nx-long: ",
        };
        stream.write_all(head).await.unwrap();
        slow.push(stream);
    }
    for mut stream in slow {
        let mut rest = Vec::new();
        let _ = soon("the end", stream.read_to_end(&mut rest)).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    witnesses.check().await;
}

#[tokio::test]
async fn more_connections_than_one_address_may_have() {
    let mut config = config();
    config.sockets_per_address = 10;
    let server = Server::start(config).await;
    let witnesses = Witnesses::start(server.address).await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(TcpStream::connect(server.address).await.unwrap());
    }
    let mut over = TcpStream::connect(server.address).await.unwrap();
    let mut rest = Vec::new();
    let _ = soon("the end", over.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
    drop(streams);
    witnesses.check().await;
}
