//! Fuzz target of the frames between host and worker, in both directions: sound messages, changed number by number
//! and byte by byte, alone and in a stream.
//!
//! Whatever the bytes: reading comes to an end without a panic, asks for no more memory than they and the bound on
//! a frame permit, and gives the same however they are delivered; what is accepted survives the way back. The
//! `hostile.rs` that this shares with the bundle's tests says how to run more cases, and others.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests state what they expect by failing; clippy exempts only their #[test] functions"
)]

#[path = "../../bundle/tests/support/hostile.rs"]
mod hostile;
#[path = "../../bundle/tests/support/memory.rs"]
mod memory;
#[path = "frames/messages.rs"]
mod messages;

use bobbin_inference::wire::{FrameError, FromWorker, MAX_FRAME, ToWorker, decode, encode, read_frame};
use hostile::{Damage, Slow, damage, holds, numbers, places};
use memory::Watching;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::Cell;
use std::fmt::{self, Debug, Formatter};
use std::io::{self, Read};

#[global_allocator]
static WATCHING: Watching = Watching;

/// Memory for one byte of a message: the smallest elements of lists are one byte long and take so much in memory,
/// where a list says that it has as many of them as bytes are left, and again while it grows.
const PER_BYTE: usize = 80;
/// An error's text.
const BESIDES: usize = 256;
const LONGEST_MESSAGE: usize = 300;

/// One change of an encoded message.
#[derive(Debug, Clone, PartialEq)]
enum Change {
    /// The number that begins here becomes another one: a length, a count, a variant or a value.
    Number { at: usize, value: u64 },
    /// What is spliced is of another message.
    Bytes { damage: Damage, other: usize },
}

/// A changed message as a frame, which may lie about its length.
#[derive(Debug, Clone, PartialEq)]
struct Frame {
    start: usize,
    changes: Vec<Change>,
    length: Option<u32>,
}

/// Streams and messages that once failed, as they were printed, and some that are odd in ways of their own.
const KEPT: &[&[u8]] = &[
    // An announced length over the bound, and one at it with nothing behind.
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x01",
    // A number in more bytes than it needs, and one in more than it may have.
    b"\x03\x00\x00\x00\x05\x87\x00",
    b"\x0b\x00\x00\x00\x05\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    // An empty frame, and half of a length after a sound one.
    b"\x00\x00\x00\x00",
    b"\x01\x00\x00\x00\x06\x01\x00",
];

/// Bytes that are printed as Rust writes them.
struct Encoded(Vec<u8>);

impl Debug for Encoded {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let near = prop_oneof![4 => 0_usize..100, 1 => places()];
    let change = prop_oneof![
        3 => (near, numbers()).prop_map(|(at, value)| Change::Number { at, value }),
        2 => (damage(), 0_usize..32).prop_map(|(damage, other)| Change::Bytes { damage, other }),
    ];
    prop::collection::vec(change, 0..4)
}

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let announced = prop_oneof![3 => numbers().prop_map(|length| length as u32), 1 => Just(MAX_FRAME as u32 + 1)];
    let frame = (0_usize..32, changes(), prop::option::weighted(0.1, announced))
        .prop_map(|(start, changes, length)| Frame { start, changes, length });
    prop::collection::vec(frame, 0..4)
}

/// Postcard's numbers: seven bits a byte, the lowest first.
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn changed(starts: &[Vec<u8>], start: usize, changes: &[Change]) -> Vec<u8> {
    let mut bytes = starts[start % starts.len()].clone();
    for change in changes {
        match change {
            Change::Number { at, value } => {
                let at = at % bytes.len().max(1);
                let rest = &bytes[at..];
                let len = rest.iter().position(|byte| *byte < 0x80).map_or(rest.len(), |last| last + 1);
                bytes.splice(at..at + len, varint(*value));
            }
            Change::Bytes { damage, other } => damage.apply(&mut bytes, &starts[other % starts.len()]),
        }
    }
    bytes
}

fn stream(starts: &[Vec<u8>], frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        let body = changed(starts, frame.start, &frame.changes);
        bytes.extend(frame.length.unwrap_or(body.len() as u32).to_le_bytes());
        bytes.extend(body);
    }
    bytes
}

fn encoded<T: Serialize>(messages: &[T]) -> Vec<Vec<u8>> {
    messages.iter().map(|message| encode(message).unwrap()).collect()
}

