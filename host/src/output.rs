//! Where what components print goes: the host's log, files, or both.

use crate::cli::Serve;
use anyhow::{Result, bail};
use bobbin_manifest::{App, ComponentId, RuntimeConfigFile};
use bobbin_runtime::{Output, OutputWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the command line and the runtime configuration say of it.
pub(crate) struct Outputs<'a> {
    args: &'a Serve,
    writer: Option<OutputWriter>,
}

impl<'a> Outputs<'a> {
    /// Starts to write files, unless nobody wants any.
    ///
    /// # Errors
    /// When the folder cannot be had.
    pub(crate) fn open(args: &'a Serve, config: &RuntimeConfigFile, state: &Path) -> Result<Self> {
        let folder = args
            .log_dir
            .as_ref()
            .map(PathBuf::from)
            .or_else(|| config.log_dir.clone())
            .unwrap_or_else(|| state.join("logs"));
        let writer = match folder.as_os_str().is_empty() {
            true => None,
            false => Some(OutputWriter::start(&folder, args.truncate_logs)?),
        };
        Ok(Self { args, writer })
    }

    /// Whether the application has all components that the command line names.
    ///
    /// # Errors
    /// When `--follow` names another.
    pub(crate) fn check(&self, app: &App) -> Result<()> {
        let has = |id: &String| app.components.keys().any(|known| known.as_str() == id);
        if let Some(unknown) = self.args.follow.iter().find(|id| !has(id)) {
            let known: Vec<&str> = app.components.keys().map(ComponentId::as_str).collect();
            let known = known.join(", ");
            bail!("--follow names the component \"{unknown}\", which the application does not have; it has {known}");
        }
        Ok(())
    }

    /// Where a component's goes.
    ///
    /// # Errors
    /// When one of its files cannot be opened.
    pub(crate) fn of(&self, component: &str) -> Result<Arc<Output>> {
        let follow = &self.args.follow;
        let shown = !self.args.quiet && (follow.is_empty() || follow.iter().any(|id| id == component));
        let files = self.writer.as_ref().map(|writer| writer.files(component)).transpose()?;
        Ok(Arc::new(Output { follow: shown, files }))
    }
}
