//! Many clients at random: what they believe at the end is what is so.
#![cfg(feature = "hub")]
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use peerloom_core::hub::{ConnId, Grant, Hub, HubConfig, Output, Rate};
use peerloom_core::time::Time;
use peerloom_core::wire::{ClientFrame, CloseCode, Name, Secret, ServerFrame};
use support::*;

const THREADS: [&str; 8] = ["lobby", "__proto__", "constructor", "a", "b", "c", "d", "e"];
const TAGS: [&str; 3] = ["role:host", "toString", "client-3"];

/// A client with its end of a socket.
struct Client {
    model: Model,
    socket: Option<ConnId>,
    /// On the way to the hub.
    up: VecDeque<ClientFrame>,
    tags: Vec<&'static str>,
    token: u32,
    /// Its new life shows no ticket while the old one may still be there.
    may_be_taken: bool,
}

impl Client {
    fn send(&mut self, frame: ClientFrame) {
        self.model.outbox.push_back(frame.clone());
        if self.model.welcomed {
            self.up.push_back(frame);
        }
    }
}

struct World {
    hub: Hub,
    now: Time,
    random: Random,
    clients: Vec<Client>,
    /// On the way from the hub.
    down: HashMap<ConnId, VecDeque<Arc<ServerFrame>>>,
    owner: HashMap<ConnId, usize>,
    closed: HashMap<ConnId, Option<CloseCode>>,
    /// Sockets that are gone, and when the hub notices.
    unnoticed: Vec<(Time, ConnId)>,
    next: u64,
    resumed: usize,
}

impl World {
    fn new(seed: u64, count: usize, grace: u32) -> Self {
        let plenty = Rate::new(u64::MAX / 2_000, u64::MAX / 2_000);
        let config = HubConfig {
            grace,
            frames: plenty,
            control: plenty,
            bytes: plenty,
            ..HubConfig::default()
        };
        let mut random = Random::new(seed);
        let clients = (0..count)
            .map(|n| {
                let mut model = Model::new(&format!("client-{n}"));
                model.ticket = Secret::new(&format!("{:032x}", random.next()));
                model.watches.insert(format!("client-{}", random.below(count)));
                model.watches.insert(TAGS[n % TAGS.len()].to_owned());
                Client {
                    model,
                    socket: None,
                    up: VecDeque::new(),
                    tags: Vec::new(),
                    token: 0,
                    may_be_taken: false,
                }
            })
            .collect();
        Self {
            hub: seeded_hub(config, seed),
            now: Time(0),
            random,
            clients,
            down: HashMap::new(),
            owner: HashMap::new(),
            closed: HashMap::new(),
            unnoticed: Vec::new(),
            next: 0,
            resumed: 0,
        }
    }

