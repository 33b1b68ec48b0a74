//! Quantities: `500m`, `1Gi`, `1e3`, as exact numbers.
//!
//! A quantity is a count of billionths, which is the finest that upstream keeps, and remembers in which notation it
//! was written. Source: `k8s.io/apimachinery/pkg/api/resource/quantity.go`; as there, finer parts are rounded away
//! from zero, and what is too large becomes the largest.

use std::cmp::Ordering;
use std::fmt;

/// The notation that a quantity was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `12e6`.
    DecimalExponent,
    /// `12Mi`.
    BinarySi,
    /// `12M`.
    DecimalSi,
}

/// A quantity.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nano: i128,
    format: Format,
}

/// Why a text is no quantity, in upstream's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// It does not look like one.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Form,
    /// The unit is none.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

const NANO: i128 = 1_000_000_000;
const LARGEST: i128 = i64::MAX as i128 * NANO;
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

impl Quantity {
    /// Nothing.
    pub const ZERO: Quantity = Quantity { nano: 0, format: Format::DecimalSi };

    /// A whole number.
    pub fn of(value: i64) -> Quantity {
        Quantity { nano: i128::from(value) * NANO, format: Format::DecimalSi }
    }

    /// Reads one.
    pub fn parse(text: &str) -> Result<Quantity, QuantityError> {
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if part.contains('.') || (whole.is_empty() && part.is_empty()) {
            return Err(QuantityError::Form);
        }
        let (format, power, binary) = unit(suffix)?;
        let value = scaled(whole, part, power, binary);
        let format = if format == Format::BinarySi && value < NANO { Format::DecimalSi } else { format };
        Ok(Quantity { nano: if negative { -value } else { value }, format })
    }

    /// The next thousandth that is not less; resource lists keep no finer parts.
    pub fn round_up_to_milli(self) -> Quantity {
        Quantity { nano: away_from_zero(self.nano, NANO / 1000) * (NANO / 1000), format: self.format }
    }

    /// The whole number, parts rounded away from zero.
    pub fn value(self) -> i64 {
        clamp(away_from_zero(self.nano, NANO))
    }

    /// Thousandths, finer parts rounded away from zero.
    pub fn milli_value(self) -> i64 {
        clamp(away_from_zero(self.nano, NANO / 1000))
    }

    /// Whether it is a whole number.
    pub fn is_whole(self) -> bool {
        self.nano % NANO == 0
    }

    /// -1, 0 or 1.
    pub fn sign(self) -> i32 {
        match self.nano.cmp(&0) {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        }
    }
}

impl std::ops::Add for Quantity {
    type Output = Quantity;

    /// The sum, in the notation of the first that is not zero.
    fn add(self, other: Quantity) -> Quantity {
        let format = if self.nano == 0 { other.format } else { self.format };
        Quantity { nano: self.nano.saturating_add(other.nano), format }
    }
}

impl std::ops::Sub for Quantity {
    type Output = Quantity;

    fn sub(self, other: Quantity) -> Quantity {
        let format = if self.nano == 0 { other.format } else { self.format };
        Quantity { nano: self.nano.saturating_sub(other.nano), format }
    }
}

/// A text as it is printed again: `1000m` becomes `1`.
pub fn canonical(text: &str) -> Result<String, QuantityError> {
    Ok(Quantity::parse(text)?.to_string())
}

/// The notation, the power of ten, and the power of two of a unit.
fn unit(suffix: &str) -> Result<(Format, i32, u32), QuantityError> {
    if let Some(at) = DECIMAL.iter().position(|one| *one == suffix) {
        return Ok((Format::DecimalSi, 3 * (at as i32 - 3), 0));
    }
    if let Some(at) = BINARY.iter().position(|one| *one == suffix) {
        return Ok((Format::BinarySi, 0, 10 * at as u32));
    }
    let letters = suffix.trim_start_matches(['e', 'E', 'i', 'n', 'u', 'm', 'k', 'K', 'M', 'G', 'T', 'P']);
    let digits = letters.strip_prefix(['-', '+']).unwrap_or(letters);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(QuantityError::Form);
    }
    let exponent = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError::Suffix)?;
    let exponent: i32 = exponent.parse().map_err(|_| QuantityError::Suffix)?;
    Ok((Format::DecimalExponent, exponent.clamp(-1000, 1000), 0))
}

