//! Whose cells are whose: sequences that begin alike hold the cells of their beginning together.
//!
//! The cells form a tree. A run of cells that the same sequences hold is one node; a sequence is the path from a root
//! to its leaf. So what is shared counts once, whoever computed it, and it is free when the last one lets it go.

/// Names a run of cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunId(usize);

#[derive(Debug)]
struct Run {
    before: Option<RunId>,
    /// Its cells; never 0.
    len: u32,
    /// Runs that follow it, and sequences that end in it; never 0.
    holders: u32,
}

/// All cells that sequences hold.
#[derive(Debug, Default)]
pub(super) struct Cells {
    runs: Vec<Option<Run>>,
    free: Vec<RunId>,
    held: u32,
    /// How much of each run is held, from its beginning, while that is counted: with each step, so the memory is kept.
    covered: Vec<u32>,
}

impl Cells {
    /// Cells that anybody holds.
    pub(super) fn held(&self) -> u32 {
        self.held
    }

    /// The sequence that ends in `end` computes one more.
    pub(super) fn push(&mut self, end: Option<RunId>) -> RunId {
        self.held += 1;
        if let Some(id) = end
            && let Some(run) = self.run_mut(id)
            && run.holders == 1
        {
            run.len += 1;
            return id;
        }
        // The run before has the new one as a holder now, in place of the sequence.
        self.insert(Run { before: end, len: 1, holders: 1 })
    }

    /// The end of another sequence that holds the first `len` cells of the one that ends in `end`; at most as many as
    /// it has.
    pub(super) fn share(&mut self, end: Option<RunId>, len: u32) -> Option<RunId> {
        let at = self.cut(end, len)?;
        self.run_mut(at)?.holders += 1;
        Some(at)
    }

    /// The sequence that ends in `end` keeps its first `len` cells. Returns where it ends then.
    pub(super) fn trim(&mut self, end: Option<RunId>, len: u32) -> Option<RunId> {
        let kept = self.share(end, len);
        self.release(end);
        kept
    }

    /// The sequence that ends in `end` is gone.
    pub(super) fn release(&mut self, end: Option<RunId>) {
        let mut next = end;
        while let Some(id) = next {
            let Some(run) = self.run_mut(id) else { return };
            run.holders -= 1;
            if run.holders > 0 {
                return;
            }
            let (len, before) = (run.len, run.before);
            self.held -= len;
            if let Some(place) = self.runs.get_mut(id.0) {
                *place = None;
            }
            self.free.push(id);
            next = before;
        }
    }

    /// Cells that at least one of these holds: the first `len` of the sequence that ends there, for each.
    pub(super) fn held_by(&mut self, sequences: impl IntoIterator<Item = (Option<RunId>, u32)>) -> u32 {
        let mut covered = std::mem::take(&mut self.covered);
        covered.clear();
        covered.resize(self.runs.len(), 0);
        for (end, len) in sequences {
            let mut over = self.length(end).saturating_sub(len);
            let mut next = end;
            while let Some(id) = next {
                let Some(run) = self.run(id) else { break };
                let part = run.len.saturating_sub(over);
                over = over.saturating_sub(run.len);
                if let Some(covered) = covered.get_mut(id.0) {
                    if *covered == run.len {
                        break;
                    }
                    *covered = part.max(*covered);
                }
                next = run.before;
            }
        }
        self.covered = covered;
        self.covered.iter().sum()
    }

    /// Makes a border after the first `len` cells of a path; returns the run that ends there.
    fn cut(&mut self, end: Option<RunId>, len: u32) -> Option<RunId> {
        let mut over = self.length(end).saturating_sub(len);
        let mut at = end?;
        while over > 0 {
            let run = self.run_mut(at)?;
            if over >= run.len {
                over -= run.len;
                at = run.before?;
                continue;
            }
            // Whoever points at this run points at its rear part from now on.
            let (front, before) = (run.len - over, run.before);
            run.len = over;
            let front = self.insert(Run { before, len: front, holders: 1 });
            self.run_mut(at)?.before = Some(front);
            return Some(front);
        }
        Some(at)
    }

    fn length(&self, end: Option<RunId>) -> u32 {
        let (mut length, mut next) = (0, end);
        while let Some(run) = next.and_then(|id| self.run(id)) {
            length += run.len;
            next = run.before;
        }
        length
    }

