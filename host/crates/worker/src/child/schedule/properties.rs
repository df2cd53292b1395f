//! What holds whatever happens.

use super::tests::{LIMITS, request, scope};
use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

#[derive(Debug, Clone, Copy)]
enum Act {
    Submit {
        session: u64,
        kind: u8,
        prompt: usize,
        extra: u32,
        route: u8,
        shadow: bool,
        credit: u32,
        replace: bool,
    },
    /// Every session says one token more.
    Continue {
        extra: u32,
    },
    /// An answer is scored, which wants no logits before `given`.
    Score {
        prompt: usize,
        given: usize,
    },
    Steps(usize),
    /// Everybody comes to an end.
    Finish,
    Credit(u32),
    End(usize),
    Close(u64),
    Requeue,
    Lose,
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0u64..9, 0u8..3, 0usize..42, 0u32..50, 0u8..2, prop::bool::weighted(0.1), 0u32..6, any::<bool>()).prop_map(
            |(session, kind, prompt, extra, route, shadow, credit, replace)| Act::Submit {
                session, kind, prompt, extra, route, shadow, credit, replace,
            }
        ),
        2 => (0u32..50).prop_map(|extra| Act::Continue { extra }),
        1 => (1usize..40, 0usize..40).prop_map(|(prompt, given)| Act::Score { prompt, given }),
        6 => (1usize..6).prop_map(Act::Steps),
        2 => Just(Act::Finish),
        2 => (1u32..6).prop_map(Act::Credit),
        1 => (0usize..8).prop_map(Act::End),
        2 => (0u64..9).prop_map(Act::Close),
        1 => Just(Act::Requeue),
        1 => Just(Act::Lose),
    ]
}

/// What llama.cpp would hold: the cells of each sequence id, and the token in each.
#[derive(Default)]
struct Cache {
    slots: HashMap<u32, Vec<(usize, Token)>>,
    made: usize,
}

impl Cache {
    fn apply(&mut self, ops: &[Op]) {
        for op in ops {
            match *op {
                Op::Trim { slot, keep } => {
                    let cells = self.slots.entry(slot).or_default();
                    assert!(keep as usize <= cells.len(), "{op:?} of {}", cells.len());
                    cells.truncate(keep as usize);
                }
                Op::Share { from, slot, len } => {
                    let shared = self.slots[&from][..len as usize].to_vec();
                    let before = self.slots.insert(slot, shared);
                    assert!(before.is_none_or(|cells| cells.is_empty()), "{op:?}");
                }
            }
        }
    }

    fn push(&mut self, slot: u32, token: Token) {
        self.made += 1;
        self.slots.entry(slot).or_default().push((self.made, token));
    }

    fn step(&mut self, rows: &[Row]) {
        for row in rows {
            assert_eq!(self.slots.get(&row.slot).map_or(0, Vec::len), row.pos as usize, "{row:?}");
            self.push(row.slot, row.token);
        }
        assert!(self.held() <= LIMITS.cells as usize, "{} cells", self.held());
    }

    fn held(&self) -> usize {
        self.slots.values().flatten().map(|(cell, _)| cell).collect::<HashSet<_>>().len()
    }
}

/// Prompts of one kind begin alike.
fn beginning(kind: u8, len: usize) -> Vec<Token> {
    (0..len).map(|at| i32::try_from(at).unwrap() + 1000 * i32::from(kind)).collect()
}

/// A worker around the schedule.
struct World {
    schedule: Schedule,
    cache: Cache,
    next: CallId,
    open: Vec<CallId>,
    /// Computes whose next token is chosen elsewhere; it is there before the next step but one.
    choosing: Vec<CallId>,
}

impl World {
    fn new(prefix: bool, cached: u32) -> Self {
        let prefix = if prefix { beginning(1, 5) } else { Vec::new() };
        let mut cache = Cache::default();
        prefix.iter().for_each(|token| cache.push(LIMITS.slots, *token));
        let schedule = Schedule::new(Limits { cached, ..LIMITS }, prefix);
        Self { schedule, cache, next: 0, open: Vec::new(), choosing: Vec::new() }
    }

