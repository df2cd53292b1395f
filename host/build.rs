//! The host's executable is the worker's, too, and is linked as the worker's crate asks.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if let Ok(argument) = std::env::var("DEP_BOBBIN_WORKER_LINK_ARG") {
        println!("cargo::rustc-link-arg={argument}");
    }
}
