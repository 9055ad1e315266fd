//! Clients, browsers, a network and a server, in thousands of different orders of events: a page's messages arrive
//! once and in order or are said not to, every call ends, links converge, and nothing comes out of what is closed.
#![cfg(all(feature = "json", feature = "hub"))]

mod model;

use model::world::Sloppiness;
use model::{PageOptions, World, schedules};
use peerloom_core::client::{ClientState, PeerState};
use peerloom_core::wire::ThreadId;
use peerloom_core::wire::codec::Codec;

fn thread(number: usize) -> ThreadId {
    ThreadId::new(["lobby", "__proto__"][number]).expect("a name")
}

/// A world of 2 to 4 pages with what differs between browsers.
fn populated(seed: u64) -> World {
    let mut world = World::new(seed);
    world.delay = [(1, 10), (5, 80), (1, 400)][world.random.index(3)];
    let all_direct = world.random.chance(60);
    for _ in 0..world.random.between(2, 4) {
        let options = PageOptions {
            webrtc: all_direct || world.random.chance(70),
            codec: if world.random.chance(50) {
                Codec::Binary
            } else {
                Codec::Json
            },
        };
        world.add_page(options);
    }
    if world.random.chance(20) {
        world.block(0, 1);
    }
    world
}

fn act(world: &mut World) {
    let page = world.random.index(world.pages.len());
    let to = world.random.index(world.pages.len());
    if !world.is_open(page) {
        return;
    }
    match world.random.below(16) {
        _ if page == to => {
            let thread = thread(world.random.index(2));
            for _ in 0..world.random.between(1, 20) {
                world.send_thread(page, &thread);
            }
        }
        0..4 => {
            for _ in 0..world.random.between(1, 30) {
                world.send(page, to);
            }
        }
        4..7 => {
            for _ in 0..world.random.between(1, 5) {
                world.request(page, to);
            }
        }
        7..9 => world.send_named(page, &[to]),
        9 => {
            let all: Vec<usize> = (0..world.pages.len()).filter(|other| *other != page).collect();
            world.send_named(page, &all);
        }
        10 | 11 => world.send_thread(page, &thread(0)),
        12 => {
            if world.pages[page].open.len() < 5 {
                world.connect_to(page, to);
            } else {
                world.close_some(page);
            }
        }
        _ => {
            for _ in 0..world.random.between(1, 20) {
                world.send_over(page);
            }
        }
    }
}

fn disturb(world: &mut World) {
    let page = world.random.index(world.pages.len());
    if !world.is_open(page) {
        return;
    }
    match world.random.below(16) {
        0 | 1 => world.drop_socket(page),
        2 => world.silence_socket(page),
        3 | 4 => {
            if let Some(connection) = world.some_connection(page) {
                world.break_connection(connection);
            }
        }
        5 => {
            if let Some(connection) = world.some_connection(page) {
                world.silence_connection(connection);
            }
        }
        6 => {
            if let Some(connection) = world.some_connection(page) {
                world.fail_connection(connection);
            }
        }
        7 => {
            let milliseconds = world.random.between(500, 40_000);
            world.sleep(page, milliseconds);
        }
        8 => {
            let milliseconds = world.random.between(500, 25_000);
            world.cut_off(page, milliseconds);
        }
        9 => {
            let clean = world.random.chance(70);
            world.reload(page, clean);
        }
        10 => {
            if world.hub.is_some() {
                world.kill_server();
                let away = world.random.between(0, 12_000);
                world.run(away);
                world.start_server();
            }
        }
        11 => {
            let thread = thread(world.random.index(2));
            if world.pages[page].threads.contains(&thread) {
                world.leave(page, &thread);
            } else {
                world.join(page, &thread);
            }
        }
        12 => {
            world.sloppiness = Sloppiness {
                lost: world.random.below(20),
                doubled: world.random.below(20),
                late: world.random.below(20),
                refused: world.random.below(4),
            };
        }
        13 => {
            world.block(0, 1);
        }
        _ => world.hurry(page),
    }
}

