//! What is made of the command line itself: completions for shells, and manual pages.

use crate::cli;
use crate::failure::{Failure, told};
use crate::release::Exit;
use crate::terminal::print;
use anyhow::Result;
use clap::Args;
use clap_complete::Shell;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder that the pages are written into, such as ~/.local/share/man/man1; made where it is absent
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Prints the completions of a shell.
pub(crate) fn completions(args: &Completions) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut listed(&cli::command()), "bobbin", &mut script);
    print(&String::from_utf8_lossy(&script));
    ExitCode::SUCCESS
}

/// The command line without what is hidden: shells would complete that too.
fn listed(whole: &clap::Command) -> clap::Command {
    let inner = whole.get_subcommands().filter(|inner| !inner.is_hide_set()).cloned();
    clap::Command::new("bobbin")
        .version(env!("CARGO_PKG_VERSION"))
        .args(whole.get_arguments().cloned())
        .subcommands(inner)
}

/// Writes a page for each command.
pub(crate) fn man(args: &Man) -> Result<ExitCode> {
    let written = write(&args.folder).map(|files| {
        if args.json {
            let shown: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
            print(&format!("{:#}\n", json!({ "files": shown })));
        } else {
            print(&format!("{} pages in {}\n", files.len(), args.folder.display()));
        }
        ExitCode::SUCCESS
    });
    Ok(told(args.json, written))
}

fn write(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: std::io::Error| {
        let shown = folder.display();
        Failure::new(Exit::Failed, format!("the pages cannot be written into {shown}: {error}; name another folder"))
    };
    fs::create_dir_all(folder).map_err(failed)?;
    let mut command = cli::command();
    command.build();
    let mut files = Vec::new();
    pages(&command, "bobbin", folder, &mut files).map_err(failed)?;
    files.sort();
    Ok(files)
}

/// The page of a command, and those of its own commands.
fn pages(command: &clap::Command, name: &str, folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    // The name of a page is that of its command, with hyphens: `man bobbin-bundle-new`.
    let page = clap_mangen::Man::new(command.clone().display_name(name.to_owned())).title(name.to_uppercase());
    let mut text = Vec::new();
    page.render(&mut text)?;
    let file = folder.join(format!("{name}.1"));
    replace(&file, &text)?;
    files.push(file);
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help") {
        pages(inner, &format!("{name}-{}", inner.get_name()), folder, files)?;
    }
    Ok(())
}

/// Writes a page beside the one that is there, and puts it in its place: on a full disk the old one stays.
fn replace(file: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut next = file.to_owned().into_os_string();
    next.push(".next");
    let placed = fs::write(&next, text).and_then(|()| fs::rename(&next, file));
    if placed.is_err() {
        // Half of a page; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&next);
    }
    placed
}
