//! Computes the build id: a digest over the sources that decide how host and worker talk and behave.
//!
//! It depends on nothing but those files, so the host and a GPU worker built from the same sources with
//! other features agree, wherever and whenever each was built.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?);
    let mut files = Vec::new();
    for room in ["src", "../worker/src"] {
        let room = here.join(room);
        println!("cargo::rerun-if-changed={}", room.display());
        collect(&room, &mut files)?;
    }
    files.sort();
    let mut digest = Fnv::new();
    for file in files {
        digest.update(file.file_name().unwrap_or_default().as_encoded_bytes());
        digest.update(&fs::read(&file)?);
    }
    println!(
        "cargo::rustc-env=BOBBIN_BUILD_ID={}-{:016x}",
        env::var("CARGO_PKG_VERSION").unwrap_or_default(),
        digest.0
    );
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// FNV-1a: the id guards against mixing builds by accident, not against an adversary.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
