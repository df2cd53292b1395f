//! Unit tests of components' databases.

use super::*;
use bobbin_inference::{Account, CpuBudget};
use std::time::Instant;

/// What a database may have.
const BYTES: u64 = 1 << 20;

fn bounds(bytes: u64, time: Duration) -> Bounds {
    let cpu = Arc::new(CpuBudget::new(Duration::from_secs(60)));
    Bounds { account: Account::new(bytes), end: Instant::now() + time, cpu }
}

fn plenty() -> Bounds {
    bounds(16 << 20, Duration::from_secs(60))
}

async fn run(connection: &Connection, statement: &str) -> Result<Vec<Vec<Value>>, SqliteError> {
    Ok(connection.query(statement.into(), vec![], plenty()).await?.value.rows)
}

fn file() -> (tempfile::TempDir, Arc<Database>) {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("deep/app.sqlite"), BYTES).unwrap();
    (folder, database)
}

#[tokio::test]
async fn statements_take_parameters_and_answer_columns_and_rows_of_every_type() {
    let (_folder, database) = file();
    let connection = database.connect();
    run(&connection, "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c, d)").await.unwrap();
    let values = vec![Value::Real(1.5), Value::Text("t".into()), Value::Blob(vec![0, 255]), Value::Null];
    let insert = "INSERT INTO t (a, b, c, d) VALUES (?, ?, ?, ?)";
    connection.query(insert.into(), values.clone(), plenty()).await.unwrap();
    assert_eq!((connection.changes(), connection.last_insert_rowid()), (1, 1));
    let found = database.connect().query("SELECT * FROM t".into(), vec![], plenty()).await.unwrap().value;
    assert_eq!(found.columns, ["id", "a", "b", "c", "d"]);
    let expected: Vec<Value> = [Value::Integer(1)].into_iter().chain(values).collect();
    assert_eq!(found.rows, [expected]);
    let error = connection.query("SELECT ?".into(), vec![], plenty()).await.unwrap_err();
    assert!(matches!(error, SqliteError::Refused(_)), "{error}");
}

