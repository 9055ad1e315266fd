//! What well-behaved clients do.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use peerloom_core::Code;
use peerloom_core::hub::Rate;
use peerloom_core::wire::codec::Codec;
use peerloom_core::wire::{
    Acknowledgement, Body, Bytes, ClientFrame, Instance, Item, LeaveReason, LinkFrame, LinkHeader, Secret,
    ServerFrame,
};
use peerloom_server::auth::{self, Auth};
use peerloom_server::origin::Origins;
use support::*;
use tokio_tungstenite::tungstenite::http::HeaderValue;

#[tokio::test]
async fn both_codecs_meet_in_one_thread() {
    let server = Server::start(config()).await;
    for (first, second) in [
        (Codec::Binary, Codec::Binary),
        (Codec::Json, Codec::Json),
        (Codec::Binary, Codec::Json),
        (Codec::Json, Codec::Binary),
    ] {
        let (mut alice, welcome) = Client::enter(server.address, first, hello("alice")).await;
        assert_eq!(
            (welcome.id.as_str(), welcome.resumed, welcome.received),
            ("alice", false, 0)
        );
        alice.send(&join("lobby")).await;
        assert!(
            matches!(alice.next().await, Ok(ServerFrame::Joined { op: 1, members, .. }) if members.is_empty())
        );
        let (mut bob, _) = Client::enter(server.address, second, hello("bob")).await;
        bob.send(&join("lobby")).await;
        let ServerFrame::Joined { members, .. } = bob.next().await.unwrap() else {
            panic!()
        };
        assert_eq!(members[0].peer.id.as_str(), "alice");
        let ServerFrame::MemberJoined { member, .. } = alice.next().await.unwrap() else {
            panic!()
        };
        assert_eq!(member.peer.id.as_str(), "bob");

        let sent = LinkFrame::Data {
            header: LinkHeader {
                stream: 1,
                first: 0,
                acknowledged: Acknowledgement::default(),
            },
            items: vec![
                Item::Peer {
                    body: Body::Text("grüß dich \u{1F9F6} \"</script>".to_owned()),
                },
                Item::Peer {
                    body: Body::Rich {
                        json: "{}".to_owned(),
                        parts: vec![Bytes((0..=255).collect())],
                    },
                },
            ],
        };
        let to = welcome.id.clone();
        bob.send(&ClientFrame::Relay {
            to,
            instance: Some(Instance(1)),
            frame: sent.clone(),
        })
        .await;
        let ServerFrame::Relay {
            from,
            instance,
            frame,
        } = alice.next().await.unwrap()
        else {
            panic!()
        };
        assert_eq!((from.as_str(), instance, frame), ("bob", Instance(1), sent));

        bob.send(&ClientFrame::Bye {}).await;
        assert_eq!(bob.closed().await, 1000);
        let ServerFrame::MemberLeft { reason, .. } = alice.next().await.unwrap() else {
            panic!()
        };
        assert_eq!(reason, LeaveReason::Left);
        alice.send(&ClientFrame::Bye {}).await;
        assert_eq!(alice.closed().await, 1000);
    }
}

#[tokio::test]
async fn a_closed_page_leaves_and_a_lost_one_times_out() {
    let mut config = config();
    config.hub.grace = 200;
    let server = Server::start(config).await;
    let (mut watcher, _) = Client::enter(server.address, Codec::Binary, hello("watcher")).await;
    watcher.send(&join("t")).await;
    for (id, expected) in [("closes", LeaveReason::Left), ("drops", LeaveReason::TimedOut)] {
        let (mut client, _) = Client::enter(server.address, Codec::Binary, hello(id)).await;
        client.send(&join("t")).await;
        client.settle().await;
        if id == "closes" {
            let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame {
                code: 1001.into(),
                reason: "".into(),
            };
            client.socket.close(Some(frame)).await.unwrap();
        }
        drop(client);
        let reason = watcher
            .until(|frame| match frame {
                ServerFrame::MemberLeft { reason, .. } => Some(*reason),
                _ => None,
            })
            .await;
        assert_eq!(reason, expected);
    }
}

