//! What came of measuring a gate: numbers of both stacks in the form in which they are judged, or why there are none.

use super::judge::Control;
use super::judge::counts::Counts;
use super::source::Minutes;
use crate::run::Asked;
use crate::world::Gap;

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub enum Measured {
    /// A share, counted since users were shifted.
    Counts { green: Counts, blue: Counts, minutes: Option<Minutes> },
    /// A value now.
    Value { green: f64, blue: Control, requests: Option<u64> },
}

/// A measurement, and everything that was asked for it.
pub struct Measurement {
    pub measured: Result<Measured, Gap>,
    pub asked: Vec<Asked>,
}
