//! A `.env` file: lines of `NAME=value`, as shells and many tools read them.

use super::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The names and values of a file.
#[derive(Debug, Clone, Default)]
pub struct Dotenv(BTreeMap<String, Value>);

/// Why a file cannot be used. What stands in it is not repeated: it is likely to be a secret.
#[derive(Debug, thiserror::Error)]
pub enum DotenvError {
    /// The operating system refused.
    #[error("{} cannot be read; correct its permissions, or remove it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line is none of `NAME=value`.
    #[error(
        "{}{} is no NAME=value; quote a value that has spaces or quotes in it",
        path.display(), line.map(|line| format!(":{line}:")).unwrap_or_default()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1, where it can be told.
        line: Option<usize>,
    },
}

impl Dotenv {
    /// Reads a file. One that is not there has no values.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(path: &Path) -> Result<Self, DotenvError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(DotenvError::Unreadable { path: path.to_owned(), source }),
        };
        let mut values = BTreeMap::new();
        for entry in dotenvy::from_read_iter(text.as_bytes()) {
            let (name, value) = match entry {
                Ok(entry) => entry,
                Err(error) => return Err(DotenvError::Line { path: path.to_owned(), line: line_of(&error, &text) }),
            };
            values.insert(name, Value::new(value));
        }
        Ok(Self(values))
    }

    /// The value under a name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

/// The parser tells the text of the line, which must not be shown, and not its number.
fn line_of(error: &dotenvy::Error, text: &str) -> Option<usize> {
    let dotenvy::Error::LineParse(wrong, _) = error else { return None };
    let first = wrong.lines().next().filter(|line| !line.trim().is_empty())?;
    text.lines().position(|line| line.contains(first)).map(|index| index + 1)
}
