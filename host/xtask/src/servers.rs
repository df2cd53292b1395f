//! Whether tests may start the servers here that Bobbin talks to: each is a program that a test runs by itself.

use crate::process::{Failure, Progress, Step};

/// When set to 1, the tests on Redis fail where they find no server, instead of being skipped.
const REQUIRE_REDIS: &str = "BOBBIN_REQUIRE_REDIS";
/// The program, and its package on Debian.
pub(crate) const REDIS: &str = "redis-server";

/// Whether the program is installed.
pub(crate) fn has_redis() -> bool {
    Step::new(REDIS).args(["--version"]).succeeds()
}

/// The variable that the tests are to be run with: where there is a server, no test may skip for want of one.
pub(crate) fn required(progress: &Progress) -> Result<Option<&'static str>, Failure> {
    let declared = std::env::var(REQUIRE_REDIS).is_ok_and(|value| value == "1");
    decide(has_redis(), declared)
        .map_err(|()| {
            let next = format!("install {REDIS}, or unset the variable");
            Failure::unready(format!("{REDIS} is not installed, and {REQUIRE_REDIS}=1 requires it"), next)
        })
        .inspect(|required| {
            if required.is_none() {
                progress.stage(&format!("skipping the tests on Redis: {REDIS} is not installed"));
            }
        })
}

fn decide(present: bool, declared: bool) -> Result<Option<&'static str>, ()> {
    match (present, declared) {
        (true, _) => Ok(Some(REQUIRE_REDIS)),
        (false, false) => Ok(None),
        (false, true) => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_could_run_may_not_skip_and_one_that_was_declared_must_not() {
        assert_eq!(decide(true, false), Ok(Some(REQUIRE_REDIS)));
        assert_eq!(decide(true, true), Ok(Some(REQUIRE_REDIS)));
        assert_eq!(decide(false, false), Ok(None));
        assert_eq!(decide(false, true), Err(()));
    }

    #[test]
    fn the_tests_ask_for_what_is_checked_here() {
        let tests = include_str!("../../../tests/src/redis.rs");
        for word in [REDIS, REQUIRE_REDIS] {
            assert!(tests.contains(word), "tests/src/redis.rs does not name {word}");
        }
    }
}
