//! What is wrong with a manifest, told to the person who wrote it.
//!
//! A manifest is read to its end whatever is found on the way, so one run shows every problem. Each problem
//! says where it stands, what it is, why that is wrong where the reason is not plain, and the next step; the
//! error of a lower layer (the file system, the semver or URL parser) is kept as its source.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::place::{Lines, Place};

/// The sort of a [`Problem`], for callers that treat some sorts differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// The manifest could not be read at all.
    Unreadable,
    /// The text is no TOML.
    Syntax,
    /// A key, a type or a value that the format does not have.
    Schema,
    /// A name that nothing declares.
    Reference,
    /// The same identity or route twice.
    Duplicate,
    /// A model grant and the releases do not fit together.
    Release,
    /// A variable has no value that could be used.
    Variable,
    /// A file that the manifest names is not there.
    File,
    /// Correct, but this version of Bobbin cannot run it.
    Unsupported,
    /// Allowed, and probably not meant: a warning.
    Advice,
}

/// One problem: `file:line:column: what`, then why, then `help:` with the next step.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: ProblemKind,
    file: Arc<Path>,
    place: Option<Place>,
    what: String,
    why: Option<String>,
    help: String,
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl Problem {
    /// A problem without a place; whoever knows the file and the place adds them.
    pub fn new(kind: ProblemKind, what: impl Into<String>, help: impl Into<String>) -> Self {
        let file = Arc::from(Path::new(""));
        Self { kind, file, place: None, what: what.into(), why: None, help: help.into(), cause: None }
    }

    /// Adds the reason.
    #[must_use]
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// Adds the error of a lower layer, which is shown as the reason.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Error + Send + Sync + 'static) -> Self {
        self.cause = Some(Arc::new(cause));
        self
    }

    /// Says where: the manifest as it was given, and the place in it.
    #[must_use]
    pub fn located(mut self, file: &Arc<Path>, place: Option<Place>) -> Self {
        self.file = Arc::clone(file);
        self.place = place;
        self
    }

    /// The sort of this problem.
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// The manifest, as it was given.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Where in the manifest; none when the problem is the file itself.
    pub fn place(&self) -> Option<Place> {
        self.place
    }

    /// What is wrong, in one line.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The next step.
    pub fn help(&self) -> &str {
        &self.help
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(place) = self.place {
            write!(f, "{place}:")?;
        }
        write!(f, " {}", self.what)?;
        if let Some(why) = &self.why {
            write!(f, "\n  {why}")?;
        }
        if let Some(cause) = &self.cause {
            write!(f, "\n  {}", cause.to_string().trim_end())?;
        }
        write!(f, "\n  help: {}", self.help)
    }
}

impl Error for Problem {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

/// Everything that is wrong with a manifest, in the order of the file. Never empty.
#[derive(Debug, Clone)]
pub struct ManifestErrors {
    problems: Vec<Problem>,
}

impl ManifestErrors {
    /// One problem as an error.
    pub fn one(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }

    /// Problems that show at places of this file, found after it was read.
    ///
    /// # Errors
    /// When there are any.
    pub fn unless_none(file: &Path, problems: Vec<(Place, Problem)>) -> Result<(), Self> {
        let file: Arc<Path> = Arc::from(file);
        let located = problems.into_iter().map(|(place, problem)| problem.located(&file, Some(place)));
        Self::unless_empty(located.collect())
    }

    /// `Err` when there is any problem.
    pub(crate) fn unless_empty(mut problems: Vec<Problem>) -> Result<(), Self> {
        problems.sort_by_key(|problem| problem.place);
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }

    /// The problems, in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The manifest, as it was given.
    pub fn file(&self) -> PathBuf {
        self.problems.first().map(|problem| problem.file().to_owned()).unwrap_or_default()
    }
}

impl fmt::Display for ManifestErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl Error for ManifestErrors {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.problems.iter().find_map(Error::source)
    }
}

/// Collects problems and warnings while a manifest is read.
#[derive(Debug)]
pub(crate) struct Findings<'t> {
    file: Arc<Path>,
    /// What messages call the whole of it.
    document: &'static str,
    lines: Lines<'t>,
    errors: std::cell::RefCell<Vec<Problem>>,
    warnings: std::cell::RefCell<Vec<Problem>>,
}

impl<'t> Findings<'t> {
    pub(crate) fn new(text: &'t str, file: Arc<Path>) -> Self {
        Self::of("manifest", text, file)
    }

    /// Of another file than a manifest.
    pub(crate) fn of(document: &'static str, text: &'t str, file: Arc<Path>) -> Self {
        Self { file, document, lines: Lines::new(text), errors: Vec::new().into(), warnings: Vec::new().into() }
    }

    pub(crate) fn document(&self) -> &'static str {
        self.document
    }

    pub(crate) fn error(&self, place: Place, problem: Problem) {
        self.errors.borrow_mut().push(problem.located(&self.file, Some(place)));
    }

    pub(crate) fn warning(&self, place: Place, what: impl Into<String>, help: impl Into<String>) {
        let problem = Problem::new(ProblemKind::Advice, what, help);
        self.warnings.borrow_mut().push(problem.located(&self.file, Some(place)));
    }

    /// A key, type or value that the format does not have.
    pub(crate) fn schema(&self, place: Place, what: impl Into<String>, help: impl Into<String>) {
        self.error(place, Problem::new(ProblemKind::Schema, what, help));
    }

    pub(crate) fn place(&self, offset: usize) -> Place {
        self.lines.place(offset)
    }

    /// Whether this character stands at a byte offset of the text.
    pub(crate) fn stands_at(&self, offset: usize, character: char) -> bool {
        self.lines.after(offset).starts_with(character)
    }

    /// A place as this manifest's readers see it, for sentences that point at a second place.
    pub(crate) fn point(&self, place: Place) -> String {
        format!("{}:{place}", self.file.display())
    }

    pub(crate) fn any_error(&self) -> bool {
        !self.errors.borrow().is_empty()
    }

    /// The errors and the warnings found.
    pub(crate) fn into_parts(self) -> (Vec<Problem>, Vec<Problem>) {
        let mut warnings = self.warnings.into_inner();
        warnings.sort_by_key(|problem| problem.place);
        (self.errors.into_inner(), warnings)
    }
}
