//! Who of the waiting may run: cells, sequence ids, eviction.

use super::{Admission, Key, Op, Placement, Running, Schedule, Waiting, len32};
use std::cmp::Reverse;
use std::sync::Arc;

impl Schedule {
    /// Admits as many waiting computes as fit, the one whose turn it is first, and stops at the first that
    /// does not.
    pub(crate) fn admit(&mut self) -> Admission {
        let mut admitted = Vec::new();
        // A slow reader keeps its cells, but not a place that it does not use.
        let wants = |running: &&Running| !running.is_paused();
        while self.running.iter().filter(wants).count() < self.limits.parallel {
            let Some(at) = self.next_waiting() else { break };
            if !self.make_room(at) {
                break;
            }
            let waiting = self.waiting.remove(at);
            admitted.push(self.start(waiting));
        }
        Admission { ops: std::mem::take(&mut self.ops), admitted }
    }

    /// Highest priority, then the route with the fewest cells, then the earliest.
    fn next_waiting(&self) -> Option<usize> {
        let held = |route: &Arc<str>| -> u32 {
            let running = self.running.iter().filter(|running| running.route == *route);
            running.filter_map(|running| self.sessions.get(&running.key)).map(|session| session.reserved).sum()
        };
        let turn =
            |waiting: &Waiting| (Reverse(waiting.request.priority), held(&waiting.request.route), waiting.arrival);
        self.waiting.iter().enumerate().min_by_key(|(_, waiting)| turn(waiting)).map(|(at, _)| at)
    }

    /// Cells that a waiting compute needs in all.
    fn need(&self, waiting: &Waiting) -> u32 {
        let history = match waiting.request.placement {
            Placement::Append => len32(self.history(waiting.request.key)),
            Placement::Replace => 0,
        };
        let prompt = history.saturating_add(len32(&waiting.request.tokens));
        prompt.saturating_add(waiting.request.extra).min(self.limits.context).max(prompt)
    }

    /// Reserves cells and a sequence id, evicting sessions that do not run where that helps: idle ones first,
    /// then those that wait themselves, the longest unused first.
    fn make_room(&mut self, at: usize) -> bool {
        let Some(waiting) = self.waiting.get(at) else { return false };
        let key = waiting.request.key;
        let need = self.need(waiting);
        let (own, has_slot) = self.sessions.get(&key).map_or((0, false), |s| (s.reserved, s.slot.is_some()));
        let spare = self.sessions.iter().filter(|(other, session)| **other != key && evictable(session));
        let (cells, count) = spare.fold((0, 0), |(cells, n), (_, session)| (cells + session.reserved, n + 1));
        let available = self.limits.cells - self.reserved + own;
        if available + cells < need || (!has_slot && self.free.is_empty() && count == 0) {
            return false;
        }
        while self.limits.cells - self.reserved + own < need || (!has_slot && self.free.is_empty()) {
            let spare = self.sessions.iter().filter(|(other, session)| **other != key && evictable(session));
            let first = spare.min_by_key(|(_, session)| (session.call.is_some(), session.used));
            let Some(first) = first.map(|(key, _)| *key) else { return false };
            self.vacate(first);
        }
        let Some(session) = self.sessions.get_mut(&key) else { return false };
        if session.slot.is_none() {
            session.slot = self.free.pop();
        }
        // Shrinking happens when a replaced conversation is shorter; what is computed is trimmed in `start`.
        self.reserved = self.reserved - session.reserved + need;
        session.reserved = need;
        true
    }

    fn start(&mut self, waiting: Waiting) -> (u64, u32) {
        let request = waiting.request;
        if let Some(session) = self.sessions.get_mut(&request.key) {
            session.runs = true;
        }
        let cached = self.place(request.key, request.tokens, request.placement);
        self.running.push(Running {
            call: request.call,
            key: request.key,
            route: request.route,
            priority: request.priority,
            outputs: request.outputs,
            credit: i64::from(request.credit),
            choosing: waiting.choosing,
            extra: request.extra,
            stepped: self.clock,
        });
        (request.call, cached)
    }

    /// Puts the tokens into the session. Returns how many of them were computed before.
    fn place(&mut self, key: Key, tokens: Vec<i32>, placement: Placement) -> u32 {
        let Some(session) = self.sessions.get_mut(&key) else { return 0 };
        let before = session.computed;
        let mut cached = 0;
        match placement {
            Placement::Append => session.tokens.extend(tokens),
            Placement::Replace => {
                let common = session.tokens.iter().zip(&tokens).take_while(|(old, new)| old == new).count();
                let common = u32::try_from(common).unwrap_or(u32::MAX);
                session.tokens = tokens;
                session.computed = session.computed.min(common);
            }
        }
        // The last token is always computed: its logits choose the next one.
        let most = len32(&session.tokens).saturating_sub(1);
        session.computed = session.computed.min(most);
        if placement == Placement::Replace {
            cached = session.computed;
        }
        let Some(slot) = session.slot else { return cached };
        if session.computed < before {
            self.ops.push(Op::Trim { slot, keep: session.computed });
        }
        let shared = self.prefix.iter().zip(&session.tokens).take_while(|(a, b)| a == b).count();
        let shared = u32::try_from(shared).unwrap_or(u32::MAX).min(most);
        if session.computed == 0 && shared > 0 && matches!(key, Key::Session(_)) {
            session.computed = shared;
            cached = shared;
            self.ops.push(Op::Share { slot, len: shared });
        }
        cached
    }
}

fn evictable(session: &super::Session) -> bool {
    !session.runs && session.slot.is_some()
}
