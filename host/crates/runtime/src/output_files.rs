//! What components print, in files: one for each component and stream, named as Spin names them.
//!
//! One thread writes; guests never wait for a disk. Where the disk does not keep up, lines are left out, and the file says
//! how many.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// What the names of files end with.
const STREAMS: [&str; 2] = ["stdout", "stderr"];
/// Lines that wait to be written, of all components.
const WAITING: usize = 4096;
/// Bytes of a file. What is older is in a second file of the same length, and then gone.
const MOST_BYTES: u64 = 16 << 20;

/// The files of one component.
#[derive(Debug, Clone)]
pub struct OutputFiles {
    pub(crate) stdout: OutputFile,
    pub(crate) stderr: OutputFile,
}

/// The thread that writes them. It ends with the last component's files.
#[derive(Debug)]
pub struct OutputWriter {
    folder: PathBuf,
    lines: SyncSender<Message>,
}

/// One file, as a component's streams see it.
#[derive(Debug, Clone)]
pub(crate) struct OutputFile {
    path: Arc<Path>,
    lines: SyncSender<Message>,
    left_out: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Open(Arc<Path>, File),
    Line(Arc<Path>, Vec<u8>),
}

/// A file that components print to cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("what components print cannot be written to {path}; give --log-dir another folder, or \"\" for none")]
pub struct OutputError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl OutputWriter {
    /// Starts the thread, and makes the folder. With `truncate`, the files in it begin anew.
    ///
    /// # Errors
    /// [`OutputError`], when there can be no folder or no thread.
    pub fn start(folder: &Path, truncate: bool) -> Result<Self, OutputError> {
        let failed = |source| OutputError { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        if truncate {
            begin_anew(folder).map_err(failed)?;
        }
        let (lines, received) = sync_channel(WAITING);
        let thread = std::thread::Builder::new().name("component-output".to_owned());
        thread.spawn(move || Files::default().write_all(&received)).map_err(failed)?;
        Ok(Self { folder: folder.to_owned(), lines })
    }

    /// The files of a component, `<id>_stdout.txt` and `<id>_stderr.txt`.
    ///
    /// # Errors
    /// [`OutputError`], when one cannot be opened.
    pub fn files(&self, component: &str) -> Result<OutputFiles, OutputError> {
        let [stdout, stderr] = STREAMS;
        Ok(OutputFiles { stdout: self.file(component, stdout)?, stderr: self.file(component, stderr)? })
    }

    fn file(&self, component: &str, stream: &str) -> Result<OutputFile, OutputError> {
        let path: Arc<Path> = self.folder.join(format!("{component}_{stream}.txt")).into();
        let failed = |source| OutputError { path: path.to_path_buf(), source };
        let file = appending(&path).map_err(failed)?;
        let opened = self.lines.send(Message::Open(Arc::clone(&path), file));
        opened.map_err(|error| failed(io::Error::other(error.to_string())))?;
        Ok(OutputFile { path, lines: self.lines.clone(), left_out: Arc::default() })
    }
}

impl OutputFile {
    /// Has a line written, without its end.
    pub(crate) fn line(&self, line: &[u8]) {
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        let mut bytes = Vec::with_capacity(line.len() + 1);
        if left_out > 0 {
            // Writing to memory cannot fail.
            let _ = writeln!(bytes, "({left_out} lines are left out here: they came faster than the disk takes them)");
        }
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
        match self.lines.try_send(Message::Line(Arc::clone(&self.path), bytes)) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                self.left_out.fetch_add(left_out + 1, Ordering::Relaxed);
            }
        }
    }
}

/// Empties the files of components, those that are in no application any more, too.
fn begin_anew(folder: &Path) -> io::Result<()> {
    for entry in folder.read_dir()? {
        let path = entry?.path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if STREAMS.iter().any(|stream| name.ends_with(&format!("_{stream}.txt"))) {
            File::create(&path)?;
        }
    }
    Ok(())
}

