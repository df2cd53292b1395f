//! A registry for one test: Debian's package `docker-registry`, which many run.

use crate::Result;
use crate::skip::skipped;
use anyhow::{Context, ensure};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// The program, and its package on Debian.
const PROGRAM: &str = "docker-registry";
/// Longer than it ever takes to listen.
const START: Duration = Duration::from_secs(60);

/// Who may read and write where a registry asks: `bcrypt` of [`Registry::PASSWORD`].
const HTPASSWD: &str = "reader:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

/// A registry on a loopback port of its own, ended with the test.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    child: Child,
    folder: TempDir,
    is_private: bool,
    certificate: Option<String>,
}

/// What kind of registry.
#[derive(Debug, Clone, Copy, Default)]
struct Kind {
    is_private: bool,
    is_secure: bool,
}

impl Registry {
    /// Who may read from a private one.
    pub const USER: &str = "reader";
    /// The password of [`Registry::USER`].
    pub const PASSWORD: &str = "secret";

    /// Starts one that everybody may read and write.
    ///
    /// Returns `None` where the program is not installed, after saying so; with `BOBBIN_REQUIRE_REGISTRY=1` that is a
    /// failure.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start() -> Result<Option<Self>> {
        Self::of(Kind::default()).await
    }

    /// The same for [`Registry::USER`] alone.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn private() -> Result<Option<Self>> {
        Self::of(Kind { is_private: true, ..Kind::default() }).await
    }

    /// One that speaks TLS, with a certificate of its own for `localhost`.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn secure() -> Result<Option<Self>> {
        Self::of(Kind { is_secure: true, ..Kind::default() }).await
    }

    async fn of(kind: Kind) -> Result<Option<Self>> {
        let folder = TempDir::new()?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n",
            path("storage")
        );
        let mut certificate = None;
        if kind.is_secure {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
            fs::write(path("certificate.pem"), made.cert.pem())?;
            fs::write(path("key.pem"), made.signing_key.serialize_pem())?;
            let (public, key) = (path("certificate.pem"), path("key.pem"));
            config.push_str(&format!("  tls:\n    certificate: {public}\n    key: {key}\n"));
            certificate = Some(public);
        }
        if kind.is_private {
            fs::write(path("htpasswd"), HTPASSWD)?;
            config.push_str(&format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", path("htpasswd")));
        }
        fs::write(path("config.yml"), config)?;
        let mut command = Command::new(PROGRAM);
        command.args(["serve", &path("config.yml")]).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(path("log"))?);
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(absent()),
            Err(error) => return Err(error).context(PROGRAM),
        };
        let mut registry = Self { address, child, folder, is_private: kind.is_private, certificate };
        registry.listens().await?;
        Ok(Some(registry))
    }

    async fn listens(&mut self) -> Result {
        let listening = async {
            while TcpStream::connect(self.address).await.is_err() {
                let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                ensure!(self.child.try_wait()?.is_none(), "{PROGRAM} ended before it was up:\n{}", log());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        tokio::time::timeout(START, listening).await.context("the registry does not listen")?
    }

    /// How a reference calls it: its host and port.
    #[must_use]
    pub fn name(&self) -> String {
        if self.certificate.is_some() { format!("localhost:{}", self.address.port()) } else { self.address.to_string() }
    }

    /// The certificate that its clients must trust, as a path; none where it speaks plainly.
    #[must_use]
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// A client of whom it lets in.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn client(&self) -> Result<(reqwest::Client, String)> {
        let client = match &self.certificate {
            Some(path) => crate::http().tls_certs_only([reqwest::Certificate::from_pem(&fs::read(path)?)?]).build()?,
            None => crate::http().build()?,
        };
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        let user = if self.is_private { format!("{}:{}@", Self::USER, Self::PASSWORD) } else { String::new() };
        Ok((client, format!("{scheme}://{user}{}", self.name())))
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it has ended already.
    pub async fn stop(mut self) -> Result {
        self.child.kill().await?;
        Ok(())
    }
}

fn absent() -> Option<Registry> {
    skipped("BOBBIN_REQUIRE_REGISTRY", &format!("there is no {PROGRAM}"))
}
