//! From what a MySQL server sends to columns and rows. Pure.

use super::error::{QueryError, ServerError, ValueError};
use super::handshake::ERROR;
use super::reader::{Malformed, Reader};
use super::value::{Column, DataType, Row, Value};

/// An end of columns or rows is no longer than this; a number that begins alike is.
const END_BYTES: usize = 8;
const END: u8 = 0xfe;
const OK: u8 = 0;
/// The server asks for a file.
const FILE: u8 = 0xfb;
/// Another result follows this one.
const MORE_RESULTS: u16 = 1 << 3;
const UNSIGNED: u16 = 1 << 5;
const BINARY: u16 = 1 << 7;
/// The null bits of a row begin after so many others.
const RESERVED_BITS: usize = 2;

/// A column, and how its values are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) column: Column,
    kind: u8,
}

impl Definition {
    pub(super) fn read(packet: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(packet, "definition of a column");
        for _catalog_schema_table_and_its_own_name in 0..4 {
            reader.counted()?;
        }
        let name = String::from_utf8_lossy(reader.counted()?).into_owned();
        let (_own_name, _length) = (reader.counted()?, reader.number()?);
        let (_collation, _width) = (reader.u16()?, reader.u32()?);
        let (kind, flags) = (reader.u8()?, reader.u16()?);
        Ok(Self { column: Column { name, data_type: data_type(kind, flags) }, kind })
    }

    /// Bytes that it takes in the host.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of::<Column>() + 2 * self.column.name.len()
    }
}

fn data_type(kind: u8, flags: u16) -> DataType {
    let signed = flags & UNSIGNED == 0;
    match kind {
        1 if signed => DataType::Int8,
        1 => DataType::Uint8,
        2 if signed => DataType::Int16,
        2 => DataType::Uint16,
        3 | 9 if signed => DataType::Int32,
        3 | 9 => DataType::Uint32,
        8 if signed => DataType::Int64,
        8 => DataType::Uint64,
        4 => DataType::Floating32,
        5 => DataType::Floating64,
        15 | 249..=254 if flags & BINARY == 0 => DataType::Str,
        15 | 249..=254 => DataType::Binary,
        _ => DataType::Other,
    }
}

/// What MySQL calls a type that the interfaces do not have.
fn name(kind: u8) -> &'static str {
    match kind {
        0 | 246 => "DECIMAL",
        7 => "TIMESTAMP",
        10 | 14 => "DATE",
        11 => "TIME",
        12 => "DATETIME",
        13 => "YEAR",
        16 => "BIT",
        245 => "JSON",
        247 => "ENUM",
        248 => "SET",
        255 => "GEOMETRY",
        _ => "unknown",
    }
}

/// A prepared statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prepared {
    pub(super) statement: u32,
    pub(super) parameters: u16,
    pub(super) columns: u16,
}

/// What a server says to a statement that it is to prepare.
pub(super) fn prepared(packet: &[u8]) -> Result<Result<Prepared, ServerError>, Malformed> {
    let mut reader = Reader::new(packet, "answer to a statement");
    match reader.u8()? {
        ERROR => ServerError::read(packet).map(Err),
        OK => {
            let (statement, columns, parameters) = (reader.u32()?, reader.u16()?, reader.u16()?);
            Ok(Ok(Prepared { statement, parameters, columns }))
        }
        _ => reader.malformed(),
    }
}

/// What a server says to a statement that it has run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// There are no rows. Whether another result follows.
    Done { more: bool },
    /// It failed.
    Failed(ServerError),
    /// Rows with so many columns.
    Columns(u16),
}

pub(super) fn header(packet: &[u8]) -> Result<Header, Malformed> {
    let mut reader = Reader::new(packet, "result");
    match packet.first() {
        Some(&ERROR) => ServerError::read(packet).map(Header::Failed),
        Some(&OK) => {
            let (_ok, _changed, _last) = (reader.u8()?, reader.number()?, reader.number()?);
            Ok(Header::Done { more: reader.u16()? & MORE_RESULTS != 0 })
        }
        Some(&FILE) => Err(Malformed("result, but asked for a file of this machine")),
        _ => match u16::try_from(reader.number()?) {
            Ok(count) => Ok(Header::Columns(count)),
            // No statement has so many that their number could not be told when it was prepared.
            Err(_more) => reader.malformed(),
        },
    }
}

/// What follows the columns.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A row.
    Row,
    /// There are no more. Whether another result follows.
    End { more: bool },
    /// There are no more, for a reason.
    Failed(ServerError),
}

