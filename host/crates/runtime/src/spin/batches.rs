//! Rows and keys on their way to a guest, some at a time, each charged until the guest has taken it.

use bobbin_inference::Charge;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, StreamProducer, StreamResult, VecBuffer};

/// What is there, which is something, with its charge; or why there is no more.
pub(super) type Batches<R, E> = BoxStream<'static, Result<(Vec<R>, Charge), E>>;

/// The write end of a stream. How it ended is told besides, as Spin's interfaces want it.
pub(super) struct Producer<R, E> {
    batches: Batches<R, E>,
    /// For what the guest has not taken yet.
    held: Option<Charge>,
    result: Option<oneshot::Sender<Result<(), E>>>,
}

impl<R: Send + 'static, E: Send + 'static> Producer<R, E> {
    pub(super) fn new(batches: Batches<R, E>, result: oneshot::Sender<Result<(), E>>) -> Self {
        Self { batches, held: None, result: Some(result) }
    }

    fn end(&mut self, result: Result<(), E>) {
        // Whatever they come from serves others.
        self.batches = futures::stream::empty().boxed();
        self.held = None;
        if let Some(sender) = self.result.take() {
            // A guest that does not ask how it ended is not told.
            let _ = sender.send(result);
        }
    }
}

impl<R, E> Drop for Producer<R, E> {
    /// A guest that lets go of the stream has read what it wanted.
    fn drop(&mut self) {
        if let Some(sender) = self.result.take() {
            let _ = sender.send(Ok(()));
        }
    }
}

impl<D, R, E> StreamProducer<D> for Producer<R, E>
where
    R: Send + Sync + 'static,
    E: Send + 'static,
{
    type Item = R;
    type Buffer = VecBuffer<R>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(&mut store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        // Who comes again has taken what there was.
        self.held = None;
        match self.batches.poll_next_unpin(cx) {
            Poll::Ready(Some(Ok((batch, charge)))) => {
                self.held = Some(charge);
                destination.set_buffer(batch.into());
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Poll::Ready(Some(Err(failure))) => {
                self.end(Err(failure));
                Poll::Ready(Ok(StreamResult::Dropped))
            }
            Poll::Ready(None) => {
                self.end(Ok(()));
                Poll::Ready(Ok(StreamResult::Dropped))
            }
            Poll::Pending if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => Poll::Pending,
        }
    }
}
