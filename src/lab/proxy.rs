//! The data plane: forwards each request to a target of the colour whose turn it is by the weights in force.
//!
//! Weights are exact over any stretch of requests (smooth weighted round robin). A change of weights touches no request
//! under way and closes no connection. Answers of its own are the load balancer's: 502, 503, 504.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use reqwest::Client;
use sha2::{Digest, Sha256};

use super::dice::Dice;
use super::elb::Elb;
use super::elb_model::Health;
use super::elb_rules::Forward;
use super::fault::Faults;
use super::meter::Meter;
use super::{locked, server, time};
use crate::plan::Color;

const COOKIE: &str = "AWSALBTG";
/// As the real one's idle timeout.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Headers that belong to one connection.
const HOP: [&str; 7] =
    ["connection", "keep-alive", "transfer-encoding", "content-length", "te", "upgrade", "proxy-connection"];

pub struct Proxy {
    pub elb: Arc<Elb>,
    pub client: Client,
    pub meter: Arc<Meter>,
    pub faults: Arc<Faults>,
    pub dice: Arc<Dice>,
    pub turn: Mutex<Turn>,
    pub spin: AtomicUsize,
}

/// Whose turn it is.
#[derive(Debug, Default)]
pub struct Turn {
    /// The write the credits are for.
    number: u64,
    credits: Vec<i64>,
}

impl Turn {
    /// The index of the group that gets the next request, if any has a weight.
    fn next(&mut self, number: u64, forward: &Forward) -> Option<usize> {
        if self.number != number || self.credits.len() != forward.groups.len() {
            *self = Turn { number, credits: vec![0; forward.groups.len()] };
        }
        // One group alone gets everything, whatever its weight.
        let weight = |index: usize| if forward.groups.len() == 1 { 1 } else { i64::from(forward.groups[index].1) };
        let total: i64 = (0..forward.groups.len()).map(weight).sum();
        for (index, credit) in self.credits.iter_mut().enumerate() {
            *credit += weight(index);
        }
        let best = (0..forward.groups.len()).filter(|index| weight(*index) > 0).max_by_key(|i| self.credits[*i])?;
        self.credits[best] -= total;
        Some(best)
    }
}

/// A request that got no answer from a target.
enum Failure {
    /// 503: the group has no target.
    Empty,
    /// 502: no connection, or one that broke.
    Broken,
    /// 504.
    Slow,
}

impl Proxy {
    pub async fn answer(self: Arc<Self>, parts: Parts, body: Bytes) -> Response {
        let started = time::now();
        let (number, forward) = self.elb.in_force();
        let held = forward.sticky_s.and_then(|_| held_group(&parts, &forward));
        let Some(index) = held.or_else(|| locked(&self.turn).next(number, &forward)) else {
            return page(503, "Service Temporarily Unavailable");
        };
        let group = &forward.groups[index].0;
        let (color, target) = self.target(group);
        let is_retry = parts.headers.contains_key("x-slack-retry-num");
        if color == Color::Green && parts.uri.path() == "/slack/events" {
            self.faults.user_on_green();
        }
        let mut response = match target {
            None => refuse(Failure::Empty),
            Some(address) => match self.forward(&parts, body, &address).await {
                Ok(response) => response,
                Err(failure) => refuse(failure),
            },
        };
        if let Some(duration) = forward.sticky_s {
            let cookie = format!("{COOKIE}={}; Max-Age={duration}; Path=/", badge(group));
            if let Ok(value) = HeaderValue::from_str(&cookie) {
                response.headers_mut().append("set-cookie", value);
            }
        }
        self.meter.note(color, response.status().as_u16(), time::now().duration_since(started), is_retry);
        response
    }

    /// A healthy target of the group in its turn. When none is healthy all are taken, as the real one fails open.
    fn target(&self, group: &str) -> (Color, Option<String>) {
        let spin = self.spin.fetch_add(1, Ordering::Relaxed);
        self.elb.with(|model| {
            let Some(group) = model.groups.iter().find(|known| known.arn == group) else {
                return (Color::Blue, None);
            };
            let staying = || group.targets.iter().filter(|target| target.leaving.is_none());
            let healthy: Vec<_> = staying().filter(|target| target.health == Health::Healthy).collect();
            let open = if healthy.is_empty() { staying().collect() } else { healthy };
            let target = (!open.is_empty()).then(|| open[spin % open.len()].address.to_string());
            (group.color, target)
        })
    }

