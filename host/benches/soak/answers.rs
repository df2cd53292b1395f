//! What came of every request, and whether what did not come has an explanation.

use crate::trouble::Done;
use bobbin_tests::{Broken, Report};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Of those without explanation so many are printed.
const PRINTED: usize = 20;

/// How one request ended.
pub(crate) enum End {
    Whole,
    /// Its client left, as it meant to.
    Left,
    Broken(Broken),
    /// It came with status 200, and is not what was asked for.
    Wrong(String),
}

/// All requests, by kind.
#[derive(Default)]
pub(crate) struct Tally(RefCell<BTreeMap<&'static str, Ends>>);

#[derive(Default)]
struct Ends {
    whole: usize,
    left: usize,
    /// By code, with one of the messages.
    explained: BTreeMap<String, (usize, String)>,
    unexplained: usize,
}

impl Ends {
    /// Told at once: the table has only the number.
    fn unexplained(&mut self, kind: &str, what: &str) {
        self.unexplained += 1;
        if self.unexplained <= PRINTED {
            println!("      {kind}: {what}");
        }
    }
}

impl Tally {
    /// Counts a request; `done` is what may have broken it.
    pub(crate) fn count(&self, kind: &'static str, end: End, done: Done) {
        let mut tally = self.0.borrow_mut();
        let ends = tally.entry(kind).or_default();
        match end {
            End::Whole => ends.whole += 1,
            End::Left => ends.left += 1,
            End::Wrong(what) => ends.unexplained(kind, &what),
            End::Broken(broken) => match explanation(&broken, done) {
                Some((code, message)) => ends.explained.entry(code).or_insert((0, message)).0 += 1,
                None => ends.unexplained(kind, &broken.to_string()),
            },
        }
    }

    pub(crate) fn report(&self, report: &mut Report) {
        for (kind, ends) in self.0.borrow().iter() {
            let explained: usize = ends.explained.values().map(|(count, _)| count).sum();
            let all = ends.whole + ends.left + explained + ends.unexplained;
            report.none(&format!("{kind}: errors without an explanation"), ends.unexplained, &all.to_string());
            let codes = ends.explained.iter().map(|(code, (count, _))| format!("{code} {count}"));
            let mut figures = vec![format!("whole {}", ends.whole)];
            figures.extend((ends.left > 0).then(|| format!("left {}", ends.left)));
            figures.extend(codes);
            report.note("- how they ended", figures.join(", "));
            for (code, (_, message)) in &ends.explained {
                println!("      {code}: {message}");
            }
        }
    }
}

/// The code and the words of an error that says what happened, where what was done makes it happen.
fn explanation(broken: &Broken, done: Done) -> Option<(String, String)> {
    let error: Value = match broken {
        Broken::Refused(503, body) => serde_json::from_str(body).ok()?,
        Broken::Error(event) => serde_json::from_str::<Value>(event).ok()?.get("error")?.clone(),
        Broken::Refused(..) | Broken::Failed(_) | Broken::Truncated(_) => return None,
    };
    let text = |key: &str| error.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let code = text("code").filter(|code| match *code {
        "worker_lost" | "worker_unavailable" => done.killed,
        "version_retired" => done.changed,
        _ => false,
    })?;
    Some((code.to_owned(), text("detail").or(text("message"))?.to_owned()))
}
