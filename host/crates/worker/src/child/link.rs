//! The worker's end of the link: greeting and load are read in turn; afterwards one thread reads commands
//! into the engine's channel, and one writes what the engine has made.
//!
//! The reader ends the process when the host is gone or sends what does not decode: nobody could be told.
//! The writer's channel is bounded, so a host that stops reading slows the engine down instead of filling
//! memory; credit windows keep that from happening while the host is well. A step's few frames leave from the engine's
//! own thread where the socket has room for them: waking the writer for them would take a core from those that compute.

use super::event::Event;
use super::process;
use bobbin_inference::wire::{self, FrameError, FromWorker, Greeting, LoadSpec, ToWorker};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Commands waiting for the engine before the reader stops reading.
const INBOX: usize = 4096;
/// Steps' worth of frames waiting for the socket before the engine waits too.
const OUTBOX: usize = 256;
/// Bytes at which frames are handed to the writer before the step ends.
const FLUSH_AT: usize = 256 * 1024;
/// Bytes that a socket takes at once if it takes any: it says so only while three quarters of its buffer are free.
const AT_ONCE: usize = 16 * 1024;

/// Exit code when the host broke the protocol.
const BROKEN_PROTOCOL: i32 = 2;

/// The link before the engine runs.
pub(super) struct Link {
    reader: BufReader<File>,
    writer: File,
}

impl Link {
    /// Wraps the socket.
    ///
    /// # Errors
    /// When the descriptor cannot be duplicated.
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        let writer = File::from(socket);
        Ok(Self { reader: BufReader::new(writer.try_clone()?), writer })
    }

    /// Says who we are, hears who the host is, and what to load. `None` when the host left before that.
    ///
    /// # Errors
    /// When the host is of another build or breaks the protocol.
    pub(super) fn greet(&mut self) -> Result<Option<LoadSpec>, String> {
        let ours = Greeting::ours();
        wire::write_frame(&mut self.writer, &FromWorker::Hello(ours.clone())).map_err(|error| error.to_string())?;
        match self.read()? {
            None => return Ok(None),
            Some(ToWorker::Hello(theirs)) if theirs == ours => {}
            Some(ToWorker::Hello(theirs)) => {
                return Err(format!(
                    "the host speaks protocol {} of build {}, this worker protocol {} of build {}; install host and \
                     worker of the same build",
                    theirs.protocol, theirs.build, ours.protocol, ours.build
                ));
            }
            Some(other) => return Err(format!("the host's first frame is no greeting but {}", name(&other))),
        }
        match self.read()? {
            None => Ok(None),
            Some(ToWorker::Load(spec)) => Ok(Some(spec)),
            Some(other) => Err(format!("the host's second frame does not say what to load but {}", name(&other))),
        }
    }

    fn read(&mut self) -> Result<Option<ToWorker>, String> {
        wire::read_frame(&mut self.reader).map_err(|error| error.to_string())
    }

    /// Starts both threads. Call it after the cage has closed: threads inherit it.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(super) fn start(self) -> io::Result<(SyncSender<Event>, Receiver<Event>, Outbox)> {
        let (events, inbox) = sync_channel(INBOX);
        let commands = events.clone();
        let mut reader = self.reader;
        std::thread::Builder::new()
            .name("link-reader".into())
            .spawn(move || process::exit_now(read_until_end(&mut reader, &commands)))?;
        Ok((events, inbox, Outbox::of(self.writer)?))
    }
}

/// Reads commands until the link ends; returns the exit code.
fn read_until_end(reader: &mut BufReader<File>, commands: &SyncSender<Event>) -> i32 {
    loop {
        match wire::read_frame(reader) {
            Ok(None) => return 0,
            Ok(Some(command @ (ToWorker::Hello(_) | ToWorker::Load(_)))) => {
                tracing::error!("the host sent {} to a worker that is loaded already", name(&command));
                return BROKEN_PROTOCOL;
            }
            Ok(Some(command)) => {
                if commands.send(Event::Host(command)).is_err() {
                    return 0;
                }
            }
            Err(error) => {
                tracing::error!("{error}");
                return BROKEN_PROTOCOL;
            }
        }
    }
}

fn write_all(mut socket: File, queue: &Receiver<Vec<u8>>, left: &AtomicUsize) {
    while let Ok(mut frames) = queue.recv() {
        let mut taken = 1;
        // What piled up while the last write was under way goes out in one.
        while let Ok(more) = queue.try_recv() {
            taken += 1;
            frames.extend_from_slice(&more);
            if frames.len() > FLUSH_AT {
                break;
            }
        }
        if let Err(error) = socket.write_all(&frames) {
            failed(&error);
        }
        left.fetch_sub(taken, Ordering::Release);
    }
}

/// Without a host there is nothing left to do.
fn failed(error: &io::Error) -> ! {
    tracing::error!("the link to the host failed: {error}");
    process::exit_now(0)
}

fn name(command: &ToWorker) -> &'static str {
    match command {
        ToWorker::Hello(_) => "a greeting",
        ToWorker::Load(_) => "a load",
        ToWorker::Compute { .. } => "a compute",
        ToWorker::Credit { .. } => "credit",
        ToWorker::Cancel { .. } => "a cancel",
        ToWorker::Close { .. } => "a close",
        ToWorker::Ping => "a ping",
        ToWorker::Threads(_) => "a number of threads",
    }
}

