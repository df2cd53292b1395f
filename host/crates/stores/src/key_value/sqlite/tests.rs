//! Unit tests of stores in a SQLite file.

use super::*;
use futures::future::try_join_all;

const PLENTY: u64 = 1 << 20;
/// What a file may have.
const BYTES: u64 = 16 << 20;

fn file() -> (tempfile::TempDir, SqliteFile) {
    let folder = tempfile::tempdir().unwrap();
    let file = SqliteFile::open(&folder.path().join("deep/down/kv.sqlite"), BYTES).unwrap();
    (folder, file)
}

async fn all_keys(store: &SqliteStore, account: &Account) -> Vec<String> {
    let (mut keys, mut from) = (Vec::new(), None);
    loop {
        let page = store.keys(from, account).await.unwrap();
        keys.extend(page.keys.value);
        match page.next {
            Some(next) => from = Some(next),
            None => return keys,
        }
    }
}

#[tokio::test]
async fn what_was_set_is_found_until_it_is_deleted_and_only_in_its_own_store() {
    let (_folder, file) = file();
    let (one, other, account) = (file.store("one"), file.store("other"), Account::new(PLENTY));
    one.set("k".into(), b"v".to_vec()).await.unwrap();
    one.set("k".into(), b"w\0".to_vec()).await.unwrap();
    assert_eq!(one.get("k".into(), &account).await.unwrap().unwrap().value, b"w\0");
    assert!(one.exists("k".into()).await.unwrap() && !other.exists("k".into()).await.unwrap());
    assert!(other.get("k".into(), &account).await.unwrap().is_none());
    one.delete("k".into()).await.unwrap();
    one.delete("k".into()).await.unwrap();
    assert!(!one.exists("k".into()).await.unwrap());
    assert_eq!(account.held(), 0);
}

#[tokio::test]
async fn keys_come_in_pages_and_each_once() {
    let (_folder, file) = file();
    let (store, account) = (file.store("s"), Account::new(PLENTY));
    let mut expected: Vec<String> = (0..1000).map(|number| format!("key{number:04}")).collect();
    expected.insert(0, String::new());
    store.set_many(expected.iter().map(|key| (key.clone(), Vec::new())).collect()).await.unwrap();
    file.store("t").set("other".into(), Vec::new()).await.unwrap();
    assert_eq!(all_keys(&store, &account).await, expected);
    store.delete_many(expected).await.unwrap();
    assert_eq!(all_keys(&store, &account).await, [""; 0]);
}

#[tokio::test]
async fn what_is_over_the_account_is_refused_and_what_is_given_back_can_be_used_again() {
    let (_folder, file) = file();
    let (store, account) = (file.store("s"), Account::new(1000));
    store.set("big".into(), vec![0; 600]).await.unwrap();
    let held = store.get("big".into(), &account).await.unwrap();
    assert!(matches!(store.get("big".into(), &account).await, Err(StoreError::OverAccount(_))));
    let many = store.get_many(vec!["big".into()], &account).await;
    assert!(matches!(many, Err(StoreError::OverAccount(_))));
    drop(held);
    assert!(store.get("big".into(), &account).await.is_ok());
    store.set_many((0..20).map(|n| (n.to_string(), Vec::new())).collect()).await.unwrap();
    assert!(matches!(store.keys(None, &account).await, Err(StoreError::OverAccount(_))));
    assert_eq!(account.held(), 0);
}

#[tokio::test]
async fn concurrent_increments_are_all_counted() {
    let (_folder, file) = file();
    let (store, account) = (file.store("s"), Account::new(PLENTY));
    try_join_all((0..100).map(|_| store.increment("n".into(), 2))).await.unwrap();
    assert_eq!(store.increment("n".into(), -1).await.unwrap(), 199);
    assert_eq!(store.get("n".into(), &account).await.unwrap().unwrap().value, 199_i64.to_le_bytes());
    assert!(matches!(store.increment("n".into(), i64::MAX).await, Err(StoreError::Overflow)));
    store.set("text".into(), b"12".to_vec()).await.unwrap();
    assert!(matches!(store.increment("text".into(), 1).await, Err(StoreError::NoNumber)));
    assert_eq!(store.get("text".into(), &account).await.unwrap().unwrap().value, b"12");
}