    fn submit(&mut self, request: Request) {
        let call = request.call;
        if self.schedule.submit(request).is_ok() {
            self.open.push(call);
        }
    }

    fn end(&mut self, call: CallId) {
        self.schedule.end(call);
        self.forget(call);
    }

    fn forget(&mut self, call: CallId) {
        self.open.retain(|open| *open != call);
        self.choosing.retain(|choosing| *choosing != call);
    }

    /// Admission applied to the cache, which then holds what the schedule says; where nothing runs, somebody who waits
    /// is admitted.
    fn admit(&mut self) {
        let stuck = self.schedule.running.is_empty() && !self.schedule.waiting.is_empty();
        let admission = self.schedule.admit();
        assert!(!stuck || !admission.admitted.is_empty(), "nothing runs, and nobody may: {:?}", self.schedule);
        self.cache.apply(&admission.ops);
        assert_eq!(self.cache.held(), self.schedule.cells.held() as usize);
        for sequence in self.schedule.sequences.values() {
            let Some(slot) = sequence.slot else { continue };
            let held: Vec<Token> = self.cache.slots.get(&slot).into_iter().flatten().map(|(_, token)| *token).collect();
            assert_eq!(held, sequence.tokens[..sequence.computed as usize], "{sequence:?}");
        }
    }

    fn step(&mut self) {
        self.admit();
        let rows = self.schedule.plan(|_| LIMITS.batch);
        self.invariants(&rows);
        self.cache.step(&rows);
        self.schedule.commit(&rows);
        for call in std::mem::take(&mut self.choosing) {
            self.chosen(call);
        }
        for row in rows.iter().filter(|row| row.output) {
            let running = self.schedule.running.iter().find(|running| running.call == row.call).unwrap();
            match running.outputs {
                Outputs::From(_) if row.pos as usize + 1 == self.schedule.history(running.key).len() => {
                    self.end(row.call);
                }
                Outputs::From(_) => {}
                Outputs::Last if row.call.is_multiple_of(3) => self.choosing.push(row.call),
                Outputs::Last => self.chosen(row.call),
            }
        }
    }

    /// A token for a compute, which ends with the last one that was asked for.
    fn chosen(&mut self, call: CallId) {
        let running = self.schedule.running.iter().find(|running| running.call == call);
        let waiting = self.schedule.waiting.iter().find(|waiting| waiting.request.call == call);
        let (key, extra) = running
            .map(|running| (running.key, running.extra))
            .or(waiting.map(|waiting| (waiting.request.key, waiting.request.extra)))
            .unwrap();
        let before = self.schedule.history(key).len();
        let full = self.schedule.chosen(call, 3);
        assert_eq!(self.schedule.history(key).len(), before + 1, "the token of {call} is lost");
        assert_eq!(full, before + 1 >= LIMITS.context as usize);
        if full || extra <= 1 {
            self.end(call);
        }
    }

    /// Readers that keep up: everybody comes to an end.
    fn finish(&mut self) {
        for _ in 0..2000 {
            if self.open.is_empty() {
                break;
            }
            self.open.iter().for_each(|call| self.schedule.credit(*call, 1));
            self.step();
        }
        assert!(self.open.is_empty(), "{:?} never end: {:?}", self.open, self.schedule);
        assert_eq!(self.schedule.counts().running + self.schedule.counts().waiting, 0);
    }

