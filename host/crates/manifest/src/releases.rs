//! Declared releases: which bundle version a graph name starts with.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use semver::Version;
use sha2::{Digest, Sha256};

use crate::errors::{Problem, ProblemKind};
use crate::names::GraphName;
use crate::place::{At, Place};
use crate::reader::{Node, Table};
use crate::settings::{self, Policy, Sticky};

/// How long a version may drain where its release does not say.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(30);

/// The longest drain that a release may declare: a day, in seconds.
const LONGEST_DRAIN: i64 = 24 * 60 * 60;

/// The longest time that a release may keep its previous version warm: a week, in seconds.
const LONGEST_KEEP_WARM: i64 = 7 * 24 * 60 * 60;

/// The longest bundle name and the longest version, in bytes, as in the bundle format.
const LONGEST_NAME: usize = 64;
const LONGEST_VERSION: usize = 64;

/// A bundle version: `name@version`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleRef {
    /// The bundle's name, which is a folder of the repository.
    pub name: String,
    /// Its version, which is a folder below.
    pub version: Version,
}

/// Why a text is no bundle reference.
#[derive(Debug, thiserror::Error)]
pub enum BundleRefError {
    /// There is no `@`.
    #[error("it has no `@` between name and version")]
    NoVersion,
    /// The name is empty, too long, or has other characters than a bundle's name may have.
    #[error(
        "the name {0:?} is not made of at most {LONGEST_NAME} lower-case letters and digits, with single \
         hyphens between them"
    )]
    Name(String),
    /// The version is too long.
    #[error("the version {0:?} is longer than {LONGEST_VERSION} characters")]
    LongVersion(String),
    /// The version is no semantic version.
    #[error("{text:?} is no semantic version: {source}")]
    Version {
        /// The version as it was written.
        text: String,
        /// What is wrong with it.
        #[source]
        source: semver::Error,
    },
}

impl std::str::FromStr for BundleRef {
    type Err = BundleRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, version) = text.split_once('@').ok_or(BundleRefError::NoVersion)?;
        // The rule of the bundle format, so that a name which is accepted here can be a bundle's.
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let good = |group: &str| !group.is_empty() && group.bytes().all(plain);
        if name.len() > LONGEST_NAME || !name.split('-').all(good) {
            return Err(BundleRefError::Name(name.to_owned()));
        }
        let version =
            Version::parse(version).map_err(|source| BundleRefError::Version { text: version.to_owned(), source })?;
        Ok(Self { name: name.to_owned(), version })
    }
}

impl fmt::Display for BundleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// What the manifest declares for one graph name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredRelease {
    /// The version that answers.
    pub stable: BundleRef,
    /// How long a replaced version may finish its requests, where the declaration says.
    pub drain: Option<Duration>,
    /// How long the previous version stays loaded for a rollback, where the declaration says.
    pub keep_warm: Option<Duration>,
    /// In which order versions are loaded and retired, where the declaration says.
    pub policy: Option<Policy>,
    /// What decides which requests a candidate gets, where the declaration says.
    pub sticky: Option<Sticky>,
    /// Whether a request may choose its version by the header `bobbin-version`, where the declaration says.
    pub version_header: Option<bool>,
    /// Whether a request may load each live version by its exact name, where the declaration says.
    pub exact_versions: Option<bool>,
    /// When the release stops answering, where that is decided.
    pub retires: Option<Moment>,
    /// Where it is declared.
    pub place: Place,
}

/// A moment, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It was read from such a text, so it can be written as one.
        humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(self.0)).fmt(f)
    }
}

impl DeclaredRelease {
    /// A declaration of a version and of nothing else.
    fn of(stable: BundleRef, place: Place) -> Self {
        let (drain, keep_warm, policy, sticky) = (None, None, None, None);
        let (version_header, exact_versions, retires) = (None, None, None);
        Self { stable, drain, keep_warm, policy, sticky, version_header, exact_versions, retires, place }
    }

    /// How long a replaced version may finish its requests.
    pub fn drain(&self) -> Duration {
        self.drain.unwrap_or(DEFAULT_DRAIN)
    }

