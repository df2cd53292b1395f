//! Where the target has the vector units for it, attention over a shared cache and products of quantised matrices are
//! computed by this crate: the linker puts our functions in the place of ggml's.

use std::env;

/// What the kernels are written for.
const FEATURES: [&str; 3] = ["avx2", "fma", "f16c"];
/// What the faster one of the two for products is written for.
const VNNI: [&str; 4] = ["avx512f", "avx512bw", "avx512vl", "avx512vnni"];
/// How GNU's linker and those that take its options put `__wrap_` before a name that others call.
const WRAP: &str = "-Wl,--wrap=ggml_compute_forward_flash_attn_ext,--wrap=llamafile_sgemm";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(own_kernels, vnni)");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let has = |feature: &&str| features.split(',').any(|found| found == *feature);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ARCH", "x86_64") && FEATURES.iter().all(has) {
        println!("cargo::rustc-cfg=own_kernels");
        if VNNI.iter().all(has) {
            println!("cargo::rustc-cfg=vnni");
        }
        println!("cargo::rustc-link-arg={WRAP}");
        // Whoever links this crate into an executable does the same: `host/build.rs`.
        println!("cargo::metadata=link_arg={WRAP}");
    }
}
