//! Sessions of the hub, one rule at a time.
#![cfg(feature = "hub")]
#![allow(clippy::unwrap_used)]

mod support;

use peerloom_core::Code;
use peerloom_core::hub::{Grant, HubConfig, Rate};
use peerloom_core::wire::{
    Candidate, ClientFrame, CloseCode, Instance, LeaveReason, Secret, ServerFrame, Signal, limits,
};
use support::*;

fn bench() -> Bench {
    Bench::new(HubConfig::default())
}

fn fault(frames: &[ServerFrame]) -> Option<(Code, Option<u32>)> {
    frames.iter().find_map(|frame| match frame {
        ServerFrame::Fault {
            code, retry_after, ..
        } => Some((*code, *retry_after)),
        _ => None,
    })
}

fn left(frames: &[ServerFrame]) -> Vec<(String, LeaveReason)> {
    frames
        .iter()
        .filter_map(|frame| match frame {
            ServerFrame::MemberLeft { id, reason, .. } => Some((id.to_string(), *reason)),
            _ => None,
        })
        .collect()
}

fn tokens(frames: &[ServerFrame]) -> Vec<u32> {
    frames
        .iter()
        .filter_map(|frame| match frame {
            ServerFrame::Relay {
                frame: peerloom_core::wire::LinkFrame::Ping { token },
                ..
            } => Some(*token),
            _ => None,
        })
        .collect()
}

fn presence(frames: &[ServerFrame]) -> Vec<(String, String, bool, bool)> {
    frames
        .iter()
        .filter_map(|frame| match frame {
            ServerFrame::Presence {
                name,
                id,
                online,
                tagged,
            } => Some((name.to_string(), id.to_string(), *online, *tagged)),
            _ => None,
        })
        .collect()
}

/// Alice and Bob in the thread `t`, their frames so far taken.
fn pair(bench: &mut Bench) -> (peerloom_core::hub::ConnId, Secret, peerloom_core::hub::ConnId) {
    let (alice, welcome) = bench.enter(hello(Some("alice"), 1));
    let (bob, _) = bench.enter(hello(Some("bob"), 2));
    bench.send(alice, join(1, "t"));
    bench.send(bob, join(1, "t"));
    bench.take(alice);
    bench.take(bob);
    (alice, welcome.ticket, bob)
}

#[test]
fn ids_that_are_not_chosen_are_unguessable() {
    let mut bench = bench();
    let ids: std::collections::BTreeSet<String> = (0..1000)
        .map(|n| bench.enter(hello(None, n)).1.id.to_string())
        .collect();
    assert_eq!(ids.len(), 1000);
    assert!(ids.iter().all(|id| id.len() == 26));
}

#[test]
fn an_id_in_use_is_refused_whatever_the_hello_says() {
    let mut bench = bench();
    let (alice, welcome) = bench.enter(hello(Some("alice"), 1));
    let wrong = Secret::new("x".repeat(26).as_str()).unwrap();
    for attempt in [
        hello(Some("alice"), 2),
        hello(Some("alice"), 1),
        resume("alice", 1, &wrong, 0),
        resume("alice", 1, &Secret::new("").unwrap(), 0),
        resume(
            "alice",
            1,
            &Secret::new(&welcome.ticket.expose()[1..]).unwrap(),
            0,
        ),
    ] {
        for grant in [
            Grant::default(),
            Grant {
                subject: Some(id("alice")),
            },
        ] {
            let conn = bench.hello_as(attempt.clone(), grant);
            assert_eq!(fault(&bench.take(conn)), Some((Code::IdTaken, None)));
            assert_eq!(bench.code(conn), Some(Some(CloseCode::IdTaken)));
        }
    }
    assert_eq!(bench.code(alice), None);
    // And while its owner is away, with the time that is left.
    bench.lose(alice);
    bench.wait(4_000);
    let conn = bench.hello(resume("alice", 1, &wrong, 0));
    assert_eq!(fault(&bench.take(conn)), Some((Code::IdTaken, Some(6_000))));
    bench.wait(6_000);
    bench.enter(hello(Some("alice"), 2));
}

#[test]
fn an_id_is_free_at_once_after_a_clean_end() {
    let mut bench = bench();
    let (alice, _) = bench.enter(hello(Some("alice"), 1));
    bench.send(alice, ClientFrame::Bye {});
    assert_eq!(bench.code(alice), Some(None));
    let (alice, _) = bench.enter(hello(Some("alice"), 2));
    bench.input(|hub, now| hub.disconnected(now, alice, true));
    bench.enter(hello(Some("alice"), 3));
}

