//! Which `send` waits for which peers, and where a message goes: receipts, lookups of names, arrivals from links.

use std::collections::VecDeque;

use super::peer::PeerKey;
use super::{Asker, Client, ClientState, Event, Output};
use crate::error::{Code, Error};
use crate::link::{Arrival, Encoded, Receipt};
use crate::thread::Standing;
use crate::time::Time;
use crate::wire::{Body, ClientFrame, Id, Item, Name, PeerInfo, ThreadId};

/// Milliseconds that a name may take to be looked up, while the server is out of reach.
const LOOK_UP_WITHIN: u64 = 60_000;

/// Numbers of calls, and those calls that wait for several peers.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    next: Receipt,
    /// In the order of their receipts. A finished one stays until those before it are finished too, so that thousands
    /// that come and go in order cost nothing but their own time.
    groups: VecDeque<Group>,
}

#[derive(Debug)]
struct Group {
    receipt: Receipt,
    /// 0: finished.
    waits_for: usize,
    /// Somebody who leaves is no failure.
    tolerant: bool,
    error: Option<Error>,
}

impl Receipts {
    pub(super) fn take(&mut self) -> Receipt {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    /// Calls that wait for several peers.
    pub(super) fn open(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn group(&mut self, receipt: Receipt, waits_for: usize, tolerant: bool) {
        if waits_for > 0 && (waits_for > 1 || tolerant) {
            self.put(receipt, waits_for, tolerant);
        }
    }

    fn find(&self, receipt: Receipt) -> Result<usize, usize> {
        self.groups.binary_search_by_key(&receipt, |group| group.receipt)
    }

    fn put(&mut self, receipt: Receipt, waits_for: usize, tolerant: bool) {
        if let Err(index) = self.find(receipt) {
            self.groups.insert(
                index,
                Group {
                    receipt,
                    waits_for,
                    tolerant,
                    error: None,
                },
            );
        }
    }

    /// The call goes to more peers than was thought.
    fn widen(&mut self, receipt: Receipt, by: usize) {
        self.put(receipt, 1, false);
        if let Ok(index) = self.find(receipt) {
            self.groups[index].waits_for += by;
        }
    }

    /// One peer of a call has ended. `None`: others are awaited; else how the call as a whole ended.
    fn part(&mut self, receipt: Receipt, error: Option<Error>) -> Option<Option<Error>> {
        let Ok(index) = self.find(receipt) else {
            return Some(error);
        };
        let group = &mut self.groups[index];
        if group.waits_for == 0 {
            return None;
        }
        let gone = error.as_ref().is_some_and(|error| {
            matches!(
                error.code,
                Code::PeerLeft | Code::NotConfirmed | Code::PeerUnavailable
            )
        });
        if let Some(error) = error.filter(|_| !(group.tolerant && gone)) {
            match &mut group.error {
                Some(first) => first.peers.extend(error.peers),
                none => *none = Some(error),
            }
        }
        group.waits_for -= 1;
        if group.waits_for > 0 {
            return None;
        }
        let error = group.error.take();
        while self.groups.front().is_some_and(|group| group.waits_for == 0) {
            self.groups.pop_front();
        }
        Some(error)
    }
}

/// Something that waits for a name to be looked up.
#[derive(Debug)]
pub(super) enum Waiting {
    Send(Encoded, Receipt),
    Request {
        receipt: Receipt,
        name: Name,
        body: Body,
        deadline: Time,
    },
    /// As `Send`, but only to the peer of that id, and not to who carries it as a tag.
    SendPeer(PeerKey, Encoded, Receipt),
    /// Messages wait in the peer's outbox.
    Peer(PeerKey),
    /// The same for a peer that was there before, and that the server did not know a moment ago.
    Absent(PeerKey),
}

/// A lookup under way.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) op: u32,
    pub(super) until: Time,
    pub(super) waiting: Vec<Waiting>,
}

impl Client {
    // ---- the page's calls ----

