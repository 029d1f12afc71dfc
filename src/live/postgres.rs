//! A connection to PostgreSQL, made here and not by the client library, so that whoever answers can neither fill our memory nor
//! keep us waiting. What is asked over it is for others.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio_postgres::config::Host;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::bounded::{Allowance, Bounded};
use super::database::unanswered;
use super::postgres_url::{Address, Wanted};
use crate::clock::Clock;
use crate::scalar::spoken;
use crate::world::Unanswered;

/// The most a server may send us before it is asked the next question.
const MOST: usize = 8 * 1024 * 1024;

/// The part of a connection that carries what is asked: it has to be polled beside that.
pub(super) type Polled = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>>>>;

/// An open connection.
pub(super) struct Session {
    pub client: Client,
    pub connection: Polled,
    pub allowance: Allowance,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

type Wire = Bounded<Box<dyn Stream>>;

/// What is done, or that it was not done in time.
pub(super) async fn within<T>(
    clock: &dyn Clock,
    time: Duration,
    done: impl Future<Output = Result<T, Unanswered>>,
) -> Result<T, Unanswered> {
    tokio::select! {
        done = done => done,
        () = clock.sleep(time) => Err(Unanswered::Silent(format!("nothing after {}", spoken(time)))),
    }
}

/// Connects to the first of the servers that is there and is what is wanted. The time is for all of them together.
pub(super) async fn connect(address: &Address, clock: &dyn Clock, time: Duration) -> Result<Session, Unanswered> {
    let config = &address.config;
    let servers = config.get_hosts().len().max(config.get_hostaddrs().len());
    if config.get_ports().len() > 1 && config.get_ports().len() != servers {
        return Err(Unanswered::Silent("its URL does not have one port for each host".into()));
    }
    let tls = address.trust.config().map_err(Unanswered::Silent)?;
    let share = time / u32::try_from(servers.max(1)).unwrap_or(1);
    let mut last = Unanswered::Silent("its URL names no host".into());
    for n in 0..servers {
        match within(clock, share, one(address, n, MakeRustlsConnect::new(tls.clone()))).await {
            Ok(session) => return Ok(session),
            Err(why) => last = why,
        }
    }
    Err(last)
}

async fn one(address: &Address, n: usize, mut tls: MakeRustlsConnect) -> Result<Session, Unanswered> {
    let config = &address.config;
    let port = config.get_ports().get(n).or(config.get_ports().first()).copied().unwrap_or(5432);
    let name = match config.get_hosts().get(n) {
        Some(Host::Tcp(name)) => Some(name.as_str()),
        _ => None,
    };
    let stream = stream(config, n, name, port).await?;
    let allowance = Allowance::new(MOST);
    let stream = Bounded::new(stream, allowance.clone());
    type Connector = <MakeRustlsConnect as MakeTlsConnect<Wire>>::TlsConnect;
    let connector: Result<Connector, _> = MakeTlsConnect::<Wire>::make_tls_connect(&mut tls, name.unwrap_or_default());
    let connector = connector.map_err(|e| Unanswered::Silent(format!("TLS: {e}")))?;
    let opened = config.connect_raw(stream, connector).await.map_err(|e| unanswered(&e))?;
    let mut session = Session { client: opened.0, connection: Box::pin(opened.1), allowance };
    if address.wanted == Wanted::Any {
        return Ok(session);
    }
    let said = tokio::select! {
        said = session.client.simple_query("select pg_is_in_recovery()") => said.map_err(|e| unanswered(&e))?,
        ended = &mut session.connection => return Err(closed(ended)),
    };
    let standby = said.iter().any(|said| matches!(said, SimpleQueryMessage::Row(row) if row.get(0) == Some("t")));
    match (address.wanted, standby) {
        (Wanted::Primary, true) => Err(Unanswered::Silent("it is a standby, and a primary is wanted".into())),
        (Wanted::Standby, false) => Err(Unanswered::Silent("it is a primary, and a standby is wanted".into())),
        _ => Ok(session),
    }
}

async fn stream(config: &Config, n: usize, name: Option<&str>, port: u16) -> Result<Box<dyn Stream>, Unanswered> {
    let failed = |what: &str, e: &std::io::Error| Unanswered::Silent(format!("{what}: {}", e.kind()));
    let places: Vec<std::net::SocketAddr> = match (config.get_hostaddrs().get(n), config.get_hosts().get(n), name) {
        (Some(address), _, _) => vec![(*address, port).into()],
        (None, Some(Host::Unix(folder)), _) => {
            let path = folder.join(format!(".s.PGSQL.{port}"));
            let stream = UnixStream::connect(path).await.map_err(|e| failed("its socket", &e))?;
            return Ok(Box::new(stream));
        }
        (None, _, name) => lookup_host((name.unwrap_or_default(), port))
            .await
            .map_err(|_| Unanswered::Silent("its host name is not known (DNS)".into()))?
            .collect(),
    };
    let mut last = Unanswered::Silent("its host name has no address (DNS)".into());
    for place in places {
        match TcpStream::connect(place).await {
            Ok(stream) => {
                // A question is small, and waits for its answer.
                let _ = stream.set_nodelay(true);
                return Ok(Box::new(stream));
            }
            Err(error) => last = failed("no connection", &error),
        }
    }
    Err(last)
}

pub(super) fn closed(ended: Result<(), tokio_postgres::Error>) -> Unanswered {
    match ended {
        Err(error) => unanswered(&error),
        Ok(()) => Unanswered::Silent("it closed the connection".into()),
    }
}
