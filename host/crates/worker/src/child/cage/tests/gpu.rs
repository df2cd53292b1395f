//! The cage of a worker for GPUs, as far as it can be closed where there is none.

use super::*;
use std::process::Command;
use std::sync::mpsc::channel;

/// Says to the test that it runs in the process to be caged, and in which folder.
const INSIDE: &str = "BOBBIN_TEST_GPU_CAGE";

#[test]
fn no_escape_works_from_a_gpus_worker_either() {
    match std::env::var_os(INSIDE) {
        Some(folder) => inside(Path::new(&folder)),
        None => outside("no_escape_works_from_a_gpus_worker_either"),
    }
}

/// Its filter binds every thread, and would bind those of the test's runner too: so the test runs itself once more, in a
/// process of its own.
fn outside(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&format!("{module}::{test}"), "--exact", "--nocapture"]).env(INSIDE, folder.path());
    let ended = command.output().unwrap();
    let said = [ended.stdout, ended.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(ended.status.success(), "{}: {said}", ended.status);
    assert!(said.contains("1 passed"), "{said}");
}

fn inside(folder: &Path) {
    let scene = Scene::new(folder);
    // As a driver's, which runs when the cage closes, and keeps what capabilities the process had.
    let (close, closed) = channel();
    let driver = std::thread::spawn(move || {
        closed.recv().unwrap();
        not_refused()
    });
    let rules = Cage::close(&scene.weights, None, Profile::Gpu).into_rules();
    close.send(()).unwrap();
    assert_eq!(driver.join().unwrap(), []);
    let names: Vec<_> = rules.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["core_limit", "capabilities", "landlock", "seccomp", "data_limit"]);
    for (name, reason) in &rules {
        assert_eq!(reason.is_some(), name == "data_limit", "{name}: {reason:?}");
    }
    assert_eq!(not_refused(), []);
    assert_eq!(scene.worked(), []);
    scene.is_of_use();
}
