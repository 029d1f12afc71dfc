//! Both stacks measured by asking a source about each of them, or once about the service where it knows no stacks.

use std::cell::RefCell;

use jiff::Timestamp;

use super::judge::Control;
use super::judge::counts::{Counts, whole};
use super::measured::{Measured, Measurement};
use super::source::{About, Reading, Source};
use crate::plan::{Color, Plan};
use crate::run::Asked;
use crate::world::{Gap, World};

/// What is known of the two stacks.
#[derive(Clone, Debug, Default)]
pub struct Sides {
    green: About,
    blue: About,
}

impl Sides {
    /// Two stacks that stand for any, where a question is only looked at.
    pub fn example() -> Sides {
        Sides { green: About::example(Color::Green), blue: About::example(Color::Blue) }
    }

    /// Each in the place of the other.
    pub fn swapped(&self) -> Sides {
        Sides { green: self.blue.clone(), blue: self.green.clone() }
    }

    /// The name of the stack that stands here, for a sentence.
    pub fn said(&self, color: Color) -> &'static str {
        self.about(color).color().unwrap_or(color).name()
    }

    pub fn about(&self, color: Color) -> &About {
        match color {
            Color::Green => &self.green,
            Color::Blue => &self.blue,
        }
    }

    pub fn of(plan: &Plan) -> Sides {
        Sides { green: About::stack(plan, Color::Green), blue: About::stack(plan, Color::Blue) }
    }
}

/// A gate that asks a source.
pub struct ByStack {
    pub source: Box<dyn Source>,
    sides: Sides,
    /// How far the counters of green and blue have grown; None where the numbers are taken as they are.
    grown: Option<RefCell<[Growth; 2]>>,
}

/// How far a value and its requests have grown since they were first seen.
#[derive(Clone, Copy, Debug, Default)]
struct Growth {
    last: Option<Reading>,
    value: f64,
    requests: f64,
}

impl Growth {
    /// Takes the newest reading. The first one only says where to count from.
    fn by(&mut self, new: Reading) -> Option<Reading> {
        // A counter that is lower than before began again with its process: what it has now came since then.
        let step = |new: f64, old: f64| if new >= old { new - old } else { new };
        let grown = self.last.map(|last| {
            self.value += step(new.value, last.value);
            self.requests += step(new.requests.unwrap_or(0.0), last.requests.unwrap_or(0.0));
            Reading { value: self.value, requests: new.requests.map(|_| self.requests), minutes: None }
        });
        self.last = Some(new);
        grown
    }
}

impl ByStack {
    pub fn new(source: Box<dyn Source>, sides: Sides, delta: bool) -> Self {
        ByStack { source, sides, grown: delta.then(RefCell::default) }
    }

    pub async fn measure(&self, world: &World, since: Timestamp, compared: bool) -> Measurement {
        let mut asked = Vec::new();
        let measured = self.numbers(world, since, compared, &mut asked).await;
        Measurement { measured: measured.map_err(|gap| gap.masked(&world.secrets)), asked }
    }

    async fn numbers(
        &self,
        world: &World,
        since: Timestamp,
        compared: bool,
        asked: &mut Vec<Asked>,
    ) -> Result<Measured, Gap> {
        let about = |side: &About| side.clone().since(since);
        if !self.source.of_a_stack() {
            let whole = self.ask(world, &About::service().since(since), "", 0, asked).await?;
            return Ok(self.measured(whole, None));
        }
        let of = |color: Color| format!("{}: ", self.sides.said(color));
        let green = self.ask(world, &about(&self.sides.green), &of(Color::Green), 0, asked).await;
        let blue = self.ask(world, &about(&self.sides.blue), &of(Color::Blue), 1, asked).await;
        // Blue's number matters only to a gate that compares with it.
        let blue = if compared { Some(blue?) } else { blue.ok() };
        Ok(self.measured(green?, blue))
    }

    async fn ask(
        &self,
        world: &World,
        about: &About,
        of: &str,
        side: usize,
        asked: &mut Vec<Asked>,
    ) -> Result<Reading, Gap> {
        let read = self.source.read(world, about).await;
        let answer = match &read {
            Ok(Reading { value, requests: None, .. }) => value.to_string(),
            Ok(Reading { value, requests: Some(requests), .. }) => format!("{value} of {requests}"),
            Err(gap) => gap.line().to_string(),
        };
        asked.push(Asked { question: format!("{of}{}", self.source.question()), answer });
        let read = read?;
        if read.requests.is_some_and(|n| n < 0.0) || (self.source.counts() && read.value < 0.0) {
            return Err(Gap::Unknown(format!("{of}a count of {} cannot be", read.value)));
        }
        match &self.grown {
            None => Ok(read),
            Some(grown) => grown.borrow_mut()[side].by(read).ok_or_else(|| {
                Gap::Unknown(format!("{of}first seen at {}; its growth is counted from there", read.value))
            }),
        }
    }

    fn measured(&self, green: Reading, blue: Option<Reading>) -> Measured {
        if self.source.counts() {
            let counts = |r: Reading| Counts::said(r.requests.unwrap_or(0.0), r.value);
            let blue = blue.map(counts).unwrap_or_default();
            return Measured::Counts { green: counts(green), blue, minutes: green.minutes };
        }
        let blue = match blue {
            Some(Reading { requests: Some(0.0), .. }) => Control::Idle,
            Some(Reading { value, .. }) => Control::Value(value),
            None => Control::Absent,
        };
        Measured::Value { green: green.value, blue, requests: green.requests.map(whole) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_goes_on_over_a_restart() {
        let mut growth = Growth::default();
        let of = |value: f64, requests: f64| Reading { value, requests: Some(requests), minutes: None };
        assert_eq!(growth.by(of(40.0, 900.0)), None);
        assert_eq!(growth.by(of(41.0, 1000.0)), Some(of(1.0, 100.0)));
        // The process began again: 2 of 10 since then.
        assert_eq!(growth.by(of(2.0, 10.0)), Some(of(3.0, 110.0)));
    }
}
