//! Streamed answers: pieces, credit, and readers that stop reading.

use super::*;
use bobbin_inference::wire::CallId;
use bobbin_inference::{Reason, TokenLogprob, ToolCall};

#[tokio::test]
async fn all_that_is_ready_comes_as_one_part_and_gives_its_credit_back() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let context = context();
    let mut session = open(&worker, &context);
    let Asked { call, credit, .. } = streaming(&mut fake, session.as_mut()).await;
    assert_eq!(credit, 64);
    fake.piece(call, " upon", 2, None).await;
    fake.piece(call, " a", 3, None).await;
    fake.piece(call, " time", 4, None).await;
    fake.read_by(&worker).await;
    assert_eq!(context.account.held(), " upon a time".len() as u64);
    let part = text(soon(session.next()).await);
    assert_eq!((part.text.as_str(), part.metadata.usage.output_tokens), (" upon a time", 4));
    assert_eq!(part.metadata.finish_reason, None);
    assert_eq!(context.account.held(), 0);
    fake.expect(ToWorker::Credit { call, tokens: 3 }).await;
}

#[tokio::test]
async fn the_last_part_has_the_finish_reason_and_names_the_version() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let mut session = open(&worker, &context());
    let Asked { call, .. } = streaming(&mut fake, session.as_mut()).await;
    fake.piece(call, ".", 2, Some(FinishReason::Stop)).await;
    let last = text(soon(session.next()).await);
    assert_eq!((last.text.as_str(), last.metadata.finish_reason), (".", Some(FinishReason::Stop)));
    assert_eq!((&*last.metadata.bundle, &*last.metadata.digest), (BUNDLE, "sha256:00"));
    assert_eq!(last.metadata.logprobs, None);
    assert_eq!(soon(session.next()).await.unwrap_err().reason, Reason::InvalidState);
    drop(session);
    fake.expect(ToWorker::Close { session: 1 }).await;
}

#[tokio::test]
async fn a_finish_without_text_ends_the_stream() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let mut session = open(&worker, &context());
    let Asked { call, .. } = streaming(&mut fake, session.as_mut()).await;
    fake.piece(call, "", 2, Some(FinishReason::Length)).await;
    let last = text(soon(session.next()).await);
    assert_eq!((last.text.as_str(), last.metadata.finish_reason), ("", Some(FinishReason::Length)));
}

#[tokio::test]
async fn text_that_is_held_back_is_waited_for_and_does_not_stall_the_worker() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let mut session = open(&worker, &context());
    let Asked { call, .. } = streaming(&mut fake, session.as_mut()).await;
    let (part, ()) = tokio::join!(soon(session.next()), async {
        let mut credit = 0;
        for tokens in 2..=65 {
            fake.piece(call, "", tokens, None).await;
        }
        while credit < 64 {
            let Some(ToWorker::Credit { tokens, .. }) = fake.receive().await else { panic!("expected credit") };
            credit += tokens;
        }
        fake.piece(call, "</not the end>", 66, None).await;
    });
    let part = text(part);
    assert_eq!((part.text.as_str(), part.metadata.usage.output_tokens), ("</not the end>", 66));
    fake.expect(ToWorker::Credit { call, tokens: 1 }).await;
}

#[tokio::test]
async fn logprobs_come_with_their_part_and_are_charged() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let context = context();
    let mut session = open(&worker, &context);
    let logprob = |id| TokenLogprob { id, bytes: b"x".to_vec(), logprob: -0.5, top: vec![(9, b"y".to_vec(), -1.0)] };
    let usage = |output_tokens| Usage { output_tokens, ..Usage::default() };
    let (part, call) = tokio::join!(session.compute(generate(r#"{"stream": true, "logprobs": true}"#)), async {
        let call = fake.asked().await.call;
        // A token whose text is held back, then one that brings it.
        let message = |id, text: &str| message_of(call, text, usage(id as u32), vec![logprob(id)]);
        fake.send(message(1, "")).await;
        fake.send(message(2, "é")).await;
        call
    });
    let part = text(part);
    assert_eq!(part.metadata.logprobs.unwrap(), [logprob(1), logprob(2)]);
    let mut credit = 0;
    while credit < 2 {
        let Some(ToWorker::Credit { tokens, .. }) = fake.receive().await else { panic!("expected credit") };
        credit += tokens;
    }
    fake.send(message_of(call, "z", usage(3), vec![logprob(3)])).await;
    fake.read_by(&worker).await;
    assert!(context.account.held() > size_of::<TokenLogprob>() as u64, "{}", context.account.held());
}

#[tokio::test]
async fn a_worker_that_sends_more_than_its_credit_is_killed() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let mut session = open(&worker, &context());
    let Asked { call, .. } = streaming(&mut fake, session.as_mut()).await;
    let killed = fake.killed.clone();
    fake.piece(call, "far too much", 66, None).await;
    soon(killed.cancelled()).await;
    let error = soon(session.next()).await.unwrap_err();
    assert_eq!((error.reason, error.retryable), (Reason::WorkerLost, true));
    assert!(error.message.contains("66 tokens of call 1 on a credit of 65"), "{}", error.message);
}

#[tokio::test]
async fn what_the_account_cannot_hold_fails_the_stream_and_cancels_it() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let context = limited(Duration::from_secs(60), 1000);
    let mut session = open(&worker, &context);
    let Asked { call, .. } = streaming(&mut fake, session.as_mut()).await;
    fake.piece(call, &"x".repeat(1001), 2, None).await;
    fake.expect(ToWorker::Cancel { call }).await;
    assert_eq!(context.account.held(), 0);
    let error = soon(session.next()).await.unwrap_err();
    assert_eq!(error.reason, Reason::LimitExceeded);
    // What was under way when it was cancelled is ignored, and the session can be used again.
    fake.piece(call, "late", 3, None).await;
    let again = streaming(&mut fake, session.as_mut()).await;
    assert_eq!(again.session, 1);
}

