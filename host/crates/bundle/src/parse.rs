//! Reads a manifest's text: the format's number first, then every key, with line and column in each error.

use crate::BundleError;
use crate::checks::{self, Fault};
use crate::manifest::{FORMAT, Manifest};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;

const SEE: &str = "docs/bundle-format.md lists the keys";

/// The number alone: a later format may hold keys that this one does not know.
#[derive(Deserialize)]
struct FormatOnly {
    format: Option<Spanned<toml::Value>>,
}

/// Where things stand that only a rule between values can find wrong.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Places {
    files: Vec<Spanned<IgnoredAny>>,
    limits: LimitsPlaces,
    prompt: PromptPlaces,
    fingerprint: FingerprintPlaces,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LimitsPlaces {
    threads: Option<Spanned<IgnoredAny>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PromptPlaces {
    template: Option<Spanned<IgnoredAny>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct FingerprintPlaces {
    sequences: Option<Spanned<IgnoredAny>>,
}

impl Manifest {
    /// Reads the text of a `bundle.toml`; `path` is named in errors.
    ///
    /// # Errors
    /// [`BundleError::Manifest`] with line, column and the next step.
    pub fn parse(text: &str, path: &Path) -> Result<Self, BundleError> {
        let fail = |span: Option<Range<usize>>, message: String| {
            let (line, column) = position(text, span.map_or(0, |span| span.start));
            BundleError::Manifest { path: path.to_owned(), line, column, message }
        };
        let toml_error = |error: toml::de::Error| fail(error.span(), format!("{}; {SEE}", first_line(error.message())));
        let format = toml::from_str::<FormatOnly>(text).map_err(toml_error)?.format;
        let Some(format) = format else {
            return Err(fail(None, format!("`format` is missing; begin the file with `format = {FORMAT}`")));
        };
        let known = |format: &toml::Value| format.as_integer().is_some_and(|it| (1..=i64::from(FORMAT)).contains(&it));
        if !known(format.get_ref()) {
            return Err(fail(
                Some(format.span()),
                format!(
                    "format {} is not known to this version of bobbin, which reads formats 1 to {FORMAT}; \
                     update bobbin, or write the manifest in format {FORMAT}",
                    format.get_ref()
                ),
            ));
        }
        let manifest: Self = toml::from_str(text).map_err(toml_error)?;
        checks::between_values(&manifest).map_err(|fault| {
            let (span, message) = locate(text, fault);
            fail(span, message)
        })?;
        Ok(manifest)
    }
}

fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}

fn locate(text: &str, fault: Fault) -> (Option<Range<usize>>, String) {
    // The text was read once without error; where this reading fails, the error is placed at the beginning.
    let places: Places = toml::from_str(text).unwrap_or_default();
    match fault {
        Fault::File(index, message) => (places.files.get(index).map(Spanned::span), message),
        Fault::Files(message) => (places.files.first().map(Spanned::span), message),
        Fault::Template(message) => (places.prompt.template.map(|place| place.span()), message),
        Fault::Sequences(message) => (places.fingerprint.sequences.map(|place| place.span()), message),
        Fault::Threads(message) => (places.limits.threads.map(|place| place.span()), message),
    }
}

/// Line and column, both from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}
