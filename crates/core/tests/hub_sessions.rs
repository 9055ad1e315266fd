//! The hub: sessions, that is ids, resuming, replay, draining.
#![cfg(feature = "hub")]
#![allow(clippy::unwrap_used)]

mod support;

use peerloom_core::Code;
use peerloom_core::hub::{Grant, HubConfig};
use peerloom_core::wire::{ClientFrame, CloseCode, LeaveReason, Secret, ServerFrame};
use support::*;

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
