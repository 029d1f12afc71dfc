//! What a side has to be able to carry before users are sent to it. One healthy target out of thirty is not the same as well.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Color, Split};

/// What a side has to have, for the share it will get. What is not said is not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// Requests a second of all users at the busiest time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<u32>,
    /// Requests a second that one healthy target carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_target: Option<u32>,
    /// The least share of the registered targets that has to be healthy, in per mille.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<u32>,
    /// In how many zones healthy targets have to stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones: Option<u32>,
    /// Who counts the requests that all users make now, before each move forward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Counter>,
}

/// Who counts the requests of all users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Counter {
    /// CloudWatch, by the metric `RequestCount` of both target groups.
    Cloudwatch,
}

/// A side as its provider counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub healthy: u32,
    pub total: u32,
    /// In how many zones the healthy ones stand, where the provider says.
    pub zones: Option<u32>,
}

impl Capacity {
    pub fn is_unsaid(&self) -> bool {
        *self == Capacity::default()
    }

    /// The same where all users make so many requests a second now: no less than at their peak.
    pub fn under(&self, now: u32) -> Capacity {
        Capacity { peak: Some(self.peak.unwrap_or(0).max(now)), ..self.clone() }
    }

    /// The healthy targets a side needs for its share of a split.
    pub fn targets(&self, split: Split, stack: Color) -> Option<u64> {
        let (peak, one) = (u64::from(self.peak?), u64::from(self.per_target?));
        let (share, all) = (u64::from(split.weight(stack)), u64::from(split.blue) + u64::from(split.green));
        (one > 0 && all > 0).then(|| (peak * share).div_ceil(one * all))
    }

    /// What a side lacks for its share of a split, if it lacks something.
    pub fn lacks(&self, split: Split, stack: Color, counted: Counted) -> Option<String> {
        let Counted { healthy, total, zones } = counted;
        let share = split.share(stack) * 100.0;
        if let Some(needed) = self.targets(split, stack)
            && u64::from(healthy) < needed
        {
            return Some(format!(
                "{stack} has {healthy} healthy targets, and {share:.1}% of {} requests a second need {needed}",
                self.peak.unwrap_or(0)
            ));
        }
        if let Some(least) = self.healthy
            && u64::from(healthy) * 1000 < u64::from(total) * u64::from(least)
        {
            let least = f64::from(least) / 10.0;
            return Some(format!("{stack} has {healthy} of {total} targets healthy, and {least}% of them have to be"));
        }
        match (self.zones, zones) {
            (Some(least), Some(zones)) if zones < least => {
                Some(format!("{stack} has healthy targets in {zones} zones, and they have to stand in {least}"))
            }
            (Some(least), None) if least > 1 => {
                Some(format!("{stack} has to stand in {least} zones, and the provider does not say in which it does"))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_side_lacks() {
        let capacity = |peak, per_target, healthy, zones| Capacity { peak, per_target, healthy, zones, traffic: None };
        let counted = |healthy, total, zones| Counted { healthy, total, zones };
        let half = Split::of_green(500);
        let rate = capacity(Some(300), Some(60), None, None);
        let table: &[(&Capacity, Split, Counted, Option<&str>)] = &[
            (&Capacity::default(), half, counted(1, 30, None), None),
            (&rate, half, counted(3, 3, None), None),
            (&rate, half, counted(2, 9, None), Some("50.0% of 300 requests a second need 3")),
            (&rate.under(600), half, counted(3, 3, None), Some("50.0% of 600 requests a second need 5")),
            (&rate.under(60), half, counted(2, 9, None), Some("need 3")),
            (&rate, Split::ALL_GREEN, counted(4, 4, None), Some("need 5")),
            (&rate, Split::of_green(1), counted(1, 1, None), None),
            (&capacity(None, None, Some(800), None), half, counted(4, 5, None), None),
            (&capacity(None, None, Some(800), None), half, counted(3, 4, None), Some("80% of them have to be")),
            (&capacity(None, None, None, Some(2)), half, counted(4, 4, Some(2)), None),
            (&capacity(None, None, None, Some(2)), half, counted(4, 4, Some(1)), Some("in 1 zones")),
            (&capacity(None, None, None, Some(2)), half, counted(4, 4, None), Some("does not say")),
            (&capacity(None, None, None, Some(1)), half, counted(4, 4, None), None),
        ];
        for (capacity, split, counted, lacks) in table {
            let found = capacity.lacks(*split, Color::Green, *counted);
            assert_eq!(found.is_some(), lacks.is_some(), "{counted:?}: {found:?}");
            assert!(found.unwrap_or_default().contains(lacks.unwrap_or_default()), "{counted:?}");
        }
    }
}
