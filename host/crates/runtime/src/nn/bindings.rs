//! Generated from the vendored WIT.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "../../wit/deps/wasi-nn@0.2.0-rc-2024-10-28",
    world: "wasi:nn/ml",
    imports: {
        "wasi:nn/inference.[method]graph-execution-context.compute": async | trappable,
        default: trappable,
    },
    with: {
        "wasi:nn/tensor.tensor": crate::nn::tensor::Tensor,
        "wasi:nn/graph.graph": crate::nn::session::Graph,
        "wasi:nn/inference.graph-execution-context": crate::nn::session::ExecutionContext,
        "wasi:nn/errors.error": crate::nn::error::NnError,
    },
});
