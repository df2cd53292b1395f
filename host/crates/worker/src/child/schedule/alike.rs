//! What sequences that begin alike share.

use super::tests::{LIMITS, request, run, scope};
use super::*;

const SHARING: Limits = Limits { cached: 40, ..LIMITS };

/// A prompt of `common` tokens that all begin with, and `own` that only this session has.
fn like(call: CallId, common: i32, own: usize, extra: u32) -> Request {
    let mut tokens: Vec<Token> = (0..common).collect();
    tokens.extend(request(call, call, own, 0).tokens);
    Request { tokens, ..request(call, call, 0, extra) }
}

fn schedule() -> Schedule {
    Schedule::new(SHARING, Vec::new())
}

fn shares(ops: &[Op]) -> Vec<u32> {
    ops.iter().filter_map(|op| if let Op::Share { len, .. } = op { Some(*len) } else { None }).collect()
}

/// Submits a compute and lets it come to its end; returns how many of its tokens were computed before.
fn whole(schedule: &mut Schedule, request: Request) -> u32 {
    let (call, key) = (request.call, request.key);
    schedule.submit(request).unwrap();
    let cached = schedule.admit().admitted.iter().find(|(admitted, _)| *admitted == call).unwrap().1;
    run(schedule, 2);
    schedule.close(key);
    cached
}

#[test]
fn the_bundles_prefix_is_not_computed_again_by_anybody() {
    let mut schedule = Schedule::new(Limits { cached: 1, ..LIMITS }, request(0, 1, 6, 0).tokens);
    schedule.submit(request(1, 1, 10, 5)).unwrap();
    let admission = schedule.admit();
    assert_eq!(admission.admitted, [(1, 6)]);
    assert!(matches!(admission.ops.as_slice(), [Op::Share { from: 8, len: 6, .. }]), "{:?}", admission.ops);
    assert_eq!(schedule.plan(|_| 16).first().map(|row| row.pos), Some(6));
    assert_eq!(schedule.counts().reserved, 15, "those of the prefix count once");
    schedule.submit(Request { scope: scope("b"), ..request(2, 2, 10, 5) }).unwrap();
    assert_eq!(schedule.admit().admitted, [(2, 0)], "its tokens begin otherwise");
}

#[test]
fn a_session_that_is_over_leaves_its_beginning_to_the_next_of_its_scope() {
    let mut schedule = schedule();
    assert_eq!(whole(&mut schedule, like(1, 10, 3, 5)), 0);
    assert_eq!((schedule.counts().sequences, schedule.counts().reserved), (0, 0));
    assert_eq!(schedule.counts().cached, 14, "13 of the prompt, 1 of the 2 answered");
    let stranger = Request { scope: scope("b"), ..like(2, 10, 0, 5) };
    assert_eq!(whole(&mut schedule, stranger), 0, "another route learns nothing from its own speed");
    let somebody = Arc::new(Scope { principal: Some("p".into()), ..(*scope("a")).clone() });
    assert_eq!(whole(&mut schedule, Request { scope: somebody, ..like(3, 10, 0, 5) }), 0);
    assert_eq!(whole(&mut schedule, like(4, 10, 3, 5)), 10);
    assert_eq!(whole(&mut schedule, like(4, 10, 3, 5)), 12, "the last token is always computed");
}

#[test]
fn an_answer_is_part_of_what_the_next_turn_of_a_conversation_begins_with() {
    let mut schedule = schedule();
    whole(&mut schedule, like(1, 10, 0, 5));
    let next = Request { tokens: (0..10).chain([7, 7, 50, 51]).collect(), ..like(2, 0, 0, 5) };
    assert_eq!(whole(&mut schedule, next), 11, "the last token of an answer was never computed");
    assert_eq!(schedule.counts().cached, 15, "the first turn lives on in the second");
}

#[test]
fn what_begins_like_a_prompt_in_hand_waits_for_it_instead_of_computing_the_same() {
    let mut schedule = schedule();
    for call in 1..=3 {
        schedule.submit(like(call, 20, 2, 5)).unwrap();
    }
    schedule.submit(Request { scope: scope("b"), ..like(4, 20, 2, 5) }).unwrap();
    let calls = |admission: &Admission| admission.admitted.iter().map(|(call, _)| *call).collect::<Vec<_>>();
    let admission = schedule.admit();
    assert_eq!(calls(&admission), [1, 4], "2 and 3 wait for 1, and 4 for nobody");
    let mut rows = 0;
    loop {
        let step = schedule.plan(|_| 16);
        rows += step.len();
        schedule.commit(&step);
        let admission = schedule.admit();
        if !admission.admitted.is_empty() {
            assert_eq!(admission.admitted, [(2, 20), (3, 20)]);
            assert_eq!(shares(&admission.ops), [20, 20]);
            break;
        }
    }
    assert!(rows <= 44, "{rows}");
    assert_eq!(schedule.counts().reserved, 2 * 27 + 7 + 7, "the beginning counts once in each scope");
}

