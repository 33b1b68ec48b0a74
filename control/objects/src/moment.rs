//! Times as Kubernetes writes them: RFC 3339 in UTC, to the second, or to the microsecond (`MicroTime`).
//!
//! Source: `k8s.io/apimachinery/pkg/apis/meta/v1/time.go` and `micro_time.go`.

use jiff::Timestamp;

/// How finely a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// `2026-01-02T03:04:05Z`.
    Seconds,
    /// `2026-01-02T03:04:05.000006Z`.
    Micros,
}

/// A time as it is printed again, or the error of Go's `time.Parse`.
pub fn canonical(text: &str, precision: Precision) -> Result<String, String> {
    let layout = match precision {
        Precision::Seconds => "2006-01-02T15:04:05Z07:00",
        Precision::Micros => "2006-01-02T15:04:05.000000Z07:00",
    };
    let time =
        read(text).ok_or_else(|| format!("parsing time {text:?} as {layout:?}: cannot parse {text:?}"))?;
    Ok(print(time, precision))
}

/// Prints a time.
pub fn print(time: Timestamp, precision: Precision) -> String {
    let seconds = Timestamp::from_second(time.as_second()).unwrap_or(time);
    match precision {
        // Whole seconds downwards, as Go's format cuts.
        Precision::Seconds if time < seconds || time.subsec_nanosecond() < 0 => {
            Timestamp::from_second(time.as_second() - 1).unwrap_or(seconds).to_string()
        }
        Precision::Seconds => seconds.to_string(),
        Precision::Micros => format!("{time:.6}"),
    }
}

/// A time of protobuf's seconds and nanoseconds.
pub fn of_parts(seconds: i64, nanos: i32, precision: Precision) -> Option<String> {
    Some(print(Timestamp::new(seconds, nanos).ok()?, precision))
}

/// Reads RFC 3339 as strictly as Go does: jiff alone would also take other separators and zones by name.
pub fn read(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let mask = b"dddd-dd-ddTdd:dd:dd";
    let fits = |byte: &u8, mask: &u8| if *mask == b'd' { byte.is_ascii_digit() } else { byte == mask };
    if bytes.len() <= mask.len() || !bytes.iter().zip(mask).all(|(byte, mask)| fits(byte, mask)) {
        return None;
    }
    let mut rest = &text[mask.len()..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let end = fraction.find(|char: char| !char.is_ascii_digit())?;
        if end == 0 || end > 9 {
            return None;
        }
        rest = &fraction[end..];
    }
    let zone = rest.as_bytes();
    let offset = zone.len() == 6
        && matches!(zone[0], b'+' | b'-')
        && zone[3] == b':'
        && [1, 2, 4, 5].iter().all(|at| zone[*at].is_ascii_digit());
    if rest != "Z" && !offset {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Precision::{Micros, Seconds};

    #[test]
    fn printed_in_utc() {
        let pairs = [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000Z"),
            ("2026-01-02T03:04:05.999999999Z", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.999999Z"),
            ("2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05Z", "2026-01-02T01:04:05.000000Z"),
            ("1960-01-02T03:04:05.5Z", "1960-01-02T03:04:05Z", "1960-01-02T03:04:05.500000Z"),
        ];
        for (text, seconds, micros) in pairs {
            assert_eq!(canonical(text, Seconds).as_deref(), Ok(seconds));
            assert_eq!(canonical(text, Micros).as_deref(), Ok(micros));
        }
        assert_eq!(of_parts(0, 0, Seconds).as_deref(), Some("1970-01-01T00:00:00Z"));
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "now",
            "2026-01-02",
            "2026-01-02 03:04:05Z",
            "2026-01-02T03:04:05",
            "2026-13-02T03:04:05Z",
            "2026-01-02T03:04:05[UTC]",
            "2026-01-02T03:04:05é",
        ] {
            assert!(canonical(text, Seconds).is_err(), "{text}");
        }
    }
}
