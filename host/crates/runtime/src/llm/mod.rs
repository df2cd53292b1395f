//! Spin's interface for language models, `fermyon:spin/llm`, unversioned and 2.0.0: on the same releases, pins,
//! sessions and accounts as wasi-nn.
//!
//! Each call is a session of its own. It waits for its worker without holding a thread or a lock, so that any number of
//! requests infer at once, and leaves one inference record.

mod bindings;
mod host;
mod work;

use crate::nn::ENTRY_BYTES;
use crate::state::State;
use bindings::{unversioned, v2};
use bobbin_inference::{Embeddings, Generated, GraphInfo, InferenceError, Output, Reason, RequestContext, Work};
use bobbin_release::Pins;
use std::sync::Arc;
use wasmtime::component::{HasData, Linker};
use work::{Failed, Params};

/// How the names of its versions begin.
pub(crate) const INTERFACE: &str = "fermyon:spin/llm";

/// What the host functions see of the store.
pub(crate) struct LlmView<'a> {
    context: &'a Arc<RequestContext>,
    pins: &'a Pins,
}

struct HasLlm;

impl HasData for HasLlm {
    type Data<'a> = LlmView<'a>;
}

fn view(state: &mut State) -> LlmView<'_> {
    let (context, pins) = state.nn.request();
    LlmView { context, pins }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    unversioned::llm::add_to_linker::<State, HasLlm>(linker, view)?;
    v2::llm::add_to_linker::<State, HasLlm>(linker, view)
}

impl LlmView<'_> {
    async fn generate(&self, model: &str, prompt: String, params: Option<Params>) -> Result<Generated, Failed> {
        let bytes = prompt.len();
        let params = params.unwrap_or_default();
        match self.compute(model, bytes, |graph| work::infer(prompt, params, graph)).await? {
            Output::Generated(generated) => Ok(generated),
            other => Err(unexpected(&other)),
        }
    }

    async fn embed(&self, model: &str, texts: Vec<String>) -> Result<(Vec<Vec<f32>>, Embeddings), Failed> {
        let bytes = texts.iter().map(|text| text.len() + size_of::<String>()).sum();
        match self.compute(model, bytes, |graph| work::embed(texts, graph)).await? {
            Output::Embeddings(embeddings) => {
                let _copy = self.context.account.charge(size_of_val(embeddings.values.as_slice()) as u64)?;
                Ok((work::rows(&embeddings), embeddings))
            }
            other => Err(unexpected(&other)),
        }
    }

    /// One piece of work in a session of its own. What the guest passed is charged until the answer is there: the
    /// worker's copy lives as long.
    async fn compute(
        &self,
        model: &str,
        bytes: usize,
        work: impl FnOnce(&GraphInfo) -> Result<Work, InferenceError>,
    ) -> Result<Output, Failed> {
        let Some(pinned) = self.pins.graph(model) else {
            self.pins.refuse(self.context, model);
            return Err(Failed::not_granted(model, self.pins.is_restricted()));
        };
        let _charge = self.context.account.charge(ENTRY_BYTES.saturating_add(bytes as u64))?;
        let (mut session, graph) = pinned.open(self.context)?;
        let work = work(&graph)?;
        Ok(session.compute(work).await?)
    }
}

fn unexpected(output: &Output) -> Failed {
    let what = match output {
        Output::Generated(_) => "text",
        Output::Logits(_) => "logits",
        Output::Scores(_) => "scores",
        Output::Embeddings(_) => "embeddings",
    };
    InferenceError::new(Reason::Internal, format!("the worker answered with {what}, which nobody asked for")).into()
}
