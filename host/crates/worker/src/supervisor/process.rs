//! The process of a worker: how it is started, and how it ended.

use super::memory::{Memory, Meter};
use super::spawner::Spawner;
use super::tail::Tail;
use bobbin_inference::Class;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fmt, io};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;

/// How long the last lines may take to arrive after the process has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How often idle OpenMP threads look for work before they sleep: for some tenths of a millisecond, which covers the gaps
/// within a step. With 1,000, llama.cpp's own bench makes 10 to 15 % fewer tokens of one stream of a large model; with
/// 30,000 some 6 % more, but the thread then holds its core where a small model's clients want it. The default spins for
/// much longer. Workers never have more compute threads than there are cores, so they do not spin against each other.
const SPIN_COUNT: &str = "10000";

/// What a worker may inherit of the host's environment: where a GPU's libraries and devices are, and how much
/// it says.
pub(super) const INHERITED: &[&str] =
    &["LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES", "VK_DRIVER_FILES", "BOBBIN_WORKER_LOG"];

/// Which executable is a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The executable.
    pub program: PathBuf,
    /// What comes before `--bundle name@version` on its command line.
    pub args: Vec<OsString>,
}

impl Default for WorkerCommand {
    /// The host's own executable, with its hidden subcommand.
    fn default() -> Self {
        Self { program: PathBuf::from("/proc/self/exe"), args: vec!["worker".into()] }
    }
}

/// What a process computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Processor,
    Gpu,
}

/// Starts workers. There is another one in tests.
pub(super) trait Launch: Send + Sync {
    /// Starts a process for a bundle (`name@version`) that computes with so many threads.
    fn launch<'a>(
        &'a self,
        bundle: &'a str,
        threads: u32,
        class: Class,
        target: Target,
    ) -> BoxFuture<'a, io::Result<Launched>>;
}

/// A process that was started.
pub(super) struct Launched {
    /// The host's end of its standard input.
    pub(super) stream: UnixStream,
    pub(super) process: Box<dyn Process>,
}

/// A process that may still be running.
pub(super) trait Process: Send {
    fn pid(&self) -> u32;

    /// Reads its memory. Of no use after it was waited for to its end: another may have its id then.
    fn meter(&self) -> Meter;

    /// Kills it, if it has not ended. It must be waited for all the same.
    fn kill(&mut self);

    /// Waits for its end and says how it came. May be dropped and called again.
    fn wait(&mut self) -> BoxFuture<'_, Ending>;
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ending {
    /// As in `ended by SIGKILL`.
    pub(super) how: String,
    /// What it said last. It is for whoever runs the host: it may name files, or quote what somebody asked.
    pub(super) words: Option<String>,
}

impl Ending {
    /// One that the host knows all about.
    pub(super) fn of(how: String) -> Self {
        Self { how, words: None }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.words {
            Some(words) => write!(f, "{}; last words: {words}", self.how),
            None => f.write_str(&self.how),
        }
    }
}

/// Starts real processes.
pub(super) struct Launcher {
    pub(super) spawner: Spawner,
    pub(super) command: WorkerCommand,
    /// For a GPU, where there is one.
    pub(super) gpu: Option<WorkerCommand>,
}

impl Launch for Launcher {
    fn launch<'a>(
        &'a self,
        bundle: &'a str,
        threads: u32,
        class: Class,
        target: Target,
    ) -> BoxFuture<'a, io::Result<Launched>> {
        let worker = match (target, &self.gpu) {
            (Target::Gpu, Some(gpu)) => gpu,
            (Target::Processor, _) | (Target::Gpu, None) => &self.command,
        };
        Box::pin(async move {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            let stream = UnixStream::from_std(ours)?;
            let command = worker.build(bundle, threads, class, theirs.into());
            let child = self.spawner.spawn(command).await.map_err(|error| {
                io::Error::new(error.kind(), format!("{} does not start: {error}", worker.program.display()))
            })?;
            Ok(Launched { stream, process: Box::new(Running::watch(child, bundle)) })
        })
    }
}

