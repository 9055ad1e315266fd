//! What a hostile peer can do with connections, and what becomes of a path in doubt, step by step.
#![cfg(feature = "json")]

mod rig;

use peerloom_core::Code;
use peerloom_core::client::{Channel, ConnectionKey, Event, Number, Output, PeerKey, PeerState, Terms};
use peerloom_core::wire::codec::{self, Codec};
use peerloom_core::wire::{
    Acknowledgement, Bytes, ClientFrame, Item, LinkFrame, LinkHeader, Manifest, Name, Signal, limits,
};
use rig::{Rig, data, offer};

fn ask(number: u32) -> Item {
    Item::Connect {
        number,
        label: None,
        metadata: None,
        ordered: true,
        max_retransmits: None,
    }
}

fn piece(index: u32, last: bool) -> Item {
    Item::Piece {
        index,
        last,
        bytes: Bytes(vec![7; 10]),
    }
}

fn frame(first: u64, items: Vec<Item>) -> Vec<u8> {
    let header = LinkHeader {
        stream: 1,
        first,
        acknowledged: Acknowledgement::default(),
    };
    codec::encode(&LinkFrame::Data { header, items })
}

fn asked(rig: &Rig) -> Vec<ConnectionKey> {
    let keys = rig.events.iter().filter_map(|event| match event {
        Event::Connection(key, _) => Some(*key),
        _ => None,
    });
    keys.collect()
}

fn pieces(rig: &Rig) -> usize {
    let is_piece = |event: &&Event| matches!(event, Event::ConnectionPiece(..));
    rig.events.iter().filter(is_piece).count()
}

#[test]
fn a_flood_of_questions_ends_with_the_link() {
    let mut rig = Rig::online(Codec::Binary);
    let link = rig.link_with("mallory", 1);
    let mut first = 0;
    while rig.errors() == 0 {
        assert!(first < 1_000_000, "never enough");
        let items = (first..first + 1_000).map(|n| ask(n as u32 + 1)).collect();
        rig.channel(link, &data(1, first, items));
        first += 1_000;
    }
    assert_eq!(
        asked(&rig).len(),
        limits::CONNECTIONS_PER_PEER,
        "the page hears of no more"
    );
    assert!(
        rig.client.kept() <= limits::ANSWERS + 2_000,
        "and answers are bounded"
    );
    assert!(first > limits::ANSWERS as u64, "honest peers are far from that");
}

/// What is offered is kept, so there is a limit to its bytes, too.
#[test]
fn offers_that_are_long_are_fewer() {
    let mut rig = Rig::online(Codec::Binary);
    let link = rig.link_with("mallory", 1);
    let long = "x".repeat(limits::LINK_FRAME_TARGET - 64);
    let offers = |first: u64, count: u64, text: &str| -> Vec<Item> {
        (first..first + count)
            .map(|n| Item::Offer {
                number: n as u32 + 1,
                manifest: Manifest::new(text).expect("short enough"),
            })
            .collect()
    };
    for first in 0..10_000 {
        let text = if first == 0 { &long } else { "{}" };
        rig.channel(link, &data(1, first, offers(first, 1, text)));
    }
    assert_eq!(asked(&rig).len(), limits::CONNECTIONS_PER_PEER);
    assert!(Manifest::new(&"x".repeat(limits::MANIFEST + 1)).is_none());

    // As large as they may be, in parts.
    let mut rig = Rig::online(Codec::Binary);
    let link = rig.link_with("mallory", 1);
    let text = "x".repeat(limits::MANIFEST);
    let mut number = 0;
    for offer in offers(0, 10, &text) {
        let whole = codec::encode(&offer);
        let parts: Vec<&[u8]> = whole.chunks(limits::LINK_FRAME_TARGET).collect();
        for (index, bytes) in parts.iter().enumerate() {
            let item = Item::Part {
                last: index + 1 == parts.len(),
                bytes: Bytes(bytes.to_vec()),
            };
            rig.channel(link, &data(1, number, vec![item]));
            number += 1;
        }
    }
    assert_eq!(asked(&rig).len(), limits::MANIFESTS / limits::MANIFEST);
    assert_eq!(rig.errors(), 0, "which is no offence");
}

