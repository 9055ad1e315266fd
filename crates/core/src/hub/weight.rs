//! Roughly how many bytes a frame occupies: for budgets and bounds, without encoding it.

use crate::wire::{ClientFrame, Item, JsonText, LinkFrame, Member, Outcome, PeerInfo, ServerFrame, Signal};

/// What a frame costs besides its contents.
const FRAME: usize = 64;

/// Bytes of a frame from a client.
pub(super) fn of_client(frame: &ClientFrame) -> usize {
    FRAME
        + match frame {
            ClientFrame::Join {
                thread, user_data, ..
            } => thread.as_str().len() + text(user_data.as_ref()),
            ClientFrame::UserData { user_data } => text(user_data.as_ref()),
            ClientFrame::Tag { names }
            | ClientFrame::Untag { names }
            | ClientFrame::Watch { names }
            | ClientFrame::Unwatch { names } => names.iter().map(|name| name.as_str().len() + 16).sum(),
            ClientFrame::Signal { signal, .. } => of_signal(signal),
            ClientFrame::Relay { frame, .. } => of_link(frame),
            _ => 0,
        }
}

/// Bytes of a frame from the server.
pub(super) fn of_server(frame: &ServerFrame) -> usize {
    FRAME
        + match frame {
            ServerFrame::Welcome(welcome) => welcome.ice_servers.as_ref().map_or(0, String::len),
            ServerFrame::Fault { detail, .. } => detail.len(),
            ServerFrame::Joined { members, .. } => members.iter().map(of_member).sum(),
            ServerFrame::MemberJoined { member, .. } | ServerFrame::MemberUpdated { member, .. } => {
                of_member(member)
            }
            ServerFrame::PeerUpdated { peer } => of_peer(peer),
            ServerFrame::Presence { name, id, .. } => name.as_str().len() + id.as_str().len(),
            ServerFrame::Found { peers, .. } => peers.iter().map(of_peer).sum(),
            ServerFrame::Signal { signal, .. } => of_signal(signal),
            ServerFrame::Relay { frame, .. } => of_link(frame),
            _ => 0,
        }
}

fn text(text: Option<&JsonText>) -> usize {
    text.map_or(0, |text| text.as_str().len())
}

fn of_peer(peer: &PeerInfo) -> usize {
    32 + peer.id.as_str().len() + text(peer.user_data.as_ref())
}

fn of_member(member: &Member) -> usize {
    of_peer(&member.peer) + text(member.user_data.as_ref())
}

fn of_signal(signal: &Signal) -> usize {
    if let Signal::Description { description, .. } = signal {
        description.sdp.len()
    } else if let Signal::Candidates { candidates, .. } = signal {
        candidates
            .iter()
            .map(|candidate| candidate.candidate.len() + 96)
            .sum()
    } else {
        0
    }
}

fn of_link(frame: &LinkFrame) -> usize {
    let items = match frame {
        LinkFrame::Data { items, .. } => items,
        LinkFrame::Connection { frame, .. } => return frame.0.len(),
        _ => return 0,
    };
    // An item takes its own place in memory, even when it is one byte on the wire.
    items.len() * size_of::<Item>() + items.iter().map(of_item).sum::<usize>()
}

fn of_item(item: &Item) -> usize {
    match item {
        Item::Peer { body } => body.len(),
        Item::Thread { body, .. } | Item::Named { body, .. } | Item::Request { body, .. } => 16 + body.len(),
        Item::Reply { outcome, .. } => match outcome {
            Outcome::Done(body) => body.len(),
            Outcome::Failed(text) => text.len(),
            Outcome::Unhandled => 0,
        },
        Item::Part { bytes, .. } | Item::Piece { bytes, .. } | Item::Unknown(bytes) => bytes.0.len(),
        Item::Connect { metadata, .. } => 16 + text(metadata.as_ref()),
        Item::Offer { manifest, .. } => 16 + manifest.as_str().len(),
        Item::Accepted { .. } | Item::Closed { .. } | Item::Void => 0,
    }
}
