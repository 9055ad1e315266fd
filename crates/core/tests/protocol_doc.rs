//! `docs/protocol.md` can't drift from the code: its examples are decoded, in both forms, the numbers of its kinds are
//! compared, and each kind of frame, each close code and each limit must be named.

use std::fmt::Write;

use peerloom_core::Code;
use peerloom_core::wire::codec::{Kinds, decode, decode_json, encode, encode_json};
use peerloom_core::wire::{
    Body, Bytes, ClientFrame, CloseCode, Description, DescriptionKind, Item, LeaveReason, LinkFrame,
    Manifest, Name, Outcome, ServerFrame, Signal, ThreadId, limits,
};

const DOCUMENT: &str = include_str!("../../../docs/protocol.md");

/// The lines of the blocks of that language with that mark.
fn lines(language: &str, mark: &str) -> Vec<&'static str> {
    let fence = format!("```{language} {mark}");
    let mut found = Vec::new();
    let mut inside = false;
    for line in DOCUMENT.lines() {
        if line == fence {
            inside = true;
        } else if line.starts_with("```") {
            inside = false;
        } else if inside {
            found.push(line);
        }
    }
    found
}

fn check<T: serde::de::DeserializeOwned + Kinds>(mark: &str) {
    let examples = lines("json", mark);
    for example in &examples {
        assert!(decode_json::<T>(example).is_ok(), "not a {mark} frame: {example}");
    }
    for name in T::NAMES {
        let keyed = format!("{{\"{name}\":");
        let bare = format!("\"{name}\"");
        assert!(
            examples
                .iter()
                .any(|example| example.starts_with(&keyed) || **example == bare),
            "no example of the {mark} frame {name}"
        );
    }
}

#[test]
fn every_example_is_a_frame_and_every_kind_has_one() {
    check::<ClientFrame>("client");
    check::<ServerFrame>("server");
    check::<LinkFrame>("link");
}

#[test]
fn every_close_code_is_there_with_its_consequence() {
    for code in CloseCode::ALL {
        let row = format!("| {} |", code.number());
        let line = DOCUMENT.lines().find(|line| line.starts_with(&row));
        let line = line.unwrap_or_else(|| panic!("{} is missing", code.number()));
        assert!(
            line.ends_with(if code.comes_back() { "| yes |" } else { "| no |" }),
            "{line}"
        );
    }
}

#[test]
fn every_limit_is_there() {
    let table = DOCUMENT.split("## 8. Limits").nth(1).expect("the section");
    for (words, limit) in [
        ("frame from a client", limits::CLIENT_FRAME),
        ("frame from the server", limits::SERVER_FRAME),
        ("id, tag", limits::NAME),
        ("user data", limits::USER_DATA),
        ("token", limits::TOKEN),
        ("SDP", limits::SDP),
        ("SDP", limits::CANDIDATE),
        ("candidates in", limits::CANDIDATES_PER_FRAME),
        ("candidates in", limits::CANDIDATES_PER_GENERATION),
        ("names in", limits::NAMES_PER_FRAME),
        ("threads per", limits::THREADS_PER_CLIENT),
        ("threads per", limits::MEMBERS_PER_THREAD),
        ("tags per", limits::TAGS_PER_CLIENT),
        ("tags per", limits::WATCHES_PER_CLIENT),
        ("message, encoded", limits::MESSAGE),
        ("link frame", limits::LINK_FRAME),
        ("link frame", limits::ITEMS_PER_FRAME),
        ("binary parts", limits::VALUE_PARTS),
        ("held messages", limits::HELD_MESSAGES),
        ("held messages", limits::HELD_BYTES),
        ("held messages", limits::HELD_BYTES_IN_ALL),
        ("strangers", limits::STRANGERS),
        ("strangers", limits::STRANGERS_BYTES),
        ("connections", limits::CONNECTIONS_PER_PEER),
        ("connections", limits::PIECE),
        ("connections", limits::GAPS),
    ] {
        let line = table.lines().find(|line| line.starts_with(&format!("| {words}")));
        let line = line.unwrap_or_else(|| panic!("no row for {words}"));
        let plain = limit.to_string();
        let grouped = if limit > 9_999 {
            format!("{},{:03}", limit / 1000, limit % 1000)
        } else {
            plain.clone()
        };
        let mebi = format!("{} MiB", limit / (1024 * 1024));
        assert!(
            [plain, grouped, mebi].iter().any(|text| line.contains(text)),
            "{line} lacks {limit}"
        );
    }
}

