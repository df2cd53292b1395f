//! Generated from the vendored WIT, one module for each version.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]

pub(super) mod v1 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/fermyon-spin@unversioned",
        inline: "package bobbin:host; world guest { import fermyon:spin/sqlite; }",
        world: "bobbin:host/guest",
        imports: { default: async },
    });
}

pub(super) mod v2 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/fermyon-spin@2.0.0",
        inline: "package bobbin:host; world guest { import fermyon:spin/sqlite@2.0.0; }",
        world: "bobbin:host/guest",
        imports: { default: async | trappable },
        with: { "fermyon:spin/sqlite.connection": crate::spin::sqlite::OpenConnection },
    });
}

/// Components built for 3.0.0 import a part of this, and link to it.
pub(super) mod v3 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/spin-sqlite@3.1.0",
        inline: "package bobbin:host; world guest { import spin:sqlite/sqlite@3.1.0; }",
        world: "bobbin:host/guest",
        imports: { default: async | trappable },
        with: { "spin:sqlite/sqlite.connection": crate::spin::sqlite::OpenConnection },
    });
}
