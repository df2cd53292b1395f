//! The beginning of a conversation: greeting, loading, ready.

use super::frames::{Hangup, frame, read};
use super::link::Link;
use super::seat::Place;
use bobbin_inference::wire::{FromWorker, Greeting, LoadSpec, Loaded, Phase, ToWorker};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long a beginning may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) greeting: Duration,
    pub(super) load: Duration,
}

/// A worker that is ready.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) link: Arc<Link>,
    /// Ends with the link, and says why.
    pub(super) reading: JoinHandle<Hangup>,
    pub(super) loaded: Loaded,
}

/// Why a worker did not become ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotReady {
    /// It ended; its process says why.
    Closed,
    /// It said why it cannot, or it must not, or it took too long. A sentence without the worker's name.
    Refused(String),
}

/// Greets a worker, has it load, and waits until it is ready. `progress` hears how far it is.
pub(super) async fn connect(
    stream: UnixStream,
    load: LoadSpec,
    place: &Place,
    patience: Patience,
    mut progress: impl FnMut(Phase),
) -> Result<Connected, NotReady> {
    let bundle: Arc<str> = load.bundle.as_str().into();
    let (reader, writer) = stream.into_split();
    let mut opening = Opening { reader: BufReader::new(reader), writer };
    let seconds = patience.greeting.as_secs_f32();
    timeout(patience.greeting, opening.greet())
        .await
        .unwrap_or_else(|_| Err(NotReady::Refused(format!("did not greet within {seconds} s"))))?;
    let seconds = patience.load.as_secs_f32();
    let late = || format!("did not load within {seconds} s; load a smaller model or allow more time");
    let loaded = timeout(patience.load, opening.load(load, &mut progress))
        .await
        .unwrap_or_else(|_| Err(NotReady::Refused(late())))?;
    let (link, reading) = Link::start(bundle, place, opening.reader, opening.writer);
    Ok(Connected { link, reading, loaded })
}

struct Opening {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Opening {
    async fn greet(&mut self) -> Result<(), NotReady> {
        let ours = Greeting::ours();
        self.write(&ToWorker::Hello(ours.clone())).await?;
        let FromWorker::Hello(theirs) = self.read().await? else {
            return Err(NotReady::Refused("did not begin with a greeting; it is no worker of this host".into()));
        };
        if theirs == ours {
            return Ok(());
        }
        Err(NotReady::Refused(format!(
            "speaks protocol {} of build {}, and this host speaks protocol {} of build {}; \
             install the worker that was built with the host",
            theirs.protocol, theirs.build, ours.protocol, ours.build
        )))
    }

    async fn load(&mut self, load: LoadSpec, progress: &mut impl FnMut(Phase)) -> Result<Loaded, NotReady> {
        self.write(&ToWorker::Load(load)).await?;
        loop {
            match self.read().await? {
                FromWorker::Progress(phase) => progress(phase),
                FromWorker::Ready(loaded) => return Ok(loaded),
                FromWorker::LoadFailed { message } => {
                    return Err(NotReady::Refused(format!("could not load it: {message}")));
                }
                FromWorker::Hello(_)
                | FromWorker::Piece { .. }
                | FromWorker::Values { .. }
                | FromWorker::Embeddings { .. }
                | FromWorker::Failed { .. }
                | FromWorker::Stats(_)
                | FromWorker::Pong => {
                    return Err(NotReady::Refused("answered before it was ready, which no worker does".into()));
                }
            }
        }
    }

    async fn read(&mut self) -> Result<FromWorker, NotReady> {
        read(&mut self.reader).await.map_err(|hangup| match hangup {
            Hangup::Closed => NotReady::Closed,
            Hangup::Broken(wrong) => NotReady::Refused(format!("cannot be understood: {wrong}")),
        })
    }

    async fn write(&mut self, message: &ToWorker) -> Result<(), NotReady> {
        let bytes =
            frame(message).map_err(|error| NotReady::Refused(format!("cannot be told what to load: {error}")))?;
        // A worker that cannot be written to has closed its end, and its process says why.
        self.writer.write_all(&bytes).await.or(Err(NotReady::Closed))
    }
}
