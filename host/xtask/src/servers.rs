//! Whether tests may start the servers here that Bobbin talks to: each is a program that a test runs by itself.

use crate::process::{Failure, Progress, Step};

/// A program that tests start, and skip themselves without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Server {
    /// The program, and its package on Debian.
    pub(crate) program: &'static str,
    /// When set to 1, its tests fail where it is missing, instead of being skipped.
    require: &'static str,
    /// What its tests are on.
    what: &'static str,
}

/// All of them.
pub(crate) const SERVERS: [Server; 2] = [
    Server { program: "redis-server", require: "BOBBIN_REQUIRE_REDIS", what: "Redis" },
    Server { program: "docker-registry", require: "BOBBIN_REQUIRE_REGISTRY", what: "OCI registries" },
];

impl Server {
    /// Whether the program is installed.
    pub(crate) fn is_installed(self) -> bool {
        Step::new(self.program).args(["--version"]).succeeds()
    }

    fn required(self, progress: &Progress) -> Result<Option<&'static str>, Failure> {
        let declared = std::env::var(self.require).is_ok_and(|value| value == "1");
        let required = self.decide(self.is_installed(), declared)?;
        if required.is_none() {
            progress.stage(&format!("skipping the tests on {}: {} is not installed", self.what, self.program));
        }
        Ok(required)
    }

    fn decide(self, present: bool, declared: bool) -> Result<Option<&'static str>, Failure> {
        match (present, declared) {
            (true, _) => Ok(Some(self.require)),
            (false, false) => Ok(None),
            (false, true) => Err(Failure::unready(
                format!("{} is not installed, and {}=1 requires it", self.program, self.require),
                format!("install {}, or unset the variable", self.program),
            )),
        }
    }
}

/// The variables that the tests are to be run with: where there is a server, no test may skip for want of it.
pub(crate) fn required(progress: &Progress) -> Result<Vec<&'static str>, Failure> {
    let required: Result<Vec<_>, _> = SERVERS.into_iter().map(|server| server.required(progress)).collect();
    Ok(required?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_could_run_may_not_skip_and_one_that_was_declared_must_not() {
        for server in SERVERS {
            assert_eq!(server.decide(true, false).unwrap(), Some(server.require));
            assert_eq!(server.decide(true, true).unwrap(), Some(server.require));
            assert_eq!(server.decide(false, false).unwrap(), None);
            let refused = server.decide(false, true).unwrap_err().to_string();
            assert!(refused.contains(server.program) && refused.contains(server.require), "{refused}");
        }
    }

    #[test]
    fn the_tests_ask_for_what_is_checked_here() {
        let tests = [include_str!("../../../tests/src/redis.rs"), include_str!("../../../tests/src/registry.rs")];
        for (server, tests) in SERVERS.into_iter().zip(tests) {
            for word in [server.program, server.require] {
                assert!(tests.contains(word), "{word} is not in the harness");
            }
        }
    }
}
