//! What every token of every answer goes through asks nothing of the allocator once its buffers have grown.

#[path = "../../bundle/tests/support/memory.rs"]
mod memory;

use bobbin_inference::wire::{FromWorker, append_frame};
use bobbin_inference::{StopFilter, TokenLogprob, Usage, Utf8Assembler};
use memory::Watching;

#[global_allocator]
static WATCHING: Watching = Watching;

const ROOM: usize = 4096;

/// Does the work twice, the first time for its buffers to grow, and checks that the second time asks for no memory.
fn is_quiet(what: &str, mut work: impl FnMut()) {
    work();
    let ((), asked) = memory::during(work);
    assert_eq!((asked.largest, asked.peak), (0, 0), "{what}: bytes at once, and in all");
}

#[test]
fn the_allocator_is_watched() {
    // What nobody looks at, the compiler does not ask for.
    let (text, asked) = memory::during(|| std::hint::black_box("a".repeat(100)));
    assert_eq!((asked.largest, asked.peak), (text.len(), text.len()));
}

#[test]
fn characters_are_put_together_where_they_belong() {
    let mut characters = Utf8Assembler::default();
    let mut text = String::with_capacity(ROOM);
    let tokens: [&[u8]; 6] = [b" once", b"\xe2\x82", b"\xac", b"\xff", b"", "é".as_bytes()];
    is_quiet("characters", || tokens.iter().for_each(|token| characters.push(token, &mut text)));
    assert_eq!(text, " once€\u{fffd}é".repeat(2));
}

#[test]
fn text_that_may_begin_a_stop_string_is_held_back_in_place() {
    let mut text = String::with_capacity(ROOM);
    let pieces = ["once <", "/e", "lse ", "nev", "ah "];
    for stops in [&[][..], &["</end>", "never"]] {
        let mut filter = StopFilter::new(stops.iter().map(|stop| (*stop).to_owned()).collect());
        text.clear();
        is_quiet("stop strings", || pieces.iter().for_each(|piece| filter.push(piece, &mut text)));
        assert_eq!(text, pieces.concat().repeat(2), "{stops:?}");
    }
}

#[test]
fn a_piece_becomes_a_frame_in_the_buffer_that_it_leaves_from() {
    let logprob = TokenLogprob { id: 7, bytes: vec![b'a'], logprob: -0.5, top: vec![(8, vec![b'b'], -1.0)] };
    let piece = FromWorker::Piece {
        call: 300,
        text: "once upon".into(),
        usage: Usage { input_tokens: 5, output_tokens: 300, cached_tokens: 0 },
        logprobs: vec![logprob; 3],
        tool_calls: Vec::new(),
        finish: None,
    };
    let mut frames = Vec::with_capacity(ROOM);
    is_quiet("frames", || (0..4).for_each(|_| append_frame(&mut frames, &piece).unwrap()));
    assert!((8 * 40..ROOM).contains(&frames.len()), "{} bytes", frames.len());
}
