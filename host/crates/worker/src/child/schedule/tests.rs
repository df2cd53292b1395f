use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

const LIMITS: Limits =
    Limits { cells: 100, context: 40, parallel: 4, slots: 8, batch: 16, outputs: 8, queue: 10, sessions: 20 };

fn request(call: CallId, session: u64, prompt: usize, extra: u32) -> Request {
    Request {
        call,
        key: Key::Session(session),
        tokens: (0..prompt).map(|at| i32::try_from(at).unwrap() + 1000 * i32::try_from(session).unwrap()).collect(),
        placement: Placement::Append,
        extra,
        outputs: Outputs::Last,
        route: "a".into(),
        priority: Priority::Request,
        credit: 1000,
    }
}

fn schedule() -> Schedule {
    Schedule::new(LIMITS, Vec::new())
}

/// Computes steps until nobody has anything to compute, answering each output with a token; `most` tokens each.
fn run(schedule: &mut Schedule, most: usize) -> HashMap<CallId, usize> {
    let mut made: HashMap<CallId, usize> = HashMap::new();
    for _ in 0..1000 {
        schedule.admit();
        let rows = schedule.plan(LIMITS.batch);
        if rows.is_empty() {
            return made;
        }
        schedule.commit(&rows);
        for row in rows.iter().filter(|row| row.output) {
            let tokens = made.entry(row.call).or_default();
            *tokens += 1;
            let full = schedule.chosen(row.call, 7);
            if full || *tokens >= most {
                schedule.end(row.call);
            }
        }
    }
    panic!("the schedule never comes to rest");
}

#[test]
fn a_prompt_is_computed_in_chunks_and_only_its_last_token_wants_logits() {
    let mut schedule = schedule();
    schedule.submit(request(1, 1, 20, 5)).unwrap();
    assert_eq!(schedule.admit().admitted, [(1, 0)]);
    let rows = schedule.plan(16);
    assert_eq!(rows.len(), 16);
    assert!(rows.iter().all(|row| !row.output));
    schedule.commit(&rows);
    let rows = schedule.plan(16);
    assert_eq!(rows.iter().map(|row| row.pos).collect::<Vec<_>>(), [16, 17, 18, 19]);
    assert_eq!(rows.iter().filter(|row| row.output).count(), 1);
    schedule.commit(&rows);
    assert!(schedule.plan(16).is_empty(), "its next token is not chosen yet");
    assert!(!schedule.chosen(1, 5));
    let rows = schedule.plan(16);
    assert_eq!(rows.iter().map(|row| (row.pos, row.token, row.output)).collect::<Vec<_>>(), [(20, 5, true)]);
}

#[test]
fn a_new_prompt_joins_those_that_generate() {
    let mut schedule = schedule();
    schedule.submit(request(1, 1, 2, 20)).unwrap();
    schedule.admit();
    let rows = schedule.plan(16);
    schedule.commit(&rows);
    schedule.chosen(1, 5);
    schedule.submit(request(2, 2, 3, 20)).unwrap();
    schedule.admit();
    let calls: Vec<CallId> = schedule.plan(16).iter().map(|row| row.call).collect();
    assert_eq!(calls, [1, 2, 2, 2]);
}

#[test]
fn a_compute_waits_until_its_whole_answer_has_cells() {
    let mut schedule = schedule();
    for call in 1..=3 {
        schedule.submit(request(call, call, 10, 30)).unwrap();
    }
    let admitted: Vec<CallId> = schedule.admit().admitted.iter().map(|(call, _)| *call).collect();
    assert_eq!(admitted, [1, 2], "40 cells each of 100");
    assert_eq!(schedule.counts().waiting, 1);
    let made = run(&mut schedule, 5);
    assert_eq!(made, HashMap::from([(1, 5), (2, 5), (3, 5)]));
}

#[test]
fn a_reservation_is_no_larger_than_the_context() {
    let mut schedule = schedule();
    schedule.submit(request(1, 1, 10, 1_000_000)).unwrap();
    schedule.admit();
    assert_eq!(schedule.counts().reserved, 40);
}

