//! Computes: what the worker is told, whole answers, and requests that end before their answer.

use super::*;
use bobbin_inference::{Reason, Values};

#[tokio::test]
async fn a_compute_carries_its_request() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let context = limited(Duration::from_secs(60), 10_000);
    let _held = context.account.charge(1000).unwrap();
    let mut session = worker.open(Arc::clone(&context), scope(), Priority::Shadow);
    let (answer, asked) = tokio::join!(session.compute(generate(r#"{"max_tokens": 300}"#)), async {
        let asked = fake.asked().await;
        fake.piece(asked.call, "Once upon", 200, None).await;
        fake.piece(asked.call, " a time.", 300, Some(FinishReason::Length)).await;
        asked
    });
    let answer = text(answer);
    assert_eq!((answer.text.as_str(), answer.metadata.usage.output_tokens), ("Once upon a time.", 300));
    assert_eq!(asked.credit, 300);
    assert_eq!(asked.context.request, context.id.as_str());
    assert_eq!(asked.context.trace, context.trace.as_str());
    assert_eq!(asked.context.account, 9000);
    assert_eq!((asked.context.priority, asked.context.scope), (Priority::Shadow, scope()));
    assert!((1..=60_000).contains(&asked.context.remaining_ms), "{}", asked.context.remaining_ms);
    assert_eq!(asked.work, generate(r#"{"max_tokens": 300}"#));
    assert_eq!(context.account.held(), 1000);
}

#[tokio::test]
async fn text_that_cannot_fit_never_reaches_the_process() {
    let mut bench = Bench::new();
    let worker = bench.start();
    let mut fake = bench.launched().await;
    fake.greet().await;
    fake.load_spec().await;
    fake.send(FromWorker::Ready(Loaded { longest_token: Some(16), ..loaded() })).await;
    soon(worker.ready()).await.unwrap();
    let mut session = open(&worker, &context());
    let options = OptionsPatch::default().resolve(&OptionsPatch::default()).unwrap();
    let long = Work::Generate { prompt: Prompt::Text("a".repeat(1 << 20)), options };
    let refused = session.compute(long).await.unwrap_err();
    assert_eq!(refused.reason, Reason::ContextExceeded);
    assert_eq!(refused.message, "the text has at least 65536 tokens; the model's context is 256 tokens; shorten it");
    let (answer, asked) = tokio::join!(session.compute(generate("{}")), async {
        let asked = fake.asked().await;
        fake.piece(asked.call, "x", 1, Some(FinishReason::Stop)).await;
        asked
    });
    answer.unwrap();
    assert_eq!(asked.work, generate("{}"), "the first that it was asked");
}

#[tokio::test]
async fn a_session_keeps_its_name_and_every_call_has_its_own() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let mut sessions = [open(&worker, &context()), open(&worker, &context())];
    let mut names = Vec::new();
    for nth in [0, 1, 0] {
        let session = &mut sessions[nth];
        let (answer, asked) = tokio::join!(session.compute(generate("{}")), async {
            let asked = fake.asked().await;
            fake.piece(asked.call, "x", 1, Some(FinishReason::Stop)).await;
            asked
        });
        answer.unwrap();
        names.push((asked.session, asked.call));
    }
    assert_eq!(names, [(1, 1), (2, 2), (1, 3)]);
}

#[tokio::test]
async fn answers_reach_the_session_that_asked() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let (mut first, mut second) = (open(&worker, &context()), open(&worker, &context()));
    let (one, two, ()) = tokio::join!(first.compute(generate("{}")), second.compute(generate("{}")), async {
        let (one, two) = (fake.asked().await, fake.asked().await);
        fake.piece(two.call, "two", 1, Some(FinishReason::Stop)).await;
        fake.piece(one.call, "one", 1, Some(FinishReason::Stop)).await;
    });
    assert_eq!((text(one).text.as_str(), text(two).text.as_str()), ("one", "two"));
}

#[tokio::test]
async fn logits_scores_and_embeddings_come_as_such() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let mut session = open(&worker, &context());
    let usage = Usage { input_tokens: 2, ..Usage::default() };
    let values = vec![0.5, -1.0];
    let answer = Values { values: values.clone(), usage };
    for (work, output) in [
        (Work::Logits { tokens: vec![1, 2] }, Output::Logits(answer.clone())),
        (Work::Score { prompt: Prompt::Tokens(vec![1]), answer: vec![2, 3] }, Output::Scores(answer.clone())),
    ] {
        let (answer, ()) = tokio::join!(session.compute(work), async {
            let call = fake.asked().await.call;
            fake.send(FromWorker::Values { call, values: values.clone(), usage }).await;
        });
        assert_eq!(answer.unwrap(), output);
    }
    let embed = Work::Embed { texts: vec!["a".into()], dimensions: None };
    let (answer, ()) = tokio::join!(session.compute(embed), async {
        let call = fake.asked().await.call;
        fake.send(FromWorker::Embeddings { call, values: values.clone(), dimensions: 2, usage }).await;
    });
    let Output::Embeddings(embeddings) = answer.unwrap() else { panic!("expected vectors") };
    assert_eq!((embeddings.values, embeddings.dimensions), (values, 2));
    assert_eq!((embeddings.metadata.usage, &*embeddings.metadata.bundle), (usage, BUNDLE));
}

#[tokio::test]
async fn values_over_the_account_are_refused() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let context = limited(Duration::from_secs(60), 1000);
    let mut session = open(&worker, &context);
    let (answer, ()) = tokio::join!(session.compute(Work::Logits { tokens: vec![1] }), async {
        let call = fake.asked().await.call;
        fake.send(FromWorker::Values { call, values: vec![0.0; 251], usage: Usage::default() }).await;
        fake.expect(ToWorker::Cancel { call }).await;
    });
    assert_eq!(answer.unwrap_err().reason, Reason::LimitExceeded);
    assert_eq!(context.account.held(), 0);
}

