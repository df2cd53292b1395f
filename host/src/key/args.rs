//! `bobbin key ..`: its arguments.

use crate::admin::admin_url;
use bobbin_keys::{KeyId, Timestamp, Wanted, WantedError};
use clap::{Args, Subcommand};
use reqwest::Url;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// For `--help`, of every command on keys. The numbers mean what they mean for `bobbin release`.
const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed
  2  the command line makes no sense
  4  no such key
  5  the key was refused: what is wanted makes no sense
  6  the host cannot be reached, is stopping, or does not take the token";

fn help(examples: &str) -> String {
    format!("{examples}\n\n{EXIT_CODES}")
}

#[derive(Debug, Args)]
#[command(after_help = help("Examples:\n  bobbin key list\n  bobbin key create billing --expires 90d"))]
pub(crate) struct KeyArgs {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: KeyCommand,
}

/// Whose keys. A host need not run: it finds what has changed when it is asked next.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The application whose host has the keys, in .bobbin beside it: a spin.toml, or a folder with one
    #[arg(short = 'f', long = "from", alias = "file", global = true, value_name = "FILE", default_value = "spin.toml")]
    pub(crate) file: PathBuf,
    /// The host's state folder, where it is another one
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// The file of the keys, where the host was given one with --keys-file
    #[arg(long, global = true, value_name = "FILE", env = "BOBBIN_KEYS_FILE", hide_env_values = true)]
    pub(crate) keys_file: Option<PathBuf>,
    /// The admin listener of a host that runs, instead of a folder
    #[arg(long, global = true, value_name = "URL", value_parser = admin_url, conflicts_with = "state_dir")]
    pub(crate) admin: Option<Url>,
    /// The bearer token of the admin listener
    #[arg(long, global = true, value_name = "TOKEN", env = "BOBBIN_ADMIN_TOKEN", hide_env_values = true)]
    pub(crate) admin_token: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key; it is printed once, and kept nowhere
    #[command(after_help = help("Examples:
  bobbin key create \"the Spin in Prague\"
  bobbin key create billing --route /v1/... --model story --expires 90d
  bobbin key create trial --requests-per-minute 60 --tokens-per-minute 20000"))]
    Create(Create),
    /// List the keys, without their secrets
    #[command(after_help = help("Example:\n  bobbin key list"))]
    List,
    /// Revoke a key: the next request that carries it is refused
    #[command(after_help = help("Example:\n  bobbin key revoke abcd2345"))]
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Who holds it, for people
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// A route that it is for, by path or trigger id; may be given several times [default: all]
    #[arg(long = "route", value_name = "ROUTE")]
    pub(crate) routes: Vec<String>,
    /// A model that it is for, by the name under which components load it; may be given several times [default: all]
    #[arg(long = "model", value_name = "MODEL")]
    pub(crate) models: Vec<String>,
    /// From when on it is refused: after a time such as 90d or 12h, or at a moment such as 2027-01-31T12:00:00Z
    // What begins with a hyphen is refused as a time, with one that would do; an option it cannot be.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) expires: Option<Expiry>,
    /// How many requests a minute it may make [default: any number]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
    pub(crate) requests_per_minute: Option<u32>,
    /// How many tokens a minute its requests may use, prompts and answers together [default: any number]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
    pub(crate) tokens_per_minute: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The key's id, or the whole key where that has leaked
    #[arg(value_name = "ID")]
    pub(crate) id: KeyId,
}

/// When a key ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    After(Duration),
    At(Timestamp),
}

impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(span) = humantime::parse_duration(text) {
            return Ok(Self::After(span));
        }
        let moment = text.parse().map(Self::At);
        moment.map_err(|_says_less| {
            "write a time such as 90d or 12h, or a moment such as 2027-01-31T12:00:00Z".to_owned()
        })
    }
}

impl Create {
    /// The key that is meant, by the clock of this machine.
    pub(crate) fn wanted(&self, now: Timestamp) -> Result<Wanted, WantedError> {
        let list = |entries: &[String]| (!entries.is_empty()).then(|| entries.iter().cloned().collect());
        let expires = match self.expires {
            Some(Expiry::After(span)) => Some(now.after(span).ok_or(WantedError::Late)?),
            Some(Expiry::At(moment)) => Some(moment),
            None => None,
        };
        Ok(Wanted {
            name: self.name.clone(),
            routes: list(&self.routes),
            models: list(&self.models),
            expires,
            requests_per_minute: self.requests_per_minute,
            tokens_per_minute: self.tokens_per_minute,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn parsed(line: &str) -> Result<KeyArgs, String> {
        let words = ["bobbin", "key"].into_iter().chain(line.split(' '));
        match Cli::try_parse_from(words) {
            Ok(Cli { command: Command::Key(args) }) => Ok(args),
            Ok(_) => panic!("{line}"),
            Err(error) => {
                assert_eq!(error.exit_code(), 2, "{error}");
                Err(error.to_string())
            }
        }
    }

    #[test]
    fn a_command_line_becomes_the_key_that_it_means() {
        let line = "create billing --route /v1/... --model story --model tale --expires 90d --requests-per-minute 60";
        let KeyCommand::Create(create) = parsed(line).unwrap().command else { panic!("{line}") };
        let now: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        let wanted = create.wanted(now).unwrap();
        assert_eq!(wanted.name, "billing");
        assert_eq!(wanted.routes.unwrap().into_iter().collect::<Vec<_>>(), ["/v1/..."]);
        assert_eq!(wanted.models.unwrap().into_iter().collect::<Vec<_>>(), ["story", "tale"]);
        assert_eq!(wanted.expires.unwrap().to_string(), "2027-04-01T00:00:00.000Z");
        assert_eq!((wanted.requests_per_minute, wanted.tokens_per_minute), (Some(60), None));
    }

    #[test]
    fn a_time_after_all_times_is_refused_and_not_cut() {
        let line = "create billing --expires 99999999999d";
        let KeyCommand::Create(create) = parsed(line).unwrap().command else { panic!("{line}") };
        assert_eq!(create.wanted(Timestamp::now()).unwrap_err(), WantedError::Late);
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_anything_is_touched() {
        for (line, says) in [
            ("create", "<NAME>"),
            ("create a --expires soon", "90d"),
            ("create a --expires -1d", "such as 90d"),
            ("create a --requests-per-minute 0", "1..=1000000000"),
            ("create a --tokens-per-minute many", "invalid"),
            ("revoke", "<ID>"),
            ("revoke ABC", "8 characters"),
            ("list --admin https://x", "plain HTTP"),
            ("list --admin http://x --state-dir y", "cannot be used with"),
            ("lst", "list"),
        ] {
            let error = parsed(line).unwrap_err();
            assert!(error.contains(says), "{line}: {error}");
        }
    }
}
