//! The worker process, spoken to over its link as the host does, with real weights.
//!
//! The weights are optional test data beside the repository; without them the tests say so and pass, unless
//! `BOBBIN_REQUIRE_SHARED=1`.

#[cfg(test)]
mod embed;
#[cfg(test)]
mod generate;
#[cfg(test)]
mod grammar;
#[cfg(test)]
#[path = "../../../bundle/tests/support/hostile.rs"]
#[allow(dead_code, reason = "the preflight's fuzz target uses more of it")]
mod hostile;
#[cfg(test)]
mod lifetime;
#[cfg(test)]
mod load;
#[cfg(test)]
#[path = "../../../bundle/tests/support/pieces.rs"]
#[allow(dead_code, reason = "the preflight's fuzz target uses more of it")]
mod pieces;
#[cfg(test)]
mod prefix;
#[cfg(test)]
mod score;
#[cfg(test)]
mod size;
#[cfg(test)]
mod state_space;
#[cfg(test)]
mod survival;
#[cfg(test)]
mod tokenizer;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod worker;
