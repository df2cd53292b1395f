//! A MySQL server for one test: MariaDB, which Debian has.

use crate::skip::skipped;
use crate::user::user;
use crate::{Result, eventually};
use anyhow::{Context, ensure};
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// Debian's package mariadb-server has both, and puts the first where only root looks.
const PROGRAM: &str = "mariadbd";
const INSTALL: &str = "mariadb-install-db";
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
/// Whoever runs the server as root: this user comes with the package.
const USER: &str = "mysql";
/// Done by the server before it greets anybody.
const SETUP: &str = "
CREATE DATABASE spin;
CREATE USER 'spin'@'%' IDENTIFIED BY 'hunter2';
GRANT ALL ON spin.* TO 'spin'@'%';
";
/// Nothing has to survive, and nothing is large.
const SMALL: [&str; 4] = [
    "--innodb-buffer-pool-size=8M",
    "--innodb-log-file-size=4M",
    "--innodb-flush-method=nosync",
    "--innodb-flush-log-at-trx-commit=0",
];
/// The version of the protocol, with which a greeting begins.
const VERSION: u8 = 10;

/// A server on a loopback port of its own, with data of its own, ended with the test.
#[derive(Debug)]
pub struct MysqlServer {
    port: u16,
    child: Child,
    _folder: TempDir,
}

impl MysqlServer {
    /// Starts a server, and waits until it answers.
    ///
    /// Returns `None` where the program is not installed, after saying so; with `BOBBIN_REQUIRE_MYSQL=1` that is a failure.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start() -> Result<Option<Self>> {
        Self::start_with(None).await
    }

    /// The same, where it can be secured by a certificate and its key, both in PEM.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_secured(certificate: &str, key: &str) -> Result<Option<Self>> {
        Self::start_with(Some((certificate, key))).await
    }

    async fn start_with(tls: Option<(&str, &str)>) -> Result<Option<Self>> {
        let (Some(program), Some(install)) = (find(PROGRAM), find(INSTALL)) else { return Ok(absent()) };
        let folder = TempDir::new()?;
        let user = user(USER)?;
        let own = |path: &Path| match user {
            Some((uid, gid)) => chown(path, Some(uid), Some(gid)),
            None => Ok(()),
        };
        let write = |name: &str, text: &str| -> Result<PathBuf> {
            let path = folder.path().join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            own(&path)?;
            Ok(path)
        };
        own(folder.path())?;
        let (setup, data) = (write("setup.sql", SETUP)?, folder.path().join("data"));
        // A server removes the temporary tables that it finds when it starts, also those of another one.
        let temporary = folder.path().join("tmp");
        fs::create_dir(&temporary)?;
        own(&temporary)?;
        let run = |program: &Path| {
            let mut command = Command::new(program);
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command
                .arg("--no-defaults")
                .arg(option("--datadir", &data))
                .arg(option("--tmpdir", &temporary))
                .args(SMALL);
            command.current_dir(folder.path()).stdin(Stdio::null());
            command
        };
        let mut made = run(&install);
        made.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
        let made = made.output().await.context(INSTALL)?;
        ensure!(made.status.success(), "{INSTALL}: {}", String::from_utf8_lossy(&made.stderr));

        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut server = run(&program);
        server.args(["--bind-address=127.0.0.1", &format!("--port={port}"), "--skip-name-resolve", "--skip-log-bin"]);
        server.args(["--character-set-server=utf8mb4", "--max-allowed-packet=1G", "--max-connections=500"]);
        server.arg(option("--socket", &folder.path().join("s"))).arg(option("--init-file", &setup));
        server.arg(option("--pid-file", &folder.path().join("pid")));
        if let Some((certificate, key)) = tls {
            server.arg(option("--ssl-cert", &write("certificate.pem", certificate)?));
            server.arg(option("--ssl-key", &write("key.pem", key)?));
        }
        server.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = server.spawn().context(PROGRAM)?;
        eventually(async || Ok(greeted(port).await)).await?;
        Ok(Some(Self { port, child, _folder: folder }))
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// An address with a password, without TLS.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mysql://spin:hunter2@127.0.0.1:{}/spin", self.port)
    }

    /// Ends it, as a crash does.
    ///
    /// # Errors
    /// When it has ended already.
    pub async fn kill(mut self) -> Result {
        Ok(self.child.kill().await?)
    }
}

fn option(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

/// Whether the server greets who connects.
async fn greeted(port: u16) -> Option<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
    let mut greeting = [0; 5];
    stream.read_exact(&mut greeting).await.ok()?;
    (greeting[4] == VERSION).then_some(())
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|program| program.is_file())
}

fn absent() -> Option<MysqlServer> {
    skipped("BOBBIN_REQUIRE_MYSQL", &format!("there is no {PROGRAM}"))
}
