//! The live [`Web`]: one HTTP exchange over reqwest, sent exactly as asked and never repeated.
//!
//! Redirects are an answer, not an order; a proxy is used for the outside world but never for loopback, where it could
//! only misdirect a probe. Errors name the server and nothing behind it, since paths and queries can hold secrets.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use async_trait::async_trait;
use reqwest::{Certificate, Client, Method, Url, redirect};

use super::inbox::HttpInbox;
use crate::clock::Clock;
use crate::file;
use crate::https;
use crate::scalar::spoken;
use crate::world::{Inbox, Request, Response, Signs, Web, WebError};

/// The most of an answer that is read.
const MOST: usize = 4 * 1024 * 1024;

/// HTTP as the machine speaks it.
pub struct LiveWeb {
    clock: Rc<dyn Clock>,
    /// Made when first needed: each reads the system's whole trust store, and going back waits for nothing it does not need.
    clients: RefCell<BTreeMap<Way, Client>>,
    /// None: built without AWS.
    signer: Option<Rc<dyn Signs>>,
}

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    /// On this machine: through no proxy.
    loopback: bool,
    /// One connection for each request, so that a load balancer chooses anew.
    fresh: bool,
    /// Whether anything has to be trusted on the way. A proxy may stand in front of the outside world.
    tls: bool,
    /// Certificates of an authority of its own.
    ca: Option<PathBuf>,
}

impl Way {
    fn to(url: &Url, fresh: bool, ca: Option<PathBuf>) -> Way {
        let loopback = is_loopback(url);
        Way { loopback, fresh, tls: !loopback || url.scheme() != "http", ca }
    }

    fn client(&self) -> Result<Client, WebError> {
        let mut builder = https::client()
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent(concat!("bgctl/", env!("CARGO_PKG_VERSION")));
        if self.loopback {
            builder = builder.no_proxy();
        }
        if self.fresh {
            // HTTP/2 would put several requests on one connection, and a load balancer would choose only once.
            builder = builder.pool_max_idle_per_host(0).http1_only();
        }
        if !self.tls {
            builder = builder.tls_certs_only([]);
        }
        if let Some(ca) = &self.ca {
            let certificates =
                Certificate::from_pem_bundle(&read(ca)?).map_err(|e| unsent(format!("{}: {e}", ca.display())))?;
            if certificates.is_empty() {
                return Err(unsent(format!("{} has no certificate in it", ca.display())));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        builder.build().map_err(|e| unsent(e.to_string()))
    }
}

impl LiveWeb {
    pub fn new(clock: Rc<dyn Clock>) -> Self {
        LiveWeb { clock, clients: RefCell::default(), signer: None }
    }

    /// With somebody who signs what a server of AWS wants signed.
    pub fn signing(self, signer: Rc<dyn Signs>) -> Self {
        LiveWeb { signer: Some(signer), ..self }
    }

    fn client(&self, way: Way) -> Result<Client, WebError> {
        if let Some(client) = self.clients.borrow().get(&way) {
            return Ok(client.clone());
        }
        let client = way.client()?;
        self.clients.borrow_mut().insert(way, client.clone());
        Ok(client)
    }

    async fn send(&self, client: Client, url: Url, request: Request) -> Result<Response, reqwest::Error> {
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
        let mut request = request;
        if let Some(file) = &request.login.bearer_file {
            let token = String::from_utf8_lossy(&read(file)?).trim().to_string();
            request.headers.push(("authorization".into(), format!("Bearer {token}")));
        }
        if let Some(region) = &request.login.sigv4 {
            let signer = self
                .signer
                .as_ref()
                .ok_or_else(|| unsent("this bgctl was built without AWS, and cannot sign".into()))?;
            let signed = signer.signed(region, &request).await.map_err(unsent)?;
            request.headers.extend(signed);
        }
        let client = self.client(Way::to(&url, request.fresh, request.login.ca.clone()))?;
        self.send(client, url, request).await.map_err(|e| {
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

/// A file without which nothing is sent.
fn read(path: &Path) -> Result<Vec<u8>, WebError> {
    file::read(path, file::LONG).map_err(|e| unsent(format!("{} cannot be read: {e}", path.display())))
}

fn unsent(what: String) -> WebError {
    WebError { what, timed_out: false }
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str().map(|h| h.trim_matches(['[', ']'])) {
        Some("localhost") => true,
        Some(host) => host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is not plain HTTP on this machine meets servers that have to be trusted.
    #[test]
    fn nothing_is_trusted_where_nothing_has_to_be() {
        for (url, loopback, tls) in [
            ("http://127.0.0.1:8080/version", true, false),
            ("http://localhost/", true, false),
            ("http://[::1]:9090/", true, false),
            ("https://127.0.0.1:8443/", true, true),
            ("http://bot.example.com/", false, true),
            ("https://bot.example.com/", false, true),
        ] {
            let url = Url::parse(url).unwrap();
            for fresh in [false, true] {
                assert_eq!(Way::to(&url, fresh, None), Way { loopback, fresh, tls, ca: None }, "{url}");
            }
        }
    }
}
