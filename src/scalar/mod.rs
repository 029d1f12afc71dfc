//! Values a runbook writes as text: durations, shares, limits and margins, each with its unit; and a text that may be several.
//!
//! They keep what was written, so plan, prompt and record show the author's own `90s` and `0.5%`. A number without a
//! unit is refused wherever a unit decides what it means. This module knows nothing else of the crate.

mod limit;

pub use limit::Limit;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration as Time;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A text, or several.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    pub fn all(&self) -> &[String] {
        match self {
            OneOrMore::One(one) => std::slice::from_ref(one),
            OneOrMore::More(more) => more,
        }
    }
}

/// A span of time, `800ms`, `90s`, `5m`, `1h30m`, `2d`: never negative, never infinite, at most 30 days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duration {
    text: String,
    pub time: Time,
}

impl Duration {
    const MOST: Time = Time::from_secs(30 * 86_400);

    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a duration; write a number with its unit, such as `90s`, `5m` or `1h30m`");
        let mut rest = text.trim();
        let mut time = Time::ZERO;
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            rest = &rest[digits..];
            let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            let unit = match &rest[..end] {
                "ms" => 1,
                "s" => 1000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return Err(wrong()),
            };
            rest = &rest[end..];
            let part = number.checked_mul(unit).map(Time::from_millis).ok_or_else(wrong)?;
            time = time.checked_add(part).ok_or_else(wrong)?;
        }
        if time > Self::MOST {
            return Err(format!("`{text}` is longer than 30 days"));
        }
        Ok(Duration { text: text.trim().into(), time })
    }

    pub fn seconds(seconds: u64) -> Self {
        Duration { text: spoken(Time::from_secs(seconds)), time: Time::from_secs(seconds) }
    }

    /// Whole seconds, rounded up.
    pub fn whole_seconds(&self) -> u64 {
        self.time.as_millis().div_ceil(1000) as u64
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// `1 step`, `3 steps`.
pub fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// A time in words of at most two units: `800ms`, `2.5s`, `90s`, `5m`, `1m 12s`.
pub fn spoken(time: Time) -> String {
    let millis = time.as_millis();
    if millis < 1000 {
        return format!("{millis}ms");
    }
    if millis < 10_000 && millis % 1000 >= 100 {
        return format!("{:.1}s", time.as_secs_f64());
    }
    let seconds = millis / 1000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, 0) => format!("{m}m"),
        (0, m, s) => format!("{m}m {s}s"),
        (h, 0, _) => format!("{h}h"),
        (h, m, _) => format!("{h}h {m}m"),
    }
}

/// A part of the whole, `0%` to `100%`, with at most one decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent {
    per_mille: u32,
}

impl Percent {
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a percentage from `0%` to `100%` with at most one decimal");
        let number = text.trim().strip_suffix('%').ok_or_else(wrong)?.trim_end();
        let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
        if whole.is_empty() || tenth.len() != 1 || ![whole, tenth].iter().all(|s| s.bytes().all(|b| b.is_ascii_digit()))
        {
            return Err(wrong());
        }
        let whole: u32 = whole.parse().map_err(|_| wrong())?;
        let tenth: u32 = tenth.parse().map_err(|_| wrong())?;
        match whole.checked_mul(10).and_then(|w| w.checked_add(tenth)) {
            Some(per_mille) if per_mille <= 1000 => Ok(Percent { per_mille }),
            _ => Err(wrong()),
        }
    }

    pub const ZERO: Percent = Percent { per_mille: 0 };

    /// 0 to 1000.
    pub fn per_mille(self) -> u32 {
        self.per_mille
    }

    /// 0.0 to 1.0.
    pub fn ratio(self) -> f64 {
        f64::from(self.per_mille) / 1000.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per_mille % 10 {
            0 => write!(f, "{}%", self.per_mille / 10),
            tenth => write!(f, "{}.{tenth}%", self.per_mille / 10),
        }
    }
}

/// What a measured number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// A part of the whole: the query gives 0.005 for `0.5%`.
    Percent,
    /// A time: the query gives seconds.
    Seconds,
    /// A plain number.
    Number,
}

impl Unit {
    /// What the numbers are, in a word.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Percent => "percent",
            Unit::Seconds => "seconds",
            Unit::Number => "a number",
        }
    }

    /// The value as a person reads it: `0.14%`, `812ms`, `3`.
    pub fn show(self, value: f64) -> String {
        match self {
            Unit::Percent if value != 0.0 && value.abs() < 0.000_1 => format!("{:.4}%", value * 100.0),
            Unit::Percent => format!("{}%", trimmed(value * 100.0, 2)),
            Unit::Seconds if value.abs() < 10.0 => format!("{}ms", trimmed(value * 1000.0, 0)),
            Unit::Seconds => format!("{}s", trimmed(value, 1)),
            Unit::Number => trimmed(value, 3),
        }
    }
}

fn trimmed(value: f64, decimals: usize) -> String {
    // So large a number has no decimals that anybody reads, and minus nothing is nothing.
    if value.abs() >= 1e15 {
        return format!("{value:e}");
    }
    let text = format!("{:.decimals$}", if value == 0.0 { 0.0 } else { value });
    let text =
        if text.trim_start_matches(['-', '0', '.']).is_empty() { text.trim_start_matches('-').into() } else { text };
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').into()
}

