use super::*;
use crate::wire::{Body, Bytes, LinkHeader};

fn message(text: &str) -> Encoded {
    Encoded::new(&Item::Peer {
        body: Body::Text(text.into()),
    })
    .expect("fits")
}

fn pump(now: Time, from: &mut Link, to: &mut Link) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    while let Some(frame) = from.poll_frame(now) {
        to.receive_bytes(now, &frame, &mut arrivals).expect("valid");
    }
    arrivals
}

fn texts(arrivals: &[Arrival]) -> Vec<String> {
    arrivals
        .iter()
        .filter_map(|arrival| match arrival {
            Arrival::Item(Item::Peer {
                body: Body::Text(text),
            }) => Some(text.clone()),
            _ => None,
        })
        .collect()
}

fn pair() -> (Link, Link) {
    let (mut a, mut b) = (Link::new(1), Link::new(1));
    a.carry(Time(0), Carrier::Channel);
    b.carry(Time(0), Carrier::Channel);
    (a, b)
}

#[test]
fn the_first_message_goes_at_once_and_the_rest_share_a_frame() {
    let (mut a, mut b) = pair();
    let now = Time(1);
    a.send(now, &message("0"), None);
    let first = a.poll_frame(now).expect("idle channel");
    for number in 1..100 {
        a.send(now, &message(&number.to_string()), None);
        assert_eq!(a.poll_frame(now), None, "the channel is busy");
    }
    a.drained();
    let mut arrivals = Vec::new();
    b.receive_bytes(now, &first, &mut arrivals).expect("valid");
    let rest = a.poll_frame(now).expect("drained");
    b.receive_bytes(now, &rest, &mut arrivals).expect("valid");
    assert_eq!(a.poll_frame(now), None);
    assert_eq!(
        texts(&arrivals),
        (0..100).map(|n| n.to_string()).collect::<Vec<_>>()
    );
}

#[test]
fn the_owner_is_told_once_that_messages_wait_for_the_channel() {
    let (mut a, _) = pair();
    let now = Time(1);
    a.send(now, &message("0"), None);
    assert!(a.poll_frame(now).is_some());
    assert!(!a.poll_awaits_channel(), "nothing waits");
    a.send(now, &message("1"), None);
    assert_eq!(a.poll_frame(now), None);
    assert_eq!([a.poll_awaits_channel(), a.poll_awaits_channel()], [true, false]);
    a.drained();
    assert!(a.poll_frame(now).is_some());
    a.send(now, &message("2"), None);
    assert_eq!(a.poll_frame(now), None);
    assert!(a.poll_awaits_channel(), "again, for another frame");
}

#[test]
fn receipts_come_back_with_the_acknowledgement() {
    let (mut a, mut b) = pair();
    a.send(Time(1), &message("hi"), Some(7));
    pump(Time(1), &mut a, &mut b);
    assert_eq!(b.poll_timeout(), Some(Time(2_001)), "no timer for it");
    assert_eq!(pump(Time(2), &mut b, &mut a), []);
    b.acknowledge(Time(2));
    assert_eq!(pump(Time(2), &mut b, &mut a), vec![Arrival::Confirmed(7)]);
    assert!(a.is_settled());
}

#[test]
fn a_change_of_carrier_repeats_and_the_receiver_drops_what_it_has() {
    let (mut a, mut b) = pair();
    a.send(Time(1), &message("one"), Some(1));
    assert_eq!(texts(&pump(Time(1), &mut a, &mut b)), ["one"]);
    a.carry(Time(2), Carrier::Relay);
    b.carry(Time(2), Carrier::Relay);
    a.send(Time(2), &message("two"), Some(2));
    assert_eq!(texts(&pump(Time(2), &mut a, &mut b)), ["two"]);
    assert_eq!(
        pump(Time(22), &mut b, &mut a),
        vec![Arrival::Confirmed(1), Arrival::Confirmed(2)]
    );
}

#[test]
fn what_may_have_arrived_is_known_when_it_is_given_up() {
    let (mut a, mut b) = pair();
    a.send(Time(1), &message("perhaps"), Some(1));
    drop(a.poll_frame(Time(1)));
    a.carry(Time(2), Carrier::None);
    a.send(Time(2), &message("never"), Some(2));
    assert_eq!(a.abandon(2), [(1, true), (2, false)]);
    a.carry(Time(3), Carrier::Channel);
    pump(Time(3), &mut a, &mut b);
    assert_eq!(b.acknowledgement(), Acknowledgement { stream: 2, next: 0 });
}

