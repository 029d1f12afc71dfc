//! The live [`Metrics`]: `GetMetricData` of AWS CloudWatch, page by page.
//!
//! Reads may be repeated by the SDK within its bounds. An answer that is not complete is no answer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use async_trait::async_trait;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::config::http::HttpResponse;
use aws_sdk_cloudwatch::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat, ScanBy, StatusCode};
use jiff::Timestamp;

use crate::routers::AwsAccess;
use crate::routers::aws::Aws;
use crate::world::{Gap, Metrics, Point, Question};

/// More pages than this are no answer to a question bgctl asks.
const MOST_PAGES: usize = 20;

/// CloudWatch over the network. One client is kept for each region.
pub struct LiveMetrics {
    access: AwsAccess,
    regions: RefCell<BTreeMap<String, Rc<Aws>>>,
}

impl LiveMetrics {
    pub fn new(access: &AwsAccess) -> Self {
        LiveMetrics { access: access.clone(), regions: RefCell::default() }
    }

    fn region(&self, name: &str) -> Rc<Aws> {
        let mut regions = self.regions.borrow_mut();
        regions.entry(name.into()).or_insert_with(|| Rc::new(Aws::new(name, &self.access))).clone()
    }
}

#[async_trait(?Send)]
impl Metrics for LiveMetrics {
    async fn series(
        &self,
        region: Option<&str>,
        questions: &[Question],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Vec<Point>>, Gap> {
        let Some(region) = region else {
            return Err(Gap::Unknown("no region is named: write `region:`, or `route:` with an `alb` route".into()));
        };
        self.access.usable().map_err(Gap::Never)?;
        let aws = self.region(region);
        let client = Client::new(&aws.config().await);
        let queries: Vec<MetricDataQuery> = questions.iter().enumerate().map(|(n, q)| query(n, q)).collect();
        let mut series = vec![Vec::new(); questions.len()];
        let mut page: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let answer = client
                .get_metric_data()
                .set_metric_data_queries(Some(queries.clone()))
                .start_time(DateTime::from_secs(from.as_second()))
                .end_time(DateTime::from_secs(to.as_second()))
                .scan_by(ScanBy::TimestampAscending)
                .set_next_token(page)
                .send()
                .await
                .map_err(|e| {
                    // Credentials may be what was wrong: the next question looks for them anew.
                    aws.forget();
                    gap(&e)
                })?;
            page = answer.next_token().map(String::from);
            for result in answer.metric_data_results() {
                match result.status_code() {
                    Some(StatusCode::InternalError) => {
                        return Err(Gap::Silent("CloudWatch has an error of its own".into()));
                    }
                    Some(StatusCode::Forbidden) => {
                        return Err(Gap::Unknown("CloudWatch does not show this metric".into()));
                    }
                    Some(StatusCode::PartialData) if page.is_none() => {
                        return Err(Gap::Unknown("the answer of CloudWatch is partial".into()));
                    }
                    _ => {}
                }
                let place = result.id().and_then(|id| id.strip_prefix('m')?.parse::<usize>().ok());
                let Some(points) = place.and_then(|n| series.get_mut(n)) else { continue };
                for (at, value) in result.timestamps().iter().zip(result.values()) {
                    let Ok(at) = Timestamp::from_second(at.secs()) else { continue };
                    if !value.is_finite() {
                        return Err(Gap::Unknown(format!("CloudWatch gives {value}, not a finite number")));
                    }
                    points.push(Point { at, value: *value });
                }
            }
            if page.is_none() {
                return Ok(series);
            }
        }
        Err(Gap::Unknown(format!("more than {MOST_PAGES} pages of points")))
    }
}

fn query(n: usize, question: &Question) -> MetricDataQuery {
    let dimensions =
        question.dimensions.iter().map(|(name, value)| Dimension::builder().name(name).value(value).build());
    let metric = Metric::builder()
        .namespace(&question.namespace)
        .metric_name(&question.metric)
        .set_dimensions(Some(dimensions.collect()))
        .build();
    let stat = MetricStat::builder().metric(metric).period(question.period).stat(&question.stat).build();
    MetricDataQuery::builder().id(format!("m{n}")).metric_stat(stat).return_data(true).build()
}

/// A service that says no has answered; everything else is silence.
fn gap<E>(error: &SdkError<E, HttpResponse>) -> Gap
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let Some(service) = error.as_service_error() else {
        return Gap::Silent(format!("CloudWatch did not answer: {}", DisplayErrorContext(error)));
    };
    let Some(code) = service.code() else {
        let status = error.raw_response().map_or(0, |answer| answer.status().as_u16());
        return Gap::Silent(format!("the answer is {status}, and not one of CloudWatch"));
    };
    let line = format!("CloudWatch says {code}: {}", service.message().unwrap_or("no reason given"));
    let busy = ["Throttl", "InternalService", "ServiceUnavailable", "LimitExceeded", "RequestLimit"];
    match busy.iter().any(|word| code.contains(word)) {
        true => Gap::Silent(line),
        false => Gap::Unknown(line),
    }
}
