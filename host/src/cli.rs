//! The command line.

use crate::bundles::BundleArg;
use crate::key::KeyArgs;
use crate::release::ReleaseArgs;
use crate::source::Source;
use crate::variables::{VariableArg, environment_variable};
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// An edge and serverless runtime for language models.
#[derive(Debug, Parser)]
#[command(name = "bobbin", version, about, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
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
    /// Look at bundles: versioned models on disk
    #[command(subcommand, after_help = BUNDLE_EXIT_CODES)]
    Bundle(BundleCommand),
    /// Look at and change the releases of a running host: which bundle version answers where
    Release(ReleaseArgs),
    /// Make, list and revoke API keys: who may ask which routes and models, and how often
    Key(KeyArgs),
    /// Run one bundle version for a host (not for people)
    #[command(hide = true)]
    Worker(Worker),
    /// Serve the application that `spin up` hands over (not for people)
    #[command(hide = true)]
    Trigger(Trigger),
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
    #[arg(long)]
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
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000")]
    pub(crate) listen: SocketAddr,
    /// Where health, readiness and metrics listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3001")]
    pub(crate) admin_listen: SocketAddr,
    /// The bearer token of the admin listener; required for an address other machines can reach
    #[arg(long, value_name = "TOKEN", env = "BOBBIN_ADMIN_TOKEN", hide_env_values = true)]
    pub(crate) admin_token: Option<String>,
    /// Where state lives [default: .bobbin beside the manifest]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// The file of the API keys, which several hosts may share [default: keys.json in the state folder]
    #[arg(long, value_name = "FILE", env = "BOBBIN_KEYS_FILE")]
    pub(crate) keys_file: Option<PathBuf>,
    /// The certificates that the application's listener shows, in PEM: HTTPS instead of HTTP
    #[arg(long, value_name = "FILE", env = "SPIN_TLS_CERT", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of the first certificate, in PEM
    #[arg(long, value_name = "FILE", env = "SPIN_TLS_KEY", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Where what components print is written to; \"\" for nowhere [default: logs in the state folder]
    #[arg(short = 'L', long, value_name = "DIR", env = "SPIN_LOG_DIR")]
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
    #[arg(long, value_name = "BYTES", env = "SPIN_MAX_INSTANCE_MEMORY", value_parser = clap::value_parser!(u64).range(1 << 16..=4 << 30))]
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
    /// Where variables, key-value stores and SQLite databases are, in the form of Spin's runtime-config.toml
    #[arg(long, value_name = "FILE", env = "RUNTIME_CONFIG_FILE")]
    pub(crate) runtime_config_file: Option<PathBuf>,
    /// The value of a variable: NAME=VALUE, NAME=@FILE, @FILE.json or @FILE.toml; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) variable: Vec<VariableArg>,
    /// An environment variable for all components; may be given several times
    #[arg(short = 'e', long, value_name = "NAME=VALUE", value_parser = environment_variable)]
    pub(crate) env: Vec<(String, String)>,
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
  4  no such bundle";

fn bundle_help(examples: &str) -> String {
    format!("{examples}\n\n{BUNDLE_EXIT_CODES}")
}

#[derive(Debug, Subcommand)]
pub(crate) enum BundleCommand {
    /// Check every file of a bundle against its digests, and its weights against what llama.cpp can load
    #[command(after_help = bundle_help("Examples:
  bobbin bundle verify models/storyteller/1.0.0
  bobbin bundle verify storyteller@1.0.0 --repository models"))]
    Verify(One),
    /// Show what a bundle is: its card, limits, files, digests and fingerprint
    #[command(after_help = bundle_help("Example:\n  bobbin bundle show storyteller@1.0.0 --repository models"))]
    Show(One),
    /// List the bundles of a repository
    #[command(after_help = bundle_help("Example:\n  bobbin bundle list --repository models"))]
    List(List),
}

#[derive(Debug, Args)]
pub(crate) struct One {
    /// The bundle: name@version in the repository, or its folder
    #[arg(value_name = "BUNDLE")]
    pub(crate) bundle: BundleArg,
    /// Where name@version is looked for
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
    use clap::CommandFactory;

    #[test]
    fn the_plugin_is_known_by_its_name_and_workers_are_workers_under_any() {
        let line = |words: &[&str]| arguments(words.iter().map(OsString::from));
        assert_eq!(line(&["bobbin", "up"]), ["bobbin", "up"]);
        assert_eq!(line(&["/p/trigger-bobbin", "--listen", "x"]), ["/p/trigger-bobbin", "trigger", "--listen", "x"]);
        assert_eq!(line(&["trigger-bobbin"]), ["trigger-bobbin", "trigger"]);
        assert_eq!(line(&["trigger-bobbin", "worker"]), ["trigger-bobbin", "worker"]);
        assert_eq!(line(&[]).len(), 0);
    }

    /// The numbers that a help lists, in its order.
    fn codes(help: &str) -> Vec<u8> {
        let listed = help.split("Exit codes:\n").nth(1).unwrap_or_default();
        listed.lines().map_while(|line| line.split_whitespace().next()?.parse().ok()).collect()
    }

    #[test]
    fn the_help_of_every_command_on_releases_bundles_and_keys_lists_the_exit_codes() {
        for (group, expected) in
            [("release", vec![0, 1, 2, 3, 4, 5, 6]), ("bundle", vec![0, 1, 2, 4]), ("key", vec![0, 1, 2, 4, 5, 6])]
        {
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
}
