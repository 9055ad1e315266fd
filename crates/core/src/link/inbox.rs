//! What comes in: one stream of items after the other, in order and once, and what is owed for them.

use super::{Arrival, Violation};
use crate::time::{Time, earliest};
use crate::wire::codec::{self, DecodeError};
use crate::wire::{Acknowledgement, Item, LinkHeader, limits};

/// Milliseconds that an acknowledgement waits for a message to travel with, at most; over a channel the owner calls
/// [`super::Link::acknowledge`] long before.
const ACKNOWLEDGE_AFTER: u64 = 20;
/// Bytes received after which it does not wait.
const ACKNOWLEDGE_BYTES: usize = 64 * 1024;

/// The other side's stream, as far as it came.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    stream: u32,
    expected: u64,
    assembly: Vec<u8>,
    assembling: bool,
    /// The stream whose message was dropped in its middle; 0 for none. Nothing more is taken from it.
    broken: u32,
    received: usize,
    /// When an acknowledgement is due; none is owed without it.
    pub(super) acknowledge_at: Option<Time>,
    ask_again: bool,
}

impl Inbox {
    pub(super) fn is_assembling(&self) -> bool {
        self.assembling
    }

    pub(super) fn assembly_bytes(&self) -> usize {
        self.assembly.len()
    }

    pub(super) fn drop_assembly(&mut self) {
        if self.assembling {
            self.broken = self.stream;
            self.assembly = Vec::new();
            self.assembling = false;
        }
    }

    pub(super) fn acknowledgement(&self) -> Acknowledgement {
        Acknowledgement {
            stream: self.stream,
            next: self.expected,
        }
    }

    /// An acknowledgement has gone along with something else.
    pub(super) fn acknowledged(&mut self) {
        self.acknowledge_at = None;
        self.received = 0;
    }

    /// Takes an acknowledgement that is due, and whether something is to be sent again.
    pub(super) fn take_acknowledgement(&mut self, now: Time) -> Option<(Acknowledgement, bool)> {
        if self.acknowledge_at.is_none_or(|at| at > now) {
            return None;
        }
        self.acknowledged();
        Some((self.acknowledgement(), std::mem::take(&mut self.ask_again)))
    }

    /// Takes in the items of one frame of about `size` bytes. Returns whether the stream goes on: without a word its
    /// sender would take what it sends for delivered, or wait for ever.
    pub(super) fn take(
        &mut self,
        now: Time,
        header: LinkHeader,
        items: Vec<Item>,
        size: usize,
        arrivals: &mut Vec<Arrival>,
    ) -> Result<bool, Violation> {
        if header.stream < self.stream {
            return Ok(true);
        }
        if header.stream > self.stream {
            if self.stream > 0 {
                arrivals.push(Arrival::Renewed);
            }
            self.stream = header.stream;
            self.expected = 0;
            self.assembly = Vec::new();
            self.assembling = false;
        }
        if header.stream == self.broken {
            return Ok(false);
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
            return Ok(true);
        }
        let known = usize::try_from(self.expected - header.first).unwrap_or(usize::MAX);
        for item in items.into_iter().skip(known) {
            self.expected += 1;
            match item {
                Item::Part { last, bytes } => {
                    if let Some(item) = self.assemble(last, &bytes.0)? {
                        arrivals.push(Arrival::Item(item));
                    }
                }
                _ if self.assembling => return Err(Violation("a message between parts")),
                Item::Void | Item::Unknown(_) => {}
                item => arrivals.push(Arrival::Item(item)),
            }
        }
        Ok(true)
    }

    fn assemble(&mut self, last: bool, bytes: &[u8]) -> Result<Option<Item>, Violation> {
        if self.assembly.len() + bytes.len() > limits::MESSAGE {
            return Err(Violation("message over 16 MiB"));
        }
        self.assembling = !last;
        self.assembly.extend_from_slice(bytes);
        if !last {
            return Ok(None);
        }
        match codec::decode::<Item>(&std::mem::take(&mut self.assembly)) {
            Ok(Item::Part { .. }) | Err(DecodeError::Malformed) => {
                Err(Violation("parts that make no message"))
            }
            Ok(item) => Ok(Some(item)),
            Err(DecodeError::Unknown) => Ok(None),
        }
    }
}