#[test]
fn a_token_binds_the_id() {
    let mut bench = bench();
    let grant = || Grant {
        subject: Some(id("alice")),
    };
    let conn = bench.hello_as(hello(Some("bob"), 1), grant());
    assert_eq!(fault(&bench.take(conn)), Some((Code::Forbidden, None)));
    assert_eq!(bench.code(conn), Some(Some(CloseCode::Unauthorized)));
    let conn = bench.hello_as(hello(None, 1), grant());
    assert!(matches!(&bench.take(conn)[0], ServerFrame::Welcome(welcome) if welcome.id == id("alice")));
}

#[test]
fn a_resume_repeats_exactly_what_is_missing() {
    let mut bench = bench();
    let (alice, ticket, bob) = pair(&mut bench);
    // Joined and bob's MemberJoined are two; then five relays, of which two arrive.
    for token in 0..5 {
        bench.send(bob, relay("alice", token));
    }
    assert_eq!(tokens(&bench.take(alice)), [0, 1, 2, 3, 4]);
    bench.lose(alice);
    assert!(bench.take(bob).is_empty(), "nobody notices");
    bench.send(bob, relay("alice", 5));
    let (alice, welcome) = {
        let conn = bench.hello(resume("alice", 1, &ticket, 4));
        let frames = bench.take(conn);
        assert_eq!(tokens(&frames), [2, 3, 4, 5]);
        let ServerFrame::Welcome(welcome) = &frames[0] else {
            panic!("{frames:?}")
        };
        (conn, welcome.clone())
    };
    assert!(welcome.resumed);
    assert_eq!(welcome.received, 1, "alice's join");
    assert_ne!(welcome.ticket, ticket);
    bench.send(alice, ClientFrame::Ping { received: 8 });
    assert!(bench.take(bob).is_empty());
    // The old ticket is spent now.
    bench.lose(alice);
    let thief = bench.hello(resume("alice", 1, &ticket, 8));
    assert_eq!(bench.code(thief), Some(Some(CloseCode::IdTaken)));
    bench.enter(resume("alice", 1, &welcome.ticket, 8));
}

#[test]
fn a_lost_welcome_is_survived_any_number_of_times() {
    let mut bench = bench();
    let (alice, first, bob) = pair(&mut bench);
    bench.lose(alice);
    let mut last = None;
    for _ in 0..5 {
        let (conn, welcome) = bench.enter(resume("alice", 1, &first, 2));
        assert!(welcome.resumed);
        bench.lose(conn);
        last = Some(welcome.ticket);
    }
    // The last welcome did arrive after all.
    let (_, welcome) = bench.enter(resume("alice", 1, &last.unwrap(), 2));
    assert!(welcome.resumed);
    let conn = bench.hello(resume("alice", 1, &first, 2));
    assert_eq!(bench.code(conn), Some(Some(CloseCode::IdTaken)));
    assert!(bench.take(bob).is_empty());
}

#[test]
fn the_very_first_welcome_may_be_lost_too() {
    let mut bench = bench();
    let own = Secret::new("chosen-by-the-client").unwrap();
    // With a join sent along, and the old socket not known to be dead.
    let (old, _) = bench.enter(resume("alice", 1, &own, 0));
    bench.send(old, join(1, "t"));
    let (alice, welcome) = bench.enter(resume("alice", 1, &own, 0));
    assert!(!welcome.resumed);
    assert_eq!(bench.code(old), Some(Some(CloseCode::Replaced)));
    assert!(bench.hub.members(&thread("t")).is_empty());
    bench.send(alice, join(1, "t"));
    bench.send(alice, ClientFrame::Ping { received: 1 });
    // From here on only the server's ticket counts.
    let conn = bench.hello(resume("alice", 1, &own, 0));
    assert_eq!(bench.code(conn), Some(Some(CloseCode::IdTaken)));
    // One that could be guessed is never taken.
    let weak = Secret::new("short").unwrap();
    bench.enter(resume("bob", 1, &weak, 0));
    let conn = bench.hello(resume("bob", 1, &weak, 0));
    assert_eq!(bench.code(conn), Some(Some(CloseCode::IdTaken)));
}

