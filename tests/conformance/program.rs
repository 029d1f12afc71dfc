//! Places of the router `program`: a flag in Redis moved by a program in Python, and the alias of a Lambda function moved by a
//! shell script. Both are the programs of `examples/`, and the other hand is the servers' own client.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;

use async_trait::async_trait;
use bgctl::routers::{Kind, NativeWayBack};
use serde_json::{Value, json};

use crate::common::bots::{Redis, Started};
use crate::common::{free_port, peer};
use crate::router::{Place, suite, walked};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/program-route").join(name)
}

const KEY: &str = "flag:new-bot";

/// A Redis with a flag, and a bot on each side.
struct Flag {
    redis: Redis,
    cli: PathBuf,
    blue: (Started, u16),
    green: RefCell<Option<Started>>,
    green_port: u16,
}

impl Flag {
    fn cli(&self, words: &[&str]) -> String {
        let output = Command::new(&self.cli).args(["-p", &self.redis.port.to_string()]).args(words).output();
        String::from_utf8(output.expect("redis-cli").stdout).expect("a text").trim().to_string()
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.redis.port)
    }
}

#[async_trait(?Send)]
impl Place for Flag {
    fn settings(&self) -> Value {
        let url = |port: u16| format!("http://127.0.0.1:{port}/");
        let health = json!({ "off": url(self.blue.1), "on": url(self.green_port) });
        json!({
            "run": [example("redis_flag.py")], "blue": "off", "green": "on",
            "settings": { "key": KEY, "health": health }, "env": { "FLAG_REDIS": self.address() },
        })
    }

    fn told(&self) -> bool {
        false
    }

    async fn witness(&self) -> (u32, u32) {
        let held: Value = serde_json::from_str(&self.cli(&["GET", KEY])).expect("JSON");
        let weight = |name: &str| u32::try_from(held[name].as_u64().expect("a weight")).expect("a small one");
        (weight("off"), weight("on"))
    }

    fn everything_else(&self) -> Value {
        json!(self.cli(&["KEYS", "*"]))
    }

    fn meddle(&self, blue: u32, green: u32) {
        self.cli(&["SET", KEY, &json!({ "off": blue, "on": green }).to_string()]);
    }

    fn empty_green(&self) {
        *self.green.borrow_mut() = None;
    }

    fn walk_back(&self, way: &NativeWayBack) {
        let folder = tempfile::tempdir().expect("a folder");
        let way =
            NativeWayBack { command: way.command.replace("redis-cli", &self.cli.display().to_string()), ..way.clone() };
        walked(&way, folder.path(), Command::new("sh").env("FLAG_REDIS", self.address()));
    }
}

pub async fn flag_in_redis(kind: &Kind) {
    let (Some(python), Some(cli), Some(redis)) = (peer("python3"), peer("redis-cli"), Redis::start(&[])) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let bot = |name: &str| {
        let port = free_port();
        let mut command = Command::new(&python);
        command.args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string()]).current_dir(folder.path());
        (Started::new(command, port, &folder.path().join(name)), port)
    };
    let (blue, (green, green_port)) = (bot("blue.log"), bot("green.log"));
    let flag = Flag { redis, cli, blue, green: RefCell::new(Some(green)), green_port };
    flag.meddle(100, 0);
    suite(kind, &flag).await;
}

#[cfg(feature = "aws")]
pub use lambda::alias_of_lambda;

#[cfg(feature = "aws")]
mod lambda {
    use super::*;
    use crate::common::moto::Moto;

    /// The alias `live` of the function `bot` in moto, with the versions 1 and 2.
    struct Alias {
        moto: Moto,
    }

    impl Alias {
        fn aws(&self, words: &str) -> Value {
            let words: Vec<&str> = ["lambda"].into_iter().chain(words.split_whitespace()).collect();
            self.moto.cli_json(&words)
        }
    }

    #[async_trait(?Send)]
    impl Place for Alias {
        fn settings(&self) -> Value {
            let folder = self.moto.aws.parent().expect("a folder").display();
            let path = format!("{folder}:/usr/local/bin:/usr/bin:/bin");
            let env: serde_json::Map<String, Value> =
                self.moto.env().into_iter().map(|(name, value)| (name.into(), value.into())).collect();
            let mut settings = json!({
                "run": [example("lambda-alias.sh")], "blue": "1", "green": "2",
                "settings": { "function": "bot", "alias": "live" }, "env": env,
            });
            settings["env"]["PATH"] = path.into();
            settings
        }

        fn told(&self) -> bool {
            false
        }

        async fn witness(&self) -> (u32, u32) {
            let alias = self.aws("get-alias --function-name bot --name live");
            let more = alias["RoutingConfig"]["AdditionalVersionWeights"]["2"].as_f64().unwrap_or(0.0);
            match alias["FunctionVersion"].as_str() {
                Some("2") => (0, 100),
                _ => (1000 - (more * 1000.0).round() as u32, (more * 1000.0).round() as u32),
            }
        }

        fn everything_else(&self) -> Value {
            let mut alias = self.aws("get-alias --function-name bot --name live");
            let members = alias.as_object_mut().expect("an object");
            ["FunctionVersion", "RoutingConfig", "RevisionId"].iter().for_each(|name| drop(members.remove(*name)));
            alias
        }

        fn meddle(&self, blue: u32, green: u32) {
            let share = f64::from(green) / f64::from(blue + green);
            let more = format!("AdditionalVersionWeights={{2={share}}}");
            self.aws(&format!(
                "update-alias --function-name bot --name live --function-version 1 --routing-config {more}"
            ));
        }

        fn empty_green(&self) {
            let output = self.moto.cli(&["lambda", "delete-function", "--function-name", "bot", "--qualifier", "2"]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }

        fn walk_back(&self, way: &NativeWayBack) {
            let folder = tempfile::tempdir().expect("a folder");
            let path = format!("{}:/usr/bin:/bin", self.moto.aws.parent().expect("a folder").display());
            walked(way, folder.path(), Command::new("sh").envs(self.moto.env()).env("PATH", path));
        }
    }

    pub async fn alias_of_lambda(kind: &Kind) {
        let (Some(_), Some(zip)) = (peer("jq"), archive()) else { return };
        let Some(moto) = Moto::start(&[]).await else { return };
        let alias = Alias { moto };
        let role =
            alias.moto.cli_json(&["iam", "create-role", "--role-name", "bot", "--assume-role-policy-document", "{}"]);
        let role = role["Role"]["Arn"].as_str().expect("an ARN").to_string();
        let code = format!("--zip-file fileb://{}", zip.path().display());
        alias.aws(&format!("create-function --function-name bot --runtime python3.11 --role {role} --handler bot.answer {code} --publish"));
        std::fs::write(zip.path(), EMPTY_WITH_COMMENT).expect("another archive");
        alias.aws(&format!("update-function-code --function-name bot {code} --publish"));
        alias.aws("create-alias --function-name bot --name live --function-version 1");
        suite(kind, &alias).await;
    }

    /// The end of a ZIP archive without files, and the same with a comment of one byte.
    const EMPTY: &[u8] = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    const EMPTY_WITH_COMMENT: &[u8] = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0 ";

    fn archive() -> Option<tempfile::NamedTempFile> {
        let file = tempfile::NamedTempFile::new().ok()?;
        std::fs::write(file.path(), EMPTY).ok()?;
        Some(file)
    }
}
