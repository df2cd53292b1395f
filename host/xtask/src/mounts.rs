//! Whether a test may mount a small file system here, to see what the host does on a full disk.

use crate::means::Means;
use crate::process::{Failure, Progress, Step};

/// When set to 1, the tests that mount a file system fail where they cannot, instead of being skipped.
const REQUIRE_MOUNTS: &str = "BOBBIN_REQUIRE_MOUNTS";

/// The variable that the tests are to be run with: where file systems can be mounted, no test may skip for want of one.
pub(crate) fn required(progress: &Progress) -> Result<Option<&'static str>, Failure> {
    means().required(can_mount(), progress)
}

fn means() -> Means {
    Means {
        require: REQUIRE_MOUNTS,
        tests: "the test of a full disk".to_owned(),
        missing: "no file system can be mounted in a namespace here".to_owned(),
        next: "let this user make mount namespaces (unshare)".to_owned(),
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
        assert_eq!(means().decide(true, false).unwrap(), Some(REQUIRE_MOUNTS));
        assert_eq!(means().decide(true, true).unwrap(), Some(REQUIRE_MOUNTS));
    }

    #[test]
    fn a_machine_that_cannot_mount_skips_unless_it_was_declared_to() {
        assert_eq!(means().decide(false, false).unwrap(), None);
        assert!(means().decide(false, true).unwrap_err().to_string().contains(REQUIRE_MOUNTS));
    }

    #[test]
    fn the_probe_is_what_the_test_does() {
        let test = include_str!("../../../tests/src/small_disk.rs");
        for word in ["mount -t tmpfs -o size={size},mode=0700 bobbin-test", "[\"-m\", \"-rm\"]", REQUIRE_MOUNTS] {
            assert!(test.contains(word), "{word} is not in tests/src/small_disk.rs");
        }
    }
}