#[tokio::test]
async fn an_error_of_the_worker_is_the_error_of_the_compute() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let mut session = open(&worker, &context());
    let error = InferenceError::new(Reason::ContextExceeded, "300 tokens are over the context of 256");
    let (answer, ()) = tokio::join!(session.compute(generate("{}")), async {
        let call = fake.asked().await.call;
        fake.send(FromWorker::Failed { call, error: error.clone() }).await;
    });
    assert_eq!(answer.unwrap_err(), error);
    drop(session);
    fake.expect(ToWorker::Close { session: 1 }).await;
}

#[tokio::test]
async fn a_worker_that_answers_with_another_kind_or_an_unknown_call_is_killed() {
    for unknown in [false, true] {
        let mut bench = Bench::new();
        let (worker, mut fake) = bench.started().await;
        let killed = fake.killed.clone();
        let mut session = open(&worker, &context());
        let (answer, ()) = tokio::join!(session.compute(generate("{}")), async {
            // It is asked of the next process once more.
            for at in 0..2 {
                if at > 0 {
                    fake = bench.ready(&worker).await;
                }
                let call = fake.asked().await.call + u64::from(unknown);
                fake.send(FromWorker::Values { call, values: vec![1.0], usage: Usage::default() }).await;
            }
        });
        let error = answer.unwrap_err();
        assert_eq!(error.reason, Reason::WorkerLost);
        assert!(error.message.contains("was killed, because it answered call"), "{}", error.message);
        assert!(killed.is_cancelled());
    }
}

#[tokio::test]
async fn dropping_a_compute_cancels_it() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let context = context();
    let mut session = open(&worker, &context);
    let mut compute = session.compute(generate("{}"));
    assert!(futures::poll!(&mut compute).is_pending());
    let Asked { call, .. } = fake.asked().await;
    fake.piece(call, "half an answer", 3, None).await;
    fake.read_by(&worker).await;
    assert!(context.account.held() > 0);
    drop(compute);
    fake.expect(ToWorker::Cancel { call }).await;
    assert_eq!(context.account.held(), 0);
    drop(session);
    fake.expect(ToWorker::Close { session: 1 }).await;
}

#[tokio::test]
async fn a_session_that_never_computed_says_nothing() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    drop(open(&worker, &context()));
    let mut session = open(&worker, &context());
    let (_, asked) = tokio::join!(session.compute(generate("{}")), async {
        let asked = fake.asked().await;
        fake.piece(asked.call, "x", 1, Some(FinishReason::Stop)).await;
        asked
    });
    assert_eq!(asked.session, 1);
}

#[tokio::test]
async fn a_request_that_is_cancelled_ends_its_compute() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let context = context();
    let mut session = open(&worker, &context);
    let (answer, ()) = tokio::join!(session.compute(generate("{}")), async {
        let call = fake.asked().await.call;
        context.end(Cause::ClientGone);
        fake.expect(ToWorker::Cancel { call }).await;
    });
    assert_eq!(answer.unwrap_err().reason, Reason::Cancelled);
}

#[tokio::test]
async fn a_compute_over_the_soft_deadline_is_a_timeout() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let mut session = open(&worker, &limited(Duration::from_millis(20), 1 << 20));
    let (answer, ()) = tokio::join!(session.compute(generate("{}")), async {
        let call = fake.asked().await.call;
        fake.expect(ToWorker::Cancel { call }).await;
    });
    let error = answer.unwrap_err();
    assert_eq!((error.reason, error.retryable), (Reason::DeadlineExceeded, true));
    assert!(error.message.contains(BUNDLE), "{}", error.message);
}

#[tokio::test]
async fn an_input_over_the_account_or_the_frame_is_not_sent() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let long = |bytes| Work::Embed { texts: vec!["x".repeat(bytes)], dimensions: None };
    let mut small = open(&worker, &limited(Duration::from_secs(60), 1000));
    assert_eq!(small.compute(long(1001)).await.unwrap_err().reason, Reason::LimitExceeded);
    let mut large = open(&worker, &limited(Duration::from_secs(60), u64::MAX));
    let error = large.compute(long(17 << 20)).await.unwrap_err();
    assert_eq!(error.reason, Reason::LimitExceeded);
    assert!(error.message.contains("at most 16777216"), "{}", error.message);
    drop((small, large));
    // The first thing that the worker hears is the next good compute.
    let mut session = open(&worker, &context());
    streaming(&mut fake, session.as_mut()).await;
}

#[tokio::test]
async fn a_worker_that_does_not_read_makes_the_host_refuse_and_not_grow() {
    let mut bench = Bench::new();
    let (worker, fake) = bench.started().await;
    let context = limited(Duration::from_secs(60), u64::MAX);
    let mut waiting = Vec::new();
    let refused = loop {
        let mut session = open(&worker, &context);
        let work = Work::Embed { texts: vec!["x".repeat(15 << 20)], dimensions: None };
        let mut compute = Box::pin(async move { session.compute(work).await });
        match futures::poll!(&mut compute) {
            std::task::Poll::Pending => waiting.push(compute),
            std::task::Poll::Ready(refused) => break refused,
        }
    };
    assert_eq!(refused.unwrap_err().reason, Reason::QueueFull);
    assert_eq!(waiting.len(), 4);
    assert!(context.account.held() >= 4 * (15 << 20));
    // Cancelling does not block on the full queue either.
    drop(waiting);
    fake.die("ended by SIGKILL");
    state(&worker, |state| !matches!(state, WorkerState::Ready { .. })).await;
    until(|| context.account.held() == 0).await;
}