pub(super) fn next(packet: &[u8]) -> Result<Next, Malformed> {
    let mut reader = Reader::new(packet, "row");
    match reader.u8()? {
        OK => Ok(Next::Row),
        ERROR => ServerError::read(packet).map(Next::Failed),
        END if packet.len() <= END_BYTES => {
            let (_warnings, status) = (reader.u16()?, reader.u16()?);
            Ok(Next::End { more: status & MORE_RESULTS != 0 })
        }
        _ => reader.malformed(),
    }
}

/// The end of a list of definitions.
pub(super) fn end(packet: &[u8]) -> Result<(), Malformed> {
    match next(packet)? {
        Next::End { .. } => Ok(()),
        Next::Row | Next::Failed(_) => Err(Malformed("end of its columns")),
    }
}

/// What a row takes at most when it is decoded, known before it is.
pub(super) fn bytes(definitions: &[Definition], packet: &[u8]) -> usize {
    size_of::<Row>() + definitions.len() * size_of::<Value>() + packet.len()
}

/// The values of a row.
pub(super) fn row(definitions: &[Definition], packet: &[u8]) -> Result<Row, QueryError> {
    let mut reader = Reader::new(packet, "row");
    let named = |definition: &Definition, reason| QueryError::Value { column: definition.column.name.clone(), reason };
    let malformed = |malformed: Malformed| QueryError::Lost(malformed.into());
    let nulls = reader.take(1).and_then(|_ok| reader.take((definitions.len() + RESERVED_BITS).div_ceil(8)));
    let nulls = nulls.map_err(malformed)?;
    let mut values = Vec::with_capacity(definitions.len());
    for (definition, bit) in definitions.iter().zip(RESERVED_BITS..) {
        let null = nulls.get(bit / 8).is_some_and(|byte| byte & 1 << (bit % 8) != 0);
        let value = if null { Ok(Value::Null) } else { value(definition, &mut reader) };
        values.push(value.map_err(|reason| named(definition, reason))?);
    }
    if reader.is_empty() { Ok(values) } else { reader.malformed().map_err(malformed) }
}