    fn outputs(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Send { conns, frame, .. } => {
                    for conn in conns {
                        // Into the void, if the socket is gone and the hub does not know it.
                        if let Some(queue) = self.down.get_mut(&conn) {
                            queue.push_back(frame.clone());
                        }
                    }
                }
                Output::Close { conn, code } => {
                    self.closed.insert(conn, code);
                }
            }
        }
    }

    fn connect(&mut self, n: usize) {
        let conn = ConnId(self.next);
        self.next += 1;
        self.down.insert(conn, VecDeque::new());
        self.owner.insert(conn, n);
        self.clients[n].socket = Some(conn);
        self.clients[n].up.clear();
        self.clients[n].model.welcomed = false;
        let hello = self.clients[n].model.hello();
        self.hub.hello(self.now, conn, hello, Grant::default());
        self.outputs();
    }

    /// Some of what is on the way arrives, in order.
    fn pump_up(&mut self, n: usize, count: usize) {
        for _ in 0..count {
            let (Some(conn), Some(frame)) = (self.clients[n].socket, self.clients[n].up.pop_front()) else {
                return;
            };
            if self.closed.contains_key(&conn) {
                return;
            }
            let _ = self.hub.frame(self.now, conn, frame);
            self.outputs();
        }
    }

    fn pump_down(&mut self, n: usize, count: usize) {
        let Some(conn) = self.clients[n].socket else {
            return;
        };
        for _ in 0..count {
            let Some(frame) = self.down.get_mut(&conn).and_then(VecDeque::pop_front) else {
                break;
            };
            let client = &mut self.clients[n];
            if let ServerFrame::Welcome(welcome) = &*frame {
                client.may_be_taken = false;
                self.resumed += usize::from(welcome.resumed);
                if !welcome.resumed && !client.tags.is_empty() {
                    let names = client.tags.iter().map(|tag| name(tag)).collect();
                    let mut answer = client.model.take(&frame);
                    let tags = ClientFrame::Tag { names };
                    client.model.outbox.push_back(tags.clone());
                    answer.push(tags);
                    client.up.extend(answer);
                    continue;
                }
            }
            let answer = client.model.take(&frame);
            client.up.extend(answer);
        }
        if self.down.get(&conn).is_some_and(VecDeque::is_empty)
            && let Some(code) = self.closed.get(&conn)
        {
            let client = &mut self.clients[n];
            match code {
                Some(CloseCode::IdTaken) => assert!(client.may_be_taken, "{} lost its id", client.model.id),
                other => panic!("{} was closed with {other:?}", client.model.id),
            }
            client.socket = None;
            self.down.remove(&conn);
        }
    }

    /// The socket breaks: a part of what was on the way is lost, and the hub notices now or later.
    fn lose(&mut self, n: usize) {
        let Some(conn) = self.clients[n].socket else {
            return;
        };
        let (up, down) = (self.clients[n].up.len(), self.down[&conn].len());
        let (up, down) = (self.random.below(up + 1), self.random.below(down + 1));
        self.pump_down(n, down);
        self.pump_up(n, up);
        self.clients[n].socket = None;
        self.down.remove(&conn);
        let after = if self.random.chance(50) {
            0
        } else {
            self.random.below(3_000) as u64
        };
        self.unnoticed.push((self.now + after, conn));
    }

    fn notice(&mut self, until: Time) {
        let (due, rest) = std::mem::take(&mut self.unnoticed)
            .into_iter()
            .partition(|(at, _)| *at <= until);
        self.unnoticed = rest;
        let due: Vec<(Time, ConnId)> = due;
        for (_, conn) in due {
            self.hub.disconnected(self.now, conn, false);
            self.outputs();
        }
    }

    fn pass(&mut self, milliseconds: u64) {
        self.now = self.now + milliseconds;
        self.notice(self.now);
        self.hub.tick(self.now);
        self.outputs();
    }

    /// A new life under the same id, with or without a good-bye that may not arrive.
    fn renew(&mut self, n: usize) {
        if self.clients[n].socket.is_some() {
            if self.random.chance(50) {
                self.clients[n].up.push_back(ClientFrame::Bye {});
            }
            // The hub closes the socket itself when it sees the good-bye, so what comes down no longer matters.
            let conn = self.clients[n].socket.unwrap();
            let up = self.random.below(self.clients[n].up.len() + 1);
            self.pump_up(n, up);
            self.clients[n].socket = None;
            self.down.remove(&conn);
            self.unnoticed
                .push((self.now + self.random.below(1_000) as u64, conn));
        }
        let shows = self.random.chance(50);
        let ticket = Secret::new(&format!("{:032x}", self.random.next()));
        let client = &mut self.clients[n];
        client.model.instance += 1;
        if !shows {
            client.model.ticket = ticket;
            client.may_be_taken = true;
        }
    }

    fn step(&mut self) {
        let n = self.random.below(self.clients.len());
        if self.clients[n].socket.is_none() {
            if self.random.chance(40) {
                self.connect(n);
            }
            return;
        }
        let name = THREADS[self.random.below(THREADS.len())];
        let data = json(&self.random.below(5).to_string());
        match self.random.below(100) {
            0..20 => {
                let frame = self.clients[n].model.join(name, data);
                self.clients[n].send(frame);
            }
            20..35 => {
                let frame = self.clients[n].model.leave(name);
                self.clients[n].send(frame);
            }
            35..40 => {
                self.clients[n].model.user_data = data.clone();
                self.clients[n].send(ClientFrame::UserData { user_data: data });
            }
            40..50 => {
                let to = format!("client-{}", self.random.below(self.clients.len()));
                let token = self.clients[n].token;
                self.clients[n].token += 1;
                self.clients[n].send(relay(&to, token));
            }
            50..55 => {
                let tag = TAGS[self.random.below(TAGS.len())];
                let names = vec![support::name(tag)];
                let client = &mut self.clients[n];
                let had = client.tags.contains(&tag);
                client.tags.retain(|own| *own != tag);
                if !had {
                    client.tags.push(tag);
                }
                client.send(if had {
                    ClientFrame::Untag { names }
                } else {
                    ClientFrame::Tag { names }
                });
            }
            55..62 => self.lose(n),
            62..64 => self.renew(n),
            64..70 => {
                let received = self.clients[n].model.received;
                if self.clients[n].model.welcomed {
                    self.clients[n].up.push_back(ClientFrame::Ping { received });
                }
            }
            70..85 => {
                let count = self.random.below(20);
                self.pump_up(n, count);
            }
            _ => {
                let count = self.random.below(20);
                self.pump_down(n, count);
            }
        }
    }

    /// Everybody comes back, and everything arrives.
    fn settle(&mut self) {
        for _ in 0..100 {
            for n in 0..self.clients.len() {
                if self.clients[n].socket.is_none() {
                    self.connect(n);
                }
                self.pump_down(n, usize::MAX);
                self.pump_up(n, usize::MAX);
            }
            self.pass(1_000);
        }
        for client in &self.clients {
            assert!(client.model.welcomed && client.up.is_empty());
        }
    }

    fn check(&self) {
        self.hub.check_invariants();
        for thread_name in THREADS {
            // The truth: what each client wants.
            let truth: BTreeMap<_, _> = self
                .clients
                .iter()
                .filter_map(|client| {
                    let model = &client.model;
                    let data = model.threads.get(thread_name)?;
                    let seen = (
                        peerloom_core::wire::Instance(model.instance),
                        model.user_data.clone(),
                        data.clone(),
                    );
                    Some((id(&model.id), seen))
                })
                .collect();
            let hub: Vec<_> = self
                .hub
                .members(&thread(thread_name))
                .into_iter()
                .map(|member| member.0)
                .collect();
            let mut expected: Vec<_> = truth.keys().cloned().collect();
            expected.sort();
            assert_eq!(hub, expected);
            for client in self
                .clients
                .iter()
                .filter(|client| client.model.threads.contains_key(thread_name))
            {
                let mut expected = truth.clone();
                expected.remove(client.model.id.as_str());
                let view = &client.model.view[&thread(thread_name)];
                for (id, seen) in &expected {
                    assert_eq!(
                        view.get(id),
                        Some(seen),
                        "{id} as seen by {} in {thread_name}",
                        client.model.id
                    );
                }
                assert_eq!(view.len(), expected.len(), "{} in {thread_name}", client.model.id);
            }
        }
        for client in &self.clients {
            self.check_presence(&client.model);
            let mut last = HashMap::new();
            for (from, instance, token) in &client.model.relayed {
                let before = last.insert((from.clone(), *instance), *token);
                assert!(
                    before.is_none_or(|before| before < *token),
                    "{} got {from}'s {token} twice",
                    client.model.id
                );
            }
        }
    }

    fn check_presence(&self, model: &Model) {
        let mut expected: BTreeMap<(Name, peerloom_core::wire::Id, bool), bool> = BTreeMap::new();
        for watched in &model.watches {
            let online = self.clients.iter().any(|client| client.model.id == *watched);
            expected.insert((name(watched), id(watched), false), online);
            for client in self.clients.iter().filter(|client| client.model.id != model.id) {
                if client.tags.contains(&watched.as_str()) {
                    expected.insert((name(watched), id(&client.model.id), true), true);
                }
            }
        }
        let believed: BTreeMap<_, _> = model
            .presence
            .iter()
            .filter(|((_, _, tagged), online)| !tagged || **online)
            .map(|(key, online)| (key.clone(), *online))
            .collect();
        assert_eq!(believed, expected, "{}", model.id);
    }
}

