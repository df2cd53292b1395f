//! One running host.

use crate::client::{Answer, Events};
use crate::folders::Folders;
use crate::memory::MemoryWatch;
use crate::metrics::Metrics;
use crate::paths::{bobbin, repository_root};
use crate::{RawConnection, Result};
use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Longer than any step of a sound run takes; a test that meets it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// The same for a start that builds components first: with nothing built yet, on two cores.
const PATIENCE_WITH_A_BUILD: Duration = Duration::from_secs(330);

/// Variables that are meant for the build of the host, and would send components elsewhere.
const OF_THE_HOSTS_BUILD: [&str; 4] =
    ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET", "CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS"];

/// What to start.
#[derive(Debug)]
pub struct TestHostBuilder {
    /// The first words of the command line.
    command: Vec<OsString>,
    environment: Vec<(String, OsString)>,
    args: Vec<String>,
    log_filter: Option<String>,
    state: Option<PathBuf>,
    /// The address that the application listens on, with any port.
    listen: IpAddr,
    /// The same for the admin listener.
    admin_listen: IpAddr,
    /// The host's executable.
    executable: PathBuf,
    /// A program and its arguments, in front of the host's own.
    wrapper: Vec<String>,
    /// Whether it is started as by somebody who types the line in the repository's root, and builds.
    typed: bool,
}

/// A running `bobbin up`, ended with the test.
#[derive(Debug)]
pub struct TestHost {
    child: Child,
    app: SocketAddr,
    admin: SocketAddr,
    banner: String,
    /// What it prints behind the banner's last line that every host has.
    more: Arc<Mutex<String>>,
    folders: Folders,
    client: reqwest::Client,
}

impl TestHostBuilder {
    /// At most so many requests at once.
    #[must_use]
    pub fn max_in_flight(self, bound: u32) -> Self {
        self.arg("--max-in-flight").arg(&bound.to_string())
    }

    /// One more argument of `bobbin up`.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// What the host logs, as `BOBBIN_LOG`.
    #[must_use]
    pub fn log_filter(mut self, filter: &str) -> Self {
        self.log_filter = Some(filter.to_owned());
        self
    }

    /// Keeps its state in this folder, which outlives it. Otherwise the state ends with the host.
    #[must_use]
    pub fn state_dir(mut self, folder: &Path) -> Self {
        self.state = Some(folder.to_owned());
        self
    }

    /// The application listens on this address.
    #[must_use]
    pub fn listen(mut self, address: IpAddr) -> Self {
        self.listen = address;
        self
    }

    /// The admin listener is on this address.
    #[must_use]
    pub fn admin_listen(mut self, address: IpAddr) -> Self {
        self.admin_listen = address;
        self
    }

    /// Runs this executable of the host, instead of the one that was built.
    #[must_use]
    pub fn executable(mut self, executable: &Path) -> Self {
        executable.clone_into(&mut self.executable);
        self
    }