#[test]
fn a_prompt_over_the_context_is_refused_with_both_numbers() {
    let mut schedule = schedule();
    let error = schedule.submit(request(1, 1, 41, 1)).unwrap_err();
    assert_eq!(error.reason, Reason::ContextExceeded);
    assert!(error.message.contains("41") && error.message.contains("40"), "{}", error.message);
    schedule.submit(request(2, 1, 40, 1)).unwrap();
    let made = run(&mut schedule, 5);
    assert_eq!(made, HashMap::from([(2, 1)]), "a full context ends after one token");
    let error = schedule.submit(request(3, 1, 1, 1)).unwrap_err();
    assert_eq!(error.reason, Reason::ContextExceeded, "{}", error.message);
}

#[test]
fn the_queue_is_bounded() {
    let mut schedule = schedule();
    for call in 0..10 {
        schedule.submit(request(call, call, 1, 1)).unwrap();
    }
    assert_eq!(schedule.submit(request(10, 10, 1, 1)).unwrap_err().reason, Reason::QueueFull);
}

#[test]
fn a_session_computes_one_thing_at_a_time() {
    let mut schedule = schedule();
    schedule.submit(request(1, 1, 1, 1)).unwrap();
    assert_eq!(schedule.submit(request(2, 1, 1, 1)).unwrap_err().reason, Reason::InvalidState);
}

#[test]
fn a_finished_session_continues_from_its_cells() {
    let mut schedule = schedule();
    schedule.submit(request(1, 1, 5, 10)).unwrap();
    run(&mut schedule, 3);
    assert_eq!(schedule.counts().reserved, 7, "5 of the prompt, 2 of the 3 answered");
    schedule.submit(request(2, 1, 4, 10)).unwrap();
    schedule.admit();
    let rows = schedule.plan(16);
    assert_eq!(rows.iter().map(|row| row.pos).collect::<Vec<_>>(), [7, 8, 9, 10, 11]);
}

#[test]
fn the_longest_unused_session_is_evicted_and_computed_again_when_it_continues() {
    let mut schedule = schedule();
    for call in 1..=2 {
        schedule.submit(request(call, call, 30, 8)).unwrap();
        run(&mut schedule, 8);
    }
    schedule.submit(request(3, 3, 30, 10)).unwrap();
    let admission = schedule.admit();
    let emptied: Vec<&Op> = admission.ops.iter().filter(|op| matches!(op, Op::Trim { keep: 0, .. })).collect();
    assert_eq!((admission.admitted.len(), emptied.len()), (1, 1));
    run(&mut schedule, 1);
    schedule.submit(request(4, 2, 1, 1)).unwrap();
    schedule.admit();
    assert!(schedule.plan(16).first().is_some_and(|row| row.pos > 0), "session 2 kept its cells");
    schedule.end(4);
    schedule.submit(request(5, 1, 1, 1)).unwrap();
    schedule.admit();
    assert_eq!(schedule.plan(16).first().map(|row| row.pos), Some(0), "session 1 was the longest unused");
}

#[test]
fn a_new_version_of_a_conversation_keeps_what_both_begin_with() {
    let mut schedule = schedule();
    schedule.submit(request(1, 1, 10, 5)).unwrap();
    run(&mut schedule, 2);
    let mut tokens = request(2, 1, 10, 5).tokens;
    tokens.truncate(6);
    tokens.extend([1, 2, 3]);
    let replaced = Request { tokens, placement: Placement::Replace, ..request(2, 1, 0, 5) };
    schedule.submit(replaced).unwrap();
    let admission = schedule.admit();
    assert_eq!(admission.admitted, [(2, 6)]);
    assert!(matches!(admission.ops.as_slice(), [Op::Trim { keep: 6, .. }]), "{:?}", admission.ops);
    assert_eq!(schedule.plan(16).iter().map(|row| row.pos).collect::<Vec<_>>(), [6, 7, 8]);
}

#[test]
fn the_same_conversation_again_computes_its_last_token_again() {
    let mut schedule = schedule();
    schedule.submit(request(1, 1, 10, 5)).unwrap();
    run(&mut schedule, 1);
    schedule.submit(Request { placement: Placement::Replace, ..request(2, 1, 10, 5) }).unwrap();
    assert_eq!(schedule.admit().admitted, [(2, 9)]);
    assert_eq!(schedule.plan(16).len(), 1);
}

