//! What a world reaches things through. The doors of a rehearsal lead to the lab alone, whoever asks for what: an address that
//! is not the lab's is refused before anything is sent, there is no database and no store, and a program finds nothing of the
//! real environment.

use std::rc::Rc;

use async_trait::async_trait;

use super::surroundings::Surroundings;
use crate::child::Children;
use crate::clock::Clock;
use crate::live::database::LiveDatabase;
use crate::live::http::LiveWeb;
use crate::live::redis::LiveStore;
use crate::rehearsal::Own;
use crate::world::{
    Database, Inbox, Metrics, NoDatabase, NoMetrics, NoStore, Processes, Request, Response, Store, Web, WebError,
};

/// One of each.
pub struct Doors {
    pub web: Rc<dyn Web>,
    pub processes: Rc<dyn Processes>,
    pub store: Rc<dyn Store>,
    pub database: Rc<dyn Database>,
    pub metrics: Rc<dyn Metrics>,
}

impl Doors {
    pub fn of(outside: &Surroundings, clock: &Rc<dyn Clock>) -> Doors {
        let web = web(outside, clock.clone());
        match &outside.lab {
            Some(played) => Doors {
                web: Rc::new(LabWeb { web, own: played.own.clone() }),
                processes: Rc::new(Children::new(clock.clone(), Some(played.own.env.clone()))),
                store: Rc::new(NoStore),
                database: Rc::new(NoDatabase),
                metrics: Rc::new(NoMetrics),
            },
            None => Doors {
                web: Rc::new(web),
                processes: Rc::new(Children::new(clock.clone(), None)),
                store: Rc::new(LiveStore::new(clock.clone())),
                database: Rc::new(LiveDatabase::new(clock.clone())),
                metrics: metrics(outside),
            },
        }
    }
}

/// HTTP that reaches the lab and nothing else.
struct LabWeb {
    web: LiveWeb,
    own: Own,
}

#[async_trait(?Send)]
impl Web for LabWeb {
    async fn exchange(&self, request: Request) -> Result<Response, WebError> {
        match self.own.serves(&request.url) {
            true => self.web.exchange(request).await,
            false => Err(shut("this address")),
        }
    }

    async fn listen(&self, address: &str) -> Result<Box<dyn Inbox>, WebError> {
        match self.own.has(address) {
            true => self.web.listen(address).await,
            false => Err(shut(address)),
        }
    }
}

fn shut(what: &str) -> WebError {
    WebError { what: format!("{what} is not the lab's: a rehearsal reaches nothing else"), timed_out: false }
}

#[cfg(feature = "aws")]
fn web(outside: &Surroundings, clock: Rc<dyn Clock>) -> LiveWeb {
    let signer = crate::gates::signer::RequestSigner::new(&outside.access.aws, clock.clone());
    LiveWeb::new(clock).signing(Rc::new(signer))
}

#[cfg(not(feature = "aws"))]
fn web(_: &Surroundings, clock: Rc<dyn Clock>) -> LiveWeb {
    LiveWeb::new(clock)
}

#[cfg(feature = "cloudwatch")]
fn metrics(outside: &Surroundings) -> Rc<dyn Metrics> {
    Rc::new(crate::gates::cloudwatch::LiveMetrics::new(&outside.access.aws))
}

#[cfg(not(feature = "cloudwatch"))]
fn metrics(_: &Surroundings) -> Rc<dyn Metrics> {
    Rc::new(NoMetrics)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::clock::SystemClock;
    use crate::rehearsal::{Mode, Rehearsal};
    use crate::routers::Access;
    use crate::session::surroundings::Played;
    use crate::world::{Command, Stream};

    /// A lab that is one address.
    struct Small(String);

    impl Rehearsal for Small {
        fn variables(&self) -> BTreeMap<String, String> {
            BTreeMap::from([("blue_url".to_string(), self.0.clone())])
        }

        fn environment(&self) -> Vec<(String, String)> {
            vec![("SLACK_SIGNING_SECRET".into(), "of the lab".into())]
        }

        fn finish(&self) -> String {
            format!("{:?}", Mode::Http)
        }
    }

    fn doors(address: &str, process: &BTreeMap<String, String>) -> Doors {
        let lab = Small(address.into());
        let own = Own::new(lab.variables(), lab.environment(), process);
        let played = Played { lab: Box::new(lab), own: own.clone() };
        let outside = Surroundings { env: own.env, access: Access::default(), lab: Some(played) };
        let clock: Rc<dyn Clock> = Rc::new(SystemClock);
        Doors::of(&outside, &clock)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn nothing_but_the_lab_is_behind_the_doors_of_a_rehearsal() {
        let sink = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        sink.set_nonblocking(true).unwrap();
        let real = format!("http://{}/", sink.local_addr().unwrap());
        let doors = doors("http://127.0.0.1:9", &BTreeMap::new());
        let second = Duration::from_secs(1);
        for url in [real.as_str(), "http://localhost/", "https://slack.com/api/auth.test", "nonsense"] {
            let refused = doors.web.exchange(Request::get(url, second)).await.expect_err("it is shut");
            assert!(refused.what.contains("is not the lab's"), "{url}: {}", refused.what);
        }
        let own = doors.web.exchange(Request::get("http://127.0.0.1:9/", second)).await.expect_err("nobody is there");
        assert!(own.what.contains("no connection"), "{}", own.what);
        assert!(doors.web.listen("0.0.0.0:0").await.is_err() && doors.web.listen("127.0.0.1:0").await.is_ok());
        assert!(doors.database.rows(&real, "select 1").await.is_err());
        assert!(doors.store.server(&real).await.is_err());
        assert!(sink.accept().is_err(), "nobody came");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_program_of_a_rehearsal_finds_nothing_of_the_real_environment() {
        let process = [("PATH", "/usr/bin:/bin"), ("GITHUB_TOKEN", "real"), ("SLACK_SIGNING_SECRET", "real")];
        let process = process.map(|(name, value)| (name.to_string(), value.to_string())).into();
        let doors = doors("http://127.0.0.1:9", &process);
        let env = BTreeMap::from([("MORE".to_string(), "said".to_string())]);
        let command = Command {
            argv: vec!["env".into()],
            env,
            directory: None,
            input: Vec::new(),
            timeout: Duration::from_secs(5),
        };
        let mut printed = Vec::new();
        let mut take = |stream, piece: &[u8]| {
            if stream == Stream::Stdout {
                printed.extend_from_slice(piece);
            }
        };
        doors.processes.run(&command, &mut take).await.unwrap();
        let printed = String::from_utf8(printed).unwrap();
        let mut lines: Vec<&str> = printed.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["MORE=said", "PATH=/usr/bin:/bin", "SLACK_SIGNING_SECRET=of the lab"]);
    }
}
