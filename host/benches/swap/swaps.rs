//! A thousand swaps under sixteen streams, the flips of their commits, and what the callers waited for.

use crate::events::Events;
use crate::host::{Host, generation, release, whole};
use crate::stories::{Themes, load};
use anyhow::{Result, ensure};
use bobbin_tests::{Broken, Report, Sorted, Story, Told};
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

const ROUTE: &str = "story";
const STREAMS: u64 = 16;
const SWAPS: usize = 1000;
const IDLE_SWAPS: usize = 200;
/// The longest pause between two swaps under load: they spread over the lives of some hundred stories.
const PAUSE_MS: u64 = 40;
/// How long the same stories are told without a swap.
const WITHOUT: Duration = Duration::from_secs(8);
/// So many different words of the other version's theme make a mixed text. One slips into a story of either version
/// now and then, swap or no swap: both were trained on the same plots.
const MIXED: usize = 2;
/// Swaps between two looks at what the disk takes for itself.
const LOOK: usize = 5;

/// What the callers saw, and what the events said.
struct Swapped {
    puts: Vec<Duration>,
    rollbacks: Vec<Duration>,
    /// Microseconds, in the order of the swaps: every other one is a rollback.
    flips: Vec<f64>,
    /// This disk's own write and fsync of a page, in between.
    fsyncs: Vec<Duration>,
    took: Duration,
}

pub(crate) async fn measure(host: &Host, themes: &Themes, report: &mut Report) -> Result<()> {
    // What the words of the themes say without any swap, so that they can be trusted with swaps.
    let half = json!({"bundle": "storyteller@1.1.0", "weight": 50});
    host.put(ROUTE, json!({"candidate": half, "keep_warm_seconds": 600})).await?;
    let quiet = load(host, "/story", STREAMS, 128);
    tokio::time::sleep(WITHOUT).await;
    let quiet = quiet.stop().await?;

    // Both versions are loaded and warm from here on.
    host.put(ROUTE, json!({"stable": "storyteller@1.1.0", "candidate": null})).await?;
    host.put(ROUTE, json!({"stable": "storyteller@1.0.0"})).await?;
    let stories = load(host, "/story", STREAMS, 128);
    let swapped = swap(host, SWAPS, PAUSE_MS).await?;
    let told = stories.stop().await?;
    answers(&told, &quiet, themes, report);
    report.note("- the swaps took", format!("{:.1} s, both versions warm", swapped.took.as_secs_f64()));
    waits(&swapped, "under 16 streams", report);

    host.at_rest(ROUTE, 2).await?;
    let swapped = swap(host, IDLE_SWAPS, 0).await?;
    waits(&swapped, "idle", report);
    Ok(())
}

/// Swaps to and fro: a change forwards, a rollback back, after pauses of any length up to the longest.
async fn swap(host: &Host, count: usize, longest_pause_ms: u64) -> Result<Swapped> {
    let mut events = Events::follow(host).await?;
    let mut at = generation(&host.release(ROUTE).await?)?;
    let (mut puts, mut rollbacks, mut fsyncs) = (Vec::new(), Vec::new(), Vec::new());
    let mut page = tempfile::tempfile_in(&host.state)?;
    let begun = Instant::now();
    for nth in 0..count {
        if longest_pause_ms > 0 {
            // Multiples of a prime step through all pauses in no order that stories could keep pace with.
            tokio::time::sleep(Duration::from_millis(nth as u64 * 17 % (longest_pause_ms + 1))).await;
        }
        if nth % LOOK == 0 {
            fsyncs.push(fsync(&mut page)?);
        }
        let sent = Instant::now();
        let (answer, stable) = if nth % 2 == 0 {
            let edit = json!({"expected_generation": at, "stable": "storyteller@1.1.0"});
            let answer = whole(host.send_put(ROUTE, &edit).await?).await?;
            puts.push(sent.elapsed());
            (answer, "storyteller@1.1.0")
        } else {
            let answer = host.rollback(ROUTE, at).await?;
            rollbacks.push(sent.elapsed());
            (answer, "storyteller@1.0.0")
        };
        let now = answer.pointer("/stable/bundle").and_then(|bundle| bundle.as_str());
        ensure!(now == Some(stable), "swap {nth}: {answer}");
        at = generation(&answer)?;
    }
    let took = begun.elapsed();
    let flips = events.flips(&release(ROUTE), count).await?;
    Ok(Swapped { puts, rollbacks, flips, fsyncs, took })
}

