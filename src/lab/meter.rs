//! What the proxy saw, as counters by colour: requests by status, durations, Slack's retries.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use super::locked;
use crate::plan::Color;

/// Upper bounds of the duration buckets in seconds; the last, `+Inf`, is the count itself.
const BOUNDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.8, 1.0, 1.5, 2.5, 5.0];
/// Statuses whose series exist from the start: a counter born with its first error hides that error from `rate`.
const BORN: [u16; 5] = [200, 404, 500, 502, 503];

#[derive(Debug)]
pub struct Meter(Mutex<[Counts; 2]>);

#[derive(Clone, Debug)]
struct Counts {
    requests: BTreeMap<u16, u64>,
    buckets: [u64; BOUNDS.len()],
    count: u64,
    seconds: f64,
    retries: u64,
}

/// One value to be scraped: metric name, labels, value.
pub type Reading = (&'static str, Vec<(&'static str, String)>, f64);

impl Default for Meter {
    fn default() -> Self {
        let requests = BORN.map(|status| (status, 0)).into();
        let counts = Counts { requests, buckets: [0; BOUNDS.len()], count: 0, seconds: 0.0, retries: 0 };
        Meter(Mutex::new([counts.clone(), counts]))
    }
}

impl Meter {
    /// A request for this colour was answered.
    pub fn note(&self, color: Color, status: u16, time: Duration, retry: bool) {
        let counts = &mut locked(&self.0)[color as usize];
        let seconds = time.as_secs_f64();
        *counts.requests.entry(status).or_default() += 1;
        for (bound, bucket) in BOUNDS.iter().zip(&mut counts.buckets) {
            *bucket += u64::from(seconds <= *bound);
        }
        counts.count += 1;
        counts.seconds += seconds;
        counts.retries += u64::from(retry);
    }

    /// Everything as it would stand in a metrics page.
    pub fn readings(&self) -> Vec<Reading> {
        let all = locked(&self.0).clone();
        let mut readings = Vec::new();
        for color in Color::BOTH {
            let counts = &all[color as usize];
            let labels = |more: Option<(&'static str, String)>| {
                let mut labels = vec![("color", color.name().to_string()), ("job", "bot".to_string())];
                labels.extend(more);
                labels
            };
            for (status, count) in &counts.requests {
                let labels = labels(Some(("status", status.to_string())));
                readings.push(("http_requests_total", labels, *count as f64));
            }
            for (bound, count) in BOUNDS.iter().zip(&counts.buckets) {
                let labels = labels(Some(("le", bound.to_string())));
                readings.push(("http_request_duration_seconds_bucket", labels, *count as f64));
            }
            let inf = labels(Some(("le", "+Inf".to_string())));
            readings.push(("http_request_duration_seconds_bucket", inf, counts.count as f64));
            readings.push(("http_request_duration_seconds_count", labels(None), counts.count as f64));
            readings.push(("http_request_duration_seconds_sum", labels(None), counts.seconds));
            readings.push(("slack_retries_total", labels(None), counts.retries as f64));
            readings.push(("up", labels(None), 1.0));
        }
        readings
    }
}
