//! Computing on a GPU, in executables that are built for one.
//!
//! Its driver is opened before the cage is closed, which happens before the file of weights is: what the driver wants of
//! the system at first, it has then.

use super::log;
use bobbin_inference::wire::{Device, Greeting, LoadSpec, Offload, Offloaded, Probe};
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::model::params::{FitError, LlamaModelParams};
use llama_cpp_2::{LlamaBackendDeviceType, list_llama_ggml_backend_devices, max_devices};
use std::ffi::CString;
use std::num::NonZeroU32;
use std::os::unix::ffi::OsStrExt;
use std::pin::Pin;

/// Whether this executable is built for a GPU.
pub(super) const BUILT: bool = cfg!(any(feature = "cuda", feature = "vulkan"));
/// Memory of each GPU that is left alone, in bytes: buffers that grow, and whoever else draws on it.
const MARGIN: usize = 512 << 20;

/// llama.cpp's number for a log of errors alone.
const ERRORS: u32 = 4;

/// The GPUs that can be computed on. The first look opens their driver, which takes a moment.
pub(super) fn devices() -> Vec<Device> {
    if !BUILT {
        return Vec::new();
    }
    let gpu = |kind| matches!(kind, LlamaBackendDeviceType::Gpu | LlamaBackendDeviceType::IntegratedGpu);
    let all = list_llama_ggml_backend_devices().into_iter().filter(|device| gpu(device.device_type));
    let bytes = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    all.map(|device| Device {
        name: device.name,
        description: device.description,
        memory_bytes: bytes(device.memory_total),
        free_bytes: bytes(device.memory_free),
    })
    .collect()
}

/// What the host asks an executable before it uses it.
pub(super) fn probe() -> Probe {
    Probe { greeting: Greeting::ours(), devices: devices() }
}

/// Says which layers of a model are computed where.
///
/// # Errors
/// When there is no GPU, or nothing of the model fits there: the processor does better alone.
pub(super) fn divide(spec: &LoadSpec) -> Result<Pin<Box<LlamaModelParams>>, String> {
    let Some(Offload { layers, cells }) = spec.gpu.filter(|_| BUILT) else {
        return Ok(Box::pin(LlamaModelParams::default().with_n_gpu_layers(0)));
    };
    if devices().is_empty() {
        return Err(format!("there is no GPU for {}: {}", spec.bundle, log::last_lines()));
    }
    if let Some(layers) = layers {
        return Ok(Box::pin(LlamaModelParams::default().with_n_gpu_layers(layers)));
    }
    fit(spec, cells)
}

fn fit(spec: &LoadSpec, cells: u32) -> Result<Pin<Box<LlamaModelParams>>, String> {
    let path = CString::new(spec.weights.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    let mut params = Box::pin(LlamaModelParams::default());
    let mut context = LlamaContextParams::default().with_n_ctx(NonZeroU32::new(cells.max(1))).with_kv_unified(true);
    let mut margins = vec![MARGIN; max_devices()];
    match params.as_mut().fit_params(&path, &mut context, &mut margins, cells, ERRORS) {
        Ok(_) => Ok(params),
        Err(FitError::Failure) => Err(format!(
            "nothing of {} fits into the memory of the GPU, of which {} MiB are left alone",
            spec.bundle,
            MARGIN >> 20
        )),
        Err(FitError::Error) => {
            Err(format!("llama.cpp cannot fit {} into the GPU's memory: {}", spec.bundle, log::last_lines()))
        }
    }
}

/// What came of it, of a model with so many layers; `None` where the processor computes all.
pub(super) fn divided(params: &LlamaModelParams, layers: u32) -> Option<Offloaded> {
    // The one that makes the logits counts too.
    let of = layers.saturating_add(1);
    let there = u32::try_from(params.n_gpu_layers()).unwrap_or(of).min(of);
    let devices: Vec<_> =
        devices().into_iter().map(|device| format!("{} ({})", device.name, device.description)).collect();
    (there > 0 && !devices.is_empty()).then(|| Offloaded { devices: devices.join(", "), layers: there, of })
}
