//! Messages of every kind, with something in every field, to start from.

use bobbin_inference::wire::{
    CallContext, FromWorker, Greeting, LoadSpec, Loaded, Offload, Offloaded, Phase, Reference, ToWorker, WorkerStats,
};
use bobbin_inference::{
    Constraint, FinishReason, GraphKind, InferenceError, Options, Priority, Prompt, Reason, Sampling, Scope,
    TokenLogprob, ToolCall, Usage, Work,
};

pub(crate) fn to_worker() -> Vec<ToWorker> {
    let load = LoadSpec {
        bundle: "storyteller@1.0.0".into(),
        kind: GraphKind::Generate,
        weights: "/state/blobs/sha256/ab".into(),
        tokenizer: None,
        gpu: Some(Offload { layers: None, cells: 512 }),
        context: 512,
        parallel: 4,
        threads: 2,
        chat_template: Some("{{ messages[0].content }}".into()),
        prefix: Some("Once".into()),
        warm_up: vec!["Once upon".into(), "a time".into()],
        fingerprint: vec![Reference { tokens: vec![1, -2, 300], logprobs: vec![-0.5, -1.25] }],
        tolerance: 0.01,
        record: vec!["The end".into()],
    };
    let chat = Prompt::Chat { messages: "[{}]".into(), tools: Some("[]".into()) };
    let mut messages = vec![
        ToWorker::Hello(greeting()),
        ToWorker::Load(load),
        ToWorker::Credit { call: u64::MAX, tokens: 16 },
        ToWorker::Cancel { call: 300 },
        ToWorker::Close { session: 7 },
        ToWorker::Ping,
        ToWorker::Threads(4),
    ];
    messages.extend(
        [
            Work::Generate { prompt: chat, options: options() },
            Work::Generate { prompt: Prompt::Text("Füchse".into()), options: options() },
            Work::Logits { tokens: vec![1, 2, 3, 128_000] },
            Work::Score { prompt: Prompt::Tokens(vec![1, 2]), answer: vec![3, 4] },
            Work::Embed { texts: vec!["one".into(), String::new(), "two".into()], dimensions: Some(64) },
        ]
        .map(|work| ToWorker::Compute { session: 1, call: 2, context: context(), credit: 8, work }),
    );
    messages
}

/// Not this build's own, so that the cases are the same for every build.
fn greeting() -> Greeting {
    Greeting { protocol: 3, build: "0.1.0-0123456789abcdef".into() }
}

fn context() -> CallContext {
    CallContext {
        request: "0190".into(),
        trace: "00-ab-cd-01".into(),
        remaining_ms: 30_000,
        account: 1 << 30,
        priority: Priority::Request,
        scope: Scope { route: "/story".into(), principal: Some("anna".into()), adapter: None },
    }
}

fn options() -> Options {
    let sampling = Sampling {
        temperature: 0.8,
        top_k: 40,
        top_p: 0.95,
        min_p: 0.05,
        repeat_penalty: 1.1,
        repeat_last_n: -1,
        presence_penalty: 0.0,
        frequency_penalty: 0.0,
        logit_bias: [(5, -100.0), (6, 1.5)].into(),
        seed: Some(42),
    };
    Options {
        max_tokens: 256,
        sampling,
        stop: vec![".".into(), "\n".into()],
        constraint: Some(Constraint::Grammar("root ::= \"a\"".into())),
        logprobs: Some(2),
        stream: true,
    }
}

pub(crate) fn from_worker() -> Vec<FromWorker> {
    let usage = Usage { input_tokens: 200, output_tokens: 3, cached_tokens: 128 };
    let top = vec![(3, b"a".to_vec(), -1.5), (-4, vec![0xff], -2.5)];
    let logprob = TokenLogprob { id: 3, bytes: b"a".to_vec(), logprob: -1.5, top };
    let stats = WorkerStats { sequences: 1, running: 1, cells: 2048, steps: 1 << 40, ..WorkerStats::default() };
    vec![
        FromWorker::Hello(greeting()),
        FromWorker::Progress(Phase::Warming),
        FromWorker::LoadFailed { message: "no such file".into() },
        FromWorker::Ready(loaded()),
        FromWorker::Piece {
            call: 2,
            text: "Füchse".into(),
            usage,
            logprobs: vec![logprob.clone(), logprob],
            tool_calls: vec![ToolCall { id: "call_1".into(), name: "f".into(), arguments: "{}".into() }],
            finish: Some(FinishReason::ToolCalls),
        },
        FromWorker::Values { call: 2, values: vec![0.5, f32::NEG_INFINITY, -1.5], usage },
        FromWorker::Embeddings { call: 2, values: vec![0.0, 1.0, 0.5, 0.25], dimensions: 2, usage },
        FromWorker::Failed { call: 2, error: InferenceError::new(Reason::QueueFull, "the queue is full") },
        FromWorker::Stats(stats),
        FromWorker::Pong,
    ]
}

pub(crate) fn loaded() -> Loaded {
    Loaded {
        vocabulary: 512,
        vocabulary_digest: "00ff".into(),
        longest_token: Some(16),
        trained_context: 512,
        cells: 2048,
        deviation: Some(0.001),
        system: "AVX2 = 1".into(),
        gpu: Some(Offloaded { devices: "CUDA0".into(), layers: 5, of: 7 }),
        cage: vec![("landlock".into(), None), ("seccomp".into(), Some("the kernel has none".into()))],
        recorded: vec![Reference { tokens: vec![1, 2], logprobs: vec![-0.25] }],
    }
}
