//! What decodes is encoded to something that decodes to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peerloom_core::wire::{LinkFrame, codec};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = codec::decode::<LinkFrame>(bytes) {
        assert_eq!(codec::decode(&codec::encode(&frame)), Ok(frame));
    }
    if let Ok(frame) = codec::decode_json::<LinkFrame>(&String::from_utf8_lossy(bytes)) {
        assert_eq!(codec::decode_json(&codec::encode_json(&frame)), Ok(frame));
    }
});
