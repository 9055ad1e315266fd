//! A server that is killed in the middle of a long conversation costs nothing but time.
#![cfg(all(feature = "json", feature = "hub"))]

mod model;

use model::{Outcome, PageOptions, World};
use peerloom_core::client::{ClientState, PeerState};
use peerloom_core::wire::ThreadId;
use peerloom_core::wire::codec::Codec;

const MESSAGES: usize = 10_000;

/// Two pages in a thread talk to each other; in the middle `fault` happens. Afterwards everything has arrived.
fn conversation(seed: u64, webrtc: bool, fault: impl Fn(&mut World)) -> World {
    let mut world = World::new(seed);
    for (codec, webrtc) in [(Codec::Binary, true), (Codec::Json, webrtc)] {
        world.add_page(PageOptions { webrtc, codec });
    }
    let lobby = ThreadId::new("lobby").expect("a name");
    for page in 0..2 {
        world.join(page, &lobby);
    }
    world.run(3_000);
    assert!(world.is_settled(), "{}", world.unsettled());
    let mut faulted = false;
    while world.ledger.messages.len() < MESSAGES {
        for _ in 0..25 {
            let page = world.random.index(2);
            match world.random.below(4) {
                0 => world.send_thread(page, &lobby),
                1 => world.send_named(page, &[1 - page]),
                2 => world.request(page, 1 - page),
                _ => world.send(page, 1 - page),
            }
        }
        world.run(20);
        if !faulted && world.ledger.messages.len() >= MESSAGES / 2 {
            faulted = true;
            fault(&mut world);
        }
    }
    world.run_till(240_000, |world| {
        world
            .ledger
            .messages
            .iter()
            .all(|message| message.outcome != Outcome::Pending)
    });
    world.run(20_000);
    assert!(world.is_settled(), "{}", world.unsettled());
    world.ledger.check(&[0, 0]);
    for (index, message) in world.ledger.messages.iter().enumerate() {
        assert_eq!(message.outcome, Outcome::Done, "message {index}");
        assert_eq!(message.delivered.len(), 1, "message {index}");
    }
    for page in 0..2 {
        // The questions that go through the server are confirmed by it now and then.
        let most = if webrtc { 0 } else { 10 };
        assert!(world.pages[page].client.kept() <= most);
    }
    world
}

fn kill_and_restart(world: &mut World) {
    world.kill_server();
    world.run(2_000);
    world.start_server();
}

fn each_client_came_back(world: &World) {
    use ClientState::{Connecting, Online, Recovering};
    for page in &world.pages {
        assert_eq!(page.states, [Connecting, Online, Recovering, Online]);
    }
}

#[test]
fn a_killed_server_loses_nothing_on_a_direct_link() {
    for seed in 0..3 {
        let world = conversation(seed, true, kill_and_restart);
        each_client_came_back(&world);
        // The link is none of the server's business.
        for (page, other) in [(0, 1), (1, 0)] {
            assert_eq!(
                world.pages[page].peer_states[&other],
                [PeerState::Connecting, PeerState::Live]
            );
        }
    }
}

#[test]
fn a_killed_server_loses_nothing_on_a_relayed_link() {
    for seed in 0..3 {
        let world = conversation(seed, false, kill_and_restart);
        each_client_came_back(&world);
        for (page, other) in [(0, 1), (1, 0)] {
            assert_eq!(
                world.pages[page].peer_states[&other],
                [
                    PeerState::Connecting,
                    PeerState::Relayed,
                    PeerState::Recovering,
                    PeerState::Relayed
                ]
            );
        }
    }
}

#[test]
fn a_server_and_a_link_that_die_together_lose_nothing() {
    for seed in 0..3 {
        let world = conversation(seed, true, |world| {
            let connection = world.some_connection(0).expect("a link");
            world.silence_connection(connection);
            kill_and_restart(world);
        });
        for (page, other) in [(0, 1), (1, 0)] {
            let states = &world.pages[page].peer_states[&other];
            assert_eq!(
                states[..3],
                [PeerState::Connecting, PeerState::Live, PeerState::Recovering]
            );
            assert_eq!(states.last(), Some(&PeerState::Live));
        }
    }
}

#[test]
fn a_drained_server_loses_nothing() {
    for seed in 0..3 {
        let world = conversation(seed, false, |world| {
            world.drain_server();
            world.run(1_000);
            world.kill_server();
            world.start_server();
        });
        assert!(
            world
                .pages
                .iter()
                .all(|page| page.client.state() == ClientState::Online)
        );
    }
}

#[test]
fn a_lost_socket_is_resumed() {
    for seed in 0..3 {
        let world = conversation(seed, false, |world| {
            world.drop_socket(0);
            world.run(300);
            world.silence_socket(1);
        });
        for page in 0..2 {
            let lives = world.ledger.departures.keys().filter(|(by, ..)| by.0 == page);
            assert_eq!(lives.count(), 0, "nobody was seen to leave");
        }
    }
}
