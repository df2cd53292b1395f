//! `--variable`: one variable, or a file of them, as Spin's command line takes them.

use super::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{fmt, fs, io};

/// Where the command line takes values from.
#[derive(Clone, PartialEq, Eq)]
pub enum VariableSource {
    /// `name=value`
    Literal {
        /// The variable.
        name: String,
        /// Its value.
        value: Value,
    },
    /// `name=@file`: the whole file is the value.
    Content {
        /// The variable.
        name: String,
        /// The file.
        file: PathBuf,
    },
    /// `@file.json`: an object of names and texts.
    Json(PathBuf),
    /// `@file.toml`: a table of names and texts.
    Toml(PathBuf),
}

/// An argument that is no source of values. It is not repeated: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VariableSourceError {
    /// Neither form.
    #[error("write name=value, name=@file, @file.json or @file.toml")]
    Form,
    /// A file of values has another ending.
    #[error("{} is no file of variables that can be read; it must end in .json or .toml", .0.display())]
    Ending(
        /// The file.
        PathBuf,
    ),
}

/// A file with values that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The operating system refused, or it is no text.
    #[error("{} cannot be read as text; correct the path in --variable", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no JSON.
    #[error("{} is no JSON; write an object of names and texts", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// It is no TOML.
    #[error("{} is no TOML; write name = \"value\", one a line", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Why, without the text.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// Some value is something else than a text.
    #[error("{}: {what}; write it as text, in quotes", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// Which.
        what: String,
    },
}

impl FromStr for VariableSource {
    type Err = VariableSourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(file) = text.strip_prefix('@') {
            let file = PathBuf::from(file);
            return match file.extension().and_then(|ending| ending.to_str()) {
                Some("json") => Ok(Self::Json(file)),
                Some("toml") => Ok(Self::Toml(file)),
                _ => Err(VariableSourceError::Ending(file)),
            };
        }
        let (name, value) = text.split_once('=').ok_or(VariableSourceError::Form)?;
        let name = name.to_owned();
        match value.strip_prefix('@') {
            Some(file) => Ok(Self::Content { name, file: file.into() }),
            None => Ok(Self::Literal { name, value: Value::new(value) }),
        }
    }
}

impl fmt::Debug for VariableSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal { name, .. } => write!(f, "{name}=(hidden)"),
            Self::Content { name, file } => write!(f, "{name}=@{}", file.display()),
            Self::Json(file) | Self::Toml(file) => write!(f, "@{}", file.display()),
        }
    }
}

impl VariableSource {
    /// The values, by name.
    ///
    /// # Errors
    /// When a file cannot be read, or is of another form.
    pub fn values(&self) -> Result<BTreeMap<String, Value>, SourceError> {
        match self {
            Self::Literal { name, value } => Ok([(name.clone(), value.clone())].into()),
            Self::Content { name, file } => Ok([(name.clone(), Value::new(read(file)?))].into()),
            Self::Json(file) => json(file),
            Self::Toml(file) => toml(file),
        }
    }
}

fn read(path: &Path) -> Result<String, SourceError> {
    fs::read_to_string(path).map_err(|source| SourceError::Unreadable { path: path.to_owned(), source })
}

fn not_text(path: &Path, name: &str) -> SourceError {
    SourceError::NotText { path: path.to_owned(), what: format!("the value of {name:?} is no text") }
}

fn json(path: &Path) -> Result<BTreeMap<String, Value>, SourceError> {
    let parsed = serde_json::from_str(&read(path)?);
    let parsed: serde_json::Value = parsed.map_err(|source| SourceError::Json { path: path.to_owned(), source })?;
    let serde_json::Value::Object(values) = parsed else {
        return Err(SourceError::NotText { path: path.to_owned(), what: "it is no object of names and texts".into() });
    };
    let value = |(name, value): (String, serde_json::Value)| match value {
        serde_json::Value::String(text) => Ok((name, Value::new(text))),
        _ => Err(not_text(path, &name)),
    };
    values.into_iter().map(value).collect()
}

fn toml(path: &Path) -> Result<BTreeMap<String, Value>, SourceError> {
    let parsed = read(path)?.parse::<toml::Table>();
    let values = parsed.map_err(|mut source| {
        // With its input it would show the line, and the secret in it.
        source.set_input(None);
        SourceError::Toml { path: path.to_owned(), source: Box::new(source) }
    })?;
    let value = |(name, value): (String, toml::Value)| match value {
        toml::Value::String(text) => Ok((name, Value::new(text))),
        _ => Err(not_text(path, &name)),
    };
    values.into_iter().map(value).collect()
}
