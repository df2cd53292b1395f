//! What the processor can do that inference gains from, and what of it this build uses.

/// A feature of the processor: its name as compilers write it, whether the processor has it, whether this build uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Feature {
    pub(super) name: &'static str,
    pub(super) has: bool,
    pub(super) used: bool,
}

/// One line for each feature; both macros want a literal.
macro_rules! features {
    ($detected:ident: $($name:tt),* $(,)?) => {
        vec![$(Feature {
            name: $name,
            has: std::arch::$detected!($name),
            used: cfg!(target_feature = $name),
        }),*]
    };
}

/// The features that kernels of llama.cpp, or ours, are written for.
#[cfg(target_arch = "x86_64")]
pub(super) fn features() -> Vec<Feature> {
    features!(is_x86_feature_detected:
        "avx", "avx2", "fma", "f16c", "bmi2", "avxvnni", "avx512f", "avx512bw", "avx512vl", "avx512vnni", "avx512bf16")
}

/// The features that kernels of llama.cpp are written for.
#[cfg(target_arch = "aarch64")]
pub(super) fn features() -> Vec<Feature> {
    features!(is_aarch64_feature_detected: "neon", "dotprod", "fp16", "i8mm", "bf16", "sve")
}

/// None are known.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn features() -> Vec<Feature> {
    Vec::new()
}

/// What the processor calls itself, by the kernel's account.
pub(super) fn model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.trim_start().strip_prefix(':'));
    line.map(|name| name.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_called_what_the_kernel_calls_it() {
        assert_eq!(model("processor\t: 0\nmodel name\t: AMD  EPYC\n").as_deref(), Some("AMD EPYC"));
        assert_eq!(model("processor\t: 0\n"), None);
    }

    #[test]
    fn this_build_uses_nothing_that_this_machine_lacks() {
        assert!(features().iter().all(|feature| feature.has || !feature.used), "{:?}", features());
    }
}
