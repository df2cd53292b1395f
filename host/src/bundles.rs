//! `bobbin bundle ..`: looks at bundles on disk, without a host.

use crate::cli::{List, Verify};
use anyhow::Result;
use bobbin_bundle::{Bundle, Pace, Report, Repository, WeightsSummary, verify_in_place};
use serde_json::{Value, json};
use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

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
pub(crate) fn verify(args: &Verify) -> Result<ExitCode> {
    let report = verify_in_place(&args.path, &mut Pace::full())?;
    if args.json {
        say!("{:#}", report_json(&report));
    } else {
        print_report(&report);
    }
    for error in report.errors() {
        eprintln!("error: {}", chain(error));
    }
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
