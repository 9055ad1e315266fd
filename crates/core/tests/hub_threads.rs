//! The hub: threads, user data, presence, tags, and whom a signal reaches.
#![cfg(feature = "hub")]
#![allow(clippy::unwrap_used)]

mod support;

use peerloom_core::wire::{Candidate, ClientFrame, CloseCode, Instance, LeaveReason, ServerFrame, Signal};
use support::*;

#[test]
fn reasons_of_leaving() {
    let mut bench = bench();
    let (watcher, _) = bench.enter(hello(Some("watcher"), 1));
    bench.send(watcher, join(1, "t"));
    for (name, reason, after) in [
        ("bye", LeaveReason::Left, 0),
        ("close", LeaveReason::Left, 0),
        ("drop", LeaveReason::TimedOut, 10_000),
        ("rude", LeaveReason::Kicked, 0),
        ("leave", LeaveReason::Left, 0),
    ] {
        let (conn, _) = bench.enter(hello(Some(name), 1));
        bench.send(conn, join(1, "t"));
        bench.take(watcher);
        match name {
            "bye" => drop(bench.send(conn, ClientFrame::Bye {})),
            "close" => bench.input(|hub, now| hub.disconnected(now, conn, true)),
            "drop" => bench.lose(conn),
            "leave" => drop(bench.send(conn, ClientFrame::Leave { thread: thread("t") })),
            _ => bench.input(|hub, _| hub.expel(conn, CloseCode::ProtocolViolation, "rude")),
        }
        if after > 0 {
            bench.wait(after - 1);
            assert!(bench.take(watcher).is_empty());
        }
        bench.wait(1);
        assert_eq!(left(&bench.take(watcher)), [(name.to_owned(), reason)], "{name}");
    }
}

#[test]
fn joining_again_updates() {
    let mut bench = bench();
    let (alice, _, bob) = pair(&mut bench);
    let again = |data: &str| ClientFrame::Join {
        op: 2,
        thread: thread("t"),
        user_data: json(data),
        media: Default::default(),
    };
    bench.send(alice, again("1"));
    assert!(
        matches!(&bench.take(alice)[..], [ServerFrame::Joined { op: 2, members, .. }] if members.len() == 1)
    );
    assert!(
        matches!(&bench.take(bob)[..], [ServerFrame::MemberUpdated { member, .. }] if member.user_data == json("1"))
    );
    bench.send(alice, again("1"));
    assert!(bench.take(bob).is_empty(), "nothing changed");
}

#[test]
fn user_data_reaches_everybody_concerned_once() {
    let mut bench = bench();
    let (alice, _, bob) = pair(&mut bench);
    let (carol, _) = bench.enter(hello(Some("carol"), 3));
    let (dave, _) = bench.enter(hello(Some("dave"), 4));
    bench.send(alice, join(2, "u"));
    bench.send(bob, join(2, "u"));
    bench.send(
        bob,
        ClientFrame::Watch {
            names: vec![name("alice")],
        },
    );
    bench.send(
        carol,
        ClientFrame::Watch {
            names: vec![name("alice")],
        },
    );
    for conn in [alice, bob, carol, dave] {
        bench.take(conn);
    }
    bench.send(
        alice,
        ClientFrame::UserData {
            user_data: json("{}"),
        },
    );
    for (conn, count) in [(alice, 0), (bob, 1), (carol, 1), (dave, 0)] {
        let frames = bench.take(conn);
        assert_eq!(frames.len(), count);
        assert!(frames.iter().all(
            |frame| matches!(frame, ServerFrame::PeerUpdated { peer } if peer.user_data == json("{}") && peer.id == id("alice"))
        ));
    }
}

