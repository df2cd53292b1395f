//! Whether tests may start the servers here that Bobbin talks to: each is a program that a test runs by itself.

use crate::means::Means;
use crate::process::{Failure, Progress, Step};
use std::path::Path;

/// A program that tests start, and skip themselves without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Server {
    /// The program.
    program: &'static str,
    /// Its package on Debian.
    pub(crate) package: &'static str,
    /// When set to 1, its tests fail where it is missing, instead of being skipped.
    require: &'static str,
    /// What its tests are on.
    what: &'static str,
    /// Where else the program is: in this folder, or in the folder `bin` of one for each version in it.
    folder: Option<&'static str>,
}

/// All of them.
pub(crate) const SERVERS: [Server; 5] = [
    Server {
        program: "redis-server",
        package: "redis-server",
        require: "BOBBIN_REQUIRE_REDIS",
        what: "Redis",
        folder: None,
    },
    Server {
        program: "docker-registry",
        package: "docker-registry",
        require: "BOBBIN_REQUIRE_REGISTRY",
        what: "OCI registries",
        folder: None,
    },
    Server {
        program: "postgres",
        package: "postgresql",
        require: "BOBBIN_REQUIRE_POSTGRES",
        what: "PostgreSQL",
        folder: Some("/usr/lib/postgresql"),
    },
    Server {
        program: "mosquitto",
        package: "mosquitto",
        require: "BOBBIN_REQUIRE_MOSQUITTO",
        what: "MQTT",
        folder: Some("/usr/sbin"),
    },
    Server {
        program: "mariadbd",
        package: "mariadb-server",
        require: "BOBBIN_REQUIRE_MYSQL",
        what: "MySQL",
        folder: Some("/usr/sbin"),
    },
];

impl Server {
    /// Whether the program is installed.
    pub(crate) fn is_installed(self) -> bool {
        let within = |folder: &str| {
            let folder = Path::new(folder);
            let versions = folder.read_dir().into_iter().flatten().flatten().map(|version| version.path().join("bin"));
            versions.chain([folder.to_owned()]).any(|folder| folder.join(self.program).is_file())
        };
        Step::new(self.program).args(["--version"]).succeeds() || self.folder.is_some_and(within)
    }

    /// What its tests need.
    fn means(self) -> Means {
        Means {
            require: self.require,
            tests: format!("the tests on {}", self.what),
            missing: format!("{} is not installed", self.program),
            next: format!("install {}", self.package),
        }
    }
}

/// The variables that the tests are to be run with: where there is a server, no test may skip for want of it.
pub(crate) fn required(progress: &Progress) -> Result<Vec<&'static str>, Failure> {
    let required = SERVERS.into_iter().map(|server| server.means().required(server.is_installed(), progress));
    let required: Result<Vec<_>, _> = required.collect();
    Ok(required?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_could_run_may_not_skip_and_one_that_was_declared_must_not() {
        for server in SERVERS {
            let means = server.means();
            assert_eq!(means.decide(true, false).unwrap(), Some(server.require));
            assert_eq!(means.decide(true, true).unwrap(), Some(server.require));
            assert_eq!(means.decide(false, false).unwrap(), None);
            let refused = means.decide(false, true).unwrap_err().to_string();
            assert!(refused.contains(server.program) && refused.contains(server.require), "{refused}");
        }
    }

    #[test]
    fn the_tests_ask_for_what_is_checked_here() {
        let tests = [
            include_str!("../../../tests/src/redis.rs"),
            include_str!("../../../tests/src/registry.rs"),
            include_str!("../../../tests/src/postgres.rs"),
            include_str!("../../../tests/src/mqtt.rs"),
            include_str!("../../../tests/src/mysql.rs"),
        ];
        for (server, tests) in SERVERS.into_iter().zip(tests) {
            for word in [server.program, server.require] {
                assert!(tests.contains(word), "{word} is not in the harness");
            }
        }
    }
}
