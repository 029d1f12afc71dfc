//! The store of handled deliveries that both stacks share, as a step may ask it: it is only ever read.

use std::time::Duration;

use async_trait::async_trait;

/// A store of handled deliveries.
#[async_trait(?Send)]
pub trait Store {
    /// What stands under a key, if anything.
    async fn held(&self, url: &str, key: &str) -> Result<Option<Held>, String>;

    /// The lists under these keys; a key that is not there gives an empty one.
    async fn lists(&self, url: &str, keys: &[String]) -> Result<Vec<Vec<String>>, String>;

    /// What the server says about itself.
    async fn server(&self, url: &str) -> Result<Server, String>;
}

/// A key's value and the time it has left; none where it stays for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub value: String,
    pub left: Option<Duration>,
}

/// A server, as its `INFO` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// What it does when its memory is full: `noeviction` is the only safe one.
    pub eviction: String,
    /// `master` or `slave`.
    pub role: String,
}

/// A world without Redis.
pub struct NoStore;

#[async_trait(?Send)]
impl Store for NoStore {
    async fn held(&self, _: &str, _: &str) -> Result<Option<Held>, String> {
        Err(NONE.into())
    }

    async fn lists(&self, _: &str, _: &[String]) -> Result<Vec<Vec<String>>, String> {
        Err(NONE.into())
    }

    async fn server(&self, _: &str) -> Result<Server, String> {
        Err(NONE.into())
    }
}

const NONE: &str = "there is no Redis in this world";
