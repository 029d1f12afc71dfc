//! A Prometheus that does not answer everybody: behind a real nginx that speaks TLS by a private authority and wants a tenant, a
//! password or a token. Each way in is tried right and wrong.

use std::fs;
use std::process::Command;

use bgctl::run::Verdict;
use serde_json::{Value, json};

use super::exporter::Rig;
use crate::common::bots::Started;
use crate::common::{certificates, free_port, peer};

struct Door {
    url: String,
    dir: tempfile::TempDir,
    _nginx: Started,
}

/// Three doors to one Prometheus: `/tenant`, `/basic` and `/bearer`.
fn door(prometheus: &str) -> Option<Door> {
    let (program, dir, port) = (peer("nginx")?, tempfile::tempdir().unwrap(), free_port());
    certificates::by_a_private_authority(dir.path())?;
    let place = dir.path().display();
    // The workers of a root's nginx are nobody, who may not read a folder of root's.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    fs::write(dir.path().join("users"), "team:{PLAIN}secret\n").unwrap();
    let config = format!(
        r#"{user} pid {place}/pid; error_log {place}/error.log; worker_processes 1; daemon off;
        events {{ }}
        http {{
          access_log off; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
          fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
          server {{
            listen 127.0.0.1:{port} ssl; ssl_certificate {place}/cert.pem; ssl_certificate_key {place}/key.pem;
            location /tenant/ {{ if ($http_x_scope_orgid != "team-a") {{ return 401 "no org id"; }} proxy_pass {prometheus}/; }}
            location /basic/ {{ auth_basic "metrics"; auth_basic_user_file {place}/users; proxy_pass {prometheus}/; }}
            location /bearer/ {{ if ($http_authorization != "Bearer the-second-token") {{ return 403; }} proxy_pass {prometheus}/; }}
          }}
        }}"#
    );
    fs::write(dir.path().join("nginx.conf"), config).unwrap();
    let mut command = Command::new(program);
    command.arg("-p").arg(dir.path()).arg("-c").arg(dir.path().join("nginx.conf"));
    let nginx = Started::new(command, port, &dir.path().join("nginx.log"));
    Some(Door { url: format!("https://127.0.0.1:{port}"), dir, _nginx: nginx })
}

#[tokio::test]
async fn g12_a_prometheus_that_lets_not_everybody_in_is_asked_as_it_wants() {
    let Some(rig) = Rig::shared() else { return };
    let Some(door) = door(&rig.url) else { return };
    let (ca, token) = (door.dir.path().join("ca.pem"), door.dir.path().join("token"));
    fs::write(&token, "the-first-token\n").unwrap();
    rig.until_raw("count(queue_depth)", |text| text == "2").await;
    let asks = |place: &str, more: Value| {
        let mut server = json!({ "url": format!("{}/{place}", door.url), "ca": ca });
        server.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server
    };
    let looked = async |server: Value| {
        let look = rig.look_at(&json!({ "prometheus": "max by (color) (queue_depth)", "max": 5 }), &server).await;
        (look.judgement.verdict, look.silent, look.judgement.line)
    };
    let table = [
        (asks("tenant", json!({ "headers": { "X-Scope-OrgID": "team-a" } })), ""),
        (asks("tenant", json!({ "headers": { "X-Scope-OrgID": "team-b" } })), "answered 401"),
        (asks("tenant", json!({})), "answered 401"),
        (asks("basic", json!({ "basic": "team:secret" })), ""),
        (asks("basic", json!({ "basic": "team:wrong" })), "answered 401"),
        (asks("bearer", json!({ "headers": { "Authorization": "Bearer the-second-token" } })), ""),
        (asks("bearer", json!({ "bearer_file": token })), "answered 403"),
        (asks("bearer", json!({ "bearer_file": door.dir.path().join("nothing") })), "nothing cannot be read"),
        (asks("tenant", json!({ "ca": door.dir.path().join("nothing") })), "nothing cannot be read"),
        (asks("tenant", json!({ "ca": door.dir.path().join("token") })), "token has no certificate in it"),
        (json!({ "url": format!("{}/tenant", door.url), "headers": { "X-Scope-OrgID": "team-a" } }), "certificate"),
    ];
    for (server, why) in table {
        let (verdict, silent, line) = looked(server.clone()).await;
        match why {
            "" => assert_eq!(verdict, Verdict::Pass, "{server}: {line}"),
            why => assert!(verdict == Verdict::Unknown && silent && line.contains(why), "{server}: {line}"),
        }
    }
    // Whoever hands out tokens writes a new one into the same file.
    fs::write(&token, "the-second-token\n").unwrap();
    assert_eq!(looked(asks("bearer", json!({ "bearer_file": token }))).await.0, Verdict::Pass);
}

