//! A model of clients and sockets around one hub, on virtual time.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use peerloom_core::Code;
use peerloom_core::hub::{ConnId, Grant, Hub, HubConfig, Output};
use peerloom_core::time::Time;
use peerloom_core::wire::{
    ClientFrame, CloseCode, Hello, Id, Instance, JsonText, LeaveReason, LinkFrame, Name, Resume, Secret,
    ServerFrame, ThreadId, Welcome, limits,
};

/// xorshift64*: repeatable, and good enough.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit.max(1)
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

pub fn seeded_hub(config: HubConfig, seed: u64) -> Hub {
    let mut random = Random::new(seed);
    Hub::new(
        config,
        Box::new(move |bytes: &mut [u8]| bytes.iter_mut().for_each(|byte| *byte = random.next() as u8)),
    )
}

pub fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn thread(text: &str) -> ThreadId {
    ThreadId::new(text).unwrap()
}

pub fn json(text: &str) -> Option<JsonText> {
    JsonText::new(text)
}

pub fn hello(id: Option<&str>, instance: u64) -> Hello {
    Hello {
        protocol: limits::PROTOCOL,
        id: id.map(|text| Id::new(text).unwrap()),
        token: None,
        instance: Instance(instance),
        user_data: None,
        webrtc: true,
        resume: None,
    }
}

pub fn resume(id: &str, instance: u64, ticket: &Secret, received: u64) -> Hello {
    Hello {
        resume: Some(Resume {
            ticket: ticket.clone(),
            received,
        }),
        ..hello(Some(id), instance)
    }
}

pub fn join(op: u32, name: &str) -> ClientFrame {
    ClientFrame::Join {
        op,
        thread: thread(name),
        user_data: None,
        media: Default::default(),
    }
}

pub fn relay(to: &str, token: u32) -> ClientFrame {
    ClientFrame::Relay {
        to: id(to),
        instance: None,
        frame: LinkFrame::Ping { token },
    }
}

/// A hub whose outputs are kept per socket.
pub struct Bench {
    pub hub: Hub,
    pub now: Time,
    frames: HashMap<ConnId, VecDeque<Arc<ServerFrame>>>,
    pub closed: HashMap<ConnId, Option<CloseCode>>,
    next: u64,
}

impl Bench {
    pub fn new(config: HubConfig) -> Self {
        Self {
            hub: seeded_hub(config, 7),
            now: Time(0),
            frames: HashMap::new(),
            closed: HashMap::new(),
            next: 0,
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Send { conns, frame, .. } => {
                    for conn in conns {
                        assert!(!self.closed.contains_key(&conn), "sent after close");
                        self.frames.entry(conn).or_default().push_back(frame.clone());
                    }
                }
                Output::Close { conn, code } => {
                    assert!(self.closed.insert(conn, code).is_none(), "closed twice");
                }
            }
        }
        self.hub.check_invariants();
    }

    pub fn hello(&mut self, hello: Hello) -> ConnId {
        self.hello_as(hello, Grant::default())
    }

    pub fn hello_as(&mut self, hello: Hello, grant: Grant) -> ConnId {
        let conn = ConnId(self.next);
        self.next += 1;
        self.hub.hello(self.now, conn, hello, grant);
        self.drain();
        conn
    }

    /// Says hello and expects to be welcome.
    pub fn enter(&mut self, hello: Hello) -> (ConnId, Welcome) {
        let conn = self.hello(hello);
        match self.take(conn).first() {
            Some(ServerFrame::Welcome(welcome)) => (conn, welcome.clone()),
            other => panic!("not welcome: {other:?}"),
        }
    }

    pub fn send(&mut self, conn: ConnId, frame: ClientFrame) -> u64 {
        let pause = self.hub.frame(self.now, conn, frame);
        self.drain();
        pause.0
    }

    /// Any other input.
    pub fn input<R>(&mut self, input: impl FnOnce(&mut Hub, Time) -> R) -> R {
        let result = input(&mut self.hub, self.now);
        self.drain();
        result
    }

    pub fn lose(&mut self, conn: ConnId) {
        self.hub.disconnected(self.now, conn, false);
        self.drain();
    }

    pub fn wait(&mut self, milliseconds: u64) {
        let until = self.now + milliseconds;
        while let Some(at) = self.hub.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.hub.tick(self.now);
            self.drain();
        }
        self.now = until;
    }

    /// What was sent to the socket since the last time.
    pub fn take(&mut self, conn: ConnId) -> Vec<ServerFrame> {
        let frames = self.frames.remove(&conn).unwrap_or_default();
        frames.into_iter().map(|frame| (*frame).clone()).collect()
    }

    pub fn code(&self, conn: ConnId) -> Option<Option<CloseCode>> {
        self.closed.get(&conn).copied()
    }
}

