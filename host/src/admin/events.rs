//! What the host tells while a change is on its way.

use super::sse::SseEvent;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// One event that a waiting command shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// A step of a change.
    Change(ChangeEvent),
    /// Files are being hashed.
    Progress(FileProgress),
    /// A version's life.
    Version(VersionEvent),
    /// Everything else: the repository, drains, and what newer hosts tell.
    Other,
}

/// `event: change`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct ChangeEvent {
    pub(crate) release: String,
    pub(crate) expected_generation: Option<u64>,
    pub(crate) step: Step,
    pub(crate) bundle: Option<String>,
    /// With `committed`: from the commit until requests saw it, in microseconds.
    pub(crate) flip_us: Option<f64>,
}

/// Where a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    Accepted,
    Verifying,
    Loading,
    Warming,
    Draining,
    Committed,
    Failed,
    Cancelled,
    /// One that a newer host knows.
    #[serde(other)]
    Other,
}

/// `event: version`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct VersionEvent {
    pub(crate) bundle: String,
    pub(crate) state: String,
}

/// `event: progress`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct FileProgress {
    pub(crate) bundle: String,
    /// The file, relative to the bundle's folder.
    pub(crate) path: String,
    /// In bytes.
    pub(crate) done: u64,
    /// In bytes.
    pub(crate) total: u64,
}

impl From<SseEvent> for Event {
    fn from(event: SseEvent) -> Self {
        match event.kind.as_str() {
            "change" => read(&event.data).map_or(Self::Other, Self::Change),
            "progress" => read(&event.data).map_or(Self::Other, Self::Progress),
            "version" => read(&event.data).map_or(Self::Other, Self::Version),
            _ => Self::Other,
        }
    }
}

/// Progress is a courtesy: an event that cannot be read is not worth a failed command.
fn read<T: DeserializeOwned>(data: &str) -> Option<T> {
    serde_json::from_str(data).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, data: &str) -> Event {
        SseEvent { kind: kind.into(), data: data.into() }.into()
    }

    #[test]
    fn steps_and_progress_are_read_and_everything_else_is_let_pass() {
        let step = r#"{"at":"..","release":"r","expected_generation":3,"step":"warming","bundle":"b@1.0.0","who":"x"}"#;
        let Event::Change(change) = event("change", step) else { panic!("no change") };
        assert_eq!((change.step, change.bundle.as_deref()), (Step::Warming, Some("b@1.0.0")));
        let Event::Change(change) = event("change", r#"{"release":"r","step":"pondering"}"#) else { panic!("none") };
        assert_eq!(change.step, Step::Other);
        let Event::Change(change) = event("change", r#"{"release":"r","step":"committed","flip_us":3.856}"#) else {
            panic!("no change")
        };
        assert_eq!((change.step, change.flip_us), (Step::Committed, Some(3.856)));
        let version = event("version", r#"{"bundle":"b@1.0.0","class":"serving","state":"warming","reason":null}"#);
        assert!(matches!(version, Event::Version(VersionEvent { state, .. }) if state == "warming"));
        let progress = event("progress", r#"{"bundle":"b@1.0.0","path":"w","done":1,"total":2}"#);
        assert!(matches!(progress, Event::Progress(FileProgress { done: 1, total: 2, .. })));
        for other in [event("change", "{"), event("drain", "{}"), event("lagged", r#"{"missed":3}"#)] {
            assert_eq!(other, Event::Other);
        }
    }
}