#[test]
fn a_message_that_is_dropped_in_its_middle_ends_its_stream() {
    let (mut a, mut b) = pair();
    a.send(Time(0), &message(&"x".repeat(40_000)), Some(1));
    let part = a.poll_frame(Time(0)).expect("the first part");
    b.receive_bytes(Time(0), &part, &mut Vec::new()).expect("valid");
    assert!(b.assembly_bytes() > 0);
    b.drop_assembly();
    assert_eq!((b.assembly_bytes(), b.kept()), (0, 0));
    a.drained();
    assert_eq!(texts(&pump(Time(1), &mut a, &mut b)), [""; 0]);
    assert_eq!(pump(Time(22), &mut b, &mut a), [Arrival::Bye]);
    a.abandon(2);
    a.drained();
    a.send(Time(10), &message("anew"), Some(2));
    assert_eq!(texts(&pump(Time(10), &mut a, &mut b)), ["anew"]);
}

#[test]
fn a_gap_is_asked_for_again() {
    let (mut a, mut b) = (Link::new(1), Link::new(1));
    a.carry(Time(0), Carrier::Relay);
    b.carry(Time(0), Carrier::Relay);
    a.send(Time(1), &message("lost"), None);
    drop(a.poll_frame(Time(1)));
    a.send(Time(1), &message("next"), None);
    assert_eq!(texts(&pump(Time(1), &mut a, &mut b)), [""; 0]);
    pump(Time(1), &mut b, &mut a);
    assert_eq!(texts(&pump(Time(1), &mut a, &mut b)), ["lost", "next"]);
}

#[test]
fn a_kind_of_a_later_version_is_counted_and_ignored() {
    let (_, mut b) = pair();
    let header = LinkHeader {
        stream: 1,
        first: 0,
        acknowledged: Acknowledgement::default(),
    };
    let later = Item::Unknown(Bytes(vec![0x7f, 1, 2, 3]));
    let known = Item::Peer {
        body: Body::Text("known".into()),
    };
    let frame = codec::encode(&LinkFrame::Data {
        header,
        items: vec![later, known],
    });
    let mut arrivals = Vec::new();
    b.receive_bytes(Time(0), &frame, &mut arrivals).expect("valid");
    assert_eq!(texts(&arrivals), ["known"]);
    assert_eq!(b.acknowledgement(), Acknowledgement { stream: 1, next: 2 });

    // The same in parts.
    let parts = [vec![0x7f], vec![0; 9]].map(Bytes);
    let [first, last] = parts;
    let items = vec![
        Item::Part {
            last: false,
            bytes: first,
        },
        Item::Part {
            last: true,
            bytes: last,
        },
    ];
    let header = LinkHeader { first: 2, ..header };
    let frame = codec::encode(&LinkFrame::Data { header, items });
    b.receive_bytes(Time(0), &frame, &mut arrivals).expect("valid");
    assert_eq!(arrivals.len(), 1);
    assert_eq!(b.kept(), 0);
}

#[test]
fn large_messages_travel_in_parts() {
    let (mut a, mut b) = (Link::new(1), Link::new(1));
    a.carry(Time(0), Carrier::Channel);
    b.carry(Time(0), Carrier::Channel);
    let large = "x".repeat(1_000_000);
    a.send(Time(0), &message(&large), Some(1));
    let mut arrivals = Vec::new();
    while !a.is_settled() {
        arrivals.extend(pump(Time(0), &mut a, &mut b));
        a.drained();
        b.drained();
        pump(Time(20), &mut b, &mut a);
    }
    assert_eq!(texts(&arrivals), [large]);
}

#[test]
fn silence_is_noticed() {
    let (mut a, mut b) = pair();
    assert!(!a.tick(Time(2_000), 0));
    assert_eq!(a.poll_timeout(), Some(Time(4_500)));
    let ping = a.poll_frame(Time(2_000)).expect("a ping");
    let mut arrivals = Vec::new();
    b.receive_bytes(Time(2_100), &ping, &mut arrivals).expect("valid");
    pump(Time(2_100), &mut b, &mut a);
    assert!(!a.tick(Time(4_500), 0), "it answered");
    assert!(a.tick(Time(7_100), 0), "it no longer does");
}

#[test]
fn a_page_that_slept_asks_again_first() {
    let (mut a, _) = pair();
    assert!(!a.tick(Time(2_000), 0));
    assert!(!a.tick(Time(60_000), 55_000));
    assert!(a.tick(Time(62_500), 0));
}

#[test]
fn an_acknowledgement_of_the_future_is_refused() {
    let (mut a, _) = pair();
    let frame = LinkFrame::Acknowledge {
        acknowledged: Acknowledgement { stream: 1, next: 1 },
        again: false,
    };
    assert!(
        a.receive(Time(0), Carrier::Channel, frame, 8, &mut Vec::new())
            .is_err()
    );
}
