//! The two halves of a transfer, for `js/files.js`, which moves the bytes: what is asked for, what may be answered, and
//! what is against the rules is decided by the core's machines.

use peerloom_core::transfer::frame::{Frame, HASH};
use peerloom_core::transfer::{self, Asked, Heard, Layout};
use peerloom_core::{Code, Error};
use wasm_bindgen::prelude::*;

use crate::error;

fn layout(sizes: &[f64], piece: u32) -> Result<Layout, JsValue> {
    let sound = |size: &f64| (0.0..=transfer::TOTAL as f64).contains(size) && size.fract() == 0.0;
    let sizes: Option<Vec<u64>> = sizes
        .iter()
        .map(|size| sound(size).then_some(*size as u64))
        .collect();
    sizes
        .and_then(|sizes| Layout::new(sizes, piece))
        .ok_or_else(|| error::new(Code::TooLarge, "files that can't be offered together"))
}

fn hash(bytes: &[u8]) -> [u8; HASH] {
    let mut hash = [0; HASH];
    if bytes.len() == HASH {
        hash.copy_from_slice(bytes);
    }
    hash
}

/// The name that a file from outside is kept under.
#[wasm_bindgen(js_name = safeFileName, skip_typescript)]
pub fn safe_file_name(name: &str) -> String {
    transfer::safe_file_name(name)
}

/// Bytes of a piece where there are so many in all.
#[wasm_bindgen(js_name = pieceFor, skip_typescript)]
pub fn piece_for(total: f64) -> u32 {
    Layout::piece_for(total as u64)
}

/// The receiving half.
#[wasm_bindgen(skip_typescript)]
pub struct Receiver(transfer::Receiver);

#[wasm_bindgen]
impl Receiver {
    /// Throws `too_large` for what can't be offered together.
    #[wasm_bindgen(constructor, skip_typescript)]
    pub fn new(sizes: &[f64], piece: u32, bytes: f64) -> Result<Receiver, JsValue> {
        let layout = layout(sizes, piece)?;
        let held = layout.held(bytes as u64);
        Ok(Self(transfer::Receiver::new(layout, held)))
    }

    /// Pieces that are in their place.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn held(&self) -> u32 {
        self.0.held()
    }

    /// Whether what was here before is being compared.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn compares(&self) -> bool {
        self.0.compares()
    }

    /// What to say next.
    #[wasm_bindgen(skip_typescript)]
    pub fn poll(&mut self) -> Option<Vec<u8>> {
        self.0.poll().map(|frame| frame.encode())
    }

    /// Takes in the beginning of a message of `length` bytes. Returns where what follows begins, what it is, and its
    /// numbers: `[at, 0, piece, file, offset, length, deflated]`, `[at, 1, from, count]`, `[at, 2, paused]`, `[at, 3]`
    /// when all is confirmed, or `[at]` for nothing.
    #[wasm_bindgen(skip_typescript)]
    pub fn receive(&mut self, head: &[u8], length: usize) -> Result<Vec<f64>, JsValue> {
        let (heard, at) = self
            .0
            .receive(head, length)
            .map_err(|error| error::from_core(&error))?;
        let mut numbers = vec![at as f64];
        match heard {
            Heard::Take {
                piece,
                place,
                deflated,
                ..
            } => numbers.extend([
                0.0,
                f64::from(piece),
                place.file as f64,
                place.offset as f64,
                f64::from(place.length),
                f64::from(u8::from(deflated)),
            ]),
            Heard::Compare { from, count } => numbers.extend([1.0, f64::from(from), f64::from(count)]),
            Heard::Paused(paused) => numbers.extend([2.0, f64::from(u8::from(paused))]),
            Heard::Confirmed => numbers.push(3.0),
            Heard::Nothing => {}
        }
        Ok(numbers)
    }

    /// The next piece was checked. Throws `file_corrupt`.
    #[wasm_bindgen(skip_typescript)]
    pub fn checked(&mut self, right: bool) -> Result<(), JsValue> {
        self.0.checked(right).map_err(|error| error::from_core(&error))
    }

    /// How many of the hashes are this side's, too.
    #[wasm_bindgen(skip_typescript)]
    pub fn compared(&mut self, same: u32) {
        self.0.compared(same);
    }

    /// Asks for nothing more, or goes on.
    #[wasm_bindgen(skip_typescript)]
    pub fn pause(&mut self, paused: bool) -> Vec<u8> {
        self.0.pause(paused).encode()
    }

    /// Whether everything is there: true once.
    #[wasm_bindgen(js_name = isComplete, skip_typescript)]
    pub fn is_complete(&mut self) -> bool {
        self.0.is_complete()
    }

    /// Says so.
    #[wasm_bindgen(skip_typescript)]
    pub fn done(&self, of_all: &[u8]) -> Vec<u8> {
        Frame::Done(hash(of_all)).encode()
    }
}

/// The sending half.
#[wasm_bindgen(skip_typescript)]
pub struct Sender(transfer::Sender);

#[wasm_bindgen]
impl Sender {
    /// Throws `too_large` for what can't be offered together.
    #[wasm_bindgen(constructor, skip_typescript)]
    pub fn new(sizes: &[f64], piece: u32) -> Result<Sender, JsValue> {
        Ok(Self(transfer::Sender::new(layout(sizes, piece)?)))
    }

    /// Takes in a message: `[0, round, piece, file, offset, length]`, `[1, from, count]`, `[2, paused]`, or `[3]` and the
    /// hash of all hashes.
    #[wasm_bindgen(skip_typescript)]
    pub fn receive(&mut self, message: &[u8]) -> Result<Vec<f64>, JsValue> {
        let asked = self
            .0
            .receive(message)
            .map_err(|error: Error| error::from_core(&error))?;
        Ok(match asked {
            Asked::Piece { round, piece, place } => vec![
                0.0,
                f64::from(round),
                f64::from(piece),
                place.file as f64,
                place.offset as f64,
                f64::from(place.length),
            ],
            Asked::Hashes { from, count } => vec![1.0, f64::from(from), f64::from(count)],
            Asked::Paused(paused) => vec![2.0, f64::from(u8::from(paused))],
            Asked::Done(hash) => std::iter::once(3.0).chain(hash.map(f64::from)).collect(),
        })
    }

    /// Something that was asked for is on its way.
    #[wasm_bindgen(skip_typescript)]
    pub fn sent(&mut self) {
        self.0.sent();
    }

    /// What stands before a piece's bytes.
    #[wasm_bindgen(skip_typescript)]
    pub fn piece(&self, round: u32, piece: u32, deflated: bool, of_it: &[u8]) -> Vec<u8> {
        let hash = hash(of_it);
        Frame::Piece {
            round,
            piece,
            deflated,
            hash,
        }
        .encode()
    }

    /// What stands before hashes.
    #[wasm_bindgen(skip_typescript)]
    pub fn hashes(&self, from: u32, count: u32) -> Vec<u8> {
        Frame::Hashes { from, count }.encode()
    }

    /// Sends nothing more, or goes on.
    #[wasm_bindgen(skip_typescript)]
    pub fn pause(&self, paused: bool) -> Vec<u8> {
        if paused { Frame::Pause } else { Frame::Resume }.encode()
    }

    /// The hashes are the same.
    #[wasm_bindgen(skip_typescript)]
    pub fn confirmed(&self) -> Vec<u8> {
        Frame::Confirmed.encode()
    }
}
