//! A client that is online takes whatever its server says, and what it says itself are frames.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peerloom_core::client::{Channel, Client, Config, Output};
use peerloom_core::privacy::Privacy;
use peerloom_core::time::Time;
use peerloom_core::wire::codec::{self, Codec};
use peerloom_core::wire::{ClientFrame, Id, Instance, Secret, ServerFrame, Welcome};

fn online() -> Option<Client> {
    let mut client = Client::new(Config {
        id: None,
        token: None,
        instance: Instance(1),
        user_data: None,
        webrtc: true,
        privacy: Privacy::Relay,
        codec: Codec::Binary,
        timeout: 1_000,
        recovery: peerloom_core::recovery::Recovery::default(),
        seed: 1,
    });
    client.open(Time(0));
    client.socket_opened(Time(0));
    let welcome = ServerFrame::Welcome(Welcome {
        id: Id::new("a").ok()?,
        ticket: Secret::new("ticket")?,
        resumed: false,
        received: 0,
        grace: 10_000,
        heartbeat: 5_000,
        ice_servers: None,
    });
    client.socket_received(Time(0), &codec::encode(&welcome));
    Some(client)
}

fuzz_target!(|bytes: &[u8]| {
    let Some(mut client) = online() else { return };
    for (now, frame) in bytes.split(|byte| *byte == 0xfe).enumerate() {
        let now = Time(now as u64 * 500);
        client.socket_received(now, frame);
        client.tick(now);
        while let Some(output) = client.poll_output() {
            match output {
                Output::SocketSend(bytes) => assert!(codec::decode::<ClientFrame>(&bytes).is_ok()),
                Output::CreateConnection(key, generation) => {
                    client.connection_needs_negotiation(now, key, generation);
                    client.channel_opened(now, key, generation, Channel::Link);
                    client.channel_received(now, key, generation, Channel::Link, frame);
                }
                _ => {}
            }
        }
    }
});
