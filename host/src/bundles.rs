//! `bobbin bundle ..`: looks at bundles on disk, without a host.

mod find;
mod new;
mod show;

pub(crate) use find::{Wanted, find, unknown};
pub(crate) use new::{Import, New, import, new};

use crate::cli::{List, One};
use crate::failure::Failure;
use crate::release::{Exit, table};
use crate::terminal::{Bar, print};
use bobbin_bundle::{Bundle, Listed, Pace, Progress, Report, WeightsSummary, verify_in_place};
use bobbin_manifest::BundleRefError;
use indicatif::HumanBytes;
use serde_json::{Value, json};
use std::error::Error;
use std::io::IsTerminal as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

/// A bundle, as a command line names it.
#[derive(Debug, Clone)]
pub(crate) enum BundleArg {
    /// A name, perhaps with a version, to be found in a repository.
    Named(Wanted),
    /// A folder.
    Folder(PathBuf),
}

impl FromStr for BundleArg {
    type Err = BundleRefError;

    /// What has no `/` and is no folder here is a name; what could be none can only be a folder.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('/') || Path::new(text).exists() {
            return Ok(Self::Folder(text.into()));
        }
        match text.parse() {
            Ok(wanted) => Ok(Self::Named(wanted)),
            Err(error) if text.contains('@') => Err(error),
            Err(_) => Ok(Self::Folder(text.into())),
        }
    }
}

/// The folder of the bundle that is meant; whether it is one is for whoever opens it.
fn folder(one: &One) -> Result<PathBuf, Failure> {
    match &one.bundle {
        BundleArg::Named(wanted) => Ok(find(&one.repository, wanted)?.folder().to_owned()),
        BundleArg::Folder(folder) => find::at(folder),
    }
}

/// An error with all its causes, on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors already tell their cause.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Prints a line.
macro_rules! say {
    ($($line:tt)*) => { print(&format!("{}\n", format_args!($($line)*))) };
}

/// Checks one bundle, file by file, and goes on after the first error.
pub(crate) fn verify(args: &One) -> Result<ExitCode, Failure> {
    let folder = folder(args)?;
    let mut bar = Bar::new(!args.json, "verifying");
    let mut show = |progress: Progress<'_>| {
        bar.at(&progress);
        ControlFlow::Continue(())
    };
    let report = verify_in_place(&folder, &mut Pace::full().with_progress(&mut show))?;
    drop(bar);
    if !args.json {
        print_report(&report);
    }
    let errors: Vec<String> = report.errors().map(|error| chain(error)).collect();
    if errors.is_empty() {
        if args.json {
            say!("{:#}", report_json(&report));
        }
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::new(Exit::Failed, errors.join("; ")).beside(report_json(&report)))
}

/// Shows one bundle as its manifest has it; whether the files are that, `verify` says.
pub(crate) fn show(args: &One) -> Result<ExitCode, Failure> {
    let bundle = Bundle::open(&folder(args)?)?;
    if args.json {
        say!("{:#}", show::json(&bundle)?);
    } else {
        print(&show::text(&bundle));
    }
    Ok(ExitCode::SUCCESS)
}

fn print_report(report: &Report) {
    let manifest = report.bundle.manifest();
    say!("{}  {}  {}", report.bundle.id(), manifest.kind, report.bundle.digest());
    for file in &report.files {
        let verdict = if file.result.is_ok() { "ok" } else { "FAILED" };
        say!("  {verdict:<6}  {}  {}  {} bytes", file.entry.path, file.entry.role, file.entry.size);
    }
    match &report.weights {
        Some(Ok(WeightsSummary::Model(model))) => say!(
            "  ok      preflight  {}, {} layers, {} wide, {} weights, vocabulary of {}, context of {}",
            model.architecture,
            model.block_count,
            model.embedding_length,
            model.parameters,
            model.vocabulary,
            model.context_length
        ),
        Some(Ok(_)) => say!("  ok      preflight  adapter"),
        Some(Err(_)) => say!("  FAILED  preflight"),
        None => say!("  -       preflight  not run: the weights are not what the manifest says"),
    }
}

fn report_json(report: &Report) -> Value {
    let files = report.files.iter().map(|file| {
        json!({
            "path": file.entry.path,
            "role": file.entry.role.to_string(),
            "size": file.entry.size,
            "sha256": file.entry.sha256.hex(),
            "error": file.result.as_ref().err().map(|error| chain(error)),
        })
    });
    json!({
        "bundle": report.bundle.id(),
        "kind": report.bundle.manifest().kind.to_string(),
        "digest": report.bundle.digest().to_string(),
        "ok": report.is_ok(),
        "files": files.collect::<Vec<_>>(),
        "errors": report.errors().map(|error| chain(error)).collect::<Vec<_>>(),
    })
}

/// Lists a repository. A bundle that cannot be read is a line of its own, and makes the exit code a failure.
pub(crate) fn list(args: &List) -> Result<ExitCode, Failure> {
    let listed = find::repository(&args.repository)?.list()?;
    let unreadable = listed.iter().filter(|listed| listed.bundle.is_err()).count();
    if args.json {
        let entries = listed.iter().map(|listed| match &listed.bundle {
            Ok(bundle) => bundle_json(bundle),
            Err(error) => {
                json!({ "bundle": format!("{}@{}", listed.name, listed.version), "error": chain(error) })
            }
        });
        say!("{:#}", entries.collect::<Value>());
    } else if listed.is_empty() {
        eprintln!("no bundles in {}; a bundle is <name>/<version>/bundle.toml", args.repository.display());
    } else {
        print(&table(&listed.iter().map(row).collect::<Vec<_>>(), ""));
    }
    Ok(if unreadable == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A line of a list.
fn row(listed: &Listed) -> [String; 4] {
    match &listed.bundle {
        Ok(bundle) => line(bundle),
        Err(error) => [format!("{}@{}", listed.name, listed.version), "UNREADABLE".into(), String::new(), chain(error)],
    }
}

fn line(bundle: &Bundle) -> [String; 4] {
    let manifest = bundle.manifest();
    [bundle.id(), manifest.kind.to_string(), size(manifest.size()), bundle.digest().to_string()]
}

/// Bytes, for people in a unit that they can compare; for what reads standard output, exactly.
fn size(bytes: u64) -> String {
    if std::io::stdout().is_terminal() { format!("{}", HumanBytes(bytes)) } else { format!("{bytes} bytes") }
}

fn print_bundle(bundle: &Bundle) {
    print(&table(&[line(bundle)], ""));
}

fn bundle_json(bundle: &Bundle) -> Value {
    json!({
        "bundle": bundle.id(),
        "kind": bundle.manifest().kind.to_string(),
        "size": bundle.manifest().size(),
        "digest": bundle.digest().to_string(),
        "licence": bundle.manifest().card.licence,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_named_or_is_a_folder_and_a_slip_is_not_taken_for_one() {
        for name in ["tiny@1.0.0", "tiny", "tiny@1.0"] {
            assert!(matches!(name.parse(), Ok(BundleArg::Named(_))), "{name}");
        }
        for folder in ["models/tiny/1.0.0", "./tiny", "./a@1.0.0", "Tiny"] {
            assert!(matches!(folder.parse(), Ok(BundleArg::Folder(_))), "{folder}");
        }
        assert!("Tiny@1.0".parse::<BundleArg>().is_err());
    }
}