#[tokio::test]
async fn a_swap_succeeds_only_on_what_was_seen() {
    let (_folder, file) = file();
    let store = file.store("s");
    assert!(!store.swap("k".into(), Some(b"a".to_vec()), b"b".to_vec()).await.unwrap());
    assert!(store.swap("k".into(), None, b"a".to_vec()).await.unwrap());
    assert!(!store.swap("k".into(), None, b"b".to_vec()).await.unwrap());
    let swaps = (0..20).map(|n: u8| store.swap("k".into(), Some(b"a".to_vec()), vec![n]));
    let won = try_join_all(swaps).await.unwrap().into_iter().filter(|won| *won).count();
    assert_eq!(won, 1);
}

#[tokio::test]
async fn a_file_outlives_the_host_and_memory_does_not() {
    let (folder, file) = file();
    let account = Account::new(PLENTY);
    file.store("s").set("k".into(), b"v".to_vec()).await.unwrap();
    drop(file);
    let again = SqliteFile::open(&folder.path().join("deep/down/kv.sqlite"), BYTES).unwrap();
    assert!(again.store("s").get("k".into(), &account).await.unwrap().is_some());
    let memory = SqliteFile::in_memory(BYTES).unwrap();
    memory.store("s").set("k".into(), b"v".to_vec()).await.unwrap();
    assert!(memory.store("s").exists("k".into()).await.unwrap());
    assert!(!SqliteFile::in_memory(BYTES).unwrap().store("s").exists("k".into()).await.unwrap());
}

#[test]
fn a_file_that_is_no_database_is_refused_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kv.sqlite");
    std::fs::write(&path, "this is no database, and long enough to be seen as none".repeat(100)).unwrap();
    let error = SqliteFile::open(&path, BYTES).unwrap_err().to_string();
    assert!(error.contains("kv.sqlite"), "{error}");
    let error = SqliteFile::open(&path.join("below/kv.sqlite"), BYTES).unwrap_err().to_string();
    assert!(error.contains("cannot be made"), "{error}");
}

#[tokio::test]
async fn a_full_store_says_so_and_takes_values_again_once_others_are_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kv.sqlite");
    for file in [SqliteFile::open(&path, 1 << 20).unwrap(), SqliteFile::in_memory(1 << 20).unwrap()] {
        let (store, account) = (file.store("s"), Account::new(PLENTY));
        let set = async |number: usize| store.set(format!("k{number}"), vec![7; 100_000]).await;
        let mut kept = 0;
        let full = loop {
            match set(kept).await {
                Ok(()) => kept += 1,
                Err(full) => break full,
            }
        };
        assert!(matches!(full, StoreError::Full), "{full}");
        assert!((8..=10).contains(&kept), "{kept} values of 100,000 bytes in 1 MiB");
        assert!(matches!(store.increment("n".repeat(50_000), 1).await, Err(StoreError::Full)));
        assert_eq!(all_keys(&store, &account).await.len(), kept, "what is there is still read");
        store.delete("k0".into()).await.unwrap();
        set(0).await.unwrap();
    }
    assert!(path.metadata().unwrap().len() <= 1 << 20);
}

#[tokio::test]
async fn a_file_that_is_larger_than_it_may_be_is_read_and_does_not_grow() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kv.sqlite");
    let store = SqliteFile::open(&path, 16 << 20).unwrap().store("s");
    store.set("big".into(), vec![7; 4 << 20]).await.unwrap();
    drop(store);
    let store = SqliteFile::open(&path, 1 << 20).unwrap().store("s");
    assert!(matches!(store.set("more".into(), vec![7; 1 << 20]).await, Err(StoreError::Full)));
    let found = store.get("big".into(), &Account::new(16 << 20)).await.unwrap();
    assert_eq!(found.map(|value| value.value.len()), Some(4 << 20));
    store.delete("big".into()).await.unwrap();
    store.set("more".into(), vec![7; 1 << 20]).await.unwrap();
}
