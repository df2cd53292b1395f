//! Model files for benchmarks.

use bobbin_synthetic::{Quant, Shape};
use std::ffi::OsString;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use crate::process::{Failure, Progress};

/// Writes a file of a shape. It has its name only once it is whole.
pub(crate) fn write(progress: &Progress, shape: &str, quant: &str, out: &Path) -> Result<(), Failure> {
    let usage =
        |error: &dyn std::error::Error| Failure::usage(error.to_string(), "see `cargo xtask synthesize --help`");
    let shape: Shape = shape.parse().map_err(|error| usage(&error))?;
    let quant: Quant = quant.parse().map_err(|error| usage(&error))?;
    progress.stage(&format!("writing {quant} noise in the shape of {} to {}", shape.name, out.display()));
    let mut part = OsString::from(out);
    part.push(".part");
    let part = Path::new(&part);
    let written = fill(part, &shape, quant).and_then(|size| {
        std::fs::rename(part, out)?;
        Ok(size)
    });
    match written {
        Ok(size) => {
            progress.stage(&format!("{size} bytes"));
            Ok(())
        }
        Err(error) => {
            // It may not be there; what counts is why it is not whole.
            let _ = std::fs::remove_file(part);
            Err(match error {
                bobbin_synthetic::Error::Io(source) => Failure::File {
                    action: "write",
                    path: out.to_owned(),
                    source,
                    next: "check the folder, its permissions and the disk's space".to_owned(),
                },
                error @ bobbin_synthetic::Error::Rows { .. } => usage(&error),
            })
        }
    }
}

fn fill(path: &Path, shape: &Shape, quant: Quant) -> Result<u64, bobbin_synthetic::Error> {
    let mut file = BufWriter::new(File::create(path)?);
    let size = bobbin_synthetic::write(&mut file, shape, quant, 1)?;
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok(size)
}
