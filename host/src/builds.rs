//! `--build`: the build commands of components, as their manifest writes them.

use crate::terminal::say;
use anyhow::{Context, Result, bail};
use bobbin_manifest::Manifest;
use std::process::{Command, Stdio};

/// Runs the build commands of all components that have some, in the order of their ids. What they print goes where this
/// process prints.
///
/// # Errors
/// When a command cannot be started, or fails; those after it are not run.
pub(crate) fn run(manifest: &Manifest) -> Result<()> {
    for (component, build) in manifest.builds() {
        let folder = build.folder(manifest.folder());
        for command in &build.commands {
            say(format_args!("building {component}: {command}"));
            let status = Command::new("/bin/sh")
                .args(["-c", command])
                .current_dir(&folder)
                .stdin(Stdio::null())
                .status()
                .with_context(|| {
                    format!("the build of component \"{component}\" cannot be started in {}", folder.display())
                })?;
            if !status.success() {
                bail!(
                    "the build of component \"{component}\" failed ({status}): `{command}` in {}; what it printed is above",
                    folder.display()
                );
            }
        }
    }
    Ok(())
}