/// What a client knows of one other member.
pub type Seen = (Instance, Option<JsonText>, Option<JsonText>);

/// A client as any implementation would be: it believes what the frames say, and counts them.
#[derive(Debug)]
pub struct Model {
    pub id: String,
    pub instance: u64,
    pub ticket: Option<Secret>,
    pub received: u64,
    /// Counted frames that the server has not confirmed, and the number of the first.
    pub outbox: VecDeque<ClientFrame>,
    pub confirmed: u64,
    pub welcomed: bool,
    /// Sessions that it began: those that were not resumed.
    pub sessions: u64,
    /// What it wants to be in; said anew in each new session.
    pub threads: BTreeMap<String, Option<JsonText>>,
    pub user_data: Option<JsonText>,
    pub view: BTreeMap<ThreadId, BTreeMap<Id, Seen>>,
    /// Relayed tokens by sender, in this session.
    pub relayed: Vec<(Id, Instance, u32)>,
    pub presence: BTreeMap<(Name, Id, bool), bool>,
    pub watches: BTreeSet<String>,
    pub left: Vec<(Id, LeaveReason)>,
    pub unreachable: usize,
    pub faults: usize,
}

impl Model {
    pub fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            instance: 1,
            ticket: None,
            received: 0,
            outbox: VecDeque::new(),
            confirmed: 0,
            welcomed: false,
            sessions: 0,
            threads: BTreeMap::new(),
            user_data: None,
            view: BTreeMap::new(),
            relayed: Vec::new(),
            presence: BTreeMap::new(),
            watches: BTreeSet::new(),
            left: Vec::new(),
            unreachable: 0,
            faults: 0,
        }
    }

    pub fn hello(&self) -> Hello {
        Hello {
            user_data: self.user_data.clone(),
            resume: self.ticket.clone().map(|ticket| Resume {
                ticket,
                received: self.received,
            }),
            ..hello(Some(&self.id), self.instance)
        }
    }

    fn join_frame(name: &str, user_data: &Option<JsonText>) -> ClientFrame {
        ClientFrame::Join {
            op: 1,
            thread: thread(name),
            user_data: user_data.clone(),
            media: Default::default(),
        }
    }

    /// What it says again in a session that knows nothing.
    fn everything(&self) -> VecDeque<ClientFrame> {
        let mut frames: VecDeque<_> = self
            .threads
            .iter()
            .map(|(name, data)| Self::join_frame(name, data))
            .collect();
        // It may have changed since the hello.
        frames.push_back(ClientFrame::UserData {
            user_data: self.user_data.clone(),
        });
        for watched in &self.watches {
            frames.push_back(ClientFrame::Watch {
                names: vec![name(watched)],
            });
        }
        frames
    }

    pub fn join(&mut self, name: &str, user_data: Option<JsonText>) -> ClientFrame {
        self.threads.insert(name.to_owned(), user_data.clone());
        Self::join_frame(name, &user_data)
    }

    pub fn leave(&mut self, name: &str) -> ClientFrame {
        self.threads.remove(name);
        ClientFrame::Leave { thread: thread(name) }
    }

    /// Takes one frame; what it sends because of it.
    pub fn take(&mut self, frame: &ServerFrame) -> Vec<ClientFrame> {
        if frame.is_counted() {
            self.received += 1;
        }
        match frame {
            ServerFrame::Welcome(welcome) => return self.welcome(welcome),
            ServerFrame::Pong { received } => self.confirm(*received),
            ServerFrame::Joined { thread, members, .. } => {
                let view = members
                    .iter()
                    .map(|member| {
                        let peer = &member.peer;
                        let seen = (peer.instance, peer.user_data.clone(), member.user_data.clone());
                        (peer.id.clone(), seen)
                    })
                    .collect();
                self.view.insert(thread.clone(), view);
            }
            ServerFrame::MemberJoined { thread, member } | ServerFrame::MemberUpdated { thread, member } => {
                // After its own leave, what was on the way no longer matters.
                if let Some(view) = self.view.get_mut(thread) {
                    let peer = &member.peer;
                    let seen = (peer.instance, peer.user_data.clone(), member.user_data.clone());
                    let before = view.insert(peer.id.clone(), seen);
                    let joined = matches!(frame, ServerFrame::MemberJoined { .. });
                    assert_eq!(before.is_none(), joined, "{}: {frame:?}", self.id);
                }
            }
            ServerFrame::MemberLeft {
                thread,
                id,
                instance,
                reason,
            } => {
                if let Some(view) = self.view.get_mut(thread) {
                    let before = view.remove(id);
                    assert_eq!(
                        before.map(|seen| seen.0),
                        Some(*instance),
                        "{}: {frame:?}",
                        self.id
                    );
                    self.left.push((id.clone(), *reason));
                }
            }
            ServerFrame::PeerUpdated { peer } => {
                for view in self.view.values_mut() {
                    if let Some(seen) = view.get_mut(&peer.id) {
                        seen.1 = peer.user_data.clone();
                    }
                }
            }
            ServerFrame::Relay {
                from,
                instance,
                frame: LinkFrame::Ping { token },
            } => {
                self.relayed.push((from.clone(), *instance, *token));
            }
            ServerFrame::Presence {
                name,
                id,
                online,
                tagged,
            } => {
                self.presence.insert((name.clone(), id.clone(), *tagged), *online);
            }
            ServerFrame::Unreachable { .. } => self.unreachable += 1,
            ServerFrame::Fault { .. } => self.faults += 1,
            _ => {}
        }
        Vec::new()
    }

    fn confirm(&mut self, received: u64) {
        while self.confirmed < received {
            self.outbox.pop_front().expect("confirmed more than was sent");
            self.confirmed += 1;
        }
    }

    fn welcome(&mut self, welcome: &Welcome) -> Vec<ClientFrame> {
        self.welcomed = true;
        self.ticket = Some(welcome.ticket.clone());
        if welcome.resumed {
            self.confirm(welcome.received);
        } else {
            self.sessions += 1;
            self.received = 0;
            self.confirmed = 0;
            self.view.clear();
            self.relayed.clear();
            self.presence.clear();
            self.outbox = self.everything();
        }
        let mut frames = vec![ClientFrame::Ping {
            received: self.received,
        }];
        frames.extend(self.outbox.iter().cloned());
        frames
    }
}