#[test]
fn what_nobody_has_accepted_brings_nothing() {
    let mut rig = Rig::online(Codec::Binary);
    let link = rig.link_with("mallory", 1);
    rig.channel(link, &data(1, 0, vec![ask(1)]));
    let key = asked(&rig)[0];
    let channel = Channel::Connection(key.number);
    rig.client.channel_opened(rig.at(), link.0, link.1, channel);
    let early = frame(0, vec![piece(0, true)]);
    rig.client
        .channel_received(rig.at(), link.0, link.1, channel, &early);
    rig.take();
    assert_eq!(pieces(&rig), 0);
    rig.client.accept(rig.at(), key);
    rig.client
        .channel_received(rig.at(), link.0, link.1, channel, &early);
    rig.take();
    assert_eq!(pieces(&rig), 1);
    // And once.
    rig.client
        .channel_received(rig.at(), link.0, link.1, channel, &early);
    rig.take();
    assert_eq!(pieces(&rig), 1);
}

#[test]
fn a_connection_that_breaks_the_rules_ends_alone() {
    let mut rig = Rig::online(Codec::Binary);
    let link = rig.link_with("mallory", 1);
    let unordered = Item::Connect {
        number: 2,
        label: None,
        metadata: None,
        ordered: false,
        max_retransmits: None,
    };
    rig.channel(link, &data(1, 0, vec![ask(1), unordered]));
    let keys = asked(&rig);
    for (key, wrong) in [
        (keys[0], frame(0, vec![piece(1, true)])),
        (keys[1], frame(u64::MAX, vec![piece(0, true), piece(0, true)])),
    ] {
        rig.client.accept(rig.at(), key);
        let channel = Channel::Connection(key.number);
        rig.client.channel_opened(rig.at(), link.0, link.1, channel);
        rig.client
            .channel_received(rig.at(), link.0, link.1, channel, &wrong);
        rig.take();
        assert!(rig.events.iter().any(|event| matches!(
            event,
            Event::ConnectionClosed(of, Code::ProtocolViolation, _) if *of == key
        )));
    }
    assert_eq!(rig.client.peer_state(link.0), PeerState::Live);
}

#[test]
fn frames_of_no_connection_are_answered_a_few_times() {
    let mut rig = Rig::online(Codec::Binary);
    let link = rig.link_with("mallory", 1);
    for number in 0..50_000 {
        rig.relay(
            "mallory",
            1,
            LinkFrame::Connection {
                ours: true,
                number,
                frame: Bytes(frame(0, vec![piece(0, true)])),
            },
        );
    }
    assert!(
        rig.client.kept_bytes() <= 80 * 1024,
        "{}",
        rig.client.kept_bytes()
    );
    assert_eq!(rig.client.peer_state(link.0), PeerState::Live);
}

#[test]
fn an_old_question_is_not_a_new_one() {
    let mut rig = Rig::online(Codec::Binary);
    let link = rig.link_with("bob", 1);
    rig.channel(link, &data(1, 0, vec![ask(1)]));
    let key = asked(&rig)[0];
    let reason = Name::new("no").expect("a name");
    rig.client.close_connection(rig.at(), key, reason);
    rig.channel(link, &data(1, 1, vec![ask(1)]));
    assert_eq!(asked(&rig).len(), 1);
    rig.client.accept(rig.at(), key);
    rig.take();
    assert!(!rig.events.contains(&Event::ConnectionOpen(key)));
}

#[test]
fn a_close_that_nobody_confirms_ends_all_the_same() {
    let mut rig = Rig::online(Codec::Binary);
    let link = rig.link_with("mallory", 1);
    let terms = Terms {
        label: None,
        metadata: None,
        ordered: true,
        max_retransmits: None,
        manifest: None,
    };
    let key = rig
        .client
        .connect_to(rig.at(), link.0, terms)
        .expect("within the limits");
    rig.channel(link, &data(1, 0, vec![Item::Accepted { number: 1 }]));
    assert!(rig.events.contains(&Event::ConnectionOpen(key)));
    let channel = Channel::Connection(Number::Ours(1));
    rig.client.channel_opened(rig.at(), link.0, link.1, channel);
    rig.client.connection_send(rig.at(), key, 0, true, vec![1]);
    let reason = Name::new("done").expect("a name");
    let closing = rig.client.close_connection(rig.at(), key, reason);
    rig.take();
    // It answers questions, and confirms nothing.
    for token in 0..80 {
        rig.pass(1_000);
        rig.channel(link, &LinkFrame::Pong { token });
    }
    assert!(rig.rejected.iter().any(|(receipt, error)| {
        *receipt == closing && error.code == Code::Timeout && error.peers == [rig::id("mallory")]
    }));
}