    /// The digest of what is declared. It changes exactly when the declaration's meaning does: neither the
    /// place nor the spelling (short or long form) enters, and what is not written does not enter either, so
    /// that a later default resets no release.
    pub fn digest(&self) -> DeclarationDigest {
        let mut canonical = format!("bobbin-release 1\nstable {}\n", self.stable);
        let mut add = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                canonical.push_str(&format!("{key} {value}\n"));
            }
        };
        add("drain_seconds", self.drain.map(|drain| drain.as_secs().to_string()));
        add("keep_warm_seconds", self.keep_warm.map(|keep| keep.as_secs().to_string()));
        add("policy", self.policy.map(|policy| policy.to_string()));
        add("sticky", self.sticky.as_ref().map(ToString::to_string));
        add("version_header", self.version_header.map(|allowed| allowed.to_string()));
        add("exact_versions", self.exact_versions.map(|allowed| allowed.to_string()));
        add("retires", self.retires.map(|moment| moment.to_string()));
        DeclarationDigest(Sha256::digest(canonical.as_bytes()).into())
    }
}

/// The sha256 of a declaration in its canonical form, version 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeclarationDigest([u8; 32]);

impl DeclarationDigest {
    /// The digest's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for DeclarationDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for DeclarationDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A release as it was read: the name is known even where its value is wrong.
#[derive(Debug)]
pub(crate) struct ReleaseDoc {
    pub(crate) name_place: Place,
    /// None where an error was reported.
    pub(crate) declared: Option<DeclaredRelease>,
}

/// Reads a table of releases, by graph name.
pub(crate) fn read(table: &Table<'_>) -> BTreeMap<GraphName, ReleaseDoc> {
    let release = |(name, node): (At<&str>, Node<'_>)| {
        let doc = ReleaseDoc { name_place: name.place, declared: declared(&node) };
        (GraphName::new(name.value), doc)
    };
    table.entries().into_iter().map(release).collect()
}

fn declared(node: &Node<'_>) -> Option<DeclaredRelease> {
    let place = node.place;
    if node.is_string() {
        return Some(DeclaredRelease::of(bundle(node)?, place));
    }
    if !node.is_table() {
        return node.wrong_type("a bundle such as \"storyteller@1.0.0\", or a table with `stable`");
    }
    let mut table = node.table()?;
    let stable = table.required("stable", "stable = \"storyteller@1.0.0\"").and_then(|node| bundle(&node));
    let drain = table.get("drain_seconds").map(|node| seconds(&node, LONGEST_DRAIN));
    let keep_warm = table.get("keep_warm_seconds").map(|node| seconds(&node, LONGEST_KEEP_WARM));
    let policy = table.get("policy").map(|node| settings::read(&node));
    let sticky = table.get("sticky").map(|node| settings::read(&node));
    let version_header = table.get("version_header").map(|node| node.boolean().map(|allowed| allowed.value));
    let exact_versions = table.get("exact_versions").map(|node| node.boolean().map(|allowed| allowed.value));
    let retires = table.get("retires").map(|node| moment(&node));
    table.finish();
    Some(DeclaredRelease {
        stable: stable?,
        drain: written(drain)?,
        keep_warm: written(keep_warm)?,
        policy: written(policy)?,
        sticky: written(sticky)?,
        version_header: written(version_header)?,
        exact_versions: written(exact_versions)?,
        retires: written(retires)?,
        place,
    })
}

/// A key that is absent is fine; one that was reported makes no declaration.
fn written<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        Some(value) => value.map(Some),
        None => Some(None),
    }
}

fn bundle(node: &Node<'_>) -> Option<BundleRef> {
    let text = node.string()?;
    match text.value.parse() {
        Ok(bundle) => Some(bundle),
        Err(cause) => {
            let cause: BundleRefError = cause;
            let what = format!("{:?} is no bundle reference", text.value);
            let help = "write `name@version` with a full version, such as \"storyteller@1.0.0\"";
            node.found.error(text.place, Problem::new(ProblemKind::Release, what, help).caused_by(cause));
            None
        }
    }
}

