//! The world: one queue of things to come, and what happens when their time is there.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use peerloom_core::client::{Client, ClientState, Config, Event, Output, PeerKey, PeerState};
use peerloom_core::hub::{self, ConnId, Grant, Hub, HubConfig};
use peerloom_core::link::Receipt;
use peerloom_core::negotiation::{Command, Done, Op};
use peerloom_core::thread::Change;
use peerloom_core::time::Time;
use peerloom_core::wire::codec::{self, Codec, DecodeError};
use peerloom_core::wire::{
    Body, Bytes, Candidate, ClientFrame, CloseCode, Id, Instance, Name, Outcome as Reply, Secret,
    ServerFrame, ThreadId, limits,
};
use peerloom_core::{Code, Error};

use super::browser::{self, Connection};
use super::ledger::{Ledger, Life, Message, Outcome, Way};
use super::random::Random;

/// Milliseconds without a frame after which the server gives a socket up.
const MUTE: u64 = 15_000;

enum Action {
    Tick(usize, u32),
    /// The page's listeners have run.
    Acknowledge(usize, u32),
    SocketOpened(usize),
    SocketMessage(usize, Vec<u8>),
    SocketClosed(usize, u16),
    ServerMessage(usize, Vec<u8>),
    ServerRead(usize),
    ServerLost(usize, bool),
    ServerLooks(usize),
    HubTick(u32),
    Late(usize, ClientFrame),
    Needed(usize),
    Gathered(usize, Candidate),
    Carried(usize, Op, Command),
    Connect(usize, usize),
    ChannelOpened(usize),
    ChannelMessage(usize, usize, Vec<u8>),
    ChannelDrained(usize),
    ChannelClosed(usize),
    Failed(usize),
    Reopen(usize, u32),
}

struct Entry {
    at: u64,
    number: u64,
    action: Action,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

struct Socket {
    page: usize,
    life: u32,
    server: u32,
    codec: Codec,
    /// The client still listens.
    client: bool,
    /// The server still listens.
    open: bool,
    /// Everything on its way is swallowed, and nobody says so.
    silent: bool,
    greeted: bool,
    to_client: u64,
    to_server: u64,
    read_at: u64,
    heard_at: u64,
    inbox: VecDeque<Vec<u8>>,
}

/// What a page is made with.
#[derive(Clone, Debug)]
pub struct PageOptions {
    pub webrtc: bool,
    pub codec: Codec,
}

impl Default for PageOptions {
    fn default() -> Self {
        Self {
            webrtc: true,
            codec: Codec::Binary,
        }
    }
}

#[derive(Debug)]
enum Call {
    Open,
    Join,
    Leave,
    Message(usize),
}

pub struct Page {
    pub options: PageOptions,
    pub client: Client,
    pub life: u32,
    instances: Vec<Instance>,
    socket: Option<usize>,
    connections: BTreeMap<(PeerKey, u32), usize>,
    calls: BTreeMap<Receipt, Call>,
    asleep_until: u64,
    /// The page has no network until then.
    cut_off_until: u64,
    tick_at: Option<u64>,
    acknowledges: bool,
    ticks_now: (u64, u32),
    pub ticks: u64,
    pub states: Vec<ClientState>,
    pub peer_states: BTreeMap<usize, Vec<PeerState>>,
    pub rejected: Vec<Error>,
    /// The threads that it is to be in.
    pub threads: Vec<ThreadId>,
    /// It was closed, and is not to come back.
    pub finished: bool,
    /// It went away without closing, and has not come back yet.
    gone: bool,
}

/// What the network does beside delaying.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sloppiness {
    /// Percent of signals and relayed frames that never reach the hub.
    pub lost: u64,
    /// That reach it twice.
    pub doubled: u64,
    /// That reach it late.
    pub late: u64,
    /// Percent of browser calls that fail.
    pub refused: u64,
}