/// Calm returns: everything settles, and then every page closes.
fn calm(world: &mut World) {
    world.sloppiness = Sloppiness::default();
    for page in &mut world.pages {
        assert!(!page.finished);
    }
    let end = world.now + 240_000;
    // Those that are asked for meanwhile are closed as well.
    for _ in 0..3 {
        for page in 0..world.pages.len() {
            while world.is_open(page) && !world.pages[page].open.is_empty() {
                world.close_some(page);
            }
        }
        world.run(30_000);
    }
    loop {
        world.run(500);
        if world.is_settled() {
            break;
        }
        assert!(world.now < end, "never settles: {}", world.unsettled());
    }
    // Quiet minutes cost no more than the heartbeats.
    let before: Vec<u64> = world.pages.iter().map(|page| page.ticks).collect();
    world.run(180_000);
    world.check_links();
    if let Some(hub) = &world.hub {
        hub.check_invariants();
    }
    assert!(world.is_settled(), "does not stay settled: {}", world.unsettled());
    for (page, before) in world.pages.iter().zip(before) {
        let ticks = page.ticks - before;
        assert!(ticks < 1_200, "{ticks} ticks in three quiet minutes");
    }
    for page in 0..world.pages.len() {
        // Tries at a direct path that there is not go on, as do questions through the server, which confirms frames only
        // now and then.
        let direct = world.blocked.is_empty() && world.pages.iter().all(|page| page.options.webrtc);
        let most = if direct { 0 } else { 40 };
        let kept = world.pages[page].client.kept();
        assert!(kept <= most, "page {page} keeps {kept}");
    }
    for page in 0..world.pages.len() {
        world.finish(page);
        world.run(5_000);
        for other in page + 1..world.pages.len() {
            if world.peer_state(other, page) == PeerState::Live {
                panic!("{other} still has a link with {page}, which is closed");
            }
        }
    }
    let lives: Vec<u32> = world.pages.iter().map(|page| page.life).collect();
    world.ledger.check(&lives);
}

#[test]
fn whatever_happens_settles() {
    let total = std::cell::Cell::new((0, 0, 0, 0));
    schedules("whatever_happens_settles", 1_000, |seed| {
        let mut world = populated(seed);
        for page in 0..world.pages.len() {
            for number in 0..2 {
                if world.random.chance(75) {
                    world.join(page, &thread(number));
                }
            }
        }
        let end = world.now + world.random.between(5_000, 90_000);
        let faults = world.random.between(0, 30);
        while world.now < end {
            act(&mut world);
            if world.random.chance(faults) {
                disturb(&mut world);
            }
            let pause = if world.random.chance(50) {
                world.random.below(30)
            } else {
                world.random.below(2_000)
            };
            world.run(pause);
        }
        calm(&mut world);
        let (sent, failed, excused, events) = total.get();
        let rejected = world
            .ledger
            .messages
            .iter()
            .filter(|message| message.outcome != model::Outcome::Done)
            .count();
        total.set((
            sent + world.ledger.messages.len(),
            failed + rejected,
            excused + world.ledger.excused,
            events + world.events,
        ));
    });
    let (sent, failed, excused, events) = total.get();
    println!("{sent} messages, {failed} not confirmed, {excused} to members who had left, {events} events");
}

#[test]
fn glare_comes_to_one_link() {
    schedules("glare_comes_to_one_link", 1_000, |seed| {
        let mut world = World::new(seed);
        world.delay = [(1, 3), (20, 60), (1, 400)][world.random.index(3)];
        for _ in 0..2 {
            world.add_page(PageOptions::default());
        }
        world.run_till(20_000, |world| {
            world
                .pages
                .iter()
                .all(|page| page.client.state() == ClientState::Online)
        });
        // Nobody shares a thread, so both sides make the first offer.
        world.send(0, 1);
        let pause = world.random.below(100);
        world.run(pause);
        world.send(1, 0);
        world.run(20_000);
        assert_eq!(world.peer_state(0, 1), PeerState::Live);
        assert_eq!(world.peer_state(1, 0), PeerState::Live);
        world.check_links();
        for (page, other) in [(0, 1), (1, 0)] {
            assert_eq!(
                world.pages[page].peer_states[&other],
                [PeerState::Connecting, PeerState::Live],
                "no detours"
            );
        }
        calm(&mut world);
    });
}
