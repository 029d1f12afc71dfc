//! A server of DNS over TCP: questions on one connection, and an update on one of its own.
//!
//! Not over UDP: an update must not be repeated or land later than its connection lives by the network's doing, and an answer
//! that somebody guessed must not be taken.

use std::fmt;
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::message::Question;
use super::settings;
use crate::clock::{Clock, SystemClock};

/// The longest the questions of one look may take. Whoever goes back waits no longer for a place.
const LOOK: Duration = Duration::from_secs(3);
/// The longest the answer to an update is waited for.
const UPDATE: Duration = Duration::from_secs(5);

/// Where it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    host: String,
    port: u16,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silent {
    pub why: String,
    /// Whether it may have what was sent.
    pub sent: bool,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl Server {
    pub fn new(text: &str) -> Option<Server> {
        settings::address(text).map(|(host, port)| Server { host, port })
    }

    /// Host and port, as `nsupdate` takes them.
    pub fn in_words(&self) -> String {
        format!("{} {}", self.host, self.port)
    }

    /// The answers to these questions, all of them; why not, in a word or two.
    pub async fn ask(&self, questions: &[(&Name, RecordType)], recursive: bool) -> Result<Vec<Message>, String> {
        let asked = async {
            let mut stream = self.connect().await?;
            let mut answers = Vec::with_capacity(questions.len());
            for (name, kind) in questions {
                let question = Question::new(name, *kind, recursive)?;
                let bytes = exchange(&mut stream, &question.bytes).await.map_err(|e| e.to_string())?;
                answers.push(question.answer(&bytes)?);
            }
            Ok(answers)
        };
        within(LOOK, asked).await.unwrap_or_else(|| Err(format!("no answer within {} s", LOOK.as_secs())))
    }

    /// Sends an update once, on a connection that is given up with it.
    pub async fn send(&self, update: &[u8]) -> Result<Vec<u8>, Silent> {
        let unsent = |why| Silent { why, sent: false };
        let stream = within(UPDATE, self.connect()).await;
        let mut stream = stream.unwrap_or_else(|| Err("takes no connection".into())).map_err(unsent)?;
        match within(UPDATE, exchange(&mut stream, update)).await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => Err(Silent { why: error.to_string(), sent: true }),
            None => Err(Silent { why: format!("no answer within {} s", UPDATE.as_secs()), sent: true }),
        }
    }

    async fn connect(&self) -> Result<TcpStream, String> {
        TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|e| e.to_string())
    }
}

/// One message each way, each after its length in two bytes: longer than that none is.
async fn exchange(stream: &mut TcpStream, message: &[u8]) -> std::io::Result<Vec<u8>> {
    let length = u16::try_from(message.len()).map_err(|_| std::io::Error::other("a message that is too long"))?;
    stream.write_all(&[&length.to_be_bytes()[..], message].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

async fn within<T>(time: Duration, answer: impl Future<Output = T>) -> Option<T> {
    tokio::select! { biased;
        answer = answer => Some(answer),
        () = SystemClock.sleep(time) => None,
    }
}
