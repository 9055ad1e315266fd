//! One connection's messages: pieces numbered in order, over a channel of the connection's own or through the server.
//!
//! A reliable stream keeps what was not confirmed and repeats it over the next carrier, as the link itself does; an
//! unordered one gives what comes at once and remembers which numbers it had. A lossy one keeps nothing.

use super::outbox::{Encoded, Outbox};
use super::window::Window;
use super::{Carrier, Receipt, Violation};
use crate::time::Time;
use crate::wire::{Acknowledgement, Bytes, Item, LinkFrame, LinkHeader, codec, limits};

/// Bytes in an outbox beyond those that may be on their way, above which its owner is to wait, and below which it is to
/// go on.
const HIGH: usize = 1024 * 1024;
const LOW: usize = 256 * 1024;
/// The one stream that a connection has.
const STREAM: u32 = 1;

/// What becomes of messages on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// All arrive, in order.
    Ordered,
    /// All arrive, each as soon as it can.
    Unordered,
    /// Some may be lost.
    Lossy,
}

/// A piece that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Names the message within the stream.
    pub message: u64,
    /// Counts the message's pieces.
    pub index: u32,
    /// Whether it is the message's last one.
    pub last: bool,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The stream of one connection, in both directions.
#[derive(Debug)]
pub struct Stream {
    delivery: Delivery,
    carrier: Carrier,
    outbox: Outbox,
    window: Window,
    /// Every number before this one has arrived.
    next: u64,
    /// What has arrived beyond it: from, to. In order, with gaps between.
    ahead: Vec<(u64, u64)>,
    owes: bool,
    acknowledges: bool,
    asks_again: bool,
    awaits_channel: bool,
    /// The owner waits for room.
    full: bool,
    /// There was a carrier before.
    was_carried: bool,
    /// The message whose pieces are put in is not complete.
    is_amid: bool,
    /// Its first pieces were given up: so are the others.
    drops: bool,
}

impl Stream {
    /// A stream with nothing in it.
    #[must_use]
    pub fn new(delivery: Delivery) -> Self {
        Self {
            delivery,
            carrier: Carrier::None,
            outbox: Outbox::new(STREAM),
            window: Window::default(),
            next: 0,
            ahead: Vec::new(),
            owes: false,
            acknowledges: false,
            asks_again: false,
            awaits_channel: false,
            full: false,
            was_carried: false,
            is_amid: false,
            drops: false,
        }
    }

