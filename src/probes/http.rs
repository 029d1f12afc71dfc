//! The live [`Web`]: one HTTP exchange over reqwest, sent exactly as asked and never repeated.
//!
//! Redirects are an answer, not an order; a proxy is used for the outside world but never for loopback, where it could
//! only misdirect a probe. Errors name the server and nothing behind it, since paths and queries can hold secrets.

use std::rc::Rc;

use anyhow::{Context, Result};
use async_trait::async_trait;
use reqwest::{Client, Method, Url, redirect};

use super::inbox::HttpInbox;
use super::{Inbox, Request, Response, Web, WebError};
use crate::clock::Clock;
use crate::scalar::spoken;

/// The most of an answer that is read.
const MOST: usize = 4 * 1024 * 1024;

/// HTTP as the machine speaks it.
pub struct LiveWeb {
    clock: Rc<dyn Clock>,
    outside: Clients,
    loopback: Clients,
}

/// Kept connections, and one connection for each request.
struct Clients {
    kept: Client,
    fresh: Client,
}

impl Clients {
    fn new(proxies: bool) -> Result<Self> {
        let builder = || {
            let plain = Client::builder()
                .redirect(redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .user_agent(concat!("bgctl/", env!("CARGO_PKG_VERSION")));
            if proxies { plain } else { plain.no_proxy() }
        };
        // HTTP/2 would put several requests on one connection, and a load balancer would choose only once.
        let fresh = builder().pool_max_idle_per_host(0).http1_only();
        let build = |b: reqwest::ClientBuilder| b.build().context("cannot set up TLS for HTTP requests");
        Ok(Clients { kept: build(builder())?, fresh: build(fresh)? })
    }
}

impl LiveWeb {
    pub fn new(clock: Rc<dyn Clock>) -> Result<Self> {
        Ok(LiveWeb { clock, outside: Clients::new(true)?, loopback: Clients::new(false)? })
    }

    async fn send(&self, url: Url, request: Request) -> Result<Response, reqwest::Error> {
        let clients = if is_loopback(&url) { &self.loopback } else { &self.outside };
        let client = if request.fresh { &clients.fresh } else { &clients.kept };
        let method = Method::from_bytes(request.method.as_bytes()).expect("BUG: no HTTP method");
        let mut builder = client.request(method, url).timeout(request.timeout).body(request.body);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let begun = self.clock.elapsed();
        let mut answer = builder.send().await?;
        let status = answer.status().as_u16();
        let headers = answer
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            let room = MOST - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                break;
            }
        }
        Ok(Response { status, headers, body, time: self.clock.elapsed().saturating_sub(begun) })
    }
}

#[async_trait(?Send)]
impl Web for LiveWeb {
    async fn exchange(&self, request: Request) -> Result<Response, WebError> {
        let url = Url::parse(&request.url)
            .map_err(|e| WebError { what: format!("this is no URL that can be asked: {e}"), timed_out: false })?;
        let server = url.origin().ascii_serialization();
        let within = spoken(request.timeout);
        self.send(url, request).await.map_err(|e| {
            let mut deepest: &dyn std::error::Error = &e;
            while let Some(source) = deepest.source() {
                deepest = source;
            }
            let what = match () {
                () if e.is_timeout() => format!("no answer from {server} within {within}"),
                () if e.is_connect() => format!("no connection to {server}: {deepest}"),
                () if e.is_builder() => format!("the request to {server} cannot be sent: {deepest}"),
                () => format!("the exchange with {server} broke off: {deepest}"),
            };
            WebError { what, timed_out: e.is_timeout() }
        })
    }

    async fn listen(&self, address: &str) -> Result<Box<dyn Inbox>, WebError> {
        match HttpInbox::open(address).await {
            Ok(inbox) => Ok(Box::new(inbox)),
            Err(e) => Err(WebError { what: format!("{address} cannot be listened at: {e}"), timed_out: false }),
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str().map(|h| h.trim_matches(['[', ']'])) {
        Some("localhost") => true,
        Some(host) => host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}
