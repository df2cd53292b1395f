//! Generated from the vendored WIT, one module for each version.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]

pub(super) mod v1 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/fermyon-spin@unversioned",
        inline: "package bobbin:host; world guest { import fermyon:spin/postgres; }",
        world: "bobbin:host/guest",
        imports: { default: async },
    });
}

pub(super) mod v2 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/fermyon-spin@2.0.0",
        inline: "package bobbin:host; world guest { import fermyon:spin/postgres@2.0.0; }",
        world: "bobbin:host/guest",
        imports: { default: async | trappable },
        with: { "fermyon:spin/postgres.connection": crate::spin::postgres::OpenPostgres },
    });
}

pub(super) mod v3 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/spin-postgres@3.0.0",
        inline: "package bobbin:host; world guest { import spin:postgres/postgres@3.0.0; }",
        world: "bobbin:host/guest",
        imports: { default: async | trappable },
        with: { "spin:postgres/postgres.connection": crate::spin::postgres::OpenPostgres },
    });
}

/// Components built for 4.0.0 and 4.1.0 import a part of this, and link to it.
pub(super) mod v4 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/spin-postgres@4.2.0",
        inline: "package bobbin:host; world guest { import spin:postgres/postgres@4.2.0; }",
        world: "bobbin:host/guest",
        imports: { default: async | trappable },
        with: {
            "spin:postgres/postgres.connection": crate::spin::postgres::OpenPostgres,
            "spin:postgres/postgres.connection-builder": crate::spin::postgres::Builder,
        },
    });
}
