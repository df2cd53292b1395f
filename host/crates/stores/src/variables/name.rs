//! What a guest may ask for.

/// Why a text is no name of a variable; Spin's rules, which are wider than those for a manifest's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VariableNameError {
    /// It is empty.
    #[error("a name must not be empty")]
    Empty,
    /// It has a character that no name has.
    #[error("a name has lower-case ASCII letters, digits and underscores only, and {0:?} is none of them")]
    Character(char),
    /// It starts with a digit or an underscore.
    #[error("a name starts with a letter")]
    Start,
    /// It ends with an underscore.
    #[error("a name ends with a letter or a digit")]
    End,
    /// Two underscores follow each other.
    #[error("a name has no two underscores in a row")]
    Gap,
}

pub(super) fn check(name: &str) -> Result<(), VariableNameError> {
    let known = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_';
    if let Some(other) = name.chars().find(|c| !known(c)) {
        return Err(VariableNameError::Character(other));
    }
    if name.is_empty() {
        return Err(VariableNameError::Empty);
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err(VariableNameError::Start);
    }
    if name.ends_with('_') {
        return Err(VariableNameError::End);
    }
    if name.contains("__") { Err(VariableNameError::Gap) } else { Ok(()) }
}
