//! What a step asks of the allocator.

use super::tests::{LIMITS, request};
use super::*;
use crate::memory::counting::during;

const SEQUENCES: usize = 4;

/// Steps of one token for each sequence.
fn steps(schedule: &mut Schedule, rows: &mut Vec<Row>, count: usize) {
    for _ in 0..count {
        assert!(schedule.admit().admitted.is_empty());
        schedule.plan_into(rows, |_| LIMITS.batch);
        assert_eq!(rows.len(), SEQUENCES);
        schedule.commit(rows);
        for row in rows.iter() {
            assert!(!schedule.chosen(row.call, 7));
            assert!(schedule.credit_left(row.call) > 0);
        }
        schedule.counts();
    }
}

/// Beside those that compute there are one that finds no room for itself, and what somebody has left behind: both are
/// looked at in each step.
#[test]
fn a_step_asks_for_nothing_but_room_for_longer_histories() {
    let limits = Limits { cells: 1010, cached: 400, context: 400, parallel: SEQUENCES + 1, ..LIMITS };
    let mut schedule = Schedule::new(limits, Vec::new());
    schedule.submit(request(9, 9, 10, 1)).unwrap();
    schedule.admit();
    let mut rows = schedule.plan(|_| LIMITS.batch);
    schedule.commit(&rows);
    schedule.close(Key::Session(9));
    assert_eq!(schedule.counts().cached, 10);
    for call in 1..=5 {
        schedule.submit(request(call, call, 1, 249)).unwrap();
    }
    assert_eq!(schedule.admit().admitted.len(), SEQUENCES, "250 cells each");
    steps(&mut schedule, &mut rows, 50);
    let ((), asked) = during(|| steps(&mut schedule, &mut rows, 100));
    assert_eq!((schedule.counts().waiting, schedule.counts().cached), (1, 10));
    // Each list of tokens has room for 64, then for 128 and for 256.
    assert!(asked.times <= 2 * SEQUENCES, "{asked:?} in 100 steps of {SEQUENCES} tokens");
}
