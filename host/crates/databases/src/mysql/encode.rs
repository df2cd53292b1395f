//! From statements and parameters to commands. Pure.

use super::value::Value;

const PREPARE: u8 = 0x16;
const EXECUTE: u8 = 0x17;
const CLOSE: u8 = 0x19;

/// Asks for a statement to be prepared.
pub(super) fn prepare(statement: &str) -> Vec<u8> {
    [&[PREPARE], statement.as_bytes()].concat()
}

/// Says that a statement is not needed any more. There is no answer.
pub(super) fn close(statement: u32) -> Vec<u8> {
    [&[CLOSE][..], &statement.to_le_bytes()].concat()
}

/// Runs a prepared statement with as many parameters as it has.
pub(super) fn execute(statement: u32, parameters: &[Value]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(32 + parameters.iter().map(|value| value.bytes() + 2).sum::<usize>());
    packet.push(EXECUTE);
    packet.extend(statement.to_le_bytes());
    // Rows as they come, once.
    packet.extend([0, 1, 0, 0, 0]);
    if parameters.is_empty() {
        return packet;
    }
    for eight in parameters.chunks(8) {
        let bits = eight.iter().zip(0..).filter(|(value, _)| matches!(value, Value::Null));
        packet.push(bits.fold(0, |byte, (_, bit)| byte | 1 << bit));
    }
    // Types follow.
    packet.push(1);
    for value in parameters {
        packet.extend(kind(value));
    }
    for value in parameters {
        put(value, &mut packet);
    }
    packet
}

/// The type of a parameter, and whether it is unsigned. As in Spin, numbers are sent in 64 bits, and bytes as texts.
fn kind(value: &Value) -> [u8; 2] {
    match value {
        Value::Null => [0x06, 0],
        Value::Boolean(_) | Value::Int8(_) | Value::Int16(_) | Value::Int32(_) | Value::Int64(_) => [0x08, 0],
        Value::Uint8(_) | Value::Uint16(_) | Value::Uint32(_) | Value::Uint64(_) => [0x08, 0x80],
        Value::Floating32(_) => [0x04, 0],
        Value::Floating64(_) => [0x05, 0],
        Value::Str(_) | Value::Binary(_) => [0xfd, 0],
    }
}

fn put(value: &Value, packet: &mut Vec<u8>) {
    match value {
        Value::Null => {}
        Value::Boolean(yes) => packet.extend(i64::from(*yes).to_le_bytes()),
        Value::Int8(number) => packet.extend(i64::from(*number).to_le_bytes()),
        Value::Int16(number) => packet.extend(i64::from(*number).to_le_bytes()),
        Value::Int32(number) => packet.extend(i64::from(*number).to_le_bytes()),
        Value::Int64(number) => packet.extend(number.to_le_bytes()),
        Value::Uint8(number) => packet.extend(u64::from(*number).to_le_bytes()),
        Value::Uint16(number) => packet.extend(u64::from(*number).to_le_bytes()),
        Value::Uint32(number) => packet.extend(u64::from(*number).to_le_bytes()),
        Value::Uint64(number) => packet.extend(number.to_le_bytes()),
        Value::Floating32(number) => packet.extend(number.to_le_bytes()),
        Value::Floating64(number) => packet.extend(number.to_le_bytes()),
        Value::Str(text) => put_counted(text.as_bytes(), packet),
        Value::Binary(bytes) => put_counted(bytes, packet),
    }
}

fn put_counted(bytes: &[u8], packet: &mut Vec<u8>) {
    let length = bytes.len() as u64;
    let [a, b, c, ..] = length.to_le_bytes();
    match length {
        0..=0xfa => packet.push(a),
        0xfb..=0xffff => packet.extend([0xfc, a, b]),
        0x1_0000..=0xff_ffff => packet.extend([0xfd, a, b, c]),
        _ => {
            packet.push(0xfe);
            packet.extend(length.to_le_bytes());
        }
    }
    packet.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::super::reader::Reader;
    use super::*;

    #[test]
    fn a_statement_is_prepared_run_and_closed() {
        assert_eq!(prepare("SELECT 1"), b"\x16SELECT 1");
        assert_eq!(close(0x0102_0304), [0x19, 4, 3, 2, 1]);
        assert_eq!(execute(7, &[]), [0x17, 7, 0, 0, 0, 0, 1, 0, 0, 0]);
        let mut parameters = vec![Value::Null, Value::Int8(-1), Value::Uint8(255), Value::Str("a".into())];
        parameters.extend([const { Value::Null }; 5]);
        let packet = execute(7, &parameters);
        let kinds = [6, 0, 8, 0, 8, 0x80, 0xfd, 0, 6, 0, 6, 0, 6, 0, 6, 0, 6, 0];
        let wanted = [&[0xf1, 0x01, 1][..], &kinds, &[0xff; 8], &[255, 0, 0, 0, 0, 0, 0, 0], b"\x01a"].concat();
        assert_eq!(packet[10..], wanted);
    }

    #[test]
    fn a_length_is_read_as_it_was_written() {
        for length in [0, 0xfa, 0xfb, 0xffff, 0x1_0000, 0xff_ffff, 0x100_0000] {
            let (bytes, mut packet) = (vec![7; length], Vec::new());
            put_counted(&bytes, &mut packet);
            let mut reader = Reader::new(&packet, "text");
            assert!(reader.counted() == Ok(&bytes[..]) && reader.is_empty(), "{length}");
        }
    }
}
