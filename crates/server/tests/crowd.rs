//! Two hundred clients over real sockets, joining, leaving, dropping and coming back at random: at the end every member
//! list is exact.
#![allow(clippy::unwrap_used)]

#[path = "../../core/tests/support/mod.rs"]
mod model;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{Model, Random};
use peerloom_core::wire::codec::Codec;
use peerloom_core::wire::{ClientFrame, Id, Secret, ServerFrame};
use support::{Client, Server, config, soon, thread};
use tokio::sync::Barrier;

const CLIENTS: usize = 200;
const THREADS: [&str; 4] = ["lobby", "__proto__", "a", "b"];

struct Visitor {
    model: Model,
    random: Random,
    codec: Codec,
    client: Option<Client>,
    resumed: usize,
    address: std::net::SocketAddr,
}

impl Visitor {
    async fn take(&mut self, frame: &ServerFrame) {
        if let ServerFrame::Welcome(welcome) = frame {
            self.resumed += usize::from(welcome.resumed);
        }
        for answer in self.model.take(frame) {
            if let Some(client) = &mut self.client {
                client.send(&answer).await;
            }
        }
    }

    async fn connect(&mut self) {
        let mut client = Client::open(self.address, self.codec).await;
        self.model.welcomed = false;
        client.send(&ClientFrame::Hello(self.model.hello())).await;
        self.client = Some(client);
        while !self.model.welcomed {
            let frame = self.client.as_mut().unwrap().next().await;
            self.take(&frame.unwrap_or_else(|code| panic!("closed with {code}")))
                .await;
        }
    }

    async fn send(&mut self, frame: ClientFrame) {
        self.model.outbox.push_back(frame.clone());
        self.client.as_mut().unwrap().send(&frame).await;
    }

    /// Takes what has arrived, and a little of what is about to.
    async fn listen(&mut self, milliseconds: u64) {
        let until = tokio::time::Instant::now() + Duration::from_millis(milliseconds);
        while let Ok(frame) = tokio::time::timeout_at(until, self.client.as_mut().unwrap().next()).await {
            self.take(&frame.unwrap_or_else(|code| panic!("closed with {code}")))
                .await;
        }
    }

    async fn settle(&mut self) {
        let received = self.model.received;
        self.client
            .as_mut()
            .unwrap()
            .send(&ClientFrame::Ping { received })
            .await;
        loop {
            let frame = self.client.as_mut().unwrap().next().await.unwrap();
            self.take(&frame).await;
            if matches!(frame, ServerFrame::Pong { .. }) {
                break;
            }
        }
    }

    async fn wander(&mut self) {
        self.connect().await;
        for _ in 0..20 {
            let name = THREADS[self.random.below(THREADS.len())];
            match self.random.below(10) {
                0..5 => {
                    let frame = self
                        .model
                        .join(name, model::json(&self.random.below(9).to_string()));
                    self.send(frame).await;
                }
                5..8 => {
                    let frame = self.model.leave(name);
                    self.send(frame).await;
                }
                8 => {
                    // Without a word; and back, perhaps before the server has noticed.
                    self.client = None;
                    self.codec = if self.random.chance(50) {
                        Codec::Binary
                    } else {
                        Codec::Json
                    };
                    self.connect().await;
                }
                _ => {
                    self.model.user_data = model::json(&self.random.below(9).to_string());
                    let user_data = self.model.user_data.clone();
                    self.send(ClientFrame::UserData { user_data }).await;
                }
            }
            let pause = self.random.below(20) as u64;
            self.listen(pause).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_member_lists_are_exact() {
    let server = Server::start(config()).await;
    let barrier = Arc::new(Barrier::new(CLIENTS));
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let mut model = Model::new(&format!("client-{n}"));
            let mut random = Random::new(n as u64 + 1);
            model.ticket = Secret::new(&format!("{:032x}", random.next()));
            let codec = if n % 2 == 0 { Codec::Binary } else { Codec::Json };
            let mut visitor = Visitor {
                model,
                random,
                codec,
                client: None,
                resumed: 0,
                address: server.address,
            };
            let barrier = barrier.clone();
            tokio::spawn(async move {
                visitor.wander().await;
                // The server has everything of this one, and then of all.
                visitor.settle().await;
                let arrived = barrier.wait();
                tokio::pin!(arrived);
                loop {
                    tokio::select! {
                        _ = &mut arrived => break,
                        () = visitor.listen(50) => {}
                    }
                }
                visitor.settle().await;
                visitor
            })
        })
        .collect();
    let mut visitors = Vec::new();
    for task in tasks {
        visitors.push(soon("a visitor", task).await.unwrap());
    }
    for name in THREADS {
        let truth: BTreeMap<Id, _> = visitors
            .iter()
            .filter_map(|visitor| {
                let model = &visitor.model;
                let data = model.threads.get(name)?;
                Some((
                    Id::new(&model.id).unwrap(),
                    (model.user_data.clone(), data.clone()),
                ))
            })
            .collect();
        assert!(truth.len() > 20, "{} in {name}", truth.len());
        for visitor in visitors
            .iter()
            .filter(|visitor| visitor.model.threads.contains_key(name))
        {
            let own = Id::new(&visitor.model.id).unwrap();
            let view = &visitor.model.view[&thread(name)];
            let seen: BTreeSet<&Id> = view.keys().collect();
            let expected: BTreeSet<&Id> = truth.keys().filter(|id| **id != own).collect();
            assert_eq!(seen, expected, "{own} in {name}");
            for (id, (_, user_data, there)) in view {
                assert_eq!(
                    (user_data, there),
                    (&truth[id].0, &truth[id].1),
                    "{id} as seen by {own} in {name}"
                );
            }
        }
    }
    let resumed: usize = visitors.iter().map(|visitor| visitor.resumed).sum();
    assert!(resumed > 200, "{resumed} resumed");
}
