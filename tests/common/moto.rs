//! The AWS control plane of moto, a server we did not write, and a load balancer in it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use bgctl::clock::{Clock, SystemClock};
use bgctl::routers::{Access, AwsAccess};
use bgctl::secret::Secret;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{free_port, peer};

pub const REGION: &str = "us-east-1";

/// A running moto server; ended with the value.
pub struct Moto {
    child: Child,
    api: Api,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl std::ops::Deref for Moto {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

impl Moto {
    /// Starts one, or none where moto or the AWS CLI is missing.
    pub async fn start(env: &[(&str, &str)]) -> Option<Moto> {
        let moto = Moto::launch("http", &[], env)?;
        for _ in 0..600 {
            if client().get(format!("{}/moto-api/", moto.url)).send().await.is_ok() {
                return Some(moto);
            }
            pause().await;
        }
        panic!("moto did not answer within 30 s");
    }

    /// One that speaks TLS with the certificates of that folder. It may not answer yet: who asks it tries for a while.
    pub fn with_certificates(dir: &Path) -> Option<Moto> {
        let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        Moto::launch("https", &["-s".as_ref(), "-c".as_ref(), cert.as_ref(), "-k".as_ref(), key.as_ref()], &[])
    }

    fn launch(scheme: &str, args: &[&OsStr], env: &[(&str, &str)]) -> Option<Moto> {
        let (server, aws) = (peer("moto_server")?, peer("aws")?);
        let port = free_port();
        let child = Command::new(server)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .args(args)
            .envs(env.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto starts");
        let url = format!("{scheme}://127.0.0.1:{port}");
        Some(Moto { child, api: Api { url, id: "AKIAEXAMPLE".into(), secret: "secret".into(), aws } })
    }
}

/// An endpoint that speaks AWS's protocols, and two ways to ask it that are not bgctl's.
pub struct Api {
    pub url: String,
    pub id: String,
    pub secret: String,
    pub aws: PathBuf,
}

impl Api {
    /// Access with keys; any will do unless moto checks them.
    pub fn access(&self) -> Access {
        self.access_with(&self.id, &self.secret)
    }

    pub fn access_with(&self, id: &str, secret: &str) -> Access {
        let keys = Some((id.to_string(), Secret::new(secret)));
        Access {
            aws: AwsAccess { endpoint: Some(self.url.clone()), keys, ..AwsAccess::default() },
            ..Access::default()
        }
    }

    /// One call of the query protocol, signed here and by no SDK; returns the XML.
    pub async fn query(&self, service: &str, form: &[(&str, &str)]) -> String {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let host = self.url.trim_start_matches("http://").trim_end_matches('/');
        let stamp = SystemClock.now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let day = &stamp[..8];
        let scope = format!("{day}/{REGION}/{service}/aws4_request");
        let canonical =
            format!("POST\n/\n\nhost:{host}\nx-amz-date:{stamp}\n\nhost;x-amz-date\n{}", hex(&Sha256::digest(&body)));
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let first = mac(format!("AWS4{}", self.secret).as_bytes(), day);
        let key = [REGION, service, "aws4_request"].iter().fold(first, |key, part| mac(&key, part));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=host;x-amz-date, Signature={}",
            self.id,
            hex(&mac(&key, &text))
        );
        let request = client()
            .post(&self.url)
            .header("authorization", authorization)
            .header("x-amz-date", stamp)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        let answer = request.send().await.expect("moto answers");
        let (status, text) = (answer.status(), answer.text().await.expect("moto's answer is text"));
        assert!(status.is_success(), "{form:?}: {text}");
        text
    }

    /// The real AWS CLI against this server.
    pub fn cli(&self, args: &[&str]) -> Output {
        let mut command = self.cli_command();
        command.args(args).output().expect("the AWS CLI starts")
    }

    pub fn cli_command(&self) -> Command {
        let mut command = Command::new(&self.aws);
        command.envs(self.env());
        command
    }

    /// The environment that points any AWS tool at this server.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.url.clone()),
            ("AWS_ACCESS_KEY_ID", self.id.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.secret.clone()),
            ("AWS_DEFAULT_REGION", REGION.into()),
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
            ("AWS_PAGER", String::new()),
        ]
    }

