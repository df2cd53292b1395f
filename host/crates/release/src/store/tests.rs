use super::*;

fn id() -> ReleaseId {
    ReleaseId { trigger: "http:/story:storyteller".into(), graph: "story".into() }
}

fn record(generation: u64, stable: &str) -> Record {
    Record {
        generation,
        at: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
        who: "alice".into(),
        why: Some("a better one".into()),
        action: Action::Put,
        spec: Spec::of(stable.into()),
    }
}

#[test]
fn what_was_committed_is_there_when_the_store_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert!(store.last(&id()).unwrap().is_none());
    for (generation, stable) in [(1, "s@1.0.0"), (2, "s@1.1.0")] {
        store.commit(&id(), "sha256:aa", &record(generation, stable)).unwrap();
    }
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    let last = store.last(&id()).unwrap().unwrap();
    assert_eq!((last.declaration.as_str(), &last.record), ("sha256:aa", &record(2, "s@1.1.0")));
    assert_eq!(store.history(&id(), 10).unwrap(), [record(2, "s@1.1.0"), record(1, "s@1.0.0")]);
    assert_eq!(store.history(&id(), 1).unwrap(), [record(2, "s@1.1.0")]);
}

#[test]
fn a_generation_that_does_not_follow_the_last_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.commit(&id(), "d", &record(1, "s@1.0.0")).unwrap();
    for wrong in [1, 3] {
        store.commit(&id(), "d", &record(wrong, "s@9.0.0")).unwrap_err();
    }
    assert_eq!(store.last(&id()).unwrap().unwrap().record, record(1, "s@1.0.0"));
    assert_eq!(store.history(&id(), 10).unwrap().len(), 1);
}

#[test]
fn a_folder_has_one_host() {
    let folder = tempfile::tempdir().unwrap();
    let first = Store::open(folder.path()).unwrap();
    let refused = Store::open(folder.path()).unwrap_err().to_string();
    assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
    assert!(refused.contains("--state-dir"), "{refused}");
    drop(first);
    Store::open(folder.path()).unwrap();
}

#[test]
fn a_full_disk_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.commit(&id(), "d", &record(1, "s@1.0.0")).unwrap();
    store.fill();
    let long = Record { why: Some("x".repeat(100_000)), ..record(2, "s@1.1.0") };
    let refused = store.commit(&id(), "d", &long).unwrap_err().to_string();
    assert!(refused.contains("space"), "{refused}");
    assert_eq!(store.last(&id()).unwrap().unwrap().record, record(1, "s@1.0.0"));
}

#[test]
fn a_bundle_keeps_its_first_digest() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.known("s@1.0.0").unwrap(), None);
    store.remember("s@1.0.0", "sha256:aa").unwrap();
    store.remember("s@1.0.0", "sha256:bb").unwrap();
    assert_eq!(store.known("s@1.0.0").unwrap().as_deref(), Some("sha256:aa"));
}

#[test]
fn a_database_of_another_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path()).unwrap());
    let connection = Connection::open(folder.path().join(DATABASE)).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let refused = Store::open(folder.path()).unwrap_err().to_string();
    assert!(refused.contains("format 99, not 1"), "{refused}");
}

#[test]
fn a_database_that_is_gone_or_another_takes_no_change() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.commit(&id(), "d", &record(1, "s@1.0.0")).unwrap();
    let database = folder.path().join(DATABASE);
    std::fs::rename(&database, folder.path().join("elsewhere")).unwrap();
    store.commit(&id(), "d", &record(2, "s@1.1.0")).unwrap_err();
    std::fs::write(&database, "another").unwrap();
    let refused = store.commit(&id(), "d", &record(2, "s@1.1.0")).unwrap_err().to_string();
    assert!(refused.contains("another file is in its place"), "{refused}");
    std::fs::rename(folder.path().join("elsewhere"), &database).unwrap();
    store.commit(&id(), "d", &record(2, "s@1.1.0")).unwrap();
}

#[test]
fn a_database_that_is_none_is_to_be_moved_away() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(DATABASE), "no database at all, but long enough to look at").unwrap();
    let refused = Store::open(folder.path()).unwrap_err().to_string();
    assert!(refused.contains("move it away"), "{refused}");
}

/// Changes the file behind the host's back.
fn meddle(folder: &Path, set: &str) {
    let connection = Connection::open(folder.join(DATABASE)).unwrap();
    assert_eq!(connection.execute(&format!("UPDATE changes SET {set}"), []).unwrap(), 1);
}

#[test]
fn what_a_change_could_not_set_is_not_taken_from_the_file() {
    let times = |drain: u64, warm: u64| {
        format!(r#"spec = '{{"stable":"s@1.0.0","drain_seconds":{drain},"keep_warm_seconds":{warm}}}'"#)
    };
    let canary = r#"spec = json_set(spec, '$.candidate', json('{"bundle":"s@1.0.0","weight":5}'))"#;
    let cases = [
        (times(30, u64::MAX), "keep_warm_seconds is 18446744073709551615; give whole seconds from 0 to 604800"),
        (times(30, 604_801), "keep_warm_seconds is 604801; give whole seconds from 0 to 604800"),
        (times(86_401, 600), "drain_seconds is 86401; give whole seconds from 0 to 86400"),
        (canary.into(), "s@1.0.0 cannot be candidate"),
        (r#"spec = json_set(spec, '$.drain_seconds', -1)"#.into(), "invalid value: integer `-1`"),
        (format!("at = {}", LATEST + 1), "253402300800000; from 0 to 253402300799999 milliseconds"),
        ("at = -1".into(), "-1; from 0 to"),
    ];
    for (set, says) in cases {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.commit(&id(), "d", &record(1, "s@1.0.0")).unwrap();
        meddle(folder.path(), &set);
        for refused in [store.last(&id()).map(drop).unwrap_err(), store.history(&id(), 1).map(drop).unwrap_err()] {
            assert!(matches!(refused, StoreError::Unfit { .. }), "{set}: {refused:?}");
            let refused = refused.to_string();
            assert!(refused.contains(&format!("of release {}, generation 1,", id())), "{set}: {refused}");
            assert!(refused.contains(says) && refused.contains("move it away"), "{set}: {refused}");
        }
    }
}

#[test]
fn the_bounds_themselves_are_taken_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.commit(&id(), "d", &record(1, "s@1.0.0")).unwrap();
    meddle(folder.path(), r#"spec = json_set(spec, '$.drain_seconds', 86400, '$.keep_warm_seconds', 604800)"#);
    meddle(folder.path(), &format!("at = {LATEST}"));
    let last = store.last(&id()).unwrap().unwrap().record;
    assert_eq!((last.spec.drain_seconds, last.spec.keep_warm_seconds), (86_400, 604_800));
    // Past it, a time has no date to show.
    assert_eq!(humantime::format_rfc3339_millis(last.at).to_string(), "9999-12-31T23:59:59.999Z");
}
