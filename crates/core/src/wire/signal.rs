//! What two browsers say to each other, through the server, to make or change an `RTCPeerConnection`.

use serde::{Deserialize, Deserializer, Serialize};

use super::limits;
use super::value::{bounded, visit_str};

/// Which half of an exchange a description is (W3C WebRTC, `RTCSdpType`; a roll-back never travels).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DescriptionKind {
    /// Asks.
    Offer,
    /// Answers.
    Answer,
}

/// A session description (RFC 8866), at most [`limits::SDP`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Offer or answer.
    pub kind: DescriptionKind,
    /// The text.
    #[serde(deserialize_with = "sdp")]
    pub sdp: String,
}

/// An ICE candidate (W3C WebRTC, `RTCIceCandidateInit`). An empty line is the end of candidates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The `candidate` line.
    #[serde(deserialize_with = "line")]
    pub candidate: String,
    /// `sdpMid`.
    #[serde(default, deserialize_with = "optional_line")]
    pub mid: Option<String>,
    /// `sdpMLineIndex`.
    #[serde(default)]
    pub line_index: Option<u16>,
    /// `usernameFragment`.
    #[serde(default, deserialize_with = "optional_line")]
    pub fragment: Option<String>,
}

/// One step of negotiation. `generation` counts the `RTCPeerConnection`s that these two clients made for this link;
/// what belongs to an older one is dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// An offer, or the answer to `exchange`.
    Description {
        /// Which connection.
        generation: u32,
        /// Which offer of its sender's this is, or which offer of the receiver's it answers.
        exchange: u32,
        /// The description.
        description: Description,
    },
    /// Candidates for the descriptions of this generation.
    Candidates {
        /// Which connection.
        generation: u32,
        /// At most [`limits::CANDIDATES_PER_FRAME`].
        #[serde(deserialize_with = "candidates")]
        candidates: Vec<Candidate>,
    },
}

impl Signal {
    /// The generation of the link that it belongs to.
    #[must_use]
    pub fn generation(&self) -> u32 {
        match self {
            Self::Description { generation, .. } | Self::Candidates { generation, .. } => *generation,
        }
    }
}

fn limited(text: &str, limit: usize) -> Result<String, &'static str> {
    if text.len() <= limit {
        Ok(text.to_owned())
    } else {
        Err("a shorter text")
    }
}

fn sdp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    visit_str(deserializer, |text| limited(text, limits::SDP))
}

fn line<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    visit_str(deserializer, |text| limited(text, limits::CANDIDATE))
}

struct Line(String);
impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        line(deserializer).map(Line)
    }
}

fn optional_line<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Line>::deserialize(deserializer)?.map(|line| line.0))
}

fn candidates<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Candidate>, D::Error> {
    bounded(deserializer, limits::CANDIDATES_PER_FRAME)
}
