//! The hub: what is too much, and what that costs.
#![cfg(feature = "hub")]
#![allow(clippy::unwrap_used)]

mod support;

use peerloom_core::Code;
use peerloom_core::hub::{HubConfig, Rate};
use peerloom_core::wire::{ClientFrame, CloseCode, LeaveReason, ServerFrame, limits};
use support::*;

#[test]
fn limits_are_faults_that_name_their_question() {
    let mut bench = Bench::new(HubConfig {
        threads_per_client: 2,
        members_per_thread: 2,
        tags_per_client: 2,
        watches_per_client: 2,
        sessions: 4,
        ..HubConfig::default()
    });
    let conns: Vec<_> = ["a", "b", "c", "__proto__"]
        .map(|name| bench.enter(hello(Some(name), 1)).0)
        .to_vec();
    let full = bench.hello(hello(None, 1));
    assert_eq!(fault(&bench.take(full)), Some((Code::ServerBusy, None)));
    assert_eq!(bench.code(full), Some(Some(CloseCode::Busy)));
    for (op, name) in [(1, "t"), (2, "u"), (3, "v")] {
        bench.send(conns[0], join(op, name));
    }
    bench.send(conns[0], join(4, "t"));
    let frames = bench.take(conns[0]);
    assert!(matches!(
        frames[2],
        ServerFrame::Fault {
            op: Some(3),
            code: Code::LimitReached,
            ..
        }
    ));
    assert!(
        matches!(frames[3], ServerFrame::Joined { op: 4, .. }),
        "an update needs no room"
    );
    bench.send(conns[1], join(1, "t"));
    bench.send(conns[2], join(9, "t"));
    assert!(matches!(
        bench.take(conns[2])[0],
        ServerFrame::Fault {
            op: Some(9),
            code: Code::LimitReached,
            ..
        }
    ));
    let names = || ["x", "y", "z"].map(name).to_vec();
    for frame in [
        ClientFrame::Tag { names: names() },
        ClientFrame::Watch { names: names() },
    ] {
        bench.send(conns[3], frame);
        assert_eq!(fault(&bench.take(conns[3])), Some((Code::LimitReached, None)));
    }
}

#[test]
fn every_tag_s_carriers_beyond_the_limit_are_owned_up_to() {
    let mut bench = Bench::new(HubConfig {
        members_per_thread: 3,
        ..HubConfig::default()
    });
    for n in 0..6 {
        let (conn, _) = bench.enter(hello(None, n));
        bench.send(
            conn,
            ClientFrame::Tag {
                names: vec![name("user")],
            },
        );
    }
    let (watcher, _) = bench.enter(hello(Some("w"), 1));
    bench.send(
        watcher,
        ClientFrame::Watch {
            names: vec![name("user")],
        },
    );
    let frames = bench.take(watcher);
    assert_eq!(presence(&frames).iter().filter(|event| event.3).count(), 3);
    assert_eq!(fault(&frames), Some((Code::LimitReached, None)));
}

#[test]
fn names_of_object_properties_are_ordinary_names() {
    let mut bench = bench();
    let names = [
        "__proto__",
        "constructor",
        "prototype",
        "hasOwnProperty",
        "toString",
    ];
    let conns = names.map(|name| bench.enter(hello(Some(name), 1)).0);
    for (conn, own) in conns.iter().zip(names) {
        bench.send(*conn, join(1, own));
        bench.send(
            *conn,
            ClientFrame::Tag {
                names: vec![name("__proto__")],
            },
        );
    }
    for own in names {
        assert_eq!(bench.hub.members(&thread(own)).len(), 1, "{own}");
    }
    let (other, _) = bench.enter(hello(Some("other"), 1));
    bench.send(other, join(1, "new"));
    assert_eq!(bench.hub.members(&thread("new")).len(), 1);
}

#[test]
fn the_first_frame_is_a_hello_and_no_other_is() {
    let mut bench = bench();
    let conn = peerloom_core::hub::ConnId(999);
    bench.send(conn, join(1, "t"));
    assert_eq!(bench.code(conn), Some(Some(CloseCode::ProtocolViolation)));
    let (alice, _, bob) = pair(&mut bench);
    bench.send(alice, ClientFrame::Hello(hello(Some("alice"), 1)));
    assert_eq!(bench.code(alice), Some(Some(CloseCode::ProtocolViolation)));
    assert_eq!(
        left(&bench.take(bob)),
        [("alice".to_owned(), LeaveReason::Kicked)]
    );
    let conn = bench.hello(peerloom_core::wire::Hello {
        protocol: limits::PROTOCOL + 1,
        ..hello(None, 1)
    });
    assert_eq!(fault(&bench.take(conn)), Some((Code::ServerIncompatible, None)));
    assert_eq!(bench.code(conn), Some(Some(CloseCode::Incompatible)));
}

