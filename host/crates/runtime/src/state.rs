//! What one store holds: everything that belongs to an instance and to the request that it answers.

use crate::application::Application;
use crate::component::{ComponentSpec, Linked};
use crate::memory::MemoryLimit;
use crate::nn::Nn;
use crate::outbound::Outbound;
use crate::output_log::{OutputLog, OutputOf, Stream};
use crate::spin::Spin;
use bobbin_inference::{Charge, CpuBudget, OverAccount, RequestContext};
use bobbin_release::Pins;
use std::sync::Arc;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// Handles of wasi-nn that a guest may hold at once; what each costs is charged to the request's account besides.
const NN_CAPACITY: usize = 65_536;
/// The same for WASI's handles: at least so many, whatever the account; and no more where some may be open files.
pub const OPEN_HANDLES: u64 = 128;
/// Bytes of all names and values of one set of headers.
const FIELDS_BYTES: u64 = 32 << 10;
/// The most that one of WASI's handles makes the host hold: a set of headers, or what is queued of a body.
const WASI_ENTRY_BYTES: u64 = FIELDS_BYTES;
/// The part of the account that WASI's handles may use, since wasmtime does not charge them one by one.
const WASI_SHARE: u64 = 4;
/// The same for a component that another one calls: several share the account of their request.
const CHAINED_WASI_SHARE: u64 = 64;

/// Why a store cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoState {
    #[error(transparent)]
    Account(#[from] OverAccount),
    #[error("{host} cannot be opened: {reason:#}; restart the host, which copies the files again")]
    Folder { host: String, reason: wasmtime::Error },
}

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
    /// What `table` may make the host hold, in bytes.
    wasi_bytes: u64,
    /// For that, while there is a request.
    wasi_charge: Option<Charge>,
}

impl State {
    /// # Errors
    /// When the account cannot hold even what WASI's handles may need, or a folder cannot be opened.
    pub(crate) fn new(
        component: &Linked,
        context: &Arc<RequestContext>,
        cpu: &Arc<CpuBudget>,
        pins: Pins,
        (application, chained): (Option<Arc<dyn Application>>, bool),
    ) -> Result<Self, NoState> {
        let spec = &component.spec;
        let share = if chained { CHAINED_WASI_SHARE } else { WASI_SHARE };
        let capacity = wasi_capacity(context, spec, share);
        let wasi_bytes = account_capacity(context, share) * WASI_ENTRY_BYTES;
        let wasi_charge = Some(context.account.charge(wasi_bytes)?);
        let request = OutputOf::new(context.id.as_str());
        let mut table = ResourceTable::new();
        table.set_max_capacity(usize::try_from(capacity).unwrap_or(usize::MAX));
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(FIELDS_BYTES as usize);
        Ok(Self {
            table,
            memory: MemoryLimit::new(component.guest_memory),
            nn: Nn::new(Arc::clone(context), pins, NN_CAPACITY)?,
            spin: Spin::new(spec.kept.clone(), (Arc::clone(context), Arc::clone(cpu)), Arc::clone(&component.exit)),
            wasi: wasi(spec, &request)?,
            http,
            outbound: Outbound::new(&component.exit, context, application),
            request,
            wasi_bytes,
            wasi_charge,
        })
    }

    /// Takes up the next request.
    ///
    /// # Errors
    /// As [`State::new`].
    pub(crate) fn serve(
        &mut self,
        context: &Arc<RequestContext>,
        cpu: &Arc<CpuBudget>,
        pins: Pins,
        application: Option<Arc<dyn Application>>,
    ) -> Result<(), OverAccount> {
        self.wasi_charge = Some(context.account.charge(self.wasi_bytes)?);
        self.outbound.serve(context, application);
        self.nn = Nn::new(Arc::clone(context), pins, NN_CAPACITY)?;
        self.spin.serve(Arc::clone(context), Arc::clone(cpu));
        self.request.set(context.id.as_str());
        Ok(())
    }

    /// Lets go of what belongs to the request that is over: its account, and the versions decided for it.
    pub(crate) fn rest(&mut self) {
        self.wasi_charge = None;
        self.nn.rest();
        self.outbound.rest();
        self.spin.rest();
    }

    pub(crate) fn outbound(&mut self) -> &mut Outbound {
        &mut self.outbound
    }
}

/// Handles of a component that may open files: each may be an open file of the host's process.
fn wasi_capacity(context: &RequestContext, spec: &ComponentSpec, share: u64) -> u64 {
    if spec.folders.is_empty() { account_capacity(context, share) } else { OPEN_HANDLES }
}

fn account_capacity(context: &RequestContext, share: u64) -> u64 {
    (context.account.limit() / share / WASI_ENTRY_BYTES).max(OPEN_HANDLES)
}

/// No files but the folders of the manifest, no sockets, no arguments: what a component may reach is granted by name.
fn wasi(spec: &ComponentSpec, request: &OutputOf) -> Result<WasiCtx, NoState> {
    let log = |stream| OutputLog {
        component: spec.id.as_str().into(),
        request: request.clone(),
        stream,
        output: Arc::clone(&spec.output),
    };
    let mut wasi = WasiCtx::builder();
    wasi.stdout(log(Stream::Stdout)).stderr(log(Stream::Stderr));
    wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    for (name, value) in &spec.environment {
        wasi.env(name, value);
    }
    for folder in &spec.folders {
        let opened = wasi.preopened_dir(&folder.host, &folder.guest, FsPerms::ReadOnly);
        opened.map_err(|reason| NoState::Folder { host: folder.host.display().to_string(), reason })?;
    }
    Ok(wasi.build())
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
