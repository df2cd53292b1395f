//! What one store holds: everything that belongs to an instance and to the request that it answers.

use crate::component::ComponentSpec;
use crate::memory::MemoryLimit;
use crate::nn::Nn;
use crate::outbound::Outbound;
use crate::output_log::{OutputLog, OutputOf, Stream};
use crate::spin::Spin;
use bobbin_inference::{Charge, OverAccount, RequestContext};
use bobbin_release::Pins;
use std::sync::Arc;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// Handles of wasi-nn that a guest may hold at once; what each costs is charged to the request's account besides.
const NN_CAPACITY: usize = 65_536;
/// The same for WASI's handles: at least so many, whatever the account.
const WASI_CAPACITY: u64 = 128;
/// Bytes of all names and values of one set of headers.
const FIELDS_BYTES: u64 = 32 << 10;
/// The most that one of WASI's handles makes the host hold: a set of headers, or what is queued of a body.
const WASI_ENTRY_BYTES: u64 = FIELDS_BYTES;
/// The part of the account that WASI's handles may use, since wasmtime does not charge them one by one.
const WASI_SHARE: u64 = 4;

pub(crate) struct State {
    /// WASI's handles.
    table: ResourceTable,
    pub(crate) memory: MemoryLimit,
    pub(crate) nn: Nn,
    pub(crate) spin: Spin,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound: Outbound,
    /// Whom its output is logged for.
    request: OutputOf,
    /// For `table`, while there is a request.
    wasi_charge: Option<Charge>,
}

impl State {
    /// # Errors
    /// When the account cannot hold even what WASI's handles may need.
    pub(crate) fn new(
        spec: &ComponentSpec,
        context: &Arc<RequestContext>,
        pins: Pins,
        guest_memory: u64,
    ) -> Result<Self, OverAccount> {
        let capacity = wasi_capacity(context);
        let wasi_charge = Some(charge_wasi(context)?);
        let request = OutputOf::new(context.id.as_str());
        let mut table = ResourceTable::new();
        table.set_max_capacity(usize::try_from(capacity).unwrap_or(usize::MAX));
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(FIELDS_BYTES as usize);
        Ok(Self {
            table,
            memory: MemoryLimit::new(guest_memory),
            nn: Nn::new(Arc::clone(context), pins, NN_CAPACITY)?,
            spin: Spin::new(spec.kept.clone(), Arc::clone(context)),
            wasi: wasi(spec, &request),
            http,
            outbound: Outbound { component: spec.id.clone() },
            request,
            wasi_charge,
        })
    }

    /// Takes up the next request.
    ///
    /// # Errors
    /// As [`State::new`].
    pub(crate) fn serve(&mut self, context: &Arc<RequestContext>, pins: Pins) -> Result<(), OverAccount> {
        self.wasi_charge = Some(charge_wasi(context)?);
        self.nn = Nn::new(Arc::clone(context), pins, NN_CAPACITY)?;
        self.spin.serve(Arc::clone(context));
        self.request.set(context.id.as_str());
        Ok(())
    }

    /// Lets go of what belongs to the request that is over: its account, and the versions decided for it.
    pub(crate) fn rest(&mut self) {
        self.wasi_charge = None;
        self.nn.rest();
        self.spin.rest();
    }
}

fn wasi_capacity(context: &RequestContext) -> u64 {
    (context.account.limit() / WASI_SHARE / WASI_ENTRY_BYTES).max(WASI_CAPACITY)
}

fn charge_wasi(context: &RequestContext) -> Result<Charge, OverAccount> {
    context.account.charge(wasi_capacity(context) * WASI_ENTRY_BYTES)
}

/// No files, no sockets, no arguments: what a component may reach is granted by name.
fn wasi(spec: &ComponentSpec, request: &OutputOf) -> WasiCtx {
    let log = |stream| OutputLog { component: spec.id.as_str().into(), request: request.clone(), stream };
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