#[test]
fn a_half_open_socket_is_replaced() {
    let mut bench = bench();
    let (old, ticket, bob) = pair(&mut bench);
    bench.send(bob, relay("alice", 1));
    let conn = bench.hello(resume("alice", 1, &ticket, 2));
    assert_eq!(tokens(&bench.take(conn)), [1]);
    assert_eq!(bench.code(old), Some(Some(CloseCode::Replaced)));
    // The old socket's end changes nothing.
    bench.lose(old);
    bench.wait(20_000);
    assert!(bench.take(bob).is_empty());
    bench.send(conn, relay("bob", 2));
    assert_eq!(tokens(&bench.take(bob)), [2]);
}

#[test]
fn what_can_not_be_repeated_is_not_called_resumed() {
    let mut bench = Bench::new(HubConfig {
        outbox: 4_096,
        ..HubConfig::default()
    });
    let (alice, ticket, bob) = pair(&mut bench);
    bench.lose(alice);
    for token in 0..100 {
        bench.send(bob, relay("alice", token));
    }
    let conn = bench.hello(resume("alice", 1, &ticket, 2));
    let frames = bench.take(conn);
    assert!(
        matches!(&frames[..], [ServerFrame::Welcome(welcome)] if !welcome.resumed && welcome.received == 0)
    );
    assert_eq!(
        left(&bench.take(bob)),
        [("alice".to_owned(), LeaveReason::TimedOut)]
    );
    assert_eq!(bench.hub.members(&thread("t")).len(), 1);
}

#[test]
fn confirmed_frames_make_room() {
    let mut bench = Bench::new(HubConfig {
        outbox: 4_096,
        ..HubConfig::default()
    });
    let (alice, ticket, bob) = pair(&mut bench);
    for token in 0..1_000 {
        bench.send(bob, relay("alice", token));
        bench.send(
            alice,
            ClientFrame::Ping {
                received: u64::from(token) + 3,
            },
        );
    }
    bench.lose(alice);
    bench.send(bob, relay("alice", 1_000));
    let conn = bench.hello(resume("alice", 1, &ticket, 1_002));
    let frames = bench.take(conn);
    assert!(matches!(&frames[0], ServerFrame::Welcome(welcome) if welcome.resumed));
    assert_eq!(tokens(&frames), [1_000]);
}

#[test]
fn claiming_more_than_was_sent_is_no_resume() {
    let mut bench = bench();
    let (alice, ticket, bob) = pair(&mut bench);
    bench.lose(alice);
    let (alice, welcome) = bench.enter(resume("alice", 1, &ticket, 3));
    assert!(!welcome.resumed);
    assert_eq!(
        left(&bench.take(bob)),
        [("alice".to_owned(), LeaveReason::TimedOut)]
    );
    bench.send(alice, ClientFrame::Ping { received: 1 });
    assert_eq!(bench.code(alice), Some(Some(CloseCode::ProtocolViolation)));
}

#[test]
fn a_new_life_with_the_old_ticket_replaces_the_old_one() {
    let mut bench = bench();
    let (_, ticket, bob) = pair(&mut bench);
    let (_, welcome) = bench.enter(resume("alice", 9, &ticket, 2));
    assert!(!welcome.resumed);
    assert_eq!(
        left(&bench.take(bob)),
        [("alice".to_owned(), LeaveReason::Replaced)]
    );
}

#[test]
fn an_unknown_ticket_for_a_free_id_begins_a_new_session() {
    let mut bench = bench();
    let ticket = Secret::new("from-a-server-that-restarted").unwrap();
    let (_, welcome) = bench.enter(resume("alice", 1, &ticket, 40));
    assert!(!welcome.resumed);
}

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

#[test]
fn draining_sends_clients_away_without_ending_them() {
    let mut bench = bench();
    let (alice, _, bob) = pair(&mut bench);
    bench.input(|hub, now| hub.drain(now));
    let mut waits = Vec::new();
    bench.wait(10);
    let late = bench.hello(hello(None, 3));
    for conn in [alice, bob, late] {
        match &bench.take(conn)[..] {
            [ServerFrame::Drain { return_after }] => waits.push(*return_after),
            other => panic!("{other:?}"),
        }
    }
    assert!(
        waits.iter().all(|wait| (500..5_000).contains(wait)) && waits[0] != waits[1],
        "{waits:?}"
    );
    assert_eq!(bench.code(late), Some(Some(CloseCode::Draining)));
    assert_eq!(bench.code(alice), None);
    bench.wait(500);
    assert_eq!(bench.code(alice), Some(Some(CloseCode::Draining)));
    assert_eq!(bench.code(bob), Some(Some(CloseCode::Draining)));
    assert!(left(&bench.take(bob)).is_empty());
    assert!(bench.hub.poll_timeout().is_some(), "their sessions still run out");
}
