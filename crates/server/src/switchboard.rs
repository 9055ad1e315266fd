//! The hub, and which queue each of its outputs goes to.
//!
//! One lock holds both, so that the order of a socket's frames is the order of the hub's outputs. It is held for as long
//! as one input takes; decoding, encoding and writing happen outside.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use peerloom_core::hub::{ConnId, Hub, HubConfig, Output};
use peerloom_core::time::Time;
use tokio::sync::Notify;

use crate::outgoing::{Outgoing, Shared};

struct State {
    hub: Hub,
    queues: HashMap<ConnId, Arc<Outgoing>>,
    next: u64,
    alarm: Option<Time>,
}

/// Everything that sockets share.
pub struct Switchboard {
    begun: Instant,
    outgoing: usize,
    state: Mutex<State>,
    alarm_changed: Notify,
}

/// Ends the process when it is dropped by a panic that began after it was made: one in the hub. A socket's task that
/// panics takes its socket out of the hub while it unwinds, which is as good as any other end.
struct Fuse {
    unwinding: bool,
}

impl Fuse {
    fn new() -> Self {
        Self {
            unwinding: std::thread::panicking(),
        }
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.unwinding {
            // The hub was left half-way through a change that concerns all clients: nothing that it says can be
            // trusted now. A supervisor starts a new server, and the clients come back to it by themselves.
            tracing::error!("the hub has failed; the server stops");
            std::process::exit(70);
        }
    }
}

impl Switchboard {
    /// A hub without clients; each socket's queue takes `outgoing` bytes.
    #[must_use]
    pub fn new(config: HubConfig, outgoing: usize) -> Self {
        let entropy = |bytes: &mut [u8]| {
            if getrandom::fill(bytes).is_err() {
                // Without it every ticket could be guessed.
                panic!("the operating system has no random bytes");
            }
        };
        Self {
            begun: Instant::now(),
            outgoing,
            state: Mutex::new(State {
                hub: Hub::new(config, Box::new(entropy)),
                queues: HashMap::new(),
                next: 0,
                alarm: None,
            }),
            alarm_changed: Notify::new(),
        }
    }

    /// The present, as the hub counts it.
    #[must_use]
    pub fn now(&self) -> Time {
        Time(u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the hub one input, and hands its outputs on.
    pub fn input<R>(&self, input: impl FnOnce(&mut Hub, Time) -> R) -> R {
        let mut state = self.lock();
        let _fuse = Fuse::new();
        // Taken under the lock, so that it never goes back.
        let now = self.now();
        let State {
            hub, queues, alarm, ..
        } = &mut *state;
        let result = input(hub, now);
        while let Some(output) = hub.poll_output() {
            match output {
                Output::Send { conns, frame, bytes } => {
                    let shared = Shared::new(frame);
                    for queue in conns.iter().filter_map(|conn| queues.get(conn)) {
                        queue.push(shared.clone(), bytes);
                    }
                }
                Output::Close { conn, code } => {
                    if let Some(queue) = queues.get(&conn) {
                        queue.close(code);
                    }
                }
            }
        }
        let next = hub.poll_timeout();
        if *alarm != next {
            *alarm = next;
            self.alarm_changed.notify_one();
        }
        result
    }

    /// A queue for a new socket.
    #[must_use]
    pub fn connect(&self) -> (ConnId, Arc<Outgoing>) {
        let queue = Outgoing::new(self.outgoing);
        let mut state = self.lock();
        let conn = ConnId(state.next);
        state.next += 1;
        state.queues.insert(conn, queue.clone());
        (conn, queue)
    }

    /// The socket is gone, `clean` if its client said so.
    pub fn disconnect(&self, conn: ConnId, clean: bool) {
        self.lock().queues.remove(&conn);
        self.input(|hub, now| hub.disconnected(now, conn, clean));
    }

    /// Wakes the hub whenever it asked for it. Runs until it is dropped.
    pub async fn keep_time(&self) {
        loop {
            let alarm = self.lock().alarm;
            let sleep = async {
                match alarm {
                    // One more, since the present is rounded down.
                    Some(at) => tokio::time::sleep(Duration::from_millis((at - self.now()) + 1)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => self.input(|hub, now| hub.tick(now)),
                () = self.alarm_changed.notified() => {}
            }
        }
    }
}