#[test]
fn two_hundred_clients_know_exactly_who_is_there() {
    for seed in 1..=3 {
        let mut world = World::new(seed, 200, 5_000);
        for step in 0..30_000 {
            world.step();
            if step % 50 == 0 {
                let milliseconds = if world.random.chance(2) {
                    6_000
                } else {
                    world.random.below(200) as u64
                };
                world.pass(milliseconds);
            }
            if step % 5_000 == 0 {
                world.hub.check_invariants();
            }
        }
        world.settle();
        world.check();
        assert!(world.resumed > 300, "{} resumed", world.resumed);
        let sessions: u64 = world.clients.iter().map(|client| client.model.sessions).sum();
        assert!(sessions > 400, "{sessions} sessions");
    }
}

#[test]
fn small_worlds_of_every_kind_settle() {
    for seed in 100..400 {
        let mut world = World::new(seed, 4, 1_000);
        for _ in 0..300 {
            world.step();
            if world.random.chance(10) {
                let milliseconds = world.random.below(600) as u64;
                world.pass(milliseconds);
            }
            world.hub.check_invariants();
        }
        world.settle();
        world.check();
    }
}

#[test]
fn ten_thousand_relayed_frames_arrive_once_each_in_order() {
    let mut world = World::new(42, 2, 60_000);
    world.connect(0);
    world.connect(1);
    let mut sent = 0;
    while sent < 10_000 {
        for n in 0..2 {
            if world.clients[n].socket.is_none() {
                if world.random.chance(30) {
                    world.connect(n);
                }
            } else if world.random.chance(1) {
                world.lose(n);
            }
            let (up, down) = (world.random.below(8), world.random.below(8));
            world.pump_up(n, up);
            world.pump_down(n, down);
        }
        // Only after the first welcome, which begins the session that all the others continue.
        for _ in 0..world.random.below(4) {
            if world.clients[0].model.sessions == 1 && world.clients[1].model.sessions == 1 {
                world.clients[0].send(relay("client-1", sent));
                sent += 1;
            }
        }
        world.pass(5);
    }
    for n in 0..2 {
        if world.clients[n].socket.is_none() {
            world.connect(n);
        }
    }
    for _ in 0..10 {
        for n in 0..2 {
            world.pump_down(n, usize::MAX);
            world.pump_up(n, usize::MAX);
        }
    }
    assert!(world.resumed > 50, "{} resumed", world.resumed);
    assert!(world.clients.iter().all(|client| client.model.sessions == 1));
    let tokens: Vec<u32> = world.clients[1]
        .model
        .relayed
        .iter()
        .map(|(_, _, token)| *token)
        .collect();
    assert_eq!(tokens, (0..sent).collect::<Vec<_>>());
}