#[tokio::test]
async fn another_file_code_and_the_hosts_settings_are_out_of_reach() {
    let (folder, database) = file();
    let connection = database.connect();
    run(&connection, "CREATE TABLE t (a)").await.unwrap();
    let other = folder.path().join("other.sqlite").display().to_string();
    for statement in [
        format!("ATTACH '{other}' AS x"),
        format!("ATTACH 'file:{other}?mode=rwc' AS x"),
        "ATTACH ':memory:' AS x".into(),
        format!("VACUUM INTO '{other}'"),
        "SELECT load_extension('libm.so')".into(),
        "PRAGMA hard_heap_limit = 1".into(),
        "PRAGMA soft_heap_limit = 1".into(),
        "PRAGMA database_list".into(),
        format!("PRAGMA temp_store_directory = '{}'", folder.path().display()),
        "PRAGMA writable_schema = ON".into(),
        "PRAGMA wal_checkpoint(TRUNCATE)".into(),
        "PRAGMA max_page_count = 1".into(),
        "DELETE FROM sqlite_schema".into(),
    ] {
        let error = run(&connection, &statement).await.unwrap_err();
        assert!(matches!(error, SqliteError::Refused(_)), "{statement}: {error}");
        assert!(!error.to_string().contains("app.sqlite"), "{error}");
    }
    assert!(!folder.path().join("other.sqlite").exists());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn what_applications_do_in_good_faith_goes_through() {
    let (_folder, database) = file();
    let connection = database.connect();
    for statement in [
        "PRAGMA journal_mode = DELETE",
        "PRAGMA synchronous = OFF",
        "PRAGMA cache_size = 1000000",
        "PRAGMA foreign_keys = ON",
        "CREATE TABLE t (a PRIMARY KEY)",
        "CREATE TEMP TABLE u (a)",
        "CREATE VIRTUAL TABLE f USING fts5 (body)",
        "INSERT INTO f VALUES ('some words')",
        "PRAGMA table_info(t)",
        "PRAGMA user_version = 7",
        "BEGIN",
        "INSERT INTO t VALUES (json_extract('{\"a\": 1}', '$.a'))",
        "COMMIT",
        "VACUUM",
        "ANALYZE",
    ] {
        run(&connection, statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    let mode = database.connect().query("SELECT count(*) FROM t".into(), vec![], plenty()).await.unwrap();
    assert_eq!(mode.value.rows, [[Value::Integer(1)]]);
}

#[tokio::test]
async fn a_result_that_does_not_fit_is_refused_and_gives_its_bytes_back() {
    let (_folder, database) = file();
    let connection = database.connect();
    for statement in [
        "SELECT randomblob(200000)",
        "SELECT zeroblob(200000)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
        "SELECT hex(randomblob(60000)), hex(randomblob(60000))",
    ] {
        let bounds = bounds(100_000, Duration::from_secs(60));
        let error = connection.query(statement.into(), vec![], bounds.clone()).await.unwrap_err();
        assert!(matches!(error, SqliteError::OverAccount(_) | SqliteError::Refused(_)), "{statement}: {error}");
        assert_eq!(bounds.account.held(), 0, "{statement}");
    }
    let small = connection.query("SELECT 1".into(), vec![], bounds(100_000, Duration::from_secs(60))).await;
    assert_eq!(small.unwrap().value.rows, [[Value::Integer(1)]]);
}

const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

#[tokio::test]
async fn a_statement_is_interrupted_at_the_end_of_its_time_and_the_connection_lives_on() {
    let (_folder, database) = file();
    let connection = database.connect();
    let error = connection.query(ENDLESS.into(), vec![], bounds(1 << 20, Duration::from_millis(50))).await.unwrap_err();
    assert!(matches!(error, SqliteError::TimeOver), "{error}");
    assert_eq!(run(&connection, "SELECT 1").await.unwrap(), [[Value::Integer(1)]]);
}

#[tokio::test]
async fn no_function_goes_on_for_long_after_the_end_of_its_statements_time() {
    let (_folder, database) = file();
    // Each takes a step of its own for every byte of one argument and every byte of the other: days, if nobody minds.
    let (long, half) = ("printf('%.*c', 30000000, 'a')", "printf('%.*c', 15000000, 'a')");
    for statement in [
        format!("SELECT instr({long}, {half} || 'b')"),
        format!("SELECT instr(CAST({long} AS BLOB), CAST({half} || 'b' AS BLOB))"),
        format!("SELECT length(replace({long}, {half} || 'b', 'c'))"),
        format!("SELECT length(trim({long}, printf('%.*c', 15000000, 'b') || 'a'))"),
        format!("SELECT length(rtrim({long}, printf('%.*c', 15000000, 'b') || 'a'))"),
        format!("SELECT length(unhex({long}, {half}))"),
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) \
         SELECT length(json_patch(json_group_object('a' || i, 1), json_group_object('b' || i, 1))) FROM n"
            .to_owned(),
        format!("SELECT {long} LIKE '%' || substr({half}, 1, 40000) || 'b'"),
        format!("SELECT {long} GLOB '*' || substr({half}, 1, 40000) || 'b'"),
    ] {
        let (connection, minute) = (database.connect(), Duration::from_secs(60));
        let answer = connection.query(statement.clone(), vec![], bounds(64 << 20, minute));
        match tokio::time::timeout(minute, answer).await.unwrap_or_else(|_elapsed| panic!("{statement} goes on")) {
            Ok(_rows) => {}
            Err(error) => assert!(matches!(error, SqliteError::Refused(_)), "{statement}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_patched_object_is_json_as_sqlites_own_is() {
    let (_folder, database) = file();
    let statement = "SELECT json_array(json_patch('{\"a\":1,\"b\":2}', '{\"a\":null,\"c\":3}')), \
                     json(jsonb_patch('{\"a\":1}', '{\"b\":2}')), json_patch(NULL, '{}')";
    let expected = [[Value::Text("[{\"b\":2,\"c\":3}]".into()), Value::Text("{\"a\":1,\"b\":2}".into()), Value::Null]];
    assert_eq!(run(&database.connect(), statement).await.unwrap(), expected);
}

#[tokio::test]
async fn a_statement_that_nobody_waits_for_gives_its_place_to_others() {
    let (_folder, database) = file();
    let connections: Vec<Connection> = (0..QUERIES).map(|_| database.connect()).collect();
    let endless = futures::future::join_all(connections.iter().map(|one| run(one, ENDLESS)));
    // None ends by itself, so this always leaves them behind.
    assert!(tokio::time::timeout(Duration::from_millis(50), endless).await.is_err());
    assert_eq!(run(&database.connect(), "SELECT 1").await.unwrap(), [[Value::Integer(1)]]);
}

#[tokio::test]
async fn closing_undoes_a_transaction_and_lets_others_write() {
    let (_folder, database) = file();
    let (one, other) = (database.connect(), database.connect());
    run(&one, "CREATE TABLE t (a)").await.unwrap();
    run(&one, "BEGIN IMMEDIATE").await.unwrap();
    run(&one, "INSERT INTO t VALUES (1)").await.unwrap();
    let waiting = bounds(1 << 20, Duration::from_millis(50));
    assert!(other.query("INSERT INTO t VALUES (2)".into(), vec![], waiting).await.is_err());
    one.close();
    run(&other, "INSERT INTO t VALUES (3)").await.unwrap();
    assert_eq!(run(&one, "SELECT a FROM t").await.unwrap(), [[Value::Integer(3)]]);
    assert_eq!((one.changes(), one.last_insert_rowid()), (0, 0));
}

#[tokio::test]
async fn a_transaction_goes_on_however_many_wait_for_its_end() {
    let (_folder, database) = file();
    run(&database.connect(), "CREATE TABLE t (a)").await.unwrap();
    let transaction = async |_: usize| {
        let connection = database.connect();
        for statement in ["BEGIN IMMEDIATE", "INSERT INTO t VALUES (1)", "COMMIT"] {
            run(&connection, statement).await?;
        }
        Ok::<_, SqliteError>(())
    };
    futures::future::try_join_all((0..3 * QUERIES).map(transaction)).await.unwrap();
    let rows = run(&database.connect(), "SELECT count(*) FROM t").await.unwrap();
    assert_eq!(rows, [[Value::Integer(3 * QUERIES as i64)]]);
}

#[tokio::test]
async fn a_transaction_that_writes_needs_no_place_and_any_other_one_does() {
    let (_folder, database) = file();
    run(&database.connect(), "CREATE TABLE t (a)").await.unwrap();
    for (begin, needs_one) in [
        (&["BEGIN"][..], true),
        (&["BEGIN", "SELECT * FROM t"], true),
        (&["BEGIN", "CREATE TEMP TABLE u (a)", "INSERT INTO u VALUES (1)"], true),
        (&["BEGIN IMMEDIATE", "ROLLBACK"], true),
        (&["BEGIN IMMEDIATE"], false),
        (&["BEGIN", "INSERT INTO t VALUES (1)"], false),
    ] {
        let connection = database.connect();
        for statement in begin {
            run(&connection, statement).await.unwrap();
        }
        let all = u32::try_from(QUERIES).unwrap();
        let places = Arc::clone(&database.queries).acquire_many_owned(all).await.unwrap();
        let short = bounds(1 << 20, Duration::from_millis(50));
        let got = connection.query("SELECT * FROM t".into(), vec![], short).await;
        assert_eq!(matches!(got, Err(SqliteError::TimeOver)), needs_one, "{begin:?}: {got:?}");
        drop(places);
        run(&connection, "SELECT * FROM t").await.unwrap();
        connection.close();
        // What it held is given back on another thread.
        run(&database.connect(), "INSERT INTO t VALUES (2)").await.unwrap();
    }
}

#[tokio::test]
async fn memory_alone_is_each_connections_own() {
    let database = Database::in_memory(BYTES);
    let (one, other) = (database.connect(), database.connect());
    run(&one, "CREATE TABLE t (a)").await.unwrap();
    run(&one, "SELECT * FROM t").await.unwrap();
    assert!(run(&other, "SELECT * FROM t").await.is_err());
}

#[tokio::test]
async fn a_full_database_says_so_and_takes_rows_again_once_others_are_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sqlite");
    for database in [Database::open(&path, BYTES).unwrap(), Database::in_memory(BYTES)] {
        let connection = database.connect();
        run(&connection, "CREATE TABLE t (a)").await.unwrap();
        let mut rows = 0;
        let full = loop {
            match run(&connection, "INSERT INTO t VALUES (randomblob(100000))").await {
                Ok(_) => rows += 1,
                Err(full) => break full,
            }
        };
        assert!(matches!(full, SqliteError::Full), "{full}");
        assert!((8..=10).contains(&rows), "{rows} rows of 100,000 bytes in 1 MiB");
        let found = run(&connection, "SELECT count(*) FROM t").await.unwrap();
        assert_eq!(found, [[Value::Integer(rows)]], "what is there is still read");
        run(&connection, "DELETE FROM t").await.unwrap();
        run(&connection, "INSERT INTO t VALUES (randomblob(100000))").await.unwrap();
    }
    assert!(path.metadata().unwrap().len() <= BYTES);
}

#[tokio::test]
async fn the_log_of_a_database_is_bounded_while_somebody_reads_what_was_there_before() {
    let (folder, database) = file();
    let (reader, writer) = (database.connect(), database.connect());
    run(&writer, "CREATE TABLE t (a)").await.unwrap();
    run(&writer, "INSERT INTO t VALUES (randomblob(300000))").await.unwrap();
    run(&reader, "BEGIN").await.unwrap();
    run(&reader, "SELECT count(*) FROM t").await.unwrap();
    let mut writes = 0;
    let full = loop {
        match run(&writer, "UPDATE t SET a = randomblob(300000)").await {
            Ok(_) => writes += 1,
            Err(full) => break full,
        }
        assert!(writes < 100, "nothing bounds the log");
    };
    assert!(matches!(full, SqliteError::Full), "{full}");
    let log = folder.path().join("deep/app.sqlite-wal");
    assert!(log.metadata().unwrap().len() < 2 * BYTES);
    run(&reader, "COMMIT").await.unwrap();
    run(&writer, "UPDATE t SET a = randomblob(300000)").await.unwrap();
    assert!(log.metadata().unwrap().len() < BYTES, "what is in the database needs no log");
}

#[tokio::test]
async fn what_a_statement_computes_is_taken_from_the_guests_time() {
    let (_folder, database) = file();
    let connection = database.connect();
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let mut short = plenty();
    short.cpu = Arc::new(CpuBudget::new(Duration::from_millis(20)));
    let over = connection.query(endless.into(), vec![], short.clone()).await.unwrap_err();
    assert!(matches!(over, SqliteError::CpuOver), "{over}");
    assert!(short.cpu.is_over());
    // What waits for another's transaction computes nothing.
    let other = database.connect();
    run(&other, "CREATE TABLE t (a)").await.unwrap();
    run(&other, "BEGIN IMMEDIATE").await.unwrap();
    let waiting = bounds(1 << 20, Duration::from_millis(200));
    let before = waiting.cpu.left();
    connection.query("INSERT INTO t VALUES (1)".into(), vec![], waiting.clone()).await.unwrap_err();
    assert!(before - waiting.cpu.left() < Duration::from_millis(100), "{:?}", before - waiting.cpu.left());
}

#[tokio::test]
async fn what_is_sorted_and_kept_for_a_while_makes_no_files() {
    let (_folder, database) = file();
    let connection = database.connect();
    let stored = run(&connection, "PRAGMA temp_store").await.unwrap();
    assert_eq!(stored, Vec::<Vec<Value>>::new(), "the pragma has no effect, and so no answer");
    let anchor = database.anchor.as_ref().unwrap().lock();
    let kept: i64 = anchor.pragma_query_value(None, "temp_store", |row| row.get(0)).unwrap();
    assert_eq!(kept, 2, "in memory, which is bounded");
}
