//! wasi-nn's error resource.

use super::bindings::wasi::nn::errors::{ErrorCode, Host, HostError};
use super::{ENTRY_BYTES, NnView};
use bobbin_inference::{Charge, ErrorKind, InferenceError};
use wasmtime::component::Resource;

/// An error that a guest can look at.
#[derive(Debug)]
pub struct NnError {
    error: InferenceError,
    _charge: Option<Charge>,
}

impl NnView<'_> {
    /// Hands an error to the guest.
    ///
    /// An error is small and must be reportable even when the account is full, so a full account is no reason
    /// to trap here; the table's capacity bounds how many there are.
    pub(super) fn push_error(&mut self, error: InferenceError) -> wasmtime::Result<Resource<NnError>> {
        let charge = self.nn.context.account.charge(ENTRY_BYTES + error.message.len() as u64).ok();
        Ok(self.table.push(NnError { error, _charge: charge })?)
    }
}

/// The one place that decides wasi-nn's code for the guest.
fn code(kind: ErrorKind) -> ErrorCode {
    match kind {
        ErrorKind::InvalidArgument => ErrorCode::InvalidArgument,
        ErrorKind::InvalidEncoding => ErrorCode::InvalidEncoding,
        ErrorKind::Timeout => ErrorCode::Timeout,
        ErrorKind::RuntimeError => ErrorCode::RuntimeError,
        ErrorKind::UnsupportedOperation => ErrorCode::UnsupportedOperation,
        ErrorKind::TooLarge => ErrorCode::TooLarge,
        ErrorKind::NotFound => ErrorCode::NotFound,
        ErrorKind::Security => ErrorCode::Security,
        ErrorKind::Unknown => ErrorCode::Unknown,
    }
}

impl Host for NnView<'_> {}

impl HostError for NnView<'_> {
    fn code(&mut self, this: Resource<NnError>) -> wasmtime::Result<ErrorCode> {
        Ok(code(self.table.get(&this)?.error.kind))
    }

    fn data(&mut self, this: Resource<NnError>) -> wasmtime::Result<String> {
        Ok(self.table.get(&this)?.error.data())
    }

    fn drop(&mut self, this: Resource<NnError>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
