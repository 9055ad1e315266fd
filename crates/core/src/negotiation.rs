//! Perfect negotiation (W3C WebRTC, section 10.7) of one `RTCPeerConnection` as a state machine.
//!
//! Browser calls are commands with a number ([`Op`]); one runs at a time, and what arrives meanwhile waits, so the races
//! that the W3C's example guards against can't happen. When both sides offer at once, the polite one lets its own offer
//! be rolled back by `setRemoteDescription` and the other ignores what came. Before there was any agreement, the polite
//! one's owner makes a new connection instead: see [`Negotiation::is_overruled_by`]. An answer names the offer that it
//! answers, and a late one is dropped.

use std::collections::VecDeque;

use crate::privacy::Privacy;
use crate::wire::{Candidate, Description, DescriptionKind, Signal, limits};

/// Numbers one browser call, so that a late answer is told from the awaited one.
pub type Op = u32;

/// A browser call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `setLocalDescription()` without argument: makes an offer, or the answer to the offer that was set.
    SetLocal,
    /// `setRemoteDescription(description)`.
    SetRemote(Description),
    /// `addIceCandidate(candidate)`.
    AddCandidate(Candidate),
}

/// What became of a browser call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// `SetLocal`: the description that is set now.
    Local(Description),
    /// `SetRemote` or `AddCandidate` has been carried out.
    Applied,
    /// It was refused.
    Failed(String),
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Call the browser.
    Exec(Op, Command),
    /// Tell the other side.
    Send(Signal),
    /// The browser refused a description: this connection is of no use any more.
    Broken(String),
}

/// W3C `RTCSignalingState`, without the provisional ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Stable,
    HaveLocalOffer,
    HaveRemoteOffer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Offering,
    TakingOffer { exchange: u32 },
    Answering { exchange: u32 },
    TakingAnswer,
    AddingCandidate,
}

/// The negotiation of one connection.
#[derive(Debug)]
pub struct Negotiation {
    generation: u32,
    polite: bool,
    privacy: Privacy,
    /// The other side is to make the first offer.
    waits: bool,
    state: State,
    doing: Option<(Op, Doing)>,
    next_op: Op,
    wants_offer: bool,
    /// Counts this side's offers.
    exchange: u32,
    /// The newest offer of the other side's that was taken.
    their_exchange: u32,
    inbox: VecDeque<Signal>,
    has_remote: bool,
    candidates: VecDeque<Candidate>,
    candidates_seen: usize,
    has_local: bool,
    local_candidates: Vec<Candidate>,
    steps: VecDeque<Step>,
}

impl Negotiation {
    /// For a connection just made. `op` is the first number for its commands; `waits` says that the other side makes the
    /// first offer.
    #[must_use]
    pub fn new(generation: u32, polite: bool, privacy: Privacy, waits: bool, op: Op) -> Self {
        Self {
            generation,
            polite,
            privacy,
            waits,
            state: State::Stable,
            doing: None,
            next_op: op,
            wants_offer: false,
            exchange: 0,
            their_exchange: 0,
            inbox: VecDeque::new(),
            has_remote: false,
            candidates: VecDeque::new(),
            candidates_seen: 0,
            has_local: false,
            local_candidates: Vec::new(),
            steps: VecDeque::new(),
        }
    }

    /// Which connection this is.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The browser's `negotiationneeded`.
    pub fn needed(&mut self) {
        self.wants_offer = true;
        self.pump();
    }

    /// Whether this offer overrules the first one of this side's, so that a new connection is better than a rollback.
    /// Chromium that rolls back an offer whose candidates it has only just begun to gather sometimes gathers none for
    /// the answer, and the link fails after seconds.
    #[must_use]
    pub fn is_overruled_by(&self, signal: &Signal) -> bool {
        let is_offer = matches!(
            signal,
            Signal::Description { description, .. } if description.kind == DescriptionKind::Offer
        );
        let has_offered =
            self.state == State::HaveLocalOffer || matches!(self.doing, Some((_, Doing::Offering)));
        is_offer && self.polite && !self.has_remote && has_offered
    }

    /// The browser's `icecandidate`.
    pub fn local_candidate(&mut self, mut candidate: Candidate) {
        let Some(line) = self.privacy.candidate(candidate.candidate) else {
            return;
        };
        candidate.candidate = line;
        let lines = [
            Some(&candidate.candidate),
            candidate.mid.as_ref(),
            candidate.fragment.as_ref(),
        ];
        // The server would take a longer one for an attack.
        if lines
            .into_iter()
            .flatten()
            .all(|line| line.len() <= limits::CANDIDATE)
        {
            self.local_candidates.push(candidate);
        }
        self.pump();
    }

