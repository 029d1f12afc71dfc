//! Which weight each server gets: the arithmetic alone, so that it can be read and tried without an HAProxy.
//!
//! A side's share is the sum of the weights of its servers that take users. Within a side the relation is kept: that of its
//! weights now; where all of them are 0 that of the configuration; where those are 0 too, all servers get the same.

use serde::{Deserialize, Serialize};

use crate::plan::{Color, Split};
use crate::routers::proportion::{common_divisor, multiples};

/// HAProxy's heaviest server.
pub const MOST: u64 = 256;

/// One server of a side, as far as users are shared out by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weighed {
    pub name: String,
    pub side: Color,
    pub weight: u32,
    /// What its configuration says.
    pub initial: u32,
    /// Neither in maintenance nor in drain by somebody's hand, and no backup. Others get no new user, whatever their weight.
    pub takes: bool,
}

/// The weights one HAProxy holds.
pub type Weights = [Weighed];

fn of(weights: &Weights, side: Color) -> impl Iterator<Item = &Weighed> {
    weights.iter().filter(move |server| server.side == side)
}

/// The split that these weights make.
pub fn split(weights: &Weights) -> Split {
    let sum = |side| of(weights, side).filter(|server| server.takes).map(|server| server.weight).sum();
    Split { blue: sum(Color::Blue), green: sum(Color::Green) }
}

/// The split that a reload leaves, if nobody has kept the state of the servers.
pub fn configured(weights: &Weights) -> Split {
    let sum = |side| of(weights, side).filter(|server| server.takes).map(|server| server.initial).sum();
    Split { blue: sum(Color::Blue), green: sum(Color::Green) }
}

/// The split of several HAProxies. Where they differ it is their mean, as if each had as many users, and never a share that a
/// runbook can want: so it is taken for no split that somebody asked for.
pub fn mean(splits: &[Split]) -> Split {
    match splits {
        [] => Split { blue: 0, green: 0 },
        [first, rest @ ..] if rest.iter().all(|split| split == first) => *first,
        _ => {
            let all: f64 = splits.iter().map(|split| split.share(Color::Green)).sum();
            let millionths = ((all / splits.len() as f64 * 1e6).round() as u32).clamp(1, 999_999);
            let green = if millionths.is_multiple_of(1000) { millionths + 1 } else { millionths };
            Split { blue: 1_000_000 - green, green }
        }
    }
}

/// The relation within a side, in lowest terms, server by server.
fn relation(weights: &Weights, side: Color) -> Vec<u64> {
    let by = |weight: fn(&Weighed) -> u32| -> Vec<u64> { of(weights, side).map(|s| u64::from(weight(s))).collect() };
    // A server that takes nobody is no reason to leave the others without a weight.
    let taking = |weight: fn(&Weighed) -> u32| of(weights, side).any(|s| s.takes && weight(s) > 0);
    let parts = match () {
        () if taking(|s| s.weight) => by(|s| s.weight),
        () if taking(|s| s.initial) => by(|s| s.initial),
        () => by(|_| 1),
    };
    let common = parts.iter().copied().fold(0, common_divisor).max(1);
    parts.into_iter().map(|part| part / common).collect()
}

/// The weight of each server for this split, in their order; none where whole weights up to 256 cannot have it.
pub fn wanted(weights: &Weights, to: Split) -> Option<Vec<u32>> {
    let relations = Color::BOTH.map(|side| relation(weights, side));
    let sum = |n: usize, side| -> u64 {
        of(weights, side).zip(&relations[n]).filter(|(server, _)| server.takes).map(|(_, part)| part).sum()
    };
    let most = |n: usize| relations[n].iter().max().map_or(0, |part| MOST / part);
    let times = multiples(to, [sum(0, Color::Blue), sum(1, Color::Green)], [most(0), most(1)])?;
    let mut parts = relations.map(Vec::into_iter);
    let weight = |server: &Weighed| {
        let n = usize::from(server.side == Color::Green);
        (times[n] * parts[n].next().unwrap_or(0)) as u32
    };
    Some(weights.iter().map(weight).collect())
}

/// The share of green nearest to this one that can be had, in thousandths.
pub fn nearest(weights: &Weights, to: Split) -> Option<u32> {
    let asked = (to.share(Color::Green) * 1000.0).round() as u32;
    let can = |green: &u32| wanted(weights, Split::of_green(*green)).is_some();
    (1..1000).filter(can).min_by_key(|green| green.abs_diff(asked))
}

