//! The ssh-agent: two messages of its protocol, with a time limit, because an agent may wait for a touch forever.
//!
//! An agent is somebody else's program, perhaps on somebody else's machine: nothing it answers is taken on its word.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use super::wire::{Reader, put};
use super::{Assurance, PublicKey, SignError, Signer, dsse, sshsig};

/// How long an agent may take to answer, a touch of a security key included.
const PATIENCE: Duration = Duration::from_secs(5);
/// A touch takes a person longer than an answer takes a program.
const PATIENCE_FOR_TOUCH: Duration = Duration::from_secs(30);
/// The longest answer taken, in bytes.
const MOST: usize = 256 * 1024;

const LIST: u8 = 11;
const LISTED: u8 = 12;
const SIGN: u8 = 13;
const SIGNED: u8 = 14;
const FAILURE: u8 = 5;

/// A key the agent holds and bgctl can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub key: PublicKey,
    pub comment: String,
}

/// Asks the agent what it holds. Keys of unknown kinds are left out.
pub fn list(socket: &Path) -> Result<Vec<Held>, SignError> {
    list_within(socket, PATIENCE)
}

/// [`list`], with another patience.
pub fn list_within(socket: &Path, patience: Duration) -> Result<Vec<Held>, SignError> {
    let failed = |why: &str| failure(socket, why);
    let answer = talk(socket, &[LIST], patience)?;
    let mut reader = Reader(&answer);
    if reader.byte() != Some(LISTED) {
        return Err(failed("it does not list its keys"));
    }
    let count = reader.number().ok_or_else(|| failed("its list ends too early"))?;
    let mut held = Vec::new();
    for _ in 0..count {
        let (Some(blob), Some(comment)) = (reader.string(), reader.string()) else {
            return Err(failed("its list ends too early"));
        };
        if let Ok(key) = PublicKey::from_blob(blob) {
            held.push(Held { key, comment: String::from_utf8_lossy(comment).into_owned() });
        }
    }
    Ok(held)
}

/// One key of an agent.
pub struct AgentKey {
    socket: PathBuf,
    key: PublicKey,
    patience: Duration,
}

impl AgentKey {
    pub fn new(socket: &Path, key: PublicKey) -> Self {
        let patience = if key.is_security_key() { PATIENCE_FOR_TOUCH } else { PATIENCE };
        AgentKey { socket: socket.to_path_buf(), key, patience }
    }

    /// The same, with another patience.
    pub fn within(self, patience: Duration) -> Self {
        AgentKey { patience, ..self }
    }
}

impl Signer for AgentKey {
    fn name(&self) -> String {
        "ssh-agent".into()
    }

    fn public(&self) -> String {
        self.key.line()
    }

    fn fingerprint(&self) -> String {
        self.key.fingerprint()
    }

    fn assurance(&self) -> Assurance {
        if self.key.is_security_key() { Assurance::SecurityKey } else { Assurance::SshAgent }
    }

    fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, SignError> {
        let mut request = vec![SIGN];
        put(&mut request, self.key.blob());
        put(&mut request, &sshsig::signed_bytes(namespace, message));
        request.extend_from_slice(&0u32.to_be_bytes());
        let answer = talk(&self.socket, &request, self.patience)?;
        let mut reader = Reader(&answer);
        let signature = match reader.byte() {
            Some(SIGNED) => reader.string().ok_or_else(|| failure(&self.socket, "its answer ends too early"))?,
            Some(FAILURE) => return Err(SignError::Refused { fingerprint: self.fingerprint() }),
            _ => return Err(failure(&self.socket, "its answer is no signature")),
        };
        let text = sshsig::armor(&self.key, namespace, signature);
        // An agent that signs with another key, or something else, is found here and not by the next auditor.
        match sshsig::verify(namespace, message, &text) {
            Ok(_) => Ok(text),
            Err(error) => {
                Err(failure(&self.socket, &format!("it answered with a signature that does not hold: {error}")))
            }
        }
    }
    fn sign_envelope(&self, kind: &str, payload: &[u8]) -> Result<Vec<u8>, SignError> {
        // Another kind of key signs other bytes than these, and no touch is asked for in vain.
        if self.key.kind() != "ssh-ed25519" {
            return Err(dsse::cannot("ssh-agent"));
        }
        let message = dsse::signed_bytes(kind, payload);
        let mut request = vec![SIGN];
        put(&mut request, self.key.blob());
        put(&mut request, &message);
        request.extend_from_slice(&0u32.to_be_bytes());
        let answer = talk(&self.socket, &request, PATIENCE)?;
        let mut reader = Reader(&answer);
        match reader.byte() {
            Some(SIGNED) => reader
                .string()
                .and_then(|signature| dsse::of_agent(&self.key, &message, signature))
                .ok_or_else(|| failure(&self.socket, "it answered with a signature that does not hold")),
            Some(FAILURE) => Err(SignError::Refused { fingerprint: self.fingerprint() }),
            _ => Err(failure(&self.socket, "its answer is no signature")),
        }
    }
}

fn failure(socket: &Path, why: &str) -> SignError {
    SignError::Agent { socket: socket.display().to_string(), why: why.into() }
}

/// One question, one answer, on a connection of its own.
///
/// It is asked from a thread of its own: a socket whose agent no longer accepts keeps `connect` waiting, and one that sends
/// a byte now and then keeps every single read short. Only the whole has a limit that nobody can stretch.
fn talk(socket: &Path, request: &[u8], patience: Duration) -> Result<Vec<u8>, SignError> {
    let (answer, answered) = mpsc::channel();
    let (path, request) = (socket.to_path_buf(), request.to_vec());
    std::thread::spawn(move || answer.send(exchange(&path, &request, patience)));
    let result = answered.recv_timeout(patience).unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
    result.map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
            failure(socket, &format!("no answer within {} s", patience.as_secs_f64()))
        }
        std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => {
            failure(socket, "it hung up")
        }
        std::io::ErrorKind::NotFound => failure(socket, "no agent is there"),
        std::io::ErrorKind::ConnectionRefused => failure(socket, "its agent is gone"),
        _ => failure(socket, &error.to_string()),
    })
}

fn exchange(socket: &Path, request: &[u8], patience: Duration) -> std::io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    // The thread ends some time after nobody waits for it any more.
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let mut message = Vec::with_capacity(request.len() + 4);
    put(&mut message, request);
    stream.write_all(&message)?;
    let mut len = [0u8; 4];
    stream.read_exact(&mut len)?;
    let len = u32::from_be_bytes(len) as usize;
    if len > MOST {
        return Err(std::io::Error::other("its answer is too long"));
    }
    let mut answer = vec![0u8; len];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}
