//! What some tests need and a machine may not have. A test without it is skipped, and that is said; one that could run may not
//! skip, and one that was declared to must not.

use crate::process::{Failure, Progress};

/// What is needed.
#[derive(Debug)]
pub(crate) struct Means {
    /// When set to 1, the tests fail where it is missing, instead of being skipped.
    pub(crate) require: &'static str,
    /// The tests, after the word "skipping".
    pub(crate) tests: String,
    /// What is so where it is missing.
    pub(crate) missing: String,
    /// What brings it.
    pub(crate) next: String,
}

impl Means {
    /// The variable that the tests are to be run with, which is none where they are skipped.
    pub(crate) fn required(&self, present: bool, progress: &Progress) -> Result<Option<&'static str>, Failure> {
        let declared = std::env::var(self.require).is_ok_and(|value| value == "1");
        let required = self.decide(present, declared)?;
        if required.is_none() {
            progress.stage(&format!("skipping {}: {}", self.tests, self.missing));
        }
        Ok(required)
    }

    pub(crate) fn decide(&self, present: bool, declared: bool) -> Result<Option<&'static str>, Failure> {
        match (present, declared) {
            (true, _) => Ok(Some(self.require)),
            (false, false) => Ok(None),
            (false, true) => Err(Failure::unready(
                format!("{}, and {}=1 requires it", self.missing, self.require),
                format!("{}, or unset the variable", self.next),
            )),
        }
    }
}