    /// Runs the host through another program, which must replace itself by it.
    #[must_use]
    pub fn through(mut self, program: Vec<String>) -> Self {
        self.wrapper = program;
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Starts the host and waits for its banner.
    ///
    /// # Errors
    /// When it ends before it is up; with its log.
    pub async fn start(self) -> Result<TestHost> {
        let folders = Folders::new(self.state.as_deref())?;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let admin = SocketAddr::new(self.admin_listen, 0);
        let mut child = self.spawn(&folders, SocketAddr::new(self.listen, 0), admin)?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let mut banner = String::new();
        let up = async {
            while let Some(line) = lines.next_line().await? {
                banner.push_str(&line);
                banner.push('\n');
                if line.trim_start().starts_with("admin ") {
                    return Ok(true);
                }
            }
            Result::Ok(false)
        };
        let patience = if self.typed { PATIENCE_WITH_A_BUILD } else { PATIENCE };
        let up = tokio::time::timeout(patience, up).await.context("no banner came")??;
        ensure!(up, "the host ended before it was up:\n{banner}{}", folders.read_log());
        let more = Arc::<Mutex<String>>::default();
        let read = Arc::clone(&more);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let mut more = read.lock().unwrap_or_else(PoisonError::into_inner);
                more.push_str(&line);
                more.push('\n');
            }
        });
        // An application may have no routes. Nobody answers at this port.
        let app = address(&banner, "route").unwrap_or(any);
        let admin = address(&banner, "admin").context("the banner names no admin address")?;
        Ok(TestHost { child, app, admin, banner, more, folders, client: client()? })
    }

    /// Starts the host and waits until it answers, however far its models are: its banner is not there yet.
    ///
    /// # Errors
    /// When it never answers.
    pub async fn start_unready(self) -> Result<TestHost> {
        let folders = Folders::new(self.state.as_deref())?;
        // Without a banner nobody says which ports the host was given. On a loopback address that belongs to this
        // process alone, any port is free.
        let [_, a, b, c] = std::process::id().to_be_bytes();
        let (app, admin) =
            (SocketAddr::from(([127, a | 128, b, c], 3000)), SocketAddr::from(([127, a | 128, b, c], 3001)));
        let child = self.spawn(&folders, app, admin)?;
        let (banner, more) = (String::new(), Arc::default());
        let mut host = TestHost { child, app, admin, banner, more, folders, client: client()? };
        let answered = eventually(async || {
            ensure!(host.child.try_wait()?.is_none(), "the host ended before it answered");
            Ok(host.admin("/healthz").await.ok().filter(|answer| answer.status() == 200))
        });
        answered.await.with_context(|| host.log())?;
        Ok(host)
    }

    /// Runs a host that is expected to refuse, and returns what it prints to standard error.
    ///
    /// # Errors
    /// When it does not end by itself, or ends well.
    pub async fn refused(self) -> Result<String> {
        let folders = Folders::new(self.state.as_deref())?;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let output = self.command(&folders.state, SocketAddr::new(self.listen, 0), any).output();
        let output = tokio::time::timeout(PATIENCE, output).await.context("the host did not refuse")??;
        ensure!(!output.status.success(), "the host ended well");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn spawn(&self, folders: &Folders, app: SocketAddr, admin: SocketAddr) -> Result<Child> {
        let log = fs::File::create(folders.log())?;
        Ok(self.command(&folders.state, app, admin).stdout(Stdio::piped()).stderr(log).spawn()?)
    }

    fn command(&self, state: &Path, app: SocketAddr, admin: SocketAddr) -> Command {
        let mut words = self.wrapper.iter().map(OsString::from).chain([self.executable.clone().into_os_string()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).args(&self.command).arg("--state-dir").arg(state);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(["--listen", &app.to_string(), "--admin-listen", &admin.to_string()]);
        command.args(&self.args).stdin(Stdio::null()).kill_on_drop(true);
        if self.typed {
            command.current_dir(repository_root());
            for name in OF_THE_HOSTS_BUILD {
                command.env_remove(name);
            }
        }
        if let Some(filter) = &self.log_filter {
            command.env("BOBBIN_LOG", filter);
        }
        command
    }
}

impl TestHost {
    /// The example application of the repository.
    #[must_use]
    pub fn example() -> TestHostBuilder {
        Self::of(&repository_root().join("spin.toml"))
    }

    /// An application with one model, and so with one worker: the example's `/hello` and `/story`.
    #[must_use]
    pub fn stories() -> TestHostBuilder {
        Self::of(&repository_root().join("tests/fixtures/stories.toml"))
    }

    /// The application whose components misbehave, and do things that the example does not.
    #[must_use]
    pub fn fixtures() -> TestHostBuilder {
        Self::of(&repository_root().join("tests/fixtures/spin.toml"))
    }

    /// An application.
    #[must_use]
    pub fn of(manifest: &Path) -> TestHostBuilder {
        Self::command(vec!["up".into(), "-f".into(), manifest.into()])
    }

    /// An application that is followed: `bobbin watch`.
    #[must_use]
    pub fn watch(manifest: &Path) -> TestHostBuilder {
        Self::command(vec!["watch".into(), "-f".into(), manifest.into()])
    }

    /// `bobbin up` with these arguments, as somebody types them in the repository's root.
    #[must_use]
    pub fn typed(arguments: &[String]) -> TestHostBuilder {
        let words = std::iter::once("up".into()).chain(arguments.iter().map(OsString::from));
        TestHostBuilder { typed: true, ..Self::command(words.collect()) }
    }

    /// The plugin of Spin's, by the name that Spin gives it.
    #[must_use]
    pub fn plugin(executable: &Path) -> TestHostBuilder {
        Self::command(Vec::new()).executable(executable)
    }

    fn command(command: Vec<OsString>) -> TestHostBuilder {
        TestHostBuilder {
            command,
            environment: Vec::new(),
            executable: bobbin(),
            args: Vec::new(),
            log_filter: None,
            state: None,
            listen: Ipv4Addr::LOCALHOST.into(),
            admin_listen: Ipv4Addr::LOCALHOST.into(),
            wrapper: Vec::new(),
            typed: false,
        }
    }

    /// What it printed when it was up.
    #[must_use]
    pub fn banner(&self) -> &str {
        &self.banner
    }

    /// The line for a shell that it prints behind its banner.
    ///
    /// # Errors
    /// When there is none.
    pub async fn line_to_paste(&self) -> Result<String> {
        let find = || {
            let more = self.more.lock().unwrap_or_else(PoisonError::into_inner);
            more.lines().map(str::trim).find(|line| line.starts_with("curl ")).map(str::to_owned)
        };
        eventually(async || Ok(find())).await.context("no line to paste")
    }

    /// Everything that it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.folders.read_log()
    }

    /// The address of the admin listener.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin
    }

    pub(crate) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// The address of the application.
    #[must_use]
    pub fn app_addr(&self) -> SocketAddr {
        self.app
    }

    /// Its process id.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().context("the host has ended")
    }

    /// Watches its memory from here on.
    ///
    /// # Errors
    /// When it has ended.
    pub fn watch_memory(&self) -> Result<MemoryWatch> {
        MemoryWatch::of(self.pid()?)
    }

    /// Ids of its worker processes: its children whose command line reads `bobbin worker ..`.
    ///
    /// # Errors
    /// When it has ended.
    pub fn workers(&self) -> Result<Vec<u32>> {
        let host = self.pid()?;
        let mut workers = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
            // A process may end between the listing and the look.
            let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
            let Ok(line) = fs::read_to_string(format!("/proc/{pid}/cmdline")) else { continue };
            let ours =
                status.lines().any(|line| line.strip_prefix("PPid:").is_some_and(|p| p.trim() == host.to_string()));
            let mut words = line.split('\0');
            let worker = words.next().is_some_and(|first| first.ends_with("bobbin")) && words.next() == Some("worker");
            if ours && worker {
                workers.push(pid);
            }
        }
        Ok(workers)
    }

    /// Sends a signal to the host or to one of its workers.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn signal(&self, pid: u32, signal: Signal) -> Result {
        let pid = Pid::from_raw(i32::try_from(pid)?).context("no process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Ends it as a crash does, with its workers.
    ///
    /// # Errors
    /// When it has ended already.
    pub async fn kill(mut self) -> Result {
        Ok(self.child.kill().await?)
    }

    /// Waits until the host has ended, and returns its exit code.
    ///
    /// # Errors
    /// When it does not end, or ended by a signal.
    pub async fn ended(&mut self) -> Result<i32> {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.context("the host goes on")??;
        status.code().with_context(|| format!("the host ended with {status}"))
    }

    /// GET on the application.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        Answer::read(self.client.get(self.url(path)).send().await?).await
    }

    /// POST with any body on the application.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Result<Answer> {
        Answer::read(self.client.post(self.url(path)).body(body).send().await?).await
    }

    /// POST with JSON on the application.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn post_json(&self, path: &str, body: &serde_json::Value) -> Result<Answer> {
        self.post(path, body.to_string()).await
    }

    /// POST on the application, whose answer is read event by event. It is dropped to leave early.
    ///
    /// # Errors
    /// When no head comes, or another status than 200.
    pub async fn stream(&self, path: &str, body: &serde_json::Value) -> Result<Events> {
        let response = self.client.post(self.url(path)).body(body.to_string()).send().await?;
        if response.status() != 200 {
            bail!("{}: {}", response.status(), response.text().await?);
        }
        Ok(Events::new(response))
    }

    /// A connection of its own, for tests that look at bytes.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn connect(&self) -> Result<RawConnection> {
        RawConnection::open(self.app).await
    }

    /// GET on the admin listener.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn admin(&self, path: &str) -> Result<Answer> {
        Answer::read(self.client.get(format!("http://{}{path}", self.admin)).send().await?).await
    }

    /// The metrics as they are now.
    ///
    /// # Errors
    /// When they cannot be had.
    pub async fn metrics(&self) -> Result<Metrics> {
        Ok(Metrics::parse(self.admin("/metrics").await?.text()))
    }

    /// Waits until the metrics satisfy a condition.
    ///
    /// # Errors
    /// When they never do; with the last ones seen.
    pub async fn metrics_when(&self, what: &str, condition: impl Fn(&Metrics) -> bool) -> Result<Metrics> {
        let mut last = String::new();
        let seen = eventually(async || {
            let metrics = self.metrics().await?;
            last = metrics.to_string();
            Ok(condition(&metrics).then_some(metrics))
        });
        let seen = seen.await;
        seen.with_context(|| format!("waiting until {what}; the metrics were:\n{last}"))
    }

    /// The application's URL for a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.app)
    }
}

fn client() -> Result<reqwest::Client> {
    Ok(crate::http().pool_max_idle_per_host(0).timeout(PATIENCE).build()?)
}

/// Asks again and again until there is an answer: for states that are reached in their own time.
///
/// # Errors
/// When none comes for two minutes, or asking fails.
pub async fn eventually<T>(mut ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let asking = async {
        loop {
            if let Some(answer) = ask().await? {
                return Ok(answer);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.context("it never came to be")?
}

/// The address in the first banner line with this label.
fn address(banner: &str, label: &str) -> Option<SocketAddr> {
    let line = banner.lines().find_map(|line| line.trim_start().strip_prefix(label))?;
    let (_scheme, rest) = line.trim_start().split_once("://")?;
    rest.split(['/', ' ']).next()?.parse().ok()
}