#[test]
fn whoever_waits_for_a_prompt_that_is_given_up_goes_on_with_what_there_is() {
    let mut schedule = schedule();
    schedule.submit(like(1, 20, 2, 5)).unwrap();
    schedule.submit(like(2, 20, 2, 5)).unwrap();
    schedule.submit(like(3, 20, 2, 5)).unwrap();
    schedule.admit();
    let step = schedule.plan(|_| 16);
    schedule.commit(&step);
    assert!(schedule.admit().admitted.is_empty(), "16 of 20");
    schedule.close(Key::Session(1));
    assert_eq!(schedule.admit().admitted, [(2, 16)]);
    assert_eq!(run(&mut schedule, 2), HashMap::from([(2, 2), (3, 2)]));
}

#[test]
fn a_shadow_is_never_waited_for() {
    let mut schedule = schedule();
    schedule.submit(Request { priority: Priority::Shadow, ..like(1, 20, 2, 5) }).unwrap();
    assert_eq!(schedule.admit().admitted, [(1, 0)]);
    schedule.submit(like(2, 20, 2, 5)).unwrap();
    assert_eq!(schedule.admit().admitted, [(2, 0)]);
}

#[test]
fn a_prompt_that_shares_its_beginning_needs_fewer_cells() {
    let mut schedule = schedule();
    for call in 1..=3 {
        schedule.submit(like(call, 30, 0, 10)).unwrap();
    }
    schedule.submit(request(9, 9, 35, 1)).unwrap();
    schedule.admit();
    let made = run(&mut schedule, 10);
    assert_eq!(made.values().sum::<usize>(), 35, "{made:?}");
    // Each for itself they would need 120 of 100.
    assert_eq!(schedule.counts().sequences, 4);
}

#[test]
fn what_is_over_makes_room_first_and_never_grows_over_its_bound() {
    let mut schedule = schedule();
    for call in 1..=3 {
        whole(&mut schedule, request(call, call, 30, 2));
        assert!(schedule.counts().cached <= 40, "{}", schedule.counts().cached);
    }
    schedule.submit(request(4, 4, 30, 8)).unwrap();
    run(&mut schedule, 8);
    schedule.submit(request(5, 5, 39, 1)).unwrap();
    schedule.submit(request(6, 6, 20, 1)).unwrap();
    run(&mut schedule, 1);
    assert_eq!(schedule.counts().cached, 0);
    schedule.submit(request(7, 4, 1, 1)).unwrap();
    schedule.admit();
    assert_eq!(schedule.plan(|_| 16).first().map(|row| row.pos), Some(37), "the idle session kept its cells");
}

#[test]
fn a_conversation_longer_than_the_bound_keeps_its_beginning() {
    let mut schedule = Schedule::new(Limits { cached: 12, ..LIMITS }, Vec::new());
    whole(&mut schedule, like(1, 30, 0, 2));
    assert_eq!(schedule.counts().cached, 12);
    assert_eq!(whole(&mut schedule, like(2, 30, 0, 2)), 12);
}

#[test]
fn what_is_forgotten_takes_nothing_from_those_who_share_it() {
    let mut schedule = schedule();
    whole(&mut schedule, like(1, 20, 2, 2));
    schedule.submit(like(2, 20, 2, 17)).unwrap();
    assert_eq!(schedule.admit().admitted, [(2, 20)]);
    // Needs all but what the other one holds.
    schedule.submit(request(3, 3, 21, 19)).unwrap();
    schedule.submit(request(4, 4, 20, 1)).unwrap();
    assert_eq!(schedule.admit().admitted, [(3, 0), (4, 0)]);
    assert_eq!(schedule.counts().cached, 0);
    assert_eq!(schedule.plan(|_| 16).first().map(|row| (row.call, row.pos)), Some((2, 20)));
}

#[test]
fn a_lost_sequence_computes_its_beginning_again() {
    let mut schedule = schedule();
    whole(&mut schedule, like(1, 20, 2, 2));
    schedule.submit(like(2, 20, 2, 5)).unwrap();
    let admission = schedule.admit();
    let [Op::Share { slot, .. }] = admission.ops.as_slice() else { panic!("{admission:?}") };
    schedule.lost(*slot);
    schedule.cannot_share();
    assert_eq!(schedule.admit().admitted, [(2, 0)]);
    assert_eq!(schedule.plan(|_| 16).first().map(|row| row.pos), Some(0));
    assert_eq!(run(&mut schedule, 2), HashMap::from([(2, 2)]));
}