    /// A signal of this generation from the other side. More than is sensible is dropped.
    pub fn receive(&mut self, signal: Signal) {
        if let Signal::Candidates { candidates, .. } = &signal {
            self.candidates_seen += candidates.len();
            if self.candidates_seen > limits::CANDIDATES_PER_GENERATION {
                return;
            }
        }
        if self.inbox.len() < limits::CANDIDATES_PER_GENERATION {
            self.inbox.push_back(signal);
        }
        self.pump();
    }

    /// A browser call has ended. The answer to any but the awaited one is dropped.
    pub fn done(&mut self, op: Op, done: Done) {
        let Some((_, doing)) = self.doing.take_if(|(awaited, _)| *awaited == op) else {
            return;
        };
        match (doing, done) {
            (Doing::Offering, Done::Local(description)) if description.kind == DescriptionKind::Offer => {
                self.state = State::HaveLocalOffer;
                self.exchange += 1;
                self.describe(self.exchange, description);
            }
            (Doing::TakingOffer { exchange }, Done::Applied) => {
                self.state = State::HaveRemoteOffer;
                self.remote_is_set();
                // The browser asks again if the answer leaves something to negotiate.
                self.wants_offer = false;
                self.exec(Doing::Answering { exchange }, Command::SetLocal);
            }
            (Doing::Answering { exchange }, Done::Local(description))
                if description.kind == DescriptionKind::Answer =>
            {
                self.state = State::Stable;
                self.describe(exchange, description);
            }
            (Doing::TakingAnswer, Done::Applied) => {
                self.state = State::Stable;
                self.remote_is_set();
            }
            // A candidate that the browser can't use is no reason to give up: others may do.
            (Doing::AddingCandidate, _) => {}
            (_, Done::Failed(reason)) => self.steps.push_back(Step::Broken(reason)),
            (_, Done::Local(_) | Done::Applied) => {
                self.steps
                    .push_back(Step::Broken("unexpected description".into()));
            }
        }
        self.pump();
    }

    /// What to do next, in order.
    pub fn poll_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    fn remote_is_set(&mut self) {
        self.has_remote = true;
        self.waits = false;
        // An ICE restart has candidates of its own.
        self.candidates_seen = 0;
    }

    fn describe(&mut self, exchange: u32, mut description: Description) {
        description.sdp = self.privacy.description(description.sdp);
        if description.sdp.len() > limits::SDP {
            self.steps
                .push_back(Step::Broken("the description is over 32 KiB".into()));
            return;
        }
        self.has_local = true;
        self.steps.push_back(Step::Send(Signal::Description {
            generation: self.generation,
            exchange,
            description,
        }));
    }

    fn exec(&mut self, doing: Doing, command: Command) {
        let op = self.next_op;
        self.next_op = self.next_op.wrapping_add(1);
        self.doing = Some((op, doing));
        self.steps.push_back(Step::Exec(op, command));
    }

    fn pump(&mut self) {
        if self.has_local {
            let generation = self.generation;
            while !self.local_candidates.is_empty() {
                let count = self.local_candidates.len().min(limits::CANDIDATES_PER_FRAME);
                let candidates = self.local_candidates.drain(..count).collect();
                self.steps.push_back(Step::Send(Signal::Candidates {
                    generation,
                    candidates,
                }));
            }
        }
        while self.doing.is_none() {
            if self.has_remote
                && let Some(candidate) = self.candidates.pop_front()
            {
                self.exec(Doing::AddingCandidate, Command::AddCandidate(candidate));
            } else if let Some(signal) = self.inbox.pop_front() {
                self.take(signal);
            } else if self.wants_offer && !self.waits && self.state == State::Stable {
                self.wants_offer = false;
                self.exec(Doing::Offering, Command::SetLocal);
            } else {
                break;
            }
        }
    }

    fn take(&mut self, signal: Signal) {
        match signal {
            Signal::Candidates { candidates, .. } => self.candidates.extend(candidates),
            Signal::Description {
                exchange,
                description,
                ..
            } => match description.kind {
                DescriptionKind::Offer => {
                    let collision = self.state != State::Stable;
                    if exchange <= self.their_exchange || (collision && !self.polite) {
                        return;
                    }
                    self.their_exchange = exchange;
                    self.exec(Doing::TakingOffer { exchange }, Command::SetRemote(description));
                }
                DescriptionKind::Answer => {
                    if self.state == State::HaveLocalOffer && exchange == self.exchange {
                        self.exec(Doing::TakingAnswer, Command::SetRemote(description));
                    }
                }
            },
        }
    }
}
