//! Metrics in the text format.

use std::fmt;

/// Samples, as scraped.
#[derive(Debug)]
pub struct Metrics(String);

impl Metrics {
    pub(crate) fn parse(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The sum of all samples of this name whose labels contain these. Zero where there is none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let (series, set) = series.split_once('{').unwrap_or((series, ""));
            let wanted = labels.iter().all(|(label, value)| set.contains(&format!("{label}=\"{value}\"")));
            (series == name && wanted).then(|| value.parse::<f64>().ok())?
        };
        self.0.lines().filter_map(sample).sum()
    }

    /// Whether the samples of each of these names come to nothing.
    #[must_use]
    pub fn are_zero(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.sum(name, &[]) == 0.0)
    }

    /// Whether any sample has this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.lines().any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
