//! Spin's interfaces for what components know and keep, on the crate `bobbin-stores`, and for databases elsewhere, on the
//! crate `bobbin-databases`.
//!
//! There is one trait implementation for each version of each interface, with bindings of its own; what they share is
//! in the module of the interface. Unversioned interfaces are those of Spin 1.

#![allow(unreachable_pub, reason = "the generated bindings re-export the types of resources")]

mod batches;
mod key_value;
mod mqtt;
mod mysql;
mod network;
mod postgres;
pub(crate) mod redis;
mod rows;
mod sqlite;
mod variables;

use crate::outbound::Exit;
use crate::state::State;
use bobbin_inference::{CpuBudget, RequestContext};
use bobbin_stores::Kept;
use bobbin_stores::sqlite::Connection;
use std::sync::{Arc, Weak};
use tokio::sync::Semaphore;
use wasmtime::component::{HasData, Linker, ResourceTable};

/// Handles that a guest may hold at once; what each costs is charged to the request's account besides.
const CAPACITY: usize = 1024;

/// One store's share of what components know and keep.
pub(crate) struct Spin {
    kept: Kept,
    context: Arc<RequestContext>,
    /// What statements are taken from.
    cpu: Arc<CpuBudget>,
    table: ResourceTable,
    /// The connections in `table`.
    connections: Vec<Weak<Connection>>,
    /// Whose statement runs, of all that the request has.
    turn: Arc<Semaphore>,
    /// The way to databases elsewhere, and the connections there that the guest may still open.
    exit: Arc<Exit>,
    places: Arc<Semaphore>,
}

struct HasSpin;

impl HasData for HasSpin {
    type Data<'a> = &'a mut Spin;
}

fn spin(state: &mut State) -> &mut Spin {
    &mut state.spin
}

impl Spin {
    pub(crate) fn new(kept: Kept, request: (Arc<RequestContext>, Arc<CpuBudget>), exit: Arc<Exit>) -> Self {
        let (context, cpu) = request;
        let mut table = ResourceTable::new();
        table.set_max_capacity(CAPACITY);
        let (turn, places) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(network::CONNECTIONS)));
        Self { kept, context, cpu, table, connections: Vec::new(), turn, exit, places }
    }

    /// Takes up the next request. A guest may use what it opened for the one before.
    pub(crate) fn serve(&mut self, context: Arc<RequestContext>, cpu: Arc<CpuBudget>) {
        (self.context, self.cpu) = (context, cpu);
    }

    /// Undoes transactions that the request has left open: they keep others from writing.
    pub(crate) fn rest(&mut self) {
        self.connections.iter().filter_map(Weak::upgrade).for_each(|connection| connection.close());
    }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    key_value::add_to_linker(linker)?;
    mqtt::add_to_linker(linker)?;
    mysql::add_to_linker(linker)?;
    postgres::add_to_linker(linker)?;
    redis::add_to_linker(linker)?;
    sqlite::add_to_linker(linker)?;
    variables::add_to_linker(linker)
}
