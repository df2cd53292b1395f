//! Whether a test may mount a small file system here, to see what the host does on a full disk.

use crate::process::{Failure, Progress, Step};

/// When set to 1, the tests that mount a file system fail where they cannot, instead of being skipped.
const REQUIRE_MOUNTS: &str = "BOBBIN_REQUIRE_MOUNTS";

/// The variable that the tests are to be run with: where file systems can be mounted, no test may skip for want of one.
pub(crate) fn required(progress: &Progress) -> Result<Option<&'static str>, Failure> {
    let declared = std::env::var(REQUIRE_MOUNTS).is_ok_and(|value| value == "1");
    let next = "let this user make mount namespaces (unshare), or unset the variable";
    match decide(can_mount(), declared) {
        Decision::Require => Ok(Some(REQUIRE_MOUNTS)),
        Decision::Skip => {
            progress.stage(&format!("skipping the test of a full disk: {NONE} here"));
            Ok(None)
        }
        Decision::Refuse => Err(Failure::unready(format!("{NONE} here, and {REQUIRE_MOUNTS}=1 requires it"), next)),
    }
}

const NONE: &str = "no file system can be mounted in a namespace";

#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Require,
    Skip,
    Refuse,
}

fn decide(can: bool, declared: bool) -> Decision {
    match (can, declared) {
        (true, _) => Decision::Require,
        (false, false) => Decision::Skip,
        (false, true) => Decision::Refuse,
    }
}

/// Tries what `tests/src/small_disk.rs` does. Where the two disagree, the test fails: it is run with the variable set.
fn can_mount() -> bool {
    let mount = "mount -t tmpfs -o size=16m,mode=0700 bobbin-test \"$1\"";
    ["-m", "-rm"].into_iter().any(|namespaces| {
        Step::new("unshare").args([namespaces, "sh", "-c", mount, "sh"]).args([std::env::temp_dir()]).succeeds()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_could_mount_may_not_skip() {
        assert_eq!(decide(true, false), Decision::Require);
        assert_eq!(decide(true, true), Decision::Require);
    }

    #[test]
    fn a_machine_that_cannot_mount_skips_unless_it_was_declared_to() {
        assert_eq!(decide(false, false), Decision::Skip);
        assert_eq!(decide(false, true), Decision::Refuse);
    }

    #[test]
    fn the_probe_is_what_the_test_does() {
        let test = include_str!("../../../tests/src/small_disk.rs");
        for word in ["mount -t tmpfs -o size={size},mode=0700 bobbin-test", "[\"-m\", \"-rm\"]", REQUIRE_MOUNTS] {
            assert!(test.contains(word), "{word} is not in tests/src/small_disk.rs");
        }
    }
}
