//! Rules of a client towards one peer and its server, each by itself.
#![cfg(feature = "json")]

mod rig;

use peerloom_core::Code;
use peerloom_core::client::Event;
use peerloom_core::time::Time;
use peerloom_core::wire::codec::Codec;
use peerloom_core::wire::{
    Body, ClientFrame, Item, LeaveReason, LinkFrame, Name, Outcome, PeerInfo, ServerFrame, limits,
};
use rig::*;

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn body(text: &str) -> Body {
    Body::Text(text.into())
}

fn asked(rig: &Rig) -> peerloom_core::client::Asker {
    let asker = rig.events.iter().rev().find_map(|event| match event {
        Event::Request(asker, ..) => Some(*asker),
        _ => None,
    });
    asker.expect("a request")
}

fn replies(rig: &Rig) -> usize {
    let is_reply = |item: &Item| matches!(item, Item::Reply { .. });
    rig.sent
        .iter()
        .map(|frame| match frame {
            ClientFrame::Relay {
                frame: LinkFrame::Data { items, .. },
                ..
            } => items.iter().filter(|item| is_reply(item)).count(),
            _ => 0,
        })
        .sum()
}

#[test]
fn a_reply_goes_to_the_life_that_asked() {
    let request = |text: &str| Item::Request {
        request: 1,
        name: name("sum"),
        body: body(text),
    };
    let mut rig = Rig::online(Codec::Binary);
    rig.relay("bob", 7, data(1, 0, vec![request("the first question")]));
    let first = asked(&rig);
    // Loaded again, it counts its requests anew.
    rig.relay("bob", 8, data(1, 0, vec![request("another question")]));
    let second = asked(&rig);
    rig.client.reply(rig.at(), first, Outcome::Done(body("too late")));
    rig.take();
    assert_eq!(replies(&rig), 0);
    rig.client.reply(rig.at(), second, Outcome::Done(body("in time")));
    rig.take();
    assert_eq!(replies(&rig), 1);
}

#[test]
fn what_another_life_of_the_same_id_said_is_not_the_new_one_s() {
    let mut rig = Rig::online(Codec::Binary);
    rig.join("lobby", &[]);
    let said = |text: &str| Item::Thread {
        thread: thread("lobby"),
        body: body(text),
    };
    rig.relay("bob", 7, data(1, 0, vec![said("by an impostor")]));
    assert_eq!(rig.texts(), [""; 0], "no member: it waits");
    let member = peerloom_core::wire::Member {
        peer: info("bob", 8),
        user_data: None,
        media: peerloom_core::wire::Media::default(),
    };
    rig.server(&ServerFrame::MemberJoined {
        thread: thread("lobby"),
        member,
    });
    rig.relay("bob", 8, data(1, 0, vec![said("by bob")]));
    assert_eq!(rig.texts(), ["by bob"]);
}

#[test]
fn an_aborted_request_ends() {
    let mut rig = Rig::online(Codec::Binary);
    let waiting = rig
        .client
        .request(rig.at(), &name("nobody yet"), name("sum"), body("1"), 60_000);
    rig.client.cancel(waiting);
    rig.client.cancel(waiting);
    rig.take();
    assert_eq!(
        rig.rejected
            .iter()
            .map(|(receipt, error)| (*receipt, error.code))
            .collect::<Vec<_>>(),
        [(waiting, Code::Aborted)]
    );
    let link = rig.link_with("bob", 7);
    let sent = rig
        .client
        .request(rig.at(), &name("bob"), name("sum"), body("1"), 60_000);
    rig.client.cancel(sent);
    rig.take();
    assert_eq!(rig.rejected.last().map(|(receipt, _)| *receipt), Some(sent));
    // Its answer is nobody's.
    let reply = Item::Reply {
        request: 1,
        outcome: Outcome::Unhandled,
    };
    rig.channel(link, &data(1, 0, vec![reply]));
    assert_eq!(rig.rejected.len(), 2);
}

#[test]
fn sending_again_does_not_keep_what_waits_alive() {
    let mut rig = Rig::online(Codec::Binary);
    rig.client.socket_closed(Time(rig.now), 1006);
    rig.take();
    let to = [name("somewhere")];
    let mut first = None;
    for _ in 0..65 {
        let receipt = rig.client.send_named(rig.at(), &to, name("news"), body("x"));
        first.get_or_insert(receipt);
        rig.take();
        rig.pass(1_000);
    }
    let first = rig.rejected.iter().find(|(receipt, _)| Some(*receipt) == first);
    assert_eq!(first.map(|(_, error)| error.code), Some(Code::Timeout));
}

/// The server says who they are, and that changes nothing about their time.
#[test]
fn strangers_that_the_server_knows_make_room_too() {
    let mut rig = Rig::online(Codec::Binary);
    for number in 0..limits::STRANGERS {
        let id = format!("stranger {number}");
        rig.relay(&id, 5, data(1, 0, vec![message("hi")]));
        let op = rig.sent.iter().rev().find_map(|frame| match frame {
            ClientFrame::Find { op, .. } => Some(*op),
            _ => None,
        });
        let peer = PeerInfo {
            webrtc: false,
            ..info(&id, 5)
        };
        rig.server(&ServerFrame::Found {
            op: op.expect("it asked who that is"),
            peers: vec![peer],
        });
    }
    assert_eq!(rig.client.active_peers().count(), limits::STRANGERS);
    rig.pass(130_000);
    assert_eq!(rig.client.active_peers().count(), 0);
    rig.relay("late", 5, data(1, 0, vec![message("later")]));
    assert_eq!(rig.texts().last(), Some(&"later"));
}

#[test]
fn a_member_that_left_and_came_back_is_heard() {
    let mut rig = Rig::online(Codec::Binary);
    rig.join("lobby", &[info("bob", 7)]);
    rig.server(&ServerFrame::MemberLeft {
        thread: thread("lobby"),
        id: id("bob"),
        instance: info("bob", 7).instance,
        reason: LeaveReason::Left,
    });
    let said = Item::Thread {
        thread: thread("lobby"),
        body: body("back"),
    };
    rig.relay("bob", 8, data(1, 0, vec![said]));
    assert_eq!(rig.texts(), [""; 0]);
    rig.server(&ServerFrame::MemberJoined {
        thread: thread("lobby"),
        member: peerloom_core::wire::Member {
            peer: info("bob", 8),
            user_data: None,
            media: peerloom_core::wire::Media::default(),
        },
    });
    assert_eq!(rig.texts(), ["back"]);
}

/// Firefox closes a page's sockets before it tells the page that it is gone; what comes back under the id then is the page
/// that follows.
#[test]
fn who_is_going_away_does_not_come_back_at_once() {
    for (code, soon) in [(1006, true), (1001, false)] {
        let mut rig = Rig::online(Codec::Binary);
        let before = rig.sockets;
        rig.client.socket_closed(Time(rig.now), code);
        rig.take();
        rig.pass(900);
        assert_eq!(rig.sockets > before, soon, "{code}");
        rig.pass(200);
        assert_eq!(rig.sockets, before + 1, "{code}");
    }
}
