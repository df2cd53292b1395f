//! From bytes to something that can be instantiated for a request.

use crate::background::Background;
use crate::handler::Handler;
use crate::listener::{Entry, Listener};
use crate::llm;
use crate::nn;
use crate::outbound::{Calls, Exit, HostTls};
use crate::output_log::Output;
use crate::reuse::{Idle, Instance};
use crate::state::State;
use crate::stubs;
use bobbin_manifest::HostError;
use bobbin_stores::Kept;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime_wasi_http::handler::ProxyPre;
use wasmtime_wasi_http::{p2, p3};

/// A component, as the host wants it run.
#[derive(Debug, Clone)]
pub struct ComponentSpec {
    /// Its id in the manifest.
    pub id: String,
    /// Its file, for messages.
    pub source: PathBuf,
    /// Its environment variables.
    pub environment: BTreeMap<String, String>,
    /// Its `allowed_outbound_hosts`, in which every variable has its value.
    pub allowed_outbound_hosts: Vec<String>,
    /// How it speaks TLS with some hosts.
    pub client_tls: Vec<HostTls>,
    /// The folders that it may read.
    pub folders: Vec<Folder>,
    /// What it may know and keep.
    pub kept: Kept,
    /// Where what it prints goes.
    pub output: Arc<Output>,
    /// Whether its instances answer one request after another. What a guest keeps in its memory then meets the next
    /// request, whoever asks; so never with models.
    pub reuse: bool,
}

/// A folder of the host's that guests may read and not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// The folder on the host.
    pub host: PathBuf,
    /// Where the guest finds it.
    pub guest: String,
}

/// A component that can be instantiated, and the bounds of its instances.
pub(crate) struct Linked {
    pub(crate) pre: InstancePre<State>,
    pub(crate) spec: ComponentSpec,
    /// Linear memory of one instance, in bytes.
    pub(crate) guest_memory: u64,
    /// CPU time of one request.
    pub(crate) guest_cpu: Duration,
    /// Where its instances wait for the next request, if they may answer several.
    pub(crate) idle: Option<Arc<Idle<Instance>>>,
    /// Where its guests go on that compute for long.
    pub(crate) background: Arc<Background>,
    /// Whom it may ask, and how it gets there.
    pub(crate) exit: Arc<Exit>,
}

impl Linked {
    pub(crate) fn engine(&self) -> &Engine {
        self.pre.engine()
    }
}

/// A component that cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is no component.
    #[error(
        "component \"{id}\": {} is no WebAssembly component that this host can run: {reason:#}; build it for the \
         target wasm32-wasip2, and compare guest_memory_bytes if it names memory",
        path.display()
    )]
    NoComponent {
        /// The component.
        id: String,
        /// Its file.
        path: PathBuf,
        /// wasmtime's account.
        reason: wasmtime::Error,
    },
    /// It imports something that this host does not have.
    #[error("component \"{id}\": {} cannot be linked: {reason:#}", path.display())]
    Unlinkable {
        /// The component.
        id: String,
        /// Its file.
        path: PathBuf,
        /// wasmtime's account, naming the import.
        reason: wasmtime::Error,
    },
    /// An entry of `allowed_outbound_hosts` is none.
    #[error(
        "component \"{id}\": allowed_outbound_hosts has \"{entry}\", which is no entry; write scheme://host[:port]"
    )]
    Host {
        /// The component.
        id: String,
        /// The entry, with its variables' values.
        entry: String,
        /// Why.
        #[source]
        source: HostError,
    },
    /// It asks for instances that answer several requests, and uses models.
    #[error(
        "component \"{id}\": {} imports {import}, and its instances cannot answer several requests then: what one \
         request said to a model would be in the memory that the next one finds; take it out of reuse_instances",
        path.display()
    )]
    Reuse {
        /// The component.
        id: String,
        /// Its file.
        path: PathBuf,
        /// The import.
        import: String,
    },
    /// It exports no HTTP handler.
    #[error(
        "component \"{id}\": {} answers no HTTP: it exports neither wasi:http/handler@0.3.0 nor \
         wasi:http/incoming-handler@0.2.x ({reason:#})",
        path.display()
    )]
    NoHandler {
        /// The component.
        id: String,
        /// Its file.
        path: PathBuf,
        /// wasmtime's account.
        reason: wasmtime::Error,
    },
    /// It exports no handler for messages.
    #[error(
        "component \"{id}\": {} takes no messages: it exports neither spin:redis/inbound-redis@3.0.0 nor \
         fermyon:spin/inbound-redis ({reason:#})",
        path.display()
    )]
    NoListener {
        /// The component.
        id: String,
        /// Its file.
        path: PathBuf,
        /// wasmtime's account.
        reason: wasmtime::Error,
    },
}

