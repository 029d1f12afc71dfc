//! How a side of a record is well: each of its addresses answers 200, asked as users would once the record leads there.
//!
//! For routes of DNS, whose records have no targets that a provider counts. It asks over HTTP, and asks nothing of DNS but what
//! an address is called.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;

use crate::clock::{Clock, SystemClock};
use crate::https;
use crate::routers::Health;

/// The longest an address may take to answer.
const WITHIN: Duration = Duration::from_secs(3);

/// What a record leads to: an address, or a name that has some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Address(IpAddr),
    Name(String),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Address(address) => write!(f, "{address}"),
            Target::Name(name) => f.write_str(name),
        }
    }
}

/// Asks every one of these by that URL, whatever DNS says of its name.
pub async fn asked(url: &str, targets: &[Target]) -> Health {
    let answers = join_all(targets.iter().map(|target| async move {
        tokio::select! { biased;
            answer = well(url, target) => answer,
            () = SystemClock.sleep(WITHIN) => Err(format!("no answer within {} s", WITHIN.as_secs())),
        }
        .map_err(|why| format!("{target}: {why}"))
    }))
    .await;
    let ailing: Vec<String> = answers.into_iter().filter_map(Result::err).collect();
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Health { healthy: count(targets.len() - ailing.len()), total: count(targets.len()), zones: None, ailing }
}

async fn well(url: &str, target: &Target) -> Result<(), String> {
    let url = reqwest::Url::parse(url).map_err(|e| e.to_string())?;
    let addresses: Vec<SocketAddr> = match target {
        Target::Address(address) => vec![(*address, 0).into()],
        Target::Name(name) => tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|e| e.to_string())?.collect(),
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