impl WorkerCommand {
    fn build(&self, bundle: &str, threads: u32, class: Class, stdin: OwnedFd) -> Command {
        let mut command = Command::new(&self.program);
        command.arg0("bobbin").args(&self.args).args(["--bundle", bundle]);
        command.args(["--parent", &std::process::id().to_string()]);
        match class {
            Class::Serving => {}
            Class::Shadow => drop(command.arg("--background")),
        }
        command.env_clear();
        for name in INHERITED {
            if let Some(value) = env::var_os(name) {
                command.env(name, value);
            }
        }
        // A backtrace of an abort would start a debugger from inside the cage.
        command.env("GGML_NO_BACKTRACE", "1");
        // An operator may know better what else runs on these cores.
        let spin = env::var_os("GOMP_SPINCOUNT").unwrap_or_else(|| SPIN_COUNT.into());
        command.env("GOMP_SPINCOUNT", spin).env("OMP_NUM_THREADS", threads.to_string());
        command.stdin(Stdio::from(stdin)).stdout(Stdio::null()).stderr(Stdio::piped());
        // Its own group, so that ctrl-C on the host's terminal lets the host drain first.
        command.process_group(0).kill_on_drop(true);
        command
    }
}

struct Running {
    child: Child,
    pid: u32,
    tail: Arc<Mutex<Tail>>,
    reading: Option<JoinHandle<()>>,
}

impl Running {
    fn watch(mut child: Child, bundle: &str) -> Self {
        // The child was not waited for yet, so it has an id.
        let pid = child.id().unwrap_or_default();
        let tail = Arc::new(Mutex::new(Tail::default()));
        let reading = child
            .stderr
            .take()
            .map(|stderr| tokio::spawn(read_tail(stderr, Arc::clone(&tail), bundle.to_owned(), pid)));
        Self { child, pid, tail, reading }
    }
}

impl Process for Running {
    fn pid(&self) -> u32 {
        self.pid
    }

    fn meter(&self) -> Meter {
        let pid = self.pid;
        Box::new(move || Memory::of(pid))
    }

    fn kill(&mut self) {
        // It fails only for a child that has ended, and then there is nothing to kill.
        let _ = self.child.start_kill();
    }

    fn wait(&mut self) -> BoxFuture<'_, Ending> {
        Box::pin(async move {
            let how = match self.child.wait().await {
                Ok(status) => ending(status),
                Err(error) => format!("ended, and its status cannot be read: {error}"),
            };
            if let Some(reading) = &mut self.reading {
                // Something that inherited its standard error may hold it open for longer than it lived.
                let _ = tokio::time::timeout(LAST_WORDS, reading).await;
                self.reading = None;
            }
            Ending { how, words: self.tail.lock().last_words() }
        })
    }
}

async fn read_tail(mut stderr: ChildStderr, tail: Arc<Mutex<Tail>>, bundle: String, pid: u32) {
    let log = |line: &str| tracing::debug!(target: "worker", bundle, pid, "{line}");
    let mut buffer = vec![0; 4096];
    loop {
        match stderr.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => tail.lock().push(buffer.split_at(read).0, log),
        }
    }
    tail.lock().finish(log);
}

fn ending(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => match SIGNALS.iter().find(|(number, _)| *number == signal) {
            Some((_, name)) => format!("ended by {name}"),
            None => format!("ended by signal {signal}"),
        },
        (None, Some(code)) => format!("exited with status {code}"),
        (None, None) => format!("ended: {status}"),
    }
}

