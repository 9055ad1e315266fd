//! A link takes whatever comes, in messages of up to 64 bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peerloom_core::link::{Carrier, Link};
use peerloom_core::time::Time;

fuzz_target!(|bytes: &[u8]| {
    let mut link = Link::new(1);
    link.carry(Time(0), Carrier::Channel);
    for (now, frame) in bytes.chunks(64).enumerate() {
        let _ = link.receive_bytes(Time(now as u64), frame, &mut Vec::new());
        while link.poll_frame(Time(now as u64)).is_some() {}
    }
});
