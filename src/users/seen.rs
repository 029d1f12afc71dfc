//! What users meet at the public address: which version answers over fresh connections, and whether anybody does. It only
//! counts; what a count means is for the shift and for the driver.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};

use crate::plan::{Color, Plan, SeenAt, Split};
use crate::run::Evidence;
use crate::world::{Request, World};

/// How many connections look at the public address at once: enough for 200 samples within four round trips or so.
const AT_ONCE: usize = 50;
/// So many expected responses of a side are not all missed by chance (less than once in a hundred looks).
const HANDFUL: f64 = 5.0;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The answers to so many fresh connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    pub blue: u32,
    pub green: u32,
    /// A server error that names no version: users who met it were served by nobody.
    pub failed: u32,
    /// No answer, or one that says nothing of where it comes from.
    pub unknown: u32,
}

/// A side that should have answered and did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Server errors stood in the place of its answers.
    Failed,
    /// Nobody can say what stood there.
    Unknown,
}

impl Answers {
    /// Opens so many connections, one after the other as places become free.
    pub async fn sample(at: &SeenAt, samples: u32, plan: [&str; 2], world: &World) -> Answers {
        let (web, secrets) = (&world.web, &world.secrets);
        let request = Request::get(secrets.resolve(&at.url), PATIENCE).with(&at.headers, secrets);
        let request = Request { fresh: true, ..request };
        let asked = (0..samples).map(|_| web.exchange(request.clone()));
        let mut arriving = stream::iter(asked).buffer_unordered(AT_ONCE);
        let mut found = Answers::default();
        while let Some(answer) = arriving.next().await {
            let response = answer.ok();
            let version = response.as_ref().and_then(|response| response.header(&at.header));
            let counted = match (version, response.as_ref().map_or(0, |response| response.status)) {
                (Some(version), _) if version == plan[0] => &mut found.blue,
                (Some(version), _) if version == plan[1] => &mut found.green,
                (None, 500..) => &mut found.failed,
                _ => &mut found.unknown,
            };
            *counted += 1;
        }
        found
    }

    pub fn of(&self, stack: Color) -> u32 {
        match stack {
            Color::Blue => self.blue,
            Color::Green => self.green,
        }
    }

    /// As it stands in a log: whether it agrees with the split that was written.
    pub fn evidence(&self, route: &str, agrees: bool) -> Evidence {
        let samples = self.counted() + self.other();
        Evidence::TrafficSeen {
            route: route.into(),
            samples,
            blue: self.blue,
            green: self.green,
            other: self.other(),
            agrees,
        }
    }

    /// Those that came from a stack.
    pub fn counted(&self) -> u32 {
        self.blue + self.green
    }

    /// Those that did not.
    pub fn other(&self) -> u32 {
        self.failed + self.unknown
    }

    /// Whether they are those of a split.
    pub fn show(&self, split: Split, tolerance: u32) -> bool {
        let counted = self.counted();
        let share = f64::from(self.green) / f64::from(counted.max(1));
        let met = match split.only() {
            // At 0 % and 100 % a single response of the other side means that the shift has not arrived everywhere.
            Some(stack) => self.of(stack.other()) == 0,
            // A wide tolerance must not take the split before the shift for the one after it: of a side that should have
            // given a handful of responses at least one is there.
            None => {
                let missed = |stack: Color| self.of(stack) == 0 && split.share(stack) * f64::from(counted) >= HANDFUL;
                (share - split.share(Color::Green)).abs() * 1000.0 <= f64::from(tolerance)
                    && !missed(Color::Blue)
                    && !missed(Color::Green)
            }
        };
        counted > 0 && met && self.other() * 2 <= counted
    }

    /// At a stop of a ramp back green may answer with errors that name no version: what counts is what blue has.
    pub fn show_enough_blue(&self, split: Split, tolerance: u32) -> bool {
        let want = split.share(Color::Blue) * 1000.0 - f64::from(tolerance);
        self.blue > 0 && f64::from(self.blue) * 1000.0 >= want * f64::from(self.counted() + self.other())
    }

