//! Every limit on what comes from outside: at it something is taken, above it refused, in both codecs.
#![cfg(feature = "json")]

mod rig;

use peerloom_core::client::{ClientState, Event};
use peerloom_core::link::{Carrier, Encoded, Link};
use peerloom_core::negotiation::Command;
use peerloom_core::privacy::Privacy;
use peerloom_core::time::Time;
use peerloom_core::wire::codec::{self, Codec, DecodeError};
use peerloom_core::wire::{
    Acknowledgement, Body, Bytes, Candidate, ClientFrame, Description, DescriptionKind, Id, Instance, Item,
    JsonText, LinkFrame, LinkHeader, Name, NameError, Secret, ServerFrame, Signal, limits,
};
use rig::{Rig, data, id, info, message, offer, thread};
use serde::Serialize;
use serde_json::{Value, json};

/// What both codecs make of a client's frame of that number and these fields.
fn client(number: u32, fields: impl Serialize, name: &str, value: &Value) -> bool {
    let binary = codec::decode::<ClientFrame>(&codec::encode(&(number, fields)));
    let text = codec::decode_json::<ClientFrame>(&json!({ name: value }).to_string());
    assert_eq!(binary, text, "the codecs agree on {name}");
    assert!(binary.is_ok() || binary == Err(DecodeError::Malformed));
    binary.is_ok()
}

fn server(number: u32, fields: impl Serialize, name: &str, value: &Value) -> bool {
    let binary = codec::decode::<ServerFrame>(&codec::encode(&(number, fields)));
    let text = codec::decode_json::<ServerFrame>(&json!({ name: value }).to_string());
    assert_eq!(binary, text, "the codecs agree on {name}");
    binary.is_ok()
}

#[test]
fn names() {
    let leave = |text: &str| client(4, text, "leave", &json!({ "thread": text }));
    assert!(leave(&"x".repeat(limits::NAME)));
    assert!(leave(&"é".repeat(limits::NAME / 2)));
    assert!(!leave(&"x".repeat(limits::NAME + 1)));
    assert!(!leave(&"é".repeat(limits::NAME / 2 + 1)));
    assert!(!leave(""));
    for control in ["a\0", "a\n", "\u{7f}", "\u{85}"] {
        assert!(!leave(control));
    }
    for ordinary in ["__proto__", "constructor", "prototype", "..", "a b", "\u{202e}"] {
        assert!(leave(ordinary));
    }
    assert_eq!(Name::new(&"x".repeat(limits::NAME + 1)), Err(NameError::TooLong));
}

#[test]
fn user_data() {
    let set = |text: &str| client(5, Some(text), "user_data", &json!({ "user_data": text }));
    assert!(set(&"x".repeat(limits::USER_DATA)));
    assert!(!set(&"x".repeat(limits::USER_DATA + 1)));
    assert!(JsonText::new(&"x".repeat(limits::USER_DATA + 1)).is_none());
}

#[test]
fn tokens() {
    let hello = |token: &str| {
        client(
            0,
            (
                1_u16,
                None::<&str>,
                Some(token),
                5_u64,
                None::<&str>,
                false,
                None::<()>,
            ),
            "hello",
            &json!({ "protocol": 1, "token": token, "instance": 5 }),
        )
    };
    assert!(hello(&"x".repeat(limits::TOKEN)));
    assert!(!hello(&"x".repeat(limits::TOKEN + 1)));
    assert!(Secret::new(&"x".repeat(limits::TOKEN + 1)).is_none());
}

#[test]
fn descriptions() {
    let signal = |sdp: &str| {
        client(
            11,
            ("bob", None::<u64>, (0_u32, 1_u32, 1_u32, (0_u32, sdp))),
            "signal",
            &json!({ "to": "bob", "signal": { "description": {
                "generation": 1, "exchange": 1, "description": { "kind": "offer", "sdp": sdp } } } }),
        )
    };
    assert!(signal(&"x".repeat(limits::SDP)));
    assert!(!signal(&"x".repeat(limits::SDP + 1)));
}

