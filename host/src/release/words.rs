//! Times, tables and foreign text, for people.

use std::time::{Duration, SystemTime};

/// Text from elsewhere, made harmless for a terminal and for a table: one line without control characters.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A length of time in its largest unit: `8 s`, `3 min`, `2 h`, `5 d`.
pub(crate) fn span(time: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let seconds = time.as_secs();
    let unit = UNITS.into_iter().find(|(size, _)| seconds >= *size);
    unit.map_or_else(|| "0 s".into(), |(size, unit)| format!("{} {unit}", seconds / size))
}

/// A setting in seconds, without rounding: `600 s` stays `10 min`, `90 s` stays `90 s`.
pub(crate) fn exact(seconds: u64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "min")];
    let unit = units.into_iter().find(|(size, _)| seconds >= *size && seconds.is_multiple_of(*size));
    unit.map_or_else(|| format!("{seconds} s"), |(size, unit)| format!("{} {unit}", seconds / size))
}

/// How long ago a time of the admin API (RFC 3339) was.
pub(crate) fn ago(time: Option<&str>, now: SystemTime) -> String {
    let Some(time) = time.and_then(read) else { return "-".into() };
    match now.duration_since(time) {
        Ok(past) if past >= Duration::from_secs(1) => format!("{} ago", span(past)),
        // Clocks differ; what has happened is not in the future.
        Ok(_) | Err(_) => "just now".into(),
    }
}

/// How long it is until a time of the admin API; nothing where it has passed or is none.
pub(crate) fn left(time: Option<&str>, now: SystemTime) -> Option<String> {
    time.and_then(read)?.duration_since(now).ok().map(span)
}

fn read(time: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(time).ok()
}

/// Lines of cells, each column as wide as its widest cell. Columns without a single cell take no room, and no
/// line ends in blanks.
pub(crate) fn table<const N: usize>(rows: &[[String; N]], indent: &str) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::from(indent);
        for (cell, width) in row.iter().zip(&widths).filter(|(_, width)| **width > 0) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_its_largest_unit() {
        let now = humantime::parse_rfc3339("2026-01-02T00:00:00.000Z").unwrap();
        for (time, told) in [
            ("2026-01-01T23:59:59.500Z", "just now"),
            ("2026-01-01T23:59:01.000Z", "59 s ago"),
            ("2026-01-01T23:56:30.000Z", "3 min ago"),
            ("2026-01-01T00:00:00.000Z", "1 d ago"),
            ("2026-01-02T00:00:09.000Z", "just now"),
            ("yesterday", "-"),
        ] {
            assert_eq!(ago(Some(time), now), told, "{time}");
        }
        assert_eq!(left(Some("2026-01-02T00:08:00.000Z"), now).as_deref(), Some("8 min"));
        assert_eq!(left(Some("2026-01-01T00:08:00.000Z"), now), None);
    }

    #[test]
    fn a_setting_is_told_without_rounding() {
        assert_eq!([0, 30, 90, 600, 7200, 604_800].map(exact), ["0 s", "30 s", "90 s", "10 min", "2 h", "7 d"]);
    }

    #[test]
    fn a_table_lines_up_and_drops_what_is_empty() {
        let rows = [["a", "", "né"], ["bbb", "", ""]].map(|row| row.map(String::from));
        assert_eq!(table(&rows, " "), " a    né\n bbb\n");
    }

    #[test]
    fn foreign_text_cannot_move_the_cursor() {
        assert_eq!(plain("a\u{1b}[2Jb\nc"), "a [2Jb c");
    }
}
