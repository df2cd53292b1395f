//! Keys, page by page, as fast as the guest reads them.

use super::v3_wit::spin::key_value::key_value::Error;
use super::{Failure, Operation};
use bobbin_inference::Charge;
use bobbin_stores::key_value::{Cursor, Page};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, StreamProducer, StreamResult, VecBuffer};

/// The write end of a stream of keys.
pub(super) struct KeyStream {
    operation: Operation,
    /// The page that is on its way.
    page: BoxFuture<'static, Result<Page, Failure>>,
    /// For the keys that the guest has not taken yet.
    held: Option<Charge>,
    /// The last page was handed over.
    over: bool,
    result: Option<oneshot::Sender<Result<(), Error>>>,
}

fn load(operation: &Operation, from: Option<Cursor>) -> BoxFuture<'static, Result<Page, Failure>> {
    let operation = operation.clone();
    async move { operation.page(from).await }.boxed()
}

impl KeyStream {
    pub(super) fn new(operation: Operation, result: oneshot::Sender<Result<(), Error>>) -> Self {
        Self { page: load(&operation, None), operation, held: None, over: false, result: Some(result) }
    }

    fn end(&mut self, result: Result<(), Error>) {
        if let Some(sender) = self.result.take() {
            // A guest that does not ask how it ended is not told.
            let _ = sender.send(result);
        }
    }

    /// The next keys, which are some, or how the stream ended.
    fn poll_keys(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Vec<String>, bool), Failure>> {
        loop {
            let page = ready!(self.page.poll_unpin(cx))?;
            let last = page.next.is_none();
            let (keys, charge) = page.keys.into_parts();
            self.held = Some(charge);
            if !last {
                self.page = load(&self.operation, page.next);
            }
            if last || !keys.is_empty() {
                return Poll::Ready(Ok((keys, last)));
            }
        }
    }
}

impl Drop for KeyStream {
    /// A guest that lets go of the stream has read what it wanted.
    fn drop(&mut self) {
        self.end(Ok(()));
    }
}

impl<D> StreamProducer<D> for KeyStream {
    type Item = String;
    type Buffer = VecBuffer<String>;

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
        if self.over {
            // Who comes again has taken what there was.
            self.end(Ok(()));
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        let (keys, last) = match self.poll_keys(cx) {
            Poll::Ready(Ok(some)) => some,
            Poll::Ready(Err(failure)) => {
                self.end(Err(failure.into()));
                return Poll::Ready(Ok(StreamResult::Dropped));
            }
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
        };
        self.over = last;
        if keys.is_empty() {
            self.end(Ok(()));
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        destination.set_buffer(keys.into());
        Poll::Ready(Ok(StreamResult::Completed))
    }
}