#[test]
fn candidates() {
    type Fields<'a> = (&'a str, Option<&'a str>, Option<u16>, Option<&'a str>);
    let signal = |candidates: &[Fields]| {
        let value: Vec<Value> = candidates
            .iter()
            .map(|(candidate, mid, _, fragment)| {
                json!({ "candidate": candidate, "mid": mid, "fragment": fragment })
            })
            .collect();
        client(
            11,
            ("bob", None::<u64>, (1_u32, 1_u32, candidates)),
            "signal",
            &json!({ "to": "bob", "signal": { "candidates": { "generation": 1, "candidates": value } } }),
        )
    };
    let (full, over) = ("x".repeat(limits::CANDIDATE), "x".repeat(limits::CANDIDATE + 1));
    assert!(signal(&[(&full, Some(&full), None, Some(&full))]));
    assert!(!signal(&[(&over, None, None, None)]));
    assert!(!signal(&[("", Some(&over), None, None)]));
    assert!(!signal(&[("", None, None, Some(&over))]));
    let one: Fields = ("c", None, None, None);
    assert!(signal(&vec![one; limits::CANDIDATES_PER_FRAME]));
    assert!(!signal(&vec![one; limits::CANDIDATES_PER_FRAME + 1]));
}

#[test]
fn names_per_frame() {
    for (number, name) in [(6, "tag"), (7, "untag"), (8, "watch"), (9, "unwatch")] {
        let frame = |count: usize| {
            let names = vec!["x"; count];
            client(number, &names, name, &json!({ "names": names }))
        };
        assert!(frame(limits::NAMES_PER_FRAME));
        assert!(!frame(limits::NAMES_PER_FRAME + 1));
    }
}

#[test]
fn members_and_peers() {
    let info = ("bob", 7_u64, None::<&str>, true);
    let info_json = json!({ "id": "bob", "instance": 7, "webrtc": true });
    let joined = |count: usize| {
        server(
            4,
            (1_u32, "lobby", vec![(info, None::<&str>, (false, false)); count]),
            "joined",
            &json!({ "op": 1, "thread": "lobby", "members": vec![json!({ "peer": info_json }); count] }),
        )
    };
    assert!(joined(limits::MEMBERS_PER_THREAD));
    assert!(!joined(limits::MEMBERS_PER_THREAD + 1));
    let found = |count: usize| {
        server(
            10,
            (1_u32, vec![info; count]),
            "found",
            &json!({ "op": 1, "peers": vec![info_json.clone(); count] }),
        )
    };
    assert!(found(limits::MEMBERS_PER_THREAD));
    assert!(!found(limits::MEMBERS_PER_THREAD + 1));
}

fn relayed(items: Vec<Item>) -> ClientFrame {
    ClientFrame::Relay {
        to: id("bob"),
        instance: None,
        frame: data(1, 0, items),
    }
}

fn both_codecs_take(frame: &ClientFrame) -> [bool; 2] {
    [
        codec::decode::<ClientFrame>(&codec::encode(frame)).is_ok(),
        codec::decode_json::<ClientFrame>(&codec::encode_json(frame)).is_ok(),
    ]
}

#[test]
fn items_per_frame() {
    for (count, taken) in [
        (limits::ITEMS_PER_FRAME, true),
        (limits::ITEMS_PER_FRAME + 1, false),
    ] {
        let frame = relayed(vec![Item::Void; count]);
        assert_eq!(both_codecs_take(&frame), [taken; 2]);
    }
}

#[test]
fn parts_of_a_value() {
    for (count, taken) in [(limits::VALUE_PARTS, true), (limits::VALUE_PARTS + 1, false)] {
        let frame = relayed(vec![Item::Peer {
            body: Body::Rich {
                json: String::new(),
                parts: vec![Bytes::default(); count],
            },
        }]);
        assert_eq!(both_codecs_take(&frame), [taken; 2]);
    }
}

/// A list that declares more elements than memory has costs nothing.
#[test]
fn declared_lengths_are_not_believed() {
    for number in [6_u32, 7, 8, 9] {
        let mut bytes = codec::encode(&number);
        bytes.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert_eq!(codec::decode::<ClientFrame>(&bytes), Err(DecodeError::Malformed));
    }
}

