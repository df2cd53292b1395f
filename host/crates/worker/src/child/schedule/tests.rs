use super::*;

pub(super) const LIMITS: Limits = Limits {
    cells: 100,
    cached: 0,
    alike: 4,
    context: 40,
    parallel: 4,
    slots: 8,
    batch: 16,
    outputs: 8,
    queue: 10,
    sessions: 20,
};

pub(super) fn scope(route: &str) -> Arc<Scope> {
    Arc::new(Scope { route: route.into(), principal: None, adapter: None })
}

pub(super) fn request(call: CallId, session: u64, prompt: usize, extra: u32) -> Request {
    Request {
        call,
        key: Key::Session(session),
        tokens: (0..prompt).map(|at| i32::try_from(at).unwrap() + 1000 * i32::try_from(session).unwrap()).collect(),
        placement: Placement::Append,
        extra,
        outputs: Outputs::Last,
        scope: scope("a"),
        priority: Priority::Request,
        credit: 1000,
    }
}

fn schedule() -> Schedule {
    Schedule::new(LIMITS, Vec::new())
}

impl Schedule {
    /// The rows of the next step.
    pub(super) fn plan(&mut self, prompt_budget: impl FnOnce(Demand) -> usize) -> Vec<Row> {
        let mut rows = Vec::new();
        self.plan_into(&mut rows, prompt_budget);
        rows
    }
}