fn answers(told: &[Told], quiet: &[Told], themes: &Themes, report: &mut Report) {
    let count = |matches: fn(&Told) -> bool| told.iter().filter(|told| matches(told)).count();
    let of = format!("{} answers", told.len());
    report.none(
        "1,000 swaps, 16 streams: failed answers",
        count(|t| t.as_ref().is_err_and(|broken| !is_truncated(broken))),
        &of,
    );
    report.none("- truncated answers", count(|t| t.as_ref().is_err_and(is_truncated)), &of);
    for broken in told.iter().filter_map(|told| told.as_ref().err()).take(3) {
        println!("      {broken}");
    }
    let whole = || told.iter().flatten();
    let disagree = whole().filter(|story| story.header != story.usage || story.header.is_empty()).count();
    report.none("- header and usage record name different versions", disagree, &of);
    let strange = |told: &[Told], least: usize, most: usize| {
        let inside = |story: &&Story| (least..=most).contains(&themes.of(story).1.len());
        told.iter().flatten().filter(inside).count()
    };
    report.none("- text of both versions' themes", strange(told, MIXED, usize::MAX), &of);
    for story in whole().filter(|story| themes.of(story).1.len() >= MIXED).take(3) {
        println!("      {} with {:?}: {:?}", story.header, themes.of(story).1, story.text);
    }
    let slips = format!("{} of {}; {} of {}", strange(told, 1, 1), told.len(), strange(quiet, 1, 1), quiet.len());
    report.note("- one word of the other theme; the same without a swap", slips);
    let tells = whole().filter(|story| themes.of(story).0 >= MIXED).count();
    let new = whole().filter(|story| story.header.ends_with("@1.1.0")).count();
    report.note("- answers by 1.1.0; answers whose own theme shows", format!("{new}; {tells}"));
}

fn is_truncated(broken: &Broken) -> bool {
    matches!(broken, Broken::Truncated(_))
}

fn waits(swapped: &Swapped, when: &str, report: &mut Report) {
    let flips = Sorted::of(swapped.flips.iter().copied());
    let figure = |flips: &Sorted| {
        format!("p50 {:.1}, p99 {:.1}, max {:.1} us (n {})", flips.at(0.5), flips.at(0.99), flips.max(), flips.len())
    };
    report.must(&format!("flip, commit to visible, {when}"), figure(&flips), "< 1000 us", flips.max() < 1000.0);
    let back = Sorted::of(swapped.flips.iter().copied().skip(1).step_by(2));
    report.must(&format!("- of warm rollbacks, {when}"), figure(&back), "< 1000 us", back.max() < 1000.0);
    let millis = |times: &Sorted| format!("p50 {:.2}, p99 {:.2} ms", times.at(0.5), times.at(0.99));
    let (puts, rollbacks) = (&swapped.puts, &swapped.rollbacks);
    report.note(&format!("- PUT as its caller sees it, {when}"), millis(&Sorted::millis(puts.iter().copied())));
    report
        .note(&format!("- rollback as its caller sees it, {when}"), millis(&Sorted::millis(rollbacks.iter().copied())));
    report.note(
        &format!("- this disk's own write and fsync of 4 KiB, {when}"),
        millis(&Sorted::millis(swapped.fsyncs.iter().copied())),
    );
}

/// How long this disk takes to keep a page.
fn fsync(file: &mut File) -> Result<Duration> {
    let begun = Instant::now();
    file.write_all(&[1; 4096])?;
    file.sync_data()?;
    Ok(begun.elapsed())
}