#[test]
fn unknown_kinds_are_counted() {
    let mut bench = bench();
    let (alice, ..) = pair(&mut bench);
    let _ = bench.input(|hub, now| hub.unknown(now, alice));
    bench.send(alice, ClientFrame::Ping { received: 2 });
    assert!(matches!(
        &bench.take(alice)[..],
        [ServerFrame::Pong { received: 2 }]
    ));
}

#[test]
fn too_many_questions_are_slowed_down_then_cut_off() {
    let config = HubConfig {
        control: Rate::new(10, 20),
        strikes: 5,
        ..HubConfig::default()
    };
    let mut bench = Bench::new(config);
    let (alice, ticket, bob) = pair(&mut bench);
    let mut pauses = Vec::new();
    for n in 0..24 {
        pauses.push(bench.send(
            alice,
            ClientFrame::Find {
                op: n,
                name: name("x"),
            },
        ));
    }
    assert!(pauses[..19].iter().all(|pause| *pause == 0));
    assert!(pauses[19..].iter().all(|pause| *pause > 0), "{pauses:?}");
    assert_eq!(bench.code(alice), None);
    bench.send(
        alice,
        ClientFrame::Find {
            op: 24,
            name: name("x"),
        },
    );
    let frames = bench.take(alice);
    assert_eq!(fault(&frames), Some((Code::RateLimited, Some(100))));
    assert_eq!(
        frames
            .iter()
            .filter(|frame| matches!(frame, ServerFrame::Fault { .. }))
            .count(),
        1
    );
    assert_eq!(bench.code(alice), Some(Some(CloseCode::RateLimited)));
    // It may come back, and nothing that the server took is lost.
    assert!(bench.take(bob).is_empty());
    let _ = ticket;
}

#[test]
fn whoever_heeds_the_fault_is_not_cut_off() {
    let config = HubConfig {
        control: Rate::new(10, 20),
        strikes: 5,
        ..HubConfig::default()
    };
    let mut bench = Bench::new(config);
    let (alice, ..) = pair(&mut bench);
    for n in 0..1_000 {
        let pause = bench.send(
            alice,
            ClientFrame::Find {
                op: n,
                name: name("x"),
            },
        );
        bench.wait(pause + 100);
    }
    assert_eq!(bench.code(alice), None);
    assert_eq!(
        bench
            .take(alice)
            .iter()
            .filter(|frame| matches!(frame, ServerFrame::Found { .. }))
            .count(),
        1_000
    );
}

#[test]
fn relayed_frames_are_slowed_down_and_never_lost() {
    let config = HubConfig {
        frames: Rate::new(100, 50),
        ..HubConfig::default()
    };
    let mut bench = Bench::new(config);
    let (alice, _, bob) = pair(&mut bench);
    let mut paused = 0;
    for token in 0..1_000 {
        let pause = bench.send(alice, relay("bob", token));
        paused += pause;
        bench.wait(pause);
    }
    assert!((9_000..10_000).contains(&paused), "{paused} ms");
    assert_eq!(tokens(&bench.take(bob)), (0..1_000).collect::<Vec<_>>());
    // Its pings waited with the rest, so it was told that the server lives.
    let pongs = bench
        .take(alice)
        .iter()
        .filter(|frame| matches!(frame, ServerFrame::Pong { .. }))
        .count();
    assert!((9..=10).contains(&pongs), "{pongs}");
}

#[test]
fn what_is_multiplied_by_many_members_is_paid_for() {
    let mut bench = Bench::new(HubConfig {
        bytes: Rate::new(10_000, 100_000),
        ..HubConfig::default()
    });
    let conns: Vec<_> = (0..100).map(|n| bench.enter(hello(None, n)).0).collect();
    for conn in &conns {
        bench.send(*conn, join(1, "t"));
    }
    let data = "x".repeat(limits::USER_DATA);
    let mut paused = 0;
    for n in 0..10 {
        let user_data = json(&format!("{n}{}", &data[1..]));
        paused += bench.send(conns[0], ClientFrame::UserData { user_data });
    }
    assert!(paused > 60_000, "{paused} ms for 4 MB");
}
