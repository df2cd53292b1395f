//! A benchmark's table: what must hold, what was measured, and whether it does.

use std::time::Duration;

/// Rows in the order in which they were measured.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    what: String,
    figure: String,
    bound: String,
    /// `None` where nothing is demanded: a figure to compare with.
    holds: Option<bool>,
}

impl Report {
    /// A figure that has a bound.
    pub fn must(&mut self, what: &str, figure: impl Into<String>, bound: &str, holds: bool) {
        self.add(Row { what: what.into(), figure: figure.into(), bound: bound.into(), holds: Some(holds) });
    }

    /// A figure that explains another.
    pub fn note(&mut self, what: &str, figure: impl Into<String>) {
        self.add(Row { what: what.into(), figure: figure.into(), bound: String::new(), holds: None });
    }

    /// A figure of each round beside a peer's of the same round: the ratio is the median of the rounds'. Without a peer,
    /// the figure alone.
    pub fn beside(&mut self, what: &str, unit: &str, bound: Bound, ours: &[f64], theirs: &[f64]) {
        let median = |values: &[f64]| Sorted::of(values.iter().copied()).at(0.5);
        if theirs.is_empty() {
            return self.note(what, format!("{} {unit}", rounded(median(ours))));
        }
        let ratio = Sorted::of(ours.iter().zip(theirs).map(|(own, other)| own / other)).at(0.5);
        let figure = format!("{} / {} {unit} = {ratio:.2}", rounded(median(ours)), rounded(median(theirs)));
        match bound {
            Bound::AtLeast(bound) => self.must(what, figure, &format!(">= {bound}"), ratio >= bound),
            Bound::AtMost(bound) => self.must(what, figure, &format!("<= {bound}"), ratio <= bound),
            Bound::None => self.note(what, figure),
        }
    }

    /// So many of something that must not happen at all.
    pub fn none(&mut self, what: &str, count: usize, of: &str) {
        self.must(what, format!("{count} of {of}"), "0", count == 0);
    }

    fn add(&mut self, row: Row) {
        // A run takes minutes: each figure is shown when it is there, the table at the end.
        println!("    {}", row.cells().join(" | "));
        self.rows.push(row);
    }

    /// Prints the table, and says which rows do not hold.
    ///
    /// # Errors
    /// When a row does not hold.
    pub fn finish(&self) -> anyhow::Result<()> {
        println!("\n| what | figure | bound | holds |\n|---|---|---|---|");
        for row in &self.rows {
            println!("| {} |", row.cells().join(" | "));
        }
        let broken: Vec<_> = self.rows.iter().filter(|row| row.holds == Some(false)).collect();
        let names: Vec<_> = broken.iter().map(|row| row.what.as_str()).collect();
        anyhow::ensure!(broken.is_empty(), "{} of the bounds do not hold: {}", broken.len(), names.join("; "));
        Ok(())
    }
}

impl Row {
    fn cells(&self) -> [String; 4] {
        let holds = match self.holds {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "",
        };
        [self.what.clone(), self.figure.clone(), self.bound.clone(), holds.to_owned()]
    }
}

/// Three digits or more, whatever the size.
fn rounded(value: f64) -> String {
    match value.abs() {
        0.0..1.0 => format!("{value:.3}"),
        1.0..10.0 => format!("{value:.2}"),
        _ => format!("{value:.1}"),
    }
}

/// What a ratio must be.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// No less.
    AtLeast(f64),
    /// No more.
    AtMost(f64),
    /// Anything.
    None,
}

/// Some values, sorted.
#[derive(Debug)]
pub struct Sorted(Vec<f64>);

impl Sorted {
    /// Of these.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// Of these, in milliseconds.
    #[must_use]
    pub fn millis(values: impl IntoIterator<Item = Duration>) -> Self {
        Self::of(values.into_iter().map(|value| value.as_secs_f64() * 1000.0))
    }

    /// The value that this share of all values does not exceed; NaN where there are none.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a count"
    )]
    pub fn at(&self, share: f64) -> f64 {
        let rank = (self.0.len() as f64 * share).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    /// The largest; NaN where there are none.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.at(1.0)
    }

    /// All of them, the smallest first.
    pub fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.0.iter().copied()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
