//! Requests and their replies: each has one answer, a time limit, and one peer that may answer it.

use super::delivery::Waiting;
use super::peer::PeerKey;
use super::{Asker, Client, ClientState, Output};
use crate::error::{Code, Error};
use crate::link::Receipt;
use crate::map::Map;
use crate::time::{Time, earliest};
use crate::wire::{Body, Item, Name, Outcome};

#[derive(Debug)]
struct Pending {
    receipt: Receipt,
    peer: PeerKey,
    /// For the error, if it comes to that.
    name: Name,
    deadline: Time,
}

/// Requests that this client waits for.
#[derive(Debug, Default)]
pub(super) struct Requests {
    next: u32,
    pending: Map<u32, Pending>,
    /// Those whose name is still looked up: when they end.
    waiting: Map<Receipt, Time>,
}

impl Requests {
    /// Requests without an answer yet.
    pub(super) fn open(&self) -> usize {
        self.pending.len() + self.waiting.len()
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let pending = self
            .pending
            .values()
            .fold(None, |time, pending| earliest(time, Some(pending.deadline)));
        self.waiting
            .values()
            .fold(pending, |time, deadline| earliest(time, Some(*deadline)))
    }
}

impl Client {
    /// Asks whoever has that id, or one who carries that tag; answered by [`Output::Answer`] or [`Output::Reject`].
    /// `timeout` is in milliseconds.
    pub fn request(&mut self, now: Time, to: &Name, name: Name, body: Body, timeout: u64) -> Receipt {
        let receipt = self.receipts.take();
        if self.state() == ClientState::Closed {
            self.fail(receipt, Code::Closed.into());
            return receipt;
        }
        let deadline = now + timeout;
        self.wake_at(Some(deadline));
        match self.known(to) {
            Some(key) => self.ask(now, key, receipt, name, body, deadline),
            None => {
                self.requests.waiting.insert(receipt, deadline);
                self.look_up(
                    now,
                    to,
                    Waiting::Request {
                        receipt,
                        name,
                        body,
                        deadline,
                    },
                );
            }
        }
        receipt
    }

    /// The page no longer wants the answer.
    pub fn cancel(&mut self, receipt: Receipt) {
        let open = self.requests.open();
        self.requests.waiting.remove(&receipt);
        self.requests
            .pending
            .retain(|_, pending| pending.receipt != receipt);
        if self.requests.open() < open {
            self.outputs
                .push_back(Output::Reject(receipt, Code::Aborted.into()));
        }
    }

    /// Answers a request that came as [`super::Event::Request`].
    /// An asker that was loaded again meanwhile counts its requests anew, and gets none of the old answers.
    pub fn reply(&mut self, now: Time, asker: Asker, outcome: Outcome) {
        let Asker {
            peer,
            instance,
            request,
        } = asker;
        if self.peer_info(peer).map(|info| info.instance) != Some(instance) {
            return;
        }
        let encoded = self.encode(&Item::Reply { request, outcome }).or_else(|error| {
            self.encode(&Item::Reply {
                request,
                outcome: Outcome::Failed(error.to_string()),
            })
        });
        if let Ok(encoded) = encoded {
            self.send_encoded(now, peer, &encoded, None);
        }
    }

    pub(super) fn ask(
        &mut self,
        now: Time,
        key: PeerKey,
        receipt: Receipt,
        name: Name,
        body: Body,
        deadline: Time,
    ) {
        self.requests.next = self.requests.next.wrapping_add(1);
        let request = self.requests.next;
        let item = Item::Request {
            request,
            name: name.clone(),
            body,
        };
        match self.encode(&item) {
            Ok(encoded) => {
                self.requests.pending.insert(
                    request,
                    Pending {
                        receipt,
                        peer: key,
                        name,
                        deadline,
                    },
                );
                self.want(now, key);
                self.send_encoded(now, key, &encoded, None);
            }
            Err(error) => self.outputs.push_back(Output::Reject(receipt, error)),
        }
    }

    /// Whether the call still waits for its name to be looked up; afterwards it does not.
    pub(super) fn take_waiting(&mut self, receipt: Receipt) -> bool {
        self.requests.waiting.remove(&receipt).is_some()
    }

    pub(super) fn replied(&mut self, key: PeerKey, request: u32, outcome: Outcome) {
        // Only the one who was asked may answer.
        if self
            .requests
            .pending
            .get(&request)
            .is_none_or(|pending| pending.peer != key)
        {
            return;
        }
        let Some(pending) = self.requests.pending.remove(&request) else {
            return;
        };
        self.outputs.push_back(match outcome {
            Outcome::Done(body) => Output::Answer(pending.receipt, body),
            Outcome::Failed(detail) => {
                Output::Reject(pending.receipt, Error::new(Code::RequestFailed, limited(detail)))
            }
            Outcome::Unhandled => Output::Reject(
                pending.receipt,
                Error::new(Code::RequestUnhandled, pending.name.as_str()),
            ),
        });
    }

    /// A peer is gone: nobody will answer.
    pub(super) fn requests_lost(&mut self, key: PeerKey, code: Code) {
        let lost: Vec<u32> = self
            .requests
            .pending
            .iter()
            .filter(|(_, pending)| pending.peer == key)
            .map(|(request, _)| *request)
            .collect();
        for request in lost {
            if let Some(pending) = self.requests.pending.remove(&request) {
                self.outputs
                    .push_back(Output::Reject(pending.receipt, code.into()));
            }
        }
    }

    pub(super) fn tick_requests(&mut self, now: Time) {
        let late: Vec<u32> = self
            .requests
            .pending
            .iter()
            .filter(|(_, pending)| pending.deadline <= now)
            .map(|(request, _)| *request)
            .collect();
        for request in late {
            if let Some(pending) = self.requests.pending.remove(&request) {
                self.outputs.push_back(Output::Reject(
                    pending.receipt,
                    Error::new(Code::Timeout, pending.name.as_str()),
                ));
            }
        }
        let late: Vec<Receipt> = self
            .requests
            .waiting
            .iter()
            .filter(|(_, deadline)| **deadline <= now)
            .map(|(receipt, _)| *receipt)
            .collect();
        for receipt in late {
            self.requests.waiting.remove(&receipt);
            self.outputs
                .push_back(Output::Reject(receipt, Code::Timeout.into()));
        }
    }

    pub(super) fn end_requests(&mut self, error: &Error) {
        for (_, pending) in self.requests.pending.drain() {
            self.outputs
                .push_back(Output::Reject(pending.receipt, error.clone()));
        }
        for (receipt, _) in self.requests.waiting.drain() {
            self.outputs.push_back(Output::Reject(receipt, error.clone()));
        }
    }
}

/// A handler's message comes from outside and may be of any length.
fn limited(mut text: String) -> String {
    let mut end = text.len().min(1024);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
