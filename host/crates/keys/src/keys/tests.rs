//! Keys under a host that runs.

use super::*;
use crate::Which;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

fn host() -> (TempDir, Keys) {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::open(folder.path().join("keys.json")).unwrap();
    (folder, keys)
}

/// What a command line sees of the same file.
fn elsewhere(keys: &Keys) -> Keys {
    Keys::open(keys.file().path().to_owned()).unwrap()
}

fn named(name: &str) -> Wanted {
    Wanted { name: name.into(), ..Wanted::default() }
}

/// As a host asks.
fn ask(keys: &Keys, token: &str) -> Result<String, Denied> {
    if !keys.is_current() {
        keys.refresh();
    }
    assert!(keys.is_current());
    keys.authenticate(token.as_bytes(), Timestamp::now()).map(|key| key.id().to_string())
}

#[test]
fn a_first_file_that_cannot_be_read_closes_what_was_open() {
    let (_folder, keys) = host();
    assert!(!keys.is_configured());
    fs::write(keys.file().path(), "no keys").unwrap();
    assert!(!keys.is_current());
    keys.refresh();
    assert!(keys.is_current() && keys.is_configured());
}

#[test]
fn a_key_that_somebody_else_makes_or_revokes_counts_from_the_next_question_on() {
    let (_folder, keys) = host();
    assert!(!keys.is_configured());
    let other = elsewhere(&keys);
    let Created { key, token, .. } = other.create(named("one"), None).unwrap();
    assert_eq!(ask(&keys, token.reveal()), Ok(key.id.to_string()));
    assert!(keys.is_configured());
    let revoked = other.revoke(&key.id).unwrap().key;
    assert_eq!(revoked.state, State::Revoked);
    assert_eq!(ask(&keys, token.reveal()), Err(Denied::Revoked));
    assert_eq!(other.revoke(&key.id).unwrap().key, revoked, "it stays revoked since then");
    assert!(keys.is_configured(), "a host whose last key was revoked is not open");
}

#[test]
fn only_the_whole_key_opens_and_only_its_holder_learns_why_it_does_not() {
    let (_folder, keys) = host();
    let Created { key, token, .. } = keys.create(named("one"), None).unwrap();
    let text = token.reveal();
    let (head, secret) = text.rsplit_once('_').unwrap();
    let turned = if secret.starts_with('a') { "b" } else { "a" };
    let wrong = format!("{head}_{turned}{}", secret.get(1..).unwrap());
    let stranger = keys.create(named("two"), None).unwrap().token;
    let mixed = format!("{head}_{}", stranger.reveal().rsplit_once('_').unwrap().1);
    keys.revoke(&key.id).unwrap();
    for sent in ["", "x", key.id.as_str(), secret, &wrong, &mixed, &format!("{text} "), "\u{e4}"] {
        assert_eq!(ask(&keys, sent), Err(Denied::Unknown), "{sent}");
    }
    assert_eq!(keys.authenticate(b"\xff\xfe", Timestamp::now()).err(), Some(Denied::Unknown));
    assert_eq!(ask(&keys, text), Err(Denied::Revoked));
}

#[test]
fn a_key_ends_when_its_time_is_over() {
    let (_folder, keys) = host();
    let expires = Timestamp::now().after(Duration::from_secs(3600)).unwrap();
    let token = keys.create(Wanted { expires: Some(expires), ..named("one") }, None).unwrap().token;
    let ask = |now| keys.authenticate(token.reveal().as_bytes(), now).err();
    assert_eq!((ask(Timestamp::now()), ask(expires)), (None, Some(Denied::Expired)));
}

#[test]
fn what_a_key_has_used_is_kept_while_other_keys_change() {
    let (_folder, keys) = host();
    let wanted = Wanted { requests_per_minute: Some(1), ..named("one") };
    let Created { key: view, token, .. } = keys.create(wanted, None).unwrap();
    let key = keys.authenticate(token.reveal().as_bytes(), Timestamp::now()).unwrap();
    assert!(keys.admit(key).1.is_ok());
    keys.charge(view.id.as_str(), 7);
    elsewhere(&keys).create(named("two"), None).unwrap();
    keys.refresh();
    let key = keys.authenticate(token.reveal().as_bytes(), Timestamp::now()).unwrap();
    assert!(matches!(keys.admit(key).1, Err(Limited { which: Which::Requests, .. })));
    assert_eq!(keys.uses(), [Use { id: view.id, admitted: 1, limited: 1, tokens: 7 }]);
    keys.charge("nobody", 1);
}

#[test]
fn a_request_that_is_given_back_uses_nothing_of_its_key() {
    let (_folder, keys) = host();
    let token = keys.create(Wanted { requests_per_minute: Some(1), ..named("one") }, None).unwrap().token;
    let key = || keys.authenticate(token.reveal().as_bytes(), Timestamp::now()).unwrap();
    let (levels, admitted) = keys.admit(key());
    assert_eq!(levels.requests.map(|level| level.remaining), Some(0));
    assert_eq!(keys.give_back(admitted.unwrap()).requests.map(|level| level.remaining), Some(1));
    assert_eq!(keys.uses(), []);
    drop(keys.admit(key()).1.unwrap());
    assert_eq!(keys.uses().first().map(|used| used.admitted), Some(1));
}

