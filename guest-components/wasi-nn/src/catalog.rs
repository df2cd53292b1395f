//! The models that a request may use, from the host's interface `bobbin:models/catalog@0.1.0`.
//!
//! A component that never calls [`list`] does not import the interface.

use crate::bindings::bobbin::models::catalog as host;
use serde::Serialize;

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Goes on with text.
    Generate,
    /// Makes vectors of texts.
    Embed,
    /// Sorts texts into classes.
    Classify,
    /// Changes another model; it answers nothing by itself.
    Adapter,
}

/// A model, as it is for this request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Model {
    /// What [`Graph::load`](crate::Graph::load) takes: a graph name of the component's `ai_models`, or an exact version
    /// (`storyteller@1.1.0`) where the release allows it.
    pub name: String,
    /// The exact version that answers in this request, `name@version`.
    pub version: String,
    /// What it does.
    pub kind: Kind,
    /// Tokens of a session's context.
    pub context: u32,
    /// Dimensions of an embedding; `None` where the model makes none.
    pub dimensions: Option<u32>,
    /// When the bundle was made, where its card says so: seconds since 1970.
    pub created: Option<u64>,
    /// When this version stops answering, where that is decided: seconds since 1970.
    pub retires: Option<u64>,
}

/// The models that this request may use, by name; what its API key may not use is not among them.
#[must_use]
pub fn list() -> Vec<Model> {
    host::list().into_iter().map(Model::from).collect()
}

impl From<host::Model> for Model {
    fn from(model: host::Model) -> Self {
        let host::Model { name, version, kind, context, dimensions, created, retires } = model;
        let kind = match kind {
            host::Kind::Generate => Kind::Generate,
            host::Kind::Embed => Kind::Embed,
            host::Kind::Classify => Kind::Classify,
            host::Kind::Adapter => Kind::Adapter,
        };
        Self { name, version, kind, context, dimensions, created, retires }
    }
}
