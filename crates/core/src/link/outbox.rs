//! What goes out: entries numbered in order, kept until the other side has them.

use std::collections::VecDeque;
use std::rc::Rc;

use super::{Carrier, Receipt, Violation};
use crate::time::Time;
use crate::wire::{Acknowledgement, Item, LinkHeader, codec, limits};

/// Bytes that may wait inside the data channel; more stay in the outbox.
const CHANNEL_BUFFER: usize = 256 * 1024;
/// Bytes that may be on their way through the server, unacknowledged.
const RELAY_WINDOW: usize = 128 * 1024;
/// Bytes of these below which a message goes at once.
const RELAY_AT_ONCE: usize = 2 * 1024;
/// Milliseconds after a rewind within which the other side's wish for another is not heard.
const ASKED_EVERY: u64 = 100;
/// Milliseconds without progress after which what went through the server is repeated.
const REPEAT_AFTER: u64 = 4_000;

#[derive(Debug)]
struct Entry {
    bytes: Rc<[u8]>,
    /// Set on the last entry of a message that somebody awaits.
    receipt: Option<Receipt>,
    /// Nobody awaits the message: the other side brought it about, perhaps.
    answers: bool,
}

/// An item that was encoded once and can go into any number of links.
#[derive(Clone, Debug)]
pub struct Encoded {
    parts: Vec<Rc<[u8]>>,
}

impl Encoded {
    /// Encodes what fits into one frame.
    #[must_use]
    pub(super) fn whole(item: &Item) -> Self {
        Self {
            parts: vec![codec::encode(item).into()],
        }
    }

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

/// One stream of entries, its unconfirmed end.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) stream: u32,
    /// The other side may wait for the rest of something from an earlier stream: it is to hear of this one.
    announces: bool,
    /// Number of the first entry: the first that was not acknowledged.
    base: u64,
    entries: VecDeque<Entry>,
    /// Number of the next entry to hand to the carrier.
    cursor: u64,
    /// The greatest number that the cursor has had: what is before it may have arrived.
    handed: u64,
    /// Bytes of the entries from the cursor on.
    pending: usize,
    /// Bytes of the entries before the cursor.
    unacknowledged: usize,
    /// Entries that nobody awaits.
    answers: usize,
    /// When the other side last had everything sent again.
    rewound_at: Time,
    /// Bytes handed to the channel since it last said that it is empty.
    pub(super) buffered: usize,
    progress_at: Time,
}

