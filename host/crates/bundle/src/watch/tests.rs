//! A real folder, watched by the kernel or by looking again and again.

use super::*;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs;
use std::io::Write as _;
use std::sync::mpsc::{Receiver, channel};
use tempfile::TempDir;

/// Longer than any machine needs; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

struct Folder {
    repository: TempDir,
    reports: Receiver<BundleChange>,
    watch: RepositoryWatch,
}

impl Folder {
    /// A repository with `tiny@1.0.0`, watched.
    fn watched() -> Self {
        Self::with(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok(), RHYTHM)
    }

    fn with(kernel: Option<OwnedFd>, rhythm: Rhythm) -> Self {
        let repository = tempfile::tempdir().unwrap();
        write_version(&repository.path().join("tiny/1.0.0"));
        let (sender, reports) = channel();
        let report = move |change| {
            let _the_test_is_over = sender.send(change);
        };
        let watch = RepositoryWatch::with(repository.path(), report, kernel, rhythm).unwrap();
        Self { repository, reports, watch }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.repository.path().join(path)
    }

    /// The next report, in words.
    #[track_caller]
    fn next(&self) -> String {
        let change = self.reports.recv_timeout(PATIENCE).unwrap();
        format!("{}@{} {}", change.name, change.version, change.kind.as_str())
    }

    /// Nothing more is reported of what was done until now: the next report is of something new.
    #[track_caller]
    fn nothing_more(&self) {
        write_version(&self.path("sentinel/9.9.9"));
        assert_eq!(self.next(), "sentinel@9.9.9 appeared");
    }
}

fn write_version(folder: &Path) {
    fs::create_dir_all(folder.join("notes")).unwrap();
    for file in ["bundle.toml", "weights.gguf", "notes/a.txt"] {
        fs::write(folder.join(file), [0; 64]).unwrap();
    }
}

/// Overwrites the beginning of a file in one step; a test machine may stand still between two.
fn overwrite(path: &Path, byte: u8) {
    fs::File::options().write(true).open(path).unwrap().write_all(&[byte; 32]).unwrap();
}

#[test]
fn a_version_that_is_renamed_into_place_is_one_report_and_what_was_there_is_none() {
    let folder = Folder::watched();
    assert_eq!(folder.watch.blind(), None);
    write_version(&folder.path("tiny/.1.1.0"));
    fs::rename(folder.path("tiny/.1.1.0"), folder.path("tiny/1.1.0")).unwrap();
    assert_eq!(folder.next(), "tiny@1.1.0 appeared");
    folder.nothing_more();
}

#[test]
fn a_whole_name_appears_by_rename_with_every_version_in_it() {
    let folder = Folder::watched();
    write_version(&folder.path(".incoming/1.0.0"));
    write_version(&folder.path(".incoming/2.0.0"));
    fs::rename(folder.path(".incoming"), folder.path("other")).unwrap();
    assert_eq!(folder.next(), "other@1.0.0 appeared");
    assert_eq!(folder.next(), "other@2.0.0 appeared");
    folder.nothing_more();
}

#[test]
fn a_folder_whose_name_begins_with_a_dot_is_being_written_and_never_reported() {
    let folder = Folder::watched();
    write_version(&folder.path("tiny/.2.0.0"));
    write_version(&folder.path(".other/1.0.0"));
    fs::write(folder.path("tiny/1.0.0/.hidden"), "x").unwrap();
    folder.nothing_more();
}

#[test]
fn a_file_that_is_written_truncated_removed_or_added_is_a_change() {
    let folder = Folder::watched();
    let weights = folder.path("tiny/1.0.0/weights.gguf");
    overwrite(&weights, 1);
    assert_eq!(folder.next(), "tiny@1.0.0 changed");
    fs::File::options().write(true).open(&weights).unwrap().set_len(3).unwrap();
    assert_eq!(folder.next(), "tiny@1.0.0 changed");
    fs::remove_file(folder.path("tiny/1.0.0/notes/a.txt")).unwrap();
    assert_eq!(folder.next(), "tiny@1.0.0 changed");
    fs::create_dir(folder.path("tiny/1.0.0/more")).unwrap();
    assert_eq!(folder.next(), "tiny@1.0.0 changed");
    fs::rename(folder.path("tiny/1.0.0/weights.gguf"), folder.path("tiny/1.0.0/more/weights.gguf")).unwrap();
    assert_eq!(folder.next(), "tiny@1.0.0 changed");
    folder.nothing_more();
}

