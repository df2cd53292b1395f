//! `bobbin release ..`: its arguments. What makes no sense is refused here, before anything is asked of a host.

use super::exit;
use super::weight::Weight;
use crate::admin::Connection;
use bobbin_manifest::{BundleRef, Policy, Sticky};
use clap::{ArgGroup, Args, Subcommand};

#[derive(Debug, Args)]
#[command(after_help = exit::help("Examples:\n  bobbin release list\n  bobbin release set story storyteller@1.1.0"))]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Print JSON, and no progress
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: ReleaseCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReleaseCommand {
    /// List the releases of a host
    #[command(after_help = exit::help("Example:\n  bobbin release list --admin http://127.0.0.1:3001"))]
    List,
    /// Show one release: its versions, their states, its settings
    #[command(after_help = exit::help("Example:\n  bobbin release show story"))]
    Show(Target),
    /// Make a version stable, or change settings
    // Of itself it would be shown with the bundle, or a setting in its place, before the release.
    #[command(override_usage = "bobbin release set [OPTIONS] <RELEASE> [BUNDLE]", after_help = exit::help("Examples:
  bobbin release set story storyteller@1.1.0 --reason \"the refresh of May\"
  bobbin release set story --sticky header:x-user --drain-seconds 60"))]
    Set(Set),
    /// Give a candidate a share of the requests
    #[command(after_help = exit::help("Examples:
  bobbin release canary story storyteller@1.1.0 --weight 10
  bobbin release canary story --weight 25
  bobbin release canary story --off"))]
    Canary(Canary),
    /// Let a version score the real answers, without anybody seeing it
    #[command(after_help = exit::help("Examples:
  bobbin release shadow story storyteller@1.1.0
  bobbin release shadow story --off"))]
    Shadow(Shadow),
    /// Make the candidate stable
    #[command(after_help = exit::help("Example:\n  bobbin release promote story --reason \"a day without complaints\""))]
    Promote(Step),
    /// Go back to the previous stable version
    #[command(after_help = exit::help("Example:\n  bobbin release rollback story --reason \"it repeats itself\""))]
    Rollback(Step),
    /// Show who changed a release, when and why
    #[command(after_help = exit::help("Example:\n  bobbin release history story --limit 10"))]
    History(HistoryArgs),
    /// Give up a change that is not committed yet
    #[command(after_help = exit::help("Example:\n  bobbin release cancel story"))]
    Cancel(Target),
}

#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The release's id, or its graph name where only one release has it
    #[arg(value_name = "RELEASE", value_parser = release_id)]
    pub(crate) release: String,
}

/// A path that leads elsewhere is no id.
fn release_id(text: &str) -> Result<String, &'static str> {
    if matches!(text, "" | "." | "..") || text.chars().any(char::is_control) {
        return Err("a release is called <trigger>:<graph>, or by its graph; `bobbin release list` shows them");
    }
    Ok(text.to_owned())
}

/// What every change has.
#[derive(Debug, Args)]
pub(crate) struct How {
    /// Why; stays in the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Only if the release is at this generation [default: the one it has now]
    #[arg(long, value_name = "GENERATION")]
    pub(crate) expect: Option<u64>,
    /// Return as soon as the change is accepted
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args([
    "bundle", "drain_seconds", "keep_warm_seconds", "policy", "sticky", "version_header",
]))]
pub(crate) struct Set {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The version that becomes stable: name@version
    #[arg(value_name = "BUNDLE")]
    pub(crate) bundle: Option<BundleRef>,
    /// How long a replaced version may finish its answers
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub(crate) drain_seconds: Option<u64>,
    /// How long the previous version stays loaded for a rollback
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=604_800))]
    pub(crate) keep_warm_seconds: Option<u64>,
    /// auto, availability (load, then retire) or resource (retire, then load)
    #[arg(long, value_name = "POLICY")]
    pub(crate) policy: Option<Policy>,
    /// What a candidate's share sticks to: request, client, header:<name> or cookie:<name>
    #[arg(long, value_name = "KEY")]
    pub(crate) sticky: Option<Sticky>,
    /// Whether a request may choose its version by the header bobbin-version
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) version_header: Option<bool>,
    #[command(flatten)]
    pub(crate) how: How,
}

