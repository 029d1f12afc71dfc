//! Metrics of AWS CloudWatch as a step may ask for them: series of points, or the reason why there are none. They are only ever
//! read.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::secret::Secrets;

/// One metric with its dimensions and the statistic that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub namespace: String,
    pub metric: String,
    pub dimensions: Vec<(String, String)>,
    pub stat: String,
    /// Seconds.
    pub period: i32,
}

/// A value and the moment its period begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub at: Timestamp,
    pub value: f64,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Nobody could be reached, or could serve: says nothing of the service.
    Silent(String),
    /// There is an answer, and it is no number.
    Unknown(String),
    /// The question itself has no answer that means anything, now and later.
    Never(String),
}

impl Gap {
    pub fn line(&self) -> &str {
        match self {
            Gap::Silent(line) | Gap::Unknown(line) | Gap::Never(line) => line,
        }
    }

    /// The same without the secrets of the run.
    pub fn masked(self, secrets: &Secrets) -> Gap {
        match self {
            Gap::Silent(line) => Gap::Silent(secrets.mask(&line)),
            Gap::Unknown(line) => Gap::Unknown(secrets.mask(&line)),
            Gap::Never(line) => Gap::Never(secrets.mask(&line)),
        }
    }
}

/// Something that keeps metrics.
#[async_trait(?Send)]
pub trait Metrics {
    /// The points of each question from one moment up to another. A metric without any has an empty list.
    async fn series(
        &self,
        region: Option<&str>,
        questions: &[Question],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Vec<Point>>, Gap>;
}

/// A world without metrics of AWS.
pub struct NoMetrics;

#[async_trait(?Send)]
impl Metrics for NoMetrics {
    async fn series(
        &self,
        _: Option<&str>,
        _: &[Question],
        _: Timestamp,
        _: Timestamp,
    ) -> Result<Vec<Vec<Point>>, Gap> {
        Err(Gap::Silent("there is no CloudWatch in this world, or bgctl was built without `cloudwatch`: build it with `--features full`".into()))
    }
}