pub fn bench() -> Bench {
    Bench::new(HubConfig::default())
}

pub fn fault(frames: &[ServerFrame]) -> Option<(Code, Option<u32>)> {
    frames.iter().find_map(|frame| match frame {
        ServerFrame::Fault {
            code, retry_after, ..
        } => Some((*code, *retry_after)),
        _ => None,
    })
}

pub fn left(frames: &[ServerFrame]) -> Vec<(String, LeaveReason)> {
    frames
        .iter()
        .filter_map(|frame| match frame {
            ServerFrame::MemberLeft { id, reason, .. } => Some((id.to_string(), *reason)),
            _ => None,
        })
        .collect()
}

pub fn tokens(frames: &[ServerFrame]) -> Vec<u32> {
    frames
        .iter()
        .filter_map(|frame| match frame {
            ServerFrame::Relay {
                frame: peerloom_core::wire::LinkFrame::Ping { token },
                ..
            } => Some(*token),
            _ => None,
        })
        .collect()
}

pub fn presence(frames: &[ServerFrame]) -> Vec<(String, String, bool, bool)> {
    frames
        .iter()
        .filter_map(|frame| match frame {
            ServerFrame::Presence {
                name,
                id,
                online,
                tagged,
            } => Some((name.to_string(), id.to_string(), *online, *tagged)),
            _ => None,
        })
        .collect()
}

/// Alice and Bob in the thread `t`, their frames so far taken.
pub fn pair(bench: &mut Bench) -> (ConnId, Secret, ConnId) {
    let (alice, welcome) = bench.enter(hello(Some("alice"), 1));
    let (bob, _) = bench.enter(hello(Some("bob"), 2));
    bench.send(alice, join(1, "t"));
    bench.send(bob, join(1, "t"));
    bench.take(alice);
    bench.take(bob);
    (alice, welcome.ticket, bob)
}