    async fn forward(&self, parts: &Parts, body: Bytes, address: &str) -> Result<Response, Failure> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = self.client.request(parts.method.clone(), format!("http://{address}{path}")).timeout(TIMEOUT);
        for (name, value) in &parts.headers {
            if !HOP.contains(&name.as_str()) {
                request = request.header(name, value);
            }
        }
        request = request
            .header("x-forwarded-for", "127.0.0.1")
            .header("x-forwarded-proto", "http")
            .header("x-amzn-trace-id", format!("Root=1-{:08x}-{:024x}", time::wall_ms() / 1000, self.dice.bits()));
        let failure = |error: reqwest::Error| if error.is_timeout() { Failure::Slow } else { Failure::Broken };
        let answer = request.body(body).send().await.map_err(failure)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut response = Response::new(answer.bytes().await.map_err(failure)?.into());
        *response.status_mut() = status;
        for (name, value) in &headers {
            if !HOP.contains(&name.as_str()) {
                response.headers_mut().append(name, value.clone());
            }
        }
        Ok(response)
    }
}

/// The group a client's cookie names, if it is still in the rule: whatever its weight, also 0.
fn held_group(parts: &Parts, forward: &Forward) -> Option<usize> {
    let cookies = parts.headers.get_all("cookie").iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, held) = pairs.find(|(name, _)| *name == COOKIE)?;
    forward.groups.iter().position(|(arn, _)| badge(arn) == held)
}

/// What stands in the cookie for a group.
fn badge(group: &str) -> String {
    Sha256::digest(group.as_bytes())[..16].iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn refuse(failure: Failure) -> Response {
    match failure {
        Failure::Empty => page(503, "Service Temporarily Unavailable"),
        Failure::Broken => page(502, "Bad Gateway"),
        Failure::Slow => page(504, "Gateway Time-out"),
    }
}

fn page(status: u16, words: &str) -> Response {
    let html = format!(
        "<html>\r\n<head><title>{status} {words}</title></head>\r\n<body>\r\n<center><h1>{status} {words}</h1></center>\r\n</body>\r\n</html>\r\n"
    );
    let mut response = server::answer(status, "text/html", html);
    response.headers_mut().insert(HeaderName::from_static("server"), HeaderValue::from_static("awselb/2.0"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(weights: &[u32]) -> Forward {
        let groups = weights.iter().enumerate().map(|(index, weight)| (index.to_string(), *weight)).collect();
        Forward { groups, sticky_s: None }
    }

    #[test]
    fn shares_are_exact_over_a_cycle_and_spread_within_it() {
        for weights in [vec![90, 10], vec![1, 0], vec![0, 7], vec![999, 1], vec![50, 30, 20], vec![0]] {
            let (mut turn, forward) = (Turn::default(), forward(&weights));
            let total: u32 = weights.iter().sum::<u32>().max(1);
            let mut counts = vec![0; weights.len()];
            for _ in 0..total {
                counts[turn.next(1, &forward).unwrap()] += 1;
            }
            let wanted = if weights == [0] { vec![1] } else { weights };
            assert_eq!(counts, wanted);
        }
        let (mut turn, split) = (Turn::default(), forward(&[90, 10]));
        let first: Vec<_> = (0..20).map(|_| turn.next(1, &split).unwrap()).collect();
        assert_eq!(first.iter().filter(|index| **index == 1).count(), 2, "{first:?}");
    }

    #[test]
    fn no_weight_is_no_group_and_a_new_write_starts_afresh() {
        let mut turn = Turn::default();
        assert_eq!(turn.next(1, &forward(&[0, 0])), None);
        assert_eq!(turn.next(2, &forward(&[1])), Some(0));
        assert_eq!(turn.next(3, &forward(&[0, 1])), Some(1));
    }
}
