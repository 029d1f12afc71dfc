//! Whole weights that make an exact share: the arithmetic alone, for places whose weights have a highest.

use crate::plan::Split;

/// A hundred in all is what people read best, where it can be had.
const ALL: u64 = 100;

/// How often each side is taken, for exactly this split. `sums`: what taking a side once gives it; `most`: how
/// often each may be taken.
pub fn multiples(to: Split, sums: [u64; 2], most: [u64; 2]) -> Option<[u64; 2]> {
    let wanted = [u64::from(to.blue), u64::from(to.green)];
    let can = |times: [u64; 2]| (times[0] <= most[0] && times[1] <= most[1]).then_some(times);
    if wanted == [0, 0] || (0..2).any(|n| wanted[n] > 0 && sums[n] == 0) {
        return None;
    }
    // The very weights that were asked for: so 1:0 comes back as 1:0.
    let whole = |n: usize| wanted[n] == 0 || wanted[n].is_multiple_of(sums[n]);
    let times = |n: usize| wanted[n].checked_div(sums[n]).unwrap_or(0);
    if whole(0)
        && whole(1)
        && let Some(times) = can([times(0), times(1)])
    {
        return Some(times);
    }
    let cross = [wanted[0] * sums[1].max(1), wanted[1] * sums[0].max(1)];
    let common = common_divisor(cross[0], cross[1]);
    let least = can([cross[0] / common, cross[1] / common])?;
    let in_all = least[0] * sums[0] + least[1] * sums[1];
    let fits = (0..2).filter(|n| least[*n] > 0).map(|n| most[n] / least[n]).min().unwrap_or(1);
    let often = (ALL / in_all.max(1)).clamp(1, fits.max(1));
    Some([least[0] * often, least[1] * often])
}

pub fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}