    /// To one peer, without a name.
    pub fn send(&mut self, now: Time, key: PeerKey, body: Body) -> Receipt {
        let receipt = self.receipts.take();
        match self.encode(&Item::Peer { body }) {
            Ok(encoded) => self.send_to_peer(now, key, encoded, receipt),
            Err(error) => self.fail(receipt, error),
        }
        receipt
    }

    /// To every member of a thread.
    pub fn send_thread(&mut self, now: Time, thread: &ThreadId, body: Body) -> Receipt {
        let receipt = self.receipts.take();
        let is_leaving = self.leaving.iter().any(|leaving| leaving.thread == *thread);
        let Some(entry) = self.threads.get(thread).filter(|_| !is_leaving) else {
            let error = match self.state {
                ClientState::Closed => Code::Closed.into(),
                _ if is_leaving => Error::new(Code::Closed, thread.as_str()),
                _ => Error::new(Code::NotMember, thread.as_str()),
            };
            self.fail(receipt, error);
            return receipt;
        };
        let ids: Vec<Id> = entry.members().map(|member| member.peer.id.clone()).collect();
        match self.encode(&Item::Thread {
            thread: thread.clone(),
            body,
        }) {
            Ok(encoded) => {
                self.receipts.group(receipt, ids.len(), true);
                if ids.is_empty() {
                    self.settle(receipt);
                }
                for id in ids {
                    let key = self.peers.key(&id);
                    self.send_encoded(now, key, &encoded, Some(receipt));
                }
            }
            Err(error) => self.fail(receipt, error),
        }
        receipt
    }

    /// To ids and tags, with a name.
    pub fn send_named(&mut self, now: Time, to: &[Name], name: Name, body: Body) -> Receipt {
        let receipt = self.receipts.take();
        match self.encode(&Item::Named { name, body }) {
            Ok(encoded) => {
                self.receipts.group(receipt, to.len(), false);
                if to.is_empty() {
                    self.settle(receipt);
                }
                for target in to {
                    self.send_to_name(now, target, encoded.clone(), receipt);
                }
            }
            Err(error) => self.fail(receipt, error),
        }
        receipt
    }

    // ---- inside ----

    /// One part of a call has succeeded.
    pub(super) fn settle(&mut self, receipt: Receipt) {
        self.finish(receipt, None);
    }

    /// One part of a call has failed.
    pub(super) fn fail(&mut self, receipt: Receipt, error: Error) {
        self.finish(receipt, Some(error));
    }

    fn finish(&mut self, receipt: Receipt, error: Option<Error>) {
        let Some(error) = self.receipts.part(receipt, error) else {
            return;
        };
        match error {
            Some(error) => self.outputs.push_back(Output::Reject(receipt, error)),
            None => match self.outputs.back_mut() {
                // Receipts of a burst are settled with one crossing into JS.
                Some(Output::Settle(_, last)) if last.wrapping_add(1) == receipt => *last = receipt,
                _ => self.outputs.push_back(Output::Settle(receipt, receipt)),
            },
        }
    }

    /// Sends to whoever has that id or carries that tag.
    pub(super) fn send_to_name(&mut self, now: Time, to: &Name, message: Encoded, receipt: Receipt) {
        match self.known(to) {
            Some(key) => {
                self.want(now, key);
                self.send_encoded(now, key, &message, Some(receipt));
            }
            None => self.look_up(now, to, Waiting::Send(message, receipt)),
        }
    }

    /// Sends to that peer, behind what was sent to its name before.
    pub(super) fn send_to_peer(&mut self, now: Time, key: PeerKey, message: Encoded, receipt: Receipt) {
        let name = Name::from(self.peers.id(key));
        if self.messages_wait_for(&name) {
            self.look_up(now, &name, Waiting::SendPeer(key, message, receipt));
        } else {
            self.want(now, key);
            self.send_encoded(now, key, &message, Some(receipt));
        }
    }

    /// Whether messages wait for that name to be looked up; later ones to it must not overtake them.
    fn messages_wait_for(&self, name: &Name) -> bool {
        self.peers.lookups.get(name).is_some_and(|lookup| {
            lookup
                .waiting
                .iter()
                .any(|waiting| !matches!(waiting, Waiting::Peer(_) | Waiting::Absent(_)))
        })
    }