fn value(definition: &Definition, reader: &mut Reader<'_>) -> Result<Value, ValueError> {
    // What is smaller than the bytes that it is sent in was not cut: MEDIUMINT is sent as INT.
    Ok(match definition.column.data_type {
        DataType::Int8 => Value::Int8(i8::from_le_bytes(reader.array()?)),
        DataType::Int16 => Value::Int16(i16::from_le_bytes(reader.array()?)),
        DataType::Int32 => Value::Int32(i32::from_le_bytes(reader.array()?)),
        DataType::Int64 => Value::Int64(i64::from_le_bytes(reader.array()?)),
        DataType::Uint8 => Value::Uint8(reader.u8()?),
        DataType::Uint16 => Value::Uint16(reader.u16()?),
        DataType::Uint32 => Value::Uint32(reader.u32()?),
        DataType::Uint64 => Value::Uint64(u64::from_le_bytes(reader.array()?)),
        DataType::Floating32 => Value::Floating32(f32::from_le_bytes(reader.array()?)),
        DataType::Floating64 => Value::Floating64(f64::from_le_bytes(reader.array()?)),
        DataType::Str => match std::str::from_utf8(reader.counted()?) {
            Ok(text) => Value::Str(text.to_owned()),
            Err(_why) => return Err(ValueError::Text),
        },
        DataType::Binary => Value::Binary(reader.counted()?.to_vec()),
        DataType::Other => return Err(ValueError::Type(name(definition.kind))),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A definition as a server sends it.
    pub(crate) fn definition(name: &str, kind: u8, flags: u16) -> Vec<u8> {
        let mut packet = b"\x03def\0\0\0".to_vec();
        packet.push(u8::try_from(name.len()).unwrap());
        packet.extend(name.as_bytes());
        packet.extend([0, 12, 45, 0, 255, 0, 0, 0, kind]);
        packet.extend(flags.to_le_bytes());
        packet.extend([0, 0, 0]);
        packet
    }

    fn defined(columns: &[(u8, u16)]) -> Vec<Definition> {
        columns.iter().map(|(kind, flags)| Definition::read(&definition("c", *kind, *flags)).unwrap()).collect()
    }

    #[test]
    fn every_kind_of_column_has_its_type() {
        let types = |kind| [0, UNSIGNED, BINARY].map(|flags| data_type(kind, flags));
        assert_eq!(types(1), [DataType::Int8, DataType::Uint8, DataType::Int8]);
        assert_eq!(types(9), [DataType::Int32, DataType::Uint32, DataType::Int32]);
        assert_eq!(types(8), [DataType::Int64, DataType::Uint64, DataType::Int64]);
        assert_eq!(types(252), [DataType::Str, DataType::Str, DataType::Binary]);
        for kind in [0, 7, 10, 11, 12, 13, 16, 245, 246, 255] {
            assert_eq!(data_type(kind, 0), DataType::Other);
            assert_ne!(name(kind), "unknown");
        }
        let read = Definition::read(&definition("ä", 254, BINARY)).unwrap();
        assert_eq!(read.column, Column { name: "ä".into(), data_type: DataType::Binary });
        assert_eq!(Definition::read(b"\x03def"), Err(Malformed("definition of a column")));
    }

    #[test]
    fn a_row_has_its_values_and_nothing_else() {
        let columns = defined(&[(3, 0), (253, 0), (252, BINARY), (1, UNSIGNED), (4, 0), (246, 0), (8, 0)]);
        // The second of them, the sixth and the seventh are NULL.
        let packet =
            [&[0, 0b1000_1000, 0b1][..], &(-5_i32).to_le_bytes(), b"\x02\0\xff", &[255], &1.5_f32.to_le_bytes()];
        let values = row(&columns, &packet.concat()).unwrap();
        let wanted = [
            Value::Int32(-5),
            Value::Null,
            Value::Binary(vec![0, 255]),
            Value::Uint8(255),
            Value::Floating32(1.5),
            Value::Null,
            Value::Null,
        ];
        assert_eq!(values, wanted);
        assert!(bytes(&columns, &packet.concat()) >= values.iter().map(Value::bytes).sum());
        let longer = [packet.concat(), vec![0]].concat();
        assert!(matches!(row(&columns, &longer), Err(QueryError::Lost(_))));
    }

    #[test]
    fn what_has_no_form_is_named() {
        let told = |kind, flags, packet: &[u8]| match row(&defined(&[(kind, flags)]), packet) {
            Err(QueryError::Value { column, reason }) => (column, reason),
            other => panic!("{other:?}"),
        };
        assert_eq!(told(246, 0, b"\0\0\x041.50"), ("c".into(), ValueError::Type("DECIMAL")));
        assert_eq!(told(253, 0, b"\0\0\x01\xff"), ("c".into(), ValueError::Text));
        assert_eq!(told(3, 0, b"\0\0\x01"), ("c".into(), ValueError::Malformed(Malformed("row"))));
    }

    #[test]
    fn results_are_told_apart() {
        assert_eq!(header(&[0, 1, 0, 8, 0, 0, 0]), Ok(Header::Done { more: true }));
        assert_eq!(header(&[0, 0xfc, 1, 1, 0, 2, 0, 0, 0]), Ok(Header::Done { more: false }));
        assert_eq!(header(&[3]), Ok(Header::Columns(3)));
        assert_eq!(header(b"\xfb/etc/passwd"), Err(Malformed("result, but asked for a file of this machine")));
        assert_eq!(next(&[0xfe, 0, 0, 2, 0]), Ok(Next::End { more: false }));
        assert_eq!(next(&[0xfe, 0, 0, 10, 0]), Ok(Next::End { more: true }));
        assert_eq!(next(&[0, 0]), Ok(Next::Row));
        assert!(matches!(next(b"\xff\x25\x05#70100killed"), Ok(Next::Failed(ServerError { code: 1317, .. }))));
        assert!(next(&[0xfe; 9]).is_err() && next(&[]).is_err() && end(&[0]).is_err());
        assert!(header(&[]).is_err() && header(&[0xfd, 0, 0, 1]).is_err());
        let made = Prepared { statement: 1, columns: 2, parameters: 3 };
        assert_eq!(prepared(&[0, 1, 0, 0, 0, 2, 0, 3, 0, 0, 0, 0]), Ok(Ok(made)));
        assert!(prepared(&[1]).is_err() && matches!(prepared(b"\xff\x28\x04#42000near"), Ok(Err(_))));
    }

    proptest! {
        #[test]
        fn no_packet_is_too_strange(
            packet in proptest::collection::vec(0..20_u8, 0..80),
            kinds in proptest::collection::vec((any::<u8>(), any::<u16>()), 0..20),
        ) {
            let _ = (Definition::read(&packet), prepared(&packet), header(&packet), next(&packet));
            let columns = defined(&kinds);
            if let Ok(values) = row(&columns, &packet) {
                prop_assert!(bytes(&columns, &packet) >= values.iter().map(Value::bytes).sum());
            }
        }
    }
}
