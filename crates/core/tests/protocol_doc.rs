//! `docs/protocol.md` can't drift from the code: its examples are decoded, and each kind of frame, each close code and
//! each limit must be named.

use peerloom_core::wire::codec::{Kinds, decode_json};
use peerloom_core::wire::{ClientFrame, CloseCode, LinkFrame, ServerFrame, limits};

const DOCUMENT: &str = include_str!("../../../docs/protocol.md");

/// The lines of the JSON blocks with that mark.
fn examples(mark: &str) -> Vec<&'static str> {
    let fence = format!("```json {mark}");
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
    let examples = examples(mark);
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
