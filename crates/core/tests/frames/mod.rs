//! Every kind of frame, at random, within the limits.
#![allow(dead_code)]

use peerloom_core::Code;
use peerloom_core::wire::{
    Acknowledgement, Body, Bytes, Candidate, ClientFrame, Description, DescriptionKind, Hello, Id, Instance,
    Item, JsonText, LeaveReason, LinkFrame, LinkHeader, Media, Member, Name, Outcome, PeerInfo, Resume,
    Secret, ServerFrame, Signal, ThreadId, Welcome,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn name_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9 :/\"\\\\<>_-]{1,20}",
        Just("__proto__".to_owned()),
        Just("constructor".to_owned()),
        Just("\u{1f9f5}\u{202e}é".to_owned()),
        Just("x".repeat(128)),
    ]
}

pub fn name() -> impl Strategy<Value = Name> {
    name_text().prop_map(|text| Name::new(&text).expect("a name"))
}

pub fn id() -> impl Strategy<Value = Id> {
    name_text().prop_map(|text| Id::new(&text).expect("a name"))
}

fn thread() -> impl Strategy<Value = ThreadId> {
    name_text().prop_map(|text| ThreadId::new(&text).expect("a name"))
}

fn instance() -> impl Strategy<Value = Instance> {
    (0_u64..1 << 53).prop_map(Instance)
}

fn user_data() -> impl Strategy<Value = Option<JsonText>> {
    option::of(any::<String>()).prop_map(|text| text.and_then(|text| JsonText::new(&text)))
}

fn secret() -> impl Strategy<Value = Secret> {
    "[a-z0-9]{0,40}".prop_map(|text| Secret::new(&text).expect("short"))
}

fn media() -> impl Strategy<Value = Media> {
    any::<(bool, bool)>().prop_map(|(audio, video)| Media { audio, video })
}

fn info() -> impl Strategy<Value = PeerInfo> {
    (id(), instance(), user_data(), any::<bool>()).prop_map(|(id, instance, user_data, webrtc)| PeerInfo {
        id,
        instance,
        user_data,
        webrtc,
    })
}

fn member() -> impl Strategy<Value = Member> {
    (info(), user_data(), media()).prop_map(|(peer, user_data, media)| Member {
        peer,
        user_data,
        media,
    })
}

fn candidate() -> impl Strategy<Value = Candidate> {
    (
        any::<String>(),
        option::of("[0-9a-z]{0,4}"),
        option::of(any::<u16>()),
        option::of("[0-9a-z]{0,8}"),
    )
        .prop_map(|(candidate, mid, line_index, fragment)| Candidate {
            candidate: candidate.chars().take(200).collect(),
            mid,
            line_index,
            fragment,
        })
}

fn signal() -> impl Strategy<Value = Signal> {
    let kind = prop_oneof![Just(DescriptionKind::Offer), Just(DescriptionKind::Answer)];
    prop_oneof![
        (any::<u32>(), any::<u32>(), kind, any::<String>()).prop_map(|(generation, exchange, kind, sdp)| {
            Signal::Description {
                generation,
                exchange,
                description: Description { kind, sdp },
            }
        }),
        (any::<u32>(), vec(candidate(), 0..=16)).prop_map(|(generation, candidates)| Signal::Candidates {
            generation,
            candidates,
        }),
    ]
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..100).prop_map(Bytes)
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        any::<String>().prop_map(Body::Json),
        any::<String>().prop_map(Body::Text),
        bytes().prop_map(Body::Bytes),
        (any::<String>(), vec(bytes(), 0..5)).prop_map(|(json, parts)| Body::Rich { json, parts }),
    ]
}