#[test]
fn a_version_that_was_renamed_into_place_is_watched_from_then_on() {
    let folder = Folder::watched();
    write_version(&folder.path("tiny/.1.1.0"));
    fs::rename(folder.path("tiny/.1.1.0"), folder.path("tiny/1.1.0")).unwrap();
    assert_eq!(folder.next(), "tiny@1.1.0 appeared");
    overwrite(&folder.path("tiny/1.1.0/notes/a.txt"), 1);
    assert_eq!(folder.next(), "tiny@1.1.0 changed");
    fs::rename(folder.path("tiny/1.1.0"), folder.path("tiny/.gone")).unwrap();
    assert_eq!(folder.next(), "tiny@1.1.0 removed");
    fs::rename(folder.path("tiny"), folder.path(".tiny")).unwrap();
    assert_eq!(folder.next(), "tiny@1.0.0 removed");
    folder.nothing_more();
}

#[test]
fn a_version_in_place_of_another_is_a_change() {
    let folder = Folder::watched();
    write_version(&folder.path("tiny/.new"));
    let (new, old) = (folder.path("tiny/.new"), folder.path("tiny/1.0.0"));
    renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE).unwrap();
    assert_eq!(folder.next(), "tiny@1.0.0 changed");
    folder.nothing_more();
}

#[test]
fn reading_a_bundle_is_no_change() {
    let folder = Folder::watched();
    assert_eq!(fs::read(folder.path("tiny/1.0.0/weights.gguf")).unwrap().len(), 64);
    folder.nothing_more();
}

#[test]
fn a_repository_that_the_kernel_does_not_watch_is_listed_again_and_again() {
    let blind = Duration::from_millis(20);
    let folder = Folder::with(None, Rhythm { blind, quiet: blind, safety: PATIENCE * 10 });
    assert!(folder.watch.blind().unwrap().contains("inotify"));
    overwrite(&folder.path("tiny/1.0.0/weights.gguf"), 1);
    assert_eq!(folder.next(), "tiny@1.0.0 changed");
    write_version(&folder.path("tiny/.2.0.0"));
    fs::rename(folder.path("tiny/.2.0.0"), folder.path("tiny/2.0.0")).unwrap();
    assert_eq!(folder.next(), "tiny@2.0.0 appeared");
}

#[test]
fn a_repository_that_is_taken_away_and_put_back_is_watched_again() {
    let folder = Folder::watched();
    let away = folder.repository.path().with_extension("away");
    fs::rename(folder.repository.path(), &away).unwrap();
    assert_eq!(folder.next(), "tiny@1.0.0 removed");
    fs::rename(&away, folder.repository.path()).unwrap();
    assert_eq!(folder.next(), "tiny@1.0.0 appeared");
    folder.nothing_more();
}

#[test]
fn what_happens_while_the_kernels_queue_runs_over_is_found_by_looking() {
    let repository = tempfile::tempdir().unwrap();
    write_version(&repository.path().join("tiny/1.0.0"));
    let (sender, reports) = channel();
    let (release, released) = channel::<()>();
    let report = move |change: BundleChange| {
        let _the_test_is_over = sender.send(change);
        // While a report is made nobody takes events.
        let _released = released.recv();
    };
    let _watch = RepositoryWatch::start(repository.path(), report).unwrap();
    fs::rename(repository.path().join("tiny/1.0.0"), repository.path().join("tiny/1.0.1")).unwrap();
    let first = [reports.recv_timeout(PATIENCE).unwrap(), {
        release.send(()).unwrap();
        reports.recv_timeout(PATIENCE).unwrap()
    }];
    assert_eq!(first.map(|change| change.kind), [ChangeKind::Removed, ChangeKind::Appeared]);
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    for count in 0..limit {
        // Two events each, none like the one before.
        fs::create_dir(repository.path().join(format!("tiny/1.0.1/{count}"))).unwrap();
        fs::remove_dir(repository.path().join(format!("tiny/1.0.1/{count}"))).unwrap();
    }
    write_version(&repository.path().join("other/1.0.0"));
    drop(release);
    let mut after = [reports.recv_timeout(PATIENCE).unwrap(), reports.recv_timeout(PATIENCE).unwrap()];
    after.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(after.map(|change| change.kind), [ChangeKind::Appeared, ChangeKind::Changed]);
}

#[test]
fn a_dropped_watch_reports_nothing_and_lets_go_of_its_callback() {
    let folder = Folder::watched();
    drop(folder.watch);
    write_version(&folder.repository.path().join("tiny/2.0.0"));
    // The callback's sender is gone with its thread, so this ends at once.
    assert_eq!(folder.reports.recv_timeout(PATIENCE), Err(std::sync::mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn a_folder_that_is_not_there_is_refused_by_name() {
    let error = RepositoryWatch::start(Path::new("/nowhere/at/all"), |_| {}).unwrap_err();
    assert!(error.to_string().starts_with("/nowhere/at/all cannot be watched: No such file"), "{error}");
}
