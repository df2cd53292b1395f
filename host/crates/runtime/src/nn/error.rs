//! wasi-nn's error resource.

use super::NnView;
use super::bindings::wasi::nn::errors::{ErrorCode, Host, HostError};
use bobbin_inference::{Charge, ErrorKind, InferenceError};
use wasmtime::component::Resource;
use wasmtime::error::Context as _;

/// An error that a guest can look at.
#[derive(Debug)]
pub struct NnError {
    error: InferenceError,
    _charge: Charge,
}

impl NnView<'_> {
    /// Hands an error to the guest. Traps where the account is full and has been told so once already: errors
    /// that were not charged would be a way to pile up what the host holds.
    pub(super) fn push_error(&mut self, error: InferenceError) -> wasmtime::Result<Resource<NnError>> {
        let charge = match (self.charge(error.message.len()), self.spare.take()) {
            (Ok(charge), spare) => {
                *self.spare = spare;
                charge
            }
            (Err(_full), Some(spare)) => spare,
            (Err(full), None) => return Err(full).context("an error could not be handed out"),
        };
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
