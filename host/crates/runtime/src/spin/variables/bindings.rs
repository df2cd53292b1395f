//! Generated from the vendored WIT, one module for each version.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]

pub(super) mod config {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/fermyon-spin@unversioned",
        inline: "package bobbin:host; world guest { import fermyon:spin/config; }",
        world: "bobbin:host/guest",
    });
}

pub(super) mod v2 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/fermyon-spin@2.0.0",
        inline: "package bobbin:host; world guest { import fermyon:spin/variables@2.0.0; }",
        world: "bobbin:host/guest",
    });
}

pub(super) mod v3 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/spin-variables@3.0.0",
        inline: "package bobbin:host; world guest { import spin:variables/variables@3.0.0; }",
        world: "bobbin:host/guest",
    });
}

pub(super) mod wasi {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/wasi-config@0.2.0-draft-2024-09-27",
        world: "wasi:config/imports",
    });
}