/// The count of billionths, at most the largest.
fn scaled(whole: &str, part: &str, power: i32, binary: u32) -> i128 {
    let digits: String = [whole, part].concat();
    let digits = digits.trim_start_matches('0');
    // The value is digits * 10^exponent billionths.
    let exponent = power + 9 - i32::try_from(part.len()).unwrap_or(i32::MAX / 2);
    if digits.is_empty() {
        return 0;
    }
    // Digits beyond what a number of 128 bits holds can only tell whether there is a rest.
    let kept = digits.len().min(28);
    let rest = digits[kept..].bytes().any(|byte| byte != b'0');
    let exponent = exponent.saturating_add(i32::try_from(digits.len() - kept).unwrap_or(i32::MAX / 2));
    let value: i128 = digits[..kept].parse().unwrap_or(LARGEST);
    let value = if binary == 0 { Some(value) } else { value.checked_mul(1 << binary) };
    let found = value.and_then(|value| match u32::try_from(exponent) {
        Ok(up) => value.checked_mul(10i128.checked_pow(up)?).map(|value| value + i128::from(rest)),
        Err(_) => match 10i128.checked_pow(exponent.unsigned_abs()) {
            Some(divisor) => Some(away_from_zero(value, divisor)),
            None => Some(1),
        },
    });
    // Decimal numbers beyond 64 bits are kept where they were written with a unit, as upstream's short path does.
    found.filter(|value| binary == 0 || *value <= LARGEST).unwrap_or(LARGEST)
}

fn away_from_zero(value: i128, unit: i128) -> i128 {
    let rest = value % unit;
    value / unit + if rest == 0 { 0 } else { value.signum() }
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano == 0 {
            return f.write_str("0");
        }
        let large = self.nano.abs() >= 1024 * NANO;
        if self.format == Format::BinarySi && large && self.is_whole() {
            let (number, times) = without_factor(self.nano / NANO, 1024, BINARY.len() - 1);
            return write!(f, "{number}{}", BINARY[times]);
        }
        let (number, times) = without_factor(self.nano, 1000, DECIMAL.len() - 1);
        if self.format == Format::DecimalExponent {
            let exponent = 3 * (times as i32 - 3);
            return if exponent == 0 { write!(f, "{number}") } else { write!(f, "{number}e{exponent}") };
        }
        write!(f, "{number}{}", DECIMAL[times])
    }
}

fn without_factor(mut value: i128, factor: i128, most: usize) -> (i128, usize) {
    let mut times = 0;
    while times < most && value % factor == 0 {
        value /= factor;
        times += 1;
    }
    (value, times)
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// TestQuantityString and TestQuantityParse of upstream's quantity_test.go.
    #[test]
    fn printed_as_upstream_does() {
        let pairs = [
            ("1000m", "1"),
            ("1024Mi", "1Gi"),
            ("0", "0"),
            ("0n", "0"),
            ("0.1", "100m"),
            ("1.5Gi", "1536Mi"),
            ("100000", "100k"),
            ("1024", "1024"),
            ("1Ki", "1Ki"),
            ("1023Ki", "1023Ki"),
            ("512Ki", "512Ki"),
            ("0.5Ki", "512"),
            ("0.3Ki", "307200m"),
            ("1e3", "1e3"),
            ("12e6", "12e6"),
            ("1e0", "1"),
            ("-5m", "-5m"),
            ("+5", "5"),
            (".5", "500m"),
            ("1.", "1"),
            ("0.0000000001", "1n"),
            ("100E", "100E"),
            ("1Ei", "1Ei"),
            ("9Ei", "9223372036854775807"),
            ("2.5", "2500m"),
            ("123456u", "123456u"),
        ];
        for (text, printed) in pairs {
            assert_eq!(canonical(text).as_deref(), Ok(printed), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused_in_upstreams_words() {
        for text in ["", "-", "1.1.1", "Mi", "1 Mi", "foo", "1Mi!", "1e3x"] {
            assert_eq!(canonical(text), Err(QuantityError::Form), "{text}");
        }
        for text in ["1mi", "1e", "1K", "1Gib3", "1ee3"] {
            assert!(canonical(text).is_err(), "{text}");
        }
        assert_eq!(canonical("1K"), Err(QuantityError::Suffix));
    }

    #[test]
    fn quantities_are_numbers() {
        let of = |text: &str| Quantity::parse(text).unwrap();
        assert!(of("1Gi") > of("1G") && of("1000m") == of("1") && of("1e3") == of("1k"));
        assert_eq!((of("1Gi") + of("1Gi")).to_string(), "2Gi");
        assert_eq!((of("1") - of("100m")).to_string(), "900m");
        assert_eq!((of("1500m").value(), of("1500m").milli_value()), (2, 1500));
        assert_eq!(of("1u").round_up_to_milli().to_string(), "1m");
    }

    proptest! {
        #[test]
        fn any_text_is_answered_and_printing_is_stable(text in "[+-]?[0-9.]{0,40}[a-zA-Z]{0,2}[-+]?[0-9]{0,4}") {
            if let Ok(once) = canonical(&text) {
                prop_assert_eq!(canonical(&once), Ok(once));
            }
        }
    }
}