#[test]
fn frames_from_the_server() {
    let mut text = codec::encode_json(&ServerFrame::Pong { received: 0 });
    text.push_str(&" ".repeat(limits::SERVER_FRAME - text.len()));
    for (extra, state) in [("", ClientState::Online), (" ", ClientState::Closed)] {
        let mut rig = Rig::online(Codec::Binary);
        rig.client.close();
        rig = online_in_json();
        rig.client
            .socket_received(rig.at(), format!("{text}{extra}").as_bytes());
        assert_eq!(rig.client.state(), state);
    }
    // The greatest frame that a server makes fits, in the wordier codec too.
    let worst = "\u{1}".repeat(limits::USER_DATA);
    let members: Vec<Value> = (0..limits::MEMBERS_PER_THREAD)
        .map(|number| {
            json!({
                "peer": { "id": format!("{number:0128}"), "instance": u64::MAX >> 11, "user_data": worst, "webrtc": true },
                "user_data": worst,
                "media": { "audio": false, "video": false },
            })
        })
        .collect();
    let text =
        json!({ "joined": { "op": 1, "thread": "x".repeat(limits::NAME), "members": members } }).to_string();
    assert!(text.len() <= limits::SERVER_FRAME, "{}", text.len());
    assert!(codec::decode_json::<ServerFrame>(&text).is_ok());
}

fn online_in_json() -> Rig {
    let mut rig = Rig::online(Codec::Json);
    let welcome = codec::encode_json(&ServerFrame::Welcome(rig::welcome()));
    // `online` speaks binary; this client waits for text.
    assert_eq!(rig.client.state(), ClientState::Closed);
    rig.client = peerloom_core::client::Client::new(peerloom_core::client::Config {
        id: None,
        token: None,
        instance: Instance(1),
        user_data: None,
        webrtc: true,
        privacy: Privacy::All,
        codec: Codec::Json,
        timeout: 10_000,
        recovery: peerloom_core::recovery::Recovery::default(),
        seed: 1,
    });
    rig.client.open(rig.at());
    rig.client.socket_opened(rig.at());
    rig.client.socket_received(rig.at(), welcome.as_bytes());
    assert_eq!(rig.client.state(), ClientState::Online);
    rig
}

/// What the client says is within the server's limit.
#[test]
fn frames_to_the_server() {
    let (full, line) = ("x".repeat(limits::NAME), "x".repeat(limits::CANDIDATE));
    let candidate = Candidate {
        candidate: line.clone(),
        mid: Some(line.clone()),
        line_index: Some(9),
        fragment: Some(line),
    };
    let to = Id::new(&full).expect("a name");
    let instance = Some(Instance(u64::MAX >> 11));
    let signals = [
        Signal::Candidates {
            generation: u32::MAX,
            candidates: vec![candidate; limits::CANDIDATES_PER_FRAME],
        },
        Signal::Description {
            generation: u32::MAX,
            exchange: u32::MAX,
            description: Description {
                kind: DescriptionKind::Offer,
                // Every line break takes two characters more in JSON.
                sdp: "a=12345\r\n".repeat(limits::SDP / 9),
            },
        },
    ];
    for signal in signals {
        let frame = ClientFrame::Signal {
            to: to.clone(),
            instance,
            signal,
        };
        assert!(codec::encode(&frame).len() <= limits::CLIENT_FRAME);
        assert!(codec::encode_json(&frame).len() <= limits::CLIENT_FRAME);
    }
    let mut link = Link::new(1);
    link.carry(Time(0), Carrier::Relay);
    let large = Item::Peer {
        body: Body::Bytes(Bytes(vec![255; 100_000])),
    };
    link.send(Time(0), &Encoded::new(&large).expect("fits"), None);
    while let Some(frame) = link.poll_frame(Time(0)) {
        let frame = ClientFrame::Relay {
            to: to.clone(),
            instance,
            frame: codec::decode(&frame).expect("a frame"),
        };
        assert!(codec::encode(&frame).len() <= limits::CLIENT_FRAME);
        assert!(codec::encode_json(&frame).len() <= limits::CLIENT_FRAME);
    }
}

fn item_of(bytes: usize) -> Item {
    let item = |length: usize| Item::Peer {
        body: Body::Bytes(Bytes(vec![0; length])),
    };
    let around = codec::encode(&item(bytes)).len() - bytes;
    item(bytes - around)
}