    /// The peer of that id, if there is a way to it or was a moment ago, and no messages wait for the name already.
    pub(super) fn known(&mut self, name: &Name) -> Option<PeerKey> {
        if self.messages_wait_for(name) {
            return None;
        }
        self.peers.reachable(&Id::from(name))
    }

    /// Asks the server who a name is; what waits keeps its order.
    pub(super) fn look_up(&mut self, now: Time, name: &Name, waiting: Waiting) {
        let until = now + LOOK_UP_WITHIN;
        if let Some(lookup) = self.peers.lookups.get_mut(name) {
            lookup.waiting.push(waiting);
            return;
        }
        let op = self.op();
        self.peers.lookups.insert(
            name.clone(),
            Lookup {
                op,
                until,
                waiting: vec![waiting],
            },
        );
        self.wake_at(Some(until));
        self.session_send(ClientFrame::Find {
            op,
            name: name.clone(),
        });
    }

    /// Gives up questions that nobody has answered for too long.
    pub(super) fn tick_lookups(&mut self, now: Time) {
        let late: Vec<Name> = self
            .peers
            .lookups
            .iter()
            .filter(|(_, lookup)| lookup.until <= now)
            .map(|(name, _)| name.clone())
            .collect();
        for name in late {
            if let Some(lookup) = self.peers.lookups.remove(&name) {
                let detail = format!("nobody could say for a minute where {name} is");
                let error = Error {
                    peers: vec![Id::from(&name)],
                    ..Error::new(Code::Timeout, detail)
                };
                self.lookup_failed(lookup, &error);
            }
        }
    }

    /// The server forgot the questions: they are asked again.
    pub(super) fn ask_again(&mut self) {
        let names: Vec<Name> = self.peers.lookups.keys().cloned().collect();
        for name in names {
            let op = self.op();
            if let Some(lookup) = self.peers.lookups.get_mut(&name) {
                lookup.op = op;
            }
            self.session_send(ClientFrame::Find { op, name });
        }
    }

    fn take_lookup(&mut self, op: u32) -> Option<(Name, Lookup)> {
        let name = self
            .peers
            .lookups
            .iter()
            .find(|(_, lookup)| lookup.op == op)?
            .0
            .clone();
        self.peers.lookups.remove_entry(&name)
    }

    pub(super) fn found(&mut self, now: Time, op: u32, mut peers: Vec<PeerInfo>) {
        let Some((name, lookup)) = self.take_lookup(op) else {
            return;
        };
        let own = self.id().cloned();
        peers.retain(|peer| Some(&peer.id) != own.as_ref());
        if peers.is_empty() {
            let error = Error::about(Code::PeerUnavailable, &Id::from(&name));
            self.lookup_failed(lookup, &error);
            return;
        }
        let by_id = peers.len() == 1 && peers[0].id.as_str() == name.as_str();
        let keys: Vec<PeerKey> = peers
            .into_iter()
            .map(|info| {
                let key = self.peers.key(&info.id);
                self.learn(now, key, info);
                key
            })
            .collect();
        for waiting in lookup.waiting {
            match waiting {
                Waiting::Send(message, receipt) => {
                    if keys.len() > 1 {
                        self.receipts.widen(receipt, keys.len() - 1);
                    }
                    for key in &keys {
                        self.want(now, *key);
                        self.send_encoded(now, *key, &message, Some(receipt));
                    }
                }
                Waiting::SendPeer(key, message, receipt) if by_id => {
                    self.want(now, key);
                    self.send_encoded(now, key, &message, Some(receipt));
                }
                Waiting::SendPeer(_, _, receipt) => {
                    self.fail(receipt, Error::about(Code::PeerUnavailable, &Id::from(&name)));
                }
                Waiting::Absent(key) if by_id => self.returned(now, key),
                Waiting::Absent(_) => {}
                Waiting::Request {
                    receipt,
                    name,
                    body,
                    deadline,
                } if self.take_waiting(receipt) => {
                    self.ask(now, keys[0], receipt, name, body, deadline);
                }
                Waiting::Request { .. } => {}
                Waiting::Peer(key) if by_id => self.activate(now, key),
                // Somebody carries the id as a tag, which is not the same.
                Waiting::Peer(key) => self.give_up(key, Code::PeerUnavailable),
            }
        }
    }

