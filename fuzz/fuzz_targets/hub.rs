//! Two clients say whatever they like to a hub, whose tables stay in order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peerloom_core::hub::{ConnId, Grant, Hub, HubConfig, Output};
use peerloom_core::time::Time;
use peerloom_core::wire::{ClientFrame, codec};

fuzz_target!(|bytes: &[u8]| {
    let mut count = 0_u8;
    let entropy = move |bytes: &mut [u8]| {
        count = count.wrapping_add(1);
        bytes.fill(count);
    };
    let mut hub = Hub::new(HubConfig::default(), Box::new(entropy));
    let (mut sockets, mut next) = ([ConnId(0), ConnId(1)], 2);
    for (index, frame) in bytes.split(|byte| *byte == 0xfe).enumerate() {
        let (now, conn) = (Time(index as u64 * 500), sockets[index % 2]);
        match codec::decode(frame) {
            Ok(ClientFrame::Hello(hello)) => hub.hello(now, conn, hello, Grant::default()),
            Ok(frame) => drop(hub.frame(now, conn, frame)),
            Err(codec::DecodeError::Unknown) => drop(hub.unknown(now, conn)),
            Err(codec::DecodeError::Malformed) => hub.disconnected(now, conn, false),
        }
        hub.tick(now);
        while let Some(output) = hub.poll_output() {
            if let Output::Close { conn, .. } = output {
                // No number is used twice.
                if let Some(socket) = sockets.iter_mut().find(|socket| **socket == conn) {
                    *socket = ConnId(next);
                    next += 1;
                }
            }
        }
        hub.check_invariants();
    }
});
