//! What the browsers do: connections, their signals, their channel.

use super::*;

impl World {
    pub(super) fn close_connection(&mut self, own: usize, says_so: bool) {
        let connection = &mut self.connections[own];
        if connection.closed {
            return;
        }
        connection.closed = true;
        let silent = connection.silent;
        if let Some(other) = connection.other {
            let cut = self.now + self.random.below(self.delay.1 + 1);
            self.connections[own].cut_at = self.connections[own].cut_at.min(cut);
            if says_so && !silent && self.random.chance(80) {
                let at = cut + 1 + self.random.below(50);
                self.at(at, Action::ChannelClosed(other));
            } else {
                self.connections[other].silent = true;
                if self.random.chance(50) {
                    self.after(5_000, 30_000, Action::Failed(other));
                }
            }
        }
    }

    /// The path carries again, and the channel with it: what was not heard comes, in order.
    fn heal(&mut self, own: usize) {
        let Some(other) = self.connections[own].other else {
            return;
        };
        let (a, b) = (self.connections[own].page, self.connections[other].page);
        if self.is_blocked(a, b) || self.connections[own].closed || self.connections[other].closed {
            return;
        }
        for side in [own, other] {
            self.connections[side].silent = false;
        }
        for (side, from) in [(own, other), (other, own)] {
            let asleep = self.pages[self.connections[side].page].asleep_until > self.now;
            for (channel, bytes) in std::mem::take(&mut self.connections[side].unheard) {
                let message = Action::ChannelMessage(from, side, channel, bytes);
                if asleep {
                    self.at(self.now, message);
                } else {
                    self.browser(message);
                }
            }
            for channel in self.connections[side].awaits_drained.clone() {
                self.at(self.now, Action::ChannelDrained(side, channel));
            }
        }
    }

    /// What came before the page knew of the channel.
    fn hear_early(&mut self, own: usize, channel: Channel) {
        let (now, early) = (Time(self.now), std::mem::take(&mut self.connections[own].early));
        for (of, bytes) in early {
            if of != channel {
                self.connections[own].early.push((of, bytes));
            } else if self.is_heard(own) {
                let (key, generation) = self.label(own);
                let page = self.connections[own].page;
                self.pages[page]
                    .client
                    .channel_received(now, key, generation, channel, &bytes);
                self.drain(page);
            }
        }
    }

    fn is_heard(&self, connection: usize) -> bool {
        let state = &self.connections[connection];
        !state.closed && self.pages[state.page].life == state.life && !self.pages[state.page].gone
    }

    fn perhaps_connect(&mut self, own: usize) {
        let Some(other) = self.connections[own].agreed_with() else {
            return;
        };
        if self.agree(own, other) && self.connections[own].other == Some(other) {
            // Negotiated anew: an ICE restart, perhaps, which finds a way where there is one.
            let (a, b) = (self.connections[own].page, self.connections[other].page);
            if self.connections[own].silent && !self.is_blocked(a, b) && self.random.chance(70) {
                self.after(5, 300, Action::Healed(own));
            }
        } else if self.agree(own, other) && self.connections[own].other.is_none() {
            let (a, b) = (self.connections[own].page, self.connections[other].page);
            if self.is_blocked(a, b) {
                for side in [own, other] {
                    if self.random.chance(70) {
                        self.after(5_000, 20_000, Action::Failed(side));
                    }
                }
            } else {
                self.after(5, 150, Action::Connect(own, other));
            }
        }
    }

    pub(super) fn is_blocked(&self, a: usize, b: usize) -> bool {
        self.blocked.contains(&(a.min(b), a.max(b)))
            || [a, b]
                .iter()
                .any(|page| self.pages[*page].cut_off_until > self.now)
    }

    pub(super) fn agree(&self, own: usize, other: usize) -> bool {
        other < self.connections.len()
            && self.connections[own].agreed_with() == Some(other)
            && self.connections[other].agreed_with() == Some(own)
            && (self.connections[own].has_candidate || self.connections[other].has_candidate)
    }

    pub(super) fn channel_send(&mut self, own: usize, channel: Channel, bytes: Vec<u8>) {
        assert!(
            bytes.len() <= limits::LINK_FRAME,
            "a frame of {} bytes",
            bytes.len()
        );
        let delay = self.delay();
        let connection = &mut self.connections[own];
        assert!(
            connection.open && !connection.closed,
            "sent over a channel that is not open"
        );
        let other = connection.other.expect("an open channel has another side");
        connection.drains_at = connection.drains_at.max(self.now) + 1 + bytes.len() as u64 / 2_000;
        let mut at = connection.arrives_at.max(self.now + delay);
        connection.arrives_at = at;
        if let Channel::Connection(number) = channel {
            let channelled = connection.channels.get(&number).expect("an open channel");
            assert!(channelled.open, "sent over a channel that is not open");
            let (ordered, lossy) = (channelled.ordered, channelled.lossy);
            if lossy && self.random.chance(10) {
                return;
            }
            if !ordered {
                at = self.now + delay;
            }
        }
        let channel = match channel {
            Channel::Connection(Number::Ours(number)) => Channel::Connection(Number::Theirs(number)),
            Channel::Connection(Number::Theirs(number)) => Channel::Connection(Number::Ours(number)),
            Channel::Link => Channel::Link,
        };
        self.at(at, Action::ChannelMessage(own, other, channel, bytes));
    }

