//! A look into the Redis where both stacks remember what they have handled. It reads and never writes.
//!
//! Errors name neither the address nor a password: the URL is a secret of the runbook. Whoever answers there may be anybody, so
//! what may come back is bounded, and so is the time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, cmd, pipe};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::bounded::{Allowance, Bounded};
use super::tls::Trust;
use crate::clock::Clock;
use crate::scalar::spoken;
use crate::world::{Held, Server, Store};

/// The longest a connection or an answer may take.
const WITHIN: Duration = Duration::from_secs(3);
/// The most an answer may have: values of two hundred short lists.
const MOST: usize = 2 * 1024 * 1024;
/// The most words of a server that are repeated.
const MOST_WORDS: usize = 40;

impl Server {
    fn parse(info: &str) -> Server {
        let value = |name: &str| {
            let mut lines = info.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(key, _)| *key == name).map(|(_, value)| value.trim().to_string()).unwrap_or_default()
        };
        Server { eviction: value("maxmemory_policy"), role: value("role") }
    }
}

/// Redis over the network. A connection is kept for each address.
pub struct LiveStore {
    clock: Rc<dyn Clock>,
    open: RefCell<BTreeMap<String, (MultiplexedConnection, Allowance)>>,
}

impl LiveStore {
    pub fn new(clock: Rc<dyn Clock>) -> Self {
        LiveStore { clock, open: RefCell::default() }
    }

    /// An open connection, with all that may come over it for the next answer.
    async fn connection(&self, url: &str) -> Result<MultiplexedConnection, String> {
        if let Some((connection, allowance)) = self.open.borrow().get(url) {
            allowance.again();
            return Ok(connection.clone());
        }
        let opened = self.within(connect(url)).await?;
        self.open.borrow_mut().insert(url.into(), opened.clone());
        opened.1.again();
        Ok(opened.0)
    }

    async fn within<T>(&self, done: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        tokio::select! {
            done = done => done,
            () = self.clock.sleep(WITHIN) => Err(said(&format!("nothing after {}", spoken(WITHIN)))),
        }
    }

    /// Asks. A connection that fails is forgotten, so that the next question opens a new one. One that was kept may have been
    /// closed long ago, by an idle timeout or a failover: the server was not asked then, and is.
    async fn asked<T>(
        &self,
        url: &str,
        ask: impl AsyncFn(&mut MultiplexedConnection) -> redis::RedisResult<T>,
    ) -> Result<T, String> {
        let kept = self.open.borrow().contains_key(url);
        let mut connection = self.connection(url).await?;
        match ask(&mut connection).await {
            Err(error) if kept && error.is_io_error() && !error.is_timeout() => {
                self.lost(url, &error);
                let mut connection = self.connection(url).await?;
                ask(&mut connection).await.map_err(|e| self.lost(url, &e))
            }
            answer => answer.map_err(|e| self.lost(url, &e)),
        }
    }

    fn lost(&self, url: &str, error: &redis::RedisError) -> String {
        self.open.borrow_mut().remove(url);
        plain(error)
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn connect(url: &str) -> Result<(MultiplexedConnection, Allowance), String> {
    let about = url.into_connection_info().map_err(|_| said("its URL cannot be read"))?;
    let allowance = Allowance::new(MOST);
    // Below the encryption: what it unpacks is never more than what came.
    let stream: Box<dyn Stream> = match about.addr() {
        ConnectionAddr::Tcp(host, port) => Box::new(Bounded::new(tcp(host, *port).await?, allowance.clone())),
        ConnectionAddr::TcpTls { insecure: true, .. } => {
            return Err(said("`#insecure` of its URL would trust anybody: leave it out"));
        }
        ConnectionAddr::TcpTls { host, port, .. } => {
            let config = Trust::default().config().map_err(|e| said(&e))?;
            let name = ServerName::try_from(host.clone()).map_err(|_| said("TLS: its host is no name"))?;
            let stream = Bounded::new(tcp(host, *port).await?, allowance.clone());
            let opened = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
            Box::new(opened.map_err(|e| said(&format!("TLS: {e}")))?)
        }
        ConnectionAddr::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(|e| said(&format!("its socket: {}", e.kind())))?;
            Box::new(Bounded::new(stream, allowance.clone()))
        }
        _ => return Err(said("its URL is of a kind that bgctl does not know")),
    };
    Ok((greeted(about.redis_settings(), stream).await?, allowance))
}

/// The client library says who we are, and goes on reading beside us.
async fn greeted(settings: &RedisConnectionInfo, stream: Box<dyn Stream>) -> Result<MultiplexedConnection, String> {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(WITHIN));
    let opened = MultiplexedConnection::new_with_config(settings, stream, config);
    let (connection, driver) = opened.await.map_err(|e| plain(&e))?;
    // It ends with the connection.
    tokio::spawn(driver);
    Ok(connection)
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, String> {
    let places = lookup_host((host, port)).await.map_err(|_| said("its host name is not known (DNS)"))?;
    let mut last = said("its host name has no address (DNS)");
    for place in places {
        match TcpStream::connect(place).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = said(&format!("no connection: {}", error.kind())),
        }
    }
    Err(last)
}

fn said(what: &str) -> String {
    format!("Redis gives no answer: {what}")
}

/// What the library says of an open connection names no address.
fn plain(error: &redis::RedisError) -> String {
    // What a server refuses of several questions stands one level below.
    let refused = error.clone().into_server_errors().and_then(|all| Some(all.first()?.1.code().to_string()));
    let what = match refused.as_deref().or(error.code()) {
        Some(code) => code.chars().take(MOST_WORDS).collect(),
        None if error.is_timeout() => format!("nothing after {}", spoken(WITHIN)),
        None if error.is_connection_dropped() => "it closed the connection".into(),
        None if error.is_io_error() => error.to_string(),
        None => error.category().to_string(),
    };
    said(&what)
}

#[async_trait(?Send)]
impl Store for LiveStore {
    async fn held(&self, url: &str, key: &str) -> Result<Option<Held>, String> {
        // Written out: a pipeline that is `atomic()` counts below zero where a server refuses the first word of it.
        let mut both = pipe();
        both.cmd("MULTI").ignore().cmd("GET").arg(key).ignore().cmd("PTTL").arg(key).ignore().cmd("EXEC");
        let ((value, left),): ((Option<String>, i64),) =
            self.asked(url, async |connection| both.query_async(connection).await).await?;
        Ok(value.map(|value| Held { value, left: u64::try_from(left).ok().map(Duration::from_millis) }))
    }

    async fn lists(&self, url: &str, keys: &[String]) -> Result<Vec<Vec<String>>, String> {
        let mut lists = Vec::with_capacity(keys.len());
        for some in keys.chunks(200) {
            let mut all = pipe();
            some.iter().for_each(|key| {
                all.cmd("LRANGE").arg(key).arg(0).arg(9);
            });
            let answer: Vec<Vec<String>> =
                self.asked(url, async |connection| all.query_async(connection).await).await?;
            lists.extend(answer);
        }
        Ok(lists)
    }

    async fn server(&self, url: &str) -> Result<Server, String> {
        let info: String = self.asked(url, async |connection| cmd("INFO").query_async(connection).await).await?;
        Ok(Server::parse(&info))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_read_from_its_info() {
        let info = "# Memory\r\nmaxmemory_policy:allkeys-lru\r\n# Replication\r\nrole:master\r\n";
        assert_eq!(Server::parse(info), Server { eviction: "allkeys-lru".into(), role: "master".into() });
    }
}
