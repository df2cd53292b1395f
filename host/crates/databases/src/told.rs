//! Errors in one line.

use std::error::Error;

/// An error with all its causes in one line: the first one often says little.
pub fn told(error: &dyn Error) -> String {
    let (mut told, mut cause) = (error.to_string(), error.source());
    while let Some(inner) = cause {
        let more = inner.to_string();
        // Some errors repeat their cause.
        if !told.contains(&more) {
            told = format!("{told}: {more}");
        }
        cause = inner.source();
    }
    told
}
