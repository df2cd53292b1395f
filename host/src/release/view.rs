//! Releases, as people read them.

use super::weight::percent;
use super::words::{ago, exact, left, plain, table};
use crate::admin::{Agreement, Change, Failure, Pending, Release, Version};
use std::time::SystemTime;

/// One release, complete: every version with its state, then what holds for all of them. Ends in a newline.
pub(crate) fn release(release: &Release, now: SystemTime) -> String {
    let mut text = format!("{}  generation {}\n\n", plain(&release.id), release.generation);
    text.push_str(&table(&versions(release, now), "  "));
    text.push('\n');
    text.push_str(&table(&facts(release, now), "  "));
    text
}

/// Role, bundle, share, state, since when, and what else there is to say; a reason is a line of its own.
fn versions(release: &Release, now: SystemTime) -> Vec<[String; 6]> {
    let candidate = release.candidate.as_ref();
    let stable_share = candidate.map_or(100.0, |candidate| 100.0 - candidate.weight);
    let mut rows = Rows { rows: Vec::new(), now };
    rows.add("stable", &release.stable, percent(stable_share), answering(&release.stable));
    if let Some(candidate) = candidate {
        let version = &candidate.version;
        rows.add("candidate", version, percent(candidate.weight), answering(version));
    }
    if let Some(shadow) = &release.shadow {
        rows.add("shadow", shadow, String::new(), String::new());
    }
    if let Some(previous) = &release.previous {
        let warm = left(previous.warm_until.as_deref(), now);
        rows.add(
            "previous",
            previous,
            String::new(),
            warm.map_or_else(String::new, |left| format!("warm for another {left}")),
        );
    }
    for version in &release.draining {
        let cut = left(version.deadline.as_deref(), now);
        let cut = cut.map_or_else(String::new, |left| format!(", cut in {left}"));
        rows.add("draining", version, String::new(), format!("{}{cut}", answering(version)));
    }
    rows.rows
}

struct Rows {
    rows: Vec<[String; 6]>,
    now: SystemTime,
}

impl Rows {
    fn add(&mut self, role: &str, version: &Version, share: String, more: String) {
        let since = ago(version.since.as_deref(), self.now);
        let more = match &version.reason {
            Some(reason) if more.is_empty() => plain(reason),
            Some(reason) => format!("{more}: {}", plain(reason)),
            None => more,
        };
        self.rows.push([role.into(), plain(&version.bundle), share, state(&version.state), since, more]);
    }
}

/// What failed is to be seen at a glance.
fn state(state: &str) -> String {
    if state == "failed" { "FAILED".into() } else { plain(state) }
}

fn answering(version: &Version) -> String {
    format!("{} in flight", version.leases)
}

fn facts(release: &Release, now: SystemTime) -> Vec<[String; 2]> {
    let settings = format!(
        "drain {}, keep warm {}, policy {}, sticky {}, version header {}{}",
        exact(release.drain_seconds),
        exact(release.keep_warm_seconds),
        plain(&release.policy),
        plain(&release.sticky),
        if release.version_header { "allowed" } else { "ignored" },
        if release.exact_versions { ", exact versions allowed" } else { "" },
    );
    let mut facts = vec![["settings".into(), settings]];
    if let Some(retires) = &release.retires {
        facts.push(["retires".into(), plain(retires)]);
    }
    if let Some(changed) = &release.changed {
        let by = by(changed.who.as_deref(), changed.why.as_deref());
        facts.push(["changed".into(), format!("{}, {}{by}", ago(changed.at.as_deref(), now), plain(&changed.action))]);
    }
    if let Some(waiting) = &release.pending {
        facts.push(["pending".into(), pending(waiting, now)]);
    }
    if let Some(failed) = &release.failure {
        facts.push(["failed".into(), failure(failed, now)]);
    }
    if let Some(agreed) = &release.agreement {
        facts.push(["agreement".into(), agreement(agreed)]);
    }
    facts
}