fn is_short(error: &FrameError) {
    let text = error.to_string();
    assert!(!text.is_empty() && text.len() <= LONGEST_MESSAGE, "{text:?}");
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

fn decodes_soundly<T: Serialize + DeserializeOwned + Debug>(bytes: &[u8]) -> Option<T> {
    let (result, asked) = memory::during(|| decode::<T>(bytes));
    assert!(asked.peak <= PER_BYTE * bytes.len() + BESIDES, "{asked:?} for {} bytes", bytes.len());
    let message = result.inspect_err(is_short).ok()?;
    // Compared as bytes and as text: a NaN is not equal to itself.
    let again = encode(&message).unwrap();
    assert!(again.len() <= bytes.len(), "it grew on the way back: {message:?}");
    let back: T = decode(&again).unwrap();
    assert_eq!(format!("{back:?}"), format!("{message:?}"));
    assert_eq!(encode(&back).unwrap(), again);
    let longer = [bytes, &[0]].concat();
    assert!(decode::<T>(&longer).is_err(), "what follows a message was dropped");
    Some(message)
}

/// All messages until the stream ends or is unsound: each as text with the place behind it, and how it ended.
fn read_all<T: DeserializeOwned + Debug>(bytes: &[u8], most: usize) -> (Vec<(String, usize)>, Result<(), String>) {
    let left = Cell::new(bytes.len());
    let mut reader = Counted { inner: Slow::new(bytes, most), left: &left };
    let mut messages = Vec::new();
    loop {
        match read_frame::<T>(&mut reader) {
            Ok(Some(message)) => messages.push((format!("{message:?}"), bytes.len() - left.get())),
            Ok(None) => return (messages, Ok(())),
            Err(error) => {
                is_short(&error);
                return (messages, Err(error.to_string()));
            }
        }
    }
}

/// Tells how much is left.
struct Counted<'a, R> {
    inner: R,
    left: &'a Cell<usize>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left.set(self.left.get() - count);
        Ok(count)
    }
}

fn is_read_soundly<T: Serialize + DeserializeOwned + Debug>(bytes: &[u8]) {
    let (whole, asked) = memory::during(|| read_all::<T>(bytes, usize::MAX));
    // The announced length is believed up to the bound, before its bytes are there.
    assert!(asked.largest <= MAX_FRAME, "{asked:?} for {} bytes", bytes.len());
    assert_eq!(whole, read_all::<T>(bytes, 1), "byte by byte");
    // Every end, where they are few; else some of them.
    for end in (0..bytes.len()).step_by(1 + bytes.len() / 200) {
        let (messages, ended) = read_all::<T>(&bytes[..end], 3);
        let there: Vec<_> = whole.0.iter().filter(|(_, behind)| *behind <= end).cloned().collect();
        assert_eq!(messages, there, "cut after {end} bytes");
        let between = end == there.last().map_or(0, |(_, behind)| *behind);
        assert_eq!(ended.is_ok(), between, "cut after {end} bytes: {ended:?}");
    }
}

fn starts() -> [Vec<Vec<u8>>; 2] {
    [encoded(&messages::to_worker()), encoded(&messages::from_worker())]
}

#[test]
fn every_message_survives_the_way() {
    for message in messages::to_worker() {
        assert_eq!(decodes_soundly(&encode(&message).unwrap()), Some(message));
    }
    for message in messages::from_worker() {
        assert_eq!(decodes_soundly(&encode(&message).unwrap()), Some(message));
    }
}

#[test]
fn a_changed_message_is_refused_or_survives_the_way_back() {
    for starts in starts() {
        let (accepted, all) = (Cell::new(0), Cell::new(0));
        let case = (0_usize..32, changes()).prop_map(|(start, changes)| Encoded(changed(&starts, start, &changes)));
        holds(60_000, &case, |Encoded(bytes)| {
            // A frame of the other direction is damage too.
            let (to, from) = (decodes_soundly::<ToWorker>(bytes), decodes_soundly::<FromWorker>(bytes));
            accepted.set(accepted.get() + u32::from(to.is_some() || from.is_some()));
            all.set(all.get() + 1);
        });
        // Else the changes would no longer reach what they are for; few cases say nothing of that.
        let (accepted, all) = (accepted.get(), all.get());
        println!("accepted {accepted} of {all}");
        assert!(all < 10_000 || (all / 10..all * 9 / 10).contains(&accepted), "{accepted} of {all}");
    }
}

#[test]
fn a_stream_is_read_the_same_however_it_is_delivered_and_wherever_it_ends() {
    let [to_worker, from_worker] = starts();
    let case = frames().prop_map(|frames| Encoded(stream(&to_worker, &frames)));
    holds(8_000, &case, |Encoded(bytes)| is_read_soundly::<ToWorker>(bytes));
    let case = frames().prop_map(|frames| Encoded(stream(&from_worker, &frames)));
    holds(8_000, &case, |Encoded(bytes)| is_read_soundly::<FromWorker>(bytes));
}

#[test]
fn cases_that_are_kept_hold() {
    for bytes in KEPT {
        decodes_soundly::<ToWorker>(bytes);
        decodes_soundly::<FromWorker>(bytes);
        is_read_soundly::<ToWorker>(bytes);
        is_read_soundly::<FromWorker>(bytes);
    }
}

#[test]
fn lists_of_the_smallest_elements_take_memory_in_proportion() {
    let mut loaded = messages::loaded();
    // The last list, whose elements are a name and a reason: two bytes where both are empty.
    loaded.cage = Vec::new();
    let mut before = encode(&FromWorker::Ready(loaded)).unwrap();
    assert_eq!(before.pop(), Some(0));
    let count = 50_000;
    let empty = [before.clone(), varint(count), vec![0; 2 * count as usize]].concat();
    assert!(decodes_soundly::<FromWorker>(&empty).is_some());
    // It says that it has an element for each byte that is left, and has none.
    let none = [before, varint(count), vec![0xff; count as usize]].concat();
    assert!(decodes_soundly::<FromWorker>(&none).is_none());
}
