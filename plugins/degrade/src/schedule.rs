//! Times of the week, in UTC: `02:00-04:00`, or `sat,sun 22:00-02:00`.

/// A span of the day on some days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// By weekday from Monday on.
    days: [bool; 7],
    /// In minutes; a span whose end is not after its start goes on into the next day.
    from: u32,
    to: u32,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY: u32 = 24 * 60;

impl Span {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no time such as `02:00-04:00` or `sat,sun 22:00-02:00`");
        let (days, times) = match text.trim().rsplit_once(' ') {
            Some((days, times)) => (self::days(days).ok_or_else(wrong)?, times),
            None => ([true; 7], text.trim()),
        };
        let (from, to) = times.split_once('-').ok_or_else(wrong)?;
        let (from, to) = (minute(from).ok_or_else(wrong)?, minute(to).ok_or_else(wrong)?);
        Ok(Self { days, from: from % DAY, to })
    }

    /// Whether a moment, in milliseconds since 1970, lies within.
    pub(crate) fn contains(&self, wall_ms: u64) -> bool {
        let minutes = wall_ms / 60_000;
        let minute = u32::try_from(minutes % u64::from(DAY)).unwrap_or_default();
        // 1970 began on a Thursday.
        let today = usize::try_from((minutes / u64::from(DAY) + 3) % 7).unwrap_or_default();
        let on = |day: usize| self.days.get(day % 7) == Some(&true);
        if self.from < self.to {
            return on(today) && (self.from..self.to).contains(&minute);
        }
        on(today) && minute >= self.from || on(today + 6) && minute < self.to
    }
}

fn minute(text: &str) -> Option<u32> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (minutes < 60 && hours * 60 + minutes <= DAY).then_some(hours * 60 + minutes)
}

fn days(text: &str) -> Option<[bool; 7]> {
    let place = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name.trim()));
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (place(first)?, place(last)?);
        let count = (last + 7 - first) % 7;
        for day in first..=first + count {
            *days.get_mut(day % 7)? = true;
        }
    }
    Some(days)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// A moment of the week that began on Monday, the fifth of January 2026.
    fn at(day: u64, hour: u64, minute: u64) -> u64 {
        1_767_571_200_000 + ((day * 24 + hour) * 60 + minute) * 60_000
    }

    #[test]
    fn spans_lie_on_their_days() {
        let span = Span::parse("sat,sun 02:00-04:30").unwrap();
        assert!(span.contains(at(5, 2, 0)) && span.contains(at(6, 4, 29)));
        assert!(!span.contains(at(5, 1, 59)) && !span.contains(at(6, 4, 30)) && !span.contains(at(4, 3, 0)));
        let span = Span::parse("fri-mon 23:00-01:00").unwrap();
        assert!(span.contains(at(4, 23, 0)) && span.contains(at(5, 0, 30)) && span.contains(at(8, 0, 59)));
        assert!(!span.contains(at(4, 0, 30)) && !span.contains(at(1, 23, 30)) && !span.contains(at(5, 12, 0)));
        assert!(Span::parse("00:00-24:00").unwrap().contains(at(3, 23, 59)));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "2-4", "02:00", "02:60-03:00", "25:00-26:00", "someday 02:00-03:00"] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
    }
}
