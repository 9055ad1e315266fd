//! One client by itself, and a server and a peer that say whatever a test wants.
#![allow(dead_code)]

use peerloom_core::client::{Channel, Client, Config, Event, Output, PeerKey};
use peerloom_core::privacy::Privacy;
use peerloom_core::time::Time;
use peerloom_core::wire::codec::{self, Codec};
use peerloom_core::wire::{
    Acknowledgement, Body, Description, DescriptionKind, Id, Instance, Item, LinkFrame, LinkHeader, Media,
    Member, PeerInfo, Secret, ServerFrame, Signal, ThreadId, Welcome,
};

pub struct Rig {
    pub client: Client,
    pub now: u64,
    pub events: Vec<Event>,
    /// Connections that are open, in the order of their making.
    pub connections: Vec<(PeerKey, u32)>,
    pub sent: Vec<peerloom_core::wire::ClientFrame>,
    pub rejected: Vec<(u32, peerloom_core::Error)>,
    pub settled: Vec<u32>,
    /// Sockets that were asked for.
    pub sockets: usize,
    pub executed: Vec<(PeerKey, u32, u32, peerloom_core::negotiation::Command)>,
}

pub fn id(text: &str) -> Id {
    Id::new(text).expect("a name")
}

pub fn thread(text: &str) -> ThreadId {
    ThreadId::new(text).expect("a name")
}

pub fn info(text: &str, instance: u64) -> PeerInfo {
    PeerInfo {
        id: id(text),
        instance: Instance(instance),
        user_data: None,
        webrtc: true,
    }
}

pub fn data(stream: u32, first: u64, items: Vec<Item>) -> LinkFrame {
    LinkFrame::Data {
        header: LinkHeader {
            stream,
            first,
            acknowledged: Acknowledgement::default(),
        },
        items,
    }
}

pub fn offer(generation: u32) -> Signal {
    Signal::Description {
        generation,
        exchange: 1,
        description: Description {
            kind: DescriptionKind::Offer,
            sdp: "v=0".into(),
        },
    }
}

pub fn message(text: &str) -> Item {
    Item::Peer {
        body: Body::Text(text.into()),
    }
}

impl Rig {
    /// Online as "self".
    pub fn online(codec: Codec) -> Self {
        let mut rig = Self {
            client: Client::new(Config {
                id: Some(id("self")),
                token: None,
                instance: Instance(1 << 52),
                user_data: None,
                webrtc: true,
                privacy: Privacy::All,
                codec,
                timeout: 10_000,
                recovery: peerloom_core::recovery::Recovery::default(),
                seed: 1,
            }),
            now: 1,
            events: Vec::new(),
            connections: Vec::new(),
            sent: Vec::new(),
            rejected: Vec::new(),
            settled: Vec::new(),
            sockets: 0,
            executed: Vec::new(),
        };
        rig.client.open(Time(rig.now));
        rig.client.socket_opened(Time(rig.now));
        rig.server(&ServerFrame::Welcome(welcome()));
        rig.take();
        rig
    }

    pub fn at(&self) -> Time {
        Time(self.now)
    }

    /// Takes every output in.
    pub fn take(&mut self) {
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Event(event) => self.events.push(event),
                Output::CreateConnection(key, generation) => self.connections.push((key, generation)),
                Output::CloseConnection(key, generation) => {
                    self.connections.retain(|open| *open != (key, generation));
                }
                Output::SocketSend(bytes) => self.sent.extend(codec::decode(&bytes)),
                Output::Reject(receipt, error) => self.rejected.push((receipt, error)),
                Output::Connect => self.sockets += 1,
                Output::Settle(first, last) => self.settled.extend(first..=last),
                Output::Exec(key, generation, op, command) => {
                    self.executed.push((key, generation, op, command));
                }
                _ => {}
            }
        }
    }

    /// A frame of the server's comes, in binary form.
    pub fn server(&mut self, frame: &ServerFrame) {
        self.client.socket_received(self.at(), &codec::encode(frame));
        self.take();
    }

    pub fn signal(&mut self, from: &str, instance: u64, signal: Signal) {
        self.server(&ServerFrame::Signal {
            from: id(from),
            instance: Instance(instance),
            signal,
        });
    }

    pub fn relay(&mut self, from: &str, instance: u64, frame: LinkFrame) {
        self.server(&ServerFrame::Relay {
            from: id(from),
            instance: Instance(instance),
            frame,
        });
    }

    /// A thread with these members.
    pub fn join(&mut self, name: &str, members: &[PeerInfo]) {
        self.client.join(&thread(name), None, None);
        self.take();
        let op = self.sent.iter().rev().find_map(|frame| match frame {
            peerloom_core::wire::ClientFrame::Join { op, .. } => Some(*op),
            _ => None,
        });
        let members = members
            .iter()
            .map(|peer| Member {
                peer: peer.clone(),
                user_data: None,
                media: Media::default(),
            })
            .collect();
        self.server(&ServerFrame::Joined {
            op: op.expect("a join was sent"),
            thread: thread(name),
            members,
        });
    }

    /// A stranger makes a direct link.
    pub fn link_with(&mut self, from: &str, instance: u64) -> (PeerKey, u32) {
        self.signal(from, instance, offer(1));
        let (key, generation) = *self.connections.last().expect("a connection");
        self.client
            .channel_opened(self.at(), key, generation, Channel::Link);
        self.take();
        (key, generation)
    }

    pub fn channel(&mut self, link: (PeerKey, u32), frame: &LinkFrame) {
        self.client
            .channel_received(self.at(), link.0, link.1, Channel::Link, &codec::encode(frame));
        self.take();
    }

    /// Time passes; every deadline is kept.
    pub fn pass(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        let mut ticks = 0;
        while let Some(Time(at)) = self.client.poll_timeout().filter(|at| at.0 <= end) {
            self.now = self.now.max(at);
            self.client.tick(self.at());
            self.take();
            // The server answers heartbeats.
            self.server(&ServerFrame::Pong { received: u64::MAX });
            ticks += 1;
            assert!(ticks < 100_000, "no end of deadlines");
        }
        self.now = end;
    }

    pub fn texts(&self) -> Vec<&str> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Message(_, _, Body::Text(text)) | Event::ThreadMessage(_, _, Body::Text(text)) => {
                    Some(text.as_str())
                }
                _ => None,
            })
            .collect()
    }

    pub fn errors(&self) -> usize {
        let is_error = |event: &&Event| matches!(event, Event::Error(_));
        self.events.iter().filter(is_error).count()
    }
}

pub fn welcome() -> Welcome {
    Welcome {
        id: id("self"),
        ticket: Secret::new("ticket").expect("short"),
        resumed: false,
        received: 0,
        grace: 10_000,
        heartbeat: 5_000,
        ice_servers: None,
    }
}
