//! Errors that say their causes in one text.

use std::error::Error;
use std::fmt;

/// A problem of a manifest shows the text of one cause; this one tells of the causes behind it, too.
#[derive(Debug)]
pub(crate) struct Chained<E>(pub(crate) E);

impl<E: Error> fmt::Display for Chained<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(next) = cause {
            write!(f, ": {next}")?;
            cause = next.source();
        }
        Ok(())
    }
}

impl<E: Error> Error for Chained<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copy::CopyError;

    #[test]
    fn every_cause_is_in_the_text() {
        let source = std::io::Error::other("the disk is full");
        let error = CopyError::Io { action: "written", path: "/x".into(), source };
        assert_eq!(Chained(error).to_string(), "/x cannot be written: the disk is full");
    }
}
