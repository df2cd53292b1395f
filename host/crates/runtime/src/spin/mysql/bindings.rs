//! Generated from the vendored WIT, one module for each version.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]

pub(super) mod v1 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/fermyon-spin@unversioned",
        inline: "package bobbin:host; world guest { import fermyon:spin/mysql; }",
        world: "bobbin:host/guest",
        imports: { default: async },
    });
}

pub(super) mod v2 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/fermyon-spin@2.0.0",
        inline: "package bobbin:host; world guest { import fermyon:spin/mysql@2.0.0; }",
        world: "bobbin:host/guest",
        imports: { default: async | trappable },
        with: { "fermyon:spin/mysql.connection": crate::spin::mysql::OpenMysql },
    });
}

pub(super) mod v3 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/spin-mysql@3.0.0",
        inline: "package bobbin:host; world guest { import spin:mysql/mysql@3.0.0; }",
        world: "bobbin:host/guest",
        imports: { default: async | trappable },
        with: { "spin:mysql/mysql.connection": crate::spin::mysql::OpenMysql },
    });
}
