//! Which weights give a share: whole numbers from 0 to 255, of two records. The arithmetic alone.

use crate::plan::{Color, Split};
use crate::routers::proportion::multiples;

/// The highest weight of a record (API reference, `Weight`).
pub const HEAVIEST: u32 = 255;

/// The weights for exactly this split, if there are any. Both 0 is none: Route 53 would send users to both alike.
pub fn wanted(to: Split) -> Option<Split> {
    let most = u64::from(HEAVIEST);
    let [blue, green] = multiples(to, [1, 1], [most, most])?;
    let weight = |times: u64| u32::try_from(times).ok();
    Some(Split { blue: weight(blue)?, green: weight(green)? })
}

/// The nearest share of green that can be had and that a runbook can want, in words.
pub fn nearest(to: Split) -> Option<String> {
    let asked = (to.share(Color::Green) * 1000.0).round() as u32;
    let can = |green: &u32| wanted(Split::of_green(*green)).is_some();
    let green = (1..1000).filter(can).min_by_key(|green| green.abs_diff(asked))?;
    Some(Split::of_green(green).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_exact_or_refused() {
        let (green, found) = (Split::of_green, |blue, green| Split { blue, green });
        let table = [
            (green(0), Some((100, 0))),
            (green(1000), Some((0, 100))),
            (green(100), Some((90, 10))),
            (green(5), Some((199, 1))),
            (green(125), Some((84, 12))),
            (green(4), Some((249, 1))),
            (green(3), None),
            (green(1), None),
            (green(999), None),
            // Weights that were found come back as they were.
            (found(255, 0), Some((255, 0))),
            (found(256, 256), Some((50, 50))),
            (found(1, 255), Some((1, 255))),
            (found(1, 256), None),
            // All zero is not nobody.
            (found(0, 0), None),
        ];
        for (to, wanted) in table {
            let weights = super::wanted(to);
            assert_eq!(weights.map(|w| (w.blue, w.green)), wanted, "{to:?}");
            assert!(weights.is_none_or(|weights| weights == to), "{to:?} is exact");
        }
        assert_eq!(nearest(green(1)).as_deref(), Some("BLUE 99.6 GREEN 0.4"));
        assert_eq!(nearest(green(999)).as_deref(), Some("BLUE 0.4 GREEN 99.6"));
    }
}
