//! Pages: opened, loaded again, gone; and the calls that they make.

use super::*;

impl World {
    pub fn add_page(&mut self, options: PageOptions) -> usize {
        let index = self.pages.len();
        let (client, instance) = self.make_client(index, &options);
        self.pages.push(Page {
            options,
            client,
            life: 0,
            instances: vec![instance],
            socket: None,
            connections: BTreeMap::new(),
            calls: BTreeMap::new(),
            asleep_until: 0,
            cut_off_until: 0,
            tick_at: None,
            acknowledges: false,
            ticks_now: (0, 0),
            ticks: 0,
            states: Vec::new(),
            peer_states: BTreeMap::new(),
            rejected: Vec::new(),
            threads: Vec::new(),
            open: Vec::new(),
            labels: BTreeMap::new(),
            pieces: BTreeMap::new(),
            finished: false,
            gone: false,
        });
        self.open(index);
        index
    }

    fn make_client(&mut self, index: usize, options: &PageOptions) -> (Client, Instance) {
        let instance = Instance(self.random.next() >> 11);
        let ticket = format!("{:032x}", self.random.next());
        let mut client = Client::new(Config {
            id: Some(id(index)),
            token: None,
            instance,
            user_data: None,
            webrtc: options.webrtc,
            privacy: peerloom_core::privacy::Privacy::All,
            codec: options.codec,
            timeout: 15_000,
            recovery: Recovery::default(),
            seed: self.random.next(),
        });
        client.set_ticket(Secret::new(&ticket).expect("short"));
        (client, instance)
    }

    fn open(&mut self, page: usize) {
        let now = Time(self.now);
        let receipt = self.pages[page].client.open(now);
        self.pages[page].calls.insert(receipt, Call::Open);
        self.drain(page);
        for thread in self.pages[page].threads.clone() {
            self.join(page, &thread);
        }
    }

    /// The page goes away, with or without a word, and comes back as a new one some time later.
    pub fn reload(&mut self, page: usize, clean: bool) {
        self.say(|| format!("{} goes away", self.pages[page].life_name()));
        self.vanish(page, clean);
        let life = self.pages[page].life;
        self.after(50, 4_000, Action::Reopen(page, life));
    }

    fn vanish(&mut self, page: usize, clean: bool) {
        self.pages[page].gone = true;
        if let Some(socket) = self.pages[page].socket.take() {
            self.sockets[socket].client = false;
            if !self.sockets[socket].silent {
                let at = self.sockets[socket].to_server.max(self.now);
                self.at(at, Action::ServerLost(socket, clean));
            }
        }
        let connections: Vec<usize> = std::mem::take(&mut self.pages[page].connections)
            .into_values()
            .collect();
        for connection in connections {
            self.close_connection(connection, clean);
        }
        let life = (page, self.pages[page].life);
        for call in std::mem::take(&mut self.pages[page].calls).into_values() {
            if let Call::Message(index) = call {
                let message = &mut self.ledger.messages[index];
                assert_eq!(message.from, life);
                // Nobody is left to be told.
                message.outcome = Outcome::Failed(Code::Closed);
            }
        }
    }

    pub(super) fn reopen(&mut self, page: usize) {
        let options = self.pages[page].options.clone();
        let (client, instance) = self.make_client(page, &options);
        let state = &mut self.pages[page];
        state.client = client;
        state.gone = false;
        state.life += 1;
        state.instances.push(instance);
        state.tick_at = None;
        state.acknowledges = false;
        state.asleep_until = 0;
        state.states.clear();
        state.peer_states.clear();
        state.open.clear();
        state.labels.clear();
        state.pieces.clear();
        self.say(|| format!("{} begins", self.pages[page].life_name()));
        self.open(page);
    }