impl Outbox {
    pub(super) fn new(stream: u32) -> Self {
        Self {
            stream,
            ..Self::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.pending + self.unacknowledged
    }

    pub(super) fn push(&mut self, now: Time, message: &Encoded, receipt: Option<Receipt>) {
        if self.entries.is_empty() {
            self.progress_at = now;
        }
        let last = message.parts.len() - 1;
        for (index, part) in message.parts.iter().enumerate() {
            self.pending += part.len();
            self.answers += usize::from(receipt.is_none());
            self.entries.push_back(Entry {
                bytes: Rc::clone(part),
                receipt: receipt.filter(|_| index == last),
                answers: receipt.is_none(),
            });
        }
    }

    /// Forgets what was handed to the carrier: nobody confirms it.
    pub(super) fn forget_handed(&mut self, mut handed: impl FnMut(Receipt)) {
        while self.base < self.cursor {
            let Some(entry) = self.entries.pop_front() else {
                break;
            };
            self.base += 1;
            self.answers -= usize::from(entry.answers);
            self.unacknowledged -= entry.bytes.len();
            if let Some(receipt) = entry.receipt {
                handed(receipt);
            }
        }
    }

    /// The next frame goes even if there is nothing in it.
    pub(super) fn announce(&mut self) {
        self.announces = true;
    }

    /// Entries that nobody awaits.
    pub(super) fn answers(&self) -> usize {
        self.answers
    }

    /// Gives up everything, and goes on counting.
    pub(super) fn skip_all(&mut self) -> Vec<Receipt> {
        self.skip(self.entries.len() as u64);
        self.pending = 0;
        self.unacknowledged = 0;
        self.answers = 0;
        self.entries.drain(..).filter_map(|entry| entry.receipt).collect()
    }

    /// So many numbers are never sent; nothing waits.
    pub(super) fn skip(&mut self, count: u64) {
        self.base += count;
        self.cursor = self.base;
        self.handed = self.handed.max(self.base);
    }

    /// The other side wants everything unconfirmed again; asked again and again, it is not heard.
    pub(super) fn rewind_asked(&mut self, now: Time) {
        if now - self.rewound_at >= ASKED_EVERY || self.rewound_at == Time(0) {
            self.rewound_at = now;
            self.rewind(now);
        }
    }

    /// The channel has not said how much waits inside it: as much as may.
    pub(super) fn assume_full(&mut self) {
        self.buffered = CHANNEL_BUFFER;
    }

    /// Everything unconfirmed is to go again.
    pub(super) fn rewind(&mut self, now: Time) {
        self.cursor = self.base;
        self.pending += self.unacknowledged;
        self.unacknowledged = 0;
        self.progress_at = now;
    }

    /// Begins a new stream. Returns for each awaited message whether it had been handed to a carrier.
    pub(super) fn abandon(&mut self, stream: u32) -> Vec<(Receipt, bool)> {
        let sent = self.handed.saturating_sub(self.base);
        let old = std::mem::take(self);
        self.stream = stream;
        self.announces = old.announces || sent > 0;
        self.buffered = old.buffered;
        self.progress_at = old.progress_at;
        old.entries
            .into_iter()
            .enumerate()
            .filter_map(|(index, entry)| entry.receipt.map(|receipt| (receipt, (index as u64) < sent)))
            .collect()
    }

    /// The other side has everything before a number; `confirmed` hears of the receipts.
    pub(super) fn confirm(
        &mut self,
        now: Time,
        acknowledged: Acknowledgement,
        mut confirmed: impl FnMut(Receipt),
    ) -> Result<(), Violation> {
        if acknowledged.stream != self.stream || acknowledged.next <= self.base {
            return Ok(());
        }
        if acknowledged.next > self.base + self.entries.len() as u64 {
            return Err(Violation("acknowledges what was never sent"));
        }
        for _ in self.base..acknowledged.next {
            let Some(entry) = self.entries.pop_front() else {
                break;
            };
            // After a rewind the other side may confirm what this side was about to repeat.
            if self.base < self.cursor {
                self.unacknowledged -= entry.bytes.len();
            } else {
                self.pending -= entry.bytes.len();
            }
            self.base += 1;
            self.answers -= usize::from(entry.answers);
            if let Some(receipt) = entry.receipt {
                confirmed(receipt);
            }
        }
        self.cursor = self.cursor.max(self.base);
        self.progress_at = now;
        if self.entries.is_empty() {
            // A burst's memory is given back.
            self.entries.shrink_to(256);
        }
        Ok(())
    }

    /// Whether something was not handed to the carrier.
    pub(super) fn is_pending(&self) -> bool {
        self.pending > 0
    }

    /// Number of the first entry that the other side has not confirmed.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// Number of the next entry to hand to the carrier.
    pub(super) fn next(&self) -> u64 {
        self.cursor
    }

    fn may_send(&self, carrier: Carrier) -> bool {
        if self.pending == 0 {
            return false;
        }
        match carrier {
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

    /// The next data frame, if one may go now.
    pub(super) fn poll_frame(&mut self, carrier: Carrier, acknowledged: Acknowledgement) -> Option<Vec<u8>> {
        if !self.may_send(carrier) && !self.announces {
            return None;
        }
        self.announces = false;
        let start = usize::try_from(self.cursor - self.base).unwrap_or(usize::MAX);
        let mut count = 0;
        let mut bytes = 0;
        for entry in self.entries.iter().skip(start).take(limits::ITEMS_PER_FRAME) {
            if count > 0 && bytes + entry.bytes.len() > limits::LINK_FRAME_TARGET {
                break;
            }
            count += 1;
            bytes += entry.bytes.len();
        }
        let header = LinkHeader {
            stream: self.stream,
            first: self.cursor,
            acknowledged,
        };
        // `LinkFrame::Data` by hand, so that items are copied once: kind, header, number of items, each with its length.
        let mut frame = Vec::with_capacity(bytes + 2 * count + 48);
        frame.push(0);
        frame.extend_from_slice(&codec::encode(&header));
        codec::push_length(&mut frame, count);
        for entry in self.entries.range(start..start + count) {
            codec::push_length(&mut frame, entry.bytes.len());
            frame.extend_from_slice(&entry.bytes);
        }
        self.cursor += count as u64;
        self.handed = self.handed.max(self.cursor);
        self.pending -= bytes;
        self.unacknowledged += bytes;
        Some(frame)
    }

    /// What went through the server is repeated when nothing has come of it by then.
    pub(super) fn repeat_at(&self) -> Option<Time> {
        (self.unacknowledged > 0).then(|| self.progress_at + REPEAT_AFTER)
    }
}