/// A day, which begins at midnight, or a moment; both in UTC.
fn moment(node: &Node<'_>) -> Option<Moment> {
    let text = node.string()?;
    let midnight = format!("{}T00:00:00Z", text.value);
    let read = humantime::parse_rfc3339(&text.value).or_else(|_no_moment| humantime::parse_rfc3339(&midnight));
    match read.ok().and_then(|moment| moment.duration_since(UNIX_EPOCH).ok()) {
        Some(since) => Some(Moment(since.as_secs())),
        None => {
            let what = format!("`{}` is {:?}, which is no day", node.name, text.value);
            node.found.schema(
                text.place,
                what,
                "write a day such as \"2027-01-31\", or a moment such as \"2027-01-31T12:00:00Z\"",
            );
            None
        }
    }
}

fn seconds(node: &Node<'_>, longest: i64) -> Option<Duration> {
    let seconds = node.integer()?;
    match u64::try_from(seconds.value) {
        Ok(value) if seconds.value <= longest => Some(Duration::from_secs(value)),
        _ => {
            let what = format!("`{}` is {}", node.name, seconds.value);
            let help = format!("write whole seconds, from 0 to {longest}");
            node.found.schema(seconds.place, what, help);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(stable: &str, drain: Option<u64>, line: usize) -> DeclaredRelease {
        let place = Place { line, column: 1 };
        let drain = drain.map(Duration::from_secs);
        DeclaredRelease { drain, ..DeclaredRelease::of(stable.parse().unwrap(), place) }
    }

    #[test]
    fn the_digest_follows_the_declaration_and_not_its_place() {
        let digest = release("story@1.0.0", None, 1).digest();
        assert_eq!(digest, release("story@1.0.0", None, 99).digest());
        assert_ne!(digest, release("story@1.0.1", None, 1).digest());
        assert_ne!(digest, release("story@1.0.0", Some(30), 1).digest());
    }

    #[test]
    fn the_canonical_form_has_not_changed() {
        // State folders keep this digest: another value resets every running release.
        let digest = release("storyteller@1.0.0", Some(30), 1).digest().to_string();
        let canonical = b"bobbin-release 1\nstable storyteller@1.0.0\ndrain_seconds 30\n";
        assert_eq!(digest, format!("sha256:{}", hex::encode(Sha256::digest(canonical))));
    }

    #[test]
    fn every_setting_that_is_written_enters_the_digest_and_no_other_does() {
        let plain = release("storyteller@1.0.0", None, 1);
        let canonical = b"bobbin-release 1\nstable storyteller@1.0.0\n";
        assert_eq!(plain.digest().to_string(), format!("sha256:{}", hex::encode(Sha256::digest(canonical))));
        let all = DeclaredRelease {
            drain: Some(Duration::from_secs(30)),
            keep_warm: Some(Duration::from_secs(600)),
            policy: Some(Policy::Auto),
            sticky: Some(Sticky::Header("x-user".into())),
            version_header: Some(false),
            exact_versions: Some(true),
            retires: Some(Moment(1_801_353_600)),
            ..plain
        };
        let canonical = b"bobbin-release 1\nstable storyteller@1.0.0\ndrain_seconds 30\nkeep_warm_seconds 600\n\
            policy auto\nsticky header:x-user\nversion_header false\nexact_versions true\nretires 2027-01-31T00:00:00Z\n";
        assert_eq!(all.digest().to_string(), format!("sha256:{}", hex::encode(Sha256::digest(canonical))));
    }

    #[test]
    fn bundle_references_need_a_name_and_a_full_version() {
        assert!("storyteller@1.0.0-rc.1+cpu".parse::<BundleRef>().is_ok());
        assert!(matches!("storyteller".parse::<BundleRef>(), Err(BundleRefError::NoVersion)));
        assert!(matches!("../up@1.0.0".parse::<BundleRef>(), Err(BundleRefError::Name(_))));
        assert!(matches!("two--hyphens@1.0.0".parse::<BundleRef>(), Err(BundleRefError::Name(_))));
        assert!(matches!("@1.0.0".parse::<BundleRef>(), Err(BundleRefError::Name(_))));
        assert!(matches!("story@1.0".parse::<BundleRef>(), Err(BundleRefError::Version { .. })));
    }
}
