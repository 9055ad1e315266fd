//! Numbered, acknowledged messages to one peer: outbox, replay, sharing of frames, reassembly.
//!
//! A link does not know how its frames travel. Its owner says which [`Carrier`] there is, hands in what arrives, and asks
//! for frames. The numbers are the same over every carrier, so after any change of carrier the link repeats from the
//! first number that was not acknowledged, and the receiver drops what it has already.

mod inbox;
mod outbox;
mod stream;
mod window;

use std::collections::VecDeque;

pub use outbox::Encoded;
pub use stream::{Delivery, Piece, Stream};

use inbox::Inbox;
use outbox::Outbox;

use crate::time::{Time, earliest};
use crate::wire::{Acknowledgement, Item, LinkFrame, codec, limits};

/// Names one `send` call; several links can share one, for a message to several peers.
pub type Receipt = u32;

/// Milliseconds of silence on a channel after which the link asks whether the other side is there.
const PING_AFTER: u64 = 2_000;
/// Milliseconds that it waits for anything to come then.
const PONG_WITHIN: u64 = 2_500;
/// Milliseconds of silence after which a channel counts as dead.
pub const SILENCE: u64 = PING_AFTER + PONG_WITHIN;
/// Both for the way through the server, which costs the server something.
const RELAY_PING_AFTER: u64 = 4_000;
const RELAY_PONG_WITHIN: u64 = 4_000;
/// Milliseconds after the last message for which more are expected.
const TALK: u64 = 1_000;

/// How frames travel at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// Not at all: messages wait.
    None,
    /// Over data channel 0.
    Channel,
    /// Through the server.
    Relay,
}

/// What a frame brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The next item in order.
    Item(Item),
    /// These `send` calls are confirmed, or part of them, for calls to several peers.
    Confirmed(Receipt),
    /// The other side is going away.
    Bye,
    /// It gave up what it had not been able to bring over, and begins to count anew.
    Renewed,
}

/// The other side broke the protocol: this link can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation(pub &'static str);

/// One peer's half of the ordered message stream in both directions.
#[derive(Debug)]
pub struct Link {
    carrier: Carrier,
    outbox: Outbox,
    inbox: Inbox,
    heard_at: Time,
    ping_at: Option<Time>,
    /// Somebody has a reason to know whether the other side is there.
    watched: bool,
    /// Nothing came through the server for too long.
    stalled: bool,
    /// When the last question was asked.
    asked_at: Time,
    /// Milliseconds from there to its answer.
    round_trip: Option<u64>,
    control: VecDeque<LinkFrame>,
    /// The owner was told that messages wait for the channel.
    awaits_channel: bool,
    /// When something was last said, by either side.
    talked_at: Time,
}

impl Link {
    /// A link with nothing in it. `stream` must be greater than that of any earlier link to the same instance.
    #[must_use]
    pub fn new(stream: u32) -> Self {
        Self {
            carrier: Carrier::None,
            outbox: Outbox::new(stream),
            inbox: Inbox::default(),
            heard_at: Time(0),
            ping_at: None,
            watched: false,
            stalled: false,
            asked_at: Time(0),
            round_trip: None,
            control: VecDeque::new(),
            awaits_channel: false,
            talked_at: Time(0),
        }
    }

    /// This link's stream.
    #[must_use]
    pub fn stream(&self) -> u32 {
        self.outbox.stream
    }