/// Frames of the current step; they leave together.
pub(super) struct Outbox {
    buffer: Vec<u8>,
    frames: Option<SyncSender<Vec<u8>>>,
    writer: Option<JoinHandle<()>>,
    direct: Option<Direct>,
}

/// The way to the socket past the writer.
struct Direct {
    socket: File,
    /// What the writer was given and has not written.
    queued: Arc<AtomicUsize>,
}

impl Direct {
    /// Writes the frames, unless the writer is at work or the socket has no room for them.
    fn write(&mut self, frames: &[u8]) -> io::Result<bool> {
        if frames.len() > AT_ONCE || self.queued.load(Ordering::Acquire) > 0 {
            return Ok(false);
        }
        let mut socket = [PollFd::new(&self.socket, PollFlags::OUT)];
        let has_room = poll(&mut socket, Some(&Timespec::default())).is_ok_and(|ready| ready > 0);
        if has_room {
            self.socket.write_all(frames)?;
        }
        Ok(has_room)
    }
}

impl Outbox {
    /// Frames go into this channel, a step's worth at a time.
    pub(super) fn new(frames: SyncSender<Vec<u8>>) -> Self {
        Self { buffer: Vec::new(), frames: Some(frames), writer: None, direct: None }
    }

    /// Frames go to the socket, from this thread or from a writer's.
    pub(super) fn of(socket: File) -> io::Result<Self> {
        let (frames, queue) = sync_channel(OUTBOX);
        let direct = Direct { socket: socket.try_clone()?, queued: Arc::new(AtomicUsize::new(0)) };
        let left = Arc::clone(&direct.queued);
        let thread = std::thread::Builder::new().name("link-writer".into());
        let writer = thread.spawn(move || write_all(socket, &queue, &left))?;
        Ok(Self { writer: Some(writer), direct: Some(direct), ..Self::new(frames) })
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// When the message is over the bound of a frame; nothing was added then.
    pub(super) fn push(&mut self, message: &FromWorker) -> Result<(), FrameError> {
        if let Err(error) = wire::append_frame(&mut self.buffer, message) {
            // What was too large has made the buffer so.
            self.buffer.shrink_to(FLUSH_AT);
            return Err(error);
        }
        if self.buffer.len() > FLUSH_AT {
            self.flush();
        }
        Ok(())
    }

    /// Writes everything, or hands it to the writer.
    pub(super) fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        if let Some(direct) = &mut self.direct {
            match direct.write(&self.buffer) {
                Ok(true) => return self.buffer.clear(),
                Ok(false) => {}
                Err(error) => failed(&error),
            }
            direct.queued.fetch_add(1, Ordering::Relaxed);
        }
        let frames = std::mem::take(&mut self.buffer);
        if let Some(sender) = &self.frames {
            // The writer ends the process itself when the socket fails.
            let _ = sender.send(frames);
        }
    }

    /// Waits until the last frame is on the socket.
    pub(super) fn close(mut self) {
        self.flush();
        self.frames = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing left to write.
            let _ = writer.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bobbin_inference::Usage;
    use std::os::unix::net::UnixStream;

    #[test]
    fn frames_arrive_in_order_whoever_writes_them() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut out = Outbox::of(File::from(OwnedFd::from(ours))).unwrap();
        // Small ones, ones that are the writer's, and more than the socket holds before anybody reads.
        let lengths = (0..OUTBOX / 2).map(|at| if at % 7 == 3 { 2 * AT_ONCE } else { at * 10 });
        let mut sent = Vec::new();
        for (call, length) in (0..).zip(lengths) {
            let text = "a".repeat(length);
            let piece = FromWorker::Piece {
                call,
                text,
                usage: Usage::default(),
                logprobs: Vec::new(),
                tool_calls: Vec::new(),
                finish: None,
            };
            out.push(&piece).unwrap();
            out.flush();
            sent.push((call, length));
        }
        let reading = std::thread::spawn(move || {
            let mut theirs = BufReader::new(theirs);
            let mut read = Vec::new();
            while let Some(frame) = wire::read_frame(&mut theirs).unwrap() {
                let FromWorker::Piece { call, text, .. } = frame else { panic!("{frame:?}") };
                read.push((call, text.len()));
            }
            read
        });
        out.close();
        assert_eq!(reading.join().unwrap(), sent);
    }

    #[test]
    fn a_socket_that_is_full_or_a_writer_at_work_is_left_alone() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut direct = Direct { socket: File::from(OwnedFd::from(ours)), queued: Arc::default() };
        assert!(direct.write(b"a").unwrap());
        direct.queued.store(1, Ordering::Relaxed);
        assert!(!direct.write(b"b").unwrap());
        direct.queued.store(0, Ordering::Relaxed);
        let frames = vec![b'c'; AT_ONCE];
        let written = (0..1000).take_while(|_| direct.write(&frames).unwrap()).count();
        assert!((1..1000).contains(&written), "nobody reads, and {written} were written");
        drop(theirs);
    }
}
