//! A look into the Redis where both stacks remember what they have handled. It reads and never writes.
//!
//! Errors name neither the address nor a password: the URL is a secret of the runbook.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, cmd, pipe};

use crate::world::{Held, Server, Store};

/// The longest a connection or an answer may take.
const WITHIN: Duration = Duration::from_secs(3);

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
#[derive(Default)]
pub struct LiveStore(RefCell<BTreeMap<String, MultiplexedConnection>>);

impl LiveStore {
    async fn connection(&self, url: &str) -> Result<MultiplexedConnection, String> {
        if let Some(connection) = self.0.borrow().get(url) {
            return Ok(connection.clone());
        }
        let client = redis::Client::open(url).map_err(|e| plain(&e))?;
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(WITHIN)).set_response_timeout(Some(WITHIN));
        let connection = client.get_multiplexed_async_connection_with_config(&config).await.map_err(|e| plain(&e))?;
        self.0.borrow_mut().insert(url.into(), connection.clone());
        Ok(connection)
    }

    /// Asks; a connection that fails is forgotten, so that the next question opens a new one.
    async fn ask<T: FromRedisValue>(&self, url: &str, command: &Cmd) -> Result<T, String> {
        let mut connection = self.connection(url).await?;
        command.query_async(&mut connection).await.map_err(|e| self.lost(url, &e))
    }

    fn lost(&self, url: &str, error: &redis::RedisError) -> String {
        self.0.borrow_mut().remove(url);
        plain(error)
    }
}

fn plain(error: &redis::RedisError) -> String {
    format!("Redis gives no answer: {}", error.code().map_or_else(|| error.category().to_string(), String::from))
}

#[async_trait(?Send)]
impl Store for LiveStore {
    async fn held(&self, url: &str, key: &str) -> Result<Option<Held>, String> {
        let mut connection = self.connection(url).await?;
        let mut both = pipe();
        both.atomic().cmd("GET").arg(key).cmd("PTTL").arg(key);
        let (value, left): (Option<String>, i64) =
            both.query_async(&mut connection).await.map_err(|e| self.lost(url, &e))?;
        Ok(value.map(|value| Held { value, left: u64::try_from(left).ok().map(Duration::from_millis) }))
    }

    async fn lists(&self, url: &str, keys: &[String]) -> Result<Vec<Vec<String>>, String> {
        let mut lists = Vec::with_capacity(keys.len());
        for some in keys.chunks(200) {
            let mut connection = self.connection(url).await?;
            let mut all = pipe();
            some.iter().for_each(|key| {
                all.cmd("LRANGE").arg(key).arg(0).arg(9);
            });
            let answer: Vec<Vec<String>> = all.query_async(&mut connection).await.map_err(|e| self.lost(url, &e))?;
            lists.extend(answer);
        }
        Ok(lists)
    }

    async fn server(&self, url: &str) -> Result<Server, String> {
        let info: String = self.ask(url, &cmd("INFO")).await?;
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
