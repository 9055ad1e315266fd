//! What goes wrong.

use super::*;

impl World {
    pub fn drop_socket(&mut self, page: usize) {
        if let Some(socket) = self.pages[page].socket {
            self.say(|| format!("{} loses its socket", self.pages[page].life_name()));
            self.break_socket(socket);
        }
    }

    fn break_socket(&mut self, socket: usize) {
        self.sockets[socket].silent = true;
        self.after(0, 50, Action::SocketClosed(socket, 1006));
        self.after(0, 50, Action::ServerLost(socket, false));
    }

    pub fn silence_socket(&mut self, page: usize) {
        if let Some(socket) = self.pages[page].socket {
            self.say(|| format!("{}'s socket goes silent", self.pages[page].life_name()));
            self.sockets[socket].silent = true;
        }
    }

    /// One of the open connections of that page.
    pub fn some_connection(&mut self, page: usize) -> Option<usize> {
        let mut open: Vec<usize> = self.pages[page].connections.values().copied().collect();
        open.sort_unstable();
        (!open.is_empty()).then(|| open[self.random.index(open.len())])
    }

    pub fn silence_connection(&mut self, connection: usize) {
        self.say(|| format!("connection {connection} goes silent"));
        let other = self.connections[connection].other;
        for side in [Some(connection), other].into_iter().flatten() {
            self.connections[side].silent = true;
            if self.random.chance(50) {
                self.after(2_000, 6_000, Action::Suspected(side));
            }
            if self.random.chance(50) {
                self.after(5_000, 30_000, Action::Failed(side));
            }
        }
        // It may pass by itself, before anybody has noticed or long after.
        if self.random.chance(40) {
            self.after(100, 30_000, Action::Healed(connection));
        }
    }

    /// Nothing gets directly from one of these to the other, until it is called again.
    pub fn block(&mut self, a: usize, b: usize) {
        let pair = (a.min(b), a.max(b));
        if self.blocked.remove(&pair) {
            return;
        }
        self.say(|| format!("{a} and {b} are parted"));
        self.blocked.insert(pair);
        for own in 0..self.connections.len() {
            let pages = self.connections[own]
                .other
                .map(|other| (self.connections[own].page, self.connections[other].page));
            if pages == Some(pair) {
                self.silence_connection(own);
            }
        }
    }

    pub fn break_connection(&mut self, connection: usize) {
        self.say(|| format!("connection {connection} breaks"));
        let other = self.connections[connection].other;
        for side in [Some(connection), other].into_iter().flatten() {
            let cut = self.now + self.random.below(30);
            self.connections[side].cut_at = cut;
            self.after(31, 200, Action::ChannelClosed(side));
        }
    }

    pub fn fail_connection(&mut self, connection: usize) {
        self.after(0, 20, Action::Failed(connection));
    }

    pub fn sleep(&mut self, page: usize, milliseconds: u64) {
        self.say(|| format!("{} sleeps for {milliseconds}", self.pages[page].life_name()));
        self.pages[page].asleep_until = self.now + milliseconds;
    }

    /// No network for that page.
    pub fn cut_off(&mut self, page: usize, milliseconds: u64) {
        self.say(|| format!("{} is cut off for {milliseconds}", self.pages[page].life_name()));
        self.pages[page].cut_off_until = self.now + milliseconds;
        self.silence_socket(page);
        let connections: Vec<usize> = self.pages[page].connections.values().copied().collect();
        for connection in connections {
            self.silence_connection(connection);
        }
    }

    pub fn hurry(&mut self, page: usize) {
        self.pages[page].client.hurry(Time(self.now));
        self.drain(page);
    }
}
