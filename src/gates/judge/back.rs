//! Whether blue is fit to take users back, by the numbers of the gate that green failed. Pure.
//!
//! Blue is asked by them, since its targets can be healthy while its users are not.

use super::counts::Counts;
use super::likelihood::{over_limit, worse_than_blue};
use super::{Bound, CERTAIN, FEWEST_BAD, Rule};

/// Two values that both break a limit are of one cause unless one of them is so many times the other.
const ALIKE: f64 = 1.25;

/// What the numbers of a rule say against going back to blue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Back {
    /// Nothing.
    #[default]
    Fit,
    /// Blue breaks the rule as well, and green is not shown to be worse than it: a cause that both share.
    AsBad,
    /// Blue breaks the rule, and is shown to be worse than green.
    Worse,
}

impl Back {
    /// Why nobody is sent back, as the end of a sentence.
    pub fn why(self) -> Option<&'static str> {
        match self {
            Back::Fit => None,
            Back::AsBad => Some("BLUE is as bad, so no users are sent back to it"),
            Back::Worse => Some("BLUE is worse, so no users are sent back to it"),
        }
    }
}

impl Rule {
    /// What counts of the same time say against going back: both have to be proven, or nothing is.
    pub(super) fn back_to_counts(&self, green: Counts, blue: Counts) -> Back {
        let (limit, certain) = (self.highest(), CERTAIN.ln());
        if blue.bad < FEWEST_BAD || blue.bad > blue.requests || over_limit(blue, limit) < certain {
            Back::Fit
        } else if worse_than_blue(blue, green) >= certain {
            Back::Worse
        } else if worse_than_blue(green, blue) >= certain {
            Back::Fit
        } else {
            Back::AsBad
        }
    }

    /// What two values of the same time say against going back.
    pub(super) fn back_to_value(&self, green: f64, blue: f64) -> Back {
        let (breaks, worse): (bool, fn(f64, f64) -> bool) = match self.bound {
            Bound::Max(limit) => (blue > limit, |one, other| one > other * ALIKE),
            Bound::Min(limit) => (blue < limit, |one, other| one < other / ALIKE),
        };
        let beyond = self.margin.as_ref().is_some_and(|margin| self.beyond(margin, green, blue));
        match () {
            () if !breaks => Back::Fit,
            () if worse(blue, green) => Back::Worse,
            () if worse(green, blue) || beyond => Back::Fit,
            () => Back::AsBad,
        }
    }
}
