//! `bobbin doctor`: what this machine can do.

use anyhow::Context;
use bobbin_tests::{Ran, Result, bobbin, ran, typed};
use std::path::Path;
use std::process::Command;

/// `bobbin doctor --json` in a shell that was limited first.
fn limited(limit: &str) -> Result<Ran> {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limit}; exec \"$BOBBIN\" doctor --json")]).env("BOBBIN", bobbin());
    let output = command.output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Ran { code: output.status.code().context("a code")?, out: text(&output.stdout), err: text(&output.stderr) })
}

#[test]
fn this_machine_runs_the_tests_so_nothing_prevents_running() -> Result {
    let told = ran(Path::new("."), &["doctor"])?;
    assert_eq!((told.code, told.err.as_str()), (0, ""), "{told:?}");
    for about in
        ["build", "processor", "llama.cpp", "cores", "memory", "gpu", "cage", "open files", "addresses", "kernel"]
    {
        assert!(told.out.lines().any(|line| line.contains(&format!(" {about} "))), "{about} is not in:\n{}", told.out);
    }
    assert!(told.out.contains("seccomp") && told.out.contains("nothing prevents running"), "{}", told.out);
    Ok(())
}

#[test]
fn programs_get_every_finding_with_its_next_step() -> Result {
    let json = ran(Path::new("."), &["doctor", "--json"])?.json()?;
    assert_eq!(json["ok"], true, "{json}");
    let findings = json["findings"].as_array().context("findings")?;
    for finding in findings {
        let (state, next) = (finding["state"].as_str(), finding["next"].as_str());
        assert!(finding["says"].as_str().is_some_and(|says| !says.is_empty()), "{finding}");
        assert_eq!(next.is_some_and(|next| !next.is_empty()), state != Some("ok"), "{finding}");
    }
    // What the worker says comes from one that was started here.
    let llama = findings.iter().find(|finding| finding["about"] == "llama.cpp").context("llama.cpp")?;
    assert!(llama["says"].as_str().is_some_and(|says| says.starts_with("CPU: ") && !says.contains(" = ")), "{llama}");
    Ok(())
}

#[test]
fn what_prevents_running_is_found_and_fails_the_command() -> Result {
    for (limit, about, says) in
        [("ulimit -v 16777216", "addresses", "address space"), ("ulimit -n 100", "open files", "100")]
    {
        let told = limited(limit)?;
        let json = told.json()?;
        assert_eq!((told.code, &json["ok"]), (1, &false.into()), "{limit}: {told:?}");
        assert!(json["error"]["message"].as_str().is_some_and(|message| message.contains(about)), "{json}");
        let finding = json["findings"].as_array().into_iter().flatten().find(|finding| finding["about"] == about);
        let finding = finding.with_context(|| format!("no finding about {about}"))?;
        assert_eq!(finding["state"], "fails", "{finding}");
        assert!(finding["says"].as_str().is_some_and(|text| text.contains(says)), "{finding}");
    }
    Ok(())
}

#[test]
fn a_terminal_gets_the_same_lines() -> Result {
    let shown = typed(Path::new("."), "\"$BOBBIN\" doctor")?;
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(shown.out.contains("nothing prevents running"), "{shown:?}");
    Ok(())
}