#[test]
fn a_shared_prefix_is_not_computed_again() {
    let prefix = request(0, 1, 6, 0).tokens;
    let mut schedule = Schedule::new(LIMITS, prefix);
    schedule.submit(request(1, 1, 10, 5)).unwrap();
    let admission = schedule.admit();
    assert_eq!(admission.admitted, [(1, 6)]);
    assert!(matches!(admission.ops.as_slice(), [Op::Share { len: 6, .. }]), "{:?}", admission.ops);
    assert_eq!(schedule.plan(16).first().map(|row| row.pos), Some(6));
    schedule.submit(request(2, 2, 10, 5)).unwrap();
    assert_eq!(schedule.admit().admitted, [(2, 0)], "its tokens begin otherwise");
}

#[test]
fn a_slow_reader_pauses_its_own_sequence_only() {
    let mut schedule = schedule();
    schedule.submit(Request { credit: 1, ..request(1, 1, 1, 10) }).unwrap();
    schedule.submit(request(2, 2, 1, 10)).unwrap();
    schedule.admit();
    let rows = schedule.plan(16);
    schedule.commit(&rows);
    schedule.chosen(1, 5);
    schedule.chosen(2, 5);
    let calls = |schedule: &Schedule| schedule.plan(16).iter().map(|row| row.call).collect::<Vec<_>>();
    assert_eq!(calls(&schedule), [2]);
    assert_eq!(schedule.counts().paused, 1);
    schedule.credit(1, 1);
    assert_eq!(calls(&schedule), [1, 2]);
    assert_eq!(schedule.counts().paused, 0);
}

#[test]
fn requests_go_before_shadows() {
    let mut schedule = schedule();
    schedule.submit(Request { priority: Priority::Shadow, ..request(1, 1, 10, 30) }).unwrap();
    for call in 2..=4 {
        schedule.submit(request(call, call, 10, 30)).unwrap();
    }
    let admitted: Vec<CallId> = schedule.admit().admitted.iter().map(|(call, _)| *call).collect();
    assert_eq!(admitted, [2, 3]);
}

#[test]
fn a_busy_route_does_not_keep_another_one_out() {
    let mut schedule = schedule();
    for call in 1..=4 {
        schedule.submit(request(call, call, 10, 30)).unwrap();
    }
    schedule.submit(Request { route: "b".into(), ..request(5, 5, 10, 30) }).unwrap();
    let admitted: Vec<CallId> = schedule.admit().admitted.iter().map(|(call, _)| *call).collect();
    assert_eq!(admitted, [1, 5]);
}

#[test]
fn prompts_of_two_routes_share_a_step() {
    let mut schedule = schedule();
    schedule.submit(request(1, 1, 39, 1)).unwrap();
    schedule.submit(Request { route: "b".into(), ..request(2, 2, 4, 1) }).unwrap();
    schedule.admit();
    let rows = schedule.plan(16);
    let of = |call| rows.iter().filter(|row| row.call == call).count();
    assert_eq!((of(1), of(2)), (12, 4), "the short one is done at once, the long one takes the rest");
}

#[test]
fn a_long_prompt_is_not_overtaken_for_ever_by_short_ones() {
    let mut schedule = schedule();
    for call in 1..=2 {
        schedule.submit(request(call, call, 10, 30)).unwrap();
    }
    schedule.admit();
    schedule.submit(request(3, 3, 30, 10)).unwrap();
    schedule.submit(request(4, 4, 1, 1)).unwrap();
    assert!(schedule.admit().admitted.is_empty(), "20 cells are free, but it is not the turn of 4");
    schedule.end(1);
    let admitted: Vec<CallId> = schedule.admit().admitted.iter().map(|(call, _)| *call).collect();
    assert_eq!(admitted, [3, 4]);
}

#[test]
fn scoring_wants_all_logits_and_leaves_nothing_behind() {
    let mut schedule = schedule();
    let scored = Request { key: Key::Score(1), outputs: Outputs::All, ..request(1, 1, 20, 0) };
    schedule.submit(scored).unwrap();
    schedule.admit();
    let mut seen = Vec::new();
    loop {
        let rows = schedule.plan(16);
        if rows.is_empty() {
            break;
        }
        assert!(rows.len() <= LIMITS.outputs);
        assert!(rows.iter().all(|row| row.output));
        seen.extend(rows.iter().map(|row| row.pos));
        schedule.commit(&rows);
    }
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
    schedule.end(1);
    assert_eq!(schedule.counts(), Counts::default());
}

