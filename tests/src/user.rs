//! Whom to run a server as.

use crate::Result;
use anyhow::Context;
use std::fs;

/// The numbers of a user, which comes with the server's package, and of its group. None where this process is not root's: a
/// server refuses to run as root, and needs nobody else otherwise.
pub(crate) fn user(name: &str) -> Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find(|line| line.split(':').next() == Some(name));
    let line = line.with_context(|| format!("there is no user {name}"))?;
    let mut fields = line.split(':').skip(2);
    let mut next = || anyhow::Ok(fields.next().context("no number in /etc/passwd")?.parse()?);
    Ok(Some((next()?, next()?)))
}
