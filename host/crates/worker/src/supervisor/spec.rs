//! From a verified bundle to what a worker is told: the only way to a worker.

use super::cpu::useful_threads;
use crate::size::Shape;
use bobbin_bundle::gguf::GgufSummary;
use bobbin_bundle::{Digest, Kind, Manifest, Role, VerifiedBundle};
use bobbin_inference::wire::{LoadSpec, Offload, Reference};
use bobbin_inference::{GraphInfo, GraphKind, InferenceError, OptionsPatch};
use std::num::TryFromIntError;
use std::path::Path;

/// What a worker is started with. There is no other way to make one than from a [`VerifiedBundle`], so no
/// process ever reads weights that were not verified.
#[derive(Debug, Clone)]
pub struct WorkerSpec {
    info: GraphInfo,
    load: LoadSpec,
    weights_bytes: u64,
    need_bytes: u64,
    most_threads: u32,
}

/// What the supervisor makes of a specification.
pub(super) struct Parts {
    /// What is known of the graph.
    pub(super) info: GraphInfo,
    /// What the worker is told.
    pub(super) load: LoadSpec,
    /// The size of its weights.
    pub(super) weights_bytes: u64,
    /// The most compute threads that it ever gets.
    pub(super) most_threads: u32,
}

/// A sound bundle that no worker can serve.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// Its kind is not served.
    #[error("bundle {bundle} is of the kind \"{kind}\", which no worker serves; use one that generates or embeds")]
    Kind {
        /// `name@version`.
        bundle: String,
        /// The kind.
        kind: Kind,
    },
    /// Its default options are not those of this host.
    #[error("bundle {bundle} has default options that this host does not know: {source}; publish a corrected version")]
    UnknownDefaults {
        /// `name@version`.
        bundle: String,
        /// Which.
        source: serde_json::Error,
    },
    /// A default option is out of its range.
    #[error("bundle {bundle} has default options out of range: {source}; publish a corrected version")]
    Defaults {
        /// `name@version`.
        bundle: String,
        /// Which.
        source: InferenceError,
    },
    /// Its fingerprint names a token that no vocabulary has.
    #[error("bundle {bundle} has the token {token} in its fingerprint: {source}; publish a corrected version")]
    Token {
        /// `name@version`.
        bundle: String,
        /// The token.
        token: u32,
        /// Why.
        source: TryFromIntError,
    },
}

/// The files of a bundle that a worker reads.
struct Files<'a> {
    weights: &'a Path,
    tokenizer: Option<&'a Path>,
    template: Option<&'a str>,
}

impl WorkerSpec {
    /// What a worker needs to know of a bundle.
    ///
    /// # Errors
    /// When no worker can serve it.
    pub fn new(bundle: &VerifiedBundle) -> Result<Self, SpecError> {
        let files = Files { weights: bundle.weights(), tokenizer: tokenizer(bundle), template: bundle.template() };
        let spec = Self::of_verified(bundle.manifest(), bundle.digest(), &files)?;
        let Some(shape) = bundle.model().map(|model| spec.shape(model)) else { return Ok(spec) };
        let gpu = Some(Offload { layers: None, cells: shape.cells() });
        let dimensions = (spec.info.kind == GraphKind::Embed).then_some(shape.width);
        let info = GraphInfo { dimensions, ..spec.info };
        Ok(Self { info, need_bytes: shape.need(), load: LoadSpec { gpu, ..spec.load }, ..spec })
    }

    /// The same worker, which records a sequence of each text when it has loaded: what a bundle's fingerprint is made of.
    /// [`Loaded::recorded`](bobbin_inference::wire::Loaded::recorded) has them.
    #[must_use]
    pub fn recording(mut self, texts: Vec<String>) -> Self {
        self.load.record = texts;
        self
    }

    /// Bytes of memory that the worker may come to hold: weights, key-value cells, and what it computes with. An
    /// upper bound, of which it touches some only under load.
    #[must_use]
    pub fn need_bytes(&self) -> u64 {
        self.need_bytes
    }

    /// The part of [`WorkerSpec::need_bytes`] that is mapped from the weights' file.
    #[must_use]
    pub fn weights_bytes(&self) -> u64 {
        self.weights_bytes
    }

