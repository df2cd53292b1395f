//! Where a host under test keeps its state, and where its log goes.

use crate::Result;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The folders of one host.
#[derive(Debug)]
pub(crate) struct Folders {
    own: TempDir,
    /// Its state folder.
    pub(crate) state: PathBuf,
}

impl Folders {
    /// With a state folder that outlives the host, or else one that does not.
    pub(crate) fn new(state: Option<&Path>) -> Result<Self> {
        let own = TempDir::new()?;
        let state = state.map_or_else(|| own.path().join("state"), Path::to_owned);
        Ok(Self { own, state })
    }

    /// The log file: never in the state folder, which may be full.
    pub(crate) fn log(&self) -> PathBuf {
        self.own.path().join("log")
    }

    /// What the host has logged so far.
    pub(crate) fn read_log(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }
}
