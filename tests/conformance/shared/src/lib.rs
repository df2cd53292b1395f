//! What several components here do. Much of it is macros: the types of two versions of an interface have the same names, and
//! nothing else in common.

/// The handler of a component of spin-sdk 5. It answers with what `answer(path, body)` says, or with status 400 and the error.
#[macro_export]
macro_rules! spin_5 {
    ($answer:ident) => {
        #[spin_sdk::http_component]
        fn handle(request: spin_sdk::http::Request) -> anyhow::Result<spin_sdk::http::Response> {
            let path = request.header("spin-path-info").and_then(|path| path.as_str()).unwrap_or_default();
            let (status, told) = match $answer(path, request.body()) {
                Ok(told) => (200_u16, told),
                Err(error) => (400, format!("{error:?}")),
            };
            Ok(spin_sdk::http::Response::new(status, told))
        }
    };
}

/// The same for a component of spin-sdk 7, where `answer` is asynchronous.
#[macro_export]
macro_rules! spin_7 {
    ($answer:ident) => {
        #[spin_sdk::http_service]
        async fn handle(request: spin_sdk::http::Request) -> spin_sdk::http::Result<spin_sdk::http::Response<String>> {
            use spin_sdk::http::body::IncomingBodyExt;
            let path = request.headers().get("spin-path-info").and_then(|path| path.to_str().ok());
            let path = path.unwrap_or_default().to_owned();
            let body = request.into_body().bytes().await?;
            let (status, told) = match $answer(&path, &body).await {
                Ok(told) => (200, told),
                Err(error) => (400, format!("{error:?}")),
            };
            Ok(spin_sdk::http::Response::builder().status(status).body(told)?)
        }
    };
}

/// A text of bytes.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A text of bytes that may not be there.
pub fn text_or_none(bytes: Option<Vec<u8>>) -> String {
    bytes.map_or_else(|| "(none)".to_owned(), |bytes| text(&bytes))
}

/// The members of a set, which come in no order.
pub fn sorted(mut members: Vec<String>) -> String {
    members.sort();
    members.join(",")
}

/// How many rows there are, of how many numbers, and which line is nearest to the first.
pub fn compared(rows: &[Vec<f32>]) -> String {
    let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let first = rows.first().map(Vec::as_slice).unwrap_or_default();
    let others = rows.iter().enumerate().skip(1).map(|(line, row)| (line + 1, cosine(first, row)));
    let nearest = others.max_by(|one, other| one.1.total_cmp(&other.1)).map(|(line, _)| line);
    format!("{} rows of {}, nearest is line {}", rows.len(), first.len(), nearest.unwrap_or_default())
}

/// For `execute` of Redis: what its arguments are, and how its results look.
#[macro_export]
macro_rules! redis {
    () => {
        /// A number is an integer, everything else bytes.
        fn parameters(arguments: &[String]) -> Vec<RedisParameter> {
            let parameter = |argument: &String| match argument.parse() {
                Ok(number) => RedisParameter::Int64(number),
                Err(_) => RedisParameter::Binary(argument.as_bytes().to_vec()),
            };
            arguments.iter().map(parameter).collect()
        }

        fn shown(results: &[RedisResult]) -> String {
            let shown = |result: &RedisResult| match result {
                RedisResult::Nil => "(none)".to_owned(),
                RedisResult::Status(text) => format!("status {text}"),
                RedisResult::Int64(number) => number.to_string(),
                RedisResult::Binary(bytes) => $crate::text(bytes),
            };
            results.iter().map(shown).collect::<Vec<_>>().join(",")
        }
    };
}

/// A value of each type of SQLite.
#[macro_export]
macro_rules! sqlite_values {
    () => {
        [Value::Integer(7), Value::Real(1.5), Value::Text("ä".to_owned()), Value::Blob(vec![0, 255]), Value::Null]
    };
}

/// For results of SQLite that come whole.
#[macro_export]
macro_rules! sqlite_shown {
    () => {
        /// The columns, and a line for each row.
        fn shown(found: &QueryResult) -> String {
            let row = |row: &RowResult| format!("{:?}\n", row.values);
            format!("{}\n{}", found.columns.join(","), found.rows.iter().map(row).collect::<String>())
        }
    };
}

