//! Dates and times, as PostgreSQL has them: days and microseconds since 2000, in the Gregorian calendar of all times.

use super::ValueError;

/// Microseconds of a day.
const DAY: i64 = 24 * 60 * 60 * 1_000_000;
/// Days from 1970-01-01 to 2000-01-01, and the same in seconds.
const EPOCH_DAYS: i64 = 10_957;
const EPOCH_SECONDS: i64 = EPOCH_DAYS * 24 * 60 * 60;
/// The years that PostgreSQL has, and some more.
const YEARS: std::ops::RangeInclusive<i32> = -5_000..=5_900_000;

/// A day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// The year; 0 is 1 BC.
    pub year: i32,
    /// From 1 to 12.
    pub month: u8,
    /// From 1 to 31.
    pub day: u8,
}

/// A time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// From 0 to 23.
    pub hour: u8,
    /// From 0 to 59.
    pub minute: u8,
    /// From 0 to 59.
    pub second: u8,
    /// From 0 to 999,999,999; PostgreSQL keeps microseconds.
    pub nanosecond: u32,
}

fn leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i32, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u8::from(leap(year)),
        _ => 31,
    }
}

impl Date {
    /// A day that there is.
    ///
    /// # Errors
    /// When there is no such day.
    pub fn new(year: i32, month: u8, day: u8) -> Result<Self, ValueError> {
        let is = YEARS.contains(&year) && (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
        let shown = || format!("y={year}, m={month}, d={day}");
        if is { Ok(Self { year, month, day }) } else { Err(ValueError::invalid("date", shown())) }
    }

    /// Days since 2000-01-01. Years begin in March here, so that the leap day is their last one.
    pub(super) fn days(self) -> i64 {
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        let year = i64::from(self.year) - i64::from(month <= 2);
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
        era * 146_097 + of_era - 719_468 - EPOCH_DAYS
    }

    pub(super) fn from_days(days: i64) -> Result<Self, ValueError> {
        let since = days + EPOCH_DAYS + 719_468;
        let (era, of_era) = (since.div_euclid(146_097), since.rem_euclid(146_097));
        let years = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * years + years / 4 - years / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = years + era * 400 + i64::from(month <= 2);
        let parts = || Some((i32::try_from(year).ok()?, u8::try_from(month).ok()?, u8::try_from(day).ok()?));
        let (year, month, day) = parts().ok_or(ValueError::Malformed("date"))?;
        Ok(Self { year, month, day })
    }
}

impl Time {
    /// A time that every day has.
    ///
    /// # Errors
    /// When it has not.
    pub fn new(hour: u8, minute: u8, second: u8, nanosecond: u32) -> Result<Self, ValueError> {
        let is = hour < 24 && minute < 60 && second < 60 && nanosecond < 1_000_000_000;
        let shown = || format!("{hour}:{minute}:{second}:{nanosecond}");
        if is { Ok(Self { hour, minute, second, nanosecond }) } else { Err(ValueError::invalid("time", shown())) }
    }

    pub(super) fn micros(self) -> i64 {
        let seconds = (i64::from(self.hour) * 60 + i64::from(self.minute)) * 60 + i64::from(self.second);
        seconds * 1_000_000 + i64::from(self.nanosecond / 1000)
    }

    /// `24:00:00`, which PostgreSQL has besides, is the last moment of the day.
    pub(super) fn from_micros(micros: i64) -> Result<Self, ValueError> {
        if !(0..=DAY).contains(&micros) {
            return Err(ValueError::Malformed("time"));
        }
        let micros = micros.min(DAY - 1);
        let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
        let part = |number: i64| u8::try_from(number).or(Err(ValueError::Malformed("time")));
        let nanosecond = u32::try_from(rest * 1000).or(Err(ValueError::Malformed("time")))?;
        let (hour, minute, second) = (part(seconds / 3600)?, part(seconds / 60 % 60)?, part(seconds % 60)?);
        Ok(Self { hour, minute, second, nanosecond })
    }
}

/// Microseconds since 2000-01-01 00:00.
pub(super) fn instant(date: Date, time: Time) -> i64 {
    date.days() * DAY + time.micros()
}

pub(super) fn from_instant(micros: i64) -> Result<(Date, Time), ValueError> {
    match micros {
        i64::MAX => return Err(ValueError::NoDate("infinity")),
        i64::MIN => return Err(ValueError::NoDate("-infinity")),
        _ => {}
    }
    Ok((Date::from_days(micros.div_euclid(DAY))?, Time::from_micros(micros.rem_euclid(DAY))?))
}

/// Microseconds since 2000-01-01 00:00 of a number of seconds since 1970.
pub(super) fn unix(seconds: i64) -> Result<i64, ValueError> {
    let micros = seconds.checked_sub(EPOCH_SECONDS).and_then(|seconds| seconds.checked_mul(1_000_000));
    micros.ok_or_else(|| ValueError::invalid("epoch timestamp", seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_the_year_2000() {
        for ((year, month, day), days) in [
            ((2000, 1, 1), 0),
            ((1999, 12, 31), -1),
            ((1970, 1, 1), -10_957),
            ((2000, 2, 29), 59),
            ((2000, 3, 1), 60),
            ((2024, 2, 29), 8825),
            ((1, 1, 1), -730_119),
            ((0, 12, 31), -730_120),
            ((9999, 12, 31), 2_921_939),
        ] {
            let date = Date::new(year, month, day).unwrap();
            assert_eq!((date.days(), Date::from_days(days)), (days, Ok(date)), "{date:?}");
        }
        for days in (-2_000_000..2_000_000).step_by(997) {
            let date = Date::from_days(days).unwrap();
            assert_eq!((date.days(), Date::new(date.year, date.month, date.day)), (days, Ok(date)));
        }
    }

    #[test]
    fn days_and_times_that_there_are_not_are_refused() {
        for (year, month, day) in
            [(2023, 2, 29), (1900, 2, 29), (2000, 0, 1), (2000, 13, 1), (2000, 4, 31), (i32::MAX, 1, 1)]
        {
            assert!(Date::new(year, month, day).is_err(), "{year}-{month}-{day}");
        }
        for (hour, minute, second, nanosecond) in
            [(24, 0, 0, 0), (0, 60, 0, 0), (0, 0, 60, 0), (0, 0, 0, 1_000_000_000)]
        {
            assert!(Time::new(hour, minute, second, nanosecond).is_err());
        }
        assert!(from_instant(i64::MAX).unwrap_err().to_string().contains("infinity"));
        assert!(unix(i64::MAX).is_err());
    }

    #[test]
    fn an_instant_is_a_day_and_a_time() {
        let (date, time) = (Date::new(1999, 12, 31).unwrap(), Time::new(23, 59, 59, 999_999_000).unwrap());
        assert_eq!(instant(date, time), -1);
        assert_eq!(from_instant(-1), Ok((date, time)));
        assert_eq!(from_instant(unix(0).unwrap()).unwrap().0, Date::new(1970, 1, 1).unwrap());
        assert_eq!(Time::from_micros(DAY).unwrap().hour, 23);
    }
}
