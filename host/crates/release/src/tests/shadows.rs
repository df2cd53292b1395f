//! What a shadow sees.

use super::fake::{Behaviour, Host, stable, tell_a_story, text};
use crate::{AgreementView, Command, Edit};
use std::sync::Arc;
use tokio::sync::Semaphore;

fn shadow(bundle: &str) -> Command {
    Command::Put(Edit { shadow: Some(Some(bundle.into())), ..Edit::default() })
}

async fn answer(host: &Host, stream: bool) {
    let (pins, request) = host.request();
    let (mut session, _) = pins.graph("story").unwrap().open(&request).unwrap();
    let mut output = session.compute(tell_a_story(stream)).await.unwrap();
    loop {
        let bobbin_inference::Output::Generated(part) = &output else { panic!("{output:?}") };
        assert_eq!(part.metadata.logprobs, None, "the guest did not ask for them");
        if text(&output).1.is_some() {
            return;
        }
        output = session.next().await.unwrap();
    }
}

async fn agreement(host: &Host, samples: u64) -> AgreementView {
    loop {
        let agreement = host.view().await.agreement.unwrap();
        if agreement.samples + agreement.failed >= samples {
            return agreement;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_shadow_scores_the_real_answer_and_nobody_notices() {
    let host = Host::start().await;
    host.change(shadow("s@1.1.0")).await.unwrap();
    answer(&host, false).await;
    answer(&host, true).await;
    let agreement = agreement(&host, 2).await;
    assert_eq!((agreement.samples, agreement.same_vocabulary), (2, Some(true)));
    // The answer's tokens had -1 each, the shadow finds -1.5.
    assert_eq!(agreement.mean_logprob_difference, Some(0.5));
    assert_eq!((agreement.same_finish, agreement.mean_length_ratio), (Some(1.0), Some(1.0)));
    let records = host.records.made.lock();
    assert!(records.iter().all(|record| &*record.bundle == "s@1.0.0"), "a shadow leaves no record of its own");
}

#[tokio::test]
async fn another_vocabulary_is_not_scored() {
    let host = Host::start().await;
    host.workshop.has("s@1.1.0", Behaviour { vocabulary: "other words".into(), ..Behaviour::default() });
    host.change(shadow("s@1.1.0")).await.unwrap();
    answer(&host, false).await;
    let agreement = agreement(&host, 1).await;
    assert_eq!((agreement.same_vocabulary, agreement.mean_logprob_difference), (Some(false), None));
    assert_eq!(agreement.mean_length_ratio, Some(1.0));
}

#[tokio::test]
async fn a_shadow_that_stands_still_delays_nobody() {
    let host = Host::start().await;
    let silent = Behaviour { answers: Arc::new(Semaphore::new(0)), ..Behaviour::default() };
    host.workshop.has("s@1.1.0", silent);
    host.change(shadow("s@1.1.0")).await.unwrap();
    for _ in 0..100 {
        answer(&host, false).await;
    }
    let agreement = host.view().await.agreement.unwrap();
    assert_eq!(agreement.samples, 0);
    assert!(agreement.dropped >= 60, "{agreement:?}");
}

#[tokio::test]
async fn a_shadow_has_a_worker_of_its_own_and_gives_it_up_when_it_becomes_stable() {
    let host = Host::start().await;
    host.change(shadow("s@1.1.0")).await.unwrap();
    assert_eq!(host.workshop.running(), ["s@1.0.0", "s@1.1.0"]);
    let view = host.change(stable("s@1.1.0")).await.unwrap();
    assert!(view.shadow.is_none());
    while host.workshop.running().len() > 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(host.serves(), "s@1.1.0");
}
