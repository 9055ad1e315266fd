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

    fn is_heard(&self, connection: usize) -> bool {
        let state = &self.connections[connection];
        !state.closed && self.pages[state.page].life == state.life && !self.pages[state.page].gone
    }

    fn perhaps_connect(&mut self, own: usize) {
        let Some(other) = self.connections[own].agreed_with() else {
            return;
        };
        if self.agree(own, other) && self.connections[own].other.is_none() {
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

    pub(super) fn channel_send(&mut self, own: usize, bytes: Vec<u8>) {
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
        if connection.silent {
            return;
        }
        connection.drains_at = connection.drains_at.max(self.now) + 1 + bytes.len() as u64 / 2_000;
        let at = connection.arrives_at.max(self.now + delay);
        connection.arrives_at = at;
        self.at(at, Action::ChannelMessage(own, other, bytes));
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
                self.pages[page].client.channel_opened(now, key, generation);
                let early = std::mem::take(&mut self.connections[own].early);
                for bytes in early {
                    if self.is_heard(own) {
                        self.pages[page]
                            .client
                            .channel_received(now, key, generation, &bytes);
                    }
                }
            }
            Action::ChannelMessage(from, own, bytes) => {
                let Some((key, generation)) = heard(self, own) else {
                    return;
                };
                let source = &self.connections[from];
                if source.silent || self.connections[own].silent || source.cut_at < self.now {
                    return;
                }
                if self.connections[own].open {
                    self.pages[page]
                        .client
                        .channel_received(now, key, generation, &bytes);
                } else {
                    self.connections[own].early.push(bytes);
                }
            }
            Action::ChannelDrained(own) => {
                let Some((key, generation)) = heard(self, own) else {
                    return;
                };
                let drains_at = self.connections[own].drains_at;
                if drains_at > self.now {
                    self.at(drains_at, Action::ChannelDrained(own));
                } else if !self.connections[own].silent {
                    self.pages[page].client.channel_drained(now, key, generation);
                }
            }
            Action::ChannelClosed(own) => {
                if let Some((key, generation)) = heard(self, own) {
                    self.pages[page].client.channel_closed(now, key, generation);
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
