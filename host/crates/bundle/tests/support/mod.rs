//! Builders for the tests: a tiny valid GGUF file that each case breaks in one place, and a bundle around it.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod bundle;
pub(crate) mod gguf;