    fn shape(&self, model: &GgufSummary) -> Shape {
        // A token has at least one byte, but for those that begin a text.
        let prefix = self.load.prefix.as_ref().map_or(0, |prefix| prefix.len() + 2);
        Shape {
            weights: self.weights_bytes,
            generates: self.load.kind == GraphKind::Generate,
            context: self.load.context,
            parallel: self.load.parallel,
            prefix: u32::try_from(prefix).unwrap_or(u32::MAX),
            cell_bytes: if model.encoder_only { 0 } else { model.kv_bytes_per_token() },
            heads: model.head_count,
            head_length: model.key_length,
            width: model.embedding_length,
            vocabulary: model.vocabulary,
        }
    }

    fn of_verified(manifest: &Manifest, digest: Digest, files: &Files<'_>) -> Result<Self, SpecError> {
        let bundle = manifest.id();
        let kind = match manifest.kind {
            Kind::Generate => GraphKind::Generate,
            Kind::Embed => GraphKind::Embed,
            kind @ (Kind::Classify | Kind::Adapter) => return Err(SpecError::Kind { bundle, kind }),
        };
        let limits = manifest.limits;
        let info = GraphInfo {
            bundle: bundle.as_str().into(),
            digest: digest.to_string().into(),
            kind,
            context: limits.context,
            dimensions: None,
            defaults: defaults(manifest)?,
        };
        let load = LoadSpec {
            kind,
            weights: files.weights.to_owned(),
            tokenizer: files.tokenizer.map(Path::to_owned),
            context: limits.context,
            parallel: limits.parallel,
            // Decided when a process is started: it depends on how many are alive then.
            threads: 1,
            gpu: Some(Offload { layers: None, cells: limits.context }),
            chat_template: files.template.map(str::to_owned),
            prefix: manifest.prompt.prefix.clone(),
            warm_up: manifest.warm_up.prompts.clone(),
            fingerprint: references(manifest)?,
            tolerance: manifest.fingerprint.as_ref().map_or(0.0, |fingerprint| fingerprint.tolerance),
            record: Vec::new(),
            bundle,
        };
        let weights_bytes = manifest.weights().map_or(0, |weights| weights.size);
        // Who made the bundle may have measured it; its size is what is known of any other.
        let most_threads = limits.threads.unwrap_or_else(|| useful_threads(weights_bytes));
        Ok(Self { info, load, weights_bytes, need_bytes: weights_bytes, most_threads })
    }

    pub(super) fn into_parts(self) -> Parts {
        let Self { info, load, weights_bytes, most_threads, need_bytes: _ } = self;
        Parts { info, load, weights_bytes, most_threads }
    }

    #[cfg(test)]
    pub(super) fn of_parts(parts: Parts) -> Self {
        let Parts { info, load, weights_bytes, most_threads } = parts;
        Self { info, load, weights_bytes, need_bytes: weights_bytes, most_threads }
    }
}

/// The blob of the bundle's tokenizer, where it is one in JSON: other kinds say nothing that could be compared.
fn tokenizer(bundle: &VerifiedBundle) -> Option<&Path> {
    let first = bundle.manifest().files.iter().find(|file| file.role == Role::Tokenizer)?;
    first.path.ends_with(".json").then(|| bundle.file(Role::Tokenizer)).flatten()
}

/// The bundle's default options in the contract's own type, each in its range.
fn defaults(manifest: &Manifest) -> Result<OptionsPatch, SpecError> {
    let unknown = |source| SpecError::UnknownDefaults { bundle: manifest.id(), source };
    let json = serde_json::to_value(&manifest.defaults).map_err(unknown)?;
    let defaults: OptionsPatch = serde_json::from_value(json).map_err(unknown)?;
    OptionsPatch::default()
        .resolve(&defaults)
        .map_err(|source| SpecError::Defaults { bundle: manifest.id(), source })?;
    Ok(defaults)
}

