//! Swaps while requests are in flight: nothing fails, nothing is cut, nobody hears two versions in one answer.

use super::{MEADOW, SEA, Story, ask, stream, streamed, tell};
use bobbin_tests::{Result, TestApp, TestHost, Theme, Voices, eventually};
use futures::future::{join, try_join_all};
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// As many as the benchmark makes.
const SWAPS: u64 = 1000;
/// Stories of each version, and stories that are open across swaps: the swaps go on until there are so many.
const ENOUGH: u64 = 64;
const CLIENTS: u64 = 16;

#[tokio::test]
async fn each_version_is_known_by_its_words() -> Result {
    let host = TestHost::stories().start().await?;
    let hear = async || {
        let stories = try_join_all((0..24).map(async |seed| tell(&host, &ask(seed)).await)).await?;
        // A short story may have no word of its theme; one with a word of the other would be a mistaken test.
        assert!(stories.iter().all(|story| story.contradiction().is_none()), "{stories:#?}");
        let heard = stories.iter().filter(|story| story.voices().theme().is_some()).count();
        assert!(heard >= 22, "only {heard} of 24 are recognised: {stories:#?}");
        Result::Ok(stories)
    };
    let meadow = hear().await?;
    host.release("story").swap_to(SEA).await?;
    let sea = hear().await?;
    assert!(meadow.iter().all(|story| story.bundle == MEADOW) && sea.iter().all(|story| story.bundle == SEA));
    // What the tests below look for would be found: a story that begins in one version and ends in the other.
    let mixed = meadow.iter().zip(&sea).filter(|(meadow, sea)| {
        let half = |text: &str| text.chars().take(text.len() / 2).collect::<String>();
        let rest = |text: &str| text.chars().skip(text.len() / 2).collect::<String>();
        Voices::of(&format!("{}{}", half(&meadow.text), rest(&sea.text))).is_mixed()
    });
    let mixed = mixed.count();
    assert!(mixed >= 12, "only {mixed} of 24 mixtures are recognised");
    Ok(())
}

#[tokio::test]
async fn a_thousand_swaps_under_load_cut_nothing_and_mix_nothing() -> Result {
    let host = TestHost::stories().start().await?;
    let release = host.release("story");
    // Both are loaded from here on: the one that does not serve is kept warm.
    release.swap_to(SEA).await?;
    let (first, done, swapped) = (release.generation().await?, AtomicBool::new(false), AtomicU64::new(0));
    let [across, meadow, sea] = [(); 3].map(|()| AtomicU64::new(0));
    // The load is one, the swaps meet it, and both versions are there: how many stories that takes is no matter of speed.
    let enough = || [&across, &meadow, &sea].iter().all(|count| count.load(Ordering::Relaxed) >= ENOUGH);
    let client = async |client: u64| {
        let mut stories = Vec::new();
        while !done.load(Ordering::Relaxed) {
            let before = swapped.load(Ordering::Relaxed);
            let story = stream(&host, &ask(client * 1000 + stories.len() as u64)).await?;
            if swapped.load(Ordering::Relaxed) - before >= 2 {
                across.fetch_add(1, Ordering::Relaxed);
            }
            match story.voices().theme() {
                Some(Theme::Meadow) => meadow.fetch_add(1, Ordering::Relaxed),
                Some(Theme::Sea) => sea.fetch_add(1, Ordering::Relaxed),
                None => 0,
            };
            stories.push(story);
        }
        Result::Ok(stories)
    };
    let swaps = async {
        let mut swap = 0;
        while swap < SWAPS || !enough() {
            let stable = if swap % 2 == 0 { MEADOW } else { SEA };
            let answer = release.put(&json!({"expected_generation": first + swap, "stable": stable})).await?;
            anyhow::ensure!(answer.status() == 200, "swap {swap}: {}", answer.text());
            swap += 1;
            swapped.store(swap, Ordering::Relaxed);
        }
        Result::Ok(swap)
    };
    let swaps = async {
        let result = swaps.await;
        done.store(true, Ordering::Relaxed);
        result
    };
    let (clients, swaps) = join(try_join_all((0..CLIENTS).map(client)), swaps).await;
    let stories: Vec<Story> = clients?.into_iter().flatten().collect();
    assert_eq!(release.generation().await?, first + swaps?);
    let contradictions: Vec<_> = stories.iter().filter_map(Story::contradiction).collect();
    assert!(contradictions.is_empty(), "{} of {}: {contradictions:#?}", contradictions.len(), stories.len());
    let short: Vec<_> = stories.iter().filter(|story| story.tokens < 60).collect();
    assert!(short.len() * 10 < stories.len(), "too short to be judged: {short:#?}");
    println!("{} stories, {across:?} of them open across swaps; {meadow:?} and {sea:?} by theme", stories.len());
    Ok(())
}

