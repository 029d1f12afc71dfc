//! What a stack says it runs with. Strict about what it takes: a value in clear where a digest belongs is refused without
//! being shown, and a digest that was not made under our nonce compares nothing.

use std::collections::{BTreeMap, BTreeSet};

use base16ct::lower::encode_string as hex;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::Sha256;

use super::settings::Compare;
use crate::plan::{Color, Plan};
use crate::world::{Command, Exit, Request, Stream, World};

/// The header that carries the nonce.
const HEADER: &str = "x-bgctl-nonce";
/// What a stack signs beside its values, so that it is seen to use the nonce at all.
const PROOF: &str = "bgctl inventory v1";
/// The most that is read of a program's inventory.
const MOST: usize = 1024 * 1024;

/// The key of all digests of one comparison: without it nobody learns from a digest which value it is of, or that it is the
/// one of yesterday.
pub struct Nonce(String);

impl Nonce {
    pub fn new() -> Result<Nonce, String> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|e| format!("the system gives no random bytes: {e}"))?;
        Ok(Nonce(hex(&bytes)))
    }

    /// HMAC-SHA256 under the nonce's hex digits, in hex.
    pub fn digest(&self, value: &str) -> String {
        let mut code = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()).expect("BUG: HMAC takes keys of any length");
        code.update(value.as_bytes());
        hex(&code.finalize().into_bytes())
    }
}

/// What one stack runs with. Members that are not here are nobody's business, and are let be.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Inventory {
    /// The digest of a known text: made under our nonce.
    #[serde(default)]
    proof: String,
    #[serde(default)]
    pub version: Option<String>,
    #[serde(default)]
    pub images: BTreeMap<String, String>,
    /// Names, with the digests of their values.
    #[serde(default)]
    pub configuration: BTreeMap<String, String>,
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    #[serde(default)]
    pub handlers: BTreeMap<String, BTreeSet<String>>,
    #[serde(default)]
    pub queues: BTreeMap<String, Queue>,
    #[serde(default)]
    pub caches: BTreeMap<String, Cache>,
    #[serde(default)]
    pub health: BTreeMap<String, String>,
}

/// The versions of a queue's messages that a stack reads, and the one it writes, if it writes any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    #[serde(default)]
    pub reads: BTreeSet<String>,
    #[serde(default)]
    pub writes: Option<String>,
}

/// The key or its prefix in a shared cache, and the version of what is kept there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    pub key: String,
    pub version: String,
}

impl Inventory {
    /// Reads what a stack answered under a nonce. The error never holds anything of a value.
    pub fn parse(text: &[u8], nonce: &Nonce) -> Result<Inventory, String> {
        let value: Value = serde_json::from_slice(text).map_err(|_| "the inventory is no JSON".to_string())?;
        let fields = value.as_object().ok_or("the inventory is no JSON object")?;
        let inventory = Inventory {
            proof: part(fields.get("proof"), "proof")?,
            version: part(fields.get("version"), "version")?,
            images: part(fields.get("images"), "images")?,
            configuration: part(fields.get("configuration"), "configuration")?,
            secrets: part(fields.get("secrets"), "secrets")?,
            handlers: part(fields.get("handlers"), "handlers")?,
            queues: part(fields.get("queues"), "queues")?,
            caches: part(fields.get("caches"), "caches")?,
            health: part(fields.get("health"), "health")?,
        };
        let digests = [("configuration", &inventory.configuration), ("secrets", &inventory.secrets)];
        for (part, named) in digests {
            let clear =
                |(_, text): &(&String, &String)| text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit());
            if let Some((name, _)) = named.iter().find(clear) {
                return Err(format!(
                    "`{part}.{name}` is not a digest: a stack never sends a value (bgctl explain compare)"
                ));
            }
        }
        let keyed = digests.iter().any(|(_, named)| !named.is_empty());
        if keyed && inventory.proof != nonce.digest(PROOF) {
            return Err(format!("the digests are not made under our nonce: `proof` is not the digest of `{PROOF}`"));
        }
        if inventory == Inventory::default() {
            return Err("the inventory names nothing".into());
        }
        Ok(inventory)
    }
}

/// One member, or what is wrong with its shape: serde's own words could show a value.
fn part<T: DeserializeOwned + Default>(value: Option<&Value>, name: &str) -> Result<T, String> {
    match value {
        None | Some(Value::Null) => Ok(T::default()),
        Some(value) => T::deserialize(value).map_err(|_| {
            format!("`{name}` of the inventory does not have the shape that `bgctl explain compare` shows")
        }),
    }
}

