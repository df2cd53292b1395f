//! Generated from the vendored WIT, one module for each version.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]

pub(super) mod v1 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/fermyon-spin@unversioned",
        inline: "package bobbin:host; world guest { import fermyon:spin/key-value; }",
        world: "bobbin:host/guest",
        imports: { default: async },
    });
}

pub(super) mod v2 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/fermyon-spin@2.0.0",
        inline: "package bobbin:host; world guest { import fermyon:spin/key-value@2.0.0; }",
        world: "bobbin:host/guest",
        imports: { default: async | trappable },
        with: { "fermyon:spin/key-value.store": crate::spin::key_value::OpenStore },
    });
}

pub(super) mod v3 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/spin-key-value@3.0.0",
        inline: "package bobbin:host; world guest { import spin:key-value/key-value@3.0.0; }",
        world: "bobbin:host/guest",
        imports: { default: async | trappable },
        with: { "spin:key-value/key-value.store": crate::spin::key_value::OpenStore },
    });
}

pub(super) mod wasi {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/wasi-keyvalue@0.2.0-draft2",
        world: "wasi:keyvalue/imports",
        imports: { default: async | trappable },
        with: {
            "wasi:keyvalue/store.bucket": crate::spin::key_value::OpenStore,
            "wasi:keyvalue/atomics.cas": crate::spin::key_value::OpenCas,
        },
    });
}