/// For results of PostgreSQL that come whole.
#[macro_export]
macro_rules! postgres_shown {
    () => {
        /// The columns with their types, and a line for each row.
        fn shown(found: &RowSet) -> String {
            let column = |column: &Column| format!("{} {:?}", column.name, column.data_type);
            let columns: Vec<_> = found.columns.iter().map(column).collect();
            let rows: String = found.rows.iter().map(|row| format!("{row:?}\n")).collect();
            format!("{}\n{rows}", columns.join(","))
        }
    };
}

/// What a component of spin-sdk 5 answers, for every version of its `Connection`; and what else it does at which path.
#[macro_export]
macro_rules! postgres_of_spin_5 {
    ($($path:literal => $more:ident),*) => {
        fn answer(path: &str, body: &[u8]) -> Result<String, Error> {
            let postgres = Connection::open(&spin_sdk::variables::get("address").expect("an address"))?;
            let statement = $crate::text(body);
            Ok(match path {
                "/query" => shown(&postgres.query(&statement, &[])?),
                "/execute" => postgres.execute(&statement, &[])?.to_string(),
                "/types" => {
                    let mut told = String::new();
                    for (name, parameter) in types() {
                        let found = postgres.query(&format!("SELECT $1::{name} AS value"), &[parameter])?;
                        told += &format!("{name}: {}", shown(&found));
                    }
                    told
                }
                $($path => $more(&postgres)?,)*
                other => format!("no operation {other}"),
            })
        }

        $crate::postgres_shown!();
    };
}

/// Types of PostgreSQL that every version of the interface has, with a parameter for each.
#[macro_export]
macro_rules! postgres_types_of_1 {
    () => {
        vec![
            ("bool", ParameterValue::Boolean(true)),
            ("int2", ParameterValue::Int16(-2)),
            ("int4", ParameterValue::Int32(-4)),
            ("int8", ParameterValue::Int64(i64::MIN)),
            ("float4", ParameterValue::Floating32(1.5)),
            ("float8", ParameterValue::Floating64(-0.1)),
            ("text", ParameterValue::Str("ä".to_owned())),
            ("varchar", ParameterValue::Str(String::new())),
            ("bytea", ParameterValue::Binary(vec![0, 255])),
            ("int4", ParameterValue::DbNull),
        ]
    };
}

/// Those of version 3.
#[macro_export]
macro_rules! postgres_types_of_3 {
    () => {{
        let mut all = $crate::postgres_types_of_1!();
        all.extend([
            ("date", ParameterValue::Date((1999, 12, 31))),
            ("time", ParameterValue::Time((23, 59, 1, 4_005_000))),
            ("timestamp", ParameterValue::Datetime((2024, 2, 29, 1, 2, 3, 4000))),
            ("timestamptz", ParameterValue::Timestamp(1)),
        ]);
        all
    }};
}

/// Those of version 4.
#[macro_export]
macro_rules! postgres_types_of_4 {
    () => {{
        let inclusive = |number| Some((number, RangeBoundKind::Inclusive));
        let exclusive = |number| Some((number, RangeBoundKind::Exclusive));
        let mut all = $crate::postgres_types_of_3!();
        all.extend([
            ("uuid", ParameterValue::Uuid("67E55044-10B1-426F-9247-BB680E5FE0C8".to_owned())),
            ("jsonb", ParameterValue::Jsonb(b"[1]".to_vec())),
            ("numeric", ParameterValue::Decimal("-12345678901234567890123456789012345.678900".to_owned())),
            ("int4range", ParameterValue::RangeInt32((inclusive(1), inclusive(5)))),
            ("int8range", ParameterValue::RangeInt64((None, exclusive(5)))),
            ("numrange", ParameterValue::RangeDecimal((Some(("1.5".to_owned(), RangeBoundKind::Exclusive)), None))),
            ("int4[]", ParameterValue::ArrayInt32(vec![Some(1), None, Some(-1)])),
            ("int8[]", ParameterValue::ArrayInt64(vec![])),
            ("numeric[]", ParameterValue::ArrayDecimal(vec![Some("0.10".to_owned()), None])),
            ("text[]", ParameterValue::ArrayStr(vec![Some("a".to_owned()), None, Some(String::new())])),
            ("interval", ParameterValue::Interval(Interval { micros: 1, days: 2, months: 3 })),
        ]);
        all
    }};
}
