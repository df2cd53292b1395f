//! Generated from the vendored WIT: the same functions under two names.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]

/// `fermyon:spin/llm`
pub(super) mod unversioned {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/fermyon-spin@unversioned",
        inline: "package bobbin:host; world llm { import fermyon:spin/llm; }",
        world: "bobbin:host/llm",
        imports: { default: async },
    });
    pub use fermyon::spin::llm;
}

/// `fermyon:spin/llm@2.0.0`
pub(super) mod v2 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/fermyon-spin@2.0.0",
        inline: "package bobbin:host; world llm { import fermyon:spin/llm@2.0.0; }",
        world: "bobbin:host/llm",
        imports: { default: async },
    });
    pub use fermyon::spin::llm;
}