/// Asks one stack.
pub async fn read(
    plan: &Plan,
    stack: Color,
    compare: &Compare,
    nonce: &Nonce,
    world: &World,
) -> Result<Inventory, String> {
    let text = match (&compare.inventory.path, &compare.inventory.command) {
        (Some(path), _) => served(plan, stack, path, compare, nonce, world).await?,
        (None, Some(argv)) => printed(plan, stack, argv, compare, nonce, world).await?,
        (None, None) => return Err("the plan names neither a path nor a program".into()),
    };
    Inventory::parse(&text, nonce)
}

async fn served(
    plan: &Plan,
    stack: Color,
    path: &str,
    compare: &Compare,
    nonce: &Nonce,
    world: &World,
) -> Result<Vec<u8>, String> {
    let mut request = Request::to_stack(plan.stack(stack), path, compare.within.time, &world.secrets);
    request.headers.push((HEADER.to_string(), nonce.0.clone()));
    if let Some(token) = &compare.inventory.token {
        request.headers.push(("authorization".into(), format!("Bearer {}", world.secrets.resolve(token))));
    }
    let answer = world.web.exchange(request).await.map_err(|e| e.what)?;
    match answer.status {
        200 => Ok(answer.body),
        status => Err(format!("`{path}` answers {status}")),
    }
}

async fn printed(
    plan: &Plan,
    stack: Color,
    argv: &[String],
    compare: &Compare,
    nonce: &Nonce,
    world: &World,
) -> Result<Vec<u8>, String> {
    let resolve = |text: &str| world.secrets.resolve(text);
    let mut env = BTreeMap::from([
        ("BGCTL_STACK".to_string(), stack.name().to_string()),
        ("BGCTL_STACK_URL".into(), resolve(&plan.stack(stack).url)),
        ("BGCTL_STACK_VERSION".into(), resolve(&plan.stack(stack).version)),
        ("BGCTL_NONCE".into(), nonce.0.clone()),
    ]);
    env.extend(compare.inventory.token.iter().map(|token| ("BGCTL_TOKEN".to_string(), resolve(token))));
    let argv: Vec<String> = argv.iter().map(|word| resolve(word)).collect();
    let command = Command { argv, env, directory: None, input: Vec::new(), timeout: compare.within.time };
    let (mut text, mut said) = (Vec::new(), Vec::new());
    let mut output = |stream: Stream, bytes: &[u8]| {
        let place = if stream == Stream::Stdout { &mut text } else { &mut said };
        if place.len() < MOST {
            place.extend_from_slice(bytes);
        }
    };
    match world.processes.run(&command, &mut output).await {
        Ok(Exit::Status(0)) => Ok(text),
        Ok(Exit::Status(status)) => {
            let said = world.secrets.mask(String::from_utf8_lossy(&said).trim());
            Err(format!("the program ends with status {status}: {}", said.chars().take(200).collect::<String>()))
        }
        Ok(Exit::Signal(signal)) => Err(format!("the program was ended by signal {signal}")),
        Ok(Exit::TimedOut) => Err(format!("the program does not end within {}", compare.within)),
        Err(error) => Err(format!("the program cannot be started: {error}")),
    }
}

/// `14 configuration keys, 5 secrets`: how much both sides together name.
pub fn counted(blue: &Inventory, green: &Inventory, checks: usize) -> String {
    fn keys<'a, V>(a: &'a BTreeMap<String, V>, b: &'a BTreeMap<String, V>) -> usize {
        a.keys().chain(b.keys()).collect::<BTreeSet<_>>().len()
    }
    let parts = [
        (keys(&blue.images, &green.images), "image", "images"),
        (keys(&blue.configuration, &green.configuration), "configuration key", "configuration keys"),
        (keys(&blue.secrets, &green.secrets), "secret", "secrets"),
        (keys(&blue.handlers, &green.handlers), "kind of listener", "kinds of listeners"),
        (keys(&blue.queues, &green.queues), "queue", "queues"),
        (keys(&blue.caches, &green.caches), "cache", "caches"),
        (keys(&blue.health, &green.health), "sign of health", "signs of health"),
        (checks, "check", "checks"),
    ];
    let said = parts.iter().filter(|(count, ..)| *count > 0);
    let said: Vec<String> = said.map(|(n, one, many)| format!("{n} {}", if *n == 1 { one } else { many })).collect();
    if said.is_empty() { "versions".into() } else { said.join(", ") }
}