pub(crate) fn link(
    engine: &Engine,
    linker: &Linker<State>,
    spec: &ComponentSpec,
    bytes: &[u8],
) -> Result<InstancePre<State>, LoadError> {
    let (id, path) = (spec.id.clone(), spec.source.clone());
    let component = match Component::from_binary(engine, bytes) {
        Ok(component) => component,
        Err(reason) => return Err(LoadError::NoComponent { id, path, reason }),
    };
    let imports = component.component_type();
    let import = imports.imports(engine).map(|(name, _)| name).find(|name| uses_models(name));
    if let (true, Some(import)) = (spec.reuse, import) {
        return Err(LoadError::Reuse { id, path, import: import.to_owned() });
    }
    let linkable = match stubs::link(engine, linker, &component) {
        Ok(linkable) => linkable,
        Err(reason) => return Err(LoadError::Unlinkable { id, path, reason }),
    };
    if !linkable.stubs.is_empty() {
        let interfaces = linkable.stubs.join(", ");
        tracing::warn!(component = %id, %interfaces, "it imports what this host does not supply; calls get errors");
    }
    Ok(linkable.pre)
}

/// Whether through this import a component says something to a model.
fn uses_models(import: &str) -> bool {
    import.starts_with(nn::PACKAGE) || import.starts_with(llm::INTERFACE)
}

/// A component that is loaded. What it exports is looked up for whatever runs it.
pub struct Loaded(Arc<Linked>);

impl Loaded {
    pub(crate) fn new(component: Linked) -> Self {
        Self(Arc::new(component))
    }

    /// What answers requests.
    ///
    /// # Errors
    /// [`LoadError::NoHandler`]
    pub fn handler(&self) -> Result<Handler, LoadError> {
        let (id, path) = (self.0.spec.id.clone(), self.0.spec.source.clone());
        let proxy = proxy(&self.0.pre).map_err(|reason| LoadError::NoHandler { id, path, reason })?;
        Ok(Handler::new(Arc::clone(&self.0), proxy))
    }

    /// What takes messages.
    ///
    /// # Errors
    /// [`LoadError::NoListener`]
    pub fn listener(&self) -> Result<Listener, LoadError> {
        let (id, path) = (self.0.spec.id.clone(), self.0.spec.source.clone());
        let entry = Entry::of(&self.0.pre).map_err(|reason| LoadError::NoListener { id, path, reason })?;
        Ok(Listener::new(Arc::clone(&self.0), entry))
    }

    /// Which parts of its own application the component may ask.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.0.exit.calls()
    }
}

/// WASI 0.3 where the component has it, else 0.2.
fn proxy(pre: &InstancePre<State>) -> wasmtime::Result<ProxyPre<State>> {
    match p3::bindings::ServicePre::new(pre.clone()) {
        Ok(service) => Ok(ProxyPre::P3(service)),
        Err(_not_p3) => Ok(ProxyPre::P2(p2::bindings::ProxyPre::new(pre.clone())?)),
    }
}
