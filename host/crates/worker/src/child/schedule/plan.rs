//! What the next step computes.

use super::{Demand, Outputs, Row, Running, Schedule, Sequence, len32};
use bobbin_inference::Priority;
use std::collections::BTreeMap;

impl Schedule {
    /// Puts the rows of the next step in place of others: one for each sequence that waits for its next token, then of
    /// prompts at most what `prompt_budget` makes of the demand; never more than the batch holds.
    pub(crate) fn plan_into(&mut self, rows: &mut Vec<Row>, prompt_budget: impl FnOnce(Demand) -> usize) {
        rows.clear();
        self.find_ready();
        let mut outputs = self.limits.outputs;
        let prompt_budget = prompt_budget(self.demand());
        for (running, session) in self.ready() {
            if pending(session) == 1 && rows.len() < self.limits.batch && outputs > 0 {
                add_rows(rows, running, session, 1);
                outputs -= 1;
            }
        }
        let mut budget = prompt_budget.min(self.limits.batch - rows.len());
        for priority in [Priority::Request, Priority::Shadow] {
            // Only a step that computes prompts, which takes its time, asks for memory here.
            let mut routes: BTreeMap<&str, Vec<(&Running, &Sequence)>> = BTreeMap::new();
            for (running, session) in self.ready().filter(|(running, _)| running.priority == priority) {
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
                    let chunk = add_rows(rows, running, session, share.min(silent + outputs));
                    share -= chunk.len();
                    budget -= chunk.len();
                    outputs -= chunk.iter().filter(|row| row.output).count();
                }
            }
        }
    }

    /// Who waits for what.
    fn demand(&self) -> Demand {
        let answers = self.ready().filter(|(_, session)| pending(session) == 1).count();
        Demand { answers, prompts: self.ready.len() - answers + self.waiting.len() }
    }

    /// Finds who computes in the next step. More than `parallel` can want to when readers come back: then those whose
    /// last step is the longest ago.
    fn find_ready(&mut self) {
        let wants = |(at, running): (usize, &Running)| (running.credit > 0 && !running.choosing).then_some(at);
        self.ready.clear();
        self.ready.extend(self.running.iter().enumerate().filter_map(wants));
        if self.ready.len() > self.limits.parallel {
            self.ready.sort_by_key(|at| self.running.get(*at).map(|running| running.stepped));
            self.ready.truncate(self.limits.parallel);
        }
    }

    fn ready(&self) -> impl Iterator<Item = (&Running, &Sequence)> {
        let of = move |at: &usize| {
            let running = self.running.get(*at)?;
            Some((running, self.sequences.get(&running.key)?))
        };
        self.ready.iter().filter_map(of)
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

/// Appends the next rows of a sequence, at most so many, and returns them.
fn add_rows<'a>(rows: &'a mut Vec<Row>, running: &Running, session: &Sequence, most: usize) -> &'a [Row] {
    let Some(slot) = session.slot else { return &[] };
    let (before, first) = (rows.len(), first_output(running, session));
    let tokens = session.tokens.iter().enumerate().skip(session.computed as usize).take(most);
    rows.extend(tokens.map(|(at, token)| {
        let pos = u32::try_from(at).unwrap_or(u32::MAX);
        Row { call: running.call, slot, token: *token, pos, output: pos >= first }
    }));
    rows.get(before..).unwrap_or_default()
}

/// The first position whose logits are wanted.
fn first_output(running: &Running, session: &Sequence) -> u32 {
    let last = len32(&session.tokens).saturating_sub(1);
    match running.outputs {
        Outputs::Last => last,
        Outputs::From(first) => first.min(last),
    }
}
