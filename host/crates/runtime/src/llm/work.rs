//! From Spin's terms to a piece of work, and back. Pure.

use bobbin_inference::{
    Embeddings, ErrorKind, GraphInfo, GraphKind, InferenceError, OptionsPatch, OverAccount, Prompt, Reason, Work,
};

/// Spin's inferencing parameters. Those that a component does not give are Spin's, not the bundle's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Params {
    pub(super) max_tokens: u32,
    pub(super) repeat_penalty: f32,
    pub(super) repeat_penalty_last_n: u32,
    pub(super) temperature: f32,
    pub(super) top_k: u32,
    pub(super) top_p: f32,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            max_tokens: 100,
            repeat_penalty: 1.1,
            repeat_penalty_last_n: 64,
            temperature: 0.8,
            top_k: 40,
            top_p: 0.9,
        }
    }
}

/// The cases of Spin's error.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// The model cannot do this.
    NotSupported,
    /// The same call may succeed later, or never: it is not the component's fault.
    Runtime(String),
    /// What the component passed is wrong, or the model is not granted to it.
    Input(String),
}

impl Failed {
    /// Unknown and ungranted models look the same, as in Spin: the inventory stays hidden.
    /// `restricted`: the request's key is for some models alone.
    pub(super) fn not_granted(model: &str, restricted: bool) -> Self {
        let model = format!("{model:.100}");
        if restricted {
            return Self::Input(format!("the component does not have access to the model '{model}' with this key"));
        }
        Self::Input(format!(
            "the component does not have access to the model '{model}'; add '{model}' to its ai_models in spin.toml"
        ))
    }
}

/// The one place that decides Spin's case for the guest.
impl From<InferenceError> for Failed {
    fn from(error: InferenceError) -> Self {
        match error.kind {
            ErrorKind::InvalidArgument | ErrorKind::TooLarge | ErrorKind::NotFound => Self::Input(error.message),
            ErrorKind::UnsupportedOperation => Self::NotSupported,
            ErrorKind::InvalidEncoding
            | ErrorKind::Timeout
            | ErrorKind::RuntimeError
            | ErrorKind::Security
            | ErrorKind::Unknown => Self::Runtime(error.message),
        }
    }
}

impl From<OverAccount> for Failed {
    fn from(error: OverAccount) -> Self {
        Self::Input(error.to_string())
    }
}

pub(super) fn infer(prompt: String, params: Params, graph: &GraphInfo) -> Result<Work, InferenceError> {
    expect(graph, GraphKind::Generate)?;
    let options = OptionsPatch {
        max_tokens: Some(params.max_tokens),
        repeat_penalty: Some(params.repeat_penalty),
        repeat_last_n: Some(i32::try_from(params.repeat_penalty_last_n).unwrap_or(i32::MAX)),
        temperature: Some(params.temperature),
        top_k: Some(params.top_k),
        top_p: Some(params.top_p),
        ..OptionsPatch::default()
    };
    Ok(Work::Generate { prompt: Prompt::Text(prompt), options: options.resolve(&graph.defaults)? })
}

pub(super) fn embed(texts: Vec<String>, graph: &GraphInfo) -> Result<Work, InferenceError> {
    expect(graph, GraphKind::Embed)?;
    Ok(Work::Embed { texts, dimensions: None })
}

fn expect(graph: &GraphInfo, kind: GraphKind) -> Result<(), InferenceError> {
    if graph.kind == kind {
        return Ok(());
    }
    let what = match graph.kind {
        GraphKind::Generate => "generates text",
        GraphKind::Embed => "embeds text",
    };
    Err(InferenceError::new(Reason::UnsupportedByModel, format!("{} {what}", graph.bundle)))
}

/// One vector for each text.
pub(super) fn rows(embeddings: &Embeddings) -> Vec<Vec<f32>> {
    match usize::try_from(embeddings.dimensions) {
        Ok(width) if width > 0 => embeddings.values.chunks(width).map(<[f32]>::to_vec).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bobbin_inference::{Metadata, StopList, Usage};

    fn graph(kind: GraphKind) -> GraphInfo {
        let defaults =
            OptionsPatch { temperature: Some(0.1), stop: Some(StopList::One("END".into())), ..OptionsPatch::default() };
        let (bundle, digest) = ("s@1.0.0".into(), "sha256:0".into());
        GraphInfo { bundle, digest, kind, context: 256, dimensions: None, defaults }
    }

    #[test]
    fn spins_parameters_win_over_the_bundles_and_what_spin_does_not_know_is_the_bundles() {
        let Work::Generate { prompt, options } =
            infer("Once".into(), Params::default(), &graph(GraphKind::Generate)).unwrap()
        else {
            panic!("it generates")
        };
        assert_eq!(prompt, Prompt::Text("Once".into()));
        let sampling = options.sampling;
        assert_eq!((options.max_tokens, sampling.top_k, sampling.repeat_last_n), (100, 40, 64));
        assert_eq!((sampling.temperature, sampling.top_p, sampling.repeat_penalty), (0.8, 0.9, 1.1));
        assert_eq!(options.stop, ["END"]);
    }

    #[test]
    fn parameters_out_of_their_range_are_the_components_mistake() {
        for params in [
            Params { max_tokens: 0, ..Params::default() },
            Params { temperature: f32::NAN, ..Params::default() },
            Params { top_p: -1.0, ..Params::default() },
        ] {
            let error = infer("Once".into(), params, &graph(GraphKind::Generate)).unwrap_err();
            assert!(matches!(Failed::from(error), Failed::Input(_)), "{params:?}");
        }
        let whole_context = Params { repeat_penalty_last_n: u32::MAX, ..Params::default() };
        assert!(infer("Once".into(), whole_context, &graph(GraphKind::Generate)).is_ok());
    }

    #[test]
    fn a_model_of_the_other_kind_is_not_supported() {
        let embedder = infer("Once".into(), Params::default(), &graph(GraphKind::Embed)).unwrap_err();
        assert_eq!(Failed::from(embedder), Failed::NotSupported);
        let generator = embed(vec!["a".into()], &graph(GraphKind::Generate)).unwrap_err();
        assert_eq!(Failed::from(generator), Failed::NotSupported);
    }

    #[test]
    fn each_reason_has_one_of_spins_cases() {
        for (reason, input) in [
            (Reason::ContextExceeded, true),
            (Reason::InvalidOption, true),
            (Reason::DeadlineExceeded, false),
            (Reason::WorkerLost, false),
        ] {
            let failed = Failed::from(InferenceError::new(reason, "why"));
            let expected = if input { Failed::Input("why".into()) } else { Failed::Runtime("why".into()) };
            assert_eq!(failed, expected);
        }
    }

    #[test]
    fn a_model_that_is_not_granted_is_named_and_cut() {
        let Failed::Input(message) = Failed::not_granted(&"x".repeat(1 << 20), false) else { panic!("it is input") };
        assert!(message.contains("ai_models") && message.len() < 400, "{message}");
    }

    #[test]
    fn vectors_are_as_long_as_the_model_makes_them() {
        let metadata = Metadata {
            usage: Usage::default(),
            finish_reason: None,
            bundle: "e@1.0.0".into(),
            digest: "sha256:0".into(),
            logprobs: None,
            tool_calls: Vec::new(),
        };
        let embeddings = Embeddings { values: vec![1.0, 2.0, 3.0, 4.0], dimensions: 2, metadata };
        assert_eq!(rows(&embeddings), [[1.0, 2.0], [3.0, 4.0]]);
    }
}
