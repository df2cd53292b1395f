//! The command line.

use crate::bench::{self, Bench};
use crate::bundles::{BundleArg, Import, New};
use crate::doctor::{self, Doctor};
use crate::infer::{self, Infer};
use crate::key::KeyArgs;
use crate::pages::{Completions, Man};
use crate::release::ReleaseArgs;
use crate::source::Source;
use crate::threads;
use crate::usage;
use crate::variables::{VariableArg, environment_variable};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// An edge and serverless runtime for language models.
#[derive(Debug, Parser)]
#[command(name = "bobbin", version, about, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// For `--help`: what somebody types who begins.
const EXAMPLES: &str = "Examples:
  bobbin up
  bobbin infer storyteller \"Once upon a time\"
  bobbin bundle new model.gguf --name story --version 1.0.0
  bobbin release set story storyteller@1.1.0

`bobbin help COMMAND` says more of each.";

/// The commands as people think of them; a test holds that every one stands here, once.
const GROUPS: &[(&str, &[&str])] = &[
    ("Serve an application", &["up", "watch"]),
    ("Ask a model", &["infer", "bench"]),
    ("Bundles on disk", &["bundle"]),
    ("A host and its keys", &["release", "key"]),
    ("This machine", &["doctor", "completions", "man"]),
];

/// The whole command line, with its commands in groups.
pub(crate) fn command() -> clap::Command {
    let command = Cli::command();
    let header = command.get_styles().get_header().to_owned();
    let name = command.get_styles().get_literal().to_owned();
    let mut groups = String::new();
    for (title, names) in GROUPS {
        groups.push_str(&format!("{header}{title}:{header:#}\n"));
        for inner in names.iter().filter_map(|name| command.find_subcommand(name)) {
            let about = inner.get_about().map(ToString::to_string).unwrap_or_default();
            groups.push_str(&format!("  {name}{:<13}{name:#}{about}\n", inner.get_name()));
        }
        groups.push('\n');
    }
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}{header}Options:{header:#}\n{{options}}{{after-help}}"
    ))
}

/// Reads the command line.
///
/// # Errors
/// How the process ends that has said why the command line makes no sense, or has helped.
pub(crate) fn parse(given: impl Iterator<Item = OsString>) -> Result<Cli, ExitCode> {
    let mut command = command();
    let words = arguments(given);
    let parsed = command.try_get_matches_from_mut(&words);
    let parsed = parsed.and_then(|matches| Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command)));
    parsed.map_err(|error| usage::told(error, &command, &words))
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the application of a spin.toml, or of an image
    #[command(after_help = "Examples:
  bobbin up -f spin.toml --listen 127.0.0.1:3000
  bobbin up -f registry.example/team/app:1.0.0")]
    Up(Up),
    /// Serve an application, and build and load it anew when its files change; requests in flight finish as they began
    #[command(after_help = "Example:\n  bobbin watch -f spin.toml")]
    Watch(Watch),
    /// Ask a model in the terminal, without a server
    #[command(after_help = infer::HELP)]
    Infer(Infer),
    /// Measure how a host answers under a small load
    #[command(after_help = bench::HELP)]
    Bench(Bench),
    /// Make, take in, check and look at bundles: versioned models on disk
    #[command(subcommand, after_help = bundle_help("Examples:
  bobbin bundle list
  bobbin bundle new model.gguf --name story --version 1.0.0"))]
    Bundle(BundleCommand),
    /// Look at and change the releases of a running host: which bundle version answers where
    Release(ReleaseArgs),
    /// Make, list and revoke API keys: who may ask which routes and models, and how often
    Key(KeyArgs),
    /// Say what this machine can do, and what would make it faster
    #[command(after_help = doctor::HELP)]
    Doctor(Doctor),
    /// Print the completions of a shell
    #[command(after_help = "Examples:
  bobbin completions bash
  bobbin completions fish

