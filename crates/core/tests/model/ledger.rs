//! What was sent, what became of it, and what may be missing.

use std::collections::BTreeMap;

use peerloom_core::Code;

/// One page in one life.
pub type Life = (usize, u32);

/// How a message was sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// `peer.send`, `client.send` to an id, or a request.
    Direct,
    /// `thread.send`.
    Thread(String),
    /// `connection.send`, over the connection of that label, which says what kind it is.
    Connection(String),
}

impl Way {
    fn is_ordered(&self) -> bool {
        !matches!(self, Self::Connection(label) if !label.starts_with("ordered"))
    }

    fn is_reliable(&self) -> bool {
        !matches!(self, Self::Connection(label) if label.starts_with("lossy"))
    }
}

/// Where a call stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Pending,
    Done,
    Failed(Code),
}

#[derive(Debug)]
pub struct Message {
    pub from: Life,
    pub way: Way,
    pub is_request: bool,
    /// Who may have it.
    pub to: Vec<Life>,
    /// The pages that have to have it when it is confirmed.
    pub must: Vec<usize>,
    pub at: u64,
    pub outcome: Outcome,
    pub delivered: Vec<Life>,
}

/// Everything that was sent in a world. A message's text begins with its index here.
#[derive(Debug, Default)]
pub struct Ledger {
    pub messages: Vec<Message>,
    /// The newest message that a life has of another one, each way.
    newest: BTreeMap<(Life, Life, Way), usize>,
    /// Who saw whom leave which thread, last when.
    pub departures: BTreeMap<(Life, usize, String), u64>,
    pub excused: usize,
}

impl Ledger {
    pub fn sent(&mut self, message: Message) -> usize {
        self.messages.push(message);
        self.messages.len() - 1
    }

    /// A message has come: once, in order, to somebody it was meant for.
    pub fn arrived(&mut self, at: Life, from: usize, way: &Way, text: &str) {
        let index: usize = text
            .split(' ')
            .next()
            .and_then(|index| index.parse().ok())
            .unwrap_or_else(|| panic!("not a message of this world: {text:.60}"));
        let message = &mut self.messages[index];
        assert_eq!(message.from.0, from, "message {index} came under another name");
        assert_eq!(&message.way, way, "message {index} came another way");
        assert!(
            message.to.iter().any(|to| to.0 == at.0),
            "message {index} came to {at:?}, meant for {:?}",
            message.to
        );
        if message.delivered.contains(&at) && !way.is_reliable() {
            // A server that says things twice is heard twice.
            return;
        }
        assert!(
            !message.delivered.contains(&at),
            "message {index} came twice to {at:?}"
        );
        message.delivered.push(at);
        let newest = self
            .newest
            .entry((at, message.from, way.clone()))
            .or_insert(index);
        assert!(
            *newest <= index || !way.is_ordered(),
            "message {index} came to {at:?} after {newest}, of the same sender {:?}",
            message.from
        );
        *newest = index;
    }

    pub fn departed(&mut self, observer: Life, who: usize, thread: &str, now: u64) {
        self.departures.insert((observer, who, thread.into()), now);
    }

    fn saw_leave(&self, observer: usize, who: usize, thread: &str, since: u64) -> bool {
        self.departures
            .iter()
            .any(|((by, whom, of), at)| by.0 == observer && *whom == who && of == thread && *at >= since)
    }

    /// At the end: what was confirmed has arrived, and every call has ended.
    /// `lives` are the last ones of each page.
    pub fn check(&mut self, lives: &[u32]) {
        let mut excused = 0;
        for (index, message) in self.messages.iter().enumerate() {
            assert_ne!(
                message.outcome,
                Outcome::Pending,
                "message {index} of {:?} to {:?}, sent at {}, was never settled",
                message.from,
                message.to,
                message.at
            );
            if message.outcome != Outcome::Done {
                continue;
            }
            for to in &message.must {
                if message.delivered.iter().any(|at| at.0 == *to) {
                    continue;
                }
                // A call to a thread succeeds without those who are no longer there.
                let gone = match &message.way {
                    Way::Direct | Way::Connection(_) => !message.way.is_reliable(),
                    Way::Thread(thread) => {
                        self.saw_leave(message.from.0, *to, thread, message.at)
                            || self.saw_leave(*to, message.from.0, thread, message.at)
                            || self.saw_leave(*to, *to, thread, message.at)
                            || self.saw_leave(message.from.0, message.from.0, thread, message.at)
                            || message
                                .to
                                .iter()
                                .any(|(page, life)| page == to && *life < lives[*to])
                    }
                };
                assert!(
                    gone,
                    "message {index} to {to:?} was confirmed and never came: {message:?}"
                );
                excused += 1;
            }
        }
        self.excused += excused;
    }
}
