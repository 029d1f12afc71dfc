//! The two sides, and how users are shared out between them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One of the two sides. Blue is what was live when the plan was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    Blue,
    Green,
}

impl Color {
    pub const BOTH: [Color; 2] = [Color::Blue, Color::Green];

    pub fn other(self) -> Self {
        match self {
            Color::Blue => Color::Green,
            Color::Green => Color::Blue,
        }
    }

    /// `blue` or `green`, as in YAML, labels and records.
    pub fn name(self) -> &'static str {
        match self {
            Color::Blue => "blue",
            Color::Green => "green",
        }
    }
}

/// `BLUE` or `GREEN`, as in sentences.
impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Color::Blue => "BLUE",
            Color::Green => "GREEN",
        })
    }
}

/// The weights of the two stacks on a route, as the provider holds them. Only their ratio moves users.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Split {
    pub blue: u32,
    pub green: u32,
}

impl Split {
    pub const ALL_BLUE: Split = Split { blue: 100, green: 0 };
    pub const ALL_GREEN: Split = Split { blue: 0, green: 100 };

    /// Everybody on one side.
    pub fn all_on(stack: Color) -> Self {
        match stack {
            Color::Blue => Split::ALL_BLUE,
            Color::Green => Split::ALL_GREEN,
        }
    }

    /// The split that gives green this many thousandths of the users (0 to 1000).
    pub fn of_green(per_mille: u32) -> Self {
        assert!(per_mille <= 1000, "BUG: a share over 100 %");
        if per_mille.is_multiple_of(10) {
            Split { blue: 100 - per_mille / 10, green: per_mille / 10 }
        } else {
            Split { blue: 1000 - per_mille, green: per_mille }
        }
    }

    pub fn weight(self, color: Color) -> u32 {
        match color {
            Color::Blue => self.blue,
            Color::Green => self.green,
        }
    }

    /// The share of one stack, 0.0 to 1.0; 0.0 for both where all weights are zero.
    pub fn share(self, color: Color) -> f64 {
        let total = u64::from(self.blue) + u64::from(self.green);
        if total == 0 { 0.0 } else { f64::from(self.weight(color)) / total as f64 }
    }

    /// All users are on one stack: which.
    pub fn only(self) -> Option<Color> {
        match (self.blue, self.green) {
            (0, 0) => None,
            (_, 0) => Some(Color::Blue),
            (0, _) => Some(Color::Green),
            _ => None,
        }
    }
}

/// Equal when users are shared out equally: 1/0 is 100/0. All-zero weights equal only all-zero weights.
impl PartialEq for Split {
    fn eq(&self, other: &Self) -> bool {
        let zero = |s: &Split| s.blue == 0 && s.green == 0;
        zero(self) == zero(other)
            && u64::from(self.blue) * u64::from(other.green) == u64::from(self.green) * u64::from(other.blue)
    }
}

impl Eq for Split {}

/// `BLUE 90 GREEN 10`, in percent.
impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.blue == 0 && self.green == 0 {
            return f.write_str("BLUE 0 GREEN 0");
        }
        let green = (self.share(Color::Green) * 1000.0).round();
        let percent = |per_mille: f64| {
            if per_mille % 10.0 == 0.0 {
                format!("{:.0}", per_mille / 10.0)
            } else {
                format!("{:.1}", per_mille / 10.0)
            }
        };
        write!(f, "BLUE {} GREEN {}", percent(1000.0 - green), percent(green))
    }
}
