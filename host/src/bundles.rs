//! `bobbin bundle ..`: looks at bundles on disk, without a host.

mod find;
mod new;
mod show;

pub(crate) use find::{Wanted, find, unknown};
pub(crate) use new::{Import, New, import, new};

use crate::cli::{List, One};
use crate::failure::told;
use crate::terminal::Bar;
use anyhow::Result;
use bobbin_bundle::{Bundle, BundleError, Pace, Progress, Report, Repository, WeightsSummary, verify_in_place};
use bobbin_manifest::{BundleRef, BundleRefError};
use serde_json::{Value, json};
use std::error::Error;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

/// A bundle, as a command line names it.
#[derive(Debug, Clone)]
pub(crate) enum BundleArg {
    /// `name@version`, to be found in a repository.
    Ref(BundleRef),
    /// A folder.
    Folder(PathBuf),
}

impl FromStr for BundleArg {
    type Err = BundleRefError;

    /// What has an `@`, no `/`, and is no folder here, can only be meant as a reference.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let reference = text.contains('@') && !text.contains('/') && !Path::new(text).exists();
        if reference { text.parse().map(Self::Ref) } else { Ok(Self::Folder(text.into())) }
    }
}

/// Does something with the folder of a bundle; whether it is one is for whoever opens it.
fn in_folder(one: &One, act: impl FnOnce(&Path) -> Result<ExitCode>) -> Result<ExitCode> {
    let BundleRef { name, version } = match &one.bundle {
        BundleArg::Folder(folder) => return act(folder),
        BundleArg::Ref(reference) => reference,
    };
    match Repository::open(&one.repository)?.find(name, version) {
        Ok(bundle) => act(bundle.folder()),
        Err(BundleError::NotFound { .. }) => {
            let unknown = unknown(&Repository::open(&one.repository)?, name, Some(&version.to_string()))?;
            Ok(told(one.json, Err(unknown)))
        }
        Err(error) => Err(error.into()),
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

/// Prints a line; whoever closed standard output has seen enough.
macro_rules! say {
    ($($line:tt)*) => {{
        let _ = writeln!(std::io::stdout(), $($line)*);
    }};
}

/// Checks one bundle, file by file, and goes on after the first error.
pub(crate) fn verify(args: &One) -> Result<ExitCode> {
    in_folder(args, |folder| verify_folder(folder, args.json))
}

fn verify_folder(folder: &Path, json: bool) -> Result<ExitCode> {
    let mut bar = Bar::new(!json, "verifying");
    bar.count(Bundle::open(folder)?.manifest().size());
    let mut show = |progress: Progress<'_>| {
        bar.at(progress.path, progress.done);
        ControlFlow::Continue(())
    };
    let report = verify_in_place(folder, &mut Pace::full().with_progress(&mut show))?;
    drop(bar);
    if json {
        say!("{:#}", report_json(&report));
    } else {
        print_report(&report);
    }
    for error in report.errors() {
        eprintln!("error: {}", chain(error));
    }
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Shows one bundle as its manifest has it; whether the files are that, `verify` says.
pub(crate) fn show(args: &One) -> Result<ExitCode> {
    in_folder(args, |folder| {
        let bundle = Bundle::open(folder)?;
        if args.json {
            say!("{:#}", show::json(&bundle)?);
        } else {
            let _ = std::io::stdout().write_all(show::text(&bundle).as_bytes());
        }
        Ok(ExitCode::SUCCESS)
    })
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
pub(crate) fn list(args: &List) -> Result<ExitCode> {
    let listed = Repository::open(&args.repository)?.list()?;
    let unreadable = listed.iter().filter(|listed| listed.bundle.is_err()).count();
    if args.json {
        let entries = listed.iter().map(|listed| match &listed.bundle {
            Ok(bundle) => bundle_json(bundle),
            Err(error) => {
                json!({ "bundle": format!("{}@{}", listed.name, listed.version), "error": chain(error) })
            }
        });
        say!("{:#}", entries.collect::<Value>());
    } else {
        for listed in &listed {
            match &listed.bundle {
                Ok(bundle) => print_bundle(bundle),
                Err(error) => say!("{}@{}  UNREADABLE  {}", listed.name, listed.version, chain(error)),
            }
        }
        if listed.is_empty() {
            eprintln!("no bundles in {}; a bundle is <name>/<version>/bundle.toml", args.repository.display());
        }
    }
    Ok(if unreadable == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_bundle(bundle: &Bundle) {
    let manifest = bundle.manifest();
    say!("{}  {}  {} bytes  {}", bundle.id(), manifest.kind, manifest.size(), bundle.digest());
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
    fn a_bundle_is_named_by_reference_or_by_folder_and_a_slip_is_not_taken_for_a_folder() {
        assert!(matches!("tiny@1.0.0".parse(), Ok(BundleArg::Ref(_))));
        for folder in ["models/tiny/1.0.0", "tiny", "./a@1.0.0"] {
            assert!(matches!(folder.parse(), Ok(BundleArg::Folder(_))), "{folder}");
        }
        assert!("tiny@1.0".parse::<BundleArg>().is_err());
    }
}
