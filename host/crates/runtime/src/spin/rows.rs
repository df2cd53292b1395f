//! Rows on their way from a server to a guest that reads them as a stream.

use super::batches::Batches;
use super::network::{TimeOver, in_time};
use bobbin_inference::{Charge, OverAccount, RequestContext};
use futures::stream::unfold;
use futures::{FutureExt, StreamExt};
use std::sync::Arc;

/// Bytes of rows that are handed to a guest at once, and no fewer than one row.
const BATCH_BYTES: u64 = 64 << 10;

/// Rows that a server sends. Whoever stops waiting for one gets it the next time.
pub(super) trait Fetch: Send + Sized + 'static {
    /// A row's values.
    type Row: Send + 'static;
    /// Why there are no more.
    type Failure: From<TimeOver> + From<OverAccount> + Send + 'static;

    /// The next row. What it takes is added to `charge`.
    fn fetch(&mut self, charge: &mut Charge) -> impl Future<Output = Result<Option<Self::Row>, Self::Failure>> + Send;

    /// All of them at once, with what they take.
    fn all(
        &mut self,
        context: &RequestContext,
    ) -> impl Future<Output = Result<(Vec<Self::Row>, Charge), Self::Failure>> + Send {
        async move {
            let mut charge = context.account.charge(0)?;
            let all = async {
                let mut rows = Vec::new();
                while let Some(row) = self.fetch(&mut charge).await? {
                    rows.push(row);
                }
                Ok::<_, Self::Failure>(rows)
            };
            Ok((in_time(context, all).await?, charge))
        }
    }

    /// All of them, some at a time, fetched as they are asked for.
    fn batches<R: Send + 'static, E: From<Self::Failure> + Send + 'static>(
        self,
        context: Arc<RequestContext>,
        row: fn(Self::Row) -> R,
    ) -> Batches<R, E> {
        let source = Source { rows: self, context, failed: None, over: false };
        let batches = unfold(source, |mut source| async move { Some((source.batch().await?, source)) });
        let batches = batches.map(move |batch| match batch {
            Ok((rows, charge)) => Ok((rows.into_iter().map(row).collect(), charge)),
            Err(failure) => Err(E::from(failure)),
        });
        batches.boxed()
    }
}

struct Source<F: Fetch> {
    rows: F,
    context: Arc<RequestContext>,
    /// Told after the rows that came before.
    failed: Option<F::Failure>,
    /// The last row was read; whoever asks for more is told that there is no connection.
    over: bool,
}

impl<F: Fetch> Source<F> {
    /// The next row, as soon as it is there, and those that are there with it.
    async fn batch(&mut self) -> Option<Result<(Vec<F::Row>, Charge), F::Failure>> {
        if let Some(failure) = self.failed.take() {
            self.over = true;
            return Some(Err(failure));
        }
        if self.over {
            return None;
        }
        let mut charge = match self.context.account.charge(0) {
            Ok(charge) => charge,
            Err(over) => return Some(Err(over.into())),
        };
        let first = in_time(&self.context, self.rows.fetch(&mut charge)).await;
        let mut batch = match first {
            Ok(Some(row)) => vec![row],
            Ok(None) => return None,
            Err(failure) => return Some(Err(failure)),
        };
        while charge.bytes() < BATCH_BYTES {
            match self.rows.fetch(&mut charge).now_or_never() {
                Some(Ok(Some(row))) => batch.push(row),
                Some(Ok(None)) => {
                    self.over = true;
                    break;
                }
                None => break,
                Some(Err(failure)) => {
                    self.failed = Some(failure);
                    break;
                }
            }
        }
        Some(Ok((batch, charge)))
    }
}
