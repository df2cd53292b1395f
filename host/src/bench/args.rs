//! `bobbin bench ..`: its arguments.

use crate::failure::Failure;
use crate::missing::unreadable;
use crate::release::Exit;
use clap::Args;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// For `--help`. The numbers mean what they mean for `bobbin release`.
pub(crate) const HELP: &str = "Examples:
  bobbin bench /story
  bobbin bench http://localhost:3000/story --concurrency 8 --requests 64
  bobbin bench /v1/chat/completions --key $KEY --body @chat.json --json
  bobbin bench /hello --get --requests 1000

Exit codes:
  0    every request was answered well
  1    some were not
  2    the command line makes no sense
  4    no such file
  6    none could be made: nobody answers there
  130  given up by Ctrl-C; what was measured until then is printed";

/// What is asked where nobody says.
const BODY: &str = r#"{"prompt":"Once upon a time","max_tokens":64,"stream":true}"#;
/// Where a host listens where nobody says.
const HOST: &str = "http://127.0.0.1:3000";
/// Bytes of a body that is read from a file.
const MOST_BODY: u64 = 16 << 20;

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// An http or https address, or a route of the host on 127.0.0.1:3000, such as /story
    #[arg(value_name = "URL", value_parser = target)]
    pub(crate) target: Url,
    /// Requests at once
    #[arg(short, long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) concurrency: u32,
    /// Requests in all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) requests: u32,
    /// The body of each request, or @FILE [default: a story of 64 tokens, streamed]
    #[arg(short = 'd', long, value_name = "BODY", conflicts_with = "get")]
    pub(crate) body: Option<Body>,
    /// Ask with GET and without a body
    #[arg(long)]
    pub(crate) get: bool,
    /// A header of each request; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<Header>,
    /// The API key that each request carries
    #[arg(long, value_name = "KEY", env = "BOBBIN_KEY", hide_env_values = true, value_parser = key)]
    pub(crate) key: Option<HeaderValue>,
    /// How long one answer may take, such as 30s
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = span)]
    pub(crate) timeout: Duration,
    /// How long all of it may take; no request begins later
    #[arg(long, value_name = "TIME", default_value = "10min", value_parser = span)]
    pub(crate) at_most: Duration,
    /// Print JSON, and no progress
    #[arg(long)]
    pub(crate) json: bool,
}

/// What each request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    Text(String),
    File(PathBuf),
}

impl FromStr for Body {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.strip_prefix('@').map_or_else(|| Self::Text(text.to_owned()), |path| Self::File(path.into())))
    }
}

impl Body {
    /// The bytes of a body; of [`BODY`] where none is given.
    ///
    /// # Errors
    /// When the file cannot be read, or is too long.
    pub(super) fn read(body: Option<&Self>) -> Result<Vec<u8>, Failure> {
        use std::io::Read;
        let path = match body {
            None => return Ok(BODY.into()),
            Some(Self::Text(text)) => return Ok(text.clone().into_bytes()),
            Some(Self::File(path)) => path,
        };
        let shown = path.display();
        let mut bytes = Vec::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(MOST_BODY + 1).read_to_end(&mut bytes));
        match read {
            Ok(count) if count as u64 <= MOST_BODY => Ok(bytes),
            Ok(_) => {
                let message = format!("{shown} has more than {} MiB; send less at once", MOST_BODY >> 20);
                Err(Failure::new(Exit::Usage, message))
            }
            Err(error) => Err(unreadable(path, &error)),
        }
    }
}

/// A header.
#[derive(Debug, Clone)]
pub(crate) struct Header(pub(crate) HeaderName, pub(crate) HeaderValue);

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || "a header is written NAME: VALUE, as in \"x-user: anna\"".to_owned();
        let (name, value) = text.split_once(':').ok_or_else(wrong)?;
        let (name, value) = (HeaderName::from_str(name.trim()).ok(), HeaderValue::from_str(value.trim()).ok());
        name.zip(value).map(|(name, value)| Self(name, value)).ok_or_else(wrong)
    }
}

fn key(text: &str) -> Result<HeaderValue, String> {
    let value = HeaderValue::try_from(format!("Bearer {text}"));
    let mut value = value.map_err(|_no_cause| "it has characters that no key can have".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

fn target(text: &str) -> Result<Url, String> {
    let host = text.split(['/', '?']).next().unwrap_or_default();
    let whole = match text {
        _ if text.starts_with('/') => format!("{HOST}{text}"),
        // What can only be a host: http is taken for granted.
        _ if !text.contains("://") && (host.contains(['.', ':']) || host == "localhost") => format!("http://{text}"),
        _ => text.to_owned(),
    };
    let wrong = |why: String| format!("{why}; write an address such as {HOST}/story, or a route such as /story");
    let url = Url::parse(&whole).map_err(|error| wrong(error.to_string()))?;
    match url.scheme() {
        "http" | "https" if url.host().is_some() => Ok(url),
        other => Err(wrong(format!("{other:?} is no http or https"))),
    }
}

fn span(text: &str) -> Result<Duration, String> {
    let most = Duration::from_secs(24 * 60 * 60);
    let span = humantime::parse_duration(text).ok().filter(|span| !span.is_zero() && *span <= most);
    span.ok_or_else(|| "write a time such as 30s or 5min; at most a day".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_one_of_the_host_that_runs_here() {
        assert_eq!(target("/story").unwrap().as_str(), "http://127.0.0.1:3000/story");
        assert_eq!(target("https://node/a?b=c").unwrap().as_str(), "https://node/a?b=c");
        for host in ["127.0.0.1:4100/story", "localhost:3000/story", "localhost/story", "node.example/story"] {
            assert_eq!(target(host).unwrap().as_str(), format!("http://{host}"));
        }
        for wrong in ["story", "ftp://x/y", "http://", ":80/story"] {
            assert!(target(wrong).unwrap_err().contains("/story"), "{wrong}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_does() {
        assert!("no colon".parse::<Header>().unwrap_err().contains("NAME: VALUE"));
        assert!("bad name: x".parse::<Header>().is_err());
        assert!(span("0s").is_err() && span("2days").is_err() && span("soon").is_err());
        assert_eq!(span("30s"), Ok(Duration::from_secs(30)));
    }
}