    /// A script that calls the AWS CLI, in that folder: whether it ended well, and all it printed.
    pub fn in_shell(&self, script: &str, folder: &Path) -> (bool, String) {
        let tools = self.aws.parent().expect("the folder of the AWS CLI").display().to_string();
        let script = format!("PATH={tools}:$PATH\n{script}");
        let mut command = Command::new("sh");
        let output = command.arg("-c").arg(script).envs(self.env()).current_dir(folder).output().expect("a shell");
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    /// The JSON the AWS CLI prints.
    pub fn cli_json(&self, args: &[&str]) -> Value {
        let output = self.cli(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}"))
    }
}

/// A client of a test's own.
pub fn client() -> reqwest::Client {
    bgctl::https::client().build().expect("a client")
}

/// A test that needs a real server may poll with a deadline.
#[expect(clippy::disallowed_methods, reason = "polling a real server")]
pub async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// A load balancer with one rule that forwards to blue and green.
pub struct Balancer {
    pub load_balancer: String,
    pub listener: String,
    pub rule: String,
    pub blue: String,
    pub green: String,
}

/// The OIDC action of a rule that signs users in before it forwards, as query parameters below `Actions.member.1`.
pub const SIGN_IN: [(&str, &str); 8] = [
    ("Type", "authenticate-oidc"),
    ("Order", "1"),
    ("AuthenticateOidcConfig.Issuer", "https://login.example.com"),
    ("AuthenticateOidcConfig.AuthorizationEndpoint", "https://login.example.com/authorize"),
    ("AuthenticateOidcConfig.TokenEndpoint", "https://login.example.com/token"),
    ("AuthenticateOidcConfig.UserInfoEndpoint", "https://login.example.com/userinfo"),
    ("AuthenticateOidcConfig.ClientId", "bot"),
    ("AuthenticateOidcConfig.ClientSecret", "a-client-secret"),
];

impl Balancer {
    /// Builds it with weights 100 and 0, and targets in both groups. `sticky` is the group stickiness in seconds.
    pub async fn build(moto: &Moto, sign_in: bool, sticky: Option<u32>) -> Balancer {
        let subnets = moto.query("ec2", &[("Action", "DescribeSubnets"), ("Version", "2016-11-15")]).await;
        let (subnet, vpc) = (between(&subnets, "subnetId"), between(&subnets, "vpcId"));
        let other = between(&subnets[subnets.rfind("<subnetId>").expect("two subnets")..], "subnetId");
        let elb = |form: Vec<(String, String)>| async move {
            let form: Vec<(&str, &str)> = form.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            moto.query("elasticloadbalancing", &form).await
        };
        let call = |action: &str, rest: &[(&str, &str)]| {
            let mut form = vec![("Action".to_string(), action.to_string()), ("Version".into(), "2015-12-01".into())];
            form.extend(rest.iter().map(|(k, v)| (k.to_string(), v.to_string())));
            form
        };
        let parts = [("Name", "bot"), ("Subnets.member.1", &subnet), ("Subnets.member.2", &other)];
        let load_balancer = between(&elb(call("CreateLoadBalancer", &parts)).await, "LoadBalancerArn");
        let mut groups = Vec::new();
        for (name, target) in [("bot-blue", "10.0.0.1"), ("bot-green", "10.0.0.2")] {
            let parts = [("Name", name), ("Protocol", "HTTP"), ("Port", "8080"), ("VpcId", &vpc), ("TargetType", "ip")];
            let arn = between(&elb(call("CreateTargetGroup", &parts)).await, "TargetGroupArn");
            let parts = [("TargetGroupArn", arn.as_str()), ("Targets.member.1.Id", target)];
            elb(call("RegisterTargets", &parts)).await;
            groups.push(arn);
        }
        let parts = [
            ("LoadBalancerArn", load_balancer.as_str()),
            ("Protocol", "HTTP"),
            ("Port", "80"),
            ("DefaultActions.member.1.Type", "forward"),
            ("DefaultActions.member.1.ForwardConfig.TargetGroups.member.1.TargetGroupArn", &groups[0]),
            ("DefaultActions.member.1.ForwardConfig.TargetGroups.member.1.Weight", "100"),
            ("DefaultActions.member.1.ForwardConfig.TargetGroups.member.2.TargetGroupArn", &groups[1]),
            ("DefaultActions.member.1.ForwardConfig.TargetGroups.member.2.Weight", "0"),
        ];
        let listener = between(&elb(call("CreateListener", &parts)).await, "ListenerArn");
        let parts = [
            ("ListenerArn", listener.as_str()),
            ("Priority", "10"),
            ("Conditions.member.1.Field", "path-pattern"),
            ("Conditions.member.1.Values.member.1", "/slack/*"),
        ];
        let mut form = call("CreateRule", &parts);
        let at = if sign_in { 2 } else { 1 };
        if sign_in {
            form.extend(SIGN_IN.iter().map(|(k, v)| (format!("Actions.member.1.{k}"), v.to_string())));
        }
        let forward = |k: &str, v: &str| (format!("Actions.member.{at}.{k}"), v.to_string());
        form.extend([
            forward("Type", "forward"),
            forward("Order", &at.to_string()),
            forward("ForwardConfig.TargetGroups.member.1.TargetGroupArn", &groups[0]),
            forward("ForwardConfig.TargetGroups.member.1.Weight", "100"),
            forward("ForwardConfig.TargetGroups.member.2.TargetGroupArn", &groups[1]),
            forward("ForwardConfig.TargetGroups.member.2.Weight", "0"),
        ]);
        if let Some(seconds) = sticky {
            form.push(forward("ForwardConfig.TargetGroupStickinessConfig.Enabled", "true"));
            let seconds = seconds.to_string();
            form.push(forward("ForwardConfig.TargetGroupStickinessConfig.DurationSeconds", &seconds));
        }
        let rule = between(&elb(form).await, "RuleArn");
        let [blue, green] = <[String; 2]>::try_from(groups).expect("two groups");
        Balancer { load_balancer, listener, rule, blue, green }
    }

    pub fn settings(&self) -> Value {
        json!({ "rule": self.rule, "blue": self.blue, "green": self.green })
    }
}

/// The text of the first element of that name.
pub fn between(xml: &str, name: &str) -> String {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let start = xml.find(&open).unwrap_or_else(|| panic!("no <{name}> in {xml}")) + open.len();
    let end = xml[start..].find(&close).unwrap_or_else(|| panic!("<{name}> is not closed in {xml}"));
    xml[start..start + end].to_string()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("any length will do");
    mac.chain_update(text).finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