pub fn item() -> impl Strategy<Value = Item> {
    let outcome = prop_oneof![
        body().prop_map(Outcome::Done),
        any::<String>().prop_map(Outcome::Failed),
        Just(Outcome::Unhandled),
    ];
    prop_oneof![
        body().prop_map(|body| Item::Peer { body }),
        (thread(), body()).prop_map(|(thread, body)| Item::Thread { thread, body }),
        (name(), body()).prop_map(|(name, body)| Item::Named { name, body }),
        (any::<u32>(), name(), body()).prop_map(|(request, name, body)| Item::Request {
            request,
            name,
            body
        }),
        (any::<u32>(), outcome).prop_map(|(request, outcome)| Item::Reply { request, outcome }),
        (any::<bool>(), bytes()).prop_map(|(last, bytes)| Item::Part { last, bytes }),
        Just(Item::Void),
        (
            any::<u32>(),
            option::of(name()),
            user_data(),
            any::<bool>(),
            option::of(any::<u16>())
        )
            .prop_map(
                |(number, label, metadata, ordered, max_retransmits)| Item::Connect {
                    number,
                    label,
                    metadata,
                    ordered,
                    max_retransmits,
                }
            ),
        any::<u32>().prop_map(|number| Item::Accepted { number }),
        (any::<bool>(), any::<u32>(), name()).prop_map(|(ours, number, reason)| Item::Closed {
            ours,
            number,
            reason
        }),
        (any::<u32>(), any::<bool>(), bytes()).prop_map(|(index, last, bytes)| Item::Piece {
            index,
            last,
            bytes
        }),
    ]
}

fn acknowledgement() -> impl Strategy<Value = Acknowledgement> {
    (any::<u32>(), any::<u64>()).prop_map(|(stream, next)| Acknowledgement { stream, next })
}

/// As a link makes them at its beginning, so that mutations of them get far, and at random.
fn header() -> impl Strategy<Value = LinkHeader> {
    let near =
        (0_u32..4, 0_u64..20, 0_u32..4, 0_u64..4).prop_map(|(stream, first, theirs, next)| LinkHeader {
            stream,
            first,
            acknowledged: Acknowledgement { stream: theirs, next },
        });
    let any = (any::<u32>(), any::<u64>(), acknowledgement()).prop_map(|(stream, first, acknowledged)| {
        LinkHeader {
            stream,
            first,
            acknowledged,
        }
    });
    prop_oneof![4 => near, 1 => any]
}

pub fn link_frame() -> impl Strategy<Value = LinkFrame> {
    prop_oneof![
        (header(), vec(item(), 0..6)).prop_map(|(header, items)| LinkFrame::Data { header, items }),
        (acknowledgement(), any::<bool>())
            .prop_map(|(acknowledged, again)| LinkFrame::Acknowledge { acknowledged, again }),
        any::<u32>().prop_map(|token| LinkFrame::Ping { token }),
        any::<u32>().prop_map(|token| LinkFrame::Pong { token }),
        Just(LinkFrame::Bye),
        (any::<bool>(), any::<u32>(), bytes()).prop_map(|(ours, number, frame)| LinkFrame::Connection {
            ours,
            number,
            frame
        }),
    ]
}

fn hello() -> impl Strategy<Value = Hello> {
    let resume = (secret(), any::<u64>()).prop_map(|(ticket, received)| Resume { ticket, received });
    (
        any::<u16>(),
        option::of(id()),
        option::of(secret()),
        instance(),
        user_data(),
        any::<bool>(),
        option::of(resume),
    )
        .prop_map(
            |(protocol, id, token, instance, user_data, webrtc, resume)| Hello {
                protocol,
                id,
                token,
                instance,
                user_data,
                webrtc,
                resume,
            },
        )
}

