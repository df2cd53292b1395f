//! What people read, letter by letter.

use super::*;
use serde_json::{Value, json};

fn now() -> SystemTime {
    humantime::parse_rfc3339("2026-01-01T12:10:00.000Z").unwrap()
}

fn version(bundle: &str, state: &str, leases: u64) -> Value {
    json!({ "bundle": bundle, "state": state, "since": "2026-01-01T12:07:00.000Z", "reason": null, "leases": leases })
}

fn plain_release() -> Value {
    json!({
        "id": "http:/story:storyteller:story", "trigger": "http:/story:storyteller", "graph": "story", "generation": 1,
        "stable": version("storyteller@1.0.0", "ready", 2),
        "candidate": null, "shadow": null, "previous": null, "draining": [],
        "drain_seconds": 30, "keep_warm_seconds": 600, "policy": "auto", "sticky": "request", "version_header": false,
        "changed": { "generation": 1, "at": "2026-01-01T12:07:00.000Z", "who": null, "why": null, "action": "declared" },
        "pending": null, "failure": null, "agreement": null
    })
}

fn shown(document: Value) -> String {
    release(&serde_json::from_value(document).unwrap(), now())
}

#[test]
fn a_release_that_was_never_changed_is_short() {
    let expected = "\
http:/story:storyteller:story  generation 1

  stable  storyteller@1.0.0  100 %  ready  3 min ago  2 in flight

  settings  drain 30 s, keep warm 10 min, policy auto, sticky request, version header ignored
  changed   3 min ago, declared
";
    assert_eq!(shown(plain_release()), expected);
}

#[test]
fn everything_that_a_release_can_have_is_shown() {
    let mut document = plain_release();
    let mut set = |key: &str, value: Value| document[key] = value;
    let mut candidate = version("storyteller@1.1.0", "failed", 0);
    candidate["weight"] = json!(12.5);
    candidate["reason"] = json!("its worker ended\u{1b}[2J by SIGSEGV");
    let mut previous = version("storyteller@0.9.0", "ready", 0);
    previous["warm_until"] = json!("2026-01-01T12:18:00.000Z");
    let mut draining = version("storyteller@0.8.0", "draining", 1);
    draining["deadline"] = json!("2026-01-01T12:10:27.000Z");
    set("generation", json!(12));
    set("candidate", candidate);
    set("shadow", version("storyteller@2.0.0", "loading", 0));
    set("previous", previous);
    set("draining", json!([draining]));
    set("version_header", json!(true));
    set(
        "changed",
        json!({ "at": "2026-01-01T12:09:59.500Z", "who": "alice (127.0.0.1)", "why": "May", "action": "put" }),
    );
    set(
        "pending",
        json!({
            "since": "2026-01-01T12:09:50.000Z", "who": "bob", "why": null, "expected_generation": 12,
            "bundle": "storyteller@2.0.0", "step": "loading"
        }),
    );
    set(
        "failure",
        json!({
            "at": "2026-01-01T12:08:00.000Z", "who": "bob", "why": null, "code": "does_not_fit", "detail": "needs 3 GiB"
        }),
    );
    set(
        "agreement",
        json!({
            "shadow": "storyteller@2.0.0", "samples": 120, "dropped": 3, "failed": 1, "same_vocabulary": true,
            "mean_logprob_difference": 0.1234, "same_finish": 0.905, "mean_length_ratio": 1.1
        }),
    );
    let expected = "\
http:/story:storyteller:story  generation 12

  stable     storyteller@1.0.0  87.5 %  ready     3 min ago  2 in flight
  candidate  storyteller@1.1.0  12.5 %  FAILED    3 min ago  0 in flight: its worker ended [2J by SIGSEGV
  shadow     storyteller@2.0.0          loading   3 min ago
  previous   storyteller@0.9.0          ready     3 min ago  warm for another 8 min
  draining   storyteller@0.8.0          draining  3 min ago  1 in flight, cut in 27 s

  settings   drain 30 s, keep warm 10 min, policy auto, sticky request, version header allowed
  changed    just now, put by alice (127.0.0.1): May
  pending    loading storyteller@2.0.0, asked for 10 s ago by bob
  failed     2 min ago by bob, does_not_fit: needs 3 GiB
  agreement  120 compared, 3 dropped, 1 failed, log-probabilities differ by 0.123, same finish 90.5 %, length x 1.10
";
    assert_eq!(shown(document), expected);
}

#[test]
fn a_release_that_will_be_over_says_when() {
    let mut document = plain_release();
    document["exact_versions"] = json!(true);
    document["retires"] = json!("2027-01-31T00:00:00.000Z");
    let shown = shown(document.clone());
    assert!(shown.contains("version header ignored, exact versions allowed\n"), "{shown}");
    assert!(shown.contains("\n  retires   2027-01-31T00:00:00.000Z\n"), "{shown}");
    let listed = list(&[serde_json::from_value(document).unwrap()], now());
    assert!(listed.contains("retires 2027-01-31T00:00:00.000Z"), "{listed}");
}

#[test]
fn a_list_has_a_line_for_each_release() {
    let mut busy = plain_release();
    busy["id"] = json!("named:tale");
    busy["candidate"] = version("storyteller@1.1.0", "ready", 0);
    busy["candidate"]["weight"] = json!(10.0);
    busy["draining"] = json!([version("storyteller@0.8.0", "draining", 1)]);
    busy["failure"] = json!({ "code": "version_failed", "detail": "bad" });
    let releases: Vec<Release> = [plain_release(), busy].map(|one| serde_json::from_value(one).unwrap()).into();
    let expected = "\
RELEASE                        GEN  STABLE                   CANDIDATE                     SHADOW  NOTES
http:/story:storyteller:story  1    storyteller@1.0.0 ready  -                             -
named:tale                     1    storyteller@1.0.0 ready  storyteller@1.1.0 10 % ready  -       1 draining; \
failed: version_failed
";
    assert_eq!(list(&releases, now()), expected);
}

#[test]
fn a_history_says_who_did_what_when_and_why() {
    let change = json!({
        "generation": 2, "at": "2026-01-01T11:10:00.000Z", "who": "alice (127.0.0.1)", "why": "try", "action": "put",
        "stable": "storyteller@1.0.0", "candidate": { "bundle": "storyteller@1.1.0", "weight": 0.1 }, "shadow": null,
        "drain_seconds": 30, "keep_warm_seconds": 600, "policy": "auto", "sticky": "request", "version_header": false
    });
    let declared = json!({
        "generation": 1, "at": null, "who": null, "why": null, "action": "declared", "stable": "storyteller@1.0.0",
        "candidate": null, "shadow": null
    });
    let changes: Vec<Change> = [change, declared].map(|one| serde_json::from_value(one).unwrap()).into();
    let expected = "\
GEN  WHEN     ACTION    STABLE             CANDIDATE                SHADOW  WHO                WHY
2    1 h ago  put       storyteller@1.0.0  storyteller@1.1.0 0.1 %  -       alice (127.0.0.1)  try
1    -        declared  storyteller@1.0.0  -                        -       -                  -
";
    assert_eq!(history(&changes, now()), expected);
}
