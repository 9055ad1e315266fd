//! What must be true in the end.

use super::*;

impl World {
    pub fn peer_state(&mut self, page: usize, of: usize) -> PeerState {
        let client = &mut self.pages[page].client;
        let key = client.peer(&id(of));
        client.peer_state(key)
    }

    /// The state that a link between these two comes to, when nothing disturbs it.
    pub fn expected_state(&self, a: usize, b: usize) -> PeerState {
        let direct = self.pages[a].options.webrtc && self.pages[b].options.webrtc && !self.is_blocked(a, b);
        if direct {
            PeerState::Live
        } else {
            PeerState::Relayed
        }
    }

    /// Whether these two share a thread, in their own eyes.
    pub fn share(&self, a: usize, b: usize) -> bool {
        self.pages[a]
            .threads
            .iter()
            .any(|thread| self.pages[b].threads.contains(thread))
    }

    /// Whether every link that there is to be is there, and nothing waits.
    pub fn is_settled(&mut self) -> bool {
        for a in 0..self.pages.len() {
            if self.pages[a].finished {
                continue;
            }
            if self.pages[a].gone
                || self.pages[a].client.state() != ClientState::Online
                || !self.pages[a].calls.is_empty()
            {
                return false;
            }
            for b in 0..self.pages.len() {
                if a != b
                    && !self.pages[b].finished
                    && self.share(a, b)
                    && self.peer_state(a, b) != self.expected_state(a, b)
                {
                    return false;
                }
            }
        }
        true
    }

    /// What is not settled, in words.
    pub fn unsettled(&mut self) -> String {
        let mut text = String::new();
        for a in 0..self.pages.len() {
            let state = self.pages[a].client.state();
            text += &format!("\npage {a}: {state:?}, calls {:?}", self.pages[a].calls);
            for b in 0..self.pages.len() {
                if a != b {
                    let is = self.peer_state(a, b);
                    let expected = self.expected_state(a, b);
                    text += &format!(
                        "\n  to {b}: {is:?}, expected {expected:?}, shares {}",
                        self.share(a, b)
                    );
                }
            }
        }
        text
    }

    /// One link between two, the same one from both sides.
    pub fn check_links(&mut self) {
        for a in 0..self.pages.len() {
            let keys: Vec<(PeerKey, u32)> = self.pages[a].connections.keys().copied().collect();
            for (key, generation) in keys {
                let own = self.pages[a].connections[&(key, generation)];
                let state = &self.connections[own];
                if !state.open {
                    continue;
                }
                let other = state.other.expect("an open channel has another side");
                let back = &self.connections[other];
                assert!(!back.closed && back.open, "a link that only one side has");
                assert_eq!(back.generation, generation, "the same generation");
            }
        }
    }
}
