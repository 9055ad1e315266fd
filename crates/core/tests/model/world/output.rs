//! Carries out what the clients say.

use super::*;

impl World {
    pub(super) fn drain(&mut self, page: usize) {
        while let Some(output) = self.pages[page].client.poll_output() {
            self.carry_out(page, output);
        }
        if self.pages[page].client.owes() && !self.pages[page].acknowledges {
            self.pages[page].acknowledges = true;
            let life = self.pages[page].life;
            self.after(0, 1, Action::Acknowledge(page, life));
        }
        self.plan_tick(page);
    }

    fn plan_tick(&mut self, page: usize) {
        let Some(Time(at)) = self.pages[page].client.poll_timeout() else {
            return;
        };
        let at = at.max(self.now);
        if self.pages[page].tick_at.is_none_or(|planned| at < planned) {
            self.pages[page].tick_at = Some(at);
            let late = if self.random.chance(30) {
                self.random.below(5)
            } else {
                0
            };
            let life = self.pages[page].life;
            self.at(at + late, Action::Tick(page, life));
        }
    }

    pub(super) fn carry_out(&mut self, page: usize, output: Output) {
        self.say(|| match &output {
            Output::SocketSend(bytes) => {
                format!("{} sends {} bytes", self.pages[page].life_name(), bytes.len())
            }
            Output::ChannelSend(key, generation, _, bytes) => format!(
                "{} sends {} bytes over {key:?} {generation}",
                self.pages[page].life_name(),
                bytes.len()
            ),
            other => format!("{} -> {other:.160?}", self.pages[page].life_name()),
        });
        match output {
            Output::Connect => self.connect_socket(page),
            Output::SocketSend(bytes) => {
                let socket = self.pages[page].socket.expect("a socket to send over");
                let delay = self.delay();
                let state = &mut self.sockets[socket];
                if !state.silent && state.open {
                    state.to_server = state.to_server.max(self.now + delay);
                    let at = state.to_server;
                    self.at(at, Action::ServerMessage(socket, bytes));
                }
            }
            Output::SocketClose => {
                if let Some(socket) = self.pages[page].socket.take() {
                    self.sockets[socket].client = false;
                    if !self.sockets[socket].silent {
                        let at = self.sockets[socket].to_server.max(self.now);
                        self.at(at, Action::ServerLost(socket, false));
                    }
                }
            }
            Output::CreateConnection(key, generation) => {
                let own = self.connections.len();
                let state = &mut self.pages[page];
                assert!(state.options.webrtc, "a connection without WebRTC");
                assert!(
                    state.connections.keys().all(|(other, _)| *other != key),
                    "two connections to one peer"
                );
                state.connections.insert((key, generation), own);
                self.connections
                    .push(Connection::new(page, self.pages[page].life, key, generation));
                self.after(0, 5, Action::Needed(own));
            }
            Output::CloseConnection(key, generation) => {
                let own = self.pages[page]
                    .connections
                    .remove(&(key, generation))
                    .expect("a connection to close");
                self.close_connection(own, true);
            }
            Output::Exec(key, generation, op, command) => {
                let own = self.pages[page].connections[&(key, generation)];
                let running = self.connections[own].running.replace(op);
                assert_eq!(running, None, "one call at a time");
                self.after(0, 20, Action::Carried(own, op, command));
            }
            Output::ChannelSend(key, generation, channel, bytes) => {
                let own = self.pages[page].connections[&(key, generation)];
                self.channel_send(own, channel, bytes);
            }
            Output::OpenChannel(key, generation, terms) => {
                let own = self.pages[page].connections[&(key.peer, generation)];
                assert!(
                    self.connections[own].open,
                    "a channel beside one that is not open"
                );
                let Number::Ours(number) = key.number else {
                    panic!("the other side makes it");
                };
                let other = self.connections[own].other.expect("another side");
                self.after(0, 5, Action::SideOpened(own, key.number, terms.clone()));
                let delay = self.delay();
                self.connections[own].arrives_at = self.connections[own].arrives_at.max(self.now + delay);
                let at = self.connections[own].arrives_at;
                self.at(at, Action::SideOpened(other, Number::Theirs(number), terms));
            }
            Output::CloseChannel(key, generation) => {
                let own = self.pages[page].connections[&(key.peer, generation)];
                self.connections[own].channels.remove(&key.number);
                let back = match key.number {
                    Number::Ours(number) => Number::Theirs(number),
                    Number::Theirs(number) => Number::Ours(number),
                };
                if let Some(other) = self.connections[own].other {
                    let at = self.connections[own].arrives_at.max(self.now) + 1;
                    self.at(at, Action::SideClosed(other, back));
                }
            }
            Output::RestartIce(key, generation) => {
                let own = self.pages[page].connections[&(key, generation)];
                self.connections[own].restart_ice();
                self.after(0, 5, Action::Needed(own));
            }
            Output::AwaitDrained(key, generation, channel) => {
                let own = self.pages[page].connections[&(key, generation)];
                self.connections[own].awaits_drained.insert(channel);
                self.at(self.now, Action::ChannelDrained(own, channel));
            }
            Output::Settle(first, last) => {
                for receipt in first..=last {
                    self.ended(page, receipt, Outcome::Done);
                }
            }
            Output::Reject(receipt, error) => {
                self.ended(page, receipt, Outcome::Failed(error.code));
                self.pages[page].rejected.push(error);
            }
            Output::Answer(receipt, body) => {
                let Some(Call::Message(index)) = self.pages[page].calls.get(&receipt) else {
                    panic!("an answer that nobody waits for");
                };
                assert_eq!(text(&body).split(' ').next(), Some(index.to_string().as_str()));
                self.ended(page, receipt, Outcome::Done);
            }
            Output::Event(event) => self.event(page, event),
            Output::IceServers(_) => {}
        }
    }

