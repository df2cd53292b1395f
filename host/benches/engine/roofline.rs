//! How near one stream comes to what the memory allows: each token reads all weights once.

use crate::rounds::Rounds;
use bobbin_tests::Report;
use std::hint::black_box;
use std::thread;
use std::time::Instant;

/// Beyond any cache, on each thread.
const BYTES: usize = 512 << 20;
const LOOKS: usize = 4;

/// The best of some looks at more memory than caches hold, by all cores at once, in bytes per second.
pub(crate) fn bandwidth() -> f64 {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let buffers: Vec<Vec<u64>> = (0..threads).map(|nth| vec![nth as u64 + 1; BYTES / 8]).collect();
    let look = || {
        let begun = Instant::now();
        thread::scope(|scope| {
            for buffer in &buffers {
                scope.spawn(|| black_box(buffer.iter().fold(0_u64, |sum, word| sum.wrapping_add(*word))));
            }
        });
        (threads * BYTES) as f64 / begun.elapsed().as_secs_f64()
    };
    (0..LOOKS).map(|_| look()).fold(0.0, f64::max)
}

pub(crate) fn report(rounds: &Rounds, weights: u64, report: &mut Report) {
    let gib = f64::from(1 << 30);
    let (used, most) = (rounds.one_stream() * weights as f64, rounds.bandwidth());
    let figure = format!("{:.2} of {:.1} GiB/s", used / most, most / gib);
    report.note("one stream's share of the memory's bandwidth (weights x tokens/s)", figure);
}
