//! HAProxy's runtime API: one line of commands on one connection, one answer for each.
//!
//! There are no exit codes: a command that succeeds answers with nothing, and everything else is text. What comes is bounded
//! in time and in length, and an answer that is cut off is no answer.

use std::cell::Cell;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::clock::{Clock, SystemClock};
use crate::diag::server;
use crate::routers::Trouble;

/// How long HAProxy may take: it answers in a millisecond, or not at all.
pub const WITHIN: Duration = Duration::from_secs(5);
/// The longest answer: some ten thousand servers.
const LONGEST: usize = 4 * 1024 * 1024;
/// The longest line of commands, well below the buffer HAProxy reads one into (`tune.bufsize`, 16 KiB).
const LINE: usize = 8 * 1024;

/// Where HAProxy listens for commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Unix(PathBuf),
    Tcp(String),
}

/// No answer, and what may have come of the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    pub why: String,
    pub kind: Trouble,
    /// HAProxy may have got the line, and followed it.
    pub sent: bool,
    pub cure: Option<&'static str>,
}

const NOT_THERE: &str = "is HAProxy running here, with `stats socket PATH level admin` in its `global` section?";
const NOT_OURS: &str = "run bgctl as a user who may write to the socket, such as a member of its group (`stats socket … mode 660 group …`)";

impl Address {
    pub fn read(text: &str) -> Result<Address, String> {
        if text.starts_with('/') {
            return Ok(Address::Unix(text.into()));
        }
        match server(text, None) {
            Some(_) => Ok(Address::Tcp(text.into())),
            None => Err(format!("`{text}` is neither a whole path nor host:port")),
        }
    }

    /// Sends the commands as one line and gives the answer to each, as lines.
    pub async fn ask(&self, commands: &[String]) -> Result<Vec<Vec<String>>, Silence> {
        // From the first byte on HAProxy may follow the line.
        let sent = Cell::new(false);
        let answered = tokio::select! { biased;
            answers = self.exchange(commands, &sent) => answers,
            () = SystemClock.sleep(WITHIN) => {
                Err(std::io::Error::new(ErrorKind::TimedOut, format!("no answer within {}s", WITHIN.as_secs())))
            }
        };
        answered.map_err(|error| {
            let (kind, cure) = match error.kind() {
                ErrorKind::PermissionDenied => (Trouble::Denied, Some(NOT_OURS)),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => (Trouble::Unreachable, Some(NOT_THERE)),
                _ => (Trouble::Unreachable, None),
            };
            Silence { why: error.to_string(), kind, sent: sent.get(), cure }
        })
    }

    async fn exchange(&self, commands: &[String], sent: &Cell<bool>) -> std::io::Result<Vec<Vec<String>>> {
        let mut line = commands.join("; ");
        line.push('\n');
        match self {
            Address::Unix(path) => converse(UnixStream::connect(path).await?, &line, commands.len(), sent).await,
            Address::Tcp(host) => converse(TcpStream::connect(host).await?, &line, commands.len(), sent).await,
        }
    }
}

/// Writes a line and reads to the end of its answers.
async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    line: &str,
    count: usize,
    sent: &Cell<bool>,
) -> std::io::Result<Vec<Vec<String>>> {
    sent.set(true);
    stream.write_all(line.as_bytes()).await?;
    let mut answer = Vec::new();
    let most = LONGEST as u64 + 1;
    (&mut stream).take(most).read_to_end(&mut answer).await?;
    if answer.len() > LONGEST {
        return Err(std::io::Error::other(format!("an answer of more than {LONGEST} bytes")));
    }
    let text = String::from_utf8(answer).map_err(|_| std::io::Error::other("an answer that is no text"))?;
    answers(&text, count).ok_or_else(|| {
        std::io::Error::new(ErrorKind::UnexpectedEof, "the connection ended before the answer was complete")
    })
}

/// Each answer ends with an empty line, and one that is nothing is just that. An answer that is cut off is none.
fn answers(text: &str, count: usize) -> Option<Vec<Vec<String>>> {
    let mut answers = Vec::with_capacity(count);
    let mut lines = text.split_inclusive('\n');
    while answers.len() < count {
        let mut answer = Vec::new();
        loop {
            match lines.next()?.strip_suffix('\n')?.trim_end_matches('\r') {
                "" => break,
                line => answer.push(line.to_string()),
            }
        }
        answers.push(answer);
    }
    Some(answers)
}

/// Commands in as few lines as HAProxy takes.
pub fn lines(commands: Vec<String>) -> Vec<Vec<String>> {
    let mut lines: Vec<Vec<String>> = Vec::new();
    let mut room = 0;
    for command in commands {
        let length = command.len() + 2;
        if lines.is_empty() || room < length {
            lines.push(Vec::new());
            room = LINE;
        }
        room -= length.min(room);
        lines.last_mut().expect("BUG: a line was just begun").push(command);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_an_empty_line_and_one_that_is_cut_off_is_none() {
        let of = |text: &str, count| answers(text, count);
        let text = |lines: &[&str]| lines.iter().map(|line| line.to_string()).collect::<Vec<_>>();
        assert_eq!(of("\n", 1), Some(vec![vec![]]));
        assert_eq!(of("\n11 (initial 0)\n\n\n", 3), Some(vec![vec![], text(&["11 (initial 0)"]), vec![]]));
        assert_eq!(of("No such server.\n\n\n", 2), Some(vec![text(&["No such server."]), vec![]]));
        for cut in ["", "\n", "\n11 (init", "\n11 (initial 0)\n", "No such server."] {
            assert_eq!(of(cut, 2), None, "{cut:?}");
        }
    }

    #[test]
    fn an_address_is_a_path_or_a_host_with_a_port() {
        for good in ["/run/haproxy/admin.sock", "127.0.0.1:9999", "[::1]:9999", "lb.internal:9999"] {
            assert!(Address::read(good).is_ok(), "{good}");
        }
        for bad in ["", "admin.sock", "localhost", ":9999", "a:0", "a:99999", "http://a:1", "unix@/run/a.sock", "u@h:1"]
        {
            assert!(Address::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn many_commands_are_several_lines() {
        let commands: Vec<String> = (0..400).map(|n| format!("set server backend/server-{n:04} weight 100")).collect();
        let lines = lines(commands.clone());
        assert!(lines.len() > 1 && lines.iter().all(|line| line.join("; ").len() < LINE));
        assert_eq!(lines.concat(), commands);
    }

    /// What cannot be trusted: an answer without an end, too long, or no text; and one that never comes.
    #[tokio::test]
    async fn hostile_answers_are_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, answer, wanted) in [
            ("long", vec![b'a'; LONGEST + 10], "an answer of more than 4194304 bytes"),
            ("binary", vec![0xff, b'\n', b'\n'], "an answer that is no text"),
            ("cut", b"1\n# be_id".to_vec(), "the connection ended before the answer was complete"),
        ] {
            let path = folder.path().join(name);
            let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
            let server = async {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let _ = stream.read(&mut [0; 64]).await;
                let _ = stream.write_all(&answer).await;
            };
            let (address, question) = (Address::Unix(path.clone()), ["show info".to_string()]);
            let (asked, ()) = tokio::join!(address.ask(&question), server);
            let silence = asked.expect_err(name);
            assert_eq!((silence.why.as_str(), silence.sent), (wanted, true));
        }
        let gone = Address::Unix(folder.path().join("none")).ask(&["show info".into()]).await.expect_err("nobody");
        assert!(!gone.sent && gone.kind == Trouble::Unreachable && gone.cure == Some(NOT_THERE));
    }
}
