//! How many requests all users of a route make now, as its provider counts them: what a side has to be able to carry before users
//! are sent to it. A count that is missing or too old is none, and never a small one.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::plan::{Capacity, Counter};
use crate::routers::MetricsPlace;
use crate::world::{Gap, Point, Question, World};

const NAMESPACE: &str = "AWS/ApplicationELB";
const METRIC: &str = "RequestCount";
const MINUTE: i64 = 60;
/// The same as CloudWatch wants it.
const PERIOD: i32 = 60;
/// How late the numbers of a minute are complete.
const LATE: i64 = 3 * MINUTE;
/// Of so many whole minutes the busiest counts: what comes next is rarely the quietest of them.
const MINUTES: i64 = 5;
/// Data that ends this long before what should be there has stopped coming.
const STALE: i64 = 3 * MINUTE;

/// Requests a second of all users, where the runbook asks for that.
pub async fn now(capacity: &Capacity, place: Option<MetricsPlace>, world: &World) -> Result<Option<u32>, Gap> {
    let Some(Counter::Cloudwatch) = capacity.traffic else { return Ok(None) };
    let place = place.ok_or_else(|| Gap::Never("the route has no metrics in CloudWatch".into()))?;
    let newest = world.clock.now().as_second() - LATE;
    let end = newest - newest.rem_euclid(MINUTE);
    let moment = |second| Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
    let (from, to) = (moment(end) - SignedDuration::from_secs(MINUTES * MINUTE), moment(end));
    let question = |side: &(String, String)| Question {
        namespace: NAMESPACE.into(),
        metric: METRIC.into(),
        dimensions: vec![place.whole.clone(), side.clone()],
        stat: "Sum".into(),
        period: PERIOD,
    };
    let asked = [question(&place.blue), question(&place.green)];
    let answer = world.metrics.series(Some(&place.region), &asked, from, to).await;
    busiest(&answer.map_err(|gap| gap.masked(&world.secrets))?, end).map(Some)
}

/// Why it is not known, in words.
pub fn unknown(route: &str, gap: &Gap) -> String {
    format!("how many requests the users of {route} make now is not known: {}", gap.line())
}

/// It in words: `all users make 240 requests a second now, by CloudWatch`.
pub fn told(now: u32) -> String {
    format!("all users make {now} requests a second now, by CloudWatch")
}

/// Requests a second in the busiest minute, of both sides together: a side without a point in it had no request then, since AWS
/// reports a metric only while there are some.
fn busiest(series: &[Vec<Point>], end: i64) -> Result<u32, Gap> {
    let mut minutes: BTreeMap<i64, f64> = BTreeMap::new();
    for point in series.iter().flatten() {
        *minutes.entry(point.at.as_second()).or_default() += point.value;
    }
    let Some(newest) = minutes.keys().max() else {
        return Err(Gap::Unknown(format!(
            "CloudWatch has no `{METRIC}` of either side in its newest {MINUTES} minutes"
        )));
    };
    let age = end - (newest + MINUTE);
    if age > STALE {
        return Err(Gap::Unknown(format!("CloudWatch's newest `{METRIC}` is {age} s older than it should be")));
    }
    let most = minutes.values().copied().fold(0.0, f64::max);
    match most.is_finite() && minutes.values().all(|count| *count >= 0.0) {
        // Beyond what any service has, a number is as large as can be, and no side carries it.
        true => Ok((most / MINUTE as f64).ceil() as u32),
        false => Err(Gap::Unknown(format!("CloudWatch's `{METRIC}` is no number of requests"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_minute_of_both_sides_counts_and_what_is_old_or_missing_does_not() {
        let end = 1_800_000_000;
        let at =
            |minutes: i64, value| Point { at: Timestamp::from_second(end - minutes * MINUTE).expect("a time"), value };
        let told = |series: &[Vec<Point>]| busiest(series, end).map_err(|gap| gap.line().to_string());
        assert_eq!(told(&[vec![at(5, 600.0), at(1, 1200.0)], vec![at(1, 1.0)]]), Ok(21));
        assert_eq!(told(&[vec![at(2, 0.0)], vec![]]), Ok(0));
        assert!(told(&[vec![], vec![]]).unwrap_err().contains("has no `RequestCount` of either side"));
        assert_eq!(told(&[vec![at(4, 60.0)], vec![]]), Ok(1));
        assert!(told(&[vec![at(5, 60.0)], vec![]]).unwrap_err().contains("240 s older"), "it stopped coming");
        assert!(told(&[vec![at(1, f64::NAN)]]).unwrap_err().contains("no number"));
    }
}