    fn ended(&mut self, page: usize, receipt: Receipt, outcome: Outcome) {
        let call = self.pages[page]
            .calls
            .remove(&receipt)
            .unwrap_or_else(|| panic!("{outcome:?} for call {receipt}, which is over"));
        match call {
            Call::Message(index) => self.ledger.messages[index].outcome = outcome,
            Call::Open | Call::Join | Call::Leave => {}
        }
    }

    fn event(&mut self, page: usize, event: Event) {
        let at = (page, self.pages[page].life);
        let now = Time(self.now);
        match event {
            Event::State(state) => {
                self.pages[page].states.push(state);
                if state == ClientState::Closed && !self.pages[page].finished {
                    // As a user would: the page is loaded again.
                    let life = self.pages[page].life;
                    self.after(2_000, 5_000, Action::Reopen(page, life));
                }
            }
            Event::PeerState(key, state) => {
                let of = self.page_of(self.pages[page].client.peer_id(key));
                self.pages[page].peer_states.entry(of).or_default().push(state);
            }
            Event::Message(key, _, body) => {
                let from = self.page_of(self.pages[page].client.peer_id(key));
                self.ledger.arrived(at, from, &Way::Direct, text(&body));
            }
            Event::Request(asker, _, body) => {
                let from = self.page_of(self.pages[page].client.peer_id(asker.peer()));
                self.ledger.arrived(at, from, &Way::Direct, text(&body));
                self.pages[page].client.reply(now, asker, Reply::Done(body));
            }
            Event::ThreadMessage(thread, key, body) => {
                let from = self.page_of(self.pages[page].client.peer_id(key));
                self.ledger
                    .arrived(at, from, &Way::Thread(thread.as_str().into()), text(&body));
            }
            Event::Thread(thread, key, change) => {
                let who = self.page_of(self.pages[page].client.peer_id(key));
                assert_ne!(who, page, "a member of its own");
                if matches!(change, Change::Left(..)) {
                    self.ledger.departed(at, who, thread.as_str(), self.now);
                }
            }
            Event::ThreadEnded(thread, error) => panic!("{thread} ended: {error}"),
            Event::Error(error) => {
                assert!(
                    matches!(error.code, Code::IdTaken | Code::ServerUnreachable),
                    "an error on page {page}: {error:?}"
                );
            }
            Event::Connection(key, terms) => {
                let label = terms.label.expect("all have one");
                self.pages[page].labels.insert(key, label);
                let client = &mut self.pages[page].client;
                if self.random.chance(90) {
                    client.accept(now, key);
                } else {
                    let reason = Name::new("no").expect("a name");
                    let receipt = client.close_connection(now, key, reason);
                    self.pages[page].calls.insert(receipt, Call::Leave);
                }
            }
            Event::ConnectionOpen(key) => self.pages[page].open.push(key),
            Event::ConnectionPiece(key, piece) => {
                let pieces = self.pages[page].pieces.entry((key, piece.message)).or_default();
                let again = pieces.insert(piece.index, (piece.last, piece.bytes)).is_some();
                let lossy = self.pages[page].labels[&key].as_str().starts_with("lossy");
                assert!(!again || lossy, "a piece came twice");
                let pieces = &self.pages[page].pieces[&(key, piece.message)];
                let complete = pieces.values().any(|(last, _)| *last)
                    && pieces
                        .last_key_value()
                        .is_some_and(|(index, _)| *index as usize + 1 == pieces.len());
                if complete {
                    let pieces = self.pages[page]
                        .pieces
                        .remove(&(key, piece.message))
                        .expect("just there");
                    let text: Vec<u8> = pieces.into_values().flat_map(|(_, bytes)| bytes).collect();
                    let text = String::from_utf8(text).expect("text");
                    let from = self.page_of(self.pages[page].client.peer_id(key.peer));
                    let way = Way::Connection(self.pages[page].labels[&key].as_str().into());
                    self.ledger.arrived(at, from, &way, &text);
                }
            }
            Event::ConnectionClosed(key, ..) => {
                self.pages[page].open.retain(|open| *open != key);
                self.pages[page].pieces.retain(|(of, _), _| *of != key);
            }
            Event::ConnectionError(key, error) => panic!("{key:?}: {error}"),
            Event::ConnectionRoom(_) | Event::PeerUpdated(_) | Event::Presence { .. } => {}
        }
    }
}
