//! Worker executables for GPUs: which one is installed beside the host, and whether it can be used.
//!
//! A GPU is a drop-in file. The executable is asked what it can compute on before the first worker is started; one that
//! does not answer as it should is reported, and the processor computes.

use super::process::{INHERITED, WorkerCommand};
use bobbin_inference::wire::{Device, Greeting, Offloaded, Probe};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

/// The executables, the better one first.
const PROGRAMS: &[&str] = &["bobbin-worker-cuda", "bobbin-worker-vulkan"];
/// How long one may take to answer: drivers that have slept take seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer, and of what is said on standard error.
const MOST_SAID: u64 = 64 << 10;
/// Characters that a report repeats of what an executable said.
const REPEATED: usize = 300;

/// A worker executable that answers, and the GPUs that it computes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// The executable.
    pub program: PathBuf,
    /// At least one.
    pub devices: Vec<Device>,
    /// Layers of each model to compute there; as many as fit where nothing is said.
    pub layers: Option<u32>,
}

/// What was found beside the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// What workers are started from.
    pub gpu: Option<Gpu>,
    /// Why others that are installed are of no use: what, where, why, and the next step.
    pub unusable: Vec<String>,
}

impl Gpu {
    /// Looks into the host's own folder.
    pub async fn search(layers: Option<u32>) -> Search {
        match std::env::current_exe() {
            Ok(host) => Self::search_in(host.parent().unwrap_or(Path::new("/")), layers).await,
            Err(error) => {
                let unusable = format!("where the host is installed is not known, so no worker for a GPU is: {error}");
                Search { gpu: None, unusable: vec![unusable] }
            }
        }
    }

    async fn search_in(folder: &Path, layers: Option<u32>) -> Search {
        let mut search = Search::default();
        for program in PROGRAMS.iter().map(|name| folder.join(name)) {
            if search.gpu.is_some() || !program.exists() {
                continue;
            }
            match ask(program.as_os_str(), PATIENCE).await {
                Ok(devices) => search.gpu = Some(Self { program, devices, layers }),
                Err(why) => search.unusable.push(format!("{} is not used: {why}", program.display())),
            }
        }
        search
    }

    /// The devices in one line.
    #[must_use]
    pub fn shown(&self) -> String {
        let shown = |device: &Device| {
            let Device { name, description, memory_bytes, free_bytes } = device;
            format!("{name} {description} ({} of {} MiB free)", free_bytes >> 20, memory_bytes >> 20)
        };
        self.devices.iter().map(shown).collect::<Vec<_>>().join(", ")
    }

    /// How a worker is started from it.
    pub(super) fn command(&self) -> WorkerCommand {
        WorkerCommand { program: self.program.clone(), args: Vec::new() }
    }
}

/// What a process said of its division, cut to what a report of ours looks like before it reaches a log or a metric.
pub(super) fn cut(offloaded: Option<Offloaded>) -> Option<Offloaded> {
    offloaded.map(|said| Offloaded { devices: plain(&said.devices), ..said })
}

/// Asks an executable which GPUs it computes on; there is at least one.
async fn ask(program: &OsStr, patience: Duration) -> Result<Vec<Device>, String> {
    let answer = timeout(patience, run(program));
    let answer = answer.await.map_err(|_late| {
        format!("it has not said within {} s which GPUs there are; see what `--probe` does", patience.as_secs())
    })?;
    let (answer, said) = answer.map_err(|error| format!("it does not run: {error}"))?;
    let said = if said.is_empty() { "; `--probe` shows it".to_owned() } else { format!(": {}", plain(&said)) };
    let probe: Probe = serde_json::from_str(&answer)
        .map_err(|error| format!("it does not say which GPUs there are ({error}){said}"))?;
    if probe.greeting != Greeting::ours() {
        let (theirs, ours) = (plain(&probe.greeting.build), Greeting::ours().build);
        return Err(format!("it is of build {theirs}, this host of build {ours}; install both of the same build"));
    }
    if probe.devices.is_empty() {
        return Err(format!("it finds no GPU{said}"));
    }
    let plain = |device: Device| {
        let (name, description) = (plain(&device.name), plain(&device.description));
        Device { name, description, ..device }
    };
    Ok(probe.devices.into_iter().map(plain).collect())
}

