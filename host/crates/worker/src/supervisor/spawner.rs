//! The one thread that starts workers.
//!
//! A worker asks the kernel to be killed when its parent is gone, and by parent the kernel means the thread
//! that started it. Threads of the async runtime come and go, so workers are started by a thread that does
//! nothing else and lives until the last of them is gone.

use std::sync::mpsc;
use std::{io, thread};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// A handle on the thread; the thread ends with the last one.
#[derive(Debug)]
pub(super) struct Spawner(mpsc::Sender<Request>);

struct Request {
    command: Command,
    /// Whose reactor hears of the child's end.
    runtime: Handle,
    reply: oneshot::Sender<io::Result<Child>>,
}

impl Spawner {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        let (sender, requests) = mpsc::channel::<Request>();
        thread::Builder::new().name("worker-spawner".into()).spawn(move || {
            for Request { mut command, runtime, reply } in requests {
                let _entered = runtime.enter();
                // Where nobody waits for it any more, the child is killed as it is dropped.
                let _ = reply.send(command.spawn());
            }
        })?;
        Ok(Self(sender))
    }

    /// Starts a process from the thread. The command should kill on drop.
    pub(super) async fn spawn(&self, command: Command) -> io::Result<Child> {
        let (reply, child) = oneshot::channel();
        let request = Request { command, runtime: Handle::current(), reply };
        self.0
            .send(request)
            .map_err(|gone| io::Error::other(format!("the thread that starts workers ended: {gone}")))?;
        child.await.map_err(|gone| io::Error::other(format!("the thread that starts workers ended: {gone}")))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    async fn parent_thread(spawner: &Spawner) -> String {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "read line"]).stdin(Stdio::piped()).kill_on_drop(true);
        let mut child = spawner.spawn(command).await.unwrap();
        let pid = child.id().unwrap();
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let owner = tasks.map(|task| task.unwrap().path()).find(|task| {
            let children = std::fs::read_to_string(task.join("children")).unwrap_or_default();
            children.split_whitespace().any(|child| child == pid.to_string())
        });
        drop(child.stdin.take());
        child.wait().await.unwrap();
        std::fs::read_to_string(owner.unwrap().join("comm")).unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_worker_is_a_child_of_the_same_thread() {
        let spawner = Spawner::start().unwrap();
        for _ in 0..3 {
            assert_eq!(parent_thread(&spawner).await.trim(), "worker-spawner");
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_an_error() {
        let spawner = Spawner::start().unwrap();
        let error = spawner.spawn(Command::new("/nonexistent/bobbin")).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