    /// Closes the client for good, and shows that nothing comes out of it any more.
    pub fn finish(&mut self, page: usize) {
        self.say(|| format!("{} closes", self.pages[page].life_name()));
        self.pages[page].finished = true;
        self.pages[page].client.close();
        self.drain(page);
        let now = Time(self.now);
        let state = &mut self.pages[page];
        assert!(state.calls.is_empty(), "calls that never end: {:?}", state.calls);
        assert_eq!(state.client.state(), ClientState::Closed);
        assert_eq!(state.client.poll_timeout(), None);
        assert!(state.connections.is_empty(), "connections are closed");
        assert!(state.socket.is_none(), "the socket is closed");
        assert_eq!(state.client.kept(), 0, "nothing is kept");
        let client = &mut state.client;
        client.tick(now + 100_000);
        client.socket_opened(now);
        client.socket_received(now, &codec::encode(&ServerFrame::Pong { received: 0 }));
        client.socket_closed(now, 1006);
        client.hurry(now);
        client.acknowledge(now);
        client.drop_socket(now);
        client.close();
        for key in (0..client.peer_count()).map(PeerKey) {
            for generation in 0..4 {
                for channel in [Channel::Link, Channel::Connection(Number::Ours(1))] {
                    client.channel_opened(now, key, generation, channel);
                    client.channel_received(now, key, generation, channel, &[2, 0]);
                    client.channel_drained(now, key, generation, channel);
                    client.channel_closed(now, key, generation, channel);
                }
                client.connection_needs_negotiation(now, key, generation);
                client.connection_done(now, key, generation, 1, Done::Applied);
                client.connection_failed(now, key, generation);
            }
        }
        let output = client.poll_output();
        assert!(output.is_none(), "after close: {output:?}");
        let thread = ThreadId::new("late").expect("a name");
        let name = Name::new("page0").expect("a name");
        let calls = [
            client.open(now),
            client.join(&thread, None, None),
            client.send_named(
                now,
                std::slice::from_ref(&name),
                name.clone(),
                Body::Text(String::new()),
            ),
            client.send_thread(now, &thread, Body::Text(String::new())),
            client.request(now, &name, name.clone(), Body::Text(String::new()), 1_000),
        ];
        for call in calls {
            match client.poll_output() {
                Some(Output::Reject(receipt, error)) if receipt == call => {
                    assert_eq!(error.code, Code::Closed)
                }
                other => panic!("a call after close: {other:?}"),
            }
        }
        let output = client.poll_output();
        assert!(output.is_none(), "after close: {output:?}");
        assert_eq!(client.poll_timeout(), None);
        assert_eq!(client.kept(), 0, "nothing is kept");
    }

