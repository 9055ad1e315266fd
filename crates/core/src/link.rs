//! Numbered, acknowledged messages to one peer: outbox, replay, sharing of frames, reassembly.
//!
//! A link does not know how its frames travel. Its owner says which [`Carrier`] there is, hands in what arrives, and asks
//! for frames. The numbers are the same over every carrier, so after any change of carrier the link repeats from the
//! first number that was not acknowledged, and the receiver drops what it has already.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::time::{Time, earliest};
use crate::wire::{Acknowledgement, Item, LinkFrame, LinkHeader, codec, limits};

/// Names one `send` call; several links can share one, for a message to several peers.
pub type Receipt = u32;

/// Bytes that may wait inside the data channel; more stay in the outbox.
const CHANNEL_BUFFER: usize = 256 * 1024;
/// Bytes that may be on their way through the server, unacknowledged.
const RELAY_WINDOW: usize = 128 * 1024;
/// Bytes of these below which a message goes at once.
const RELAY_AT_ONCE: usize = 2 * 1024;
/// Milliseconds that an acknowledgement waits for a message to travel with, at most; over a channel the owner calls
/// [`Link::acknowledge`] long before.
const ACKNOWLEDGE_AFTER: u64 = 20;
/// Bytes received after which it does not wait.
const ACKNOWLEDGE_BYTES: usize = 64 * 1024;
/// Milliseconds of silence on a channel after which the link asks whether the other side is there.
const PING_AFTER: u64 = 2_000;
/// Milliseconds that it waits for anything to come then.
const PONG_WITHIN: u64 = 2_500;
/// Milliseconds without progress after which what went through the server is repeated.
const REPEAT_AFTER: u64 = 4_000;

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
}

/// The other side broke the protocol: this link can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation(pub &'static str);

#[derive(Debug)]
struct Entry {
    bytes: Rc<[u8]>,
    /// Set on the last entry of a message that somebody awaits.
    receipt: Option<Receipt>,
}

/// An item that was encoded once and can go into any number of links.
#[derive(Clone, Debug)]
pub struct Encoded {
    parts: Vec<Rc<[u8]>>,
}

impl Encoded {
    /// Encodes; `None` if it is over [`limits::MESSAGE`].
    #[must_use]
    pub fn new(item: &Item) -> Option<Self> {
        let bytes = codec::encode(item);
        if bytes.len() <= limits::LINK_FRAME_TARGET {
            return Some(Self {
                parts: vec![bytes.into()],
            });
        }
        if bytes.len() > limits::MESSAGE {
            return None;
        }
        let count = bytes.len().div_ceil(limits::LINK_FRAME_TARGET);
        let parts = bytes
            .chunks(limits::LINK_FRAME_TARGET)
            .enumerate()
            .map(|(index, chunk)| {
                let part = Item::Part {
                    last: index + 1 == count,
                    bytes: crate::wire::Bytes(chunk.to_vec()),
                };
                codec::encode(&part).into()
            })
            .collect();
        Some(Self { parts })
    }
}

/// One peer's half of the ordered message stream in both directions.
#[derive(Debug)]
pub struct Link {
    carrier: Carrier,
    stream: u32,
    /// The other side may wait for the rest of something from an earlier stream: it is to hear of this one.
    announces: bool,
    /// Number of the first entry of the outbox: the first that was not acknowledged.
    base: u64,
    outbox: VecDeque<Entry>,
    /// Number of the next entry to hand to the carrier.
    cursor: u64,
    /// The greatest number that the cursor has had: what is before it may have arrived.
    handed: u64,
    /// Bytes of the entries from the cursor on.
    pending: usize,
    /// Bytes of the entries before the cursor.
    unacknowledged: usize,
    /// Bytes handed to the channel since it last said that it is empty.
    buffered: usize,
    progress_at: Time,

