//! Both halves of a transfer against each other: whatever is cut off, comes wrong, or has changed, the receiver ends with
//! what the sender has, and little comes twice.

use std::collections::VecDeque;

use peerloom_core::Code;
use peerloom_core::transfer::frame::{Frame, HASH};
use peerloom_core::transfer::{Asked, Heard, Layout, Receiver, Sender, WINDOW};
use proptest::prelude::*;

const PIECE: u32 = 64 * 1024;

/// What happens to the next message.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    /// The connection ends, with all that is on its way.
    Cut,
    /// The piece comes with other bytes than its hash says.
    Wrong,
    /// The receiver's disk takes nothing until this many messages later.
    Slow(u8),
    /// Both look the other way for a while.
    Pause,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        60 => Just(Fate::Arrives),
        3 => Just(Fate::Cut),
        2 => Just(Fate::Wrong),
        3 => (1..20_u8).prop_map(Fate::Slow),
        2 => Just(Fate::Pause),
    ];
    proptest::collection::vec(fate, 0..400)
}

/// A piece's hash, here its number and what its file is.
fn hash(piece: u32, file: u8) -> [u8; HASH] {
    let mut hash = [file; HASH];
    hash[..4].copy_from_slice(&piece.to_le_bytes());
    hash
}

struct Scene {
    layout: Layout,
    /// What the receiver has: hashes of pieces.
    disk: Vec<[u8; HASH]>,
    sent: u32,
    cuts: u32,
    wrongs: u32,
}

impl Scene {
    /// One connection's life; true when all is confirmed.
    fn connect(&mut self, file: u8, fates: &mut impl Iterator<Item = Fate>) -> Result<bool, Code> {
        let held = self.disk.len() as u32;
        let mut receiver = Receiver::new(self.layout.clone(), held);
        let mut sender = Sender::new(self.layout.clone());
        let mut to_sender: VecDeque<Vec<u8>> = VecDeque::new();
        let mut to_receiver: VecDeque<(Vec<u8>, usize, bool)> = VecDeque::new();
        let mut to_check: VecDeque<(u32, u32, bool)> = VecDeque::new();
        let mut busy = 0;
        let mut round = 0;
        for _ in 0..100_000 {
            while let Some(frame) = receiver.poll() {
                to_sender.push_back(frame.encode());
            }
            if receiver.is_complete() {
                assert_eq!(self.disk.len() as u32, self.layout.pieces());
                to_sender.push_back(Frame::Done([file; HASH]).encode());
            }
            if let Some(message) = to_sender.pop_front() {
                let answer = match sender.receive(&message).expect("within reason") {
                    Asked::Piece { round, piece, place } => {
                        self.sent += 1;
                        let fate = fates.next().unwrap_or(Fate::Arrives);
                        match fate {
                            Fate::Cut => {
                                self.cuts += 1;
                                return Ok(false);
                            }
                            Fate::Slow(for_so_many) => busy = for_so_many,
                            Fate::Pause => {
                                let pause = receiver.pause(true);
                                assert!(receiver.poll().is_none());
                                to_sender.push_back(pause.encode());
                                to_sender.push_back(receiver.pause(false).encode());
                            }
                            Fate::Wrong => self.wrongs += 1,
                            Fate::Arrives => {}
                        }
                        let wrong = matches!(fate, Fate::Wrong);
                        let frame = Frame::Piece {
                            round,
                            piece,
                            deflated: false,
                            hash: hash(piece, file),
                        };
                        Some((frame.encode(), place.length as usize, wrong))
                    }
                    Asked::Hashes { from, count } => Some((
                        Frame::Hashes { from, count }.encode(),
                        HASH * count as usize,
                        false,
                    )),
                    Asked::Done(_) => Some((Frame::Confirmed.encode(), 0, false)),
                    Asked::Paused(_) => None,
                };
                sender.sent();
                to_receiver.extend(answer);
            }
            if let Some((message, rest, wrong)) = to_receiver.pop_front() {
                let (heard, _) = receiver
                    .receive(&message, message.len() + rest)
                    .map_err(|error| error.code)?;
                match heard {
                    Heard::Take { piece, .. } => to_check.push_back((round, piece, wrong)),
                    Heard::Compare { from, count } => {
                        let same = (from..from + count)
                            .take_while(|piece| self.disk[*piece as usize] == hash(*piece, file))
                            .count();
                        if same < count as usize {
                            self.disk.truncate(from as usize + same);
                        }
                        receiver.compared(same as u32);
                    }
                    Heard::Confirmed => return Ok(true),
                    Heard::Paused(_) | Heard::Nothing => {}
                }
            }
            let ahead = to_check.iter().filter(|(of, ..)| *of == round).count();
            assert!(
                ahead as u64 * u64::from(PIECE) <= WINDOW,
                "no more comes than was asked for"
            );
            if busy > 0 {
                busy -= 1;
            } else if let Some((of, piece, wrong)) = to_check.pop_front()
                && of == round
            {
                if wrong {
                    round += 1;
                } else {
                    assert_eq!(piece as usize, self.disk.len(), "in order");
                    self.disk.push(hash(piece, file));
                }
                receiver.checked(!wrong).map_err(|error| error.code)?;
            }
        }
        panic!("no end");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn every_transfer_ends_whatever_happens(
        sizes in proptest::collection::vec(0..40 * u64::from(PIECE), 1..6),
        fates in fates(),
        changes in any::<bool>(),
    ) {
        let layout = Layout::new(sizes, PIECE).expect("sound");
        let pieces = layout.pieces();
        let mut scene = Scene { layout, disk: Vec::new(), sent: 0, cuts: 0, wrongs: 0 };
        let mut fates = fates.into_iter();
        let mut file = 1;
        loop {
            match scene.connect(file, &mut fates) {
                Ok(true) => break,
                // The file is another one when its owner comes back, once.
                Ok(false) if changes && file == 1 => file = 2,
                Ok(false) => {}
                // Wrong twice: the sender is to blame, and the receiver may accept again.
                Err(code) => prop_assert_eq!(code, Code::FileCorrupt),
            }
        }
        let expected: Vec<_> = (0..pieces).map(|piece| hash(piece, file)).collect();
        prop_assert_eq!(&scene.disk, &expected);
        let window = (WINDOW / u64::from(PIECE)) as u32;
        let whole_again = if changes { pieces } else { 0 };
        let most = pieces + whole_again + (scene.cuts + scene.wrongs) * window;
        prop_assert!(scene.sent <= most, "{} of {pieces} sent, {} cuts", scene.sent, scene.cuts);
    }
}