#[test]
fn presence_tells_the_present_and_then_changes() {
    let mut bench = bench();
    let (watcher, _) = bench.enter(hello(Some("w"), 1));
    let (alice, _) = bench.enter(hello(Some("alice"), 1));
    bench.send(
        alice,
        ClientFrame::Tag {
            names: vec![name("host"), name("host"), name("bob")],
        },
    );
    bench.send(
        watcher,
        ClientFrame::Tag {
            names: vec![name("host")],
        },
    );
    let watch = ClientFrame::Watch {
        names: vec![name("alice"), name("bob"), name("host")],
    };
    bench.send(watcher, watch.clone());
    let event = |name: &str, id: &str, online, tagged| (name.to_owned(), id.to_owned(), online, tagged);
    let now = [
        event("alice", "alice", true, false),
        event("bob", "bob", false, false),
        event("bob", "alice", true, true),
        event("host", "host", false, false),
        event("host", "alice", true, true),
    ];
    assert_eq!(presence(&bench.take(watcher)), now);
    bench.send(watcher, watch);
    assert_eq!(presence(&bench.take(watcher)), now, "asked again, told again");
    bench.send(
        alice,
        ClientFrame::Untag {
            names: vec![name("host"), name("never")],
        },
    );
    assert_eq!(
        presence(&bench.take(watcher)),
        [event("host", "alice", false, true)]
    );
    bench.lose(alice);
    bench.wait(9_999);
    assert!(bench.take(watcher).is_empty(), "away is still there");
    bench.wait(1);
    assert_eq!(
        presence(&bench.take(watcher)),
        [
            event("bob", "alice", false, true),
            event("alice", "alice", false, false)
        ]
    );
    bench.enter(hello(Some("bob"), 1));
    assert_eq!(presence(&bench.take(watcher)), [event("bob", "bob", true, false)]);
    bench.send(
        watcher,
        ClientFrame::Unwatch {
            names: vec![name("alice"), name("never")],
        },
    );
    bench.enter(hello(Some("alice"), 2));
    assert!(bench.take(watcher).is_empty());
}

#[test]
fn finding_prefers_ids_to_tags() {
    let mut bench = bench();
    let (alice, _) = bench.enter(hello(Some("alice"), 1));
    let (bob, _) = bench.enter(hello(Some("bob"), 1));
    for conn in [alice, bob] {
        bench.send(
            conn,
            ClientFrame::Tag {
                names: vec![name("bob"), name("both")],
            },
        );
    }
    let mut find = |who, what: &str| {
        bench.send(
            who,
            ClientFrame::Find {
                op: 5,
                name: name(what),
            },
        );
        let frames = bench.take(who);
        let [ServerFrame::Found { op: 5, peers }] = &frames[..] else {
            panic!("{frames:?}")
        };
        peers.iter().map(|peer| peer.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(find(alice, "bob"), ["bob"]);
    assert_eq!(find(alice, "both"), ["bob"], "not the asker");
    assert_eq!(find(alice, "alice"), ["alice"]);
    assert!(find(alice, "nobody").is_empty());
}

#[test]
fn the_server_says_who_a_signal_is_from_and_who_is_not_there() {
    let mut bench = bench();
    let (alice, _) = bench.enter(hello(Some("alice"), 7));
    let (bob, _) = bench.enter(hello(Some("bob"), 8));
    let signal = |to: &str, instance: Option<u64>| ClientFrame::Signal {
        to: id(to),
        instance: instance.map(Instance),
        signal: Signal::Candidates {
            generation: 1,
            candidates: vec![Candidate {
                candidate: String::new(),
                mid: None,
                line_index: None,
                fragment: None,
            }],
        },
    };
    bench.send(alice, signal("bob", Some(8)));
    bench.send(alice, signal("bob", None));
    let frames = bench.take(bob);
    assert_eq!(frames.len(), 2);
    assert!(frames.iter().all(
        |frame| matches!(frame, ServerFrame::Signal { from, instance: Instance(7), .. } if *from == id("alice"))
    ));
    bench.send(alice, signal("bob", Some(9)));
    bench.send(alice, relay("carol", 1));
    assert!(bench.take(bob).is_empty());
    let frames = bench.take(alice);
    assert!(matches!(
        &frames[..],
        [
            ServerFrame::Unreachable { to: bob, instance: Some(Instance(9)) },
            ServerFrame::Unreachable { to: carol, instance: None }
        ] if *bob == id("bob") && *carol == id("carol")
    ));
    // Whoever comes later finds nothing waiting.
    let (carol, _) = bench.enter(hello(Some("carol"), 1));
    assert!(bench.take(carol).is_empty());
}