    their_stream: u32,
    expected: u64,
    assembly: Vec<u8>,
    assembling: bool,
    /// The stream whose message was dropped in its middle; 0 for none. Nothing more is taken from it.
    broken: u32,
    received: usize,
    acknowledge_at: Option<Time>,
    ask_again: bool,

    heard_at: Time,
    ping_at: Option<Time>,
    control: VecDeque<LinkFrame>,
}

impl Link {
    /// A link with nothing in it. `stream` must be greater than that of any earlier link to the same instance.
    #[must_use]
    pub fn new(stream: u32) -> Self {
        Self {
            carrier: Carrier::None,
            stream,
            announces: false,
            base: 0,
            outbox: VecDeque::new(),
            cursor: 0,
            handed: 0,
            pending: 0,
            unacknowledged: 0,
            buffered: 0,
            progress_at: Time(0),
            their_stream: 0,
            expected: 0,
            assembly: Vec::new(),
            assembling: false,
            broken: 0,
            received: 0,
            acknowledge_at: None,
            ask_again: false,
            heard_at: Time(0),
            ping_at: None,
            control: VecDeque::new(),
        }
    }

    /// This link's stream.
    #[must_use]
    pub fn stream(&self) -> u32 {
        self.stream
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
        self.outbox.len() + usize::from(self.assembling)
    }

    /// Bytes of the message that is being put together.
    #[must_use]
    pub fn assembly_bytes(&self) -> usize {
        self.assembly.len()
    }

    /// Bytes in the outbox.
    #[must_use]
    pub fn outbox_bytes(&self) -> usize {
        self.pending + self.unacknowledged
    }

    /// Puts a message into the outbox. `receipt` comes back as [`Arrival::Confirmed`] when the other side has it.
    pub fn send(&mut self, now: Time, message: &Encoded, receipt: Option<Receipt>) {
        if self.outbox.is_empty() {
            self.progress_at = now;
        }
        let last = message.parts.len() - 1;
        for (index, part) in message.parts.iter().enumerate() {
            self.pending += part.len();
            self.outbox.push_back(Entry {
                bytes: Rc::clone(part),
                receipt: receipt.filter(|_| index == last),
            });
        }
    }

    /// Changes how frames travel. Everything unconfirmed is sent again.
    pub fn carry(&mut self, now: Time, carrier: Carrier) {
        self.carrier = carrier;
        self.buffered = 0;
        self.control.clear();
        self.heard_at = now;
        self.ping_at = None;
        self.rewind(now);
    }

    /// Sends everything unconfirmed again, over the same carrier.
    pub fn rewind(&mut self, now: Time) {
        self.cursor = self.base;
        self.pending += self.unacknowledged;
        self.unacknowledged = 0;
        self.progress_at = now;
    }

    /// Drops a message that has come in part: there is no longer a reason to keep it.
    pub fn drop_assembly(&mut self) {
        if self.assembling {
            self.broken = self.their_stream;
            self.assembly = Vec::new();
            self.assembling = false;
        }
    }

    /// The channel has handed everything to the network.
    pub fn drained(&mut self) {
        self.buffered = 0;
    }

