//! What the other side may learn of where this page is. With [`Privacy::Relay`] it learns the TURN server's address and
//! none of this machine's: whatever the browser writes into descriptions and candidates, nothing else is sent.
//!
//! Browsers leave out host and reflexive candidates when `iceTransportPolicy` is `relay`. A relay candidate still has a place
//! for the address that the TURN server sees this machine under, as other lines have for others; what a browser writes
//! there changes from one to the next.

/// `privacy` of the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Privacy {
    /// Every candidate.
    #[default]
    All,
    /// Relay candidates only.
    Relay,
}

/// Says nothing, where the grammar wants an address (RFC 9429, section 5.2.1).
const NOWHERE: &str = "IN IP4 0.0.0.0";

impl Privacy {
    /// The candidate that may be sent for this one, if any (RFC 8839, section 5.1). The line may begin with `a=`.
    #[must_use]
    pub fn candidate(self, line: String) -> Option<String> {
        match self {
            Self::All => Some(line),
            Self::Relay => relay_candidate(&line),
        }
    }

    /// The description that may be sent for this one.
    #[must_use]
    pub fn description(self, sdp: String) -> String {
        match self {
            Self::All => sdp,
            Self::Relay => relay_description(&sdp),
        }
    }
}

/// RFC 8839, section 5.1: who keeps the related address to himself says that it is 0.0.0.0 or ::, and its port 9.
fn relay_candidate(line: &str) -> Option<String> {
    let mut words: Vec<&str> = line.split_ascii_whitespace().collect();
    if words.get(6..8)? != ["typ", "relay"] {
        return None;
    }
    let nowhere = if words[4].contains(':') { "::" } else { "0.0.0.0" };
    for at in 9..words.len() {
        match words[at - 1] {
            "raddr" => words[at] = nowhere,
            "rport" => words[at] = "9",
            _ => {}
        }
    }
    Some(words.join(" "))
}

fn relay_description(sdp: &str) -> String {
    let mut kept = String::with_capacity(sdp.len());
    // Some readers take either character for the end of a line.
    let lines = sdp.split(['\r', '\n']).filter(|line| !line.is_empty());
    for line in lines.filter_map(relay_line) {
        kept.push_str(&line);
        kept.push_str("\r\n");
    }
    kept
}