    pub(super) fn page_of(&self, id: &Id) -> usize {
        id.as_str()
            .strip_prefix("page")
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("nobody is called {id}"))
    }

    pub fn is_open(&self, page: usize) -> bool {
        !self.pages[page].gone
            && self.pages[page].asleep_until <= self.now
            && self.pages[page].client.state() != ClientState::Closed
    }

    pub fn join(&mut self, page: usize, thread: &ThreadId) {
        if !self.pages[page].threads.contains(thread) {
            self.pages[page].threads.push(thread.clone());
        }
        let receipt = self.pages[page].client.join(thread, None, None);
        self.pages[page].calls.insert(receipt, Call::Join);
        self.drain(page);
    }

    pub fn leave(&mut self, page: usize, thread: &ThreadId) {
        self.say(|| format!("{} leaves {thread}", self.pages[page].life_name()));
        self.pages[page].threads.retain(|own| own != thread);
        let life = (page, self.pages[page].life);
        self.ledger
            .departed(life, page, thread.as_str(), self.now + 2_100);
        let receipt = self.pages[page].client.leave(Time(self.now), thread);
        self.pages[page].calls.insert(receipt, Call::Leave);
        self.drain(page);
    }

    fn body(&mut self, index: usize) -> Body {
        match self.random.below(80) {
            0 => Body::Rich {
                json: format!("{index} "),
                parts: vec![Bytes(vec![7; self.random.index(40_000)])],
            },
            1 => Body::Text(format!("{index} {}", "x".repeat(self.random.index(40_000)))),
            2..10 => Body::Json(format!("{index} {}", "y".repeat(self.random.index(3_000)))),
            10..15 => Body::Bytes(Bytes(format!("{index} ").into_bytes())),
            _ => Body::Text(format!("{index} ")),
        }
    }

    fn message(&mut self, page: usize, way: Way, to: Vec<Life>, is_request: bool) -> usize {
        self.ledger.sent(Message {
            from: (page, self.pages[page].life),
            way,
            is_request,
            must: to.iter().map(|to: &Life| to.0).collect(),
            to,
            at: self.now,
            outcome: Outcome::Pending,
            delivered: Vec::new(),
        })
    }

    fn called(&mut self, page: usize, receipt: Receipt, index: usize) {
        self.say(|| {
            let message = &self.ledger.messages[index];
            format!(
                "{index}: {:?} {:?} -> {:?}",
                message.from, message.way, message.to
            )
        });
        self.pages[page].calls.insert(receipt, Call::Message(index));
        self.drain(page);
    }

    pub fn send(&mut self, page: usize, to: usize) {
        let index = self.message(page, Way::Direct, vec![(to, self.pages[to].life)], false);
        let body = self.body(index);
        let now = Time(self.now);
        let client = &mut self.pages[page].client;
        let key = client.peer(&id(to));
        let receipt = client.send(now, key, body);
        self.called(page, receipt, index);
    }

    pub fn send_named(&mut self, page: usize, to: &[usize]) {
        let lives = to.iter().map(|to| (*to, self.pages[*to].life)).collect();
        let index = self.message(page, Way::Direct, lives, false);
        let body = self.body(index);
        let names: Vec<Name> = to.iter().map(|to| Name::from(&id(*to))).collect();
        let name = Name::new("__proto__").expect("a name");
        let receipt = self.pages[page]
            .client
            .send_named(Time(self.now), &names, name, body);
        self.called(page, receipt, index);
    }

    pub fn request(&mut self, page: usize, to: usize) {
        let index = self.message(page, Way::Direct, vec![(to, self.pages[to].life)], true);
        let body = self.body(index);
        let name = Name::new("constructor").expect("a name");
        let receipt =
            self.pages[page]
                .client
                .request(Time(self.now), &Name::from(&id(to)), name, body, 30_000);
        self.called(page, receipt, index);
    }

    pub fn connect_to(&mut self, page: usize, to: usize) {
        let (kind, ordered, max_retransmits) = [
            ("ordered", true, None),
            ("unordered", false, None),
            ("lossy", false, Some(0)),
            ("lossy", true, Some(3)),
        ][self.random.index(4)];
        let label = Name::new(&format!("{kind} {}", self.random.next())).expect("a name");
        let terms = Terms {
            label: Some(label.clone()),
            metadata: None,
            ordered,
            max_retransmits,
            manifest: None,
        };
        let client = &mut self.pages[page].client;
        let key = client.peer(&id(to));
        let key = client.connect_to(Time(self.now), key, terms).expect("it is open");
        self.say(|| format!("{} asks {to} for {key:?} {label:?}", self.pages[page].life_name()));
        self.pages[page].labels.insert(key, label);
        self.drain(page);
    }

    pub fn send_over(&mut self, page: usize) {
        if self.pages[page].open.is_empty() {
            return;
        }
        let key = self.pages[page].open[self.random.index(self.pages[page].open.len())];
        if !self.pages[page].client.connection_has_room(key) {
            return;
        }
        let to = self.page_of(self.pages[page].client.peer_id(key.peer));
        let label = self.pages[page].labels[&key].as_str().to_owned();
        let index = self.message(
            page,
            Way::Connection(label),
            vec![(to, self.pages[to].life)],
            false,
        );
        let pieces = self.random.between(1, 3) as u32;
        for piece in 0..pieces {
            let text = if piece == 0 {
                format!("{index} ")
            } else {
                "z".repeat(self.random.index(16_000))
            };
            let last = piece + 1 == pieces;
            let now = Time(self.now);
            let client = &mut self.pages[page].client;
            let receipt = client.connection_send(now, key, piece, last, text.into_bytes());
            if let Some(receipt) = receipt {
                self.called(page, receipt, index);
            } else {
                self.drain(page);
            }
        }
    }

    pub fn close_some(&mut self, page: usize) {
        if let Some(key) = self.pages[page].open.pop() {
            let reason = Name::new("done").expect("a name");
            let receipt = self.pages[page]
                .client
                .close_connection(Time(self.now), key, reason);
            self.pages[page].calls.insert(receipt, Call::Leave);
            self.drain(page);
        }
    }

    pub fn send_thread(&mut self, page: usize, thread: &ThreadId) {
        let Some(entry) = self.pages[page].client.threads().get(thread) else {
            return;
        };
        let members: Vec<(Id, Instance)> = entry
            .members()
            .map(|member| (member.peer.id.clone(), member.peer.instance))
            .collect();
        let to = members
            .into_iter()
            .map(|(id, instance)| {
                let of = self.page_of(&id);
                let life = self.pages[of].instances.iter().position(|own| *own == instance);
                (of, life.unwrap_or(0) as u32)
            })
            .collect();
        let index = self.message(page, Way::Thread(thread.as_str().into()), to, false);
        let body = self.body(index);
        let receipt = self.pages[page].client.send_thread(Time(self.now), thread, body);
        // Somebody may have left while the server could not say so.
        let pages = &self.pages;
        self.ledger.messages[index]
            .must
            .retain(|of| pages[*of].threads.contains(thread));
        self.called(page, receipt, index);
    }
}