#[test]
fn closing_a_session_frees_everything_it_had() {
    let mut schedule = schedule();
    schedule.submit(request(1, 1, 10, 10)).unwrap();
    schedule.admit();
    assert_eq!(schedule.close(Key::Session(1)), Some(1));
    assert_eq!(schedule.counts(), Counts::default());
    assert!(matches!(schedule.admit().ops.as_slice(), [Op::Trim { keep: 0, .. }]));
    assert!(!schedule.has_history(Key::Session(1)));
}

#[test]
fn a_cancelled_compute_that_waited_leaves_no_session() {
    let mut schedule = schedule();
    schedule.submit(request(1, 1, 10, 10)).unwrap();
    schedule.end(1);
    assert_eq!(schedule.counts(), Counts::default());
    schedule.submit(request(2, 1, 10, 10)).unwrap();
}

#[test]
fn after_an_overcommit_the_newest_starts_again_and_loses_no_token() {
    let mut schedule = schedule();
    for call in 1..=2 {
        schedule.submit(request(call, call, 3, 10)).unwrap();
    }
    schedule.admit();
    let rows = schedule.plan(16);
    schedule.commit(&rows);
    schedule.chosen(1, 5);
    schedule.chosen(2, 6);
    schedule.requeue(2);
    assert_eq!(schedule.running().collect::<Vec<_>>(), [1]);
    schedule.admit();
    let again: Vec<(u32, Token)> =
        schedule.plan(16).iter().filter(|row| row.call == 2).map(|row| (row.pos, row.token)).collect();
    assert_eq!(again, [(0, 2000), (1, 2001), (2, 2002), (3, 6)]);
}

#[derive(Debug, Clone)]
enum Act {
    Submit { session: u64, prompt: usize, extra: u32, route: u8, shadow: bool, credit: u32, replace: bool },
    Score { prompt: usize },
    Steps(usize),
    Credit(u32),
    End(usize),
    Close(u64),
    Requeue,
    Lose,
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0u64..6, 0usize..45, 0u32..50, 0u8..3, any::<bool>(), 0u32..6, any::<bool>()).prop_map(
            |(session, prompt, extra, route, shadow, credit, replace)| Act::Submit {
                session, prompt, extra, route, shadow, credit, replace,
            }
        ),
        1 => (1usize..40).prop_map(|prompt| Act::Score { prompt }),
        6 => (1usize..6).prop_map(Act::Steps),
        2 => (1u32..6).prop_map(Act::Credit),
        1 => (0usize..8).prop_map(Act::End),
        1 => (0u64..6).prop_map(Act::Close),
        1 => Just(Act::Requeue),
        1 => Just(Act::Lose),
    ]
}

/// What llama.cpp would hold: the positions of each sequence.
#[derive(Default)]
struct Cache(HashMap<u32, u32>);

impl Cache {
    fn apply(&mut self, ops: &[Op]) {
        for op in ops {
            match *op {
                Op::Trim { slot, keep } => {
                    let filled = self.0.entry(slot).or_default();
                    assert!(keep <= *filled, "{op:?} of {filled}");
                    *filled = keep;
                }
                Op::Share { slot, len } => {
                    let filled = self.0.entry(slot).or_default();
                    assert_eq!(*filled, 0, "{op:?}");
                    *filled = len;
                }
            }
        }
    }

    fn step(&mut self, rows: &[Row]) {
        for row in rows {
            let filled = self.0.entry(row.slot).or_default();
            assert_eq!(*filled, row.pos, "{row:?}");
            *filled += 1;
        }
        let cells: u32 = self.0.values().sum();
        assert!(cells <= LIMITS.cells, "{cells} cells");
    }
}