/// Signals that end a process, as people know them.
const SIGNALS: &[(i32, &str)] = &[
    (libc::SIGABRT, "SIGABRT"),
    (libc::SIGALRM, "SIGALRM"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGHUP, "SIGHUP"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGINT, "SIGINT"),
    (libc::SIGKILL, "SIGKILL"),
    (libc::SIGPIPE, "SIGPIPE"),
    (libc::SIGQUIT, "SIGQUIT"),
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGSYS, "SIGSYS"),
    (libc::SIGTERM, "SIGTERM"),
    (libc::SIGTRAP, "SIGTRAP"),
    (libc::SIGXCPU, "SIGXCPU"),
    (libc::SIGXFSZ, "SIGXFSZ"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn launcher(script: &str) -> Launcher {
        let args = vec!["-c".into(), script.into(), "sh".into()];
        let command = WorkerCommand { program: "/bin/sh".into(), args };
        Launcher { spawner: Spawner::start().unwrap(), command, gpu: None }
    }

    async fn launch(script: &str) -> Launched {
        launcher(script).launch("storyteller@1.0.0", 3, Class::Serving, Target::Processor).await.unwrap()
    }

    #[tokio::test]
    async fn a_gpu_has_an_executable_of_its_own() {
        let gpu = launcher("exit 5").command;
        let launcher = Launcher { gpu: Some(gpu), ..launcher("exit 6") };
        for (target, expected) in [(Target::Gpu, "exited with status 5"), (Target::Processor, "exited with status 6")] {
            let mut launched = launcher.launch("storyteller@1.0.0", 3, Class::Serving, target).await.unwrap();
            assert_eq!(launched.process.wait().await.to_string(), expected);
        }
    }

    #[tokio::test]
    async fn a_signal_is_reported_by_name_with_the_last_words() {
        let mut launched = launch("echo 'GGML_ASSERT(x) failed' >&2; kill -ABRT $$").await;
        let ended = launched.process.wait().await;
        assert_eq!((ended.how.as_str(), ended.words.as_deref()), ("ended by SIGABRT", Some("GGML_ASSERT(x) failed")));
        assert_eq!(ended.to_string(), "ended by SIGABRT; last words: GGML_ASSERT(x) failed");
    }

    #[tokio::test]
    async fn an_exit_status_is_reported_as_a_number() {
        assert_eq!(launch("exit 7").await.process.wait().await.to_string(), "exited with status 7");
    }

    #[tokio::test]
    async fn a_process_ends_when_the_hosts_end_closes_and_leaves_no_zombie() {
        let Launched { stream, mut process } = launch("cat >/dev/null; exit 0").await;
        let stat = format!("/proc/{}/stat", process.pid());
        assert!(fs::exists(&stat).unwrap());
        drop(stream);
        assert_eq!(process.wait().await.to_string(), "exited with status 0");
        assert!(!fs::exists(&stat).unwrap());
    }

    #[tokio::test]
    async fn a_process_that_does_not_listen_is_killed() {
        let mut launched = launch("trap '' TERM; while :; do sleep 60; done").await;
        launched.process.kill();
        assert_eq!(launched.process.wait().await.to_string(), "ended by SIGKILL");
    }

    #[tokio::test]
    async fn a_worker_gets_a_group_a_command_line_and_an_environment_of_its_own() {
        let script = r#"env | sort >&3; cat >/dev/null"#;
        let out = tempfile::NamedTempFile::new().unwrap();
        let Launched { stream, mut process } = launch(&format!("exec 3>{}; {script}", out.path().display())).await;
        let pid = process.pid();
        // The kernel reports the new program before it has copied its arguments.
        let line = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
                if !line.is_empty() {
                    return line;
                }
                tokio::task::yield_now().await;
            }
        });
        let line = line.await.unwrap();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let group = stat.rsplit(')').next().unwrap().split_whitespace().nth(2).unwrap();
        assert_eq!(group, pid.to_string());
        let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        assert_eq!(words.first().unwrap(), "bobbin");
        let parent = std::process::id().to_string();
        let end = ["--bundle", "storyteller@1.0.0", "--parent", &parent, ""];
        assert!(words.ends_with(&end.map(Into::into)), "{words:?}");
        drop(stream);
        process.wait().await;
        let env = fs::read_to_string(out.path()).unwrap();
        for expected in ["GGML_NO_BACKTRACE=1", &format!("GOMP_SPINCOUNT={SPIN_COUNT}"), "OMP_NUM_THREADS=3"] {
            assert!(env.lines().any(|line| line == expected), "{expected} in {env}");
        }
        for refused in ["HOME=", "PATH=", "OMP_WAIT_POLICY="] {
            assert!(!env.lines().any(|line| line.starts_with(refused)), "{refused} in {env}");
        }
    }

    #[tokio::test]
    async fn only_a_shadow_is_told_to_stay_in_the_background() {
        for (class, expected) in [(Class::Serving, "false"), (Class::Shadow, "true")] {
            // The script's arguments are those of the worker.
            let script = r#"case "$*" in *--background*) echo true >&2 ;; *) echo false >&2 ;; esac; exit 3"#;
            let mut launched = launcher(script).launch("storyteller@1.0.0", 1, class, Target::Processor).await.unwrap();
            let ended = launched.process.wait().await;
            assert_eq!(ended.to_string(), format!("exited with status 3; last words: {expected}"));
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let command = WorkerCommand { program: "/nonexistent/bobbin".into(), args: Vec::new() };
        let launcher = Launcher { spawner: Spawner::start().unwrap(), command, gpu: None };
        let error = launcher.launch("storyteller@1.0.0", 1, Class::Serving, Target::Processor).await.err().unwrap();
        assert!(error.to_string().contains("/nonexistent/bobbin"), "{error}");
    }
}