For bash: bobbin completions bash > ~/.local/share/bash-completion/completions/bobbin")]
    Completions(Completions),
    /// Write manual pages into a folder
    #[command(after_help = "Example:\n  bobbin man /usr/local/share/man/man1")]
    Man(Man),
    /// Say what a worker finds on this machine (not for people)
    #[command(hide = true)]
    Examine,
    /// Run one bundle version for a host (not for people)
    #[command(hide = true)]
    Worker(Worker),
    /// Serve the application that `spin up` hands over (not for people)
    #[command(hide = true)]
    Trigger(Trigger),
}

impl Command {
    /// Whether somebody wants one document on standard output, and nothing else there.
    pub(crate) fn json(&self) -> bool {
        match self {
            Self::Infer(args) => args.json,
            Self::Bench(args) => args.json,
            Self::Bundle(BundleCommand::New(args)) => args.json,
            Self::Bundle(BundleCommand::Import(args)) => args.json,
            Self::Bundle(BundleCommand::Verify(args) | BundleCommand::Show(args)) => args.json,
            Self::Bundle(BundleCommand::List(args)) => args.json,
            Self::Release(args) => args.json,
            Self::Key(args) => args.json,
            Self::Doctor(args) => args.json,
            Self::Man(args) => args.json,
            Self::Up(_)
            | Self::Watch(_)
            | Self::Completions(_)
            | Self::Examine
            | Self::Worker(_)
            | Self::Trigger(_) => false,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// The application: a spin.toml, a folder with one, a locked application, or an image of an OCI registry
    #[arg(short, long = "from", alias = "file", value_name = "FILE|IMAGE", default_value = "spin.toml")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) source: Source,
    /// The build profile: what the components say for it replaces what they say otherwise
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Run the components' build commands first
    #[arg(long)]
    pub(crate) build: bool,
    #[command(flatten)]
    pub(crate) serve: Serve,
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Follow what the components' build commands make, and do not run them
    #[arg(long, conflicts_with = "build")]
    pub(crate) skip_build: bool,
    /// How long files must have stayed as they are, in milliseconds, before a change counts
    #[arg(short, long, value_name = "MS", default_value_t = 100)]
    pub(crate) debounce: u64,
    #[command(flatten)]
    pub(crate) up: Up,
}

/// How an application is served, wherever it comes from.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where the application listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000", value_parser = address)]
    pub(crate) listen: SocketAddr,
    /// Where health, readiness and metrics listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3001", value_parser = address)]
    pub(crate) admin_listen: SocketAddr,
    /// The bearer token of the admin listener; required for an address other machines can reach
    #[arg(long, value_name = "TOKEN", env = "BOBBIN_ADMIN_TOKEN", hide_env_values = true)]
    pub(crate) admin_token: Option<String>,
    /// Where state lives [default: .bobbin beside the manifest]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// The file of the API keys, which several hosts may share [default: keys.json in the state folder]
    #[arg(long, value_name = "FILE", env = "BOBBIN_KEYS_FILE", hide_env_values = true)]
    pub(crate) keys_file: Option<PathBuf>,
    /// The certificates that the application's listener shows, in PEM: HTTPS instead of HTTP
    #[arg(long, value_name = "FILE", env = "SPIN_TLS_CERT", hide_env_values = true, requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of the first certificate, in PEM
    #[arg(long, value_name = "FILE", env = "SPIN_TLS_KEY", hide_env_values = true, requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Where what components print is written to; \"\" for nowhere [default: logs in the state folder]
    #[arg(short = 'L', long, value_name = "DIR", env = "SPIN_LOG_DIR", hide_env_values = true)]
    pub(crate) log_dir: Option<OsString>,
    /// Begin the files in the log folder anew
    #[arg(long)]
    pub(crate) truncate_logs: bool,
    /// Show what these components print alone; may be given several times
    #[arg(long, value_name = "COMPONENT", conflicts_with = "quiet")]
    pub(crate) follow: Vec<String>,
    /// Show nothing of what components print
    #[arg(short, long, aliases = ["sh", "shush"])]
    pub(crate) quiet: bool,
    /// Bytes of memory that each instance may take, instead of the manifest's guest_memory_bytes
    #[arg(long, value_name = "BYTES", env = "SPIN_MAX_INSTANCE_MEMORY", hide_env_values = true, value_parser = clap::value_parser!(u64).range(1 << 16..=4 << 30))]
    pub(crate) max_instance_memory: Option<u64>,
    /// Requests at once, instead of the manifest's limit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) max_in_flight: Option<u32>,
    /// Bytes that all models together may take [default: what the machine has available]
    #[arg(long, value_name = "BYTES")]
    pub(crate) model_memory: Option<u64>,
    /// Layers of each model that a GPU computes, where a worker for one is installed; 0 for none [default: as many as fit]
    #[arg(long, value_name = "N")]
    pub(crate) gpu_layers: Option<u32>,
    /// Threads that compute, of all models together [default: one for each core]
    #[arg(long, value_name = "N", env = "BOBBIN_COMPUTE_THREADS", hide_env_values = true, value_parser = threads::number)]
    pub(crate) compute_threads: Option<u32>,
    /// Threads that the host answers on, beside those that compute [default: one for each core]
    #[arg(long, value_name = "N", env = "BOBBIN_HOST_THREADS", hide_env_values = true, value_parser = threads::number)]
    pub(crate) host_threads: Option<u32>,
    /// Where variables, key-value stores and SQLite databases are, in the form of Spin's runtime-config.toml
    #[arg(long, value_name = "FILE", env = "RUNTIME_CONFIG_FILE", hide_env_values = true)]
    pub(crate) runtime_config_file: Option<PathBuf>,
    /// The value of a variable: NAME=VALUE, NAME=@FILE, @FILE.json or @FILE.toml; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) variable: Vec<VariableArg>,
    /// An environment variable for all components; may be given several times
    #[arg(short = 'e', long, value_name = "NAME=VALUE", value_parser = environment_variable)]
    pub(crate) env: Vec<(String, String)>,
}

/// An address to listen on. `localhost` is this machine alone, over IPv4, as where nobody says anything.
fn address(text: &str) -> Result<SocketAddr, String> {
    let named = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let parsed = named.as_deref().unwrap_or(text).parse();
    parsed.map_err(|_says_less| {
        "write an IP address and a port, such as 127.0.0.1:3000, or 0.0.0.0:3000 for other machines".to_owned()
    })
}

/// What Spin asks of a trigger.
#[derive(Debug, Args)]
pub(crate) struct Trigger {
    #[command(flatten)]
    pub(crate) serve: Serve,
    /// Print the help of the options alone
    #[arg(long, hide = true)]
    pub(crate) help_args_only: bool,
    /// Print which options there are, as JSON on standard error
    #[arg(long, hide = true)]
    pub(crate) launch_metadata_only: bool,
}

/// The name by which Spin starts a plugin that serves triggers of the type `bobbin`.
const PLUGIN: &str = "trigger-bobbin";

/// The command line, with the command that the executable's name stands for. Workers are started from the same
/// executable, whatever it is called.
pub(crate) fn arguments(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = given.collect();
    let is_plugin =
        arguments.first().is_some_and(|name| Path::new(name).file_name().is_some_and(|name| name == PLUGIN));
    if is_plugin && arguments.get(1).is_none_or(|first| first != "worker") {
        arguments.insert(1, "trigger".into());
    }
    arguments
}

/// For `--help`: what the commands that look at bundles on disk end with. The numbers mean what they mean for
/// `bobbin release`.
const BUNDLE_EXIT_CODES: &str = "Exit codes:
  0  all is as it should be
  1  something is wrong
  2  the command line makes no sense
  3  the version is there already
  4  no such bundle, repository or file
  5  the bundle, or what it should be made of, was refused";

fn bundle_help(examples: &str) -> String {
    format!("{examples}\n\n{BUNDLE_EXIT_CODES}")
}

#[derive(Debug, Subcommand)]
pub(crate) enum BundleCommand {
    /// Make a bundle of a GGUF file: its card suggested, its digests and its fingerprint recorded
    #[command(after_help = bundle_help("Examples:
  bobbin bundle new model.gguf --name story --version 1.0.0
  bobbin bundle new model.gguf --name story --version 1.1.0 --into models --licence Apache-2.0 --language en"))]
    New(Box<New>),
    /// Take in a bundle that was made elsewhere, once it is verified
    #[command(after_help = bundle_help("Examples:
  bobbin bundle import story-1.0.0.tar.gz
  bobbin bundle import /media/stick/story/1.0.0 --into models"))]
    Import(Import),
    /// Check every file of a bundle against its digests, and its weights against what llama.cpp can load
    #[command(after_help = bundle_help("Examples:
  bobbin bundle verify models/storyteller/1.0.0
  bobbin bundle verify storyteller@1.0.0 --repository models"))]
    Verify(One),
    /// Show what a bundle is: its card, limits, files, digests and fingerprint
    #[command(after_help = bundle_help("Examples:
  bobbin bundle show storyteller
  bobbin bundle show storyteller@1.0.0 --repository models"))]
    Show(One),
    /// List the bundles of a repository
    #[command(after_help = bundle_help("Example:\n  bobbin bundle list --repository models"))]
    List(List),
}

#[derive(Debug, Args)]
pub(crate) struct One {
    /// The bundle: name@version in the repository, a name for its newest version, or its folder
    #[arg(value_name = "BUNDLE")]
    pub(crate) bundle: BundleArg,
    /// Where names are looked for
    #[arg(long, value_name = "DIR", default_value = "models")]
    pub(crate) repository: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// The bundle repository
    #[arg(long, value_name = "DIR", default_value = "models")]
    pub(crate) repository: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Worker {
    /// `name@version`; shown by process listings, loaded by order of the host
    #[arg(long)]
    pub(crate) bundle: String,
    /// The host's process; a worker whose parent is another one has lost its host already
    #[arg(long, value_name = "PID")]
    pub(crate) parent: Option<u32>,
    /// Compute with what other processes leave over
    #[arg(long)]
    pub(crate) background: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugin_is_known_by_its_name_and_workers_are_workers_under_any() {
        let line = |words: &[&str]| arguments(words.iter().map(OsString::from));
        assert_eq!(line(&["bobbin", "up"]), ["bobbin", "up"]);
        assert_eq!(line(&["/p/trigger-bobbin", "--listen", "x"]), ["/p/trigger-bobbin", "trigger", "--listen", "x"]);
        assert_eq!(line(&["trigger-bobbin"]), ["trigger-bobbin", "trigger"]);
        assert_eq!(line(&["trigger-bobbin", "worker"]), ["trigger-bobbin", "worker"]);
        assert_eq!(line(&[]).len(), 0);
    }

    #[test]
    fn localhost_is_this_machine() {
        assert_eq!(address("localhost:4108"), Ok(SocketAddr::from(([127, 0, 0, 1], 4108))));
        assert_eq!(address("[::1]:80").map(|address| address.port()), Ok(80));
        for wrong in ["localhost", "node:80", "3000", "localhost:http"] {
            assert!(address(wrong).unwrap_err().contains("127.0.0.1:3000"), "{wrong}");
        }
    }

    /// The numbers that a help lists, in its order.
    fn codes(help: &str) -> Vec<u8> {
        let listed = help.split("Exit codes:\n").nth(1).unwrap_or_default();
        listed.lines().map_while(|line| line.split_whitespace().next()?.parse().ok()).collect()
    }

    #[test]
    fn the_help_of_every_command_on_releases_bundles_and_keys_lists_the_exit_codes() {
        for (group, expected) in [
            ("release", vec![0, 1, 2, 3, 4, 5, 6]),
            ("bundle", vec![0, 1, 2, 3, 4, 5]),
            ("key", vec![0, 1, 2, 4, 5, 6]),
        ] {
            let mut cli = Cli::command();
            cli.build();
            let group = cli.find_subcommand_mut(group).unwrap();
            assert_eq!(codes(&group.render_help().to_string()), expected, "{}", group.get_name());
            let mut commands = 0;
            for command in group.get_subcommands_mut().filter(|command| command.get_name() != "help") {
                for help in [command.render_help(), command.render_long_help()] {
                    assert_eq!(codes(&help.to_string()), expected, "{}: {help}", command.get_name());
                }
                commands += 1;
            }
            assert!(commands > 0, "{}", group.get_name());
        }
    }

    /// Every command that people use, with the words that lead to it.
    fn all(command: &clap::Command, words: &[String], seen: &mut impl FnMut(&[String], &clap::Command)) {
        seen(words, command);
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help") {
            let words: Vec<String> = words.iter().cloned().chain([inner.get_name().to_owned()]).collect();
            all(inner, &words, seen);
        }
    }

