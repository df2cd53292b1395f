//! What a runtime configuration says of threads: `[bobbin]`.

use crate::config;
use crate::reader::Table;

/// A larger number is a slip, whatever the machine.
pub const MOST_THREADS: u32 = 1024;

/// How many threads do what, where the file says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Threads {
    /// Those that compute, of all models together.
    pub compute: Option<u32>,
    /// Those that the host answers on.
    pub host: Option<u32>,
}

pub(super) fn read(mut table: Table<'_>) -> Threads {
    let mut number = |key| {
        let number = config::number(&mut table, key, 1, MOST_THREADS.into())?;
        u32::try_from(number).ok()
    };
    let threads = Threads { compute: number("compute_threads"), host: number("host_threads") };
    table.finish();
    threads
}

#[cfg(test)]
mod tests {
    use super::super::RuntimeConfigFile;
    use super::*;
    use std::path::Path;

    #[test]
    fn each_number_may_be_said_without_the_other() {
        for (text, compute, host) in [
            ("", None, None),
            ("[bobbin]", None, None),
            ("[bobbin]\ncompute_threads = 3", Some(3), None),
            ("[bobbin]\ncompute_threads = 1\nhost_threads = 1024", Some(1), Some(1024)),
        ] {
            let config = RuntimeConfigFile::parse(text, Path::new("rc.toml")).unwrap();
            assert_eq!(config.threads, Threads { compute, host }, "{text}");
        }
    }
}
