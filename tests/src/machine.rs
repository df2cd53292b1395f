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
    let vectors = ["AVX2 = 1", "NEON = 1", "SVE = 1"];
    ensure!(
        vectors.iter().any(|unit| system.contains(unit)),
        "llama.cpp was built without vector units; build without RUSTFLAGS, so that .cargo/config.toml holds"
    );
    Ok(())
}
