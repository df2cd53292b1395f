//! What sequences have in common: whose cells a new one begins with, and what stays of one that is over.

use super::{Key, Op, Placement, Schedule, Sequence, Token, Waiting};

/// Another sequence that begins alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leader {
    pub(super) key: Key,
    /// Cells that both begin with.
    pub(super) len: u32,
}

/// Where a compute's first cells come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// It has so many of them itself.
    Own(u32),
    /// Another sequence has them.
    Of(Leader),
}

impl Beginning {
    /// Cells that need not be computed.
    pub(super) fn len(self) -> u32 {
        match self {
            Self::Own(len) => len,
            Self::Of(leader) => leader.len,
        }
    }

    /// The sequence that must keep them meanwhile.
    pub(super) fn lender(self) -> Option<Key> {
        match self {
            Self::Of(leader) => Some(leader.key),
            Self::Own(_) => None,
        }
    }
}

impl Schedule {
    /// The best beginning for a waiting compute, and who is about to have a better one.
    pub(super) fn beginning(&self, waiting: &Waiting) -> (Beginning, Option<Leader>) {
        let request = &waiting.request;
        let sequence = self.sequences.get(&request.key);
        let history = match request.placement {
            Placement::Append => self.history(request.key),
            Placement::Replace => &[],
        };
        let total = history.len() + request.tokens.len();
        // The last token is always computed: its logits choose the next one.
        let most = u32::try_from(total.saturating_sub(1)).unwrap_or(u32::MAX);
        let kept = sequence.map_or(0, |own| match request.placement {
            Placement::Append => own.computed,
            Placement::Replace => alike(&own.tokens, &[], &request.tokens).min(own.computed),
        });
        let own = Beginning::Own(kept.min(most));
        if !self.shares || !matches!(request.key, Key::Session(_)) {
            return (own, None);
        }
        let worth = |leader: &Leader| {
            let least = if leader.key == Key::Prefix { 1 } else { self.limits.alike };
            leader.len >= own.len().saturating_add(least)
        };
        let (mut now, mut soon): (Option<Leader>, Option<Leader>) = (None, None);
        for (key, other) in self.sequences.iter().filter(|(key, other)| **key != request.key && other.slot.is_some()) {
            if other.scope.as_ref().is_some_and(|scope| *scope != request.scope) || matches!(key, Key::Score(_)) {
                continue;
            }
            let len = alike(&other.tokens, history, &request.tokens).min(most);
            let longer = |than: Option<Leader>, len: u32| {
                let leader = Leader { key: *key, len };
                (worth(&leader) && than.is_none_or(|than| than.len < len)).then_some(leader)
            };
            now = longer(now, len.min(other.computed)).or(now);
            if len > other.computed && self.leads(*key, waiting) {
                soon = longer(soon, len).or(soon);
            }
        }
        let best = now.map_or(own, Beginning::Of);
        (best, soon.filter(|soon| soon.len >= best.len().saturating_add(self.limits.alike)))
    }

    /// Whether a sequence computes its prompt, no later than one that waits would.
    fn leads(&self, key: Key, waiting: &Waiting) -> bool {
        let running = self.running.iter().find(|running| running.key == key);
        running.is_some_and(|running| running.priority >= waiting.request.priority && !running.is_paused())
    }

    /// Whether a waiting compute still waits for what another one computes.
    pub(super) fn follows(&self, waiting: &Waiting) -> bool {
        let Some(Leader { key, len }) = waiting.follows else { return false };
        let ahead = self.sequences.get(&key).is_some_and(|leader| leader.computed < len);
        ahead && self.leads(key, waiting)
    }

    /// Lets an empty sequence begin with the cells of another.
    pub(super) fn share(&mut self, key: Key, leader: Leader) {
        self.clock += 1;
        let Some(lender) = self.sequences.get_mut(&leader.key) else { return };
        lender.used = self.clock;
        let (Some(from), end) = (lender.slot, self.cells.share(lender.end, leader.len)) else { return };
        let Some(sequence) = self.sequences.get_mut(&key) else { return };
        sequence.end = end;
        sequence.computed = leader.len;
        if let Some(slot) = sequence.slot {
            self.ops.push(Op::Share { from, slot, len: leader.len });
        }
    }

