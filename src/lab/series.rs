//! Scraped series in memory: labels and timestamped samples.

use std::collections::{BTreeMap, VecDeque};

use super::meter::Reading;

/// Label names and values; the metric's name is `__name__`.
pub type Labels = BTreeMap<String, String>;

/// How long samples are kept, in milliseconds.
const KEPT_MS: i64 = 60 * 60 * 1000;

#[derive(Clone, Debug)]
pub struct Series {
    pub labels: Labels,
    /// Milliseconds since 1970, and the value; ascending.
    pub samples: VecDeque<(i64, f64)>,
}

/// Everything scraped so far.
#[derive(Debug, Default)]
pub struct Scraped {
    places: BTreeMap<Labels, usize>,
    all: Vec<Series>,
}

impl Scraped {
    pub fn all(&self) -> &[Series] {
        &self.all
    }

    /// Adds what one scrape at this time read.
    pub fn add(&mut self, at_ms: i64, readings: Vec<Reading>) {
        for (name, pairs, value) in readings {
            let mut labels: Labels = pairs.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
            labels.insert("__name__".into(), name.into());
            let next = self.all.len();
            let place = *self.places.entry(labels.clone()).or_insert(next);
            if place == next {
                self.all.push(Series { labels, samples: VecDeque::new() });
            }
            let samples = &mut self.all[place].samples;
            samples.push_back((at_ms, value));
            while samples.front().is_some_and(|(at, _)| *at < at_ms - KEPT_MS) {
                samples.pop_front();
            }
        }
    }
}