pub fn client_frame() -> impl Strategy<Value = ClientFrame> {
    let names = || vec(name(), 0..5);
    prop_oneof![
        hello().prop_map(ClientFrame::Hello),
        any::<u64>().prop_map(|received| ClientFrame::Ping { received }),
        Just(ClientFrame::Bye {}),
        (any::<u32>(), thread(), user_data(), media()).prop_map(|(op, thread, user_data, media)| {
            ClientFrame::Join {
                op,
                thread,
                user_data,
                media,
            }
        }),
        thread().prop_map(|thread| ClientFrame::Leave { thread }),
        user_data().prop_map(|user_data| ClientFrame::UserData { user_data }),
        names().prop_map(|names| ClientFrame::Tag { names }),
        names().prop_map(|names| ClientFrame::Untag { names }),
        names().prop_map(|names| ClientFrame::Watch { names }),
        names().prop_map(|names| ClientFrame::Unwatch { names }),
        (any::<u32>(), name()).prop_map(|(op, name)| ClientFrame::Find { op, name }),
        (id(), option::of(instance()), signal()).prop_map(|(to, instance, signal)| ClientFrame::Signal {
            to,
            instance,
            signal,
        }),
        (id(), option::of(instance()), link_frame()).prop_map(|(to, instance, frame)| ClientFrame::Relay {
            to,
            instance,
            frame,
        }),
    ]
}

fn welcome() -> impl Strategy<Value = Welcome> {
    (
        id(),
        secret(),
        any::<bool>(),
        any::<u64>(),
        any::<u32>(),
        any::<u32>(),
        option::of(any::<String>()),
    )
        .prop_map(
            |(id, ticket, resumed, received, grace, heartbeat, ice_servers)| Welcome {
                id,
                ticket,
                resumed,
                received,
                grace,
                heartbeat,
                ice_servers,
            },
        )
}

fn reason() -> impl Strategy<Value = LeaveReason> {
    prop_oneof![
        Just(LeaveReason::Left),
        Just(LeaveReason::TimedOut),
        Just(LeaveReason::Kicked),
        Just(LeaveReason::Replaced),
    ]
}

pub fn server_frame() -> impl Strategy<Value = ServerFrame> {
    let fault = (
        option::of(any::<u32>()),
        proptest::sample::select(Code::ALL),
        any::<String>(),
        option::of(any::<u32>()),
    );
    prop_oneof![
        welcome().prop_map(ServerFrame::Welcome),
        any::<u64>().prop_map(|received| ServerFrame::Pong { received }),
        any::<u32>().prop_map(|return_after| ServerFrame::Drain { return_after }),
        fault.prop_map(|(op, code, detail, retry_after)| ServerFrame::Fault {
            op,
            code,
            detail,
            retry_after,
        }),
        (any::<u32>(), thread(), vec(member(), 0..4)).prop_map(|(op, thread, members)| ServerFrame::Joined {
            op,
            thread,
            members,
        }),
        (thread(), member()).prop_map(|(thread, member)| ServerFrame::MemberJoined { thread, member }),
        (thread(), member()).prop_map(|(thread, member)| ServerFrame::MemberUpdated { thread, member }),
        (thread(), id(), instance(), reason()).prop_map(|(thread, id, instance, reason)| {
            ServerFrame::MemberLeft {
                thread,
                id,
                instance,
                reason,
            }
        }),
        info().prop_map(|peer| ServerFrame::PeerUpdated { peer }),
        (name(), id(), any::<bool>(), any::<bool>()).prop_map(|(name, id, online, tagged)| {
            ServerFrame::Presence {
                name,
                id,
                online,
                tagged,
            }
        }),
        (any::<u32>(), vec(info(), 0..4)).prop_map(|(op, peers)| ServerFrame::Found { op, peers }),
        (id(), instance(), signal()).prop_map(|(from, instance, signal)| ServerFrame::Signal {
            from,
            instance,
            signal,
        }),
        (id(), instance(), link_frame()).prop_map(|(from, instance, frame)| ServerFrame::Relay {
            from,
            instance,
            frame,
        }),
        (id(), option::of(instance())).prop_map(|(to, instance)| ServerFrame::Unreachable { to, instance }),
    ]
}