    /// Whether a side that has users is missing among the answers, and not by chance.
    pub fn missing(&self, split: Split, stack: Color) -> Option<Missing> {
        let all = f64::from(self.counted() + self.other());
        if self.of(stack) > 0 || split.share(stack) * all < HANDFUL {
            return None;
        }
        // Answers that nobody understands can be ours alone: a filter on the way, a name that does not resolve here.
        let failed = f64::from(self.failed) >= split.share(stack) * all / 2.0 && f64::from(self.failed) >= HANDFUL;
        Some(if failed { Missing::Failed } else { Missing::Unknown })
    }
}

/// The versions of a plan's stacks, blue's first.
pub fn versions(plan: &Plan) -> [&str; 2] {
    [&plan.blue.version, &plan.green.version]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers([blue, green, failed, unknown]: [u32; 4]) -> Answers {
        Answers { blue, green, failed, unknown }
    }

    fn shows(split: Split, tolerance: u32, [blue, green, other]: [u32; 3]) -> bool {
        let failed = answers([blue, green, other, 0]).show(split, tolerance);
        assert_eq!(failed, answers([blue, green, 0, other]).show(split, tolerance));
        failed
    }

    #[test]
    fn the_split_before_a_shift_is_not_taken_for_the_one_after_it() {
        let wide = 150;
        assert!(!shows(Split::of_green(100), wide, [100, 0, 0]), "nobody of 100 is on green");
        assert!(shows(Split::of_green(100), wide, [96, 4, 0]));
        assert!(!shows(Split::of_green(950), wide, [0, 200, 0]), "nobody of 200 is on blue");
        // Of 1 % among 100 responses there may well be none.
        assert!(shows(Split::of_green(10), wide, [100, 0, 0]));
        assert!(!shows(Split::of_green(500), wide, [70, 30, 0]));
        assert!(!shows(Split::ALL_GREEN, wide, [1, 99, 0]) && shows(Split::ALL_GREEN, wide, [0, 100, 0]));
        assert!(!shows(Split::ALL_BLUE, wide, [0, 0, 100]) && !shows(Split::ALL_BLUE, wide, [60, 0, 40]));
    }

    #[test]
    fn one_response_of_green_says_that_users_are_not_back() {
        for tolerance in [0, 150, 1000] {
            assert!(!shows(Split::ALL_BLUE, tolerance, [199, 1, 0]), "{tolerance}");
            assert!(!shows(Split::ALL_BLUE, tolerance, [0, 0, 0]), "nothing was seen");
        }
    }

    #[test]
    fn at_a_stop_of_a_ramp_only_blue_counts() {
        let enough = |given| answers(given).show_enough_blue(Split::of_green(500), 50);
        assert!(enough([48, 2, 50, 0]));
        assert!(!enough([40, 60, 0, 0]) && !enough([0, 0, 0, 0]));
    }

    #[test]
    fn a_side_is_missing_only_where_it_cannot_be_chance() {
        let table = [
            (Split::ALL_GREEN, Color::Green, [0, 0, 20, 0], Some(Missing::Failed)),
            (Split::ALL_GREEN, Color::Green, [0, 1, 19, 0], None),
            (Split::ALL_GREEN, Color::Green, [0, 0, 0, 20], Some(Missing::Unknown)),
            // Redirects, and pages of a filter, are not green's doing.
            (Split::ALL_GREEN, Color::Green, [0, 0, 4, 16], Some(Missing::Unknown)),
            (Split::ALL_GREEN, Color::Blue, [0, 0, 20, 0], None),
            (Split::of_green(500), Color::Green, [10, 0, 10, 0], Some(Missing::Failed)),
            (Split::of_green(500), Color::Blue, [10, 0, 10, 0], None),
            (Split::of_green(500), Color::Green, [20, 0, 0, 0], Some(Missing::Unknown)),
            // Of 10 % among 20 there may well be none.
            (Split::of_green(100), Color::Green, [18, 0, 2, 0], None),
            (Split::ALL_GREEN, Color::Green, [0, 0, 0, 0], None),
        ];
        for (split, stack, given, want) in table {
            assert_eq!(answers(given).missing(split, stack), want, "{split} {stack} {given:?}");
        }
    }
}