#[test]
fn messages() {
    assert_eq!(codec::encode(&item_of(limits::MESSAGE)).len(), limits::MESSAGE);
    let largest = Encoded::new(&item_of(limits::MESSAGE)).expect("at the limit");
    assert!(Encoded::new(&item_of(limits::MESSAGE + 1)).is_none());

    let (mut a, mut b) = (Link::new(1), Link::new(1));
    a.carry(Time(0), Carrier::Channel);
    a.send(Time(0), &largest, Some(1));
    let mut arrivals = Vec::new();
    loop {
        a.drained();
        let Some(frame) = a.poll_frame(Time(0)) else { break };
        assert!(frame.len() <= limits::LINK_FRAME);
        b.receive_bytes(Time(0), &frame, &mut arrivals).expect("valid");
    }
    assert_eq!(arrivals.len(), 1);

    let mut b = Link::new(1);
    let part = |last| Item::Part {
        last,
        bytes: Bytes(vec![0; 32 * 1024]),
    };
    let mut number = 0;
    while number * 32 * 1024 < limits::MESSAGE as u64 {
        let frame = data(1, number, vec![part(false)]);
        b.receive(Time(0), Carrier::Channel, frame, 1, &mut arrivals)
            .expect("not yet too much");
        number += 1;
    }
    assert!(b.assembly_bytes() <= limits::MESSAGE);
    let frame = data(1, number, vec![part(true)]);
    assert!(
        b.receive(Time(0), Carrier::Channel, frame, 1, &mut arrivals)
            .is_err()
    );
}

#[test]
fn frames_of_a_link() {
    let frame = |bytes: usize| {
        let header = LinkHeader {
            stream: 1,
            first: 0,
            acknowledged: Acknowledgement::default(),
        };
        let mut frame = codec::encode(&LinkFrame::Data {
            header,
            items: vec![item_of(limits::LINK_FRAME - 100)],
        });
        let missing = bytes - frame.len();
        frame = codec::encode(&LinkFrame::Data {
            header,
            items: vec![item_of(limits::LINK_FRAME - 100 + missing)],
        });
        assert_eq!(frame.len(), bytes);
        frame
    };
    let receive = |bytes: &[u8]| Link::new(1).receive_bytes(Time(0), bytes, &mut Vec::new());
    assert!(receive(&frame(limits::LINK_FRAME)).is_ok());
    assert!(receive(&frame(limits::LINK_FRAME + 1)).is_err());
}

#[test]
fn a_frame_is_full_at_its_target() {
    let mut link = Link::new(1);
    link.carry(Time(0), Carrier::Channel);
    let whole = Encoded::new(&item_of(limits::LINK_FRAME_TARGET)).expect("fits");
    link.send(Time(0), &whole, None);
    link.send(Time(0), &whole, None);
    let first = link.poll_frame(Time(0)).expect("a frame");
    let items = |frame: &[u8]| match codec::decode(frame) {
        Ok(LinkFrame::Data { items, .. }) => items,
        other => panic!("{other:?}"),
    };
    assert_eq!(items(&first), [item_of(limits::LINK_FRAME_TARGET)]);
    let mut link = Link::new(1);
    link.carry(Time(0), Carrier::Channel);
    let larger = item_of(limits::LINK_FRAME_TARGET + 2);
    // The item's own length takes a byte less.
    assert_eq!(codec::encode(&larger).len(), limits::LINK_FRAME_TARGET + 1);
    link.send(Time(0), &Encoded::new(&larger).expect("fits"), None);
    let first = link.poll_frame(Time(0)).expect("a frame");
    assert!(matches!(items(&first)[..], [Item::Part { last: false, .. }]));
}

#[test]
fn candidates_of_a_generation() {
    let mut rig = Rig::online(Codec::Binary);
    let candidate = Candidate {
        candidate: "c".into(),
        mid: None,
        line_index: None,
        fragment: None,
    };
    rig.signal("bob", 5, offer(1));
    for _ in 0..100 {
        let candidates = vec![candidate.clone(); 2];
        rig.signal(
            "bob",
            5,
            Signal::Candidates {
                generation: 1,
                candidates,
            },
        );
    }
    let mut added = 0;
    let mut index = 0;
    while let Some((key, generation, op, command)) = rig.executed.get(index).cloned() {
        index += 1;
        let done = match command {
            Command::SetLocal => peerloom_core::negotiation::Done::Local(Description {
                kind: DescriptionKind::Answer,
                sdp: "v=0".into(),
            }),
            Command::SetRemote(_) => peerloom_core::negotiation::Done::Applied,
            Command::AddCandidate(_) => {
                added += 1;
                peerloom_core::negotiation::Done::Applied
            }
        };
        rig.client.connection_done(rig.at(), key, generation, op, done);
        rig.take();
    }
    assert_eq!(added, limits::CANDIDATES_PER_GENERATION);
}