#[tokio::test]
async fn dropping_the_wait_for_a_part_cancels_the_answer_and_keeps_the_session() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let context = context();
    let mut session = open(&worker, &context);
    let Asked { call, .. } = streaming(&mut fake, session.as_mut()).await;
    let mut next = session.next();
    assert!(futures::poll!(&mut next).is_pending());
    drop(next);
    fake.expect(ToWorker::Cancel { call }).await;
    assert_eq!(soon(session.next()).await.unwrap_err().reason, Reason::InvalidState);
    let again = streaming(&mut fake, session.as_mut()).await;
    assert_eq!((again.session, again.call), (1, 2));
}

#[tokio::test]
async fn a_second_compute_while_a_stream_is_open_is_refused_and_the_stream_goes_on() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let mut session = open(&worker, &context());
    let Asked { call, .. } = streaming(&mut fake, session.as_mut()).await;
    assert_eq!(session.compute(stream()).await.unwrap_err().reason, Reason::InvalidState);
    fake.piece(call, " upon", 2, None).await;
    assert_eq!(text(soon(session.next()).await).text, " upon");
}

#[tokio::test]
async fn dropping_a_session_cancels_its_stream_and_closes_it() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let context = context();
    let mut session = open(&worker, &context);
    let Asked { call, .. } = streaming(&mut fake, session.as_mut()).await;
    fake.piece(call, "never read", 2, None).await;
    fake.read_by(&worker).await;
    drop(session);
    fake.expect(ToWorker::Cancel { call }).await;
    fake.expect(ToWorker::Close { session: 1 }).await;
    assert_eq!(context.account.held(), 0);
}

#[tokio::test]
async fn a_stream_ends_with_its_worker() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let mut session = open(&worker, &context());
    streaming(&mut fake, session.as_mut()).await;
    fake.die("ended by SIGKILL; last words: out of memory");
    let error = soon(session.next()).await.unwrap_err();
    assert_eq!((error.reason, error.retryable), (Reason::WorkerLost, true));
    let expected = "the worker for storyteller@1.0.0 ended by SIGKILL; what it was computing is lost";
    assert!(error.message.starts_with(expected), "{}", error.message);
    // Its history is gone, so it stays lost even when another process serves.
    let mut fake = bench.ready(&worker).await;
    assert_eq!(session.compute(stream()).await.unwrap_err().reason, Reason::WorkerLost);
    drop(session);
    let mut other = open(&worker, &context());
    streaming(&mut fake, other.as_mut()).await;
}

#[tokio::test]
async fn a_compute_that_has_returned_nothing_is_replayed_by_the_next_process() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let mut session = open(&worker, &context());
    let (answer, ()) = tokio::join!(session.compute(stream()), async {
        let first = fake.asked().await;
        fake.die("ended by SIGKILL");
        let mut fake = bench.ready(&worker).await;
        let again = fake.asked().await;
        assert_eq!((again.work, again.credit), (first.work, first.credit));
        fake.piece(again.call, "Once", 1, None).await;
    });
    assert_eq!(text(answer).text, "Once");
    assert_eq!(worker.restarts(), 1);
}

#[tokio::test]
async fn a_compute_is_replayed_once() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let mut session = open(&worker, &context());
    let (answer, ()) = tokio::join!(session.compute(stream()), async {
        fake.asked().await;
        fake.die("ended by SIGKILL");
        let mut fake = bench.ready(&worker).await;
        fake.asked().await;
        fake.die("ended by SIGSEGV");
    });
    let error = answer.unwrap_err();
    assert_eq!(error.reason, Reason::WorkerLost);
    assert!(error.message.contains("ended by SIGSEGV"), "{}", error.message);
}

#[tokio::test]
async fn a_compute_that_goes_on_from_an_earlier_one_is_not_replayed() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let mut session = open(&worker, &context());
    let Asked { call, .. } = streaming(&mut fake, session.as_mut()).await;
    fake.piece(call, " upon", 2, Some(FinishReason::Length)).await;
    soon(session.next()).await.unwrap();
    let (answer, ()) = tokio::join!(session.compute(stream()), async {
        fake.asked().await;
        fake.die("ended by SIGKILL");
    });
    assert_eq!(answer.unwrap_err().reason, Reason::WorkerLost);
}

#[tokio::test]
async fn calls_of_tools_come_with_the_part_that_ends_the_answer_and_are_charged_until_then() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let context = context();
    let mut session = open(&worker, &context);
    let Asked { call, .. } = streaming(&mut fake, session.as_mut()).await;
    let made = ToolCall { id: "call_1".into(), name: "f".into(), arguments: "{}".into() };
    let last = FromWorker::Piece {
        call,
        text: String::new(),
        usage: Usage { output_tokens: 2, ..Usage::default() },
        logprobs: Vec::new(),
        tool_calls: vec![made.clone()],
        finish: Some(FinishReason::ToolCalls),
    };
    fake.send(last).await;
    fake.read_by(&worker).await;
    assert_eq!(context.account.held(), made.bytes() as u64);
    let part = text(soon(session.next()).await);
    assert_eq!((part.metadata.finish_reason, part.metadata.tool_calls), (Some(FinishReason::ToolCalls), vec![made]));
    assert_eq!(context.account.held(), 0);
}

/// A piece in the middle of an answer.
fn message_of(call: CallId, text: &str, usage: Usage, logprobs: Vec<TokenLogprob>) -> FromWorker {
    FromWorker::Piece { call, text: text.into(), usage, logprobs, tool_calls: Vec::new(), finish: None }
}
