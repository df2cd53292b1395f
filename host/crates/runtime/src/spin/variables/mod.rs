//! Variables: `fermyon:spin/config`, `fermyon:spin/variables@2.0.0`, `spin:variables@3.0.0` and `wasi:config`.
//!
//! All values were looked up when the host started, so nothing here waits.

mod bindings;
mod config;
mod v2;
mod v3;
mod wasi;

use super::{HasSpin, spin};
use crate::state::State;
use bindings::{config as v1_wit, v2 as v2_wit, v3 as v3_wit, wasi as wasi_wit};
use wasmtime::component::Linker;

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    v1_wit::fermyon::spin::config::add_to_linker::<State, HasSpin>(linker, spin)?;
    v2_wit::fermyon::spin::variables::add_to_linker::<State, HasSpin>(linker, spin)?;
    v3_wit::spin::variables::variables::add_to_linker::<State, HasSpin>(linker, spin)?;
    wasi_wit::wasi::config::store::add_to_linker::<State, HasSpin>(linker, spin)
}
