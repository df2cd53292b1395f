//! The worker's end of the link: greeting and load are read in turn; afterwards one thread reads commands
//! into the engine's channel, and one writes what the engine has made.
//!
//! The reader ends the process when the host is gone or sends what does not decode: nobody could be told.
//! The writer's channel is bounded, so a host that stops reading slows the engine down instead of filling
//! memory; credit windows keep that from happening while the host is well.

use super::event::Event;
use super::process;
use bobbin_inference::wire::{self, FrameError, FromWorker, Greeting, LoadSpec, ToWorker};
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Commands waiting for the engine before the reader stops reading.
const INBOX: usize = 4096;
/// Steps' worth of frames waiting for the socket before the engine waits too.
const OUTBOX: usize = 256;
/// Bytes at which frames are handed to the writer before the step ends.
const FLUSH_AT: usize = 256 * 1024;

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
        let (frames, queue) = sync_channel(OUTBOX);
        let writer = self.writer;
        let writer = std::thread::Builder::new().name("link-writer".into()).spawn(move || write_all(writer, &queue))?;
        Ok((events, inbox, Outbox { writer: Some(writer), ..Outbox::new(frames) }))
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

fn write_all(mut socket: File, queue: &Receiver<Vec<u8>>) {
    while let Ok(mut frames) = queue.recv() {
        // What piled up while the last write was under way goes out in one.
        while let Ok(more) = queue.try_recv() {
            frames.extend_from_slice(&more);
            if frames.len() > FLUSH_AT {
                break;
            }
        }
        if let Err(error) = socket.write_all(&frames) {
            tracing::error!("the link to the host failed: {error}");
            process::exit_now(0);
        }
    }
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
}

impl Outbox {
    /// Frames go into this channel, a step's worth at a time.
    pub(super) fn new(frames: SyncSender<Vec<u8>>) -> Self {
        Self { buffer: Vec::new(), frames: Some(frames), writer: None }
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// When the message is over the bound of a frame; nothing was added then.
    pub(super) fn push(&mut self, message: &FromWorker) -> Result<(), FrameError> {
        wire::write_frame(&mut self.buffer, message)?;
        if self.buffer.len() > FLUSH_AT {
            self.flush();
        }
        Ok(())
    }

    /// Hands everything to the writer.
    pub(super) fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
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
