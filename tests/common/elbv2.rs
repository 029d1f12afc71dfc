//! An endpoint of the ELBv2 query protocol that misbehaves on demand: the answers a real or third-party server will not
//! give when asked. One rule, two target groups, and a script of what is to go wrong next.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bgctl::routers::{Access, AwsAccess};
use bgctl::secret::Secret;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const OF: &str = "arn:aws:elasticloadbalancing:us-east-1:123456789012:";

/// What goes wrong with the next request of that action.
#[derive(Clone, Debug)]
pub enum Fault {
    /// An error of the API: status, code, message.
    Error(u16, &'static str, &'static str),
    /// Done, but the connection is cut before the answer.
    AppliedThenCut,
    /// Done, but the answer is not what the protocol says.
    AppliedThenGarbage,
    /// An error of the API with the seconds after which it may be asked again.
    After(u16, &'static str, u64),
    /// Nothing is done for so long; then it is done and answered, or at least done where nobody waits any more.
    Late(Duration),
    /// Nothing is done, and no answer comes.
    Silence,
    /// The weights of before the last write.
    Stale,
    /// Another list of actions, as XML.
    Actions(&'static str),
    /// The rule is the default rule of its listener.
    Default,
}

#[derive(Default)]
struct State {
    weights: (u32, u32),
    before: (u32, u32),
    faults: VecDeque<(&'static str, Fault)>,
    requests: Vec<String>,
    /// The access key id of each request.
    keys: Vec<String>,
    /// The body of the last write.
    written: String,
}

/// The running endpoint.
#[derive(Clone)]
pub struct Endpoint {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Endpoint {
    pub async fn start() -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on the loopback interface");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let state = Arc::new(Mutex::new(State { weights: (100, 0), before: (100, 0), ..State::default() }));
        let endpoint = Endpoint { url, state };
        let serving = endpoint.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move { serving.serve(stream).await });
            }
        });
        endpoint
    }

    /// What goes wrong next, in this order for each action.
    pub fn fails(&self, action: &'static str, fault: Fault) {
        self.state.lock().expect("no panic").faults.push_back((action, fault));
    }

    pub fn weights(&self) -> (u32, u32) {
        self.state.lock().expect("no panic").weights
    }

    /// How often an action was asked for.
    pub fn count(&self, action: &str) -> usize {
        self.state.lock().expect("no panic").requests.iter().filter(|a| *a == action).count()
    }

    /// The access key ids of the requests, in order.
    pub fn keys(&self) -> Vec<String> {
        self.state.lock().expect("no panic").keys.clone()
    }

    /// The last write, decoded, one parameter a line.
    pub fn written(&self) -> String {
        self.state.lock().expect("no panic").written.clone()
    }

    pub fn settings(&self) -> Value {
        json!({
            "rule": format!("{OF}listener-rule/app/bot/50dc6c495c0c9188/0467ef3c8400ae65/8c1f3f0a1e2d3c4b"),
            "blue": format!("{OF}targetgroup/bot-blue/6d0ecf831eec9f09"),
            "green": format!("{OF}targetgroup/bot-green/73e2d6bc24d8a067"),
        })
    }

    pub fn access(&self) -> Access {
        let keys = Some(("AKIAEXAMPLE".to_string(), Secret::new("secret")));
        Access {
            aws: AwsAccess { endpoint: Some(self.url.clone()), keys, ..AwsAccess::default() },
            ..Access::default()
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a provider that answers late is what is played here")]
    async fn serve(&self, mut stream: TcpStream) {
        while let Some((head, body)) = request(&mut stream).await {
            let key = head.split("credential=").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
            self.state.lock().expect("no panic").keys.push(key.to_string());
            let parameters = decoded(&body);
            let of = |name: &str| parameters.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone());
            let action = of("Action").unwrap_or_default();
            let fault = self.next_fault(&action);
            if matches!(fault, Some(Fault::Silence)) {
                std::future::pending::<()>().await;
            }
            if let Some(Fault::Late(time)) = &fault {
                tokio::time::sleep(*time).await;
            }
            let answer = match &fault {
                Some(Fault::After(status, code, _)) => (*status, error(code, "later")),
                Some(Fault::Error(status, code, words)) => (*status, error(code, words)),
                _ => (200, self.answer(&action, &parameters, fault.as_ref())),
            };
            match fault {
                Some(Fault::AppliedThenCut) => return,
                Some(Fault::AppliedThenGarbage) => respond(&mut stream, 200, "<html>out of order").await,
                Some(Fault::After(.., seconds)) => {
                    respond_with(&mut stream, answer.0, &format!("retry-after: {seconds}\r\n"), &answer.1).await;
                }
                _ => respond(&mut stream, answer.0, &answer.1).await,
            }
        }
    }

    fn next_fault(&self, action: &str) -> Option<Fault> {
        let mut state = self.state.lock().expect("no panic");
        state.requests.push(action.into());
        let at = state.faults.iter().position(|(a, _)| *a == action)?;
        state.faults.remove(at).map(|(_, fault)| fault)
    }

    fn answer(&self, action: &str, parameters: &[(String, String)], fault: Option<&Fault>) -> String {
        let mut state = self.state.lock().expect("no panic");
        let settings = self.settings();
        let arn = |name: &str| settings[name].as_str().expect("a string").to_string();
        if action.starts_with("Modify") {
            let weight = |group: &str| {
                let key = parameters.iter().find(|(_, v)| *v == arn(group)).map(|(k, _)| k.clone()).unwrap_or_default();
                let key = key.replace("TargetGroupArn", "Weight");
                parameters.iter().find(|(k, _)| *k == key).and_then(|(_, v)| v.parse().ok()).unwrap_or(0)
            };
            state.before = state.weights;
            state.weights = (weight("blue"), weight("green"));
            state.written = parameters.iter().map(|(k, v)| format!("{k}={v}\n")).collect();
        }
        let (blue, green) = if matches!(fault, Some(Fault::Stale)) { state.before } else { state.weights };
        let tuple = |group: &str, weight: u32| {
            format!("<member><TargetGroupArn>{}</TargetGroupArn><Weight>{weight}</Weight></member>", arn(group))
        };
        let actions = match fault {
            Some(Fault::Actions(xml)) => xml.replace("BLUE", &arn("blue")).replace("GREEN", &arn("green")),
            _ => format!(
                "<member><Type>forward</Type><ForwardConfig><TargetGroups>{}{}</TargetGroups></ForwardConfig></member>",
                tuple("blue", blue),
                tuple("green", green)
            ),
        };
        let (list, place, actions) = if action.ends_with("Listeners") || action.ends_with("Listener") {
            let listener = arn("rule").replace("listener-rule", "listener");
            let listener = listener.rsplit_once('/').expect("an ARN has parts").0;
            (
                "Listeners",
                format!("<ListenerArn>{listener}</ListenerArn>"),
                format!("<DefaultActions>{actions}</DefaultActions>"),
            )
        } else {
            let default = matches!(fault, Some(Fault::Default));
            let place = format!("<RuleArn>{}</RuleArn><IsDefault>{default}</IsDefault>", arn("rule"));
            ("Rules", place, format!("<Actions>{actions}</Actions>"))
        };
        format!(
            "<{action}Response xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\"><{action}Result><{list}>\
             <member>{place}{actions}</member></{list}></{action}Result><ResponseMetadata><RequestId>r</RequestId>\
             </ResponseMetadata></{action}Response>"
        )
    }
}

fn error(code: &str, words: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{words}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
    )
}

/// Head, in lower case, and body of the next request on a connection.
async fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length: usize = head.split("content-length: ").nth(1)?.lines().next()?.trim().parse().ok()?;
            if bytes.len() >= end + 4 + length {
                return Some((head, String::from_utf8_lossy(&bytes[end + 4..]).into_owned()));
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

async fn respond(stream: &mut TcpStream, status: u16, body: &str) {
    respond_with(stream, status, "", body).await;
}

async fn respond_with(stream: &mut TcpStream, status: u16, more: &str, body: &str) {
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: text/xml\r\nx-amzn-requestid: 4c1f-{status}\r\n{more}content-length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body.as_bytes()).await;
}

fn decoded(body: &str) -> Vec<(String, String)> {
    let url = reqwest::Url::parse(&format!("http://x/?{body}")).expect("a form");
    url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect()
}