#[derive(Debug, Args)]
pub(crate) struct Canary {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The candidate: name@version [default: the one that is running]
    #[arg(value_name = "BUNDLE", conflicts_with = "off")]
    pub(crate) bundle: Option<BundleRef>,
    /// Its share of the requests, in percent, to the tenth
    #[arg(long, value_name = "PERCENT", required_unless_present = "off")]
    pub(crate) weight: Option<Weight>,
    /// Take the candidate away
    #[arg(long, conflicts_with = "weight")]
    pub(crate) off: bool,
    #[command(flatten)]
    pub(crate) how: How,
}

#[derive(Debug, Args)]
pub(crate) struct Shadow {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The shadow: name@version
    #[arg(value_name = "BUNDLE", required_unless_present = "off")]
    pub(crate) bundle: Option<BundleRef>,
    /// Take the shadow away
    #[arg(long, conflicts_with = "bundle")]
    pub(crate) off: bool,
    #[command(flatten)]
    pub(crate) how: How,
}

#[derive(Debug, Args)]
pub(crate) struct Step {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) how: How,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// How many generations
    #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
}

#[cfg(test)]
mod tests {
    use crate::cli::Cli;
    use clap::{CommandFactory, Parser};

    fn refused(line: &str) -> String {
        let words = ["bobbin", "release"].into_iter().chain(line.split(' '));
        let error = Cli::try_parse_from(words).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_usage_of_set_has_its_words_in_the_order_in_which_they_are_read() {
        let said = refused("set story");
        assert!(said.contains("Usage: bobbin release set [OPTIONS] <RELEASE> [BUNDLE]"), "{said}");
        assert!(said.contains("--drain-seconds"), "what else would do is not named: {said}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_a_host_is_asked() {
        for (line, says) in [
            ("set story", "required"),
            ("set story storyteller", "no `@` between name and version"),
            ("set story storyteller@1.0", "no semantic version"),
            ("set story --policy fast", "availability"),
            ("set story --sticky header:", "is no name"),
            ("set story --version-header=perhaps", "true, false"),
            ("set story --drain-seconds 86401", "86401 is not in 0..=86400"),
            ("canary story", "--weight"),
            ("canary story a@1.0.0", "--weight"),
            ("canary story a@1.0.0 --weight 100.5", "from 0 to 100"),
            ("canary story a@1.0.0 --weight 1.25", "one digit after the point"),
            ("canary story a@1.0.0 --off", "cannot be used with"),
            ("canary story --weight 5 --off", "cannot be used with"),
            ("shadow story", "<BUNDLE>"),
            ("shadow story a@1.0.0 --off", "cannot be used with"),
            ("history story --limit 0", "1..=1000"),
            ("show ..", "release list"),
            ("list --admin https://node", "plain HTTP"),
        ] {
            let said = refused(line);
            assert!(said.contains(says), "{line}: {said}");
        }
    }

    #[test]
    fn every_command_helps_with_an_example_that_parses() {
        let release = Cli::command().find_subcommand("release").unwrap().clone();
        assert!(release.get_after_help().unwrap().to_string().contains("Exit codes"));
        for command in release.get_subcommands() {
            let help = command.get_after_help().unwrap().to_string();
            let examples: Vec<&str> = help.lines().filter(|line| line.starts_with("  bobbin ")).collect();
            assert!(!examples.is_empty(), "{}", command.get_name());
            for example in examples {
                // Words in quotes are one argument.
                let words = example.split('"').enumerate().flat_map(|(index, part)| {
                    if index % 2 == 1 { vec![part] } else { part.split_whitespace().collect() }
                });
                Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{example}: {error}"));
            }
        }
    }
}
