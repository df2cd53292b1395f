//! References: how an image of a registry is named.

use oci_client::{ParseError, Reference};
use std::net::Ipv4Addr;

/// A text that names no image.
#[derive(Debug, thiserror::Error)]
#[error(
    "{text:?} names no image of a registry; write it as registry.example/name:tag, or with @sha256:.. for one version"
)]
pub struct ReferenceError {
    text: String,
    source: ParseError,
}

/// Whether a text that is no path of this machine names an image of a registry. The rules are Spin's: one with a tag
/// does, and else one with a registry; a relative path such as `app/spin.toml`, which would be a name on Docker Hub, does
/// not.
#[must_use]
pub fn is_probably_reference(text: &str) -> bool {
    let Ok(reference) = Reference::try_from(text) else { return false };
    let has_tag = reference.tag() != Some("latest") || text.ends_with(":latest");
    let is_default_registry = reference.registry().contains("docker") && !text.contains("docker");
    has_tag || !is_default_registry
}

pub(crate) fn parse(text: &str) -> Result<Reference, ReferenceError> {
    Reference::try_from(text).map_err(|source| ReferenceError { text: text.chars().take(200).collect(), source })
}

/// Whether a registry, as a reference names it, is on this machine.
pub(crate) fn is_loopback(registry: &str) -> bool {
    let host = registry.split_once(':').map_or(registry, |(host, _port)| host);
    host.eq_ignore_ascii_case("localhost") || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_and_paths_are_told_apart_as_in_spin() {
        let references = [
            "registry.example/app",
            "registry.example/team/app:1.0",
            "registry.example/app:latest",
            "localhost:5000/app",
            "127.0.0.1:5000/app:v1",
            "app:v1",
            "docker.io/team/app",
            "team/app@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ];
        for text in references {
            assert!(is_probably_reference(text), "{text}");
        }
        for text in ["", "spin.toml", "app/spin.toml", "team/app", "./app:v1", "/srv/app", "../x", "App", "a b"] {
            assert!(!is_probably_reference(text), "{text}");
        }
    }

    #[test]
    fn a_reference_that_is_none_is_named_with_the_form() {
        let error = parse("Not A Reference").unwrap_err().to_string();
        assert!(error.contains("Not A Reference") && error.contains("registry.example/name:tag"), "{error}");
    }

    #[test]
    fn only_this_machine_is_this_machine() {
        for here in ["localhost", "LOCALHOST:5000", "127.0.0.1", "127.8.8.8:80"] {
            assert!(is_loopback(here), "{here}");
        }
        for there in ["registry.example", "127.0.0.1.example:5000", "localhost.example", "10.0.0.1:5000", "128.0.0.1"] {
            assert!(!is_loopback(there), "{there}");
        }
    }
}