    /// Whether a lookup had that op.
    pub(super) fn find_failed(&mut self, op: u32, error: &Error) -> bool {
        match self.take_lookup(op) {
            Some((_, lookup)) => {
                self.lookup_failed(lookup, error);
                true
            }
            None => false,
        }
    }

    pub(super) fn lookup_failed(&mut self, lookup: Lookup, error: &Error) {
        for waiting in lookup.waiting {
            match waiting {
                Waiting::Send(_, receipt) | Waiting::SendPeer(_, _, receipt) => {
                    self.fail(receipt, error.clone());
                }
                // It is asked about again, until its outage has lasted too long.
                Waiting::Absent(_) => {}
                Waiting::Request { receipt, .. } => {
                    if self.take_waiting(receipt) {
                        self.outputs.push_back(Output::Reject(receipt, error.clone()));
                    }
                }
                Waiting::Peer(key) => self.give_up(key, error.code),
            }
        }
    }

    /// Takes what a link brought.
    pub(super) fn arrived(&mut self, now: Time, key: PeerKey, arrivals: Vec<Arrival>) {
        for arrival in arrivals {
            match arrival {
                Arrival::Confirmed(receipt) => self.settle(receipt),
                Arrival::Bye => self.bye(key),
                Arrival::Renewed => self.renew_connections(now, key),
                Arrival::Item(item) => self.item(now, key, item),
            }
        }
        self.finish_leaving(now);
    }

    fn item(&mut self, now: Time, key: PeerKey, item: Item) {
        match item {
            Item::Peer { body } => self.event(Event::Message(key, None, body)),
            Item::Named { name, body } => self.event(Event::Message(key, Some(name), body)),
            Item::Thread { thread, body } => self.thread_message(now, key, thread, body),
            Item::Request { request, name, body } => {
                let instance = self.peer_info(key).map(|info| info.instance).unwrap_or_default();
                let asker = Asker {
                    peer: key,
                    instance,
                    request,
                };
                self.event(Event::Request(asker, name, body));
            }
            Item::Reply { request, outcome } => self.replied(key, request, outcome),
            Item::Connect { .. } | Item::Offer { .. } | Item::Accepted { .. } | Item::Closed { .. } => {
                self.connection_item(now, key, item);
            }
            Item::Part { .. } | Item::Piece { .. } | Item::Void | Item::Unknown(_) => {}
        }
    }

    /// A message to a thread counts only from its members. The server's word of a new member can be slower than the
    /// member's own first message over a link that is there already, so a message waits a while for it.
    fn thread_message(&mut self, now: Time, key: PeerKey, thread: ThreadId, body: Body) {
        let Some(entry) = self.threads.get(&thread) else {
            return;
        };
        let confirmed = entry.standing == Standing::Member && entry.member(self.peers.id(key)).is_some();
        if confirmed && !self.peers.holds(key, &thread) {
            self.event(Event::ThreadMessage(thread, key, body));
        } else {
            let until = self.peers.hold(now, key, thread, body);
            self.wake_at(until);
        }
    }

    /// The server has confirmed a member.
    pub(super) fn deliver_held(&mut self, key: PeerKey, thread: &ThreadId) {
        let confirmed = self.threads.get(thread).is_some_and(|entry| {
            entry.standing == Standing::Member && entry.member(self.peers.id(key)).is_some()
        });
        if confirmed {
            for body in self.peers.release_held(key, thread) {
                self.event(Event::ThreadMessage(thread.clone(), key, body));
            }
        }
    }

    /// The server has confirmed this client's own membership.
    pub(super) fn deliver_held_of(&mut self, thread: &ThreadId) {
        for key in self.peers.holding() {
            self.deliver_held(key, thread);
        }
    }
}