    fn act(&mut self, act: Act) {
        self.next += 1;
        let call = self.next;
        match act {
            Act::Submit { session, kind, prompt, extra, route, shadow, credit, replace } => self.submit(Request {
                // What comes after the common part is this compute's own.
                tokens: beginning(kind, prompt).into_iter().chain([7000 + i32::try_from(call).unwrap()]).collect(),
                scope: scope(&route.to_string()),
                priority: if shadow { Priority::Shadow } else { Priority::Request },
                placement: if replace { Placement::Replace } else { Placement::Append },
                credit,
                ..request(call, session, 0, extra)
            }),
            Act::Continue { extra } => {
                for session in 0..6 {
                    self.submit(request(call + session, session, 1, extra));
                }
                self.next += 6;
            }
            Act::Score { prompt, given } => {
                let outputs = Outputs::From(u32::try_from(given.min(prompt - 1)).unwrap());
                let scored = Request { key: Key::Score(call), outputs, ..request(call, 9, prompt, 0) };
                self.submit(scored);
            }
            Act::Steps(steps) => (0..steps).for_each(|_| self.step()),
            Act::Finish => self.finish(),
            Act::Credit(tokens) => self.open.iter().for_each(|call| self.schedule.credit(*call, tokens)),
            Act::End(at) => {
                if let Some(call) = self.open.get(at).copied() {
                    self.end(call);
                }
            }
            Act::Close(session) => {
                if let Some(call) = self.schedule.close(Key::Session(session)) {
                    self.forget(call);
                }
            }
            Act::Requeue => {
                let newest = self.schedule.running().last();
                newest.into_iter().for_each(|call| self.schedule.requeue(call));
            }
            Act::Lose => {
                self.admit();
                let slot = self.schedule.sequences.values().filter_map(|sequence| sequence.slot).min();
                if let Some(slot) = slot.filter(|slot| *slot < LIMITS.slots) {
                    self.cache.slots.insert(slot, Vec::new());
                    self.schedule.lost(slot);
                }
            }
        }
        self.invariants(&[]);
    }

    fn invariants(&mut self, rows: &[Row]) {
        let schedule = &mut self.schedule;
        assert!(rows.len() <= LIMITS.batch);
        assert!(rows.iter().filter(|row| row.output).count() <= LIMITS.outputs);
        assert!(rows.iter().map(|row| row.call).collect::<HashSet<_>>().len() <= LIMITS.parallel);
        let promised: u32 = schedule.sequences.values().map(|sequence| sequence.promised).sum();
        assert_eq!(promised, schedule.promised);
        assert!(schedule.cells.held() + promised <= LIMITS.cells);
        let counts = schedule.counts();
        assert_eq!(counts.reserved + counts.cached, schedule.cells.held() + promised);
        assert!(counts.cached <= schedule.limits.cached, "{counts:?}");
        let taken = schedule.sequences.values().filter_map(|sequence| sequence.slot);
        let mut slots: Vec<u32> = taken.filter(|slot| *slot < LIMITS.slots).collect();
        slots.extend(&schedule.free);
        assert_eq!(slots.len(), LIMITS.slots as usize);
        assert_eq!(slots.iter().collect::<HashSet<_>>().len(), slots.len());
        for sequence in schedule.sequences.values() {
            assert!(sequence.computed as usize <= sequence.tokens.len(), "{sequence:?}");
            assert!(sequence.slot.is_some() || sequence.computed + sequence.promised == 0, "{sequence:?}");
        }
        for running in &schedule.running {
            let session = &schedule.sequences[&running.key];
            assert!(session.runs && session.slot.is_some(), "{running:?} without cells: {session:?}");
        }
        let runs = schedule.sequences.iter().filter(|(key, sequence)| **key != Key::Prefix && sequence.runs);
        assert_eq!(runs.count(), schedule.running.len());
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_cache_is_never_overfilled_and_nobody_is_forgotten(
        acts in prop::collection::vec(acts(), 1..80), prefix in prop::bool::ANY,
        cached in prop_oneof![Just(0u32), 5u32..80],
    ) {
        let mut world = World::new(prefix, cached);
        acts.into_iter().for_each(|act| world.act(act));
        world.finish();
    }
}