fn by(who: Option<&str>, why: Option<&str>) -> String {
    let who = who.map_or_else(String::new, |who| format!(" by {}", plain(who)));
    let why = why.map_or_else(String::new, |why| format!(": {}", plain(why)));
    format!("{who}{why}")
}

fn pending(pending: &Pending, now: SystemTime) -> String {
    let bundle = pending.bundle.as_ref().map_or_else(String::new, |bundle| format!(" {}", plain(bundle)));
    let since = ago(pending.since.as_deref(), now);
    format!("{}{bundle}, asked for {since}{}", plain(&pending.step), by(pending.who.as_deref(), pending.why.as_deref()))
}

fn failure(failure: &Failure, now: SystemTime) -> String {
    let who = by(failure.who.as_deref(), None);
    format!("{}{who}, {}: {}", ago(failure.at.as_deref(), now), plain(&failure.code), plain(&failure.detail))
}

fn agreement(agreement: &Agreement) -> String {
    let Agreement { samples, dropped, failed, .. } = agreement;
    let mut parts = vec![format!("{samples} compared, {dropped} dropped, {failed} failed")];
    parts.extend(agreement.mean_logprob_difference.map(|mean| format!("log-probabilities differ by {mean:.3}")));
    if agreement.same_vocabulary == Some(false) {
        parts.push("another vocabulary, so no log-probabilities".into());
    }
    parts.extend(agreement.same_finish.map(|same| format!("same finish {}", percent(same * 100.0))));
    parts.extend(agreement.mean_length_ratio.map(|ratio| format!("length x {ratio:.2}")));
    parts.join(", ")
}

/// All releases, one a line.
pub(crate) fn list(releases: &[Release], now: SystemTime) -> String {
    let head = ["RELEASE", "GEN", "STABLE", "CANDIDATE", "SHADOW", "NOTES"].map(String::from);
    let rows = releases.iter().map(|release| {
        let candidate = release.candidate.as_ref();
        let weight = candidate.map_or_else(String::new, |candidate| format!(" {}", percent(candidate.weight)));
        [
            plain(&release.id),
            release.generation.to_string(),
            cell(Some(&release.stable), ""),
            cell(candidate.map(|candidate| &candidate.version), &weight),
            cell(release.shadow.as_ref(), ""),
            notes(release, now),
        ]
    });
    table(&[head].into_iter().chain(rows).collect::<Vec<_>>(), "")
}

fn cell(version: Option<&Version>, weight: &str) -> String {
    version
        .map_or_else(|| "-".into(), |version| format!("{}{weight} {}", plain(&version.bundle), state(&version.state)))
}

fn notes(release: &Release, now: SystemTime) -> String {
    let mut notes = Vec::new();
    notes.extend(release.pending.as_ref().map(|change| format!("pending: {}", pending(change, now))));
    if !release.draining.is_empty() {
        notes.push(format!("{} draining", release.draining.len()));
    }
    notes.extend(release.failure.as_ref().map(|failed| format!("failed: {}", plain(&failed.code))));
    notes.extend(release.retires.as_ref().map(|retires| format!("retires {}", plain(retires))));
    notes.join("; ")
}

/// The generations of a release, newest first.
pub(crate) fn history(changes: &[Change], now: SystemTime) -> String {
    let head = ["GEN", "WHEN", "ACTION", "STABLE", "CANDIDATE", "SHADOW", "WHO", "WHY"].map(String::from);
    let or_none = |text: Option<&str>| text.map_or_else(|| "-".into(), plain);
    let rows = changes.iter().map(|change| {
        let candidate = change.candidate.as_ref();
        let candidate = candidate.map(|candidate| format!("{} {}", candidate.bundle, percent(candidate.weight)));
        [
            change.generation.to_string(),
            ago(change.at.as_deref(), now),
            plain(&change.action),
            plain(&change.stable),
            or_none(candidate.as_deref()),
            or_none(change.shadow.as_deref()),
            or_none(change.who.as_deref()),
            or_none(change.why.as_deref()),
        ]
    });
    table(&[head].into_iter().chain(rows).collect::<Vec<_>>(), "")
}

#[cfg(test)]
mod tests;