fn references(manifest: &Manifest) -> Result<Vec<Reference>, SpecError> {
    let id = |token: &u32| {
        i32::try_from(*token).map_err(|source| SpecError::Token { bundle: manifest.id(), token: *token, source })
    };
    let sequences = manifest.fingerprint.iter().flat_map(|fingerprint| &fingerprint.sequences);
    sequences
        .map(|sequence| {
            let tokens = sequence.tokens.iter().map(id).collect::<Result<_, _>>()?;
            Ok(Reference { tokens, logprobs: sequence.logprobs.clone() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bobbin_inference::StopList;

    fn spec(kind: &str) -> Result<WorkerSpec, SpecError> {
        spec_of(&MANIFEST.replace("KIND", kind))
    }

    fn spec_of(text: &str) -> Result<WorkerSpec, SpecError> {
        let manifest = Manifest::parse(text, Path::new("bundle.toml")).unwrap();
        let files = Files {
            weights: Path::new("/blobs/weights"),
            tokenizer: Some(Path::new("/blobs/tokenizer")),
            template: Some("{{ messages }}"),
        };
        WorkerSpec::of_verified(&manifest, Digest::of(b"x"), &files)
    }

    const MANIFEST: &str = r#"
format = 1
name = "storyteller"
version = "1.2.3"
kind = "KIND"
encoding = "ggml"

[[files]]
path = "model.gguf"
role = "weights"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
size = 1000

[limits]
context = 256
parallel = 8

[defaults]
temperature = 0.7
max_tokens = 80
stop = ["THE END"]

[prompt]
prefix = "Once"

[warm_up]
prompts = ["There was"]

[fingerprint]
tolerance = 0.25

[[fingerprint.sequences]]
tokens = [1, 5, 9]
logprobs = [-0.5, -1.5]

[card]
licence = "Apache-2.0"
languages = ["en"]
base_model = "none"
data = "a story grammar"
intended_use = "stories"
limits = "no facts"
"#;

    #[test]
    fn a_manifest_becomes_what_a_worker_is_told() {
        let Parts { info, load, weights_bytes, most_threads } = spec("generate").unwrap().into_parts();
        assert_eq!((&*info.bundle, info.kind, info.context), ("storyteller@1.2.3", GraphKind::Generate, 256));
        assert_eq!(&*info.digest, Digest::of(b"x").to_string());
        let expected = OptionsPatch {
            temperature: Some(0.7),
            max_tokens: Some(80),
            stop: Some(StopList::Many(vec!["THE END".into()])),
            ..OptionsPatch::default()
        };
        assert_eq!(info.defaults, expected);
        let expected = LoadSpec {
            bundle: "storyteller@1.2.3".into(),
            kind: GraphKind::Generate,
            weights: "/blobs/weights".into(),
            tokenizer: Some("/blobs/tokenizer".into()),
            context: 256,
            parallel: 8,
            threads: 1,
            gpu: Some(Offload { layers: None, cells: 256 }),
            chat_template: Some("{{ messages }}".into()),
            prefix: Some("Once".into()),
            warm_up: vec!["There was".into()],
            fingerprint: vec![Reference { tokens: vec![1, 5, 9], logprobs: vec![-0.5, -1.5] }],
            tolerance: 0.25,
            record: Vec::new(),
        };
        assert_eq!(load, expected);
        assert_eq!((weights_bytes, most_threads), (1000, 1));
    }

    #[test]
    fn a_bundle_says_how_many_threads_compute_it_whatever_its_size() {
        let large = MANIFEST.replace("KIND", "generate").replace("size = 1000", "size = 100000000");
        for (text, most) in [(&large, 11), (&MANIFEST.replace("KIND", "generate"), 1)] {
            let threads = |text: &str| spec_of(text).unwrap().into_parts().most_threads;
            assert_eq!(threads(text), most);
            let says = text.replace("format = 1", "format = 2").replace("[limits]\n", "[limits]\nthreads = 3\n");
            assert_eq!(threads(&says), 3);
        }
    }

    #[test]
    fn a_kind_that_no_worker_serves_is_refused_by_name() {
        let error = spec("classify").unwrap_err().to_string();
        assert!(error.contains("storyteller@1.2.3") && error.contains("\"classify\""), "{error}");
    }
}