#[tokio::test]
async fn a_session_comes_back_with_what_it_missed() {
    let server = Server::start(config()).await;
    let (alice, welcome) = Client::enter(server.address, Codec::Json, hello("alice")).await;
    let (mut bob, _) = Client::enter(server.address, Codec::Binary, hello("bob")).await;
    // The first socket is neither read nor closed: half-open, as far as the server can know.
    for token in 0..100 {
        bob.send(&relay("alice", token)).await;
    }
    bob.settle().await;
    let (mut again, resumed) = Client::enter(
        server.address,
        Codec::Binary,
        resume("alice", &welcome.ticket, 40),
    )
    .await;
    assert!(resumed.resumed);
    for token in 40..100 {
        assert_eq!(again.token().await, token);
    }
    let mut alice = alice;
    assert_eq!(alice.closed().await, 4008);
    bob.send(&relay("alice", 100)).await;
    assert_eq!(again.token().await, 100);

    let mut thief = Client::open(server.address, Codec::Json).await;
    thief.send(&ClientFrame::Hello(hello("alice"))).await;
    assert!(matches!(
        thief.next().await,
        Ok(ServerFrame::Fault {
            code: Code::IdTaken,
            ..
        })
    ));
    assert_eq!(thief.closed().await, 4003);
}

#[tokio::test]
async fn only_listed_origins_connect() {
    let mut config = config();
    config.origins = Origins::new(&["https://example.org".to_owned()], false, false).unwrap();
    let server = Server::start(config).await;
    for (origin, status) in [
        (Some("https://example.org"), None),
        (Some("https://evil.test"), Some(403)),
        (Some("http://127.0.0.1"), Some(403)),
        (Some("null"), Some(403)),
        (None, Some(403)),
    ] {
        let mut request = request(server.address, Some("peerloom.v1"));
        if let Some(origin) = origin {
            request
                .headers_mut()
                .insert("origin", HeaderValue::from_static(origin));
        }
        assert_eq!(open(server.address, request).await.err(), status, "{origin:?}");
    }
}

#[tokio::test]
async fn a_subprotocol_must_be_named() {
    let server = Server::start(config()).await;
    for (protocol, status) in [
        (Some("peerloom.v1"), None),
        (Some("peerloom.v2, peerloom.v1.json"), None),
        (Some("peerloom.v2"), Some(400)),
        (None, Some(400)),
    ] {
        let opened = open(server.address, request(server.address, protocol)).await;
        assert_eq!(opened.err(), status, "{protocol:?}");
    }
}

