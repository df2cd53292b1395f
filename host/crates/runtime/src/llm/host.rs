//! The two versions of the interface. Their types are alike, and differ for the compiler.

use super::LlmView;
use super::work::{Failed, Params};

macro_rules! serve {
    ($($llm:ident)::+) => {
        const _: () = {
            use super::bindings::$($llm)::+ as wit;

            impl wit::Host for LlmView<'_> {
                async fn infer(
                    &mut self,
                    model: String,
                    prompt: String,
                    params: Option<wit::InferencingParams>,
                ) -> Result<wit::InferencingResult, wit::Error> {
                    let generated = self.generate(&model, prompt, params.map(Params::from)).await?;
                    let usage = wit::InferencingUsage {
                        prompt_token_count: generated.metadata.usage.input_tokens,
                        generated_token_count: generated.metadata.usage.output_tokens,
                    };
                    Ok(wit::InferencingResult { text: generated.text, usage })
                }

                async fn generate_embeddings(
                    &mut self,
                    model: String,
                    texts: Vec<String>,
                ) -> Result<wit::EmbeddingsResult, wit::Error> {
                    let (embeddings, made) = self.embed(&model, texts).await?;
                    let usage = wit::EmbeddingsUsage { prompt_token_count: made.metadata.usage.input_tokens };
                    Ok(wit::EmbeddingsResult { embeddings, usage })
                }
            }

            impl From<wit::InferencingParams> for Params {
                fn from(params: wit::InferencingParams) -> Self {
                    Self {
                        max_tokens: params.max_tokens,
                        repeat_penalty: params.repeat_penalty,
                        repeat_penalty_last_n: params.repeat_penalty_last_n_token_count,
                        temperature: params.temperature,
                        top_k: params.top_k,
                        top_p: params.top_p,
                    }
                }
            }

            impl From<Failed> for wit::Error {
                fn from(failed: Failed) -> Self {
                    match failed {
                        Failed::NotSupported => Self::ModelNotSupported,
                        Failed::Runtime(message) => Self::RuntimeError(message),
                        Failed::Input(message) => Self::InvalidInput(message),
                    }
                }
            }
        };
    };
}

serve!(unversioned::llm);
serve!(v2::llm);