/// Whether these weights are what a change from one split to another leaves when it is cut off: each server has its weight of
/// before or of after, and none has lost before all have gained. `all`: the weights of each HAProxy.
pub fn cut_off(all: &[&Weights], from: Split, to: Split) -> bool {
    let (mut gained, mut lost) = (true, false);
    for weights in all {
        let (Some(before), Some(after)) = (wanted(weights, from), wanted(weights, to)) else { return false };
        for ((server, before), after) in weights.iter().zip(before).zip(after) {
            if server.weight != before && server.weight != after {
                return false;
            }
            gained &= after <= before || server.weight == after;
            lost |= after < before && server.weight == after;
        }
    }
    gained || !lost
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Servers as `weight/initial`, blue's and green's; `-` before one that takes nobody.
    fn servers(blue: &str, green: &str) -> Vec<Weighed> {
        let side = |text: &str, side: Color| -> Vec<Weighed> {
            let one = |(n, word): (usize, &str)| {
                let (weight, initial) = word.trim_start_matches('-').split_once('/').expect("two numbers");
                let number = |text: &str| text.parse().expect("a number");
                let name = format!("{}-{n}", side.name());
                Weighed { name, side, weight: number(weight), initial: number(initial), takes: !word.starts_with('-') }
            };
            text.split_whitespace().enumerate().map(one).collect()
        };
        [side(blue, Color::Blue), side(green, Color::Green)].concat()
    }

    fn set(blue: &str, green: &str, to: Split) -> Option<Vec<u32>> {
        let servers = servers(blue, green);
        let weights = wanted(&servers, to)?;
        let set: Vec<Weighed> = servers.into_iter().zip(&weights).map(|(s, w)| Weighed { weight: *w, ..s }).collect();
        assert_eq!(split(&set), to, "it is exact");
        assert_eq!(wanted(&set, to), Some(weights.clone()), "and it stays what it is");
        Some(weights)
    }

    #[test]
    fn a_share_is_exact_and_the_relation_within_a_side_is_kept() {
        let green = Split::of_green;
        let found = |blue, green| Split { blue, green };
        let table: &[(&str, &str, Split, Option<&[u32]>)] = &[
            ("100/100", "0/0", green(100), Some(&[90, 10])),
            ("100/100", "0/0", green(5), Some(&[199, 1])),
            ("100/100", "0/0", green(4), Some(&[249, 1])),
            ("100/100", "0/0", green(3), None),
            ("100/100", "0/0", green(125), Some(&[84, 12])),
            ("100/100", "0/0", green(1000), Some(&[0, 100])),
            // Weights that were found come back as they were.
            ("90/1", "10/0", found(1, 0), Some(&[1, 0])),
            ("90/1", "10/0", found(256, 0), Some(&[256, 0])),
            // Two to one stays two to one; what has no weight gets that of its configuration, or the same each.
            ("100/100 50/50", "0/0", green(0), Some(&[66, 33, 0])),
            ("100/100 50/50", "0/0", found(150, 0), Some(&[100, 50, 0])),
            ("100/100 50/50", "0/0 0/0", green(100), Some(&[60, 30, 5, 5])),
            ("0/100 0/50", "50/0 50/0", green(500), Some(&[32, 16, 24, 24])),
            ("0/0 0/0 0/0", "100/0", green(0), Some(&[33, 33, 33, 0])),
            // One that takes nobody has its part of the relation, and no part of the sum.
            ("100/100 -100/100", "0/0", green(100), Some(&[90, 90, 10])),
            ("-100/100", "0/0", green(100), None),
            ("100/100", "-0/0", green(100), None),
            ("100/100", "-0/0", green(0), Some(&[100, 0])),
            // Relations that fill the range leave little room.
            ("256/256 1/1", "0/0", green(500), None),
            ("100/100", "0/0", found(0, 0), None),
        ];
        for (blue, green, to, wanted) in table {
            assert_eq!(set(blue, green, *to).as_deref(), *wanted, "{blue} | {green} to {to}");
        }
        assert_eq!(nearest(&servers("100/100", "0/0"), Split::of_green(1)), Some(4));
        assert_eq!(nearest(&servers("100/100", "-0/0"), Split::of_green(1)), None);
    }

    #[test]
    fn several_that_differ_have_no_split_that_anybody_asked_for() {
        let (blue, green, tenth) = (Split::ALL_BLUE, Split::ALL_GREEN, Split::of_green(100));
        assert_eq!(mean(&[tenth, Split { blue: 9, green: 1 }]), tenth);
        for mixed in
            [vec![blue, green], vec![blue, tenth], vec![green, green, blue], vec![blue, Split { blue: 0, green: 0 }]]
        {
            let mean = mean(&mixed);
            assert!((0..=1000).all(|share| Split::of_green(share) != mean), "{mixed:?}: {mean:?}");
        }
        assert_eq!(mean(&[blue, green]).to_string(), "BLUE 50 GREEN 50");
    }

    #[test]
    fn a_change_that_was_cut_off_is_told_from_everything_else() {
        let (from, to) = (Split::of_green(100), Split::of_green(500));
        let back = Split::ALL_BLUE;
        let cut = |all: &[(u32, u32)], from, to| {
            let all: Vec<Vec<Weighed>> =
                all.iter().map(|(b, g)| servers(&format!("{b}/100"), &format!("{g}/0"))).collect();
            cut_off(&all.iter().map(Vec::as_slice).collect::<Vec<_>>(), from, to)
        };
        assert!(cut(&[(90, 50)], from, to), "green has gained, blue has not lost");
        assert!(cut(&[(90, 10)], from, to) && cut(&[(50, 50)], from, to));
        assert!(!cut(&[(50, 10)], from, to), "nobody of ours lets blue lose first");
        assert!(!cut(&[(90, 40)], from, to) && !cut(&[(100, 50)], from, to) && !cut(&[(0, 0)], from, to));
        assert!(cut(&[(100, 10)], from, back), "and the same on the way back");
        // Of two, the first has gained and the second has not, or both have and one has lost.
        assert!(cut(&[(90, 50), (90, 10)], from, to) && cut(&[(50, 50), (90, 50)], from, to));
        assert!(!cut(&[(50, 50), (90, 10)], from, to), "the second lost nothing, but the first did before it gained");
        assert!(!cut(&[(50, 50), (80, 20)], from, to));
    }
}