/// What an executable answers, and the end of what it says on standard error.
async fn run(program: &OsStr) -> io::Result<(String, String)> {
    let mut command = Command::new(program);
    command.arg("--probe").env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    // Given up on, it is of no use to anybody.
    command.kill_on_drop(true);
    let mut child = command.spawn()?;
    let (answer, said) = tokio::join!(read(child.stdout.take()), read(child.stderr.take()));
    child.wait().await?;
    let last = said?.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
    Ok((answer?, last))
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(MOST_SAID).read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn plain(text: &str) -> String {
    text.trim().escape_debug().take(REPEATED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn install(folder: &Path, name: &str, script: &str) {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn answer(name: &str) -> String {
        let devices = vec![Device {
            name: name.into(),
            description: "a\u{1b}[2J GPU".into(),
            memory_bytes: 8 << 30,
            free_bytes: 7 << 30,
        }];
        let probe = serde_json::to_string(&Probe { greeting: Greeting::ours(), devices }).unwrap();
        format!("[ \"$1\" = --probe ] && echo '{probe}'; echo 'a driver chats' >&2")
    }

    async fn search(scripts: &[(&str, &str)]) -> Search {
        let folder = tempfile::tempdir().unwrap();
        scripts.iter().for_each(|(name, script)| install(folder.path(), name, script));
        Gpu::search_in(folder.path(), None).await
    }

    #[tokio::test]
    async fn nothing_is_said_where_nothing_is_installed() {
        assert_eq!(search(&[]).await, Search::default());
    }

    #[tokio::test]
    async fn the_better_executable_that_answers_is_used() {
        let (cuda, vulkan) = (answer("CUDA0"), answer("Vulkan0"));
        let both = search(&[("bobbin-worker-cuda", &cuda), ("bobbin-worker-vulkan", &vulkan)]).await;
        let gpu = both.gpu.unwrap();
        assert!(gpu.program.ends_with("bobbin-worker-cuda"), "{gpu:?}");
        assert_eq!(gpu.shown(), "CUDA0 a\\u{1b}[2J GPU (7168 of 8192 MiB free)");
        assert!(both.unusable.is_empty());
        let broken = search(&[("bobbin-worker-cuda", "exit 1"), ("bobbin-worker-vulkan", &vulkan)]).await;
        assert!(broken.gpu.unwrap().program.ends_with("bobbin-worker-vulkan"));
        assert_eq!(broken.unusable.len(), 1);
    }

    #[tokio::test]
    async fn what_is_of_no_use_is_reported_with_the_reason() {
        let build = answer("CUDA0").replace(&Greeting::ours().build, "another");
        let none = serde_json::to_string(&Probe { greeting: Greeting::ours(), devices: Vec::new() }).unwrap();
        for (script, parts) in [
            ("echo 'libcuda.so.1: cannot open shared object file' >&2; exit 127", ["does not say", "libcuda.so.1"]),
            ("echo nonsense", ["does not say which GPUs there are", "--probe"]),
            ("kill -SEGV $$", ["does not say which GPUs there are", "--probe"]),
            (&build, ["it is of build another", "install both of the same build"]),
            (&format!("echo '{none}'; echo 'no device answers' >&2"), ["it finds no GPU", "no device answers"]),
        ] {
            let Search { gpu, unusable } = search(&[("bobbin-worker-cuda", script)]).await;
            assert_eq!(gpu, None, "{script}");
            let [why] = unusable.as_slice() else { panic!("{unusable:?}") };
            for part in parts.iter().chain(&["bobbin-worker-cuda is not used"]) {
                assert!(why.contains(part), "{part} is missing in: {why}");
            }
        }
    }

    #[tokio::test]
    async fn one_that_cannot_be_run_or_never_answers_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("bobbin-worker-cuda"), "no program").unwrap();
        let unusable = Gpu::search_in(folder.path(), None).await.unusable;
        assert!(unusable[0].contains("it does not run"), "{unusable:?}");
        install(folder.path(), "hangs", "exec sleep 600");
        let late = ask(folder.path().join("hangs").as_os_str(), Duration::from_millis(50)).await;
        assert!(late.unwrap_err().contains("has not said within"));
    }
}
