//! Seeded chance: the same seed gives the same draws in the same order (SplitMix64).

use std::sync::atomic::{AtomicU64, Ordering};

/// A shared stream of draws.
#[derive(Debug)]
pub struct Dice(AtomicU64);

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(AtomicU64::new(seed))
    }

    /// The next 64 random bits.
    pub fn bits(&self) -> u64 {
        scramble(self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP))
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&self, low: u64, high: u64) -> u64 {
        low + self.bits() % (high - low + 1)
    }

    /// A new id in the form of a UUID.
    pub fn uuid(&self) -> String {
        let (a, b) = (self.bits(), self.bits());
        format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xfff,
            b >> 52,
            b & 0xffff_ffff_ffff
        )
    }
}

/// Whether the thing of this name belongs to the given share of all things, always with the same answer.
pub fn falls(name: &str, percent: u64) -> bool {
    let mixed = name.bytes().fold(STEP, |sum, byte| scramble(sum ^ u64::from(byte)));
    mixed % 100 < percent
}

fn scramble(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_draws_and_names_fall_by_share() {
        let (one, two) = (Dice::new(7), Dice::new(7));
        assert_eq!((one.bits(), one.between(3, 5)), (two.bits(), two.between(3, 5)));
        assert_eq!(one.uuid().len(), 36);
        let fallen = (0..10_000).filter(|n| falls(&format!("Ev{n}"), 30)).count();
        assert!((2_800..3_200).contains(&fallen), "{fallen}");
    }
}
