//! What is made of the command line itself: completions for shells, and manual pages.

use crate::cli;
use crate::failure::Failure;
use crate::release::Exit;
use crate::terminal::print;
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
///
/// # Errors
/// When the folder cannot be written into.
pub(crate) fn man(args: &Man) -> Result<ExitCode, Failure> {
    let files = write(&args.folder)?;
    if args.json {
        let shown: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
        print(&format!("{:#}\n", json!({ "files": shown })));
    } else {
        print(&format!("{} pages in {}\n", files.len(), args.folder.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn write(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: std::io::Error| {
        let shown = folder.display();
        Failure::new(Exit::Failed, format!("the pages cannot be written into {shown}: {error}; name another folder"))
    };
    fs::create_dir_all(folder).map_err(failed)?;
    let mut command = without_help(cli::command());
    command.build();
    let mut files = Vec::new();
    pages(&command, "bobbin", folder, &mut files).map_err(failed)?;
    files.sort();
    Ok(files)
}

/// The command line without `help`, which has no page: `man bobbin-infer` is what it would say.
fn without_help(command: clap::Command) -> clap::Command {
    let names: Vec<String> = command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
    let command = command.disable_help_subcommand(true);
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, without_help))
}

/// The page of a command, and those of its own commands.
fn pages(command: &clap::Command, name: &str, folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let file = folder.join(format!("{name}.1"));
    replace(&file, &page(command, name)?)?;
    files.push(file);
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        pages(inner, &format!("{name}-{}", inner.get_name()), folder, files)?;
    }
    Ok(())
}

/// One page, section by section. As in the help, arguments stand before options, and the synopsis is the line of usage.
fn page(command: &clap::Command, name: &str) -> std::io::Result<Vec<u8>> {
    let usage = command.clone().render_usage().to_string();
    let synopsis = usage.trim_start_matches("Usage:").trim().to_owned();
    // The name of a page is that of its command, with hyphens: `man bobbin-bundle-new`.
    let command = command.clone().display_name(name.to_owned());
    let source = concat!("bobbin ", env!("CARGO_PKG_VERSION"));
    let of = |command: clap::Command| clap_mangen::Man::new(command).title(name.to_uppercase()).source(source);
    let whole = of(command.clone());
    let mut text = Vec::new();
    whole.render_title(&mut text)?;
    whole.render_name_section(&mut text)?;
    of(command.clone().override_usage(synopsis)).render_synopsis_section(&mut text)?;
    whole.render_description_section(&mut text)?;
    let shown = |argument: &clap::Arg| !argument.is_hide_set();
    if command.get_positionals().any(shown) {
        let mut section = Vec::new();
        of(only(&command, clap::Arg::is_positional)).render_options_section(&mut section)?;
        text.extend(renamed(&section, "OPTIONS", "ARGUMENTS"));
    }
    of(only(&command, |argument| !argument.is_positional())).render_options_section(&mut text)?;
    if command.get_subcommands().any(|inner| !inner.is_hide_set()) {
        whole.render_subcommands_section(&mut text)?;
    }
    let mut section = Vec::new();
    whole.render_extra_section(&mut section)?;
    text.extend(renamed(&section, "EXTRA", "EXAMPLES"));
    if command.get_version().is_some() {
        whole.render_version_section(&mut text)?;
    }
    Ok(text)
}

/// The same command with these of its arguments alone.
fn only(command: &clap::Command, these: impl Fn(&clap::Arg) -> bool) -> clap::Command {
    command.clone().mut_args(|argument| {
        let hidden = argument.is_hide_set() || !these(&argument);
        argument.hide(hidden)
    })
}

/// A section under another heading.
fn renamed(section: &[u8], from: &str, to: &str) -> Vec<u8> {
    String::from_utf8_lossy(section).replacen(&format!(".SH {from}"), &format!(".SH {to}"), 1).into_bytes()
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
