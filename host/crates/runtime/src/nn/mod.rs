//! wasi-nn on releases: the ggml contract of the design.
//!
//! `bindings` are generated from the vendored WIT, with `compute` async on the host so that a waiting guest
//! holds no thread and can be cancelled. `inputs` and `outputs` translate between tensors and the inference
//! crate's vocabulary and are pure; `catalog` lists what wasi-nn
//! cannot list. Everything a guest makes the host hold is charged to its account.

#![allow(unreachable_pub, reason = "the generated bindings re-export the types of resources")]

mod bindings;
mod catalog;
mod error;
mod inputs;
mod outputs;
mod session;
mod tensor;

use crate::state::State;
use bindings::wasi::nn as wit;
use bobbin_inference::{Charge, InferenceError, MAX_MESSAGE_BYTES, OverAccount, Reason, RequestContext};
use bobbin_release::Pins;
use std::sync::Arc;
use wasmtime::component::{HasData, Linker, ResourceTable};

/// How the names of its interfaces begin.
pub(crate) const PACKAGE: &str = "wasi:nn/";
/// What a handle costs the host besides its contents: its slot, its object, and a session's share of the link.
/// Large enough that a full account is met before a full table, which would trap.
pub(crate) const ENTRY_BYTES: u64 = 2048;

/// One store's wasi-nn.
pub(crate) struct Nn {
    context: Arc<RequestContext>,
    pins: Pins,
    table: ResourceTable,
    /// Room for one error: a guest whose account is full must still hear that it is.
    spare: Option<Charge>,
}

impl Nn {
    /// wasi-nn for one request, with room for so many handles.
    ///
    /// # Errors
    /// When the account cannot hold even one error.
    pub(crate) fn new(context: Arc<RequestContext>, pins: Pins, capacity: usize) -> Result<Self, OverAccount> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(capacity);
        let spare = context.account.charge(ENTRY_BYTES + 2 * MAX_MESSAGE_BYTES as u64)?;
        Ok(Self { context, pins, table, spare: Some(spare) })
    }

    /// The request, and the versions decided for it.
    pub(crate) fn request(&self) -> (&Arc<RequestContext>, &Pins) {
        (&self.context, &self.pins)
    }

    /// Holds nothing more of its request but what names it.
    pub(crate) fn rest(&mut self) {
        self.pins = Pins::default();
        self.table = ResourceTable::new();
        self.spare = None;
    }
}

/// What the host functions see of the store.
pub(crate) struct NnView<'a> {
    context: &'a Arc<RequestContext>,
    pins: &'a Pins,
    table: &'a mut ResourceTable,
    spare: &'a mut Option<Charge>,
}

struct HasNn;

impl HasData for HasNn {
    type Data<'a> = NnView<'a>;
}

fn view(state: &mut State) -> NnView<'_> {
    let Nn { context, pins, table, spare } = &mut state.nn;
    NnView { context, pins, table, spare }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wit::tensor::add_to_linker::<State, HasNn>(linker, view)?;
    wit::graph::add_to_linker::<State, HasNn>(linker, view)?;
    wit::inference::add_to_linker::<State, HasNn>(linker, view)?;
    wit::errors::add_to_linker::<State, HasNn>(linker, view)?;
    catalog::add_to_linker(linker)
}

impl NnView<'_> {
    /// Charges a new handle and what it holds.
    fn charge(&self, bytes: usize) -> Result<Charge, OverAccount> {
        self.context.account.charge(ENTRY_BYTES.saturating_add(bytes as u64))
    }
}

/// The account is full where the interface has an error to return.
fn over_account(error: OverAccount) -> InferenceError {
    InferenceError::new(Reason::LimitExceeded, error.to_string())
}