    /// Drops all but the first cells of a sequence.
    pub(super) fn trim(&mut self, key: Key, keep: u32) {
        let Some(sequence) = self.sequences.get_mut(&key) else { return };
        if keep >= sequence.computed {
            return;
        }
        sequence.computed = keep;
        sequence.end = self.cells.trim(sequence.end, keep);
        if let Some(slot) = sequence.slot {
            self.ops.push(Op::Trim { slot, keep });
        }
    }

    /// Keeps what a session that is over has computed, where another may come that begins alike. Returns whether it
    /// is kept.
    pub(super) fn retain(&mut self, key: Key) -> bool {
        if !self.shares || !matches!(key, Key::Session(_)) {
            return false;
        }
        let Some(sequence) = self.sequences.get(&key) else { return false };
        if sequence.computed < self.limits.alike || sequence.slot.is_none() || self.is_repeated(key, sequence) {
            return false;
        }
        self.trim(key, self.limits.cached);
        let Some(mut sequence) = self.sequences.remove(&key) else { return false };
        self.clock += 1;
        self.promised -= std::mem::take(&mut sequence.promised);
        sequence.tokens.truncate(sequence.computed as usize);
        sequence.tokens.shrink_to_fit();
        let kept = Sequence { used: self.clock, call: None, runs: false, ..sequence };
        let contained = |(other, old): (&Key, &Sequence)| {
            let within = old.scope == kept.scope && kept.tokens.starts_with(&old.tokens);
            (matches!(other, Key::Cached(_)) && within).then_some(*other)
        };
        let contained: Vec<Key> = self.sequences.iter().filter_map(contained).collect();
        self.sequences.insert(Key::Cached(self.clock), kept);
        contained.into_iter().for_each(|key| self.forget(key));
        true
    }

    /// Forgets what is over and unused for longest, down to the bound: where a sequence lets go of cells that it shared
    /// with what is over, these come to be held for that alone.
    pub(super) fn bound_cache(&mut self) {
        while self.cached() > self.limits.cached {
            let caches = self.sequences.iter().filter(|(key, _)| matches!(key, Key::Cached(_)));
            let Some(oldest) = caches.min_by_key(|(_, cache)| cache.used).map(|(key, _)| *key) else { break };
            self.forget(oldest);
        }
    }

    /// Tokens of a sequence that are in the cache.
    pub(super) fn computed(&self, key: Key) -> u32 {
        self.sequences.get(&key).map_or(0, |sequence| sequence.computed)
    }

    /// Whether another sequence of its scope has all that it computed.
    fn is_repeated(&self, key: Key, sequence: &Sequence) -> bool {
        let Some(computed) = sequence.tokens.get(..sequence.computed as usize) else { return true };
        let has_it = |(other, held): (&Key, &Sequence)| {
            let same_scope = held.scope.is_none() || held.scope == sequence.scope;
            let lasts = matches!(other, Key::Cached(_) | Key::Prefix);
            *other != key
                && same_scope
                && lasts
                && held.tokens.starts_with(computed)
                && held.computed >= sequence.computed
        };
        self.sequences.iter().any(has_it)
    }

    /// A sequence is gone, whatever it held.
    pub(super) fn forget(&mut self, key: Key) {
        self.vacate(key);
        self.sequences.remove(&key);
    }

    /// Cells that are held only for what is over.
    pub(super) fn cached(&mut self) -> u32 {
        let others = self.sequences.iter().filter(|(key, _)| !matches!(key, Key::Cached(_)));
        self.cells.held() - self.cells.held_by(others.map(|(_, other)| (other.end, other.computed)))
    }
}

/// How many tokens a sequence and another, given in two parts, begin with.
fn alike(tokens: &[Token], first: &[Token], second: &[Token]) -> u32 {
    let other = first.iter().chain(second);
    let count = tokens.iter().zip(other).take_while(|(one, other)| one == other).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}