/// The line with no address but a relay's. The default destinations of `c=` and `a=rtcp:` go too: ICE does not use them.
fn relay_line(line: &str) -> Option<String> {
    let before = if line.starts_with("c=") {
        "c="
    } else if line.starts_with("a=rtcp:") {
        "a=rtcp:9 "
    } else if line.starts_with("o=") {
        // The user's name, the session's id and its version stay.
        let (end, _) = line.match_indices(' ').nth(2)?;
        &line[..=end]
    } else if line.starts_with("a=candidate:") {
        return relay_candidate(line);
    } else if line.starts_with("a=remote-candidates:") {
        return None;
    } else {
        return Some(line.into());
    };
    Some([before, NOWHERE].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OFFER: &str = "v=0\r\n\
        o=- 8612345678901234567 2 IN IP4 192.168.1.5\r\n\
        s=-\r\n\
        t=0 0\r\n\
        a=group:BUNDLE 0\r\n\
        m=application 51000 UDP/DTLS/SCTP webrtc-datachannel\r\n\
        c=IN IP4 192.168.1.5\r\n\
        a=rtcp:51001 IN IP4 192.168.1.5\r\n\
        a=candidate:1 1 udp 2113937151 192.168.1.5 51000 typ host generation 0 network-cost 999\r\n\
        a=candidate:2 1 udp 1677729535 203.0.113.7 51000 typ srflx raddr 192.168.1.5 rport 51000\r\n\
        a=candidate:3 1 udp 33562367 198.51.100.9 60123 typ relay raddr 203.0.113.7 rport 51000 generation 0\r\n\
        a=candidate:4 1 udp 33562366 2001:db8::9 60124 typ relay raddr fd00::5 rport 51000\r\n\
        a=remote-candidates:1 192.168.1.5 51000\r\n\
        a=ice-ufrag:abcd\r\n\
        a=fingerprint:sha-256 AB:CD:EF\r\n\
        a=mid:0\r\n\
        a=sctp-port:5000\r\n";

    #[test]
    fn a_description_keeps_relays_only() {
        let expected = "v=0\r\n\
            o=- 8612345678901234567 2 IN IP4 0.0.0.0\r\n\
            s=-\r\n\
            t=0 0\r\n\
            a=group:BUNDLE 0\r\n\
            m=application 51000 UDP/DTLS/SCTP webrtc-datachannel\r\n\
            c=IN IP4 0.0.0.0\r\n\
            a=rtcp:9 IN IP4 0.0.0.0\r\n\
            a=candidate:3 1 udp 33562367 198.51.100.9 60123 typ relay raddr 0.0.0.0 rport 9 generation 0\r\n\
            a=candidate:4 1 udp 33562366 2001:db8::9 60124 typ relay raddr :: rport 9\r\n\
            a=ice-ufrag:abcd\r\n\
            a=fingerprint:sha-256 AB:CD:EF\r\n\
            a=mid:0\r\n\
            a=sctp-port:5000\r\n";
        assert_eq!(Privacy::Relay.description(OFFER.into()), expected);
        assert_eq!(Privacy::Relay.description(expected.into()), expected);
    }

    #[test]
    fn with_all_everything_passes() {
        assert_eq!(Privacy::All.description(OFFER.into()), OFFER);
        assert_eq!(Privacy::All.candidate("anything".into()), Some("anything".into()));
    }

    #[test]
    fn a_candidate_that_is_no_relay_is_not_sent() {
        for line in [
            "",
            "candidate:",
            "candidate:1 1 udp 1 10.0.0.1 5000 typ",
            "candidate:1 1 udp 1 10.0.0.1 5000 typ host",
            "candidate:1 1 udp 1 10.0.0.1 5000 typ prflx raddr 10.0.0.1 rport 1",
            "candidate:1 1 udp 1 10.0.0.1 5000 typ host typ relay",
            "candidate:1 1 udp 1 10.0.0.1 5000 kind relay",
            "candidate:typ relay",
        ] {
            assert_eq!(Privacy::Relay.candidate(line.into()), None, "{line}");
        }
    }

    /// Octets that no honest part of these texts has.
    fn own_address() -> impl Strategy<Value = String> {
        prop_oneof![
            (0..250_u8).prop_map(|last| format!("10.77.{last}.77")),
            (0..999_u16).prop_map(|last| format!("fd77:{last}::77")),
            (0..999_u16).prop_map(|name| format!("77-{name}-77.local")),
        ]
    }

    fn port() -> impl Strategy<Value = u16> {
        7_000..7_700_u16
    }

    /// A line that names one of this machine's addresses.
    fn tell_tale() -> impl Strategy<Value = String> {
        let kind = prop_oneof![
            Just("host"),
            Just("srflx"),
            Just("prflx"),
            Just("Relay"),
            Just("")
        ];
        prop_oneof![
            (kind, own_address(), own_address(), port()).prop_map(|(kind, at, base, port)| format!(
                "a=candidate:1 1 udp 1 {at} {port} typ {kind} raddr {base} rport {port}"
            )),
            own_address().prop_map(|at| format!("c=IN IP4 {at}/127")),
            own_address().prop_map(|at| format!("c={at}")),
            own_address().prop_map(|at| format!("o=- 1 2 IN IP6 {at}")),
            own_address().prop_map(|at| format!("o={at}")),
            (own_address(), port()).prop_map(|(at, port)| format!("a=rtcp:{port} IN IP6 {at}")),
            (own_address(), port()).prop_map(|(at, port)| format!("a=remote-candidates:1 {at} {port}")),
        ]
    }

    fn relay() -> impl Strategy<Value = String> {
        let extension = prop_oneof![
            Just(" generation 0"),
            Just(" network-cost 10"),
            Just(" tcptype passive")
        ];
        (own_address(), port(), proptest::collection::vec(extension, 0..4)).prop_map(
            |(base, port, extensions)| {
                let extensions = extensions.concat();
                format!(
                    "a=candidate:5 1 tcp 9 198.51.100.9 3478 typ relay raddr {base} rport {port}{extensions}"
                )
            },
        )
    }

    /// A line that says nothing about addresses.
    fn innocent() -> impl Strategy<Value = String> {
        prop_oneof![
            "[vstmba]=[a-z][a-zA-Z0-6:/ +-]{0,40}".prop_filter("speaks of addresses", |line| {
                !line.starts_with("a=rtcp:") && !line.starts_with("a=candidate:")
            }),
            "m=(audio|video) 9 UDP/TLS/RTP/SAVPF [0-6]{2}",
        ]
    }

    fn ending() -> impl Strategy<Value = &'static str> {
        prop_oneof![Just("\r\n"), Just("\n"), Just("\r"), Just("\r\r\n")]
    }

    proptest! {
        #[test]
        fn no_own_address_leaves_and_the_rest_does(
            lines in proptest::collection::vec((prop_oneof![innocent(), tell_tale(), relay()], ending()), 0..30)
        ) {
            let sdp: String = lines.iter().map(|(line, ending)| format!("{line}{ending}")).collect();
            let kept = Privacy::Relay.description(sdp);
            prop_assert!(!kept.contains("77"), "{}", kept);
            let is_innocent = |line: &&str| !["a=candidate", "a=r", "c=", "o="].iter().any(|tale| line.starts_with(tale));
            let sent: Vec<&str> = lines.iter().map(|(line, _)| line.as_str()).filter(is_innocent).collect();
            let got: Vec<&str> = kept.split_terminator("\r\n").filter(is_innocent).collect();
            prop_assert_eq!(got, sent);
            let relays = lines.iter().filter(|(line, _)| line.contains(" typ relay ")).count();
            prop_assert_eq!(kept.matches(" typ relay raddr 0.0.0.0 rport 9").count(), relays);
        }

        #[test]
        fn a_relay_candidate_loses_its_related_address_only(line in relay()) {
            let kept = Privacy::Relay.candidate(line.clone()).expect("a relay");
            prop_assert!(!kept.contains("77"));
            let mut words = line.split(' ').zip(kept.split(' ')).enumerate();
            prop_assert!(words.all(|(at, (before, after))| [9, 11].contains(&at) || before == after));
            prop_assert_eq!(line.split(' ').count(), kept.split(' ').count());
        }

        #[test]
        fn hostile_text_is_no_panic_and_grows_little(text in "\\PC{0,300}", sdp in "([oca]=|candidate:|typ relay|raddr|rport|[ :\r\n1.é]){0,80}") {
            for text in [text, sdp] {
                let kept = Privacy::Relay.description(text.clone());
                prop_assert!(kept.len() <= (text.len() + 2) * 10);
                prop_assert_eq!(Privacy::Relay.description(kept.clone()), kept);
                let _ = Privacy::Relay.candidate(text);
            }
        }
    }
}
