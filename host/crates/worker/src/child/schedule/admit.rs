//! Who of the waiting may run: cells, sequence ids, eviction.

use super::share::Beginning;
use super::{Admission, Key, Placement, Running, Schedule, Sequence, Waiting, len32};
use bobbin_inference::wire::CallId;
use std::cmp::Reverse;

impl Schedule {
    /// Admits as many waiting computes as fit, the one whose turn it is first, and stops at the first that
    /// does not.
    pub(crate) fn admit(&mut self) -> Admission {
        let mut admitted = Vec::new();
        // A slow reader keeps its cells, but not a place that it does not use.
        let wants = |running: &&Running| !running.is_paused();
        while self.running.iter().filter(wants).count() < self.limits.parallel {
            let Some(at) = self.next_waiting() else { break };
            let Some((beginning, leader)) = self.waiting.get(at).map(|waiting| self.beginning(waiting)) else { break };
            if let Some(waiting) = self.waiting.get_mut(at) {
                waiting.follows = leader;
            }
            if leader.is_some() {
                continue;
            }
            let beginning = if self.make_room(at, beginning) {
                beginning
            } else if beginning.lender().is_some() && self.make_room(at, Beginning::Own(0)) {
                // Everything but what it would share has to go, so that goes too.
                Beginning::Own(0)
            } else {
                break;
            };
            let waiting = self.waiting.remove(at);
            admitted.push(self.start(waiting, beginning));
        }
        if !admitted.is_empty() {
            self.bound_cache();
        }
        Admission { ops: std::mem::take(&mut self.ops), admitted }
    }

    /// Highest priority, then the route with the fewest cells, then the earliest; of those that wait for nobody else.
    fn next_waiting(&self) -> Option<usize> {
        let held = |route: &str| -> u32 {
            let running = self.running.iter().filter(|running| running.scope.route == route);
            let of = |sequence: &Sequence| sequence.computed + sequence.promised;
            running.filter_map(|running| self.sequences.get(&running.key)).map(of).sum()
        };
        let turn = |waiting: &Waiting| {
            (Reverse(waiting.request.priority), held(&waiting.request.scope.route), waiting.arrival)
        };
        let candidates = self.waiting.iter().enumerate().filter(|(_, waiting)| !self.follows(waiting));
        candidates.min_by_key(|(_, waiting)| turn(waiting)).map(|(at, _)| at)
    }

    /// Cells that a waiting compute comes to hold in all.
    fn need(&self, waiting: &Waiting) -> u32 {
        let history = match waiting.request.placement {
            Placement::Append => len32(self.history(waiting.request.key)),
            Placement::Replace => 0,
        };
        let prompt = history.saturating_add(len32(&waiting.request.tokens));
        prompt.saturating_add(waiting.request.extra).min(self.limits.context).max(prompt)
    }

    /// Reserves cells and a sequence id, and lets the sequence begin as it can: evicts sequences that do not run
    /// where that helps, what is over and idle first, then those that wait themselves, the longest unused first.
    fn make_room(&mut self, at: usize, beginning: Beginning) -> bool {
        let Some(waiting) = self.waiting.get(at) else { return false };
        let key = waiting.request.key;
        let new = self.need(waiting).saturating_sub(beginning.len());
        let spared = |other: Key| other == key || Some(other) == beginning.lender();
        let stays = |(other, sequence): (&Key, &Sequence)| match (*other, beginning) {
            (other, Beginning::Own(len)) if other == key => Some((sequence.end, len)),
            (other, Beginning::Of(leader)) if other == leader.key && is_evictable(sequence) => {
                Some((sequence.end, leader.len))
            }
            (other, _) => (other != key && !is_evictable(sequence)).then_some((sequence.end, sequence.computed)),
        };
        let has_slot = self.sequences.get(&key).is_some_and(|sequence| sequence.slot.is_some());
        let least = self.cells.held_by(self.sequences.iter().filter_map(stays));
        let spare = || self.sequences.iter().filter(|(other, sequence)| !spared(**other) && is_evictable(sequence));
        if least + self.promised + new > self.limits.cells || !has_slot && self.free.is_empty() && spare().count() == 0
        {
            return false;
        }
        match beginning {
            Beginning::Own(len) => self.trim(key, len),
            Beginning::Of(_) => self.trim(key, 0),
        }
        while self.cells.held() + self.promised + new > self.limits.cells || !has_slot && self.free.is_empty() {
            let spare = self.sequences.iter().filter(|(other, sequence)| !spared(**other) && is_evictable(sequence));
            let first = spare.min_by_key(|(_, sequence)| (sequence.call.is_some(), sequence.used));
            match (first.map(|(other, _)| *other), beginning) {
                (Some(first @ Key::Cached(_)), _) => self.forget(first),
                (Some(first), _) => self.vacate(first),
                // What it shares with the lender stays; the rest of the lender's is all that is left to go.
                (None, Beginning::Of(leader)) if self.computed(leader.key) > leader.len => {
                    self.trim(leader.key, leader.len);
                }
                (None, _) => return false,
            }
        }
        let Some(sequence) = self.sequences.get_mut(&key) else { return false };
        if sequence.slot.is_none() {
            sequence.slot = self.free.pop();
        }
        sequence.promised = new;
        self.promised += new;
        true
    }

    /// Puts the tokens into the sequence. Returns how many of them were computed before.
    fn start(&mut self, waiting: Waiting, beginning: Beginning) -> (CallId, u32) {
        let Waiting { request, choosing, .. } = waiting;
        let mut before = 0;
        if let Some(sequence) = self.sequences.get_mut(&request.key) {
            sequence.runs = true;
            match request.placement {
                Placement::Append => {
                    before = len32(&sequence.tokens);
                    sequence.tokens.extend(request.tokens);
                }
                Placement::Replace => sequence.tokens = request.tokens,
            }
        }
        if let Beginning::Of(leader) = beginning {
            self.share(request.key, leader);
        }
        self.running.push(Running {
            call: request.call,
            key: request.key,
            scope: request.scope,
            priority: request.priority,
            outputs: request.outputs,
            credit: i64::from(request.credit),
            choosing,
            extra: request.extra,
            stepped: self.clock,
        });
        (request.call, beginning.len().saturating_sub(before))
    }
}

/// Whether its cells may be taken away.
fn is_evictable(sequence: &Sequence) -> bool {
    !sequence.runs && sequence.slot.is_some()
}