    fn insert(&mut self, run: Run) -> RunId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.runs.push(None);
            RunId(self.runs.len() - 1)
        });
        if let Some(place) = self.runs.get_mut(id.0) {
            *place = Some(run);
        }
        id
    }

    fn run(&self, id: RunId) -> Option<&Run> {
        self.runs.get(id.0)?.as_ref()
    }

    fn run_mut(&mut self, id: RunId) -> Option<&mut Run> {
        self.runs.get_mut(id.0)?.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

    fn push(cells: &mut Cells, mut end: Option<RunId>, count: u32) -> Option<RunId> {
        for _ in 0..count {
            end = Some(cells.push(end));
        }
        end
    }

    #[test]
    fn what_is_shared_counts_once_and_outlives_whoever_computed_it() {
        let mut cells = Cells::default();
        let first = push(&mut cells, None, 10);
        let second = cells.share(first, 6);
        let second = push(&mut cells, second, 3);
        assert_eq!(cells.held(), 13);
        assert_eq!(cells.held_by([(second, 9)]), 9);
        assert_eq!(cells.held_by([(first, 10), (second, 9)]), 13);
        assert_eq!(cells.held_by([(first, 4), (second, 2)]), 4);
        cells.release(first);
        assert_eq!(cells.held(), 9);
        let second = cells.trim(second, 2);
        assert_eq!(cells.held(), 2);
        cells.release(second);
        assert_eq!(cells.held(), 0);
    }

    #[derive(Debug, Clone, Copy)]
    enum Act {
        Push(usize, u32),
        Share(usize, usize, u32),
        Trim(usize, u32),
        Release(usize),
    }

    fn acts() -> impl Strategy<Value = Act> {
        prop_oneof![
            (0usize..6, 1u32..9).prop_map(|(at, count)| Act::Push(at, count)),
            (0usize..6, 0usize..6, 0u32..30).prop_map(|(from, to, len)| Act::Share(from, to, len)),
            (0usize..6, 0u32..30).prop_map(|(at, len)| Act::Trim(at, len)),
            (0usize..6).prop_map(Act::Release),
        ]
    }

    proptest! {
        /// Beside it, each sequence is a list of cells with names of their own.
        #[test]
        fn it_counts_as_a_list_of_cells_for_each_sequence_does(acts in prop::collection::vec(acts(), 1..60)) {
            let mut cells = Cells::default();
            let mut ends: HashMap<usize, Option<RunId>> = HashMap::new();
            let mut lists: HashMap<usize, Vec<u32>> = HashMap::new();
            let mut names = 0..;
            for act in acts {
                match act {
                    Act::Push(at, count) => {
                        let end = ends.entry(at).or_default();
                        *end = push(&mut cells, *end, count);
                        lists.entry(at).or_default().extend(names.by_ref().take(count as usize));
                    }
                    Act::Share(from, to, len) if from != to => {
                        let shared: Vec<u32> = lists.get(&from).into_iter().flatten().take(len as usize).copied().collect();
                        let len = u32::try_from(shared.len()).unwrap();
                        cells.release(ends.get(&to).copied().flatten());
                        let end = cells.share(ends.get(&from).copied().flatten(), len);
                        ends.insert(to, end);
                        lists.insert(to, shared);
                    }
                    Act::Share(..) => {}
                    Act::Trim(at, len) => {
                        let list = lists.entry(at).or_default();
                        list.truncate(len as usize);
                        let end = ends.entry(at).or_default();
                        *end = cells.trim(*end, u32::try_from(list.len()).unwrap());
                    }
                    Act::Release(at) => {
                        cells.release(ends.remove(&at).flatten());
                        lists.remove(&at);
                    }
                }
                let distinct: HashSet<u32> = lists.values().flatten().copied().collect();
                prop_assert_eq!(cells.held() as usize, distinct.len());
                let halves: HashSet<u32> = lists.values().flat_map(|list| list.iter().take(list.len() / 2)).copied().collect();
                let asked = ends.iter().map(|(at, end)| (*end, u32::try_from(lists[at].len() / 2).unwrap()));
                prop_assert_eq!(cells.held_by(asked) as usize, halves.len());
            }
        }
    }
}
