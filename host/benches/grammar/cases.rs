//! The schemas, an answer to each, and the time that each way takes for it.

use anyhow::{Result, anyhow, ensure};
use bobbin_tests::{Bound, Report, Sorted, in_turn};
use bobbin_worker::child::compared::{Way, Words};
use std::time::{Duration, Instant};

/// How often an answer is written in one turn.
const ANSWERS: usize = 3;

struct Case {
    what: &'static str,
    schema: &'static str,
    answer: &'static str,
}

const CASES: [Case; 3] = [
    Case {
        what: "an object",
        schema: r#"{"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"},
            "address": {"type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
                "required": ["street", "city"], "additionalProperties": false},
            "tags": {"type": "array", "items": {"type": "string"}}, "active": {"type": "boolean"}},
            "required": ["name", "age", "address", "tags", "active"], "additionalProperties": false}"#,
        answer: r#"{"name": "Anna Novak", "age": 42, "address": {"street": "12 Mill Lane", "city": "Brno"}, "tags": ["first", "second one"], "active": true}"#,
    },
    Case {
        what: "an enum",
        schema: r#"{"enum": ["admiral blue", "alabaster", "almond", "amber", "apricot", "aquamarine", "bottle green", "brick red",
            "burgundy", "burnt orange", "cadet blue", "caramel", "carmine", "cerulean", "charcoal", "chartreuse", "cinnamon",
            "cobalt blue", "coral", "cornflower", "crimson", "dark olive", "ebony", "emerald", "forest green", "fuchsia", "ginger",
            "goldenrod", "hunter green", "indigo", "ivory", "jade", "khaki", "lavender", "magenta", "mahogany", "maroon", "mauve",
            "midnight blue", "mustard"]}"#,
        answer: r#""midnight blue""#,
    },
    Case {
        what: "a list of identifiers",
        schema: r#"{"type": "array", "items": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,30}$"}, "minItems": 1, "maxItems": 20}"#,
        answer: r#"["first_name", "last_name", "street_2", "postal_code", "country"]"#,
    },
];

/// What one way took in one turn.
#[derive(Default)]
struct Turn {
    /// Before the first token.
    ready: Vec<Duration>,
    /// For a look at the token that comes next.
    one: Vec<Duration>,
    /// For a look at all tokens.
    all: Vec<Duration>,
}

impl Turn {
    /// Writes the answer some times, and looks at one token and at all of them before each token of it.
    fn of(words: &Words, way: Way, case: &Case) -> Result<Self> {
        let failed = |error: String| anyhow!("{way:?}, {}: {error}", case.what);
        let answer =
            words.spell(case.answer).ok_or_else(|| failed("the vocabulary cannot spell the answer".to_owned()))?;
        let mut turn = Self::default();
        for _ in 0..ANSWERS {
            let begun = Instant::now();
            let mut held = words.hold(way, case.schema).map_err(failed)?;
            turn.ready.push(begun.elapsed());
            for word in &answer {
                let begun = Instant::now();
                let may_come = held.look(*word).map_err(failed)?;
                turn.one.push(begun.elapsed());
                ensure!(may_come, "{way:?}, {}: the answer is refused at token {word}", case.what);
                held.fill();
                let begun = Instant::now();
                held.mask().map_err(failed)?;
                turn.all.push(begun.elapsed());
                held.take(*word).map_err(failed)?;
            }
            ensure!(held.may_end().map_err(failed)?, "{way:?}, {}: the answer is not whole", case.what);
        }
        Ok(turn)
    }
}

/// Measures every case with one vocabulary.
pub(crate) fn measure(name: &str, words: &mut Words, rounds: usize, report: &mut Report) -> Result<()> {
    first(name, words, rounds, report)?;
    for case in &CASES {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            for (way, turns) in in_turn(round, [(Way::Llguidance, &mut ours), (Way::LlamaCpp, &mut theirs)]) {
                turns.push(Turn::of(words, way, case)?);
            }
        }
        let what = format!("{name}, {}: every token of the vocabulary, median of an answer's tokens", case.what);
        beside(report, &what, (&ours, &theirs), |turn| micros(&turn.all, 0.5));
        beside(report, "- the slowest of them", (&ours, &theirs), |turn| micros(&turn.all, 1.0));
        beside(report, "- one token, median", (&ours, &theirs), |turn| micros(&turn.one, 0.5));
        beside(report, "- to prepare an answer", (&ours, &theirs), |turn| micros(&turn.ready, 0.5));
    }
    Ok(())
}

/// What llguidance makes of a vocabulary, once for each model; llama.cpp has nothing like it.
fn first(name: &str, words: &mut Words, rounds: usize, report: &mut Report) -> Result<()> {
    let mut took = Vec::new();
    for _ in 0..rounds {
        words.forget();
        let begun = Instant::now();
        words.hold(Way::Llguidance, "{}").map_err(|error| anyhow!(error))?;
        took.push(begun.elapsed());
    }
    report.beside(
        &format!("{name}: a model's first schema, by llguidance alone"),
        "ms",
        Bound::None,
        &[Sorted::millis(took).at(0.5)],
        &[],
    );
    Ok(())
}

fn beside(report: &mut Report, what: &str, (ours, theirs): (&[Turn], &[Turn]), of: impl Fn(&Turn) -> f64) {
    let figures = |turns: &[Turn]| turns.iter().map(&of).collect::<Vec<f64>>();
    report.beside(what, "µs", Bound::None, &figures(ours), &figures(theirs));
}

fn micros(times: &[Duration], share: f64) -> f64 {
    Sorted::millis(times.iter().copied()).at(share) * 1000.0
}