fn invariants(schedule: &Schedule, rows: &[Row]) {
    assert!(rows.len() <= LIMITS.batch);
    assert!(rows.iter().filter(|row| row.output).count() <= LIMITS.outputs);
    assert!(schedule.running.len() <= LIMITS.parallel);
    let reserved: u32 = schedule.sessions.values().map(|session| session.reserved).sum();
    assert_eq!(reserved, schedule.reserved);
    assert!(reserved <= LIMITS.cells);
    let mut slots: Vec<u32> = schedule.sessions.values().filter_map(|session| session.slot).collect();
    slots.extend(&schedule.free);
    assert_eq!(slots.len(), LIMITS.slots as usize);
    assert_eq!(slots.iter().collect::<HashSet<_>>().len(), slots.len());
    for session in schedule.sessions.values() {
        assert!(session.computed <= session.reserved, "{session:?}");
        assert!(session.computed as usize <= session.tokens.len(), "{session:?}");
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_cache_is_never_overfilled_and_nobody_is_forgotten(
        acts in prop::collection::vec(acts(), 1..80), prefix in prop::bool::ANY,
    ) {
        // The prefix has cells of its own, outside these limits.
        let prefix = if prefix { request(0, 1, 5, 0).tokens } else { Vec::new() };
        let mut schedule = Schedule::new(LIMITS, prefix);
        let mut cache = Cache::default();
        let mut next = 0;
        let mut open: Vec<CallId> = Vec::new();
        let step = |schedule: &mut Schedule, cache: &mut Cache, open: &mut Vec<CallId>| {
            let admission = schedule.admit();
            cache.apply(&admission.ops);
            let rows = schedule.plan(LIMITS.batch);
            invariants(schedule, &rows);
            cache.step(&rows);
            schedule.commit(&rows);
            for row in rows.iter().filter(|row| row.output) {
                let running = schedule.running.iter().find(|running| running.call == row.call);
                let (outputs, key, extra) = running.map(|r| (r.outputs, r.key, r.extra)).unwrap();
                let done = match outputs {
                    Outputs::Last => schedule.chosen(row.call, 3) || extra <= 1,
                    Outputs::All => row.pos as usize + 1 == schedule.history(key).len(),
                };
                if done {
                    schedule.end(row.call);
                    open.retain(|call| *call != row.call);
                }
            }
            !rows.is_empty() || !admission.admitted.is_empty()
        };
        for act in acts {
            match act {
                Act::Submit { session, prompt, extra, route, shadow, credit, replace } => {
                    next += 1;
                    let request = Request {
                        route: route.to_string().into(),
                        priority: if shadow { Priority::Shadow } else { Priority::Request },
                        placement: if replace { Placement::Replace } else { Placement::Append },
                        credit,
                        ..request(next, session, prompt, extra)
                    };
                    if schedule.submit(request).is_ok() {
                        open.push(next);
                    }
                }
                Act::Score { prompt } => {
                    next += 1;
                    let scored = Request { key: Key::Score(next), outputs: Outputs::All, ..request(next, 9, prompt, 0) };
                    if schedule.submit(scored).is_ok() {
                        open.push(next);
                    }
                }
                Act::Steps(steps) => {
                    for _ in 0..steps {
                        step(&mut schedule, &mut cache, &mut open);
                    }
                }
                Act::Credit(tokens) => open.iter().for_each(|call| schedule.credit(*call, tokens)),
                Act::End(at) => {
                    if let Some(call) = open.get(at).copied() {
                        schedule.end(call);
                        open.retain(|open| *open != call);
                    }
                }
                Act::Close(session) => {
                    if let Some(call) = schedule.close(Key::Session(session)) {
                        open.retain(|open| *open != call);
                    }
                }
                Act::Requeue => {
                    let newest = schedule.running().last();
                    newest.into_iter().for_each(|call| schedule.requeue(call));
                }
                Act::Lose => {
                    let slot = schedule.sessions.values().find_map(|session| session.slot);
                    if let Some(slot) = slot {
                        cache.apply(&schedule.admit().ops);
                        cache.0.insert(slot, 0);
                        schedule.lost(slot);
                    }
                }
            }
            invariants(&schedule, &[]);
        }
        // Readers that keep up: everybody comes to an end.
        for _ in 0..2000 {
            open.iter().for_each(|call| schedule.credit(*call, 1));
            if open.is_empty() {
                break;
            }
            step(&mut schedule, &mut cache, &mut open);
        }
        prop_assert!(open.is_empty(), "{open:?} never end: {schedule:?}");
        prop_assert_eq!(schedule.counts().running + schedule.counts().waiting, 0);
    }
}