/// A door that computes each signature anew with AWS's own library for Python, and lets through what agrees.
#[cfg(feature = "aws")]
const SIGNED: &str = r#"
import http.server, re, sys, urllib.request
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

port, behind = int(sys.argv[1]), sys.argv[2]

class Door(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        given = self.headers.get("authorization", "")
        scope = re.search(r"Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request", given)
        named = re.search(r"SignedHeaders=([^,]+)", given)
        agrees = False
        if scope and named:
            headers = {name: self.headers[name] for name in named.group(1).split(";") if self.headers[name]}
            request = AWSRequest("POST", f"http://{self.headers['host']}{self.path}", data=body, headers=headers)
            request.context["timestamp"] = self.headers["x-amz-date"]
            auth = SigV4Auth(Credentials(scope.group(1), "the-secret"), scope.group(3), scope.group(2))
            text = auth.string_to_sign(request, auth.canonical_request(request))
            agrees = scope.groups() == ("AKIDTEST", "eu-central-1", "aps") and given.endswith("Signature=" + auth.signature(text, request))
        answer = b'{"message":"The request signature we calculated does not match"}'
        if agrees:
            kind = {"content-type": self.headers["content-type"]}
            with urllib.request.urlopen(urllib.request.Request(behind + self.path, data=body, headers=kind)) as real:
                answer = real.read()
        self.send_response(200 if agrees else 403)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    def log_message(self, *_):
        pass

http.server.HTTPServer(("127.0.0.1", port), Door).serve_forever()
"#;

#[cfg(feature = "aws")]
#[tokio::test]
async fn g12_a_managed_prometheus_gets_signed_questions() {
    use std::rc::Rc;

    use bgctl::clock::SystemClock;
    use bgctl::gates::signer::RequestSigner;
    use bgctl::live::http::LiveWeb;
    use bgctl::routers::AwsAccess;
    use bgctl::secret::Secret;

    let (Some(rig), Some(python)) = (Rig::shared(), peer("python")) else { return };
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    fs::write(dir.path().join("door.py"), SIGNED).unwrap();
    let mut command = Command::new(python);
    command.arg(dir.path().join("door.py")).arg(port.to_string()).arg(&rig.url);
    let _door = Started::new(command, port, &dir.path().join("door.log"));
    rig.until_raw("count(queue_depth)", |text| text == "2").await;
    let looked = async |secret: &str, region: &str| {
        let keys = Some(("AKIDTEST".to_string(), Secret::new(secret)));
        let signer = RequestSigner::new(&AwsAccess { keys, ..AwsAccess::default() }, Rc::new(SystemClock));
        let web = Rc::new(LiveWeb::new(Rc::new(SystemClock)).signing(Rc::new(signer)));
        let server = json!({ "url": format!("http://127.0.0.1:{port}"), "sigv4": { "region": region } });
        let gate = json!({ "prometheus": "max by (color) (queue_depth)", "max": 5 });
        let look = rig.look_through(web, &gate, &server).await;
        (look.judgement.verdict, look.silent, look.judgement.line)
    };
    let (verdict, _, line) = looked("the-secret", "eu-central-1").await;
    assert_eq!(verdict, Verdict::Pass, "{line}");
    for (secret, region) in [("another", "eu-central-1"), ("the-secret", "us-east-1")] {
        let (verdict, silent, line) = looked(secret, region).await;
        assert!(verdict == Verdict::Unknown && silent && line.contains("answered 403"), "{line}");
    }
    // Without a signer nothing is sent.
    let server = json!({ "url": format!("http://127.0.0.1:{port}"), "sigv4": { "region": "eu-central-1" } });
    let look = rig.look_at(&json!({ "prometheus": "max by (color) (queue_depth)", "max": 5 }), &server).await;
    assert!(look.silent && look.judgement.line.contains("built without AWS"), "{}", look.judgement.line);
}
