//! Workers for GPUs are drop-in files beside the host; where one fails, the processor computes, and somebody is told.

use anyhow::{Context as _, anyhow};
use bobbin_inference::wire::{Device, Greeting, Probe};
use bobbin_tests::{Result, TestHost, TestHostBuilder, bobbin};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tempfile::TempDir;

/// A folder with the host's executable, and others beside it that the tests write.
struct Installed {
    folder: TempDir,
}

impl Installed {
    fn new() -> Result<Self> {
        let folder = TempDir::new_in(bobbin().parent().context("the executable has a folder")?)?;
        fs::hard_link(bobbin(), folder.path().join("bobbin"))?;
        Ok(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A worker for GPUs that does what a shell does.
    fn worker(&self, name: &str, script: &str) -> Result {
        fs::write(self.path(name), format!("#!/bin/sh\n{script}\n"))?;
        Ok(fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755))?)
    }

    /// One that says that there is a GPU, and then does what a shell does.
    fn answering_worker(&self, name: &str, script: &str) -> Result {
        let device = Device {
            name: "CUDA0".into(),
            description: "a GPU of the tests".into(),
            memory_bytes: 8 << 30,
            free_bytes: 6 << 30,
        };
        let probe = serde_json::to_string(&Probe { greeting: Greeting::ours(), devices: vec![device] })?;
        self.worker(name, &format!("if [ \"$1\" = --probe ]; then echo '{probe}'; exit; fi\n{script}"))
    }

    fn host(&self) -> TestHostBuilder {
        TestHost::stories().executable(&self.path("bobbin")).log_filter("info")
    }
}

async fn tells_a_story(host: &TestHost) -> Result {
    let answer = host.post_json("/story", &json!({"prompt": "Once upon a time", "max_tokens": 10})).await?;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let told = answer.json()?.pointer("/usage/output_tokens").and_then(Value::as_u64);
    assert_eq!(told, Some(10), "{}", answer.text());
    Ok(())
}

fn gpu_lines(host: &TestHost) -> Vec<&str> {
    host.banner().lines().filter(|line| line.to_ascii_lowercase().contains("gpu")).collect()
}

const IN_USE: &str = "bobbin_worker_gpu";

#[tokio::test]
async fn where_none_is_installed_nothing_is_said_of_gpus() -> Result {
    let host = Installed::new()?.host().start().await?;
    assert_eq!(gpu_lines(&host), Vec::<&str>::new(), "{}", host.banner());
    assert!(!host.metrics().await?.to_string().contains(IN_USE));
    tells_a_story(&host).await
}

#[tokio::test]
async fn one_that_is_of_no_use_is_reported_and_the_processor_computes() -> Result {
    let installed = Installed::new()?;
    installed.worker("bobbin-worker-cuda", "echo 'libcudart.so.13: cannot open shared object file' >&2; exit 127")?;
    installed.worker("bobbin-worker-vulkan", "echo '{\"protocol\":1,\"build\":\"older\",\"devices\":[]}'")?;
    let host = installed.host().start().await?;
    let lines = gpu_lines(&host);
    assert_eq!(lines.len(), 2, "{}", host.banner());
    assert!(lines[0].contains("bobbin-worker-cuda is not used") && lines[0].contains("libcudart.so.13"), "{lines:?}");
    assert!(lines[1].contains("it is of build older") && lines[1].contains("of the same build"), "{lines:?}");
    assert!(host.log().contains("libcudart.so.13"), "{}", host.log());
    tells_a_story(&host).await
}

#[tokio::test]
async fn one_that_fails_with_a_model_leaves_it_to_the_processor_and_says_so() -> Result {
    let installed = Installed::new()?;
    installed.answering_worker("bobbin-worker-cuda", "echo 'CUDA error: no kernel image' >&2; exit 3")?;
    let host = installed.host().start().await?;
    let lines = gpu_lines(&host);
    assert!(lines[0].contains("CUDA0 a GPU of the tests (6144 of 8192 MiB free)"), "{lines:?}");
    let model = lines[1];
    for part in ["storyteller@1.0.0  ready, without the GPU", "CUDA error: no kernel image", "the processor computes"] {
        assert!(model.contains(part), "{part} is missing in {model}");
    }
    assert_eq!(host.metrics().await?.sum(IN_USE, &[("bundle", "storyteller@1.0.0")]), 0.0);
    assert!(host.metrics().await?.to_string().contains(IN_USE));
    tells_a_story(&host).await?;
    // What died on the GPU was seen by nobody.
    assert_eq!(host.metrics().await?.sum("bobbin_worker_restarts_total", &[]), 0.0);
    Ok(())
}

#[tokio::test]
async fn one_that_works_computes_for_all_and_again_after_it_was_killed() -> Result {
    let installed = Installed::new()?;
    let (starts, host) = (installed.path("starts"), installed.path("bobbin"));
    let script = format!("echo started >> {}; exec {} worker \"$@\"", starts.display(), host.display());
    installed.answering_worker("bobbin-worker-cuda", &script)?;
    let host = installed.host().start().await?;
    tells_a_story(&host).await?;
    assert_eq!(fs::read_to_string(&starts)?, "started\n", "{}", host.log());
    let [worker] = host.workers()?.try_into().map_err(|workers| anyhow!("one worker, not {workers:?}"))?;
    host.signal(worker, Signal::KILL)?;
    host.metrics_when("it was started again", |m| m.sum("bobbin_worker_restarts_total", &[]) == 1.0).await?;
    tells_a_story(&host).await?;
    assert_eq!(fs::read_to_string(&starts)?, "started\nstarted\n", "{}", host.log());
    Ok(())
}

#[tokio::test]
async fn an_operator_can_do_without() -> Result {
    let installed = Installed::new()?;
    let asked = installed.path("asked");
    installed.worker("bobbin-worker-cuda", &format!("touch {}; exit 1", asked.display()))?;
    let host = installed.host().arg("--gpu-layers").arg("0").start().await?;
    assert_eq!(gpu_lines(&host), Vec::<&str>::new(), "{}", host.banner());
    assert!(!asked.exists());
    tells_a_story(&host).await
}