#[test]
fn generations() {
    let mut rig = Rig::online(Codec::Binary);
    rig.signal("bob", 5, offer(limits::GENERATION + 1));
    rig.signal("bob", 5, offer(u32::MAX));
    assert!(rig.connections.is_empty());
    rig.signal("bob", 5, offer(limits::GENERATION));
    assert_eq!(rig.connections.len(), 1);
    // What comes after it can still be counted.
    let (key, generation) = rig.connections[0];
    rig.client.connection_failed(rig.at(), key, generation);
    rig.client.send(rig.at(), key, Body::Text("on".into()));
    rig.take();
    rig.signal("bob", 5, offer(limits::GENERATION - 1));
    assert!(rig.connections.iter().all(|(_, open)| *open >= generation));
}

#[test]
fn strangers() {
    let mut rig = Rig::online(Codec::Binary);
    for number in 0..10_000 {
        rig.relay(&format!("stranger {number}"), 5, data(1, 0, vec![message("hi")]));
    }
    assert_eq!(rig.texts().len(), limits::STRANGERS);
    assert_eq!(rig.client.active_peers().count(), limits::STRANGERS);
    assert_eq!(rig.client.peer_count() as usize, limits::STRANGERS);
    // Those whom it knows still get through.
    rig.join("lobby", &[info("bob", 1)]);
    rig.relay("bob", 1, data(1, 0, vec![message("known")]));
    assert_eq!(rig.texts().last(), Some(&"known"));
    // Who stays silent makes room for others.
    rig.pass(130_000);
    assert_eq!(rig.client.active_peers().count(), 1);
    rig.relay("late", 5, data(1, 0, vec![message("later")]));
    assert_eq!(rig.texts().last(), Some(&"later"));
    // The earlier ones are not let in beyond the limit by having been there before.
    for number in 0..limits::STRANGERS {
        rig.relay(
            &format!("stranger {number}"),
            5,
            data(1, 1, vec![message("again")]),
        );
    }
    assert_eq!(rig.client.active_peers().count(), limits::STRANGERS + 1);
}

#[test]
fn parts_from_strangers() {
    let mut rig = Rig::online(Codec::Binary);
    let part = Item::Part {
        last: false,
        bytes: Bytes(vec![0; 60_000]),
    };
    let links: Vec<_> = (0..8)
        .map(|number| rig.link_with(&format!("stranger {number}"), 5))
        .collect();
    for number in 0..250 {
        for link in &links {
            rig.channel(*link, &data(1, number, vec![part.clone()]));
            assert!(rig.client.kept_bytes() <= limits::STRANGERS_BYTES);
        }
    }
    assert!(rig.errors() > 0, "somebody was too much");
    assert!(
        rig.client.kept_bytes() > limits::STRANGERS_BYTES / 2,
        "and not everybody"
    );
}

#[test]
fn messages_that_are_held() {
    let held = |text: &str| Item::Thread {
        thread: thread("lobby"),
        body: Body::Text(text.into()),
    };
    // In number.
    let mut rig = Rig::online(Codec::Binary);
    rig.join("lobby", &[]);
    let link = rig.link_with("bob", 5);
    for number in 0..limits::HELD_MESSAGES as u64 + 10 {
        rig.channel(link, &data(1, number, vec![held("held")]));
    }
    assert_eq!(rig.client.kept_bytes(), limits::HELD_MESSAGES * "held".len());
    rig.join("lobby", &[info("bob", 5)]);
    assert_eq!(rig.texts().len(), limits::HELD_MESSAGES);
    // In bytes.
    let mut rig = Rig::online(Codec::Binary);
    rig.join("lobby", &[]);
    let links: Vec<_> = (0..8)
        .map(|number| rig.link_with(&format!("stranger {number}"), 5))
        .collect();
    let long = "x".repeat(60_000);
    for (index, link) in links.iter().enumerate() {
        for number in 0..80 {
            rig.channel(*link, &data(1, number, vec![held(&long)]));
        }
        let most = ((index + 1) * limits::HELD_BYTES).min(limits::HELD_BYTES_IN_ALL);
        assert!(rig.client.kept_bytes() <= most);
        assert!(rig.client.kept_bytes() > most - (index + 1) * 60_000);
    }
    // In time.
    rig.pass(11_000);
    assert_eq!(rig.client.kept_bytes(), 0);
    assert!(rig.texts().is_empty());
    assert!(
        !rig.events
            .iter()
            .any(|event| matches!(event, Event::ThreadMessage(..)))
    );
}