    /// How frames travel at present.
    #[must_use]
    pub fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// Whether everything that was sent is confirmed.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Messages that wait, on their way out or in.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.outbox.len() + usize::from(self.inbox.is_assembling())
    }

    /// Bytes of the message that is being put together.
    #[must_use]
    pub fn assembly_bytes(&self) -> usize {
        self.inbox.assembly_bytes()
    }

    /// Bytes in the outbox.
    #[must_use]
    pub fn outbox_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    /// Entries in the outbox that nobody awaits: answers to what the other side said.
    #[must_use]
    pub fn answers(&self) -> usize {
        self.outbox.answers()
    }

    /// Puts a message into the outbox. `receipt` comes back as [`Arrival::Confirmed`] when the other side has it.
    pub fn send(&mut self, now: Time, message: &Encoded, receipt: Option<Receipt>) {
        self.talked_at = now;
        self.outbox.push(now, message, receipt);
    }

    /// Whether either side has said something a moment ago: what else goes to the peer is not to stand in the way.
    #[must_use]
    pub fn talks(&self, now: Time) -> bool {
        self.talked_at > Time(0) && now - self.talked_at < TALK
    }

    /// Changes how frames travel. Everything unconfirmed is sent again.
    pub fn carry(&mut self, now: Time, carrier: Carrier) {
        self.carrier = carrier;
        self.drained();
        self.control.clear();
        self.heard_at = now;
        self.ping_at = None;
        self.rewind(now);
        // Whether the server's way leads anywhere is not known before something has come that way.
        self.stalled = carrier == Carrier::Relay;
        if self.stalled {
            self.ping(now);
        }
    }

    /// The same channel carries again; what is inside it already, only the browser knows.
    pub fn resume(&mut self, now: Time) {
        self.carry(now, Carrier::Channel);
        self.outbox.assume_full();
    }

    /// Whether the other side is silent though the server would pass on what it says.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// Milliseconds from a question to its answer, the last time that one was asked.
    #[must_use]
    pub fn round_trip(&self) -> Option<u64> {
        self.round_trip
    }

    /// Whether the other side is to be asked now and then if it is there, which costs the server something where it
    /// carries the link.
    pub fn watch(&mut self, watched: bool) {
        self.watched = watched;
    }

    /// Asks at once whether the other side is there.
    pub fn probe(&mut self, now: Time) {
        if self.carrier == Carrier::Channel && self.ping_at.is_none() {
            self.ping(now);
        }
    }

    /// Sends everything unconfirmed again, over the same carrier.
    pub fn rewind(&mut self, now: Time) {
        self.outbox.rewind(now);
    }

    /// Drops a message that has come in part: there is no longer a reason to keep it.
    pub fn drop_assembly(&mut self) {
        self.inbox.drop_assembly();
    }

    /// The channel has handed everything to the network.
    pub fn drained(&mut self) {
        self.outbox.buffered = 0;
        self.awaits_channel = false;
    }

    /// Gives up everything unconfirmed and begins a new stream, where the other side can follow.
    /// Returns for each awaited message whether it had been handed to a carrier.
    pub fn abandon(&mut self, stream: u32) -> Vec<(Receipt, bool)> {
        self.outbox.abandon(stream)
    }

    /// The other side is to hear of the new stream though nothing is sent.
    pub fn announce(&mut self) {
        self.outbox.announce();
    }

    /// Takes in one frame, in its binary form, which must be at most [`limits::LINK_FRAME`] bytes.
    ///
    /// # Errors
    /// [`Violation`]: not a frame, or against the rules.
    pub fn receive_bytes(
        &mut self,
        now: Time,
        bytes: &[u8],
        arrivals: &mut Vec<Arrival>,
    ) -> Result<(), Violation> {
        if bytes.len() > limits::LINK_FRAME {
            return Err(Violation("frame over 64 KiB"));
        }
        match codec::decode::<LinkFrame>(bytes) {
            Ok(frame) => self.receive(now, Carrier::Channel, frame, bytes.len(), arrivals),
            Err(codec::DecodeError::Unknown) => Ok(()),
            Err(codec::DecodeError::Malformed) => Err(Violation("not a link frame")),
        }
    }

    /// Takes in one frame of about `size` bytes that came `over` a carrier, which need not be the present one: what the
    /// server brings says nothing about the channel.
    ///
    /// # Errors
    /// [`Violation`]: against the rules.
    pub fn receive(
        &mut self,
        now: Time,
        over: Carrier,
        frame: LinkFrame,
        size: usize,
        arrivals: &mut Vec<Arrival>,
    ) -> Result<(), Violation> {
        if over == self.carrier {
            self.heard_at = now;
            self.ping_at = None;
            self.stalled = false;
        }
        match frame {
            LinkFrame::Data { header, items } => {
                self.talked_at = now;
                self.confirm(now, header.acknowledged, arrivals)?;
                if !self.inbox.take(now, header, items, size, arrivals)? {
                    self.control.retain(|frame| *frame != LinkFrame::Bye);
                    self.control.push_back(LinkFrame::Bye);
                }
                Ok(())
            }
            LinkFrame::Acknowledge { acknowledged, again } => {
                self.confirm(now, acknowledged, arrivals)?;
                if again && acknowledged.stream == self.outbox.stream {
                    self.outbox.rewind_asked(now);
                }
                Ok(())
            }
            LinkFrame::Ping { token } => {
                // One answer is enough, however many questions wait.
                self.control
                    .retain(|frame| !matches!(frame, LinkFrame::Pong { .. }));
                self.control.push_back(LinkFrame::Pong { token });
                Ok(())
            }
            LinkFrame::Pong { token } => {
                if token == self.asked_at.0 as u32 {
                    self.round_trip = Some(now - self.asked_at);
                }
                Ok(())
            }
            LinkFrame::Bye => {
                arrivals.push(Arrival::Bye);
                Ok(())
            }
            LinkFrame::Connection { .. } => Err(Violation("a connection's frame among the link's")),
        }
    }

    fn confirm(
        &mut self,
        now: Time,
        acknowledged: Acknowledgement,
        arrivals: &mut Vec<Arrival>,
    ) -> Result<(), Violation> {
        let confirmed = |receipt| arrivals.push(Arrival::Confirmed(receipt));
        self.outbox.confirm(now, acknowledged, confirmed)
    }

    /// The next frame for the carrier, in binary form, if there is something that may go now.
    pub fn poll_frame(&mut self, now: Time) -> Option<Vec<u8>> {
        if self.carrier == Carrier::None {
            return None;
        }
        let frame = self.data_frame().or_else(|| self.control_frame(now))?;
        if self.carrier == Carrier::Channel {
            self.outbox.buffered += frame.len();
        }
        Some(frame)
    }

    /// Whether messages wait for the channel to be empty, asked after [`Link::poll_frame`]; says so once, until
    /// [`Link::drained`] is called. An event for each frame would cost more than the frame.
    pub fn poll_awaits_channel(&mut self) -> bool {
        self.carrier == Carrier::Channel
            && self.outbox.is_pending()
            && !std::mem::replace(&mut self.awaits_channel, true)
    }

    fn data_frame(&mut self) -> Option<Vec<u8>> {
        let frame = self
            .outbox
            .poll_frame(self.carrier, self.inbox.acknowledgement())?;
        self.inbox.acknowledged();
        Some(frame)
    }

    fn control_frame(&mut self, now: Time) -> Option<Vec<u8>> {
        let frame = match self.inbox.take_acknowledgement(now) {
            Some((acknowledged, again)) => LinkFrame::Acknowledge { acknowledged, again },
            None => self.control.pop_front()?,
        };
        Some(codec::encode(&frame))
    }

    /// Whether something was received and not acknowledged.
    #[must_use]
    pub fn owes(&self) -> bool {
        self.inbox.acknowledge_at.is_some()
    }

    /// An acknowledgement that is owed waits no longer.
    pub fn acknowledge(&mut self, now: Time) {
        if self.owes() {
            self.inbox.acknowledge_at = Some(now);
        }
    }

    /// What has arrived here.
    #[must_use]
    pub fn acknowledgement(&self) -> Acknowledgement {
        self.inbox.acknowledgement()
    }

    /// Time has passed. `late` is how many milliseconds after the asked-for moment this call comes: a page that slept
    /// asks again before it draws conclusions. Returns whether the carrier has died.
    pub fn tick(&mut self, now: Time, late: u64) -> bool {
        match self.carrier {
            Carrier::None => false,
            Carrier::Channel => {
                match self.ping_at {
                    Some(at) if late > 1_000 && now - at >= PONG_WITHIN => self.ping(now),
                    Some(at) if now - at >= PONG_WITHIN => return true,
                    Some(_) => {}
                    None if now - self.heard_at >= PING_AFTER => self.ping(now),
                    None => {}
                }
                false
            }
            Carrier::Relay => {
                if self.outbox.repeat_at().is_some_and(|at| at <= now) {
                    self.rewind(now);
                }
                match self.ping_at {
                    Some(at) if self.watched && now - at >= RELAY_PONG_WITHIN => {
                        self.stalled |= late <= 1_000;
                        self.ping(now);
                    }
                    Some(_) => {}
                    None if self.watched && now - self.heard_at >= RELAY_PING_AFTER => self.ping(now),
                    None => {}
                }
                false
            }
        }
    }

    fn ping(&mut self, now: Time) {
        self.ping_at = Some(now);
        self.asked_at = now;
        self.control
            .retain(|frame| !matches!(frame, LinkFrame::Ping { .. }));
        self.control.push_back(LinkFrame::Ping { token: now.0 as u32 });
    }

    /// When [`Link::tick`] or [`Link::poll_frame`] has something to do next. Acknowledgements over a channel are not
    /// among it: [`Link::acknowledge`] is called for them, and a timer for each would cost more than they do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.carrier {
            Carrier::None => None,
            Carrier::Channel => {
                let life = match self.ping_at {
                    Some(at) => at + PONG_WITHIN,
                    None => self.heard_at + PING_AFTER,
                };
                Some(life)
            }
            Carrier::Relay => {
                let life = match self.ping_at {
                    Some(at) => at + RELAY_PONG_WITHIN,
                    None => self.heard_at + RELAY_PING_AFTER,
                };
                let due = earliest(self.inbox.acknowledge_at, self.outbox.repeat_at());
                earliest(due, Some(life).filter(|_| self.watched))
            }
        }
    }
}

#[cfg(test)]
mod tests;
