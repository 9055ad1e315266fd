//! A million broken frames, and sequences of well-formed ones that nobody honest sends: no panic, bounded memory, and
//! what is honest goes on.
#![cfg(all(feature = "json", feature = "hub"))]

mod frames;
#[path = "model/random.rs"]
mod random;
mod rig;

use peerloom_core::Code;
use peerloom_core::client::{Channel, ClientState, Event, PeerKey, PeerState};
use peerloom_core::wire::codec::{self, Codec};
use peerloom_core::wire::{
    Acknowledgement, Body, Bytes, ClientFrame, Item, LinkFrame, Name, Outcome, ServerFrame, Signal, limits,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use random::Random;
use rig::{Rig, data, id, info, message, offer, thread};

const DECODED: usize = 600_000;
const RECEIVED: usize = 400_000;

/// Encodings of so many frames of each type, in both codecs.
fn samples(count: usize) -> Vec<Vec<u8>> {
    fn of<T: serde::Serialize>(strategy: impl Strategy<Value = T>, count: usize, json: bool) -> Vec<Vec<u8>> {
        let mut runner = TestRunner::deterministic();
        (0..count)
            .map(|_| {
                let frame = strategy.new_tree(&mut runner).expect("a frame").current();
                if json {
                    codec::encode_json(&frame).into_bytes()
                } else {
                    codec::encode(&frame)
                }
            })
            .collect()
    }
    let mut all = Vec::new();
    for json in [false, true] {
        all.extend(of(frames::client_frame(), count, json));
        all.extend(of(frames::server_frame(), count, json));
        all.extend(of(frames::link_frame(), count, json));
        all.extend(of(frames::item(), count, json));
    }
    all
}

/// Flips bits, cuts, repeats, splices two, or makes something up.
fn mutate(random: &mut Random, samples: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = samples[random.index(samples.len())].clone();
    for _ in 0..random.between(1, 3) {
        match random.below(8) {
            0..3 if !bytes.is_empty() => {
                let at = random.index(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
            3 if !bytes.is_empty() => {
                let at = random.index(bytes.len());
                bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'{', b'9'][random.index(8)];
            }
            4 => bytes.truncate(random.index(bytes.len() + 1)),
            5 => {
                let other = &samples[random.index(samples.len())];
                let (end, start) = (random.index(bytes.len() + 1), random.index(other.len() + 1));
                bytes.truncate(end);
                bytes.extend_from_slice(&other[start..]);
            }
            6 => {
                let at = random.index(bytes.len() + 1);
                let length = random.index(8);
                let insert: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
                bytes.splice(at..at, insert);
            }
            _ => {
                let length = random.index(40);
                bytes = (0..length).map(|_| random.next() as u8).collect();
            }
        }
    }
    bytes
}

#[test]
fn decoders_refuse_what_is_broken() {
    let samples = samples(300);
    let mut random = Random::new(1);
    let mut taken = 0;
    for _ in 0..DECODED {
        let bytes = mutate(&mut random, &samples);
        let mut count = |is_taken: bool| taken += usize::from(is_taken);
        if bytes.starts_with(b"{") || bytes.starts_with(b"\"") {
            let text = String::from_utf8_lossy(&bytes);
            count(codec::decode_json::<ClientFrame>(&text).is_ok());
            count(codec::decode_json::<ServerFrame>(&text).is_ok());
            count(codec::decode_json::<LinkFrame>(&text).is_ok());
            count(serde_json::from_str::<Item>(&text).is_ok());
        } else {
            count(codec::decode::<ClientFrame>(&bytes).is_ok());
            count(codec::decode::<ServerFrame>(&bytes).is_ok());
            count(codec::decode::<LinkFrame>(&bytes).is_ok());
            count(codec::decode::<Item>(&bytes).is_ok());
        }
    }
    println!("{DECODED} frames, each into four decoders; {taken} times it was a frame after all");
    assert!(taken > 10_000, "mutations should not only make noise");
}

/// A client in the middle of things: two threads, a direct link, a relayed one, calls that wait.
fn busy() -> (Rig, (PeerKey, u32)) {
    let mut rig = Rig::online(Codec::Binary);
    rig.join("__proto__", &[info("bob", 5), info("constructor", 6)]);
    let link = rig.link_with("carol", 7);
    rig.client.send(rig.at(), link.0, Body::Text("hello".into()));
    let name = Name::new("x").expect("a name");
    rig.client
        .request(rig.at(), &name, name.clone(), Body::Text("?".into()), 5_000);
    rig.take();
    (rig, link)
}

#[test]
fn a_running_client_takes_no_harm() {
    let mut server: Vec<Vec<u8>> = Vec::new();
    let mut links: Vec<Vec<u8>> = Vec::new();
    let mut runner = TestRunner::deterministic();
    for _ in 0..2_000 {
        let frame = frames::server_frame()
            .new_tree(&mut runner)
            .expect("a frame")
            .current();
        server.push(codec::encode(&frame));
        let frame = frames::link_frame()
            .new_tree(&mut runner)
            .expect("a frame")
            .current();
        links.push(codec::encode(&frame));
    }
    let mut random = Random::new(2);
    let (mut rig, mut link) = busy();
    let (mut received, mut lives, mut most, mut most_bytes) = (0, 0, 0, 0);
    while received < RECEIVED {
        received += 1;
        match random.below(40) {
            // Most of these end the client.
            0 => {
                let bytes = mutate(&mut random, &server);
                rig.client.socket_received(rig.at(), &bytes);
            }
            1..14 => {
                // Well formed, but of the server's own invention.
                let bytes = &server[random.index(server.len())];
                rig.client.socket_received(rig.at(), bytes);
            }
            14..26 => {
                let bytes = mutate(&mut random, &links);
                rig.client
                    .channel_received(rig.at(), link.0, link.1, Channel::Link, &bytes);
            }
            _ => {
                let frame = if random.chance(50) {
                    links[random.index(links.len())].clone()
                } else {
                    mutate(&mut random, &links)
                };
                if let Ok(frame) = codec::decode::<LinkFrame>(&frame) {
                    let from = ["bob", "constructor", "carol", "mallory"][random.index(4)];
                    let instance = random.between(4, 8);
                    rig.relay(from, instance, frame);
                }
            }
        }
        rig.take();
        if random.chance(5) {
            let pause = random.below(3_000);
            rig.pass(pause);
        }
        most = most.max(rig.client.kept());
        most_bytes = most_bytes.max(rig.client.kept_bytes());
        rig.events.clear();
        rig.sent.clear();
        rig.executed.clear();
        if rig.client.state() == ClientState::Closed || random.below(5_000) == 0 {
            lives += 1;
            rig.client.close();
            assert_eq!((rig.client.kept(), rig.client.kept_bytes()), (0, 0));
            (rig, link) = busy();
        } else if !rig.connections.contains(&link) {
            let instance = random.next() >> 20;
            let before = rig.connections.len();
            rig.signal("carol", instance, offer(1));
            if rig.connections.len() > before {
                link = *rig.connections.last().expect("a connection");
                rig.client.channel_opened(rig.at(), link.0, link.1, Channel::Link);
                rig.take();
            }
        }
    }
    println!("{received} frames in {lives} lives; at most {most} entries and {most_bytes} bytes kept");
    assert!(most < 20_000 && most_bytes < 32 * 1024 * 1024);
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_ends_the_link() {
    let mut rig = Rig::online(Codec::Binary);
    let link = rig.link_with("mallory", 5);
    let receipt = rig.client.send(rig.at(), link.0, Body::Text("hi".into()));
    rig.take();
    let acknowledged = Acknowledgement { stream: 1, next: 2 };
    let frame = LinkFrame::Acknowledge {
        acknowledged,
        again: false,
    };
    rig.channel(link, &frame);
    assert!(rig.settled.iter().all(|settled| *settled != receipt));
    assert!(
        rig.rejected
            .iter()
            .any(|(rejected, error)| *rejected == receipt && error.code == Code::ProtocolViolation)
    );
    assert!(!rig.connections.contains(&link), "the connection is closed");
    assert_eq!(rig.errors(), 1);
}

#[test]
fn gaps_bring_nothing_and_cost_nothing() {
    let mut rig = Rig::online(Codec::Binary);
    let link = rig.link_with("mallory", 5);
    for first in [1, 2, 1 << 40, u64::MAX, u64::MAX - 1] {
        rig.channel(link, &data(1, first, vec![message("early"); 3]));
        rig.relay("mallory", 5, data(1, first, vec![message("early"); 3]));
    }
    rig.pass(100);
    assert!(rig.texts().is_empty());
    assert_eq!(rig.client.kept_bytes(), 0);
    rig.channel(link, &data(1, 0, vec![message("first")]));
    assert_eq!(rig.texts(), ["first"]);
}

#[test]
fn a_message_between_parts_or_parts_that_make_none_end_the_link() {
    let part = |last, bytes: &[u8]| Item::Part {
        last,
        bytes: Bytes(bytes.to_vec()),
    };
    let nested = codec::encode(&part(true, &codec::encode(&message("inside"))));
    for items in [
        vec![part(false, &[1]), message("between")],
        vec![part(true, &[0xff, 0xff])],
        vec![part(true, &[])],
        vec![part(true, &nested)],
    ] {
        let mut rig = Rig::online(Codec::Binary);
        let link = rig.link_with("mallory", 5);
        rig.channel(link, &data(1, 0, items));
        assert!(rig.texts().is_empty());
        assert_eq!(rig.errors(), 1);
        assert_eq!(rig.client.kept_bytes(), 0);
    }
}

#[test]
fn stale_generations_and_answers_are_dropped() {
    let mut rig = Rig::online(Codec::Binary);
    let old = rig.link_with("bob", 5);
    rig.signal("bob", 5, offer(9));
    let new = *rig.connections.last().expect("a connection");
    assert_eq!((new.1, rig.connections.len()), (9, 1));
    rig.channel(old, &data(1, 0, vec![message("of the dead")]));
    rig.client.channel_opened(rig.at(), old.0, old.1, Channel::Link);
    rig.client.connection_failed(rig.at(), old.0, old.1);
    rig.signal("bob", 5, offer(8));
    rig.signal("bob", 5, offer(0));
    rig.signal(
        "bob",
        5,
        Signal::Candidates {
            generation: 10,
            candidates: Vec::new(),
        },
    );
    rig.take();
    assert_eq!(rig.connections, [new]);
    assert!(rig.texts().is_empty());
    assert_ne!(rig.client.peer_state(new.0), PeerState::Live);
}

#[test]
fn only_members_are_heard_in_a_thread() {
    let mut rig = Rig::online(Codec::Binary);
    rig.join("lobby", &[info("bob", 5)]);
    let said = |name: &str, text: &str| Item::Thread {
        thread: thread(name),
        body: Body::Text(text.into()),
    };
    rig.relay("mallory", 6, data(1, 0, vec![said("lobby", "not a member")]));
    rig.relay(
        "bob",
        5,
        data(1, 0, vec![said("other", "not my thread"), said("lobby", "hi")]),
    );
    assert_eq!(rig.texts(), ["hi"]);
    // Another life of the same id is another one.
    rig.relay("bob", 77, data(1, 0, vec![said("lobby", "reborn")]));
    rig.pass(20_000);
    assert!(!rig.texts().contains(&"not a member"));
    assert_eq!(rig.client.kept_bytes(), 0);
}

#[test]
fn only_who_was_asked_may_answer() {
    let mut rig = Rig::online(Codec::Binary);
    rig.join("lobby", &[info("bob", 5), info("mallory", 6)]);
    let name = Name::from(&id("bob"));
    let receipt = rig
        .client
        .request(rig.at(), &name, name.clone(), Body::Text("?".into()), 5_000);
    rig.take();
    let answer = |request| Item::Reply {
        request,
        outcome: Outcome::Failed("no".into()),
    };
    for request in [0, 1, 2, u32::MAX] {
        rig.relay(
            "mallory",
            6,
            data(1, u64::from(request.min(9)), vec![answer(request)]),
        );
    }
    rig.relay("bob", 5, data(1, 0, vec![answer(99)]));
    assert!(rig.rejected.is_empty());
    rig.relay("bob", 5, data(1, 1, vec![answer(1), answer(1)]));
    assert_eq!(rig.rejected.len(), 1);
    assert_eq!(
        (rig.rejected[0].0, rig.rejected[0].1.code),
        (receipt, Code::RequestFailed)
    );
}

#[test]
fn nobody_speaks_in_this_clients_name() {
    let mut rig = Rig::online(Codec::Binary);
    rig.relay("self", 5, data(1, 0, vec![message("me?")]));
    rig.signal("self", 5, offer(1));
    assert!(rig.texts().is_empty() && rig.connections.is_empty());
    assert_eq!(rig.client.peer_count(), 0);
}

#[test]
fn a_server_that_says_nonsense_is_left() {
    for bytes in [&[][..], &[0xff; 9], &[4], &[1]] {
        let mut rig = Rig::online(Codec::Binary);
        rig.client.socket_received(rig.at(), bytes);
        rig.take();
        assert_eq!(rig.client.state(), ClientState::Closed);
        assert!(
            rig.events
                .iter()
                .any(|event| matches!(event, Event::Error(error) if error.code == Code::ProtocolViolation))
        );
    }
    // What a later version may say is not nonsense.
    let mut rig = Rig::online(Codec::Binary);
    rig.client.socket_received(rig.at(), &[99, 1, 2, 3]);
    let link = rig.link_with("bob", 5);
    rig.client
        .channel_received(rig.at(), link.0, link.1, Channel::Link, &[99, 1, 2, 3]);
    rig.take();
    assert_eq!(rig.client.state(), ClientState::Online);
    assert_eq!(rig.client.peer_state(link.0), PeerState::Live);
}

#[test]
fn questions_to_a_link_are_answered_once() {
    let mut rig = Rig::online(Codec::Binary);
    let link = rig.link_with("mallory", 5);
    for token in 0..10_000 {
        rig.client.channel_received(
            rig.at(),
            link.0,
            link.1,
            Channel::Link,
            &codec::encode(&LinkFrame::Ping { token }),
        );
    }
    rig.take();
    assert_eq!(rig.client.kept_bytes(), 0);
}

#[test]
fn lives_that_change_with_every_frame_leave_nothing_behind() {
    let mut rig = Rig::online(Codec::Binary);
    for instance in 0..10_000 {
        rig.signal("mallory", instance, offer(1));
        rig.relay("mallory", instance, data(1, 0, vec![message("hi")]));
    }
    assert!(rig.connections.len() <= 1);
    assert_eq!(rig.client.peer_count(), 1);
    // For each life one question to the server and one to the life, until the server has them.
    assert!(rig.client.kept() <= 2 * 10_000 + limits::STRANGERS);
    rig.pass(200_000);
    assert_eq!(rig.client.active_peers().count(), 0);
}
