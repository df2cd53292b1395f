//! The names by which dependencies say which imports they satisfy.

use semver::Version;

use crate::names;
use crate::source;

/// What a dependency satisfies: `plain-name`, or `namespace:package[/interface][@version]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportName {
    /// One import of this name.
    Plain(String),
    /// An interface, or every interface of a package; of one version, or of any.
    Package {
        /// `namespace:package`.
        package: String,
        /// The interface; none is all of them.
        interface: Option<String>,
        /// The version; none is any.
        version: Option<Version>,
    },
}

impl ImportName {
    /// Reads a name; none where it is no name of an import.
    pub fn parse(text: &str) -> Option<Self> {
        if !text.contains([':', '/']) {
            return names::kebab(text).is_ok().then(|| Self::Plain(text.to_owned()));
        }
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(Version::parse(version).ok()?)),
            None => (text, None),
        };
        let (package, interface) = match name.split_once('/') {
            Some((package, interface)) => (package, Some(interface.to_owned())),
            None => (name, None),
        };
        let good = source::is_package(package) && interface.as_deref().is_none_or(|text| names::kebab(text).is_ok());
        good.then(|| Self::Package { package: package.to_owned(), interface, version })
    }

    /// Whether it means this import of a component. A version means itself alone, as in Spin.
    pub fn matches(&self, import: &str) -> bool {
        match (self, Self::parse(import)) {
            (Self::Plain(name), Some(Self::Plain(import))) => *name == import,
            (
                Self::Package { package, interface, version },
                Some(Self::Package { package: of, interface: Some(imported), version: imported_version }),
            ) => {
                *package == of
                    && interface.as_ref().is_none_or(|interface| *interface == imported)
                    && (version.is_none() || *version == imported_version)
            }
            _ => false,
        }
    }

    /// Whether two names can mean the same import: one package, and neither version nor interface tells them apart.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let (
            Self::Package { package, interface, version },
            Self::Package { package: other_package, interface: other_interface, version: other_version },
        ) = (self, other)
        else {
            return false;
        };
        let versions_differ = match (version, other_version) {
            (Some(a), Some(b)) => compatibility(a) != compatibility(b),
            _ => false,
        };
        let interfaces_differ = matches!((interface, other_interface), (Some(a), Some(b)) if a != b);
        package == other_package && !versions_differ && !interfaces_differ
    }
}

/// What two versions have in common when semver calls them compatible.
fn compatibility(version: &Version) -> Version {
    let mut version = Version { build: semver::BuildMetadata::EMPTY, ..version.clone() };
    if version.pre.is_empty() {
        if version.major > 0 {
            version.minor = 0;
        }
        if version.major > 0 || version.minor > 0 {
            version.patch = 0;
        }
    }
    version
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlap(a: &str, b: &str) -> bool {
        ImportName::parse(a).unwrap().overlaps(&ImportName::parse(b).unwrap())
    }

    #[test]
    fn imports_overlap_unless_package_interface_or_major_version_differ() {
        assert!(overlap("a:b", "a:b@1.0.0"));
        assert!(overlap("a:b@1.0.0", "a:b@1.2.0"));
        assert!(overlap("a:b/c@0.1.0", "a:b@0.1.5"));
        assert!(!overlap("a:b@0.1.0", "a:b@0.2.0"));
        assert!(!overlap("a:b@1.0.0", "a:b@2.0.0"));
        assert!(!overlap("a:b/c", "a:b/d"));
        assert!(!overlap("a:b", "a:c"));
        assert!(!overlap("plain", "plain"));
    }

    #[test]
    fn a_name_means_what_it_means_in_spin() {
        for (name, import, means) in [
            ("foo:bar/baz@0.1.0", "foo:bar/baz@0.1.0", true),
            ("foo:bar/baz", "foo:bar/baz@0.1.0", true),
            ("foo:bar/baz", "foo:bar/baz", true),
            ("foo:bar", "foo:bar/baz@0.1.0", true),
            ("foo:bar@0.1.0", "foo:bar/baz@0.1.0", true),
            ("foo-bar", "foo-bar", true),
            ("foo:bar/baz@0.1.0", "foo:bar/baz", false),
            ("foo:bar/baz@0.1.0", "foo:bar/baz@0.1.1", false),
            ("foo:bar/baz", "foo:bar/other", false),
            ("foo:bar", "foo:other/baz", false),
            ("foo:bar@0.1.0", "foo:bar/baz", false),
            ("foo:bar/baz", "foo-bar", false),
            ("foo-bar", "foo-baz", false),
        ] {
            assert_eq!(ImportName::parse(name).unwrap().matches(import), means, "{name} and {import}");
        }
    }

    #[test]
    fn only_import_names_are_import_names() {
        assert!(ImportName::parse("a:b/c@1").is_none());
        assert!(ImportName::parse("a/b").is_none());
        assert!(ImportName::parse("Not Plain").is_none());
        assert_eq!(ImportName::parse("plain-name"), Some(ImportName::Plain("plain-name".to_owned())));
    }
}
