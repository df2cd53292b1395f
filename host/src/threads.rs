//! How many threads compute and how many answer, where somebody says.
//!
//! There are never more of either than cores. Threads that compute wait for each other some ten times in each layer of a
//! model; where two of them share a core, that is most of what they do (`docs/benchmarks.md`, "The cores"). A number that
//! is too large is lowered with a warning, and not refused: a file that machines of several sizes share must not keep the
//! smallest of them from serving.

use crate::cli::Serve;
use crate::terminal::say;
use bobbin_manifest::{MOST_THREADS, RuntimeConfigFile};
use bobbin_worker::supervisor::cores;
use std::io;
use tokio::runtime::{Builder, Runtime};

/// A number of threads, behind where it was said.
pub(crate) type Said<'a> = (&'a str, u32);

/// How many threads a host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Threads {
    /// Those that compute: the cores that all workers divide among them.
    pub(crate) compute: u32,
    /// Those that answer, beside them; as many as there are cores where nobody says.
    answering: Option<u32>,
}

impl Threads {
    /// What the command line says, or the environment, goes before the runtime configuration.
    pub(crate) fn of(args: &Serve, config: &RuntimeConfigFile) -> Self {
        let compute = first(
            args.compute_threads.map(|number| ("--compute-threads", number)),
            config.threads.compute.map(|number| ("`bobbin.compute_threads` of the runtime configuration:", number)),
        );
        let answering = first(
            args.host_threads.map(|number| ("--host-threads", number)),
            config.threads.host.map(|number| ("`bobbin.host_threads` of the runtime configuration:", number)),
        );
        Self { compute: compute.map_or_else(cores, on_cores), answering: answering.map(on_cores) }
    }

    /// What the host answers on.
    ///
    /// # Errors
    /// When the threads cannot be started.
    pub(crate) fn runtime(&self) -> io::Result<Runtime> {
        let mut builder = Builder::new_multi_thread();
        if let Some(threads) = self.answering {
            builder.worker_threads(threads as usize);
        }
        let runtime = builder.enable_all().build()?;
        tracing::info!(compute = self.compute, host = runtime.metrics().num_workers(), "threads");
        Ok(runtime)
    }
}

fn first<'a>(typed: Option<Said<'a>>, configured: Option<Said<'a>>) -> Option<Said<'a>> {
    typed.or(configured)
}

/// As many as were said, but no more than there are cores; the difference is told.
pub(crate) fn on_cores(said: Said<'_>) -> u32 {
    let (number, warning) = within(cores(), said);
    if let Some(warning) = warning {
        say(format_args!("warning: {warning}"));
    }
    number
}

fn within(cores: u32, (place, number): Said<'_>) -> (u32, Option<String>) {
    if number <= cores {
        return (number, None);
    }
    let warning = format!(
        "{place} {number} is more than the cores that this process may use, and counts as {cores}: threads that share a \
         core wait for each other; say {cores} or less, or give the process more cores"
    );
    (cores, Some(warning))
}

/// Reads a number of threads on the command line.
pub(crate) fn number(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=MOST_THREADS).contains(number));
    number.ok_or_else(|| format!("write a whole number from 1 to {MOST_THREADS}, or leave it out for one a core"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_more_threads_than_there_are_cores_and_is_told() {
        for (cores, said, holds) in [(4, 1, 1), (4, 4, 4), (4, 5, 4), (1, MOST_THREADS, 1)] {
            let (number, warning) = within(cores, ("--compute-threads", said));
            assert_eq!((number, warning.is_some()), (holds, said > cores), "{said} of {cores}");
            if let Some(warning) = warning {
                let (what, next) = (format!("--compute-threads {said} "), format!("say {cores} or less"));
                assert!(warning.contains(&what) && warning.contains(&next), "{warning}");
            }
        }
    }

    #[test]
    fn the_command_line_goes_before_the_runtime_configuration() {
        assert_eq!(first(Some(("typed", 1)), Some(("configured", 2))), Some(("typed", 1)));
        assert_eq!(first(None, Some(("configured", 2))), Some(("configured", 2)));
        assert_eq!(first(None, None), None);
    }

    #[test]
    fn what_is_no_number_of_threads_is_refused_with_what_would_be() {
        assert_eq!((number("1"), number("1024")), (Ok(1), Ok(1024)));
        for wrong in ["0", "-1", "1025", "two", "1.5", "", " 2"] {
            assert!(number(wrong).unwrap_err().contains("from 1 to 1024"), "{wrong}");
        }
    }

    #[test]
    fn the_host_answers_on_as_many_threads_as_were_said() {
        let runtime = |answering| Threads { compute: 1, answering }.runtime().unwrap();
        assert_eq!(runtime(Some(1)).metrics().num_workers(), 1);
        assert_eq!(runtime(Some(3)).metrics().num_workers(), 3);
    }
}
