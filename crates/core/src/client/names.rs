//! The tags that this client carries, and the names whose presence it watches.

use super::{Client, ClientState};
use crate::wire::{ClientFrame, Name, limits};

impl Client {
    /// Adds tags.
    pub fn tag(&mut self, names: Vec<Name>) {
        let new = add(&mut self.tags, names);
        self.send_names(new, |names| ClientFrame::Tag { names });
    }

    /// Removes tags.
    pub fn untag(&mut self, names: &[Name]) {
        let gone = remove(&mut self.tags, names);
        self.send_names(gone, |names| ClientFrame::Untag { names });
    }

    /// Asks for presence.
    pub fn watch(&mut self, names: Vec<Name>) {
        let new = add(&mut self.watches, names);
        self.send_names(new, |names| ClientFrame::Watch { names });
    }

    /// Ends that.
    pub fn unwatch(&mut self, names: &[Name]) {
        let gone = remove(&mut self.watches, names);
        self.send_names(gone, |names| ClientFrame::Unwatch { names });
    }

    fn send_names(&mut self, names: Vec<Name>, frame: impl Fn(Vec<Name>) -> ClientFrame) {
        // The first welcome is followed by all of them.
        if !matches!(self.state, ClientState::Idle | ClientState::Connecting) {
            for chunk in names.chunks(limits::NAMES_PER_FRAME) {
                self.session_send(frame(chunk.to_vec()));
            }
        }
    }

    /// A session began: the server is told of all.
    pub(super) fn tell_names(&mut self) {
        self.send_names(self.tags.clone(), |names| ClientFrame::Tag { names });
        self.send_names(self.watches.clone(), |names| ClientFrame::Watch { names });
    }
}

fn add(set: &mut Vec<Name>, names: Vec<Name>) -> Vec<Name> {
    let mut new = Vec::new();
    for name in names {
        if !set.contains(&name) {
            set.push(name.clone());
            new.push(name);
        }
    }
    new
}

fn remove(set: &mut Vec<Name>, names: &[Name]) -> Vec<Name> {
    let mut gone = Vec::new();
    set.retain(|name| {
        let going = names.contains(name);
        if going {
            gone.push(name.clone());
        }
        !going
    });
    gone
}
