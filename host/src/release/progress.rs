//! What a waiting command shows: a bar on a terminal, a line per step elsewhere, nothing with `--json`.

use crate::admin::{ChangeEvent, Event, FileProgress, Step, VersionEvent};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

const SPINNER: &str = "{spinner} {elapsed}  {wide_msg}";
const BYTES: &str = "{prefix} [{bar:30}] {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {wide_msg}";

/// How often the bar shows that it lives.
const TICK: Duration = Duration::from_millis(120);

/// Something worth showing.
#[derive(Debug, PartialEq, Eq)]
enum News {
    /// A step began.
    Step(String),
    /// Files of the version are being hashed.
    Bytes { path: String, done: u64, total: u64 },
    /// The change is visible to requests.
    Committed(String),
}

/// Follows one change through the events of a host, which tell of all of them.
#[derive(Debug)]
struct Track {
    release: String,
    expected_generation: u64,
    /// The version that the present step is about.
    bundle: Option<String>,
    last: Option<String>,
}

impl Track {
    fn take(&mut self, event: &Event) -> Option<News> {
        match event {
            Event::Change(change) if self.is_ours(change) => self.step(change),
            Event::Progress(FileProgress { bundle, path, done, total }) if self.bundle.as_ref() == Some(bundle) => {
                Some(News::Bytes { path: path.clone(), done: *done, total: *total })
            }
            // A worker warms up by itself, between two steps of the change.
            Event::Version(VersionEvent { bundle, state })
                if self.bundle.as_ref() == Some(bundle) && state == "warming" =>
            {
                self.say(format!("warming up {bundle}"))
            }
            Event::Change(_) | Event::Progress(_) | Event::Version(_) | Event::Other => None,
        }
    }

    fn is_ours(&self, change: &ChangeEvent) -> bool {
        let generation = change.expected_generation;
        change.release == self.release && generation.is_none_or(|generation| generation == self.expected_generation)
    }

    fn step(&mut self, change: &ChangeEvent) -> Option<News> {
        self.bundle.clone_from(&change.bundle);
        let bundle = change.bundle.as_ref().map_or_else(String::new, |bundle| format!(" {bundle}"));
        let text = match change.step {
            Step::Accepted => format!("accepted{bundle}"),
            Step::Verifying => format!("verifying{bundle}"),
            Step::Loading => format!("loading{bundle}"),
            Step::Warming => format!("warming up{bundle}"),
            Step::Draining => format!("draining{bundle}"),
            Step::Committed => {
                let flip =
                    change.flip_us.map_or_else(String::new, |flip| format!("; requests saw it after {flip:.1} µs"));
                return Some(News::Committed(format!("committed{flip}")));
            }
            // The answer to the call says it, and why.
            Step::Failed | Step::Cancelled | Step::Other => return None,
        };
        self.say(text)
    }

    fn say(&mut self, text: String) -> Option<News> {
        (self.last.as_ref() != Some(&text)).then(|| News::Step(self.last.insert(text).clone()))
    }
}

/// Where the news go.
enum Screen {
    Bar(ProgressBar),
    Lines,
}

/// Shows one change.
pub(crate) struct Display {
    track: Track,
    screen: Screen,
}

impl Display {
    pub(crate) fn new(release: &str, expected_generation: u64) -> Self {
        let track = Track { release: release.to_owned(), expected_generation, bundle: None, last: None };
        let screen = if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new_spinner();
            bar.set_message("asking the host");
            bar.enable_steady_tick(TICK);
            bar.set_prefix("verifying");
            Screen::Bar(bar)
        } else {
            Screen::Lines
        };
        Self { track, screen }
    }

    /// Shows an event, if it is about the change; true once the change is committed.
    pub(crate) fn take(&mut self, event: &Event) -> bool {
        let Some(news) = self.track.take(event) else { return false };
        match (&self.screen, &news) {
            (Screen::Bar(bar), News::Step(text)) => {
                bar.set_message(text.clone());
                bar.set_style(spinner());
            }
            (Screen::Bar(bar), News::Bytes { path, done, total }) => {
                bar.set_message(path.clone());
                bar.set_length(*total);
                bar.set_position(*done);
                bar.set_style(bytes());
            }
            (Screen::Bar(bar), News::Committed(text)) => bar.suspend(|| eprintln!("{text}")),
            (Screen::Lines, News::Step(text) | News::Committed(text)) => eprintln!("{text}"),
            // A log is not the place to watch bytes.
            (Screen::Lines, News::Bytes { .. }) => {}
        }
        matches!(news, News::Committed(_))
    }

    /// Leaves the terminal as it was.
    pub(crate) fn finish(&self) {
        if let Screen::Bar(bar) = &self.screen {
            bar.finish_and_clear();
        }
    }
}

fn spinner() -> ProgressStyle {
    style(SPINNER)
}

/// A bar over the bytes of a file or of a bundle, with the file's name.
pub(crate) fn bytes() -> ProgressStyle {
    style(BYTES).progress_chars("=> ")
}

/// A template that this program got wrong is no reason to fail a command; a test holds them to be right.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_wrong| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(release: &str, step: Step, bundle: Option<&str>) -> Event {
        Event::Change(ChangeEvent {
            release: release.into(),
            expected_generation: Some(3),
            step,
            bundle: bundle.map(Into::into),
            flip_us: Some(83.96),
        })
    }

    fn bytes_of(bundle: &str) -> Event {
        Event::Progress(FileProgress { bundle: bundle.into(), path: "w".into(), done: 1, total: 2 })
    }

    fn track() -> Track {
        Track { release: "r".into(), expected_generation: 3, bundle: None, last: None }
    }

    #[test]
    fn a_change_is_told_step_by_step_and_each_step_once() {
        let mut track = track();
        let told: Vec<News> = [
            change("r", Step::Accepted, None),
            change("r", Step::Verifying, Some("b@1.0.0")),
            bytes_of("b@1.0.0"),
            change("r", Step::Verifying, Some("b@1.0.0")),
            change("r", Step::Loading, Some("b@1.0.0")),
            Event::Version(VersionEvent { bundle: "b@1.0.0".into(), state: "loading".into() }),
            Event::Version(VersionEvent { bundle: "b@1.0.0".into(), state: "warming".into() }),
            change("r", Step::Warming, Some("b@1.0.0")),
            change("r", Step::Committed, None),
        ]
        .iter()
        .filter_map(|event| track.take(event))
        .collect();
        let expected = [
            News::Step("accepted".into()),
            News::Step("verifying b@1.0.0".into()),
            News::Bytes { path: "w".into(), done: 1, total: 2 },
            News::Step("loading b@1.0.0".into()),
            News::Step("warming up b@1.0.0".into()),
            News::Committed("committed; requests saw it after 84.0 µs".into()),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_told_of_others_is_not_shown() {
        let mut track = track();
        let mut older = change("r", Step::Loading, None);
        if let Event::Change(change) = &mut older {
            change.expected_generation = Some(2);
        }
        for event in [change("other", Step::Loading, Some("b@1.0.0")), bytes_of("b@1.0.0"), older, Event::Other] {
            assert_eq!(track.take(&event), None, "{event:?}");
        }
    }

    #[test]
    fn the_bars_templates_are_right() {
        for template in [SPINNER, BYTES] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