/// Each pair of lines is a frame as JSON and in the binary form.
fn check_binary<T>(mark: &str)
where
    T: serde::de::DeserializeOwned + serde::Serialize + Kinds + PartialEq + std::fmt::Debug,
{
    let lines = lines("hex", mark);
    assert!(
        !lines.is_empty() && lines.len().is_multiple_of(2),
        "pairs of lines"
    );
    for pair in lines.chunks(2) {
        let frame = decode_json::<T>(pair[0]).unwrap_or_else(|_| panic!("not a {mark} frame: {}", pair[0]));
        let bytes = encode(&frame);
        let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        assert_eq!(pair[1].replace(' ', ""), hex, "of {}", pair[0]);
        assert_eq!(decode::<T>(&bytes), Ok(frame));
    }
}

#[test]
fn the_binary_examples_are_the_same_frames() {
    check_binary::<ClientFrame>("client");
    check_binary::<ServerFrame>("server");
    check_binary::<LinkFrame>("link");
}

/// The names in a table of kinds, whose lines count from 0.
fn numbered(mark: &str) -> Vec<&'static str> {
    lines("kinds", mark)
        .into_iter()
        .enumerate()
        .map(|(index, line)| {
            let mut words = line.split_whitespace();
            assert_eq!(words.next(), Some(index.to_string().as_str()), "{line}");
            words.next().expect("a name")
        })
        .collect()
}

/// `values` are one of each kind, in order: their numbers and names are those of the table.
fn check_kinds<T: serde::Serialize>(mark: &str, values: &[T]) {
    let table = numbered(mark);
    assert_eq!(table.len(), values.len(), "the kinds of {mark}");
    for (index, (name, value)) in table.into_iter().zip(values).enumerate() {
        assert_eq!(usize::from(encode(value)[0]), index, "{mark} {name}");
        let json = encode_json(value);
        assert_eq!(json.split('"').nth(1), Some(name), "{mark} {index}: {json}");
    }
}

#[test]
fn the_numbers_of_kinds_are_the_codecs() {
    assert_eq!(numbered("client"), ClientFrame::NAMES);
    assert_eq!(numbered("server"), ServerFrame::NAMES);
    assert_eq!(numbered("link"), LinkFrame::NAMES);
    let body = || Body::Text("x".into());
    let name = || Name::new("n").expect("a name");
    check_kinds(
        "item",
        &[
            Item::Peer { body: body() },
            Item::Thread {
                thread: ThreadId::new("t").expect("a name"),
                body: body(),
            },
            Item::Named {
                name: name(),
                body: body(),
            },
            Item::Request {
                request: 1,
                name: name(),
                body: body(),
            },
            Item::Reply {
                request: 1,
                outcome: Outcome::Unhandled,
            },
            Item::Part {
                last: true,
                bytes: Bytes(vec![1]),
            },
            Item::Void,
            Item::Connect {
                number: 1,
                label: None,
                metadata: None,
                ordered: true,
                max_retransmits: None,
            },
            Item::Accepted { number: 1 },
            Item::Closed {
                ours: true,
                number: 1,
                reason: name(),
            },
            Item::Piece {
                index: 0,
                last: true,
                bytes: Bytes(vec![1]),
            },
            Item::Offer {
                number: 1,
                manifest: Manifest::new("{}").expect("short"),
            },
        ],
    );
    check_kinds(
        "body",
        &[
            Body::Json("1".into()),
            body(),
            Body::Bytes(Bytes(vec![1])),
            Body::Rich {
                json: "1".into(),
                parts: Vec::new(),
            },
        ],
    );
    check_kinds(
        "outcome",
        &[
            Outcome::Done(body()),
            Outcome::Failed("x".into()),
            Outcome::Unhandled,
        ],
    );
    check_kinds(
        "signal",
        &[
            Signal::Description {
                generation: 1,
                exchange: 1,
                description: Description {
                    kind: DescriptionKind::Offer,
                    sdp: "v=0".into(),
                },
            },
            Signal::Candidates {
                generation: 1,
                candidates: Vec::new(),
            },
        ],
    );
    check_kinds(
        "reason",
        &[
            LeaveReason::Left,
            LeaveReason::TimedOut,
            LeaveReason::Kicked,
            LeaveReason::Replaced,
        ],
    );
    for (index, code) in Code::ALL.iter().enumerate() {
        assert_eq!(usize::from(encode(code)[0]), index, "{}", code.as_str());
    }
}
