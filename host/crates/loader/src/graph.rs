//! Composition: components as parts, whose imports are connected to the exports of others.

use std::error::Error;
use wac_graph::types::{Package, WorldId};
use wac_graph::{CompositionGraph, EncodeOptions, NodeId};

type Cause = Box<dyn Error + Send + Sync>;

/// Parts that cannot be composed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ComposeError {
    #[error("{part} is no component that can be composed")]
    Part { part: String, source: Cause },
    #[error("{part} exports no {export:?}; it exports {there}")]
    NoExport { part: String, export: String, there: String },
    #[error("{part} imports no {import:?}; it imports {there}")]
    NoImport { part: String, import: String, there: String },
    #[error("the export {export:?} of {exporter} does not fit the import {import:?} of {importer}")]
    Mismatch { exporter: String, export: String, importer: String, import: String, source: Cause },
    #[error("what was composed is no component")]
    Encode(#[source] Cause),
    #[error("what {part} may not have cannot be kept from it")]
    Deny { part: String, source: Cause },
}

/// Components that become one.
pub(crate) struct Composition {
    graph: CompositionGraph,
    parts: usize,
}

/// One component of a composition, instantiated once.
pub(crate) struct Part {
    /// How messages call it.
    pub(crate) name: String,
    world: WorldId,
    instance: NodeId,
}

impl Composition {
    pub(crate) fn new() -> Self {
        Self { graph: CompositionGraph::new(), parts: 0 }
    }

    /// Adds a component. `name` is how messages call it.
    pub(crate) fn add(&mut self, name: &str, bytes: &[u8]) -> Result<Part, ComposeError> {
        let unusable = |source| ComposeError::Part { part: name.to_owned(), source };
        // A package's name is written down nowhere; two parts may come from one file.
        let key = format!("part{}", self.parts);
        self.parts += 1;
        let package = Package::from_bytes(&key, None, bytes.to_vec(), self.graph.types_mut());
        let package = package.map_err(|reason| unusable(reason.into()))?;
        let world = package.ty();
        let package = self.graph.register_package(package).map_err(|reason| unusable(reason.into()))?;
        let instance = self.graph.instantiate(package);
        Ok(Part { name: name.to_owned(), world, instance })
    }

    /// The names of what a part imports.
    pub(crate) fn imports(&self, part: &Part) -> Vec<String> {
        self.graph.types()[part.world].imports.keys().cloned().collect()
    }

    /// The names of what a part exports.
    pub(crate) fn exports(&self, part: &Part) -> Vec<String> {
        self.graph.types()[part.world].exports.keys().cloned().collect()
    }

    /// Satisfies an import of one part by an export of another.
    pub(crate) fn connect(
        &mut self,
        (importer, import): (&Part, &str),
        (exporter, export): (&Part, &str),
    ) -> Result<(), ComposeError> {
        let alias = self.alias(exporter, export)?;
        let imports = self.imports(importer);
        if !imports.iter().any(|known| known == import) {
            let (part, import, there) = (importer.name.clone(), import.to_owned(), listed(&imports));
            return Err(ComposeError::NoImport { part, import, there });
        }
        self.graph.set_instantiation_argument(importer.instance, import, alias).map_err(|reason| {
            ComposeError::Mismatch {
                exporter: exporter.name.clone(),
                export: export.to_owned(),
                importer: importer.name.clone(),
                import: import.to_owned(),
                source: reason.into(),
            }
        })
    }

    /// Makes an export of a part one of the whole.
    pub(crate) fn export(&mut self, part: &Part, export: &str) -> Result<(), ComposeError> {
        let alias = self.alias(part, export)?;
        self.graph.export(alias, export).map_err(|reason| ComposeError::Encode(reason.into()))
    }

    /// Makes everything that a part exports exports of the whole.
    pub(crate) fn export_all(&mut self, part: &Part) -> Result<(), ComposeError> {
        self.exports(part).iter().try_for_each(|export| self.export(part, export))
    }

    /// The whole, as one component. What nobody satisfied, it imports.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, ComposeError> {
        self.graph.encode(EncodeOptions::default()).map_err(|reason| ComposeError::Encode(reason.into()))
    }

    fn alias(&mut self, part: &Part, export: &str) -> Result<NodeId, ComposeError> {
        self.graph.alias_instance_export(part.instance, export).map_err(|_missing| {
            let there = listed(&self.exports(part));
            ComposeError::NoExport { part: part.name.clone(), export: export.to_owned(), there }
        })
    }
}

/// For messages: the names, or that there is none.
fn listed(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