#[tokio::test]
async fn too_many_opens_from_one_address_are_refused() {
    let mut config = config();
    config.opens_per_address = Rate::new(1, 3);
    let server = Server::start(config).await;
    let mut refused = 0;
    for _ in 0..6 {
        match open(server.address, request(server.address, Some("peerloom.v1"))).await {
            Ok(_) => {}
            Err(status) => {
                assert_eq!(status, 429);
                refused += 1;
            }
        }
    }
    assert!((2..=3).contains(&refused), "{refused}");
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_budget() {
    for (proxies, refused) in [(vec!["127.0.0.0/8".parse().unwrap()], 0), (Vec::new(), 4)] {
        let mut config = config();
        config.opens_per_address = Rate::new(1, 2);
        config.trusted_proxies = proxies;
        let server = Server::start(config).await;
        let mut count = 0;
        for n in 0..6 {
            let mut request = request(server.address, Some("peerloom.v1"));
            let client = HeaderValue::from_str(&format!("203.0.113.7, 198.51.100.{n}")).unwrap();
            request.headers_mut().insert("x-forwarded-for", client);
            count += usize::from(open(server.address, request).await.is_err());
        }
        assert_eq!(count, refused);
    }
}

#[tokio::test]
async fn no_more_clients_than_there_is_room_for() {
    let mut config = config();
    config.hub.sessions = 2;
    let server = Server::start(config).await;
    let _one = Client::enter(server.address, Codec::Binary, hello("one")).await;
    let _two = Client::enter(server.address, Codec::Binary, hello("two")).await;
    let mut three = Client::open(server.address, Codec::Binary).await;
    three.send(&ClientFrame::Hello(hello("three"))).await;
    assert!(matches!(
        three.next().await,
        Ok(ServerFrame::Fault {
            code: Code::ServerBusy,
            ..
        })
    ));
    assert_eq!(three.closed().await, 4010);
}

#[tokio::test]
async fn tokens_decide_who_may_connect_and_as_whom() {
    const KEY: &[u8] = b"a secret of at least thirty-two bytes";
    let mut config = config();
    config.auth = Auth::from_secret(KEY).unwrap();
    let server = Server::start(config).await;
    let token = |exp: u64| {
        let claims = format!(r#"{{"sub":"alice","aud":"peerloom","exp":{exp}}}"#);
        Secret::new(&auth::sign(KEY, r#"{"alg":"HS256"}"#, &claims))
    };
    let good = token(u64::from(u32::MAX));
    for (id, token, code) in [
        ("alice", None, Some((Code::Unauthorized, 4002))),
        ("alice", token(1_000), Some((Code::Unauthorized, 4002))),
        ("alice", Secret::new("rubbish"), Some((Code::Unauthorized, 4002))),
        ("bob", good.clone(), Some((Code::Forbidden, 4002))),
        ("alice", good.clone(), None),
        // The same user's second window: the id is in use, and the token does not take it over.
        ("alice", good, Some((Code::IdTaken, 4003))),
    ] {
        let mut client = Client::open(server.address, Codec::Json).await;
        client
            .send(&ClientFrame::Hello(peerloom_core::wire::Hello {
                token,
                ..hello(id)
            }))
            .await;
        match (client.next().await.unwrap(), code) {
            (ServerFrame::Welcome(_), None) => std::mem::forget(client),
            (ServerFrame::Fault { code, .. }, Some((expected, close))) => {
                assert_eq!(code, expected);
                assert_eq!(client.closed().await, close);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_stopping_server_sends_its_clients_away() {
    let mut config = config();
    config.hub.drain_linger = 100;
    let mut server = Server::start(config).await;
    let (mut alice, _) = Client::enter(server.address, Codec::Binary, hello("alice")).await;
    let (mut bob, _) = Client::enter(server.address, Codec::Json, hello("bob")).await;
    alice.send(&join("t")).await;
    alice.settle().await;
    bob.send(&join("t")).await;
    bob.settle().await;
    server.ask_to_stop();
    for client in [&mut alice, &mut bob] {
        let return_after = client
            .until(|frame| match frame {
                ServerFrame::Drain { return_after } => Some(*return_after),
                ServerFrame::MemberLeft { .. } => panic!("nobody left"),
                _ => None,
            })
            .await;
        assert!((500..5_000).contains(&return_after));
    }
    assert_eq!(alice.closed().await, 4009);
    assert_eq!(bob.closed().await, 4009);
    server.stopped().await;
}

#[tokio::test]
async fn a_quiet_client_that_is_there_stays() {
    let mut config = config();
    config.ping_after = Duration::from_millis(100);
    config.mute_after = Duration::from_secs(3);
    let server = Server::start(config).await;
    let (mut alice, _) = Client::enter(server.address, Codec::Binary, hello("alice")).await;
    let (mut bob, _) = Client::enter(server.address, Codec::Binary, hello("bob")).await;
    // It answers WebSocket pings, as every browser does by itself, and sends nothing.
    let waiting = tokio::spawn(async move { bob.token().await });
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(3500) {
        alice.settle().await;
    }
    alice.send(&relay("bob", 7)).await;
    assert_eq!(soon("bob", waiting).await.unwrap(), 7);
}
