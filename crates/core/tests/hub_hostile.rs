//! A million broken frames in all, through the decoders and into the hub.
#![cfg(all(feature = "hub", feature = "json"))]
#![allow(clippy::unwrap_used)]

mod support;

use peerloom_core::hub::{ConnId, Grant, HubConfig, Output, Rate};
use peerloom_core::time::Time;
use peerloom_core::wire::codec::{self, DecodeError};
use peerloom_core::wire::{
    Acknowledgement, Body, Bytes, Candidate, ClientFrame, CloseCode, Description, DescriptionKind, Instance,
    Item, LinkFrame, LinkHeader, Outcome, ServerFrame, Signal,
};
use support::*;

/// One frame of every kind, with every kind of content.
fn samples() -> Vec<ClientFrame> {
    let names = || vec![name("alice"), name("__proto__"), name("role:host")];
    let to = |text: &str| id(text);
    let link = |frame| ClientFrame::Relay {
        to: to("alice"),
        instance: Some(Instance(1)),
        frame,
    };
    let candidate = Candidate {
        candidate: "candidate:1 1 udp 2122260223 192.0.2.1 54400 typ host".to_owned(),
        mid: Some("0".to_owned()),
        line_index: Some(0),
        fragment: Some("abcd".to_owned()),
    };
    let body = Body::Rich {
        json: "[1,2]".to_owned(),
        parts: vec![Bytes(vec![1, 2, 3]), Bytes(Vec::new())],
    };
    vec![
        ClientFrame::Hello(hello(Some("alice"), 1)),
        ClientFrame::Hello(hello(None, 2)),
        ClientFrame::Hello(resume(
            "bob",
            3,
            &peerloom_core::wire::Secret::new("a-ticket-of-some-length").unwrap(),
            3,
        )),
        ClientFrame::Ping { received: 0 },
        ClientFrame::Bye {},
        join(1, "lobby"),
        ClientFrame::Join {
            op: 2,
            thread: thread("__proto__"),
            user_data: json(r#"{"name":"Ann"}"#),
            media: peerloom_core::wire::Media {
                audio: true,
                video: false,
            },
        },
        ClientFrame::Leave {
            thread: thread("lobby"),
        },
        ClientFrame::UserData {
            user_data: json("null"),
        },
        ClientFrame::Tag { names: names() },
        ClientFrame::Untag { names: names() },
        ClientFrame::Watch { names: names() },
        ClientFrame::Unwatch { names: names() },
        ClientFrame::Find {
            op: 3,
            name: name("alice"),
        },
        ClientFrame::Signal {
            to: to("bob"),
            instance: None,
            signal: Signal::Description {
                generation: 1,
                exchange: 1,
                description: Description {
                    kind: DescriptionKind::Offer,
                    sdp: "v=0\r\n".repeat(20),
                },
            },
        },
        ClientFrame::Signal {
            to: to("bob"),
            instance: Some(Instance(2)),
            signal: Signal::Candidates {
                generation: 1,
                candidates: vec![candidate; 3],
            },
        },
        link(LinkFrame::Ping { token: 1 }),
        link(LinkFrame::Bye),
        link(LinkFrame::Acknowledge {
            acknowledged: Acknowledgement { stream: 1, next: 2 },
            again: true,
        }),
        link(LinkFrame::Data {
            header: LinkHeader {
                stream: 1,
                first: 0,
                acknowledged: Acknowledgement::default(),
            },
            items: vec![
                Item::Peer {
                    body: Body::Text("hello".to_owned()),
                },
                Item::Thread {
                    thread: thread("lobby"),
                    body: body.clone(),
                },
                Item::Named {
                    name: name("n"),
                    body: Body::Json("{}".to_owned()),
                },
                Item::Request {
                    request: 1,
                    name: name("n"),
                    body: Body::Bytes(Bytes(vec![0; 9])),
                },
                Item::Reply {
                    request: 1,
                    outcome: Outcome::Done(body),
                },
                Item::Reply {
                    request: 1,
                    outcome: Outcome::Failed("no".to_owned()),
                },
                Item::Part {
                    last: true,
                    bytes: Bytes(vec![7; 40]),
                },
                Item::Void,
            ],
        }),
    ]
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    for _ in 0..1 + random.below(4) / 3 {
        let at = random.below(bytes.len().max(1));
        match random.below(8) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            2 => bytes.insert(at.min(bytes.len()), random.next() as u8),
            3 if !bytes.is_empty() => drop(bytes.remove(at)),
            4 => bytes.truncate(at),
            5 => {
                let other = &corpus[random.below(corpus.len())];
                let (from, into) = (random.below(other.len()), at.min(bytes.len()));
                bytes.truncate(into);
                bytes.extend_from_slice(&other[from..]);
            }
            // Lengths and numbers that overflow.
            6 => {
                let at = at.min(bytes.len());
                bytes.splice(at..at, [0xFF; 9]);
            }
            _ if !bytes.is_empty() => {
                let upto = (at + random.below(16)).min(bytes.len());
                let copy = bytes[at..upto].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {}
        }
    }
}

/// Half a million, so that the two halves run side by side.
#[test]
fn a_million_mutated_frames_do_no_harm_first_half() {
    half_a_million(2_026);
}

#[test]
fn a_million_mutated_frames_do_no_harm_second_half() {
    half_a_million(11);
}

fn half_a_million(seed: u64) {
    const FRAMES: usize = 500_000;
    const SOCKETS: u64 = 12;
    let plenty = Rate::new(1_000_000, 100_000_000);
    let config = HubConfig {
        grace: 500,
        frames: plenty,
        control: plenty,
        bytes: plenty,
        outbox: 20_000,
        ..HubConfig::default()
    };
    let mut hub = seeded_hub(config, 1);
    let mut random = Random::new(seed);
    let binary: Vec<Vec<u8>> = samples().iter().map(codec::encode).collect();
    let text: Vec<Vec<u8>> = samples()
        .iter()
        .map(|frame| codec::encode_json(frame).into_bytes())
        .collect();
    let mut sockets: Vec<ConnId> = Vec::new();
    let (mut next, mut taken, mut unknown, mut malformed, mut checked) = (0, 0_u32, 0_u32, 0_u32, 0_u32);
    for n in 0..FRAMES {
        let now = Time(n as u64);
        while (sockets.len() as u64) < SOCKETS {
            let conn = ConnId(next);
            next += 1;
            let own = ["alice", "bob", "carol", "__proto__"][random.below(4)];
            let hello = hello(random.chance(50).then_some(own), random.next() % 4);
            hub.hello(now, conn, hello, Grant::default());
            sockets.push(conn);
        }
        let at = random.below(sockets.len());
        let conn = sockets[at];
        let is_text = random.chance(30);
        let corpus = if is_text { &text } else { &binary };
        let mut bytes = corpus[random.below(corpus.len())].clone();
        // A few are left as they are, so that there are threads and members to harm.
        if !random.chance(5) {
            mutate(&mut random, &mut bytes, corpus);
        }
        let frame = if is_text {
            match std::str::from_utf8(&bytes) {
                Ok(text) => codec::decode_json::<ClientFrame>(text),
                Err(_) => Err(DecodeError::Malformed),
            }
        } else {
            codec::decode::<ClientFrame>(&bytes)
        };
        match frame {
            Ok(ClientFrame::Hello(hello)) if random.chance(90) => {
                taken += 1;
                hub.disconnected(now, conn, random.chance(50));
                sockets[at] = ConnId(next);
                next += 1;
                hub.hello(now, sockets[at], hello, Grant::default());
            }
            Ok(frame) => {
                taken += 1;
                let _ = hub.frame(now, conn, frame);
            }
            Err(DecodeError::Unknown) => {
                unknown += 1;
                let _ = hub.unknown(now, conn);
            }
            Err(DecodeError::Malformed) => {
                malformed += 1;
                // As the server does, though seldom enough that something is left to harm.
                if random.chance(1) {
                    hub.expel(conn, CloseCode::ProtocolViolation, "not a frame");
                }
            }
        }
        if random.chance(1) {
            hub.disconnected(now, conn, false);
            sockets.retain(|other| *other != conn);
        }
        hub.tick(now);
        while let Some(output) = hub.poll_output() {
            match output {
                Output::Close { conn, .. } => sockets.retain(|other| *other != conn),
                Output::Send { frame, .. } if n % 64 == 0 => {
                    // Whatever got through, the others can read.
                    checked += 1;
                    assert_eq!(
                        codec::decode::<ServerFrame>(&codec::encode(&*frame)).as_ref(),
                        Ok(&*frame)
                    );
                    // In JSON an item of an unknown kind is a void: compared as text.
                    let text = codec::encode_json(&*frame);
                    let read = codec::decode_json::<ServerFrame>(&text);
                    assert_eq!(read.map(|frame| codec::encode_json(&frame)), Ok(text));
                }
                Output::Send { .. } => {}
            }
        }
        if n % 1_000 == 0 {
            hub.check_invariants();
        }
    }
    hub.check_invariants();
    println!("{taken} taken, {unknown} unknown, {malformed} malformed, {checked} answers checked");
    assert!(taken > 50_000 && malformed > 50_000 && unknown > 1_000 && checked > 1_000);
}