    pub(super) fn browser(&mut self, action: Action) {
        let Some(page) = self.client_of(&action) else {
            return;
        };
        let now = Time(self.now);
        let heard = |world: &Self, own: usize| world.is_heard(own).then(|| world.label(own));
        match action {
            Action::Needed(own) => {
                if let Some((key, generation)) = heard(self, own)
                    && self.connections[own].needs_negotiation()
                {
                    self.pages[page]
                        .client
                        .connection_needs_negotiation(now, key, generation);
                }
            }
            Action::Gathered(own, candidate) => {
                if let Some((key, generation)) = heard(self, own) {
                    self.pages[page]
                        .client
                        .connection_candidate(now, key, generation, candidate);
                }
            }
            Action::Carried(own, op, command) => {
                let Some((key, generation)) = heard(self, own) else {
                    return;
                };
                assert_eq!(self.connections[own].running.take(), Some(op));
                let gathers = command == Command::SetLocal;
                let done = if self.random.chance(self.sloppiness.refused) {
                    Done::Failed("OperationError".into())
                } else {
                    self.connections[own].carry_out(own, command)
                };
                if gathers && matches!(done, Done::Local(_)) {
                    for _ in 0..self.random.between(1, 3) {
                        self.after(0, 80, Action::Gathered(own, browser::candidate(own)));
                    }
                    self.after(81, 90, Action::Gathered(own, browser::end_of_candidates()));
                }
                self.pages[page]
                    .client
                    .connection_done(now, key, generation, op, done);
                self.drain(page);
                self.perhaps_connect(own);
                if let Some(other) = self.connections[own].agreed_with()
                    && other < self.connections.len()
                {
                    self.perhaps_connect(other);
                }
                self.after(0, 5, Action::Needed(own));
                return;
            }
            Action::ChannelOpened(own) => {
                let Some((key, generation)) = heard(self, own) else {
                    return;
                };
                if self.connections[own].silent || self.connections[own].open {
                    return;
                }
                self.connections[own].open = true;
                let client = &mut self.pages[page].client;
                client.channel_opened(now, key, generation, Channel::Link);
                self.hear_early(own, Channel::Link);
            }
            Action::SideOpened(own, number, terms) => {
                let Some((key, generation)) = heard(self, own) else {
                    return;
                };
                let channelled = Channelled {
                    open: true,
                    ordered: terms.ordered,
                    lossy: terms.max_retransmits.is_some(),
                };
                let channel = Channel::Connection(number);
                self.connections[own].channels.insert(number, channelled);
                self.pages[page]
                    .client
                    .channel_opened(now, key, generation, channel);
                self.drain(page);
                self.hear_early(own, channel);
            }
            Action::SideClosed(own, number) => {
                let Some((key, generation)) = heard(self, own) else {
                    return;
                };
                if self.connections[own].channels.remove(&number).is_some() {
                    let channel = Channel::Connection(number);
                    self.pages[page]
                        .client
                        .channel_closed(now, key, generation, channel);
                }
            }
            Action::ChannelMessage(from, own, channel, bytes) => {
                let Some((key, generation)) = heard(self, own) else {
                    return;
                };
                let source = &self.connections[from];
                if source.cut_at < self.now {
                    return;
                }
                if source.silent || self.connections[own].silent {
                    self.connections[own].unheard.push((channel, bytes));
                    return;
                }
                let open = match channel {
                    Channel::Link => self.connections[own].open,
                    Channel::Connection(number) => self.connections[own].channels.contains_key(&number),
                };
                if open {
                    self.pages[page]
                        .client
                        .channel_received(now, key, generation, channel, &bytes);
                } else {
                    self.connections[own].early.push((channel, bytes));
                }
            }
            Action::ChannelDrained(own, channel) => {
                let Some((key, generation)) = heard(self, own) else {
                    return;
                };
                let drains_at = self.connections[own].drains_at;
                if drains_at > self.now {
                    self.at(drains_at, Action::ChannelDrained(own, channel));
                } else if !self.connections[own].silent {
                    self.connections[own].awaits_drained.remove(&channel);
                    self.pages[page]
                        .client
                        .channel_drained(now, key, generation, channel);
                }
            }
            Action::ChannelClosed(own) => {
                if let Some((key, generation)) = heard(self, own) {
                    self.pages[page]
                        .client
                        .channel_closed(now, key, generation, Channel::Link);
                }
            }
            Action::Healed(own) => {
                self.heal(own);
                return;
            }
            Action::Suspected(own) => {
                if let Some((key, generation)) = heard(self, own) {
                    self.pages[page].client.connection_suspected(now, key, generation);
                }
            }
            Action::Failed(own) => {
                if let Some((key, generation)) = heard(self, own) {
                    self.pages[page].client.connection_failed(now, key, generation);
                }
            }
            _ => {}
        }
        self.drain(page);
    }

    fn label(&self, own: usize) -> (PeerKey, u32) {
        (self.connections[own].key, self.connections[own].generation)
    }
}
