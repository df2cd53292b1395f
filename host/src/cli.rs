//! The command line.

use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

/// An edge and serverless runtime for language models.
#[derive(Debug, Parser)]
#[command(name = "bobbin", version, about, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the application of a spin.toml
    #[command(after_help = "Example:\n  bobbin up -f spin.toml --listen 127.0.0.1:3000")]
    Up(Up),
    /// Look at bundles: versioned models on disk
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// Run one bundle version for a host (not for people)
    #[command(hide = true)]
    Worker(Worker),
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// The application's manifest
    #[arg(short, long, value_name = "FILE", default_value = "spin.toml")]
    pub(crate) file: PathBuf,
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
    /// Requests at once, instead of the manifest's limit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) max_in_flight: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BundleCommand {
    /// Check every file of a bundle against its digests, and its weights against what llama.cpp can load
    #[command(after_help = "Example:\n  bobbin bundle verify models/storyteller/1.0.0")]
    Verify(Verify),
    /// List the bundles of a repository
    #[command(after_help = "Example:\n  bobbin bundle list --repository models")]
    List(List),
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The bundle's folder
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
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
}