/// What is asked of the browser within the next milliseconds.
fn restarts(rig: &mut Rig, milliseconds: u64) -> usize {
    let end = rig.now + milliseconds;
    let mut count = 0;
    while rig.now < end {
        rig.now += 50;
        let now = rig.at();
        rig.client.tick(now);
        while let Some(output) = rig.client.poll_output() {
            match output {
                Output::RestartIce(..) => count += 1,
                Output::Event(event) => rig.events.push(event),
                Output::CreateConnection(key, generation) => rig.connections.push((key, generation)),
                Output::CloseConnection(key, generation) => {
                    rig.connections.retain(|open| *open != (key, generation));
                }
                Output::SocketSend(bytes) => rig.sent.extend(codec::decode::<ClientFrame>(&bytes)),
                _ => {}
            }
        }
        rig.server(&peerloom_core::wire::ServerFrame::Pong { received: u64::MAX });
    }
    count
}

fn wanted(rig: &mut Rig) -> (PeerKey, u32) {
    let link = rig.link_with("bob", 1);
    rig.client
        .send(rig.at(), link.0, peerloom_core::wire::Body::Text("hello".into()));
    rig.take();
    link
}

#[test]
fn a_silent_path_is_restored_on_the_same_connection_and_then_made_anew() {
    let mut rig = Rig::online(Codec::Binary);
    let link = wanted(&mut rig);
    assert_eq!(restarts(&mut rig, 4_400), 0, "it may be a blip");
    assert_eq!(rig.client.peer_state(link.0), PeerState::Live);
    assert_eq!(restarts(&mut rig, 2_000), 1, "then ICE is restarted, once");
    assert_ne!(rig.client.peer_state(link.0), PeerState::Live);
    assert_eq!(rig.connections, [link], "on the connection that there is");
    // Whatever comes through it shows that it carries again.
    rig.channel(link, &LinkFrame::Pong { token: 0 });
    assert_eq!(rig.client.peer_state(link.0), PeerState::Live);
    assert_eq!(restarts(&mut rig, 6_500), 1);
    restarts(&mut rig, 4_000);
    assert_eq!(rig.connections, [(link.0, link.1 + 1)], "given up in time");
}

#[test]
fn the_other_sides_restart_spares_ones_own() {
    let mut rig = Rig::online(Codec::Binary);
    // The other side outranks this one, so it has the first turn.
    rig.link_with("zoe", (1 << 52) + 1);
    let (key, generation) = rig.connections[0];
    rig.client
        .send(rig.at(), key, peerloom_core::wire::Body::Text("hello".into()));
    rig.take();
    assert_eq!(restarts(&mut rig, 5_000), 0, "its turn");
    let again = match offer(generation) {
        Signal::Description {
            generation,
            description,
            ..
        } => Signal::Description {
            generation,
            exchange: 2,
            description,
        },
        other => other,
    };
    rig.signal("zoe", (1 << 52) + 1, again);
    assert_eq!(restarts(&mut rig, 3_000), 0);
}

#[test]
fn what_the_server_brings_does_not_hide_a_dead_channel() {
    let mut rig = Rig::online(Codec::Binary);
    let link = wanted(&mut rig);
    for first in 0..10 {
        restarts(&mut rig, 500);
        rig.relay("bob", 1, data(1, first, vec![rig::message("through the server")]));
    }
    assert_ne!(rig.client.peer_state(link.0), PeerState::Live);
    assert_eq!(rig.texts().len(), 10);
}

#[test]
fn more_than_may_wait_for_a_peer_is_refused_and_the_rest_kept() {
    use peerloom_core::wire::Body;
    let mut rig = Rig::online(Codec::Binary);
    let link = wanted(&mut rig);
    // Nothing of it is confirmed.
    let mut receipts = Vec::new();
    for _ in 0..18 {
        let body = Body::Bytes(Bytes(vec![0; limits::MESSAGE - 1024]));
        receipts.push(rig.client.send(rig.at(), link.0, body));
        rig.take();
    }
    let refused: Vec<_> = rig
        .rejected
        .iter()
        .map(|(receipt, error)| (*receipt, error.code))
        .collect();
    let last = receipts[16..].iter().map(|receipt| (*receipt, Code::BacklogFull));
    assert_eq!(refused, last.collect::<Vec<_>>());
    assert!(rig.client.kept_bytes() <= limits::OUTBOX + limits::MESSAGE);
}