/// Computes steps until nobody has anything to compute, answering each output with a token; `most` tokens each.
pub(super) fn run(schedule: &mut Schedule, most: usize) -> HashMap<CallId, usize> {
    let mut made: HashMap<CallId, usize> = HashMap::new();
    for _ in 0..1000 {
        schedule.admit();
        let rows = schedule.plan(|_| LIMITS.batch);
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
    let rows = schedule.plan(|_| 16);
    assert_eq!(rows.len(), 16);
    assert!(rows.iter().all(|row| !row.output));
    schedule.commit(&rows);
    let rows = schedule.plan(|_| 16);
    assert_eq!(rows.iter().map(|row| row.pos).collect::<Vec<_>>(), [16, 17, 18, 19]);
    assert_eq!(rows.iter().filter(|row| row.output).count(), 1);
    schedule.commit(&rows);
    assert!(schedule.plan(|_| 16).is_empty(), "its next token is not chosen yet");
    assert!(!schedule.chosen(1, 5));
    let rows = schedule.plan(|_| 16);
    assert_eq!(rows.iter().map(|row| (row.pos, row.token, row.output)).collect::<Vec<_>>(), [(20, 5, true)]);
}

#[test]
fn a_new_prompt_joins_those_that_generate() {
    let mut schedule = schedule();
    schedule.submit(request(1, 1, 2, 20)).unwrap();
    schedule.admit();
    let rows = schedule.plan(|_| 16);
    schedule.commit(&rows);
    schedule.chosen(1, 5);
    schedule.submit(request(2, 2, 3, 20)).unwrap();
    schedule.admit();
    let calls: Vec<CallId> = schedule.plan(|_| 16).iter().map(|row| row.call).collect();
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
    let rows = schedule.plan(|_| 16);
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
    assert!(schedule.plan(|_| 16).first().is_some_and(|row| row.pos > 0), "session 2 kept its cells");
    schedule.end(4);
    schedule.submit(request(5, 1, 1, 1)).unwrap();
    schedule.admit();
    assert_eq!(schedule.plan(|_| 16).first().map(|row| row.pos), Some(0), "session 1 was the longest unused");
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
    assert_eq!(schedule.plan(|_| 16).iter().map(|row| row.pos).collect::<Vec<_>>(), [6, 7, 8]);
}

#[test]
fn the_same_conversation_again_computes_its_last_token_again() {
    let mut schedule = schedule();
    schedule.submit(request(1, 1, 10, 5)).unwrap();
    run(&mut schedule, 1);
    schedule.submit(Request { placement: Placement::Replace, ..request(2, 1, 10, 5) }).unwrap();
    assert_eq!(schedule.admit().admitted, [(2, 9)]);
    assert_eq!(schedule.plan(|_| 16).len(), 1);
}

#[test]
fn a_slow_reader_pauses_its_own_sequence_only() {
    let mut schedule = schedule();
    schedule.submit(Request { credit: 1, ..request(1, 1, 1, 10) }).unwrap();
    schedule.submit(request(2, 2, 1, 10)).unwrap();
    schedule.admit();
    let rows = schedule.plan(|_| 16);
    schedule.commit(&rows);
    schedule.chosen(1, 5);
    schedule.chosen(2, 5);
    let calls = |schedule: &mut Schedule| schedule.plan(|_| 16).iter().map(|row| row.call).collect::<Vec<_>>();
    assert_eq!(calls(&mut schedule), [2]);
    assert_eq!(schedule.counts().paused, 1);
    schedule.credit(1, 1);
    assert_eq!(calls(&mut schedule), [1, 2]);
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
    schedule.submit(Request { scope: scope("b"), ..request(5, 5, 10, 30) }).unwrap();
    let admitted: Vec<CallId> = schedule.admit().admitted.iter().map(|(call, _)| *call).collect();
    assert_eq!(admitted, [1, 5]);
}

#[test]
fn prompts_of_two_routes_share_a_step() {
    let mut schedule = schedule();
    schedule.submit(request(1, 1, 39, 1)).unwrap();
    schedule.submit(Request { scope: scope("b"), ..request(2, 2, 4, 1) }).unwrap();
    schedule.admit();
    let rows = schedule.plan(|_| 16);
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
    let scored = Request { key: Key::Score(1), outputs: Outputs::From(0), ..request(1, 1, 20, 0) };
    schedule.submit(scored).unwrap();
    schedule.admit();
    let mut seen = Vec::new();
    loop {
        let rows = schedule.plan(|_| 16);
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
fn scoring_an_answer_wants_no_logits_of_its_prompt() {
    let mut schedule = schedule();
    let scored = Request { key: Key::Score(1), outputs: Outputs::From(15), ..request(1, 1, 20, 0) };
    schedule.submit(scored).unwrap();
    schedule.admit();
    let mut wanted = Vec::new();
    for (rows_of_step, budget) in [(16, 16), (4, 16)] {
        let rows = schedule.plan(|_| budget);
        assert_eq!(rows.len(), rows_of_step, "the prompt is not held up by the bound on logits");
        wanted.extend(rows.iter().filter(|row| row.output).map(|row| row.pos));
        schedule.commit(&rows);
    }
    assert_eq!(wanted, (15..20).collect::<Vec<_>>());
}

#[test]
fn a_shadows_score_waits_until_no_prompt_of_a_request_is_left() {
    let mut schedule = schedule();
    let shadow =
        Request { key: Key::Score(1), outputs: Outputs::From(0), priority: Priority::Shadow, ..request(1, 1, 10, 0) };
    schedule.submit(shadow).unwrap();
    schedule.submit(request(2, 2, 24, 1)).unwrap();
    let admitted: Vec<CallId> = schedule.admit().admitted.iter().map(|(call, _)| *call).collect();
    assert_eq!(admitted, [2, 1], "it goes last, though it came first");
    for expected in [[2, 2], [2, 1]] {
        let rows = schedule.plan(|_| 16);
        assert_eq!([rows.first().unwrap().call, rows.last().unwrap().call], expected);
        schedule.commit(&rows);
    }
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
    let rows = schedule.plan(|_| 16);
    schedule.commit(&rows);
    schedule.chosen(1, 5);
    schedule.chosen(2, 6);
    schedule.requeue(2);
    assert_eq!(schedule.running().collect::<Vec<_>>(), [1]);
    schedule.admit();
    let again: Vec<(u32, Token)> =
        schedule.plan(|_| 16).iter().filter(|row| row.call == 2).map(|row| (row.pos, row.token)).collect();
    assert_eq!(again, [(0, 2000), (1, 2001), (2, 2002), (3, 6)]);
}

#[test]
fn a_token_that_a_grammar_chooses_while_its_compute_has_lost_its_cells_is_kept() {
    for admitted_first in [false, true] {
        let mut schedule = schedule();
        schedule.submit(request(1, 1, 3, 10)).unwrap();
        schedule.admit();
        let rows = schedule.plan(|_| 16);
        schedule.commit(&rows);
        schedule.requeue(1);
        if admitted_first {
            assert_eq!(schedule.admit().admitted.len(), 1);
            assert!(schedule.plan(|_| 16).is_empty(), "its logits would be asked for twice");
        }
        assert!(!schedule.chosen(1, 6), "its context is not full");
        assert_eq!(schedule.credit_left(1), 999);
        schedule.admit();
        let again: Vec<(u32, Token, bool)> =
            schedule.plan(|_| 16).iter().map(|row| (row.pos, row.token, row.output)).collect();
        assert_eq!(again, [(0, 1000, false), (1, 1001, false), (2, 1002, false), (3, 6, true)]);
        assert_eq!(schedule.counts().reserved, 13, "3 of the prompt, 10 of the answer");
    }
}

#[test]
fn sessions_that_wait_with_all_cells_between_them_give_them_up_to_one_another() {
    let mut schedule = schedule();
    for session in 1..=3 {
        schedule.submit(request(session, session, 30, 4)).unwrap();
        run(&mut schedule, 4);
    }
    assert_eq!(schedule.counts().reserved, 99, "33 each");
    for session in 1..=3 {
        schedule.submit(request(10 + session, session, 1, 20)).unwrap();
    }
    let admission = schedule.admit();
    let admitted: Vec<CallId> = admission.admitted.iter().map(|(call, _)| *call).collect();
    assert_eq!(admitted, [11, 12], "40 cells each");
    assert!(schedule.plan(|_| 16).iter().all(|row| row.call != 11 || row.pos >= 33), "1 kept its own cells");
    assert_eq!(run(&mut schedule, 4), HashMap::from([(11, 4), (12, 4), (13, 4)]));
}

#[test]
fn an_idle_session_is_evicted_before_one_that_waits() {
    let mut schedule = schedule();
    for session in 1..=3 {
        schedule.submit(request(session, session, 30, 4)).unwrap();
        run(&mut schedule, 4);
    }
    // 1 was unused for longer than 2, but waits.
    schedule.submit(request(11, 3, 1, 6)).unwrap();
    schedule.submit(request(12, 1, 1, 1)).unwrap();
    schedule.admit();
    let first: HashMap<CallId, u32> = schedule.plan(|_| 16).iter().rev().map(|row| (row.call, row.pos)).collect();
    assert_eq!(first, HashMap::from([(11, 33), (12, 33)]));
    schedule.submit(request(13, 2, 1, 1)).unwrap();
    schedule.end(11);
    schedule.end(12);
    schedule.admit();
    assert_eq!(schedule.plan(|_| 16).first().map(|row| row.pos), Some(0), "2 gave its cells up");
}

/// Computes with credit for one token each, all of them computed and not taken.
fn paused(computes: u64) -> Schedule {
    let mut schedule = schedule();
    for call in 1..=computes {
        schedule.submit(Request { credit: 1, ..request(call, call, 1, 9) }).unwrap();
    }
    run(&mut schedule, 9);
    schedule
}

#[test]
fn readers_that_never_read_keep_nobody_out() {
    let mut schedule = paused(4);
    assert_eq!(schedule.counts().paused, 4);
    schedule.submit(request(5, 5, 1, 9)).unwrap();
    assert_eq!(run(&mut schedule, 9), HashMap::from([(5, 9)]));
    assert_eq!(schedule.counts().paused, 4);
}

#[test]
fn paused_computes_are_never_more_than_there_are_sequences() {
    let mut schedule = paused(9);
    assert_eq!((schedule.counts().paused, schedule.counts().waiting), (8, 1));
    schedule.end(3);
    assert_eq!(run(&mut schedule, 9), HashMap::from([(9, 1)]));
    assert_eq!((schedule.counts().paused, schedule.counts().waiting), (8, 0));
}

#[test]
fn when_more_readers_come_back_than_may_compute_they_take_turns() {
    let mut schedule = paused(6);
    (1..=6).for_each(|call| schedule.credit(call, 100));
    schedule.submit(request(7, 7, 1, 9)).unwrap();
    let mut made: HashMap<CallId, usize> = HashMap::new();
    for _ in 0..6 {
        assert!(schedule.admit().admitted.is_empty(), "there are more than enough");
        let rows = schedule.plan(|_| 16);
        assert_eq!(rows.len(), LIMITS.parallel);
        schedule.commit(&rows);
        for row in rows {
            *made.entry(row.call).or_default() += 1;
            schedule.chosen(row.call, 7);
        }
    }
    assert_eq!(made, (1..=6).map(|call| (call, 4)).collect());
}