/// How much worse than blue green may be: `+0.3%`, `+50ms`, `+2` (added) or `x1.5` (times).
#[derive(Clone, Debug, PartialEq)]
pub enum Margin {
    Plus(Limit),
    Times(f64),
}

impl Margin {
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = || {
            format!(
                "`{text}` is not a margin over blue; write what may be added or the factor, such as `+0.3%`, `+50ms` or `x1.5`"
            )
        };
        if let Some(limit) = text.strip_prefix('+') {
            let limit = Limit::parse(limit).map_err(|_| wrong())?;
            return if limit.value >= 0.0 { Ok(Margin::Plus(limit)) } else { Err(wrong()) };
        }
        let factor = text.strip_prefix('x').ok_or_else(wrong)?;
        match factor.parse::<f64>() {
            Ok(factor) if factor.is_finite() && factor >= 1.0 => Ok(Margin::Times(factor)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Margin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Margin::Plus(limit) => write!(f, "+{limit}"),
            Margin::Times(factor) => write!(f, "x{factor}"),
        }
    }
}

/// Text in, checked value out, the text back: the same four impls for every scalar.
macro_rules! scalar {
    ($type:ty, $format:literal, $expected:literal, $pattern:literal, $number:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        <$type>::parse(text).map_err(E::custom)
                    }

                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$type, E> {
                        let read: fn(String) -> Result<$type, String> = $number;
                        read(number.to_string()).map_err(E::custom)
                    }

                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$type, E> {
                        let read: fn(String) -> Result<$type, String> = $number;
                        read(number.to_string()).map_err(E::custom)
                    }

                    fn visit_f64<E: de::Error>(self, number: f64) -> Result<$type, E> {
                        let read: fn(String) -> Result<$type, String> = $number;
                        read(number.to_string()).map_err(E::custom)
                    }
                }
                deserializer.deserialize_any(Text)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format, "pattern": $pattern, "description": $expected })
            }
        }
    };
}

scalar!(Duration, "duration", "a duration such as `90s`, `5m` or `1h30m`", r"^([0-9]+(ms|s|m|h|d))+$", |number| Err(
    format!("`{number}` has no unit; write `{number}s` for seconds or `{number}m` for minutes")
));
scalar!(Percent, "percent", "a percentage such as `10%`", r"^[0-9]{1,3}(\.[0-9])?\s*%$", |number| Err(format!(
    "`{number}` has no unit; write `{number}%`"
)));
scalar!(
    Margin,
    "margin",
    "a margin over blue such as `+0.3%`, `+50ms` or `x1.5`",
    r"^(\+|x)[0-9.]+\s*(%|ms|s|m)?$",
    |number| Margin::parse(&number)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [("90s", 90_000), ("5m", 300_000), ("1h30m", 5_400_000), ("800ms", 800), ("0s", 0)] {
            assert_eq!(Duration::parse(text).unwrap().time, Time::from_millis(millis), "{text}");
        }
        for text in ["", "5", "m", "5 m", "-5m", "5x", "99999999999999999999s", "31d", "5.5m", "١s"] {
            assert!(Duration::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn percentages() {
        for (text, per_mille) in [("0%", 0), ("10%", 100), ("0.5%", 5), ("100%", 1000), ("12.5 %", 125)] {
            assert_eq!(Percent::parse(text).unwrap().per_mille, per_mille, "{text}");
        }
        for text in ["10", "101%", "-1%", "0.05%", "%", ".5%", "100.1%", "NaN%"] {
            assert!(Percent::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn limits_and_margins() {
        let limit = |t: &str| Limit::parse(t).map(|l| (l.value, l.unit));
        assert_eq!(limit("0.5%"), Ok((0.005, Unit::Percent)));
        assert_eq!(limit("800ms"), Ok((0.8, Unit::Seconds)));
        assert_eq!(limit("3"), Ok((3.0, Unit::Number)));
        for text in ["inf", "NaN", "NaN%", "fast", ""] {
            assert!(limit(text).is_err(), "{text}");
        }
        assert!(matches!(Margin::parse("+0.3%"), Ok(Margin::Plus(l)) if (l.value - 0.003).abs() < 1e-12));
        assert_eq!(Margin::parse("x1.5"), Ok(Margin::Times(1.5)));
        for text in ["0.3%", "+-1%", "x0.5", "xinf", "-1%"] {
            assert!(Margin::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused_with_the_cure() {
        let error = serde_json::from_str::<Duration>("5").unwrap_err().to_string();
        assert!(error.contains("write `5s`"), "{error}");
        assert!(serde_json::from_str::<Percent>("10").unwrap_err().to_string().contains("write `10%`"));
        assert_eq!(serde_json::from_str::<Limit>("0").unwrap().value, 0.0);
    }

    #[test]
    fn values_are_shown_as_people_read_them() {
        assert_eq!(Unit::Percent.show(0.0014), "0.14%");
        assert_eq!(Unit::Percent.show(0.0), "0%");
        assert_eq!(Unit::Seconds.show(0.8123), "812ms");
        assert_eq!(Unit::Number.show(3.0), "3");
        assert_eq!((Unit::Number.show(-0.0), Unit::Number.show(-0.0001)), ("0".into(), "0".into()));
        assert_eq!(Unit::Number.show(-1e308), "-1e308");
        assert_eq!(spoken(Time::from_secs(72)), "1m 12s");
    }
}