fn appending(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// The writer's side.
#[derive(Default)]
struct Files {
    open: Vec<(Arc<Path>, Output)>,
}

struct Output {
    file: BufWriter<File>,
    bytes: u64,
    /// Said once, until writing works again.
    failing: bool,
}

impl Files {
    fn write_all(&mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            self.take(message);
            while let Ok(message) = messages.try_recv() {
                self.take(message);
            }
            for (path, output) in &mut self.open {
                let flushed = output.file.flush();
                output.note(path, &flushed);
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Open(path, file) => {
                let bytes = file.metadata().map_or(0, |metadata| metadata.len());
                self.open.retain(|(open, _)| *open != path);
                self.open.push((path, Output { file: BufWriter::new(file), bytes, failing: false }));
            }
            Message::Line(path, line) => {
                if let Some((path, output)) = self.open.iter_mut().find(|(open, _)| *open == path) {
                    let written = output.write(path, &line);
                    output.note(path, &written);
                }
            }
        }
    }
}

impl Output {
    fn write(&mut self, path: &Path, line: &[u8]) -> io::Result<()> {
        if self.bytes >= MOST_BYTES {
            self.file.flush()?;
            std::fs::rename(path, path.with_extension("1.txt"))?;
            *self = Self { file: BufWriter::new(appending(path)?), bytes: 0, failing: self.failing };
        }
        self.bytes += line.len() as u64;
        self.file.write_all(line)
    }

    fn note(&mut self, path: &Path, result: &io::Result<()>) {
        if let Err(error) = result
            && !self.failing
        {
            tracing::error!(path = %path.display(), %error, "what a component prints cannot be written");
        }
        self.failing = result.is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file holds once the thread has ended.
    fn written(folder: &Path, truncate: bool, print: impl FnOnce(&OutputFiles)) -> String {
        let (lines, received) = sync_channel(WAITING);
        if truncate {
            begin_anew(folder).unwrap();
        }
        let writer = OutputWriter { folder: folder.to_owned(), lines };
        print(&writer.files("story").unwrap());
        drop(writer);
        Files::default().write_all(&received);
        std::fs::read_to_string(folder.join("story_stdout.txt")).unwrap()
    }

    #[test]
    fn lines_go_on_where_the_file_ends_or_begin_anew() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(written(folder.path(), false, |files| files.stdout.line(b"one")), "one\n");
        assert_eq!(written(folder.path(), false, |files| files.stdout.line(b"two")), "one\ntwo\n");
        assert_eq!(written(folder.path(), true, |files| files.stdout.line(b"three")), "three\n");
        assert_eq!(std::fs::read(folder.path().join("story_stderr.txt")).unwrap(), b"");
    }

    #[test]
    fn what_does_not_find_room_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let text = written(folder.path(), false, |files| {
            // Two places are taken by the files themselves.
            for _ in 0..WAITING + 8 {
                files.stdout.line(b"x");
            }
            assert_eq!(files.stdout.left_out.load(Ordering::Relaxed), 10);
        });
        assert_eq!(text.lines().count(), WAITING - 2);
    }

    #[test]
    fn a_line_after_others_that_were_left_out_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let text = written(folder.path(), false, |files| {
            files.stdout.left_out.store(3, Ordering::Relaxed);
            files.stdout.line(b"next");
        });
        assert!(text.starts_with("(3 lines are left out here") && text.ends_with("\nnext\n"), "{text}");
    }

    #[test]
    fn a_file_that_is_full_is_kept_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a_stdout.txt");
        let mut output = Output { file: BufWriter::new(appending(&path).unwrap()), bytes: 0, failing: false };
        for text in ["first", "second", "third"] {
            output.write(&path, text.as_bytes()).unwrap();
            output.bytes = MOST_BYTES;
        }
        output.file.flush().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "third");
        assert_eq!(std::fs::read_to_string(folder.path().join("a_stdout.1.txt")).unwrap(), "second");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = OutputWriter::start(&file.join("logs"), false).unwrap_err().to_string();
        assert!(error.contains("file/logs") && error.contains("--log-dir"), "{error}");
    }
}
