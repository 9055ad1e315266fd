//! A model of the browser's `RTCPeerConnection` with one negotiated data channel: signalling states with implicit
//! rollback, `negotiationneeded`, the calls that negotiation makes and how they fail (W3C WebRTC, section 4.4).
//!
//! It panics where a browser would be asked for something that this library never does.

use std::collections::{BTreeMap, BTreeSet};

use peerloom_core::client::{Channel, Number, PeerKey};
use peerloom_core::negotiation::{Command, Done, Op};
use peerloom_core::wire::{Candidate, Description, DescriptionKind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signalling {
    Stable,
    HaveLocalOffer,
    HaveRemoteOffer,
}

/// A description as the model writes it: whose, its number there, and which one it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sdp {
    pub connection: usize,
    pub number: u32,
    pub answers: Option<(usize, u32)>,
}

impl Sdp {
    fn write(self) -> String {
        let (to, number) = self.answers.unwrap_or((usize::MAX, 0));
        format!(
            "v=0 connection={} number={} to={to} answers={number}",
            self.connection, self.number
        )
    }

    fn read(text: &str) -> Option<Self> {
        let mut fields = text.split(' ').skip(1).map(|field| field.split_once('='));
        let mut field = || fields.next()??.1.parse::<u64>().ok();
        let (connection, number, to, answers) = (field()?, field()?, field()?, field()?);
        Some(Self {
            connection: connection as usize,
            number: number as u32,
            answers: (to != u64::MAX).then_some((to as usize, answers as u32)),
        })
    }
}

/// One connection of one page.
#[derive(Debug)]
pub struct Connection {
    pub page: usize,
    pub life: u32,
    pub key: PeerKey,
    pub generation: u32,
    pub closed: bool,
    pub signalling: Signalling,
    number: u32,
    local: Option<Sdp>,
    remote: Option<Sdp>,
    pub running: Option<Op>,
    /// A candidate of the other side's was taken.
    pub has_candidate: bool,
    /// The other side, once there is a path.
    pub other: Option<usize>,
    /// The page was told that the channel is open.
    pub open: bool,
    /// Nothing gets through any more, and nobody says so. The channel repeats what was not heard once it is over.
    pub silent: bool,
    /// What arrives when it is over, in order.
    pub unheard: Vec<(Channel, Vec<u8>)>,
    /// Channels of connections that this side knows to be open.
    pub channels: BTreeMap<Number, Channelled>,
    /// An ICE restart was asked for, and no offer made since.
    restarts: bool,
    /// The page waits for the channel to be empty.
    pub awaits_drained: BTreeSet<Channel>,
    /// When what was handed over last arrives.
    pub arrives_at: u64,
    /// What was handed over arrives until then.
    pub cut_at: u64,
    /// When the buffer is empty.
    pub drains_at: u64,
    /// Messages that came before the page knew of the channel.
    pub early: Vec<(Channel, Vec<u8>)>,
}

/// A connection's channel, at one side.
#[derive(Debug)]
pub struct Channelled {
    pub open: bool,
    pub ordered: bool,
    pub lossy: bool,
}

impl Connection {
    pub fn new(page: usize, life: u32, key: PeerKey, generation: u32) -> Self {
        Self {
            page,
            life,
            key,
            generation,
            closed: false,
            signalling: Signalling::Stable,
            number: 0,
            local: None,
            remote: None,
            running: None,
            has_candidate: false,
            other: None,
            open: false,
            silent: false,
            unheard: Vec::new(),
            channels: BTreeMap::new(),
            restarts: false,
            awaits_drained: BTreeSet::new(),
            arrives_at: 0,
            cut_at: u64::MAX,
            drains_at: 0,
            early: Vec::new(),
        }
    }

    /// Whether `negotiationneeded` is due: the channel is not negotiated yet.
    pub fn needs_negotiation(&self) -> bool {
        !self.closed && self.signalling == Signalling::Stable && (self.local.is_none() || self.restarts)
    }

    /// `restartIce()`.
    pub fn restart_ice(&mut self) {
        self.restarts = true;
    }

    /// The other connection that both descriptions agree on.
    pub fn agreed_with(&self) -> Option<usize> {
        let (Some(_), Some(remote)) = (self.local, self.remote) else {
            return None;
        };
        (self.signalling == Signalling::Stable && !self.closed).then_some(remote.connection)
    }

    /// Carries out a call. `own` is this connection's number in the world.
    pub fn carry_out(&mut self, own: usize, command: Command) -> Done {
        match command {
            Command::SetLocal => self.set_local(own),
            Command::SetRemote(description) => self.set_remote(own, &description),
            Command::AddCandidate(candidate) => self.add_candidate(&candidate),
        }
    }

    fn set_local(&mut self, own: usize) -> Done {
        self.number += 1;
        self.restarts = false;
        let (kind, answers) = match self.signalling {
            Signalling::Stable => (DescriptionKind::Offer, None),
            Signalling::HaveRemoteOffer => {
                let remote = self.remote.expect("a remote offer was set");
                (DescriptionKind::Answer, Some((remote.connection, remote.number)))
            }
            Signalling::HaveLocalOffer => panic!("an offer upon an offer"),
        };
        let sdp = Sdp {
            connection: own,
            number: self.number,
            answers,
        };
        self.local = Some(sdp);
        self.signalling = match kind {
            DescriptionKind::Offer => Signalling::HaveLocalOffer,
            DescriptionKind::Answer => Signalling::Stable,
        };
        Done::Local(Description {
            kind,
            sdp: sdp.write(),
        })
    }

    fn set_remote(&mut self, own: usize, description: &Description) -> Done {
        let Some(sdp) = Sdp::read(&description.sdp) else {
            return Done::Failed("OperationError".into());
        };
        match description.kind {
            DescriptionKind::Offer => {
                // In have-local-offer this rolls the local offer back.
                self.signalling = Signalling::HaveRemoteOffer;
                self.remote = Some(sdp);
            }
            DescriptionKind::Answer => {
                assert_eq!(
                    self.signalling,
                    Signalling::HaveLocalOffer,
                    "an answer without an offer"
                );
                let local = self.local.expect("a local offer was set");
                assert_eq!(
                    sdp.answers,
                    Some((own, local.number)),
                    "an answer to another offer was applied"
                );
                self.signalling = Signalling::Stable;
                self.remote = Some(sdp);
            }
        }
        Done::Applied
    }

    fn add_candidate(&mut self, candidate: &Candidate) -> Done {
        let remote = self.remote.expect("a candidate before any remote description");
        if candidate.candidate.is_empty() {
            return Done::Applied;
        }
        if candidate.candidate == line(remote.connection) {
            self.has_candidate = true;
            Done::Applied
        } else {
            Done::Failed("OperationError".into())
        }
    }
}

fn line(connection: usize) -> String {
    format!("candidate:{connection}")
}

/// A candidate of that connection.
pub fn candidate(connection: usize) -> Candidate {
    Candidate {
        candidate: line(connection),
        mid: Some("0".into()),
        line_index: Some(0),
        fragment: Some(connection.to_string()),
    }
}

/// The end of candidates.
pub fn end_of_candidates() -> Candidate {
    Candidate {
        candidate: String::new(),
        mid: Some("0".into()),
        line_index: Some(0),
        fragment: None,
    }
}