pub struct World {
    pub now: u64,
    pub random: Random,
    pub pages: Vec<Page>,
    pub ledger: Ledger,
    pub sloppiness: Sloppiness,
    pub hub: Option<Hub>,
    pub hub_config: HubConfig,
    /// Milliseconds on the way, least and most.
    pub delay: (u64, u64),
    /// Pairs of pages that have no direct path.
    pub blocked: BTreeSet<(usize, usize)>,
    server: u32,
    hub_tick: Option<u64>,
    sockets: Vec<Socket>,
    connections: Vec<Connection>,
    queue: BinaryHeap<Reverse<Entry>>,
    number: u64,
    /// Frames that the hub counted more, or less, than the client sent.
    surplus: BTreeMap<Life, i64>,
    trace: bool,
    pub events: u64,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut world = Self {
            now: 1_000,
            random: Random::new(seed),
            pages: Vec::new(),
            ledger: Ledger::default(),
            sloppiness: Sloppiness::default(),
            hub: None,
            hub_config: HubConfig::default(),
            delay: (1, 40),
            blocked: BTreeSet::new(),
            server: 0,
            hub_tick: None,
            sockets: Vec::new(),
            connections: Vec::new(),
            queue: BinaryHeap::new(),
            number: 0,
            surplus: BTreeMap::new(),
            trace: std::env::var_os("PEERLOOM_TRACE").is_some(),
            events: 0,
        };
        world.start_server();
        world
    }

    fn say(&self, text: impl FnOnce() -> String) {
        if self.trace {
            let text: String = text().chars().take(180).collect();
            eprintln!("{:>8} {text}", self.now);
        }
    }

    fn at(&mut self, at: u64, action: Action) {
        self.number += 1;
        self.queue.push(Reverse(Entry {
            at: at.max(self.now),
            number: self.number,
            action,
        }));
    }

    fn after(&mut self, least: u64, most: u64, action: Action) {
        let at = self.now + self.random.between(least, most);
        self.at(at, action);
    }

    fn delay(&mut self) -> u64 {
        self.random.between(self.delay.0, self.delay.1)
    }

    // ---- the server ----

    pub fn start_server(&mut self) {
        self.server += 1;
        let mut random = Random::new(self.random.next());
        let entropy = move |bytes: &mut [u8]| {
            for byte in bytes {
                *byte = random.next() as u8;
            }
        };
        self.hub = Some(Hub::new(self.hub_config.clone(), Box::new(entropy)));
        self.say(|| "server starts".into());
    }

    /// Without a word: every socket breaks, and everything is forgotten.
    pub fn kill_server(&mut self) {
        self.say(|| "server is killed".into());
        self.hub = None;
        self.surplus.clear();
        for socket in 0..self.sockets.len() {
            if self.sockets[socket].open {
                self.sockets[socket].open = false;
                self.sockets[socket].inbox.clear();
                if !self.sockets[socket].silent {
                    let at = self.sockets[socket].to_client.max(self.now);
                    self.at(at + 1, Action::SocketClosed(socket, 1006));
                }
            }
        }
    }

    pub fn drain_server(&mut self) {
        self.say(|| "server drains".into());
        let now = Time(self.now);
        if let Some(hub) = &mut self.hub {
            hub.drain(now);
        }
        self.pump_hub();
    }

    fn pump_hub(&mut self) {
        while let Some(output) = self.hub.as_mut().and_then(Hub::poll_output) {
            match output {
                hub::Output::Send { conns, frame, .. } => {
                    for ConnId(conn) in conns {
                        self.send_to_client(conn as usize, &frame);
                    }
                }
                hub::Output::Close { conn, code } => {
                    let socket = conn.0 as usize;
                    self.sockets[socket].open = false;
                    self.sockets[socket].inbox.clear();
                    let code = code.map_or(1000, CloseCode::number);
                    let at = self.sockets[socket].to_client.max(self.now);
                    self.at(at, Action::SocketClosed(socket, code));
                }
            }
        }
        let next = self.hub.as_ref().and_then(Hub::poll_timeout);
        if let Some(Time(at)) = next
            && self
                .hub_tick
                .is_none_or(|planned| at < planned || planned <= self.now)
        {
            self.hub_tick = Some(at);
            let server = self.server;
            self.at(at, Action::HubTick(server));
        }
    }

    fn send_to_client(&mut self, socket: usize, frame: &ServerFrame) {
        let life = (self.sockets[socket].page, self.sockets[socket].life);
        let mut frame = frame.clone();
        match &mut frame {
            ServerFrame::Welcome(welcome) => {
                if !welcome.resumed {
                    self.surplus.insert(life, 0);
                }
                let surplus = self.surplus.get(&life).copied().unwrap_or(0);
                welcome.received = (welcome.received as i64 - surplus) as u64;
            }
            ServerFrame::Pong { received } => {
                let surplus = self.surplus.get(&life).copied().unwrap_or(0);
                *received = (*received as i64 - surplus) as u64;
            }
            _ => {}
        }
        let delay = self.delay();
        let socket_state = &mut self.sockets[socket];
        if !socket_state.open || socket_state.silent {
            return;
        }
        let bytes = match socket_state.codec {
            Codec::Binary => codec::encode(&frame),
            Codec::Json => codec::encode_json(&frame).into_bytes(),
        };
        let at = socket_state.to_client.max(self.now + delay);
        socket_state.to_client = at;
        self.at(at, Action::SocketMessage(socket, bytes));
    }

    fn server_reads(&mut self, socket: usize) {
        loop {
            let state = &mut self.sockets[socket];
            if !state.open || self.hub.is_none() || state.read_at > self.now {
                return;
            }
            let Some(bytes) = state.inbox.pop_front() else {
                return;
            };
            assert!(
                bytes.len() <= limits::CLIENT_FRAME,
                "a frame of {} bytes",
                bytes.len()
            );
            let decoded = match state.codec {
                Codec::Binary => codec::decode::<ClientFrame>(&bytes),
                Codec::Json => std::str::from_utf8(&bytes)
                    .map_err(|_| DecodeError::Malformed)
                    .and_then(codec::decode_json::<ClientFrame>),
            };
            let frame = decoded.expect("clients send frames");
            self.say(|| {
                format!(
                    "server <- {}: {frame:.160?}",
                    self.pages[self.sockets[socket].page].life_name()
                )
            });
            if let ClientFrame::Hello(hello) = frame {
                assert!(!self.sockets[socket].greeted, "a second hello");
                self.sockets[socket].greeted = true;
                if let Some(hub) = &mut self.hub {
                    hub.hello(Time(self.now), ConnId(socket as u64), hello, Grant::default());
                }
                self.pump_hub();
                continue;
            }
            let life = (self.sockets[socket].page, self.sockets[socket].life);
            if matches!(frame, ClientFrame::Signal { .. } | ClientFrame::Relay { .. }) {
                if self.random.chance(self.sloppiness.lost) {
                    *self.surplus.entry(life).or_default() -= 1;
                    continue;
                }
                if self.random.chance(self.sloppiness.late) {
                    *self.surplus.entry(life).or_default() -= 1;
                    self.after(1, 3_000, Action::Late(socket, frame));
                    continue;
                }
                if self.random.chance(self.sloppiness.doubled) {
                    *self.surplus.entry(life).or_default() += 1;
                    self.hub_takes(socket, frame.clone());
                }
            }
            self.hub_takes(socket, frame);
        }
    }

    fn hub_takes(&mut self, socket: usize, frame: ClientFrame) {
        if let Some(hub) = &mut self.hub {
            let pause = hub.frame(Time(self.now), ConnId(socket as u64), frame);
            if pause.0 > 0 {
                self.sockets[socket].read_at = self.now + pause.0;
                self.at(self.now + pause.0, Action::ServerRead(socket));
            }
        }
        self.pump_hub();
    }

    // ---- pages ----

    pub fn add_page(&mut self, options: PageOptions) -> usize {
        let index = self.pages.len();
        let (client, instance) = self.make_client(index, &options);
        self.pages.push(Page {
            options,
            client,
            life: 0,
            instances: vec![instance],
            socket: None,
            connections: BTreeMap::new(),
            calls: BTreeMap::new(),
            asleep_until: 0,
            cut_off_until: 0,
            tick_at: None,
            acknowledges: false,
            ticks_now: (0, 0),
            ticks: 0,
            states: Vec::new(),
            peer_states: BTreeMap::new(),
            rejected: Vec::new(),
            threads: Vec::new(),
            finished: false,
            gone: false,
        });
        self.open(index);
        index
    }

    fn make_client(&mut self, index: usize, options: &PageOptions) -> (Client, Instance) {
        let instance = Instance(self.random.next() >> 11);
        let ticket = format!("{:032x}", self.random.next());
        let mut client = Client::new(Config {
            id: Some(id(index)),
            token: None,
            instance,
            user_data: None,
            webrtc: options.webrtc,
            codec: options.codec,
            timeout: 15_000,
            seed: self.random.next(),
        });
        client.set_ticket(Secret::new(&ticket).expect("short"));
        (client, instance)
    }

    fn open(&mut self, page: usize) {
        let now = Time(self.now);
        let receipt = self.pages[page].client.open(now);
        self.pages[page].calls.insert(receipt, Call::Open);
        self.drain(page);
        for thread in self.pages[page].threads.clone() {
            self.join(page, &thread);
        }
    }

    /// The page goes away, with or without a word, and comes back as a new one some time later.
    pub fn reload(&mut self, page: usize, clean: bool) {
        self.say(|| format!("{} goes away", self.pages[page].life_name()));
        self.vanish(page, clean);
        let life = self.pages[page].life;
        self.after(50, 4_000, Action::Reopen(page, life));
    }

    fn vanish(&mut self, page: usize, clean: bool) {
        self.pages[page].gone = true;
        if let Some(socket) = self.pages[page].socket.take() {
            self.sockets[socket].client = false;
            if !self.sockets[socket].silent {
                let at = self.sockets[socket].to_server.max(self.now);
                self.at(at, Action::ServerLost(socket, clean));
            }
        }
        let connections: Vec<usize> = std::mem::take(&mut self.pages[page].connections)
            .into_values()
            .collect();
        for connection in connections {
            self.close_connection(connection, clean);
        }
        let life = (page, self.pages[page].life);
        for call in std::mem::take(&mut self.pages[page].calls).into_values() {
            if let Call::Message(index) = call {
                let message = &mut self.ledger.messages[index];
                assert_eq!(message.from, life);
                // Nobody is left to be told.
                message.outcome = Outcome::Failed(Code::Closed);
            }
        }
    }

    fn reopen(&mut self, page: usize) {
        let options = self.pages[page].options.clone();
        let (client, instance) = self.make_client(page, &options);
        let state = &mut self.pages[page];
        state.client = client;
        state.gone = false;
        state.life += 1;
        state.instances.push(instance);
        state.tick_at = None;
        state.acknowledges = false;
        state.asleep_until = 0;
        state.states.clear();
        state.peer_states.clear();
        self.say(|| format!("{} begins", self.pages[page].life_name()));
        self.open(page);
    }

    /// Closes the client for good, and shows that nothing comes out of it any more.
    pub fn finish(&mut self, page: usize) {
        self.say(|| format!("{} closes", self.pages[page].life_name()));
        self.pages[page].finished = true;
        self.pages[page].client.close();
        self.drain(page);
        let now = Time(self.now);
        let state = &mut self.pages[page];
        assert!(state.calls.is_empty(), "calls that never end: {:?}", state.calls);
        assert_eq!(state.client.state(), ClientState::Closed);
        assert_eq!(state.client.poll_timeout(), None);
        assert!(state.connections.is_empty(), "connections are closed");
        assert!(state.socket.is_none(), "the socket is closed");
        assert_eq!(state.client.kept(), 0, "nothing is kept");
        let client = &mut state.client;
        client.tick(now + 100_000);
        client.socket_opened(now);
        client.socket_received(now, &codec::encode(&ServerFrame::Pong { received: 0 }));
        client.socket_closed(now, 1006);
        client.hurry(now);
        client.acknowledge(now);
        client.drop_socket(now);
        client.close();
        for key in (0..client.peer_count()).map(PeerKey) {
            for generation in 0..4 {
                client.channel_opened(now, key, generation);
                client.channel_received(now, key, generation, &[2, 0]);
                client.channel_drained(now, key, generation);
                client.connection_needs_negotiation(now, key, generation);
                client.connection_done(now, key, generation, 1, Done::Applied);
                client.connection_failed(now, key, generation);
            }
        }
        let output = client.poll_output();
        assert!(output.is_none(), "after close: {output:?}");
        let thread = ThreadId::new("late").expect("a name");
        let name = Name::new("page0").expect("a name");
        let calls = [
            client.open(now),
            client.join(&thread, None, None),
            client.send_named(
                now,
                std::slice::from_ref(&name),
                name.clone(),
                Body::Text(String::new()),
            ),
            client.send_thread(now, &thread, Body::Text(String::new())),
            client.request(now, &name, name.clone(), Body::Text(String::new()), 1_000),
        ];
        for call in calls {
            match client.poll_output() {
                Some(Output::Reject(receipt, error)) if receipt == call => {
                    assert_eq!(error.code, Code::Closed)
                }
                other => panic!("a call after close: {other:?}"),
            }
        }
        let output = client.poll_output();
        assert!(output.is_none(), "after close: {output:?}");
        assert_eq!(client.poll_timeout(), None);
        assert_eq!(client.kept(), 0, "nothing is kept");
    }

    fn page_of(&self, id: &Id) -> usize {
        id.as_str()
            .strip_prefix("page")
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("nobody is called {id}"))
    }

    // ---- what the page does ----

    pub fn is_open(&self, page: usize) -> bool {
        !self.pages[page].gone
            && self.pages[page].asleep_until <= self.now
            && self.pages[page].client.state() != ClientState::Closed
    }

    pub fn join(&mut self, page: usize, thread: &ThreadId) {
        if !self.pages[page].threads.contains(thread) {
            self.pages[page].threads.push(thread.clone());
        }
        let receipt = self.pages[page].client.join(thread, None, None);
        self.pages[page].calls.insert(receipt, Call::Join);
        self.drain(page);
    }

    pub fn leave(&mut self, page: usize, thread: &ThreadId) {
        self.say(|| format!("{} leaves {thread}", self.pages[page].life_name()));
        self.pages[page].threads.retain(|own| own != thread);
        let life = (page, self.pages[page].life);
        self.ledger
            .departed(life, page, thread.as_str(), self.now + 2_100);
        let receipt = self.pages[page].client.leave(Time(self.now), thread);
        self.pages[page].calls.insert(receipt, Call::Leave);
        self.drain(page);
    }

    fn body(&mut self, index: usize) -> Body {
        match self.random.below(80) {
            0 => Body::Rich {
                json: format!("{index} "),
                parts: vec![Bytes(vec![7; self.random.index(40_000)])],
            },
            1 => Body::Text(format!("{index} {}", "x".repeat(self.random.index(40_000)))),
            2..10 => Body::Json(format!("{index} {}", "y".repeat(self.random.index(3_000)))),
            10..15 => Body::Bytes(Bytes(format!("{index} ").into_bytes())),
            _ => Body::Text(format!("{index} ")),
        }
    }

    fn message(&mut self, page: usize, way: Way, to: Vec<Life>, is_request: bool) -> usize {
        self.ledger.sent(Message {
            from: (page, self.pages[page].life),
            way,
            is_request,
            must: to.iter().map(|to: &Life| to.0).collect(),
            to,
            at: self.now,
            outcome: Outcome::Pending,
            delivered: Vec::new(),
        })
    }

    fn called(&mut self, page: usize, receipt: Receipt, index: usize) {
        self.say(|| {
            let message = &self.ledger.messages[index];
            format!(
                "{index}: {:?} {:?} -> {:?}",
                message.from, message.way, message.to
            )
        });
        self.pages[page].calls.insert(receipt, Call::Message(index));
        self.drain(page);
    }

    pub fn send(&mut self, page: usize, to: usize) {
        let index = self.message(page, Way::Direct, vec![(to, self.pages[to].life)], false);
        let body = self.body(index);
        let now = Time(self.now);
        let client = &mut self.pages[page].client;
        let key = client.peer(&id(to));
        let receipt = client.send(now, key, body);
        self.called(page, receipt, index);
    }

    pub fn send_named(&mut self, page: usize, to: &[usize]) {
        let lives = to.iter().map(|to| (*to, self.pages[*to].life)).collect();
        let index = self.message(page, Way::Direct, lives, false);
        let body = self.body(index);
        let names: Vec<Name> = to.iter().map(|to| Name::from(&id(*to))).collect();
        let name = Name::new("__proto__").expect("a name");
        let receipt = self.pages[page]
            .client
            .send_named(Time(self.now), &names, name, body);
        self.called(page, receipt, index);
    }

    pub fn request(&mut self, page: usize, to: usize) {
        let index = self.message(page, Way::Direct, vec![(to, self.pages[to].life)], true);
        let body = self.body(index);
        let name = Name::new("constructor").expect("a name");
        let receipt =
            self.pages[page]
                .client
                .request(Time(self.now), &Name::from(&id(to)), name, body, 30_000);
        self.called(page, receipt, index);
    }

    pub fn send_thread(&mut self, page: usize, thread: &ThreadId) {
        let Some(entry) = self.pages[page].client.threads().get(thread) else {
            return;
        };
        let members: Vec<(Id, Instance)> = entry
            .members()
            .map(|member| (member.peer.id.clone(), member.peer.instance))
            .collect();
        let to = members
            .into_iter()
            .map(|(id, instance)| {
                let of = self.page_of(&id);
                let life = self.pages[of].instances.iter().position(|own| *own == instance);
                (of, life.unwrap_or(0) as u32)
            })
            .collect();
        let index = self.message(page, Way::Thread(thread.as_str().into()), to, false);
        let body = self.body(index);
        let receipt = self.pages[page].client.send_thread(Time(self.now), thread, body);
        // Somebody may have left while the server could not say so.
        let pages = &self.pages;
        self.ledger.messages[index]
            .must
            .retain(|of| pages[*of].threads.contains(thread));
        self.called(page, receipt, index);
    }

    // ---- faults ----

    pub fn drop_socket(&mut self, page: usize) {
        if let Some(socket) = self.pages[page].socket {
            self.say(|| format!("{} loses its socket", self.pages[page].life_name()));
            self.break_socket(socket);
        }
    }

    fn break_socket(&mut self, socket: usize) {
        self.sockets[socket].silent = true;
        self.after(0, 50, Action::SocketClosed(socket, 1006));
        self.after(0, 50, Action::ServerLost(socket, false));
    }

    pub fn silence_socket(&mut self, page: usize) {
        if let Some(socket) = self.pages[page].socket {
            self.say(|| format!("{}'s socket goes silent", self.pages[page].life_name()));
            self.sockets[socket].silent = true;
        }
    }

    /// One of the open connections of that page.
    pub fn some_connection(&mut self, page: usize) -> Option<usize> {
        let mut open: Vec<usize> = self.pages[page].connections.values().copied().collect();
        open.sort_unstable();
        (!open.is_empty()).then(|| open[self.random.index(open.len())])
    }

    pub fn silence_connection(&mut self, connection: usize) {
        self.say(|| format!("connection {connection} goes silent"));
        let other = self.connections[connection].other;
        for side in [Some(connection), other].into_iter().flatten() {
            self.connections[side].silent = true;
            if self.random.chance(50) {
                self.after(5_000, 30_000, Action::Failed(side));
            }
        }
    }

    /// Nothing gets directly from one of these to the other, until it is called again.
    pub fn block(&mut self, a: usize, b: usize) {
        let pair = (a.min(b), a.max(b));
        if self.blocked.remove(&pair) {
            return;
        }
        self.say(|| format!("{a} and {b} are parted"));
        self.blocked.insert(pair);
        for own in 0..self.connections.len() {
            let pages = self.connections[own]
                .other
                .map(|other| (self.connections[own].page, self.connections[other].page));
            if pages == Some(pair) {
                self.silence_connection(own);
            }
        }
    }

    pub fn break_connection(&mut self, connection: usize) {
        self.say(|| format!("connection {connection} breaks"));
        let other = self.connections[connection].other;
        for side in [Some(connection), other].into_iter().flatten() {
            let cut = self.now + self.random.below(30);
            self.connections[side].cut_at = cut;
            self.after(31, 200, Action::ChannelClosed(side));
        }
    }

    pub fn fail_connection(&mut self, connection: usize) {
        self.after(0, 20, Action::Failed(connection));
    }

    pub fn sleep(&mut self, page: usize, milliseconds: u64) {
        self.say(|| format!("{} sleeps for {milliseconds}", self.pages[page].life_name()));
        self.pages[page].asleep_until = self.now + milliseconds;
    }

    /// No network for that page.
    pub fn cut_off(&mut self, page: usize, milliseconds: u64) {
        self.say(|| format!("{} is cut off for {milliseconds}", self.pages[page].life_name()));
        self.pages[page].cut_off_until = self.now + milliseconds;
        self.silence_socket(page);
        let connections: Vec<usize> = self.pages[page].connections.values().copied().collect();
        for connection in connections {
            self.silence_connection(connection);
        }
    }

    pub fn hurry(&mut self, page: usize) {
        self.pages[page].client.hurry(Time(self.now));
        self.drain(page);
    }

    // ---- connections ----

    fn close_connection(&mut self, own: usize, says_so: bool) {
        let connection = &mut self.connections[own];
        if connection.closed {
            return;
        }
        connection.closed = true;
        let silent = connection.silent;
        if let Some(other) = connection.other {
            let cut = self.now + self.random.below(self.delay.1 + 1);
            self.connections[own].cut_at = self.connections[own].cut_at.min(cut);
            if says_so && !silent && self.random.chance(80) {
                let at = cut + 1 + self.random.below(50);
                self.at(at, Action::ChannelClosed(other));
            } else {
                self.connections[other].silent = true;
                if self.random.chance(50) {
                    self.after(5_000, 30_000, Action::Failed(other));
                }
            }
        }
    }

    fn is_heard(&self, connection: usize) -> bool {
        let state = &self.connections[connection];
        !state.closed && self.pages[state.page].life == state.life && !self.pages[state.page].gone
    }

    fn perhaps_connect(&mut self, own: usize) {
        let Some(other) = self.connections[own].agreed_with() else {
            return;
        };
        if self.agree(own, other) && self.connections[own].other.is_none() {
            let (a, b) = (self.connections[own].page, self.connections[other].page);
            if self.is_blocked(a, b) {
                for side in [own, other] {
                    if self.random.chance(70) {
                        self.after(5_000, 20_000, Action::Failed(side));
                    }
                }
            } else {
                self.after(5, 150, Action::Connect(own, other));
            }
        }
    }

    fn is_blocked(&self, a: usize, b: usize) -> bool {
        self.blocked.contains(&(a.min(b), a.max(b)))
            || [a, b]
                .iter()
                .any(|page| self.pages[*page].cut_off_until > self.now)
    }

    fn agree(&self, own: usize, other: usize) -> bool {
        other < self.connections.len()
            && self.connections[own].agreed_with() == Some(other)
            && self.connections[other].agreed_with() == Some(own)
            && (self.connections[own].has_candidate || self.connections[other].has_candidate)
    }

    fn channel_send(&mut self, own: usize, bytes: Vec<u8>) {
        assert!(
            bytes.len() <= limits::LINK_FRAME,
            "a frame of {} bytes",
            bytes.len()
        );
        let delay = self.delay();
        let connection = &mut self.connections[own];
        assert!(
            connection.open && !connection.closed,
            "sent over a channel that is not open"
        );
        let other = connection.other.expect("an open channel has another side");
        if connection.silent {
            return;
        }
        connection.drains_at = connection.drains_at.max(self.now) + 1 + bytes.len() as u64 / 2_000;
        let drains_at = connection.drains_at;
        let at = connection.arrives_at.max(self.now + delay);
        connection.arrives_at = at;
        self.at(drains_at, Action::ChannelDrained(own));
        self.at(at, Action::ChannelMessage(own, other, bytes));
    }

    // ---- outputs ----

    fn drain(&mut self, page: usize) {
        while let Some(output) = self.pages[page].client.poll_output() {
            self.carry_out(page, output);
        }
        if self.pages[page].client.owes() && !self.pages[page].acknowledges {
            self.pages[page].acknowledges = true;
            let life = self.pages[page].life;
            self.after(0, 1, Action::Acknowledge(page, life));
        }
        self.plan_tick(page);
    }

    fn plan_tick(&mut self, page: usize) {
        let Some(Time(at)) = self.pages[page].client.poll_timeout() else {
            return;
        };
        let at = at.max(self.now);
        if self.pages[page].tick_at.is_none_or(|planned| at < planned) {
            self.pages[page].tick_at = Some(at);
            let late = if self.random.chance(30) {
                self.random.below(5)
            } else {
                0
            };
            let life = self.pages[page].life;
            self.at(at + late, Action::Tick(page, life));
        }
    }

    fn carry_out(&mut self, page: usize, output: Output) {
        self.say(|| match &output {
            Output::SocketSend(bytes) => {
                format!("{} sends {} bytes", self.pages[page].life_name(), bytes.len())
            }
            Output::ChannelSend(key, generation, bytes) => format!(
                "{} sends {} bytes over {key:?} {generation}",
                self.pages[page].life_name(),
                bytes.len()
            ),
            other => format!("{} -> {other:.160?}", self.pages[page].life_name()),
        });
        match output {
            Output::Connect => self.connect_socket(page),
            Output::SocketSend(bytes) => {
                let socket = self.pages[page].socket.expect("a socket to send over");
                let delay = self.delay();
                let state = &mut self.sockets[socket];
                if !state.silent && state.open {
                    state.to_server = state.to_server.max(self.now + delay);
                    let at = state.to_server;
                    self.at(at, Action::ServerMessage(socket, bytes));
                }
            }
            Output::SocketClose => {
                if let Some(socket) = self.pages[page].socket.take() {
                    self.sockets[socket].client = false;
                    if !self.sockets[socket].silent {
                        let at = self.sockets[socket].to_server.max(self.now);
                        self.at(at, Action::ServerLost(socket, false));
                    }
                }
            }
            Output::CreateConnection(key, generation) => {
                let own = self.connections.len();
                let state = &mut self.pages[page];
                assert!(state.options.webrtc, "a connection without WebRTC");
                assert!(
                    state.connections.keys().all(|(other, _)| *other != key),
                    "two connections to one peer"
                );
                state.connections.insert((key, generation), own);
                self.connections
                    .push(Connection::new(page, self.pages[page].life, key, generation));
                self.after(0, 5, Action::Needed(own));
            }
            Output::CloseConnection(key, generation) => {
                let own = self.pages[page]
                    .connections
                    .remove(&(key, generation))
                    .expect("a connection to close");
                self.close_connection(own, true);
            }
            Output::Exec(key, generation, op, command) => {
                let own = self.pages[page].connections[&(key, generation)];
                let running = self.connections[own].running.replace(op);
                assert_eq!(running, None, "one call at a time");
                self.after(0, 20, Action::Carried(own, op, command));
            }
            Output::ChannelSend(key, generation, bytes) => {
                let own = self.pages[page].connections[&(key, generation)];
                self.channel_send(own, bytes);
            }
            Output::Settle(first, last) => {
                for receipt in first..=last {
                    self.ended(page, receipt, Outcome::Done);
                }
            }
            Output::Reject(receipt, error) => {
                self.ended(page, receipt, Outcome::Failed(error.code));
                self.pages[page].rejected.push(error);
            }
            Output::Answer(receipt, body) => {
                let Some(Call::Message(index)) = self.pages[page].calls.get(&receipt) else {
                    panic!("an answer that nobody waits for");
                };
                assert_eq!(text(&body).split(' ').next(), Some(index.to_string().as_str()));
                self.ended(page, receipt, Outcome::Done);
            }
            Output::Event(event) => self.event(page, event),
            Output::IceServers(_) => {}
        }
    }

    fn ended(&mut self, page: usize, receipt: Receipt, outcome: Outcome) {
        let call = self.pages[page]
            .calls
            .remove(&receipt)
            .unwrap_or_else(|| panic!("{outcome:?} for call {receipt}, which is over"));
        match call {
            Call::Message(index) => self.ledger.messages[index].outcome = outcome,
            Call::Open | Call::Join | Call::Leave => {}
        }
    }

    fn event(&mut self, page: usize, event: Event) {
        let at = (page, self.pages[page].life);
        let now = Time(self.now);
        match event {
            Event::State(state) => {
                self.pages[page].states.push(state);
                if state == ClientState::Closed && !self.pages[page].finished {
                    // As a user would: the page is loaded again.
                    let life = self.pages[page].life;
                    self.after(2_000, 5_000, Action::Reopen(page, life));
                }
            }
            Event::PeerState(key, state) => {
                let of = self.page_of(self.pages[page].client.peer_id(key));
                self.pages[page].peer_states.entry(of).or_default().push(state);
            }
            Event::Message(key, _, body) => {
                let from = self.page_of(self.pages[page].client.peer_id(key));
                self.ledger.arrived(at, from, &Way::Direct, text(&body));
            }
            Event::Request(key, request, _, body) => {
                let from = self.page_of(self.pages[page].client.peer_id(key));
                self.ledger.arrived(at, from, &Way::Direct, text(&body));
                self.pages[page]
                    .client
                    .reply(now, key, request, Reply::Done(body));
            }
            Event::ThreadMessage(thread, key, body) => {
                let from = self.page_of(self.pages[page].client.peer_id(key));
                self.ledger
                    .arrived(at, from, &Way::Thread(thread.as_str().into()), text(&body));
            }
            Event::Thread(thread, key, change) => {
                let who = self.page_of(self.pages[page].client.peer_id(key));
                assert_ne!(who, page, "a member of its own");
                if matches!(change, Change::Left(..)) {
                    self.ledger.departed(at, who, thread.as_str(), self.now);
                }
            }
            Event::ThreadEnded(thread, error) => panic!("{thread} ended: {error}"),
            Event::Error(error) => {
                assert!(
                    matches!(error.code, Code::IdTaken | Code::ServerUnreachable),
                    "an error on page {page}: {error:?}"
                );
            }
            Event::PeerUpdated(_) | Event::Presence { .. } => {}
        }
    }

    fn connect_socket(&mut self, page: usize) {
        assert!(self.pages[page].socket.is_none(), "two sockets at once");
        let socket = self.sockets.len();
        let state = &self.pages[page];
        let silent = state.cut_off_until > self.now;
        self.sockets.push(Socket {
            page,
            life: state.life,
            server: self.server,
            codec: state.options.codec,
            client: true,
            open: self.hub.is_some() && !silent,
            silent,
            greeted: false,
            to_client: 0,
            to_server: 0,
            read_at: 0,
            heard_at: self.now,
            inbox: VecDeque::new(),
        });
        self.pages[page].socket = Some(socket);
        if silent {
            return;
        }
        if self.hub.is_some() {
            self.after(1, 60, Action::SocketOpened(socket));
            self.after(MUTE, MUTE, Action::ServerLooks(socket));
        } else {
            self.after(1, 200, Action::SocketClosed(socket, 1006));
        }
    }

    // ---- time ----

    /// Whatever happens until then.
    pub fn run_until(&mut self, until: u64) {
        while let Some(Reverse(entry)) = self.queue.peek()
            && entry.at <= until
        {
            let Some(Reverse(entry)) = self.queue.pop() else {
                break;
            };
            assert!(entry.at >= self.now);
            self.now = entry.at;
            self.happen(entry);
        }
        self.now = self.now.max(until);
    }

    pub fn run(&mut self, milliseconds: u64) {
        self.run_until(self.now + milliseconds);
    }

    /// Until `done`, which must come within so many milliseconds.
    pub fn run_till(&mut self, within: u64, mut done: impl FnMut(&Self) -> bool) {
        let end = self.now + within;
        while !done(self) {
            assert!(self.now < end, "not within {within} ms");
            self.run(10);
        }
    }

    fn client_of(&self, action: &Action) -> Option<usize> {
        match action {
            Action::Tick(page, _) | Action::Acknowledge(page, _) => Some(*page),
            Action::SocketOpened(socket)
            | Action::SocketMessage(socket, _)
            | Action::SocketClosed(socket, _) => Some(self.sockets[*socket].page),
            Action::Needed(own)
            | Action::Gathered(own, _)
            | Action::Carried(own, ..)
            | Action::ChannelOpened(own)
            | Action::ChannelMessage(_, own, _)
            | Action::ChannelDrained(own)
            | Action::ChannelClosed(own)
            | Action::Failed(own) => Some(self.connections[*own].page),
            _ => None,
        }
    }

    fn happen(&mut self, entry: Entry) {
        if let Some(page) = self.client_of(&entry.action)
            && self.pages[page].asleep_until > self.now
        {
            // What happens to a page that sleeps waits for it, in its order.
            let at = self.pages[page].asleep_until;
            self.queue.push(Reverse(Entry { at, ..entry }));
            return;
        }
        self.events += 1;
        let now = Time(self.now);
        match entry.action {
            Action::Tick(page, life) => self.tick(page, life),
            Action::Acknowledge(page, life) => {
                if self.pages[page].life == life && !self.pages[page].gone {
                    self.pages[page].acknowledges = false;
                    self.pages[page].client.acknowledge(now);
                    self.drain(page);
                }
            }
            Action::SocketOpened(socket) => {
                if self.hears(socket) && !self.sockets[socket].silent {
                    let page = self.sockets[socket].page;
                    self.pages[page].client.socket_opened(now);
                    self.drain(page);
                }
            }
            Action::SocketMessage(socket, bytes) => {
                if self.hears(socket) && !self.sockets[socket].silent {
                    let page = self.sockets[socket].page;
                    self.pages[page].client.socket_received(now, &bytes);
                    self.drain(page);
                }
            }
            Action::SocketClosed(socket, code) => {
                if self.hears(socket) {
                    let page = self.sockets[socket].page;
                    self.sockets[socket].client = false;
                    self.pages[page].socket = None;
                    self.say(|| format!("{}'s socket closes: {code}", self.pages[page].life_name()));
                    self.pages[page].client.socket_closed(now, code);
                    self.drain(page);
                }
            }
            Action::ServerMessage(socket, bytes) => {
                if self.sockets[socket].open && !self.sockets[socket].silent {
                    self.sockets[socket].heard_at = self.now;
                    self.sockets[socket].inbox.push_back(bytes);
                    self.server_reads(socket);
                }
            }
            Action::ServerRead(socket) => self.server_reads(socket),
            Action::ServerLost(socket, clean) => self.server_lost(socket, clean),
            Action::ServerLooks(socket) => {
                if self.sockets[socket].open {
                    let mute = self.now - self.sockets[socket].heard_at;
                    if mute >= MUTE {
                        self.server_lost(socket, false);
                        self.after(1, 30, Action::SocketClosed(socket, 4007));
                    } else {
                        self.after(MUTE - mute, MUTE - mute, Action::ServerLooks(socket));
                    }
                }
            }
            Action::HubTick(server) => {
                self.hub_tick = None;
                if server == self.server
                    && let Some(hub) = &mut self.hub
                {
                    hub.tick(now);
                }
                self.pump_hub();
            }
            Action::Late(socket, frame) => {
                if self.sockets[socket].open {
                    let life = (self.sockets[socket].page, self.sockets[socket].life);
                    *self.surplus.entry(life).or_default() += 1;
                    self.hub_takes(socket, frame);
                }
            }
            Action::Reopen(page, life) => {
                if self.pages[page].life == life && !self.pages[page].finished {
                    self.reopen(page);
                }
            }
            Action::Connect(a, b) => {
                if self.agree(a, b) && self.connections[a].other.is_none() {
                    let pages = (self.connections[a].page, self.connections[b].page);
                    if self.is_blocked(pages.0, pages.1) {
                        return;
                    }
                    self.connections[a].other = Some(b);
                    self.connections[b].other = Some(a);
                    self.after(1, 100, Action::ChannelOpened(a));
                    self.after(1, 100, Action::ChannelOpened(b));
                }
            }
            action => self.browser(action),
        }
    }

    fn browser(&mut self, action: Action) {
        let Some(page) = self.client_of(&action) else {
            return;
        };
        let now = Time(self.now);
        let heard = |world: &Self, own: usize| world.is_heard(own).then(|| world.label(own));
        match action {
            Action::Needed(own) => {
                if let Some((key, generation)) = heard(self, own)
                    && self.connections[own].needs_negotiation()
                {
                    self.pages[page]
                        .client
                        .connection_needs_negotiation(now, key, generation);
                }
            }
            Action::Gathered(own, candidate) => {
                if let Some((key, generation)) = heard(self, own) {
                    self.pages[page]
                        .client
                        .connection_candidate(now, key, generation, candidate);
                }
            }
            Action::Carried(own, op, command) => {
                let Some((key, generation)) = heard(self, own) else {
                    return;
                };
                assert_eq!(self.connections[own].running.take(), Some(op));
                let gathers = command == Command::SetLocal;
                let done = if self.random.chance(self.sloppiness.refused) {
                    Done::Failed("OperationError".into())
                } else {
                    self.connections[own].carry_out(own, command)
                };
                if gathers && matches!(done, Done::Local(_)) {
                    for _ in 0..self.random.between(1, 3) {
                        self.after(0, 80, Action::Gathered(own, browser::candidate(own)));
                    }
                    self.after(81, 90, Action::Gathered(own, browser::end_of_candidates()));
                }
                self.pages[page]
                    .client
                    .connection_done(now, key, generation, op, done);
                self.drain(page);
                self.perhaps_connect(own);
                if let Some(other) = self.connections[own].agreed_with()
                    && other < self.connections.len()
                {
                    self.perhaps_connect(other);
                }
                self.after(0, 5, Action::Needed(own));
                return;
            }
            Action::ChannelOpened(own) => {
                let Some((key, generation)) = heard(self, own) else {
                    return;
                };
                if self.connections[own].silent || self.connections[own].open {
                    return;
                }
                self.connections[own].open = true;
                self.pages[page].client.channel_opened(now, key, generation);
                let early = std::mem::take(&mut self.connections[own].early);
                for bytes in early {
                    if self.is_heard(own) {
                        self.pages[page]
                            .client
                            .channel_received(now, key, generation, &bytes);
                    }
                }
            }
            Action::ChannelMessage(from, own, bytes) => {
                let Some((key, generation)) = heard(self, own) else {
                    return;
                };
                let source = &self.connections[from];
                if source.silent || self.connections[own].silent || source.cut_at < self.now {
                    return;
                }
                if self.connections[own].open {
                    self.pages[page]
                        .client
                        .channel_received(now, key, generation, &bytes);
                } else {
                    self.connections[own].early.push(bytes);
                }
            }
            Action::ChannelDrained(own) => {
                if let Some((key, generation)) = heard(self, own)
                    && self.connections[own].drains_at == self.now
                {
                    self.pages[page].client.channel_drained(now, key, generation);
                }
            }
            Action::ChannelClosed(own) => {
                if let Some((key, generation)) = heard(self, own) {
                    self.pages[page].client.channel_closed(now, key, generation);
                }
            }
            Action::Failed(own) => {
                if let Some((key, generation)) = heard(self, own) {
                    self.pages[page].client.connection_failed(now, key, generation);
                }
            }
            _ => {}
        }
        self.drain(page);
    }

    fn label(&self, own: usize) -> (PeerKey, u32) {
        (self.connections[own].key, self.connections[own].generation)
    }

    fn tick(&mut self, page: usize, life: u32) {
        let state = &mut self.pages[page];
        if state.life != life || state.gone {
            return;
        }
        state.tick_at = None;
        let Some(Time(at)) = state.client.poll_timeout() else {
            return;
        };
        if at <= self.now {
            state.ticks += 1;
            if state.ticks_now.0 == self.now {
                state.ticks_now.1 += 1;
                assert!(
                    state.ticks_now.1 < 8,
                    "page {page} is asked for again and again at {}",
                    self.now
                );
            } else {
                state.ticks_now = (self.now, 1);
            }
            state.client.tick(Time(self.now));
        }
        self.drain(page);
    }

    fn hears(&self, socket: usize) -> bool {
        let state = &self.sockets[socket];
        state.client && self.pages[state.page].life == state.life && !self.pages[state.page].gone
    }

    fn server_lost(&mut self, socket: usize, clean: bool) {
        if self.sockets[socket].open {
            self.sockets[socket].open = false;
            self.sockets[socket].inbox.clear();
            if let Some(hub) = &mut self.hub {
                hub.disconnected(Time(self.now), ConnId(socket as u64), clean);
            }
            self.pump_hub();
        }
    }

    // ---- what must be true in the end ----

    pub fn peer_state(&mut self, page: usize, of: usize) -> PeerState {
        let client = &mut self.pages[page].client;
        let key = client.peer(&id(of));
        client.peer_state(key)
    }

    /// The state that a link between these two comes to, when nothing disturbs it.
    pub fn expected_state(&self, a: usize, b: usize) -> PeerState {
        let direct = self.pages[a].options.webrtc && self.pages[b].options.webrtc && !self.is_blocked(a, b);
        if direct {
            PeerState::Live
        } else {
            PeerState::Relayed
        }
    }

    /// Whether these two share a thread, in their own eyes.
    pub fn share(&self, a: usize, b: usize) -> bool {
        self.pages[a]
            .threads
            .iter()
            .any(|thread| self.pages[b].threads.contains(thread))
    }

    /// Whether every link that there is to be is there, and nothing waits.
    pub fn is_settled(&mut self) -> bool {
        for a in 0..self.pages.len() {
            if self.pages[a].finished {
                continue;
            }
            if self.pages[a].gone
                || self.pages[a].client.state() != ClientState::Online
                || !self.pages[a].calls.is_empty()
            {
                return false;
            }
            for b in 0..self.pages.len() {
                if a != b
                    && !self.pages[b].finished
                    && self.share(a, b)
                    && self.peer_state(a, b) != self.expected_state(a, b)
                {
                    return false;
                }
            }
        }
        true
    }

    /// What is not settled, in words.
    pub fn unsettled(&mut self) -> String {
        let mut text = String::new();
        for a in 0..self.pages.len() {
            let state = self.pages[a].client.state();
            text += &format!("\npage {a}: {state:?}, calls {:?}", self.pages[a].calls);
            for b in 0..self.pages.len() {
                if a != b {
                    let is = self.peer_state(a, b);
                    let expected = self.expected_state(a, b);
                    text += &format!(
                        "\n  to {b}: {is:?}, expected {expected:?}, shares {}",
                        self.share(a, b)
                    );
                }
            }
        }
        text
    }

    /// One link between two, the same one from both sides.
    pub fn check_links(&mut self) {
        for a in 0..self.pages.len() {
            let keys: Vec<(PeerKey, u32)> = self.pages[a].connections.keys().copied().collect();
            for (key, generation) in keys {
                let own = self.pages[a].connections[&(key, generation)];
                let state = &self.connections[own];
                if !state.open {
                    continue;
                }
                let other = state.other.expect("an open channel has another side");
                let back = &self.connections[other];
                assert!(!back.closed && back.open, "a link that only one side has");
                assert_eq!(back.generation, generation, "the same generation");
            }
        }
    }
}

impl Page {
    fn life_name(&self) -> String {
        format!("{}.{}", self.client.id().map_or("?", Id::as_str), self.life)
    }
}

/// The id of a page.
pub fn id(page: usize) -> Id {
    Id::new(&format!("page{page}")).expect("a name")
}

fn text(body: &Body) -> &str {
    match body {
        Body::Json(text) | Body::Text(text) | Body::Rich { json: text, .. } => text,
        Body::Bytes(bytes) => std::str::from_utf8(&bytes.0).expect("text"),
    }
}
