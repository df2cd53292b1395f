//! `bobbin:models/catalog@0.1.0`: which models the request may use. wasi-nn cannot list them.

use super::{HasNn, NnView, view};
use crate::state::State;
use bindings::bobbin::models::catalog::{self, Host, Kind, Model};
use bobbin_inference::GraphKind;
use bobbin_release::Listed;
use wasmtime::component::Linker;

mod bindings {
    #![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]

    wasmtime::component::bindgen!({
        path: "../../wit/bobbin-models@0.1.0",
        inline: "package bobbin:host; world guest { import bobbin:models/catalog@0.1.0; }",
        world: "bobbin:host/guest",
    });
}

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    catalog::add_to_linker::<State, HasNn>(linker, view)
}

impl Host for NnView<'_> {
    /// Read from the pins, which the key's scope has been applied to. What a manifest grants bounds how much it is.
    fn list(&mut self) -> Vec<Model> {
        self.pins.catalog().into_iter().map(model).collect()
    }
}

fn model(Listed { name, info, retires }: Listed) -> Model {
    let kind = match info.kind {
        GraphKind::Generate => Kind::Generate,
        GraphKind::Embed => Kind::Embed,
    };
    let (name, version) = (name.to_string(), info.bundle.to_string());
    // The format of bundles has no place for when they were made.
    Model { name, version, kind, context: info.context, dimensions: info.dimensions, created: None, retires }
}
