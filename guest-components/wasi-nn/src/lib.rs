//! wasi-nn for components: load a granted model by name, generate, stream.
//!
//! ```no_run
//! use bobbin_wasi_nn::{Graph, Options};
//!
//! # fn main() -> Result<(), bobbin_wasi_nn::Error> {
//! let mut session = Graph::load("story")?.session()?;
//! let options = Options::new().with("max_tokens", 80);
//! let answer = session.generate("Once upon a time", &options)?;
//! println!("{} ({} tokens, {})", answer.text, answer.usage.output_tokens, answer.bundle);
//! for piece in session.stream(" The next day", &options)? {
//!     print!("{}", piece?.text);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Everything goes through the standard interface `wasi:nn@0.2.0-rc-2024-10-28`; [`raw`] is that interface as
//! generated. Options are passed on as JSON and checked by the host, so a component needs no change when the
//! host learns a new one. [`catalog::list`] says which models there are. `compute` is a blocking import: while it runs, nothing else in this component does.
//!
//! With the feature `http` (on by default) there are helpers for spin-sdk 7: [`http`] for requests, JSON
//! answers and errors, and [`sse::respond`] for streamed ones. Without it the crate links beside spin-sdk 5.

// The examples that component authors copy from are compiled with the crate's tests, but for the one whose macro wants to
// stand in a crate's root; guest-components/storyteller is that one.
#[cfg(all(doctest, feature = "http"))]
#[doc = include_str!("../../../docs/wasi-nn.md")]
struct Contract;

mod answer;
pub mod catalog;
mod error;
mod graph;
#[cfg(feature = "http")]
pub mod http;
mod options;
mod prompt;
pub mod sse;

pub use answer::{Answer, Embeddings, Finish, Piece, ToolCall, Usage};
pub use error::{Error, ErrorCode};
pub use graph::{Graph, Pieces, Session};
pub use options::Options;
pub use prompt::Prompt;

/// The generated bindings, for what the typed calls of this crate do not cover.
pub mod raw {
    pub use crate::bindings::wasi::nn::{errors, graph, inference, tensor};
}

#[allow(missing_docs, unsafe_code, unreachable_pub, unused_qualifications, clippy::all)]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../host/wit/deps/wasi-nn@0.2.0-rc-2024-10-28", "../../host/wit/bobbin-models@0.1.0"],
        inline: "package bobbin:guest;
            world models { include wasi:nn/ml@0.2.0-rc-2024-10-28; import bobbin:models/catalog@0.1.0; }",
        world: "bobbin:guest/models",
        generate_all,
    });
}