#[tokio::test]
async fn a_stream_that_is_open_across_several_swaps_ends_on_its_version() -> Result {
    let app = TestApp::fixtures("")?;
    let host = TestHost::of(&app.manifest()).start().await?;
    // Its events are so heavy that they wait for their reader: the story cannot end before the swaps.
    let release = host.release("http:/f3/...:hostile:story");
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 150, "temperature": 0});
    let reader = host.read_slowly("/f3/pad-stream", &ask).await?;
    for swap in 0..5 {
        let shown = release.swap_to(if swap % 2 == 0 { SEA } else { MEADOW }).await?;
        assert_eq!(shown["generation"], swap + 2);
    }
    assert_eq!(release.show().await?["stable"]["bundle"], SEA);
    let answer = reader.finish().await;
    let header = answer.header("bobbin-bundle").unwrap_or_default().to_owned();
    let story = streamed(header, &answer.events)?;
    assert_eq!((story.bundle.as_str(), story.contradiction()), (MEADOW, None));
    assert_eq!(story.voices().theme(), Some(Theme::Meadow), "{}", story.text);
    Ok(())
}

#[tokio::test]
async fn swaps_between_versions_that_have_to_be_loaded_cut_nothing_either() -> Result {
    const LOADS: u64 = 12;
    let host = TestHost::stories().start().await?;
    let release = host.release("story");
    release.set(json!({"keep_warm_seconds": 0})).await?;
    // Whether the meadow and the sea have told somebody a story.
    let (done, told) = (AtomicBool::new(false), [false, false].map(AtomicBool::new));
    let told = |bundle: &str| if bundle == SEA { &told[1] } else { &told[0] };
    let client = async |client: u64| {
        let mut stories = Vec::new();
        while !done.load(Ordering::Relaxed) {
            let ask = ask(client * 1000 + stories.len() as u64);
            // Whole answers too: they are a different way through the host.
            stories.push(if client.is_multiple_of(2) { stream(&host, &ask).await? } else { tell(&host, &ask).await? });
            stories.iter().rev().take(1).for_each(|story| told(&story.header).store(true, Ordering::Relaxed));
        }
        Result::Ok(stories)
    };
    let swaps = async {
        let mut result = Ok(());
        for swap in 0..LOADS {
            let bundle = if swap % 2 == 0 { SEA } else { MEADOW };
            let swapped = async {
                release.swap_to(bundle).await?;
                // Whoever asks after the answer to a swap asks the new version; and the old one may end meanwhile.
                let story = tell(&host, &ask(swap)).await?;
                anyhow::ensure!(story.header == bundle, "after a swap to {bundle}: {story:?}");
                // However fast versions come and go, each tells somebody's story.
                eventually(async || Ok(told(bundle).load(Ordering::Relaxed).then_some(()))).await
            };
            result = result.and(swapped.await);
        }
        done.store(true, Ordering::Relaxed);
        result
    };
    let (clients, swaps) = join(try_join_all((0..8).map(client)), swaps).await;
    swaps?;
    let stories: Vec<Story> = clients?.into_iter().flatten().collect();
    let contradictions: Vec<_> = stories.iter().filter_map(Story::contradiction).collect();
    assert!(contradictions.is_empty(), "{contradictions:#?}");
    for bundle in [MEADOW, SEA] {
        assert!(stories.iter().any(|story| story.header == bundle), "{bundle} told none of {}", stories.len());
    }
    assert_eq!(host.workers()?, host.workers_of(MEADOW)?);
    Ok(())
}

#[tokio::test]
async fn a_swap_of_one_release_leaves_the_others_as_they_are() -> Result {
    let host = TestHost::fixtures().start().await?;
    let released = host.admin("/admin/v1/releases").await?.json()?;
    assert_eq!(released["releases"].as_array().map(Vec::len), Some(3), "{released}");
    host.release("http:/story:storyteller:story").set(json!({"stable": SEA, "keep_warm_seconds": 0})).await?;
    assert_eq!(tell(&host, &ask(1)).await?.header, SEA);
    for path in ["/f3/story", "/f2/story"] {
        let answer = host.post_json(path, &ask(1)).await?;
        assert_eq!((answer.status(), answer.header("bobbin-bundle")), (200, Some(MEADOW)), "{path}: {}", answer.text());
    }
    assert_eq!(host.release("http:/f3/...:hostile:story").generation().await?, 1);
    // Two releases still need the worker that this one has let go of.
    assert_eq!((host.workers_of(MEADOW)?.len(), host.workers_of(SEA)?.len()), (1, 1));
    Ok(())
}