#[test]
fn what_a_key_has_used_outlives_its_file_for_a_while() {
    let (_folder, keys) = host();
    let wanted = Wanted { requests_per_minute: Some(1), tokens_per_minute: Some(5), ..named("one") };
    let Created { key: view, token, .. } = keys.create(wanted, None).unwrap();
    let key = || keys.authenticate(token.reveal().as_bytes(), Timestamp::now()).unwrap();
    drop(keys.admit(key()).1.unwrap());
    let (path, aside) = (keys.file().path(), keys.file().path().with_extension("aside"));
    fs::rename(path, &aside).unwrap();
    assert_eq!(ask(&keys, token.reveal()), Err(Denied::Unknown));
    assert_eq!(keys.uses(), []);
    // A request that was taken before ends now; and the file is looked at once more.
    keys.charge(view.id.as_str(), 7);
    fs::write(path, r#"{"format":1,"keys":[]}"#).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    keys.refresh();
    fs::rename(&aside, path).unwrap();
    assert!(ask(&keys, token.reveal()).is_ok());
    assert!(matches!(keys.admit(key()).1, Err(Limited { which: Which::Tokens, .. })));
    assert_eq!(keys.uses(), [Use { id: view.id, admitted: 1, limited: 1, tokens: 7 }]);
}

#[test]
fn of_keys_that_are_gone_no_more_are_remembered_than_there_may_be() {
    let meter = || Arc::new(Meter::new(crate::meter::Limits::default(), Duration::ZERO));
    let id = || KeyId::generate().unwrap();
    let key = || {
        let id = id();
        let hash = Token::generate(&id).unwrap().digest();
        let record = named("x").record(id.clone(), hash, Timestamp::now());
        (id, Arc::new(Key { record, meter: meter() }))
    };
    let gone = (0..MOST_KEYS).map(|_| (id(), meter())).collect();
    let ring = Ring { keys: HashMap::from([key()]), gone, ..Ring::default() };
    let left = ring.gone_without(&HashMap::new());
    assert!(left.len() == 1 && left.keys().eq(ring.keys.keys()));
}

#[test]
fn a_file_that_breaks_under_a_running_host_leaves_the_keys_as_they_were() {
    let (_folder, keys) = host();
    let Created { key, token, .. } = keys.create(named("one"), None).unwrap();
    assert!(ask(&keys, token.reveal()).is_ok());
    let path = keys.file().path().to_owned();
    let good = fs::read(&path).unwrap();
    fs::write(&path, "nonsense").unwrap();
    assert!(ask(&keys, token.reveal()).is_ok());
    assert!(matches!(keys.revoke(&key.id), Err(ChangeError::Unreadable(_))));
    assert!(keys.views().is_err());
    fs::write(&path, good).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(ask(&keys, token.reveal()).is_ok());
    assert!(Keys::open(path.clone()).is_err(), "a host does not start with it");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    keys.revoke(&key.id).unwrap();
    assert_eq!(ask(&keys, token.reveal()), Err(Denied::Revoked));
}

#[test]
fn a_file_that_goes_takes_its_keys_with_it_and_opens_nothing() {
    let (_folder, keys) = host();
    let token = keys.create(named("one"), None).unwrap().token;
    assert!(ask(&keys, token.reveal()).is_ok());
    fs::remove_file(keys.file().path()).unwrap();
    assert_eq!(ask(&keys, token.reveal()), Err(Denied::Unknown));
    assert!(keys.is_configured());
    assert!(!elsewhere(&keys).is_configured());
}

#[test]
fn a_key_that_there_is_not_is_refused_with_the_one_that_was_probably_meant() {
    let (_folder, keys) = host();
    let id = keys.create(named("one"), None).unwrap().key.id;
    let mut slip: Vec<char> = id.as_str().chars().collect();
    slip[3] = if slip[3] == 'q' { 'r' } else { 'q' };
    let slip: KeyId = slip.into_iter().collect::<String>().parse().unwrap();
    let error = keys.revoke(&slip).unwrap_err().to_string();
    assert!(error.contains(&format!("did you mean {id}?")), "{error}");
}

#[test]
fn a_scope_is_by_path_or_by_trigger_and_by_the_models_name() {
    let (_folder, keys) = host();
    let set = |entry: &str| Some(BTreeSet::from([entry.to_owned()]));
    let wanted = Wanted { routes: set("/infer"), models: set("story"), ..named("one") };
    let token = keys.create(wanted, None).unwrap().token;
    let key = keys.authenticate(token.reveal().as_bytes(), Timestamp::now()).unwrap();
    assert!(key.allows_route("http:/infer:c", "/infer") && key.allows_route("/infer", "/other"));
    assert!(!key.allows_route("http:/infer:c", "/infer/...") && !key.allows_route("x", "/embed"));
    assert!(key.allows_model("story") && !key.allows_model("sentence") && key.is_for_some_models());
    let token = keys.create(named("two"), None).unwrap().token;
    let key = keys.authenticate(token.reveal().as_bytes(), Timestamp::now()).unwrap();
    assert!(key.allows_route("x", "/embed") && key.allows_model("sentence") && !key.is_for_some_models());
}

#[test]
fn of_too_many_keys_the_oldest_that_are_not_taken_go_and_no_other() {
    let now = Timestamp::now();
    let record = |revoked: bool| {
        let id = KeyId::generate().unwrap();
        let hash = Token::generate(&id).unwrap().digest();
        Record { revoked: revoked.then_some(now), ..named("x").record(id, hash, now) }
    };
    let mut keys: Vec<Record> = (0..MOST_KEYS).map(|n| record(n == 7 || n == 9)).collect();
    let (goes, stays) = (keys[7].id.clone(), keys[9].id.clone());
    make_room(&mut keys, now).unwrap();
    assert_eq!(keys.len(), MOST_KEYS - 1);
    assert!(keys.iter().all(|record| record.id != goes) && keys.iter().any(|record| record.id == stays));
    let mut full: Vec<Record> = (0..MOST_KEYS).map(|_| record(false)).collect();
    assert!(matches!(make_room(&mut full, now), Err(ChangeError::Full(MOST_KEYS))));
}
