//! From a file to something that can be instantiated for a request.

use crate::background::Background;
use crate::nn;
use crate::reuse::{Idle, Instance};
use crate::state::State;
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
    /// Its file.
    pub source: PathBuf,
    /// Its environment variables.
    pub environment: BTreeMap<String, String>,
    /// What it may know and keep.
    pub kept: Kept,
    /// Whether its instances answer one request after another. What a guest keeps in its memory then meets the next
    /// request, whoever asks; so never with wasi-nn.
    pub reuse: bool,
}

/// A component that can be instantiated, and the bounds of its instances.
pub(crate) struct Linked {
    pub(crate) pre: ProxyPre<State>,
    pub(crate) spec: ComponentSpec,
    /// Linear memory of one instance, in bytes.
    pub(crate) guest_memory: u64,
    /// CPU time of one request.
    pub(crate) guest_cpu: Duration,
    /// Where its instances wait for the next request, if they may answer several.
    pub(crate) idle: Option<Arc<Idle<Instance>>>,
    /// Where its guests go on that compute for long.
    pub(crate) background: Arc<Background>,
}

impl Linked {
    pub(crate) fn engine(&self) -> &Engine {
        match &self.pre {
            ProxyPre::P2(pre) => pre.engine(),
            ProxyPre::P3(pre) => pre.engine(),
        }
    }
}

/// A component that cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("component \"{id}\": {} cannot be read: {reason}; build it first, or correct `source`", path.display())]
    Unreadable {
        /// The component.
        id: String,
        /// Its file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
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
         wasi:http/incoming-handler@0.2.x ({reason:#}); give it a handler, or remove its trigger",
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
}

pub(crate) fn link(
    engine: &Engine,
    linker: &Linker<State>,
    spec: &ComponentSpec,
) -> Result<ProxyPre<State>, LoadError> {
    let (id, path) = (spec.id.clone(), spec.source.clone());
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(reason) => return Err(LoadError::Unreadable { id, path, reason }),
    };
    let component = match Component::from_binary(engine, &bytes) {
        Ok(component) => component,
        Err(reason) => return Err(LoadError::NoComponent { id, path, reason }),
    };
    let imports = component.component_type();
    let import = imports.imports(engine).map(|(name, _)| name).find(|name| name.starts_with(nn::PACKAGE));
    if let (true, Some(import)) = (spec.reuse, import) {
        return Err(LoadError::Reuse { id, path, import: import.to_owned() });
    }
    let pre = match linker.instantiate_pre(&component) {
        Ok(pre) => pre,
        Err(reason) => return Err(LoadError::Unlinkable { id, path, reason }),
    };
    proxy(pre).map_err(|reason| LoadError::NoHandler { id, path, reason })
}

/// WASI 0.3 where the component has it, else 0.2.
fn proxy(pre: InstancePre<State>) -> wasmtime::Result<ProxyPre<State>> {
    match p3::bindings::ServicePre::new(pre.clone()) {
        Ok(service) => Ok(ProxyPre::P3(service)),
        Err(_not_p3) => Ok(ProxyPre::P2(p2::bindings::ProxyPre::new(pre)?)),
    }
}