    /// The words of a line as a shell splits them, as far as the examples need it.
    fn words(line: &str) -> Vec<String> {
        let line = line.split(" > ").next().unwrap_or_default();
        let parts = line
            .split('"')
            .enumerate()
            .flat_map(|(index, part)| if index % 2 == 1 { vec![part] } else { part.split_whitespace().collect() });
        parts.map(str::to_owned).collect()
    }

    #[test]
    fn every_command_helps_with_examples_of_itself_that_parse() {
        all(&command(), &["bobbin".to_owned()], &mut |path, command| {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{path:?}: {help}");
            let examples: Vec<&str> = help.lines().filter(|line| line.starts_with("  bobbin ")).collect();
            assert!(!examples.is_empty(), "{path:?}: {help}");
            for example in examples {
                let words = words(example);
                assert!(words.starts_with(path), "{path:?} has an example of another command: {example}");
                Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{example}: {error}"));
            }
        });
    }

    #[test]
    fn every_command_with_something_to_say_says_it_to_programs_too() {
        // A server says it by its admin API; a script is for a program as it is.
        let except = ["up", "watch", "completions"];
        all(&command(), &["bobbin".to_owned()], &mut |path, command| {
            let group = command.has_subcommands();
            if group || except.iter().any(|name| path.ends_with(&[(*name).to_owned()])) {
                return;
            }
            let line: Vec<String> = path.iter().cloned().chain(["--json".to_owned(), "--help".to_owned()]).collect();
            let error = super::command().try_get_matches_from(line).unwrap_err();
            assert_eq!(error.kind(), clap::error::ErrorKind::DisplayHelp, "{path:?}: {error}");
        });
    }

    #[test]
    fn every_command_stands_in_one_group_and_the_help_shows_all() {
        let shown: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let command = Cli::command();
        let mut there: Vec<&str> =
            command.get_subcommands().filter(|inner| !inner.is_hide_set()).map(clap::Command::get_name).collect();
        let mut sorted = shown.clone();
        sorted.sort_unstable();
        there.sort_unstable();
        assert_eq!(sorted, there);
        let help = super::command().render_help().to_string();
        for (title, names) in GROUPS {
            assert!(help.contains(&format!("{title}:\n")), "{help}");
            for name in *names {
                assert!(help.contains(&format!("\n  {name:<12}")), "{name}: {help}");
            }
        }
    }

    #[test]
    fn a_slip_in_a_commands_name_finds_the_command() {
        for (line, meant) in
            [("relaese list", "release"), ("bundle vrify x", "verify"), ("infr x", "infer"), ("dcotor", "doctor")]
        {
            let words = ["bobbin"].into_iter().chain(line.split(' '));
            let error = command().try_get_matches_from(words).unwrap_err();
            assert!(error.to_string().contains(&format!("'{meant}'")), "{line}: {error}");
        }
    }
}