    /// How frames travel at present.
    #[must_use]
    pub fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// Whether everything that was sent has arrived or, in a lossy stream, was handed over.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Bytes that wait or are not confirmed.
    #[must_use]
    pub fn outbox_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    /// Entries that wait or are not confirmed.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.outbox.len()
    }

    /// Whether more may be put in.
    pub fn has_room(&mut self) -> bool {
        self.full |= self.outbox.bytes() >= self.window.size() + HIGH;
        !self.full
    }

    /// Whether the owner will be told of room because there is less than that now.
    pub fn awaits_room(&mut self) -> bool {
        self.full |= self.outbox.bytes() > self.window.size() + LOW;
        self.full
    }

    /// Whether there is room again for an owner who was told that there is none.
    pub fn poll_room(&mut self) -> bool {
        self.full && self.outbox.bytes() <= self.window.size() + LOW && std::mem::take(&mut self.full)
    }

    /// Puts in a piece of at most [`limits::PIECE`] bytes. A lossy stream without a carrier gives it up, and returns the
    /// receipt.
    pub fn send(
        &mut self,
        now: Time,
        index: u32,
        last: bool,
        bytes: Vec<u8>,
        receipt: Option<Receipt>,
    ) -> Option<Receipt> {
        self.is_amid = !last;
        if self.delivery == Delivery::Lossy && self.was_carried {
            self.drops |= self.carrier == Carrier::None;
            if self.drops {
                // Its number is not given to another piece, which would be taken for it.
                self.outbox.skip(1);
                self.drops = !last;
                return receipt;
            }
        }
        let item = Item::Piece {
            index,
            last,
            bytes: Bytes(bytes),
        };
        self.outbox.push(now, &Encoded::whole(&item), receipt);
        None
    }

    /// Changes how frames travel. What is not confirmed goes again; a lossy stream gives up what waits for a carrier,
    /// and `lost` hears of it.
    pub fn carry(&mut self, now: Time, carrier: Carrier, lost: impl FnMut(Receipt)) {
        self.carrier = carrier;
        self.was_carried |= carrier != Carrier::None;
        self.window.reset();
        self.drained();
        if self.delivery != Delivery::Lossy {
            self.outbox.rewind(now);
        } else if carrier == Carrier::None && self.was_carried {
            self.drops = self.is_amid;
            self.outbox.skip_all().into_iter().for_each(lost);
        }
    }

    /// The same channel carries again.
    pub fn resume(&mut self, now: Time) {
        self.carry(now, Carrier::Channel, |_| {});
        self.outbox.assume_full();
    }

    /// The channel has handed everything to the network.
    pub fn drained(&mut self) {
        self.outbox.buffered = 0;
        self.awaits_channel = false;
    }

    /// Gives up everything.
    pub fn abandon(&mut self) -> Vec<Receipt> {
        let lost = self.outbox.abandon(STREAM);
        lost.into_iter().map(|(receipt, _)| receipt).collect()
    }

    /// The next frame for the carrier, in binary form; `handed` hears of messages that are done with it.
    pub fn poll_frame(&mut self, now: Time, handed: impl FnMut(Receipt)) -> Option<Vec<u8>> {
        if self.carrier == Carrier::None {
            return None;
        }
        let acknowledged = Acknowledgement {
            stream: STREAM,
            next: self.next,
        };
        let measured = self.is_measured();
        let frame = (!measured || self.window.is_open())
            .then(|| self.outbox.poll_frame(self.carrier, acknowledged))
            .flatten();
        if self.delivery == Delivery::Lossy {
            self.outbox.forget_handed(handed);
        } else if let Some(frame) = frame.as_ref().filter(|_| measured) {
            self.window.sent(now, self.outbox.next(), frame.len());
        }
        let frame = frame.or_else(|| {
            let due = std::mem::take(&mut self.acknowledges) && self.owes;
            due.then(|| {
                codec::encode(&LinkFrame::Acknowledge {
                    acknowledged,
                    again: std::mem::take(&mut self.asks_again),
                })
            })
        })?;
        self.owes = false;
        if self.carrier == Carrier::Channel {
            self.outbox.buffered += frame.len();
        }
        Some(frame)
    }

    /// Whether what goes is confirmed, and over a way that others share with it.
    fn is_measured(&self) -> bool {
        self.carrier == Carrier::Channel && self.delivery != Delivery::Lossy
    }

    /// Whether there is talk on the link, which this stream is not to stand in the way of.
    pub fn talk(&mut self, talks: bool) {
        self.window.talk(talks);
    }

    /// As [`super::Link::poll_awaits_channel`].
    pub fn poll_awaits_channel(&mut self) -> bool {
        self.carrier == Carrier::Channel
            && self.outbox.is_pending()
            // Else it is acknowledgements that it waits for.
            && (!self.is_measured() || self.window.is_open())
            && !std::mem::replace(&mut self.awaits_channel, true)
    }

    /// Whether something was received and not acknowledged.
    #[must_use]
    pub fn owes(&self) -> bool {
        self.owes
    }

    /// An acknowledgement that is owed goes with the next frame, or alone.
    pub fn acknowledge(&mut self) {
        self.acknowledges = self.owes;
    }

    /// Time has passed. Returns whether something is to go again.
    pub fn tick(&mut self, now: Time) -> bool {
        let due = self.poll_timeout().is_some_and(|at| at <= now);
        if due {
            self.outbox.rewind(now);
        }
        due
    }

    /// When what went through the server is repeated.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let repeats = self.carrier == Carrier::Relay && self.delivery != Delivery::Lossy;
        self.outbox.repeat_at().filter(|_| repeats)
    }

    /// Takes in one frame.
    ///
    /// # Errors
    /// [`Violation`]: against the rules.
    pub fn receive(
        &mut self,
        now: Time,
        bytes: &[u8],
        pieces: &mut Vec<Piece>,
        confirmed: impl FnMut(Receipt),
    ) -> Result<(), Violation> {
        if bytes.len() > limits::LINK_FRAME {
            return Err(Violation("frame over 64 KiB"));
        }
        match codec::decode::<LinkFrame>(bytes) {
            Ok(LinkFrame::Data { header, items }) => {
                if header.stream != STREAM {
                    return Err(Violation("another stream"));
                }
                self.confirm(now, header.acknowledged, confirmed)?;
                self.take(header, items, pieces)
            }
            Ok(LinkFrame::Acknowledge { acknowledged, again }) => {
                self.confirm(now, acknowledged, confirmed)?;
                if again && acknowledged.stream == STREAM && self.delivery != Delivery::Lossy {
                    self.outbox.rewind_asked(now);
                    self.window.reset();
                }
                Ok(())
            }
            Ok(_) => Err(Violation("a link's frame in a connection")),
            Err(codec::DecodeError::Unknown) => Ok(()),
            Err(codec::DecodeError::Malformed) => Err(Violation("not a link frame")),
        }
    }

    fn confirm(
        &mut self,
        now: Time,
        acknowledged: Acknowledgement,
        confirmed: impl FnMut(Receipt),
    ) -> Result<(), Violation> {
        self.outbox.confirm(now, acknowledged, confirmed)?;
        // What the outbox does not believe makes no room either.
        self.window.confirmed(now, self.outbox.base());
        Ok(())
    }

    fn take(
        &mut self,
        header: LinkHeader,
        items: Vec<Item>,
        pieces: &mut Vec<Piece>,
    ) -> Result<(), Violation> {
        let lossy = self.delivery == Delivery::Lossy;
        self.owes |= !lossy;
        if self.delivery == Delivery::Ordered && header.first > self.next {
            self.asks_again = true;
            return Ok(());
        }
        let Some(end) = header.first.checked_add(items.len() as u64) else {
            return Err(Violation("numbers beyond all numbers"));
        };
        for (number, item) in (header.first..).zip(items) {
            if !lossy && self.has(number) {
                continue;
            }
            let Item::Piece { index, last, bytes } = item else {
                continue;
            };
            let Some(message) = number.checked_sub(u64::from(index)) else {
                return Err(Violation("a piece of a message before the first"));
            };
            pieces.push(Piece {
                message,
                index,
                last,
                bytes: bytes.0,
            });
        }
        if lossy {
            return Ok(());
        }
        self.note(header.first, end);
        if self.ahead.len() > limits::GAPS {
            return Err(Violation("too many gaps"));
        }
        Ok(())
    }

    fn has(&self, number: u64) -> bool {
        let range = self.ahead.partition_point(|(_, to)| *to <= number);
        number < self.next || self.ahead.get(range).is_some_and(|(from, _)| *from <= number)
    }

    /// Everything from `from` to `to` has arrived.
    fn note(&mut self, mut from: u64, mut to: u64) {
        if from > self.next {
            // Joined with what it touches.
            self.ahead.retain(|(other, end)| {
                let apart = *other > to || *end < from;
                if !apart {
                    from = from.min(*other);
                    to = to.max(*end);
                }
                apart
            });
            let index = self.ahead.partition_point(|(other, _)| *other < from);
            self.ahead.insert(index, (from, to));
        } else {
            self.next = self.next.max(to);
        }
        while let Some((_, end)) = self
            .ahead
            .first()
            .copied()
            .filter(|(other, _)| *other <= self.next)
        {
            self.next = self.next.max(end);
            self.ahead.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(delivery: Delivery) -> Stream {
        let mut stream = Stream::new(delivery);
        stream.carry(Time(0), Carrier::Channel, |_| {});
        stream
    }

    fn frames(stream: &mut Stream, handed: &mut Vec<Receipt>) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        loop {
            stream.drained();
            match stream.poll_frame(Time(0), |receipt| handed.push(receipt)) {
                Some(frame) => frames.push(frame),
                None => return frames,
            }
        }
    }

    /// One frame for each of these messages.
    fn sent(stream: &mut Stream, count: u8) -> Vec<Vec<u8>> {
        (0..count)
            .flat_map(|n| {
                stream.send(Time(0), 0, true, vec![n], Some(Receipt::from(n)));
                frames(stream, &mut Vec::new())
            })
            .collect()
    }

    fn received(stream: &mut Stream, frame: &[u8]) -> Vec<u8> {
        let mut pieces = Vec::new();
        stream
            .receive(Time(0), frame, &mut pieces, |_| {})
            .expect("within the rules");
        pieces.into_iter().map(|piece| piece.bytes[0]).collect()
    }

    #[test]
    fn an_unordered_stream_gives_each_once_as_it_comes() {
        let (mut a, mut b) = (carried(Delivery::Unordered), carried(Delivery::Unordered));
        let frames = sent(&mut a, 5);
        for n in [3, 1, 3, 0, 4, 2, 0, 4] {
            let again = b.has(n);
            let expected = if again { vec![] } else { vec![n as u8] };
            assert_eq!(received(&mut b, &frames[n as usize]), expected);
        }
        assert_eq!((b.next, b.ahead.len()), (5, 0));
    }

    #[test]
    fn an_ordered_stream_asks_for_what_is_missing() {
        let (mut a, mut b) = (carried(Delivery::Ordered), carried(Delivery::Ordered));
        let sent = sent(&mut a, 3);
        assert_eq!(received(&mut b, &sent[0]), [0]);
        assert_eq!(received(&mut b, &sent[2]), Vec::<u8>::new());
        b.acknowledge();
        let answer = frames(&mut b, &mut Vec::new());
        let mut confirmed = Vec::new();
        a.receive(Time(0), &answer[0], &mut Vec::new(), |receipt| {
            confirmed.push(receipt)
        })
        .expect("within the rules");
        assert_eq!(confirmed, [0]);
        let again = frames(&mut a, &mut Vec::new());
        assert_eq!(received(&mut b, &again[0]), [1, 2]);
    }

    #[test]
    fn a_lossy_stream_keeps_nothing() {
        let mut a = carried(Delivery::Lossy);
        let mut handed = Vec::new();
        a.send(Time(0), 0, true, vec![1], Some(7));
        assert_eq!(frames(&mut a, &mut handed).len(), 1);
        assert_eq!((handed, a.is_settled()), (vec![7], true));
        a.send(Time(0), 0, true, vec![2], Some(8));
        let mut lost = Vec::new();
        a.carry(Time(0), Carrier::None, |receipt| lost.push(receipt));
        assert_eq!((lost, a.is_settled()), (vec![8], true));
    }

    #[test]
    fn what_a_lossy_stream_gives_up_leaves_its_numbers_unused() {
        let (mut a, mut b) = (carried(Delivery::Lossy), carried(Delivery::Lossy));
        let mut come = |frames: Vec<Vec<u8>>| {
            let mut pieces = Vec::new();
            for frame in frames {
                b.receive(Time(0), &frame, &mut pieces, |_| {})
                    .expect("within the rules");
            }
            pieces
                .into_iter()
                .map(|piece| (piece.message, piece.index))
                .collect::<Vec<_>>()
        };
        a.send(Time(0), 0, false, vec![1], None);
        assert_eq!(come(frames(&mut a, &mut Vec::new())), [(0, 0)]);
        // The rest of the message is lost with the carrier, whenever it is put in.
        a.send(Time(0), 1, false, vec![1], None);
        a.carry(Time(0), Carrier::None, |_| {});
        assert_eq!(a.send(Time(0), 2, false, vec![1], None), None);
        a.carry(Time(0), Carrier::Channel, |_| {});
        assert_eq!(a.send(Time(0), 3, true, vec![1], Some(5)), Some(5));
        a.send(Time(0), 0, false, vec![2], None);
        a.send(Time(0), 1, true, vec![2], Some(6));
        assert_eq!(come(frames(&mut a, &mut Vec::new())), [(4, 0), (4, 1)]);
    }

    /// A frame that confirms everything before `next`, of that stream.
    fn confirms(stream: u32, next: u64) -> Vec<u8> {
        codec::encode(&LinkFrame::Acknowledge {
            acknowledged: Acknowledgement { stream, next },
            again: false,
        })
    }

    #[test]
    fn what_is_on_its_way_waits_for_acknowledgements_and_for_nothing_else() {
        let mut a = carried(Delivery::Ordered);
        for n in 0..4 {
            a.send(Time(1), 0, true, vec![n; limits::PIECE], None);
        }
        let sent = frames(&mut a, &mut Vec::new()).len();
        assert!(sent < 4, "{sent} frames at once");
        // The channel is empty: to wait for it would be to ask it again and again.
        assert!(!a.poll_awaits_channel());
        for forged in [confirms(0, 4), confirms(STREAM + 1, 4)] {
            let _ = a.receive(Time(2), &forged, &mut Vec::new(), |_| {});
            assert!(
                frames(&mut a, &mut Vec::new()).is_empty(),
                "a forged acknowledgement"
            );
        }
        a.receive(Time(2), &confirms(STREAM, sent as u64), &mut Vec::new(), |_| {})
            .expect("within the rules");
        assert!(!frames(&mut a, &mut Vec::new()).is_empty());
    }

    #[test]
    fn a_hostile_stream_is_bounded() {
        let mut stream = Stream::new(Delivery::Unordered);
        let mut result = Ok(());
        for n in 0..=limits::GAPS as u64 {
            let frame = codec::encode(&LinkFrame::Data {
                header: LinkHeader {
                    stream: STREAM,
                    first: 2 * n + 1,
                    acknowledged: Acknowledgement::default(),
                },
                items: vec![Item::Void],
            });
            result = stream.receive(Time(0), &frame, &mut Vec::new(), |_| {});
        }
        assert_eq!(result, Err(Violation("too many gaps")));
    }
}
