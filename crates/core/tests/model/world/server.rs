//! The server's side of the world: the hub, and the sockets between it and the pages.

use super::*;

impl World {
    pub fn start_server(&mut self) {
        self.server += 1;
        let mut random = Random::new(self.random.next());
        let entropy = move |bytes: &mut [u8]| {
            for byte in bytes {
                *byte = random.next() as u8;
            }
        };
        self.hub = Some(Hub::new(self.hub_config.clone(), Box::new(entropy)));
        self.say(|| "server starts".into());
    }

    /// Without a word: every socket breaks, and everything is forgotten.
    pub fn kill_server(&mut self) {
        self.say(|| "server is killed".into());
        self.hub = None;
        self.surplus.clear();
        for socket in 0..self.sockets.len() {
            if self.sockets[socket].open {
                self.sockets[socket].open = false;
                self.sockets[socket].inbox.clear();
                if !self.sockets[socket].silent {
                    let at = self.sockets[socket].to_client.max(self.now);
                    self.at(at + 1, Action::SocketClosed(socket, 1006));
                }
            }
        }
    }

    pub fn drain_server(&mut self) {
        self.say(|| "server drains".into());
        let now = Time(self.now);
        if let Some(hub) = &mut self.hub {
            hub.drain(now);
        }
        self.pump_hub();
    }

    pub(super) fn pump_hub(&mut self) {
        while let Some(output) = self.hub.as_mut().and_then(Hub::poll_output) {
            match output {
                hub::Output::Send { conns, frame, .. } => {
                    for ConnId(conn) in conns {
                        self.send_to_client(conn as usize, &frame);
                    }
                }
                hub::Output::Close { conn, code } => {
                    let socket = conn.0 as usize;
                    self.sockets[socket].open = false;
                    self.sockets[socket].inbox.clear();
                    let code = code.map_or(1000, CloseCode::number);
                    let at = self.sockets[socket].to_client.max(self.now);
                    self.at(at, Action::SocketClosed(socket, code));
                }
            }
        }
        let next = self.hub.as_ref().and_then(Hub::poll_timeout);
        if let Some(Time(at)) = next
            && self
                .hub_tick
                .is_none_or(|planned| at < planned || planned <= self.now)
        {
            self.hub_tick = Some(at);
            let server = self.server;
            self.at(at, Action::HubTick(server));
        }
    }

    fn send_to_client(&mut self, socket: usize, frame: &ServerFrame) {
        let life = (self.sockets[socket].page, self.sockets[socket].life);
        let mut frame = frame.clone();
        match &mut frame {
            ServerFrame::Welcome(welcome) => {
                if !welcome.resumed {
                    self.surplus.insert(life, 0);
                }
                let surplus = self.surplus.get(&life).copied().unwrap_or(0);
                welcome.received = (welcome.received as i64 - surplus) as u64;
            }
            ServerFrame::Pong { received } => {
                let surplus = self.surplus.get(&life).copied().unwrap_or(0);
                *received = (*received as i64 - surplus) as u64;
            }
            _ => {}
        }
        let delay = self.delay();
        let socket_state = &mut self.sockets[socket];
        if !socket_state.open || socket_state.silent {
            return;
        }
        let bytes = match socket_state.codec {
            Codec::Binary => codec::encode(&frame),
            Codec::Json => codec::encode_json(&frame).into_bytes(),
        };
        let at = socket_state.to_client.max(self.now + delay);
        socket_state.to_client = at;
        self.at(at, Action::SocketMessage(socket, bytes));
    }

    pub(super) fn server_reads(&mut self, socket: usize) {
        loop {
            let state = &mut self.sockets[socket];
            if !state.open || self.hub.is_none() || state.read_at > self.now {
                return;
            }
            let Some(bytes) = state.inbox.pop_front() else {
                return;
            };
            assert!(
                bytes.len() <= limits::CLIENT_FRAME,
                "a frame of {} bytes",
                bytes.len()
            );
            let decoded = match state.codec {
                Codec::Binary => codec::decode::<ClientFrame>(&bytes),
                Codec::Json => std::str::from_utf8(&bytes)
                    .map_err(|_| DecodeError::Malformed)
                    .and_then(codec::decode_json::<ClientFrame>),
            };
            let frame = decoded.expect("clients send frames");
            self.say(|| {
                format!(
                    "server <- {}: {frame:.160?}",
                    self.pages[self.sockets[socket].page].life_name()
                )
            });
            if let ClientFrame::Hello(hello) = frame {
                assert!(!self.sockets[socket].greeted, "a second hello");
                self.sockets[socket].greeted = true;
                if let Some(hub) = &mut self.hub {
                    hub.hello(Time(self.now), ConnId(socket as u64), hello, Grant::default());
                }
                self.pump_hub();
                continue;
            }
            let life = (self.sockets[socket].page, self.sockets[socket].life);
            if matches!(frame, ClientFrame::Signal { .. } | ClientFrame::Relay { .. }) {
                if self.random.chance(self.sloppiness.lost) {
                    *self.surplus.entry(life).or_default() -= 1;
                    continue;
                }
                if self.random.chance(self.sloppiness.late) {
                    *self.surplus.entry(life).or_default() -= 1;
                    self.after(1, 3_000, Action::Late(socket, frame));
                    continue;
                }
                if self.random.chance(self.sloppiness.doubled) {
                    *self.surplus.entry(life).or_default() += 1;
                    self.hub_takes(socket, frame.clone());
                }
            }
            self.hub_takes(socket, frame);
        }
    }

    pub(super) fn hub_takes(&mut self, socket: usize, frame: ClientFrame) {
        if let Some(hub) = &mut self.hub {
            let pause = hub.frame(Time(self.now), ConnId(socket as u64), frame);
            if pause.0 > 0 {
                self.sockets[socket].read_at = self.now + pause.0;
                self.at(self.now + pause.0, Action::ServerRead(socket));
            }
        }
        self.pump_hub();
    }

    pub(super) fn connect_socket(&mut self, page: usize) {
        assert!(self.pages[page].socket.is_none(), "two sockets at once");
        let socket = self.sockets.len();
        let state = &self.pages[page];
        let silent = state.cut_off_until > self.now;
        self.sockets.push(Socket {
            page,
            life: state.life,
            server: self.server,
            codec: state.options.codec,
            client: true,
            open: self.hub.is_some() && !silent,
            silent,
            greeted: false,
            to_client: 0,
            to_server: 0,
            read_at: 0,
            heard_at: self.now,
            inbox: VecDeque::new(),
        });
        self.pages[page].socket = Some(socket);
        if silent {
            return;
        }
        if self.hub.is_some() {
            self.after(1, 60, Action::SocketOpened(socket));
            self.after(MUTE, MUTE, Action::ServerLooks(socket));
        } else {
            self.after(1, 200, Action::SocketClosed(socket, 1006));
        }
    }

    pub(super) fn hears(&self, socket: usize) -> bool {
        let state = &self.sockets[socket];
        state.client && self.pages[state.page].life == state.life && !self.pages[state.page].gone
    }

    pub(super) fn server_lost(&mut self, socket: usize, clean: bool) {
        if self.sockets[socket].open {
            self.sockets[socket].open = false;
            self.sockets[socket].inbox.clear();
            if let Some(hub) = &mut self.hub {
                hub.disconnected(Time(self.now), ConnId(socket as u64), clean);
            }
            self.pump_hub();
        }
    }
}
