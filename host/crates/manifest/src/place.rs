//! Where in the file something stands: every problem names a line and a column.

use std::fmt;

/// A position in the manifest. Line and column count from 1; a column counts characters, not bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A value and the place where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// Where it begins.
    pub place: Place,
    /// The value.
    pub value: T,
}

impl<T> At<T> {
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> At<U> {
        At { place: self.place, value: f(self.value) }
    }
}

/// Turns byte offsets into places.
#[derive(Debug)]
pub(crate) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// The text from a byte offset on.
    pub(crate) fn after(&self, offset: usize) -> &'t str {
        self.text.get(offset..).unwrap_or("")
    }

    /// The place of a byte offset; an offset behind the end is the end.
    pub(crate) fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..offset).or_else(|| self.text.get(start..)).unwrap_or("");
        Place { line, column: before.chars().count() + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_start_after_each_line_feed() {
        let lines = Lines::new("ä = 1\r\nb = 2\n");
        assert_eq!(lines.place(0), Place { line: 1, column: 1 });
        assert_eq!(lines.place("ä = ".len()), Place { line: 1, column: 5 });
        assert_eq!(lines.place("ä = 1\r\n".len()), Place { line: 2, column: 1 });
        assert_eq!(lines.place(1000), Place { line: 3, column: 1 });
    }
}
