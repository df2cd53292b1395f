//! What the next step computes.

use super::{Demand, Outputs, Row, Running, Schedule, Sequence, len32};
use bobbin_inference::Priority;
use std::collections::BTreeMap;

impl Schedule {
    /// Rows of the next step: one for each sequence that waits for its next token, then of prompts at most what
    /// `prompt_budget` makes of the demand; never more than the batch holds.
    pub(crate) fn plan(&self, prompt_budget: impl FnOnce(Demand) -> usize) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut outputs = self.limits.outputs;
        let ready = self.ready();
        let prompt_budget = prompt_budget(self.demand(&ready));
        for running in &ready {
            let Some(session) = self.sequences.get(&running.key) else { continue };
            if pending(session) == 1 && rows.len() < self.limits.batch && outputs > 0 {
                rows.extend(rows_of(running, session, 1));
                outputs -= 1;
            }
        }
        let mut budget = prompt_budget.min(self.limits.batch - rows.len());
        for priority in [Priority::Request, Priority::Shadow] {
            let mut routes: BTreeMap<&str, Vec<(&Running, &Sequence)>> = BTreeMap::new();
            for running in ready.iter().filter(|running| running.priority == priority) {
                let Some(session) = self.sequences.get(&running.key) else { continue };
                if pending(session) > 1 {
                    routes.entry(&running.scope.route).or_default().push((running, session));
                }
            }
            let mut routes: Vec<_> = routes.into_values().collect();
            // Small ones first, so that what they leave over goes to the large ones.
            routes.sort_by_key(|prompts| prompts.iter().map(|(_, session)| pending(session)).sum::<usize>());
            let mut left = routes.len();
            for prompts in routes {
                let mut share = budget.div_ceil(left.max(1));
                left -= 1;
                for (running, session) in prompts {
                    // Without an output to spare, a prompt stops one token short of the first that needs one.
                    let silent = first_output(running, session).saturating_sub(session.computed) as usize;
                    let chunk = rows_of(running, session, share.min(silent + outputs));
                    share -= chunk.len();
                    budget -= chunk.len();
                    outputs -= chunk.iter().filter(|row| row.output).count();
                    rows.extend(chunk);
                }
            }
        }
        rows
    }

    /// Who waits for what.
    fn demand(&self, ready: &[&Running]) -> Demand {
        let answers = |running: &&&Running| self.sequences.get(&running.key).is_some_and(|it| pending(it) == 1);
        let answers = ready.iter().filter(answers).count();
        Demand { answers, prompts: ready.len() - answers + self.waiting.len() }
    }

    /// Who computes in the next step. More than `parallel` can want to when readers come back: then those whose
    /// last step is the longest ago.
    fn ready(&self) -> Vec<&Running> {
        let ready = self.running.iter().filter(|running| running.credit > 0 && !running.choosing);
        let mut ready: Vec<&Running> = ready.collect();
        if ready.len() > self.limits.parallel {
            ready.sort_by_key(|running| running.stepped);
            ready.truncate(self.limits.parallel);
        }
        ready
    }

    /// A step was computed.
    pub(crate) fn commit(&mut self, rows: &[Row]) {
        for row in rows {
            // One after the other, so that those of one step take turns as well.
            self.clock += 1;
            let Some(running) = self.running.iter_mut().find(|running| running.call == row.call) else { continue };
            let Some(session) = self.sequences.get_mut(&running.key) else { continue };
            session.computed = row.pos + 1;
            session.end = Some(self.cells.push(session.end));
            session.promised -= 1;
            self.promised -= 1;
            running.stepped = self.clock;
            if pending(session) == 0 {
                running.choosing = true;
            }
        }
    }
}

fn pending(session: &Sequence) -> usize {
    session.tokens.len() - session.computed as usize
}

fn rows_of(running: &Running, session: &Sequence, count: usize) -> Vec<Row> {
    let Some(slot) = session.slot else { return Vec::new() };
    let first = first_output(running, session);
    let tokens = session.tokens.iter().enumerate().skip(session.computed as usize).take(count);
    let row = |(at, token): (usize, &i32)| {
        let pos = u32::try_from(at).unwrap_or(u32::MAX);
        Row { call: running.call, slot, token: *token, pos, output: pos >= first }
    };
    tokens.map(row).collect()
}

/// The first position whose logits are wanted.
fn first_output(running: &Running, session: &Sequence) -> u32 {
    let last = len32(&session.tokens).saturating_sub(1);
    match running.outputs {
        Outputs::Last => last,
        Outputs::From(first) => first.min(last),
    }
}
