//! Both codecs carry every frame unharmed, say the same, and tell what they don't know from what is broken.
#![cfg(feature = "json")]

mod frames;

use std::collections::BTreeSet;
use std::fmt::Debug;

use peerloom_core::wire::codec::{self, DecodeError, Kinds};
use peerloom_core::wire::{Acknowledgement, Bytes, ClientFrame, Item, LinkFrame, LinkHeader, ServerFrame};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn travels<T: Serialize + DeserializeOwned + Kinds + PartialEq + Debug>(
    frame: &T,
) -> Result<(), TestCaseError> {
    let binary = codec::encode(frame);
    let text = codec::encode_json(frame);
    let from_binary: T =
        codec::decode(&binary).map_err(|error| TestCaseError::fail(format!("{error:?}: {frame:?}")))?;
    let from_text: T =
        codec::decode_json(&text).map_err(|error| TestCaseError::fail(format!("{error:?}: {text}")))?;
    prop_assert_eq!(&from_binary, frame);
    prop_assert_eq!(&from_text, frame);
    prop_assert_eq!(codec::encode(&from_text), binary);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn client_frames_travel(frame in frames::client_frame()) {
        travels(&frame)?;
    }

    #[test]
    fn server_frames_travel(frame in frames::server_frame()) {
        travels(&frame)?;
    }

    #[test]
    fn link_frames_travel(frame in frames::link_frame()) {
        travels(&frame)?;
    }

    #[test]
    fn items_travel(item in frames::item()) {
        travels(&item)?;
    }
}

/// A server of this version between two clients of a later one.
#[test]
fn items_of_a_later_version_are_carried_on() {
    let frame = LinkFrame::Data {
        header: LinkHeader {
            stream: 1,
            first: 0,
            acknowledged: Acknowledgement::default(),
        },
        items: vec![Item::Unknown(Bytes(vec![Item::KINDS as u8, 1, 2])), Item::Void],
    };
    let binary = codec::encode(&frame);
    assert_eq!(codec::decode::<LinkFrame>(&binary).as_ref(), Ok(&frame));
    let text = codec::encode_json(&frame);
    assert!(text.ends_with(r#""items":["void","void"]}}"#), "{text}");

    let text = text.replacen(r#""void""#, r#"{"hologram":{"x":1}}"#, 1);
    let Ok(LinkFrame::Data { items, .. }) = codec::decode_json(&text) else {
        panic!("a kind of a later version is no mistake: {text}");
    };
    assert_eq!(items, [Item::Void, Item::Void]);
    let text = text.replacen("hologram", "peer", 1);
    assert_eq!(
        codec::decode_json::<LinkFrame>(&text),
        Err(DecodeError::Malformed)
    );

    // A known kind that is not what it should be is a mistake: here a `void` with something behind it.
    let mut broken = binary;
    let length = broken.len() - 2;
    assert_eq!(broken[length..], [1, 6]);
    broken[length] = 2;
    broken.push(0);
    assert_eq!(codec::decode::<LinkFrame>(&broken), Err(DecodeError::Malformed));
}

fn every_kind_comes<T: Serialize + Kinds + Debug>(strategy: impl Strategy<Value = T>) {
    let mut runner = TestRunner::deterministic();
    let (mut numbers, mut names) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..1_000 {
        let frame = strategy.new_tree(&mut runner).expect("a frame").current();
        numbers.insert(u32::from(codec::encode(&frame)[0]));
        let text = codec::encode_json(&frame);
        let name = text
            .trim_start_matches(['{', '"'])
            .split('"')
            .next()
            .map(str::to_owned);
        names.extend(name);
    }
    assert_eq!(numbers, (0..T::KINDS).collect());
    assert_eq!(
        names,
        T::NAMES.iter().map(|name| (*name).to_owned()).collect(),
        "the table of names is what serde writes"
    );
}

#[test]
fn every_kind_of_frame_is_tested() {
    every_kind_comes(frames::item());
    every_kind_comes(frames::client_frame());
    every_kind_comes(frames::server_frame());
    every_kind_comes(frames::link_frame());
}

fn tells_unknown_from_broken<T: DeserializeOwned + Kinds + Debug + PartialEq>() {
    for kind in [T::KINDS, T::KINDS + 1, 127, 128, 20_000, u32::MAX] {
        for content in [&[][..], &[1, 2, 3], &[0xff; 40]] {
            let mut bytes = codec::encode(&kind);
            bytes.extend_from_slice(content);
            assert_eq!(codec::decode::<T>(&bytes), Err(DecodeError::Unknown), "{bytes:?}");
        }
    }
    for bytes in [
        &[][..],
        &[0xff],
        &[0xff; 5],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 1],
        &[0],
    ] {
        assert_eq!(
            codec::decode::<T>(bytes),
            Err(DecodeError::Malformed),
            "{bytes:?}"
        );
    }
    for text in [
        "{\"later\":{}}",
        "{\"later\":{\"op\":1,\"deep\":[[[]]]}}",
        "{\"__proto__\":null}",
        "\"later\"",
    ] {
        assert_eq!(codec::decode_json::<T>(text), Err(DecodeError::Unknown), "{text}");
    }
    let first = T::NAMES[0];
    for text in [
        "",
        "{}",
        "[]",
        "null",
        "1e999",
        "{\"later\":{}",
        "{\"later\":1,\"two\":2}",
        &format!("{{\"{first}\":5}}"),
        &format!("{{\"{first}\":{{}}}}"),
        &format!("\"{first}\""),
        &"[".repeat(100_000),
        &"{\"a\":".repeat(100_000),
    ] {
        assert_eq!(
            codec::decode_json::<T>(text),
            Err(DecodeError::Malformed),
            "{text:.60}"
        );
    }
}

#[test]
fn unknown_kinds_are_told_from_broken_frames() {
    tells_unknown_from_broken::<ClientFrame>();
    tells_unknown_from_broken::<ServerFrame>();
    tells_unknown_from_broken::<LinkFrame>();
}

#[test]
fn bytes_left_over_are_refused() {
    let mut bytes = codec::encode(&LinkFrame::Bye);
    bytes.push(0);
    assert_eq!(codec::decode::<LinkFrame>(&bytes), Err(DecodeError::Malformed));
    let mut bytes = codec::encode(&Item::Void);
    bytes.push(0);
    assert_eq!(codec::decode::<Item>(&bytes), Err(DecodeError::Malformed));
    assert_eq!(
        codec::decode_json::<ClientFrame>("{\"bye\":{}} {}"),
        Err(DecodeError::Malformed)
    );
}
