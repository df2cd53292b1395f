//! What a benchmark's figures belong to: the machine, and how llama.cpp was built for it.

use crate::Result;
use anyhow::{Context, ensure};

/// The number of cores and the name of the processor.
///
/// # Errors
/// When the kernel does not tell.
pub fn machine() -> Result<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo")?;
    let name = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    Ok(format!("{} cores, {}", std::thread::available_parallelism()?, name.trim_start_matches(['\t', ' ', ':'])))
}

/// Prints what llama.cpp says of its build in a host's log, and refuses a baseline one: its figures would say nothing.
///
/// # Errors
/// When it was built without vector units, or has not been loaded.
pub fn vector_units(log: &str) -> Result {
    let line = log.lines().find(|line| line.contains("the worker is ready")).context("the worker logged nothing")?;
    let (_, system) = line.split_once("CPU :").context("llama.cpp named no CPU features")?;
    println!("llama.cpp: CPU :{}", system.trim_end());
    let vectors = ["AVX2 = 1", "NEON = 1", "SVE = 1"];
    ensure!(
        vectors.iter().any(|unit| system.contains(unit)),
        "llama.cpp was built without vector units; build without RUSTFLAGS, so that .cargo/config.toml holds"
    );
    Ok(())
}
