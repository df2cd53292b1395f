//! The machine: what a benchmark's figures belong to, how llama.cpp was built for it, and where others reach it.

use crate::Result;
use anyhow::{Context, ensure};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// An address of this machine's by which others reach it; none where it has no network.
#[must_use]
pub fn outside() -> Option<Ipv4Addr> {
    // Nothing is sent: the kernel says which address it would send from, to one that is nobody's.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) if !address.is_loopback() => Some(address),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

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
    refuse_baseline(system)
}

/// Refuses a baseline build by what llama.cpp says of itself.
///
/// # Errors
/// When it was built without vector units.
pub fn refuse_baseline(system: &str) -> Result {
    let vectors = ["AVX2 = 1", "NEON = 1", "SVE = 1"];
    ensure!(
        vectors.iter().any(|unit| system.contains(unit)),
        "llama.cpp was built without vector units; build without RUSTFLAGS, so that .cargo/config.toml holds"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host's log, as far as a benchmark reads it.
    fn log(system: &str) -> String {
        format!(
            "INFO bobbin: the application is there\n\
             INFO bobbin_worker::supervisor::supervise: the worker is ready bundle=model@1.0.0 pid=7 system={system} gpu=None \
             cage=\"landlock holds\"\n\
             INFO bobbin: http://127.0.0.1:3000 AVX2 = 1\n"
        )
    }

    #[test]
    fn a_build_with_vector_units_is_measured() {
        for system in [
            "CPU : SSE3 = 1 | SSSE3 = 1 | AVX = 1 | AVX2 = 1 | F16C = 1 | FMA = 1 | LLAMAFILE = 1 | OPENMP = 1 | REPACK = 1 |",
            "CPU : NEON = 1 | ARM_FMA = 1 | DOTPROD = 1 | OPENMP = 1 |",
            "CUDA : ARCHS = 900 | CPU : SSE3 = 1 | AVX2 = 1 |",
        ] {
            assert!(vector_units(&log(system)).is_ok(), "{system}");
        }
    }

    #[test]
    fn a_baseline_build_is_not() {
        for system in [
            "CPU : LLAMAFILE = 1 | OPENMP = 1 | REPACK = 1 |",
            "CPU : SSE3 = 1 | SSSE3 = 1 | AVX = 1 | OPENMP = 1 |",
            "CPU : SSE3 = 1 | AVX2 = 0 | OPENMP = 1 |",
        ] {
            let refused = vector_units(&log(system)).unwrap_err().to_string();
            assert!(refused.contains("without vector units") && refused.contains("RUSTFLAGS"), "{system}: {refused}");
        }
    }

    #[test]
    fn a_log_that_says_nothing_of_a_worker_is_no_reason_to_measure() {
        for (log, why) in [("", "the worker logged nothing"), (&*log("none"), "named no CPU features")] {
            let refused = vector_units(log).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
