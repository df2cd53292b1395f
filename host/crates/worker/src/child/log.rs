//! The worker's log: standard error, which the supervisor reads and whose last lines become the reported
//! reason of a death. Warnings and errors of llama.cpp always; its chatter with `BOBBIN_WORKER_LOG=info`.

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata, Subscriber, span};

/// The environment variable that widens the log: `info` or `debug`.
const LEVEL_VARIABLE: &str = "BOBBIN_WORKER_LOG";

const KEPT: usize = 12;

static LAST: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

struct StderrLog {
    most: Level,
}

/// Sends llama.cpp's messages and our own to standard error.
pub(super) fn start() {
    let most = match std::env::var(LEVEL_VARIABLE).as_deref() {
        Ok("debug") => Level::DEBUG,
        Ok("info") => Level::INFO,
        _ => Level::WARN,
    };
    // A second subscriber can only come from a test harness in the same process; its log is as good.
    let _ = tracing::subscriber::set_global_default(StderrLog { most });
    llama_cpp_2::send_logs_to_tracing(llama_cpp_2::LogOptions::default());
}

/// The last warnings and errors, oldest first: why loading failed, in llama.cpp's words.
pub(super) fn last_lines() -> String {
    let lines = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().map(String::as_str).collect::<Vec<_>>().join("; ")
}

/// Collects an event's message and fields as one line.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.trim_end().clone_into(&mut self.message);
        } else {
            self.fields.push_str(&format!(" {}={value}", field.name()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl Subscriber for StderrLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.most
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let level = *event.metadata().level();
        if level > self.most {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        if line.message.is_empty() {
            return;
        }
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(std::io::stderr(), "{level} {}{}", line.message, line.fields);
        if level <= Level::WARN {
            let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
            if last.len() == KEPT {
                last.pop_front();
            }
            last.push_back(line.message);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
