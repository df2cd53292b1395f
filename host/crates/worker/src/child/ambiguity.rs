//! How many ways a grammar has to go on, before llama.cpp is asked to follow all of them at once.
//!
//! llama.cpp keeps one stack for each way in which what was written so far can continue, and nothing stops it
//! while it does. Three kinds of rules make more stacks than there is memory, or keep a processor for ever, so
//! they are refused before llama.cpp sees the grammar:
//! - rules that begin with one another many times over. The ways in which each can begin are counted: a reference
//!   counts as many as its rule, and one that may be empty also lets what follows it begin;
//! - a repetition of what may be empty, which reads the same text in exponentially many ways;
//! - a rule that can begin with itself, also behind something that may be empty, which never gets anywhere.

mod gbnf;

use gbnf::{Item, Rule, Symbol};

/// Ways in which one rule begins.
const MOST_BEGINNINGS: u64 = 20_000;
/// Steps over what begins with what, from all rules together; llama.cpp takes each of them when it loads a grammar.
const MOST_STEPS: u64 = 10_000_000;

/// Refuses a grammar that does not read, is too large, or has too many ways to go on.
///
/// # Errors
/// What is wrong and where, and what to do.
pub(super) fn check(grammar: &str) -> Result<(), String> {
    let rules = gbnf::parse(grammar)?;
    let empty = may_be_empty(&rules);
    for rule in &rules {
        for item in rule.alternatives.iter().flatten() {
            let many = item.most.is_none_or(|most| most > 1);
            if many && symbol_may_be_empty(item.symbol, &empty) {
                return Err(format!(
                    "line {}: the rule {:?} repeats what may be empty; let what is repeated have at least one character",
                    item.line, rule.name
                ));
            }
        }
    }
    let most = most_beginnings(&rules, &empty)?;
    if most > MOST_BEGINNINGS {
        return Err(format!(
            "a rule can begin in {most} ways; at most {MOST_BEGINNINGS} are allowed; let rules differ in how they begin"
        ));
    }
    Ok(())
}

/// Looks at a rule again whenever one that it refers to turns out to be one that may be empty.
fn may_be_empty(rules: &[Rule]) -> Vec<bool> {
    let mut users = vec![Vec::new(); rules.len()];
    for (number, rule) in rules.iter().enumerate() {
        for item in rule.alternatives.iter().flatten() {
            if let Symbol::Rule(used) = item.symbol
                && let Some(users) = users.get_mut(used)
            {
                users.push(number);
            }
        }
    }
    let mut empty = vec![false; rules.len()];
    let mut queue: Vec<usize> = (0..rules.len()).collect();
    while let Some(number) = queue.pop() {
        let Some(rule) = rules.get(number) else { continue };
        let now = rule.alternatives.iter().any(|sequence| sequence.iter().all(|item| item_may_be_empty(item, &empty)));
        if let Some(known) = empty.get_mut(number).filter(|known| now && !**known) {
            *known = true;
            queue.extend(users.get(number).into_iter().flatten());
        }
    }
    empty
}

fn item_may_be_empty(item: &Item, empty: &[bool]) -> bool {
    item.least == 0 || symbol_may_be_empty(item.symbol, empty)
}

fn symbol_may_be_empty(symbol: Symbol, empty: &[bool]) -> bool {
    match symbol {
        Symbol::Terminal(elements) => elements == 0,
        Symbol::Rule(rule) => empty.get(rule).copied().unwrap_or(false),
    }
}

/// The items of a rule that can be its first.
fn leading<'a>(rule: &'a Rule, empty: &'a [bool]) -> impl Iterator<Item = &'a Item> {
    rule.alternatives.iter().flat_map(|sequence| {
        let end = sequence.iter().position(|item| !item_may_be_empty(item, empty));
        sequence.iter().take(end.map_or(sequence.len(), |end| end + 1)).filter(|item| item.most != Some(0))
    })
}

/// The most ways in which any rule can begin, counted without following them.
fn most_beginnings(rules: &[Rule], empty: &[bool]) -> Result<u64, String> {
    let first: Vec<Vec<usize>> = rules
        .iter()
        .map(|rule| {
            let used = leading(rule, empty).filter_map(|item| match item.symbol {
                Symbol::Rule(rule) => Some(rule),
                Symbol::Terminal(_) => None,
            });
            used.collect()
        })
        .collect();
    let order = inner_first(&first).map_err(|number| {
        let name = rules.get(number).map_or("root", |rule| rule.name.as_str());
        format!("the rule {name:?} can begin with itself; let it begin with something else, or repeat with *")
    })?;
    let (mut beginnings, mut steps) = (vec![0_u64; rules.len()], vec![1_u64; rules.len()]);
    let (mut most, mut all) = (0, 0_u64);
    for number in order {
        let terminals = rules
            .get(number)
            .map_or(0, |rule| leading(rule, empty).filter(|item| matches!(item.symbol, Symbol::Terminal(_))).count());
        let mut count = terminals as u64;
        let mut taken = 1_u64;
        for used in first.get(number).into_iter().flatten() {
            // One that can only be empty is one way as well.
            count = count.saturating_add(beginnings.get(*used).map_or(1, |count| (*count).max(1)));
            taken = taken.saturating_add(steps.get(*used).copied().unwrap_or(1));
        }
        for (known, new) in [(&mut beginnings, count), (&mut steps, taken)] {
            if let Some(known) = known.get_mut(number) {
                *known = new;
            }
        }
        most = most.max(count);
        all = all.saturating_add(taken);
    }
    if most <= MOST_BEGINNINGS && all > MOST_STEPS {
        return Err("too many rules begin with one another; let rules differ in how they begin".into());
    }
    Ok(most)
}

/// The rules, each after those that it can begin with; a rule that can begin with itself where there is one.
fn inner_first(first: &[Vec<usize>]) -> Result<Vec<usize>, usize> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let mut states = vec![State::New; first.len()];
    let mut order = Vec::with_capacity(first.len());
    for start in 0..first.len() {
        let mut path = vec![(start, 0)];
        while let Some((number, next)) = path.pop() {
            let Some(state) = states.get_mut(number) else { continue };
            match (*state, next) {
                (State::Done, _) => continue,
                (State::Open, 0) => return Err(number),
                _ => *state = State::Open,
            }
            if let Some(used) = first.get(number).and_then(|used| used.get(next)) {
                path.push((number, next + 1));
                path.push((*used, 0));
            } else {
                *state = State::Done;
                order.push(number);
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests;
