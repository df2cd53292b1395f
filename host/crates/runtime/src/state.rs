//! What one store holds: everything that belongs to one request's instance.

use crate::component::ComponentSpec;
use crate::memory::MemoryLimit;
use crate::nn::Nn;
use crate::outbound::Outbound;
use crate::output_log::{OutputLog, Stream};
use bobbin_inference::RequestContext;
use bobbin_release::Pins;
use std::sync::Arc;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// Handles that a guest may hold at once; what each costs is charged to the request's account besides.
const TABLE_CAPACITY: usize = 65_536;

pub(crate) struct State {
    pub(crate) table: ResourceTable,
    pub(crate) memory: MemoryLimit,
    pub(crate) nn: Nn,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound: Outbound,
}

impl State {
    pub(crate) fn new(spec: &ComponentSpec, context: &Arc<RequestContext>, pins: Pins, guest_memory: u64) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(TABLE_CAPACITY);
        Self {
            table,
            memory: MemoryLimit::new(guest_memory),
            nn: Nn::new(Arc::clone(context), pins),
            wasi: wasi(spec, context),
            http: WasiHttpCtx::new(),
            outbound: Outbound { component: spec.id.clone() },
        }
    }
}

/// No files, no sockets, no arguments: what a component may reach is granted by name.
fn wasi(spec: &ComponentSpec, context: &RequestContext) -> WasiCtx {
    let log = |stream| OutputLog { component: spec.id.as_str().into(), request: context.id.as_str().into(), stream };
    let mut wasi = WasiCtx::builder();
    wasi.stdout(log(Stream::Stdout)).stderr(log(Stream::Stderr));
    wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    for (name, value) in &spec.environment {
        wasi.env(name, value);
    }
    wasi.build()
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.outbound }
    }
}
