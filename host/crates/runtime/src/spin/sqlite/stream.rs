//! Rows on their way to a guest, charged until it has taken them all.

use super::Value;
use super::v3_wit::spin::sqlite::sqlite::RowResult;
use bobbin_inference::Charge;
use std::pin::Pin;
use std::task::{Context, Poll};
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, StreamProducer, StreamResult, VecBuffer};

/// The write end of a stream of rows.
pub(super) struct RowStream {
    rows: Vec<Vec<Value>>,
    _charge: Option<Charge>,
}

impl RowStream {
    pub(super) fn new(rows: Vec<Vec<Value>>, charge: Option<Charge>) -> Self {
        Self { rows, _charge: charge }
    }
}

impl<D> StreamProducer<D> for RowStream {
    type Item = RowResult;
    type Buffer = VecBuffer<RowResult>;

    /// Hands all rows over at once. Who comes again has taken them, and only then does the stream end, and the charge
    /// with it.
    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(&mut store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        destination.set_buffer(rows.into_iter().map(RowResult::from).collect::<Vec<_>>().into());
        Poll::Ready(Ok(StreamResult::Completed))
    }
}
