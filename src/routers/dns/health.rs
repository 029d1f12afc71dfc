//! How a side is well: each of its addresses answers 200, asked as users would once the record leads there.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use hickory_proto::rr::RData;

use super::record::plain;
use crate::clock::{Clock, SystemClock};
use crate::https;
use crate::routers::Health;

/// The longest an address may take to answer.
const WITHIN: Duration = Duration::from_secs(3);

/// Asks every one of these by that URL, whatever DNS says of its name.
pub async fn asked(url: &str, data: &[RData]) -> Health {
    let answers = join_all(data.iter().map(|data| async move {
        tokio::select! { biased;
            answer = well(url, data) => answer,
            () = SystemClock.sleep(WITHIN) => Err(format!("no answer within {} s", WITHIN.as_secs())),
        }
        .map_err(|why| format!("{data}: {why}"))
    }))
    .await;
    let ailing: Vec<String> = answers.into_iter().filter_map(Result::err).collect();
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Health { healthy: count(data.len() - ailing.len()), total: count(data.len()), zones: None, ailing }
}

async fn well(url: &str, data: &RData) -> Result<(), String> {
    let url = reqwest::Url::parse(url).map_err(|e| e.to_string())?;
    let addresses: Vec<SocketAddr> = match data {
        RData::A(address) => vec![(IpAddr::V4(address.0), 0).into()],
        RData::AAAA(address) => vec![(IpAddr::V6(address.0), 0).into()],
        RData::CNAME(name) => {
            let host = plain(&name.0);
            tokio::net::lookup_host((host.as_str(), 0)).await.map_err(|e| e.to_string())?.collect()
        }
        _ => Vec::new(),
    };
    // A proxy would ask wherever it thinks right.
    let client = https::client().no_proxy().redirect(reqwest::redirect::Policy::none());
    let client = client.resolve_to_addrs(url.domain().unwrap_or_default(), &addresses).build();
    let answer = client.map_err(|e| e.to_string())?.get(url).send().await.map_err(|error| {
        let mut deepest: &dyn std::error::Error = &error;
        while let Some(source) = deepest.source() {
            deepest = source;
        }
        deepest.to_string()
    })?;
    match answer.status().as_u16() {
        200 => Ok(()),
        status => Err(format!("answers {status}")),
    }
}
