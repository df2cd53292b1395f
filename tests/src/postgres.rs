//! A PostgreSQL server for one test.

use crate::skip::skipped;
use crate::user::user;
use crate::{Issued, Result, eventually};
use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Debian's package has one folder for each version.
const PROGRAM: &str = "postgres";
const VERSIONS: &str = "/usr/lib/postgresql";
/// Whoever runs the server as root: it refuses that, and this user comes with the package.
const USER: &str = "postgres";

/// Who may connect, and with what.
const OWNER: &str = "spin";
const PASSWORD: &str = "hunter2";

/// A server on a loopback port of its own, with data of its own, ended with the test.
#[derive(Debug)]
pub struct PostgresServer {
    port: u16,
    child: Child,
    _folder: TempDir,
}

impl PostgresServer {
    /// Starts a server, and waits until it answers.
    ///
    /// Returns `None` where the program is not installed, after saying so; with `BOBBIN_REQUIRE_POSTGRES=1` that is a
    /// failure.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start() -> Result<Option<Self>> {
        Self::start_with(None).await
    }

    /// The same, secured by a certificate.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_secured(issued: &Issued) -> Result<Option<Self>> {
        Self::start_with(Some(issued)).await
    }

    async fn start_with(tls: Option<&Issued>) -> Result<Option<Self>> {
        let Some(programs) = programs() else { return Ok(absent()) };
        let folder = TempDir::new()?;
        let user = user(USER)?;
        let data = folder.path().join("data");
        let password = folder.path().join("password");
        fs::create_dir(&data)?;
        fs::write(&password, PASSWORD)?;
        let own = |path: &std::path::Path| match user {
            Some((uid, gid)) => chown(path, Some(uid), Some(gid)),
            None => Ok(()),
        };
        for path in [folder.path(), &data, &password] {
            own(path)?;
        }
        let run = |program: &str| {
            let mut command = Command::new(programs.join(program));
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            command
        };
        let mut initdb = run("initdb");
        initdb.args(["--username", OWNER, "--auth", "scram-sha-256", "--no-sync", "--locale", "C.UTF-8"]);
        let made = initdb.arg("--pwfile").arg(&password).arg("--pgdata").arg(&data).output().await?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));

        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut server = run(PROGRAM);
        server.arg("-D").arg(&data).args(["-p", &port.to_string(), "-h", "127.0.0.1", "-F"]);
        let mut settings = vec!["unix_socket_directories=".to_owned(), "shared_buffers=16MB".to_owned()];
        if let Some(issued) = tls {
            for path in issued.write(&data, "server")? {
                fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
                own(&path)?;
            }
            settings.push("ssl=on".to_owned());
        }
        for setting in settings {
            server.args(["-c", &setting]);
        }
        let child = server.stderr(Stdio::null()).spawn().context(PROGRAM)?;
        let server = Self { port, child, _folder: folder };
        let ready = programs.join("pg_isready");
        eventually(async || {
            let asked = Command::new(&ready).args(["-h", "127.0.0.1", "-p", &port.to_string()]).output().await?;
            Ok(asked.status.success().then_some(()))
        })
        .await?;
        Ok(Some(server))
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// An address with a password, without TLS.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://{OWNER}:{PASSWORD}@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }
}

impl Drop for PostgresServer {
    /// A server that is killed leaves its processes; one that is told to ends at once.
    fn drop(&mut self) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::QUIT);
        }
    }
}

/// The folder of the newest version's programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let folders = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join(PROGRAM).is_file());
    let version = |bin: &PathBuf| bin.parent()?.file_name()?.to_str()?.parse::<f64>().ok();
    folders.max_by(|a, b| version(a).partial_cmp(&version(b)).unwrap_or(std::cmp::Ordering::Equal))
}

fn absent() -> Option<PostgresServer> {
    skipped("BOBBIN_REQUIRE_POSTGRES", &format!("there is no {PROGRAM} in {VERSIONS}"))
}