    /// Gives up everything unconfirmed and begins a new stream, where the other side can follow.
    /// Returns for each awaited message whether it had been handed to a carrier.
    pub fn abandon(&mut self, stream: u32) -> Vec<(Receipt, bool)> {
        let sent = self.handed.saturating_sub(self.base);
        let outbox = std::mem::take(&mut self.outbox);
        self.stream = stream;
        self.announces |= sent > 0;
        self.base = 0;
        self.cursor = 0;
        self.handed = 0;
        self.pending = 0;
        self.unacknowledged = 0;
        outbox
            .into_iter()
            .enumerate()
            .filter_map(|(index, entry)| entry.receipt.map(|receipt| (receipt, (index as u64) < sent)))
            .collect()
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
            Ok(frame) => self.receive(now, frame, bytes.len(), arrivals),
            Err(codec::DecodeError::Unknown) => Ok(()),
            Err(codec::DecodeError::Malformed) => Err(Violation("not a link frame")),
        }
    }

    /// Takes in one frame of about `size` bytes.
    ///
    /// # Errors
    /// [`Violation`]: against the rules.
    pub fn receive(
        &mut self,
        now: Time,
        frame: LinkFrame,
        size: usize,
        arrivals: &mut Vec<Arrival>,
    ) -> Result<(), Violation> {
        self.heard_at = now;
        self.ping_at = None;
        match frame {
            LinkFrame::Data { header, items } => {
                self.confirm(now, header.acknowledged, arrivals)?;
                self.take(now, header, items, size, arrivals)
            }
            LinkFrame::Acknowledge { acknowledged, again } => {
                self.confirm(now, acknowledged, arrivals)?;
                if again && acknowledged.stream == self.stream {
                    self.rewind(now);
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
            LinkFrame::Pong { .. } => Ok(()),
            LinkFrame::Bye => {
                arrivals.push(Arrival::Bye);
                Ok(())
            }
        }
    }

    fn confirm(
        &mut self,
        now: Time,
        acknowledged: Acknowledgement,
        arrivals: &mut Vec<Arrival>,
    ) -> Result<(), Violation> {
        if acknowledged.stream != self.stream || acknowledged.next <= self.base {
            return Ok(());
        }
        if acknowledged.next > self.base + self.outbox.len() as u64 {
            return Err(Violation("acknowledges what was never sent"));
        }
        for _ in self.base..acknowledged.next {
            let Some(entry) = self.outbox.pop_front() else {
                break;
            };
            // After a rewind the other side may confirm what this side was about to repeat.
            if self.base < self.cursor {
                self.unacknowledged -= entry.bytes.len();
            } else {
                self.pending -= entry.bytes.len();
            }
            self.base += 1;
            if let Some(receipt) = entry.receipt {
                arrivals.push(Arrival::Confirmed(receipt));
            }
        }
        self.cursor = self.cursor.max(self.base);
        self.progress_at = now;
        if self.outbox.is_empty() {
            // A burst's memory is given back.
            self.outbox.shrink_to(256);
        }
        Ok(())
    }

    fn take(
        &mut self,
        now: Time,
        header: LinkHeader,
        items: Vec<Item>,
        size: usize,
        arrivals: &mut Vec<Arrival>,
    ) -> Result<(), Violation> {
        if header.stream < self.their_stream {
            return Ok(());
        }
        if header.stream > self.their_stream {
            self.their_stream = header.stream;
            self.expected = 0;
            self.assembly = Vec::new();
            self.assembling = false;
        }
        if header.stream == self.broken {
            // Without this its sender would take what it sends for delivered, or wait for ever.
            self.control.retain(|frame| *frame != LinkFrame::Bye);
            self.control.push_back(LinkFrame::Bye);
            return Ok(());
        }
        self.received += size;
        let due = if self.received >= ACKNOWLEDGE_BYTES {
            now
        } else {
            now + ACKNOWLEDGE_AFTER
        };
        self.acknowledge_at = earliest(self.acknowledge_at, Some(due));
        if header.first > self.expected {
            self.ask_again = true;
            self.acknowledge_at = Some(now);
            return Ok(());
        }
        let known = usize::try_from(self.expected - header.first).unwrap_or(usize::MAX);
        for item in items.into_iter().skip(known) {
            self.expected += 1;
            match item {
                Item::Part { last, bytes } => {
                    if self.assembly.len() + bytes.0.len() > limits::MESSAGE {
                        return Err(Violation("message over 16 MiB"));
                    }
                    self.assembling = !last;
                    self.assembly.extend_from_slice(&bytes.0);
                    if last {
                        match codec::decode_part::<Item>(&std::mem::take(&mut self.assembly)) {
                            None | Some(Item::Part { .. }) => {
                                return Err(Violation("parts that make no message"));
                            }
                            Some(item) => arrivals.push(Arrival::Item(item)),
                        }
                    }
                }
                _ if self.assembling => return Err(Violation("a message between parts")),
                Item::Void => {}
                item => arrivals.push(Arrival::Item(item)),
            }
        }
        Ok(())
    }

    /// The next frame for the carrier, in binary form, if there is something that may go now.
    pub fn poll_frame(&mut self, now: Time) -> Option<Vec<u8>> {
        if self.carrier == Carrier::None {
            return None;
        }
        let frame = self.data_frame().or_else(|| self.control_frame(now))?;
        if self.carrier == Carrier::Channel {
            self.buffered += frame.len();
        }
        Some(frame)
    }

    fn may_send(&self) -> bool {
        if self.pending == 0 {
            return false;
        }
        match self.carrier {
            Carrier::None => false,
            // At once when the channel is idle; in full frames when it is not.
            Carrier::Channel => {
                self.buffered == 0
                    || (self.pending >= limits::LINK_FRAME_TARGET && self.buffered < CHANNEL_BUFFER)
            }
            // The server counts frames: what can't be confirmed at once goes in full ones.
            Carrier::Relay => {
                self.unacknowledged < RELAY_AT_ONCE
                    || (self.pending >= limits::LINK_FRAME_TARGET && self.unacknowledged < RELAY_WINDOW)
            }
        }
    }

    fn data_frame(&mut self) -> Option<Vec<u8>> {
        if !self.may_send() && !std::mem::take(&mut self.announces) {
            return None;
        }
        self.announces = false;
        let start = usize::try_from(self.cursor - self.base).unwrap_or(usize::MAX);
        let mut count = 0;
        let mut bytes = 0;
        for entry in self.outbox.iter().skip(start).take(limits::ITEMS_PER_FRAME) {
            if count > 0 && bytes + entry.bytes.len() > limits::LINK_FRAME_TARGET {
                break;
            }
            count += 1;
            bytes += entry.bytes.len();
        }
        let header = LinkHeader {
            stream: self.stream,
            first: self.cursor,
            acknowledged: self.acknowledgement(),
        };
        // `LinkFrame::Data` by hand, so that items are copied once: kind, header, length, items.
        let mut frame = Vec::with_capacity(bytes + 48);
        frame.push(0);
        frame.extend_from_slice(&codec::encode(&header));
        frame.extend_from_slice(&codec::encode(&count));
        for entry in self.outbox.range(start..start + count) {
            frame.extend_from_slice(&entry.bytes);
        }
        self.cursor += count as u64;
        self.handed = self.handed.max(self.cursor);
        self.pending -= bytes;
        self.unacknowledged += bytes;
        self.acknowledge_at = None;
        self.received = 0;
        Some(frame)
    }

    fn control_frame(&mut self, now: Time) -> Option<Vec<u8>> {
        if self.acknowledge_at.is_some_and(|at| at <= now) {
            self.acknowledge_at = None;
            self.received = 0;
            let again = std::mem::take(&mut self.ask_again);
            return Some(codec::encode(&LinkFrame::Acknowledge {
                acknowledged: self.acknowledgement(),
                again,
            }));
        }
        self.control.pop_front().map(|frame| codec::encode(&frame))
    }

    /// Whether something was received and not acknowledged.
    #[must_use]
    pub fn owes(&self) -> bool {
        self.acknowledge_at.is_some()
    }

    /// An acknowledgement that is owed waits no longer.
    pub fn acknowledge(&mut self, now: Time) {
        if self.owes() {
            self.acknowledge_at = Some(now);
        }
    }

    /// What has arrived here.
    #[must_use]
    pub fn acknowledgement(&self) -> Acknowledgement {
        Acknowledgement {
            stream: self.their_stream,
            next: self.expected,
        }
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
                if self.unacknowledged > 0 && now - self.progress_at >= REPEAT_AFTER {
                    self.rewind(now);
                }
                false
            }
        }
    }

    fn ping(&mut self, now: Time) {
        self.ping_at = Some(now);
        self.control.push_back(LinkFrame::Ping { token: now.0 as u32 });
    }

    /// When [`Link::tick`] or [`Link::poll_frame`] has something to do next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.carrier {
            Carrier::None => None,
            Carrier::Channel => {
                let life = match self.ping_at {
                    Some(at) => at + PONG_WITHIN,
                    None => self.heard_at + PING_AFTER,
                };
                earliest(self.acknowledge_at, Some(life))
            }
            Carrier::Relay => {
                let repeat = (self.unacknowledged > 0).then(|| self.progress_at + REPEAT_AFTER);
                earliest(self.acknowledge_at, repeat)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Body;

    fn message(text: &str) -> Encoded {
        Encoded::new(&Item::Peer {
            body: Body::Text(text.into()),
        })
        .expect("fits")
    }

    fn pump(now: Time, from: &mut Link, to: &mut Link) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        while let Some(frame) = from.poll_frame(now) {
            to.receive_bytes(now, &frame, &mut arrivals).expect("valid");
        }
        arrivals
    }

    fn texts(arrivals: &[Arrival]) -> Vec<String> {
        arrivals
            .iter()
            .filter_map(|arrival| match arrival {
                Arrival::Item(Item::Peer {
                    body: Body::Text(text),
                }) => Some(text.clone()),
                _ => None,
            })
            .collect()
    }

    fn pair() -> (Link, Link) {
        let (mut a, mut b) = (Link::new(1), Link::new(1));
        a.carry(Time(0), Carrier::Channel);
        b.carry(Time(0), Carrier::Channel);
        (a, b)
    }

    #[test]
    fn the_first_message_goes_at_once_and_the_rest_share_a_frame() {
        let (mut a, mut b) = pair();
        let now = Time(1);
        a.send(now, &message("0"), None);
        let first = a.poll_frame(now).expect("idle channel");
        for number in 1..100 {
            a.send(now, &message(&number.to_string()), None);
            assert_eq!(a.poll_frame(now), None, "the channel is busy");
        }
        a.drained();
        let mut arrivals = Vec::new();
        b.receive_bytes(now, &first, &mut arrivals).expect("valid");
        let rest = a.poll_frame(now).expect("drained");
        b.receive_bytes(now, &rest, &mut arrivals).expect("valid");
        assert_eq!(a.poll_frame(now), None);
        assert_eq!(
            texts(&arrivals),
            (0..100).map(|n| n.to_string()).collect::<Vec<_>>()
        );
    }

    #[test]
    fn receipts_come_back_with_the_acknowledgement() {
        let (mut a, mut b) = pair();
        a.send(Time(1), &message("hi"), Some(7));
        pump(Time(1), &mut a, &mut b);
        assert_eq!(b.poll_timeout(), Some(Time(21)));
        assert_eq!(pump(Time(2), &mut b, &mut a), []);
        b.acknowledge(Time(2));
        assert_eq!(pump(Time(2), &mut b, &mut a), vec![Arrival::Confirmed(7)]);
        assert!(a.is_settled());
    }

    #[test]
    fn a_change_of_carrier_repeats_and_the_receiver_drops_what_it_has() {
        let (mut a, mut b) = pair();
        a.send(Time(1), &message("one"), Some(1));
        assert_eq!(texts(&pump(Time(1), &mut a, &mut b)), ["one"]);
        a.carry(Time(2), Carrier::Relay);
        b.carry(Time(2), Carrier::Relay);
        a.send(Time(2), &message("two"), Some(2));
        assert_eq!(texts(&pump(Time(2), &mut a, &mut b)), ["two"]);
        assert_eq!(
            pump(Time(22), &mut b, &mut a),
            vec![Arrival::Confirmed(1), Arrival::Confirmed(2)]
        );
    }

    #[test]
    fn what_may_have_arrived_is_known_when_it_is_given_up() {
        let (mut a, mut b) = pair();
        a.send(Time(1), &message("perhaps"), Some(1));
        drop(a.poll_frame(Time(1)));
        a.carry(Time(2), Carrier::None);
        a.send(Time(2), &message("never"), Some(2));
        assert_eq!(a.abandon(2), [(1, true), (2, false)]);
        a.carry(Time(3), Carrier::Channel);
        pump(Time(3), &mut a, &mut b);
        assert_eq!(b.acknowledgement(), Acknowledgement { stream: 2, next: 0 });
    }

    #[test]
    fn a_message_that_is_dropped_in_its_middle_ends_its_stream() {
        let (mut a, mut b) = pair();
        a.send(Time(0), &message(&"x".repeat(40_000)), Some(1));
        let part = a.poll_frame(Time(0)).expect("the first part");
        b.receive_bytes(Time(0), &part, &mut Vec::new()).expect("valid");
        assert!(b.assembly_bytes() > 0);
        b.drop_assembly();
        assert_eq!((b.assembly_bytes(), b.kept()), (0, 0));
        a.drained();
        assert_eq!(texts(&pump(Time(1), &mut a, &mut b)), [""; 0]);
        assert_eq!(pump(Time(22), &mut b, &mut a), [Arrival::Bye]);
        a.abandon(2);
        a.drained();
        a.send(Time(10), &message("anew"), Some(2));
        assert_eq!(texts(&pump(Time(10), &mut a, &mut b)), ["anew"]);
    }

    #[test]
    fn a_gap_is_asked_for_again() {
        let (mut a, mut b) = (Link::new(1), Link::new(1));
        a.carry(Time(0), Carrier::Relay);
        b.carry(Time(0), Carrier::Relay);
        a.send(Time(1), &message("lost"), None);
        drop(a.poll_frame(Time(1)));
        a.send(Time(1), &message("next"), None);
        assert_eq!(texts(&pump(Time(1), &mut a, &mut b)), [""; 0]);
        pump(Time(1), &mut b, &mut a);
        assert_eq!(texts(&pump(Time(1), &mut a, &mut b)), ["lost", "next"]);
    }

    #[test]
    fn large_messages_travel_in_parts() {
        let (mut a, mut b) = (Link::new(1), Link::new(1));
        a.carry(Time(0), Carrier::Channel);
        b.carry(Time(0), Carrier::Channel);
        let large = "x".repeat(1_000_000);
        a.send(Time(0), &message(&large), Some(1));
        let mut arrivals = Vec::new();
        while !a.is_settled() {
            arrivals.extend(pump(Time(0), &mut a, &mut b));
            a.drained();
            b.drained();
            pump(Time(20), &mut b, &mut a);
        }
        assert_eq!(texts(&arrivals), [large]);
    }

    #[test]
    fn silence_is_noticed() {
        let (mut a, mut b) = pair();
        assert!(!a.tick(Time(2_000), 0));
        assert_eq!(a.poll_timeout(), Some(Time(4_500)));
        let ping = a.poll_frame(Time(2_000)).expect("a ping");
        let mut arrivals = Vec::new();
        b.receive_bytes(Time(2_100), &ping, &mut arrivals).expect("valid");
        pump(Time(2_100), &mut b, &mut a);
        assert!(!a.tick(Time(4_500), 0), "it answered");
        assert!(a.tick(Time(7_100), 0), "it no longer does");
    }

    #[test]
    fn a_page_that_slept_asks_again_first() {
        let (mut a, _) = pair();
        assert!(!a.tick(Time(2_000), 0));
        assert!(!a.tick(Time(60_000), 55_000));
        assert!(a.tick(Time(62_500), 0));
    }

    #[test]
    fn an_acknowledgement_of_the_future_is_refused() {
        let (mut a, _) = pair();
        let frame = LinkFrame::Acknowledge {
            acknowledged: Acknowledgement { stream: 1, next: 1 },
            again: false,
        };
        assert!(a.receive(Time(0), frame, 8, &mut Vec::new()).is_err());
    }
}
