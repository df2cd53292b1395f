//! What statements and their parameters are, and what comes back.

use super::{INTERFACES, NEW, ask, error, fails, on};
use bobbin_tests::{MysqlServer, Result};
use serde_json::{Value, json};

/// A column's type, a parameter, how it comes back, and what the interfaces call the column's type.
fn types() -> [(&'static str, Value, &'static str, &'static str); 27] {
    [
        ("BOOLEAN", json!({ "boolean": true }), "Int8(1)", "Int8"),
        ("TINYINT", json!({ "int8": -128 }), "Int8(-128)", "Int8"),
        ("TINYINT UNSIGNED", json!({ "uint8": 255 }), "Uint8(255)", "Uint8"),
        ("SMALLINT", json!({ "int16": -32768 }), "Int16(-32768)", "Int16"),
        ("SMALLINT UNSIGNED", json!({ "uint16": 65535 }), "Uint16(65535)", "Uint16"),
        ("MEDIUMINT", json!({ "int32": -8_388_608 }), "Int32(-8388608)", "Int32"),
        ("MEDIUMINT UNSIGNED", json!({ "uint32": 16_777_215 }), "Uint32(16777215)", "Uint32"),
        ("INT", json!({ "int32": i32::MIN }), "Int32(-2147483648)", "Int32"),
        ("INT UNSIGNED", json!({ "uint32": u32::MAX }), "Uint32(4294967295)", "Uint32"),
        ("BIGINT", json!({ "int64": i64::MIN }), "Int64(-9223372036854775808)", "Int64"),
        ("BIGINT UNSIGNED", json!({ "uint64": u64::MAX }), "Uint64(18446744073709551615)", "Uint64"),
        ("FLOAT", json!({ "floating32": 1.5 }), "Floating32(1.5)", "Floating32"),
        ("DOUBLE", json!({ "floating64": -0.1 }), "Floating64(-0.1)", "Floating64"),
        ("VARCHAR(20)", json!({ "str": "ä💡" }), "Str(\"ä💡\")", "Str"),
        ("VARCHAR(20)", json!({ "str": "" }), "Str(\"\")", "Str"),
        ("CHAR(5)", json!({ "str": "ab" }), "Str(\"ab\")", "Str"),
        ("TEXT", json!({ "str": "ab" }), "Str(\"ab\")", "Str"),
        ("LONGTEXT", json!({ "str": "ab" }), "Str(\"ab\")", "Str"),
        ("ENUM('x', 'y')", json!({ "str": "y" }), "Str(\"y\")", "Str"),
        ("SET('x', 'y')", json!({ "str": "x,y" }), "Str(\"x,y\")", "Str"),
        ("VARBINARY(20)", json!({ "binary": [0, 255] }), "Binary([0, 255])", "Binary"),
        ("BINARY(3)", json!({ "binary": [1] }), "Binary([1, 0, 0])", "Binary"),
        ("BLOB", json!({ "binary": [0, 255] }), "Binary([0, 255])", "Binary"),
        ("LONGBLOB", json!({ "binary": [] }), "Binary([])", "Binary"),
        ("INT", json!(null), "DbNull", "Int32"),
        ("TEXT", json!(null), "DbNull", "Str"),
        ("DECIMAL(5, 2)", json!(null), "DbNull", "Other"),
    ]
}

#[tokio::test]
async fn every_interface_has_every_type() -> Result {
    let Some(server) = MysqlServer::start().await? else { return Ok(()) };
    let (_app, host) = on(server.port()).await?;
    let types = types();
    for (number, interface) in INTERFACES.into_iter().enumerate() {
        let columns: Vec<_> = types.iter().enumerate().map(|(index, (ty, ..))| format!("c{index} {ty}")).collect();
        let parameters: Vec<_> = types.iter().map(|(_, parameter, ..)| parameter.clone()).collect();
        let marks = vec!["?"; types.len()].join(", ");
        let calls = json!([
            ["execute", format!("CREATE TABLE t{number} ({})", columns.join(", ")), []],
            ["execute", format!("INSERT INTO t{number} VALUES ({marks})"), parameters],
            ["query", format!("SELECT * FROM t{number}"), []],
        ]);
        let answers = ask(&host, interface, &server.url(), calls).await?;
        assert_eq!(answers[1], json!({ "ok": null }), "{interface}: {answers}");
        let found = &answers[2]["ok"];
        for (index, (ty, _, value, data_type)) in types.iter().enumerate() {
            assert_eq!(found["rows"][0][index], format!("DbValue::{value}"), "{interface} {ty}: {answers}");
            let column = json!([format!("c{index}"), format!("DbDataType::{data_type}")]);
            assert_eq!(found["columns"][index], column, "{interface} {ty}");
        }
        assert_eq!(found["rows"][0].as_array().map(Vec::len), Some(types.len()), "{interface}: {answers}");
    }
    Ok(())
}

#[tokio::test]
async fn a_value_that_the_interfaces_have_no_type_for_is_an_error_that_names_it() -> Result {
    let Some(server) = MysqlServer::start().await? else { return Ok(()) };
    let (_app, host) = on(server.port()).await?;
    let cases = [
        ("CAST(1.5 AS DECIMAL(5, 2))", "DECIMAL"),
        ("DATE '1999-12-31'", "DATE"),
        ("TIME '23:59:01'", "TIME"),
        ("TIMESTAMP '2024-02-29 01:02:03'", "DATETIME"),
        ("POINT(1, 2)", "GEOMETRY"),
    ];
    for interface in INTERFACES {
        let mut calls: Vec<Value> =
            cases.iter().map(|(value, _)| json!(["query", format!("SELECT 1, {value} AS value"), []])).collect();
        calls.push(json!(["query", "SELECT CAST(CAST(1.5 AS DECIMAL(5, 2)) AS CHAR), NULL", []]));
        let answers = ask(&host, interface, &server.url(), json!(calls)).await?;
        for (index, (value, ty)) in cases.iter().enumerate() {
            let told = format!("column value: the interface has no type for a value of the type {ty};");
            assert!(fails(&answers[index], "ValueConversionFailed", &told), "{interface} {value}: {answers}");
        }
        let rows = json!([["DbValue::Str(\"1.50\")", "DbValue::DbNull"]]);
        assert_eq!(answers[cases.len()]["ok"]["rows"], rows, "{interface}: {answers}");
    }
    Ok(())
}

#[tokio::test]
async fn statements_take_parameters_and_change_rows() -> Result {
    let Some(server) = MysqlServer::start().await? else { return Ok(()) };
    let (_app, host) = on(server.port()).await?;
    for (number, interface) in INTERFACES.into_iter().enumerate() {
        let calls = json!([
            ["execute", format!("CREATE TABLE t{number} (id INT PRIMARY KEY, name TEXT)"), []],
            ["execute", format!("INSERT INTO t{number} VALUES (?, ?), (2, '?')"), [{ "int32": 1 }, { "str": "' OR 1" }]],
            ["query", format!("SELECT name FROM t{number} WHERE name = ?"), [{ "str": "' OR 1" }]],
            ["query", format!("SELECT name FROM t{number} WHERE id > 5"), []],
            ["execute", format!("SELECT * FROM t{number}"), []],
            ["query", format!("SELECT ? FROM t{number}"), [{ "int8": 1 }, { "int8": 2 }]],
            ["query", format!("SELECT ? FROM t{number}"), []],
            ["query", format!("DELETE FROM t{number} WHERE id = ?"), [{ "uint64": 1 }]],
            ["query", format!("SELECT id, ?, ?, ? FROM t{number}"), [{ "boolean": false }, null, { "uint8": 9 }]],
        ]);
        let answers = ask(&host, interface, &server.url(), calls).await?;
        assert_eq!(answers[1], json!({ "ok": null }), "{interface}: {answers}");
        let column = json!([["name", "DbDataType::Str"]]);
        let found = json!({ "ok": { "columns": column, "rows": [["DbValue::Str(\"' OR 1\")"]] } });
        assert_eq!(answers[2], found, "{interface}: {answers}");
        assert_eq!(answers[3], json!({ "ok": { "columns": column, "rows": [] } }), "{interface}: {answers}");
        assert_eq!(answers[4], json!({ "ok": null }), "{interface}: {answers}");
        for (index, told) in [(5, "takes 1 parameters, and 2 are given"), (6, "takes 1 parameters, and 0 are given")] {
            assert!(fails(&answers[index], "QueryFailed", told), "{interface}: {answers}");
        }
        assert!(fails(&answers[7], "Other", "no rows to read"), "{interface}: {answers}");
        let row = ["Int32(2)", "Int64(0)", "DbNull", "Uint64(9)"].map(|value| format!("DbValue::{value}"));
        assert_eq!(answers[8]["ok"]["rows"], json!([row]), "{interface}: {answers}");
    }
    Ok(())
}

#[tokio::test]
async fn of_a_procedure_the_first_result_is_told_and_the_others_are_in_nobodys_way() -> Result {
    let Some(server) = MysqlServer::start().await? else { return Ok(()) };
    let (_app, host) = on(server.port()).await?;
    let made = json!([["execute", "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2, 3; END", []]]);
    assert_eq!(ask(&host, NEW, &server.url(), made).await?[0], json!({ "ok": null }));
    for interface in INTERFACES {
        let calls = json!([["query", "CALL p()", []], ["execute", "CALL p()", []], ["query", "SELECT 4", []]]);
        let answers = ask(&host, interface, &server.url(), calls).await?;
        assert_eq!(answers[0]["ok"]["rows"], json!([["DbValue::Int32(1)"]]), "{interface}: {answers}");
        assert_eq!(answers[1], json!({ "ok": null }), "{interface}: {answers}");
        assert_eq!(answers[2]["ok"]["rows"], json!([["DbValue::Int32(4)"]]), "{interface}: {answers}");
    }
    Ok(())
}

#[tokio::test]
async fn what_the_server_refuses_is_told_with_its_code() -> Result {
    let Some(server) = MysqlServer::start().await? else { return Ok(()) };
    let (_app, host) = on(server.port()).await?;
    let once =
        json!([["execute", "CREATE TABLE t (id INT PRIMARY KEY)", []], ["execute", "INSERT INTO t VALUES (1)", []]]);
    ask(&host, NEW, &server.url(), once).await?;
    let calls = json!([
        ["query", "SELECT FROM WHERE", []],
        ["query", "SELECT * FROM absent", []],
        ["execute", "INSERT INTO t VALUES (?)", [{ "int32": 1 }]],
        ["execute", "INSERT INTO t VALUES (?)", [{ "str": "one" }]],
        ["query", "SELECT id, (SELECT 1 UNION SELECT 2) FROM t", []],
        ["query", "SELECT 1", []],
    ]);
    for interface in INTERFACES {
        let answers = ask(&host, interface, &server.url(), calls.clone()).await?;
        let wanted = [(1064, "42000"), (1146, "42S02"), (1062, "23000"), (1366, "22007"), (1242, "21000")];
        for (index, (code, state)) in wanted.into_iter().enumerate() {
            let told = format!("Server(ServerError {{ code: {code}, message: ");
            assert!(fails(&answers[index], "QueryFailed", &told), "{interface} {code}: {answers}");
            assert!(error(&answers[index]).contains(state), "{interface} {state}: {answers}");
        }
        assert_eq!(answers[5]["ok"]["rows"], json!([["DbValue::Int32(1)"]]), "{interface}: {answers}");
    }
    Ok(())
}
