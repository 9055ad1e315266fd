//! The world: one queue of things to come, and what happens when their time is there.

mod connection;
mod fault;
mod output;
mod page;
mod server;
mod verdict;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use peerloom_core::client::{
    Channel, Client, ClientState, Config, ConnectionKey, Event, Number, Output, PeerKey, PeerState, Terms,
};
use peerloom_core::hub::{self, ConnId, Grant, Hub, HubConfig};
use peerloom_core::link::Receipt;
use peerloom_core::negotiation::{Command, Done, Op};
use peerloom_core::recovery::Recovery;
use peerloom_core::thread::Change;
use peerloom_core::time::Time;
use peerloom_core::wire::codec::{self, Codec, DecodeError};
use peerloom_core::wire::{
    Body, Bytes, Candidate, ClientFrame, CloseCode, Id, Instance, Name, Outcome as Reply, Secret,
    ServerFrame, ThreadId, limits,
};
use peerloom_core::{Code, Error};

use super::browser::{self, Channelled, Connection};
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
    /// A connection's channel opens, at one side.
    SideOpened(usize, Number, Terms),
    SideClosed(usize, Number),
    ChannelMessage(usize, usize, Channel, Vec<u8>),
    ChannelDrained(usize, Channel),
    ChannelClosed(usize),
    Suspected(usize),
    Failed(usize),
    /// A path that was silent carries again.
    Healed(usize),
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

/// A message that has come in part: by index, whether it is the last one, and its content.
type Pieces = BTreeMap<u32, (bool, Vec<u8>)>;

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
    /// Connections that are open, and what they are called.
    pub open: Vec<ConnectionKey>,
    labels: BTreeMap<ConnectionKey, Name>,
    /// Messages of connections that have come in part.
    pieces: BTreeMap<(ConnectionKey, u64), Pieces>,
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
            | Action::SideOpened(own, ..)
            | Action::SideClosed(own, _)
            | Action::ChannelMessage(_, own, ..)
            | Action::ChannelDrained(own, _)
            | Action::ChannelClosed(own)
            | Action::Suspected(own)
            | Action::Healed(own)
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
