//! Keys that were given up: OpenSSH's list of revoked keys, one public key or `SHA256:` fingerprint a line, or its binary
//! form (a KRL), which `ssh-keygen -Qf` is asked about.
//!
//! A list that cannot be read, or cannot be asked, never means "not revoked".

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::public::{self, PublicKey};
use super::sshsig::SigError;
use super::trust::BadLine;
use super::wire::Reader;

/// What the binary form begins with.
const KRL: &[u8] = b"SSHKRL\n\0";

/// Keys that no longer count, whatever else is said of them.
#[derive(Clone, Debug, Default)]
pub struct Revoked {
    lists: Vec<List>,
}

#[derive(Clone, Debug)]
enum List {
    /// Fingerprints, with the line each stands in.
    Plain {
        name: String,
        lines: BTreeMap<String, usize>,
    },
    Binary {
        name: String,
        path: PathBuf,
    },
}

impl Revoked {
    /// Takes in a list, by its bytes. `path` is where a binary one lies, `name` what people call it.
    pub fn parse(bytes: &[u8], path: &Path, name: &str) -> Result<Self, BadLine> {
        let name = name.to_string();
        let list = if bytes.starts_with(KRL) {
            List::Binary { name, path: path.to_path_buf() }
        } else {
            List::Plain { name, lines: plain(bytes)? }
        };
        Ok(Revoked { lists: vec![list] })
    }

    /// Everything of both.
    pub fn join(mut self, other: Revoked) -> Self {
        self.lists.extend(other.lists);
        self
    }

    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// Where a key is revoked, if it is: itself, its certificate, or the authority of that.
    ///
    /// # Errors
    ///
    /// The words why it cannot be known.
    pub fn find(&self, key: &PublicKey) -> Result<Option<String>, String> {
        for list in &self.lists {
            match list {
                List::Plain { name, lines } => {
                    let authority = key.certificate().map(|certificate| certificate.authority());
                    let found = lines.get(&key.fingerprint()).map(|line| format!("{name}, line {line}"));
                    let found = found.or_else(|| {
                        let line = lines.get(&authority?)?;
                        Some(format!("{name}, line {line}, by its authority"))
                    });
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                List::Binary { name, path } if ask(path, key).map_err(|why| format!("{name}: {why}"))? => {
                    return Ok(Some(name.clone()));
                }
                List::Binary { .. } => {}
            }
        }
        Ok(None)
    }
}

fn plain(bytes: &[u8]) -> Result<BTreeMap<String, usize>, BadLine> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| BadLine { line: 1, why: "it is neither text nor a list of OpenSSH's binary form".into() })?;
    let mut lines = BTreeMap::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fingerprint = fingerprint(line).map_err(|why| BadLine { line: n + 1, why })?;
        lines.entry(fingerprint).or_insert(n + 1);
    }
    Ok(lines)
}

/// The fingerprint a line revokes. A line that cannot be read is an error: it might be the one that counts.
fn fingerprint(line: &str) -> Result<String, String> {
    let mut words = line.split_ascii_whitespace();
    let first = words.next().unwrap_or_default();
    if let Some(hash) = first.strip_prefix("SHA256:") {
        let hash = hash.trim_end_matches('=');
        let sound = hash.len() == 43 && hash.chars().all(|c| c.is_ascii_alphanumeric() || "+/".contains(c));
        return if sound { Ok(format!("SHA256:{hash}")) } else { Err(format!("`{first}` is not a fingerprint")) };
    }
    let text = words.next().ok_or("a line is a public key, or its fingerprint like SHA256:…")?;
    let blob = public::decode(text).map_err(|error| error.to_string())?;
    match PublicKey::from_line(&format!("{first} {text}")) {
        Ok(key) => Ok(key.fingerprint()),
        // Keys of kinds that never sign here may stand in the list as well, by their own names.
        Err(SigError::Unsupported(_)) if Reader(&blob).text() == Some(first) => Ok(public::fingerprint(&blob)),
        Err(error) => Err(format!("`{first}` and what follows is no public key: {error}")),
    }
}

/// Asks OpenSSH's own program about a list of its binary form.
fn ask(list: &Path, key: &PublicKey) -> Result<bool, String> {
    let failed = |error: std::io::Error| format!("`ssh-keygen -Qf` cannot be asked: {error}");
    let mut child = Command::new("ssh-keygen")
        .arg("-Qf")
        .arg(list)
        .arg("/dev/stdin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    // It may end before it reads, where it cannot read the list; its own words are better than "broken pipe".
    let _ = child.stdin.take().map(|mut input| input.write_all(format!("{}\n", key.line()).as_bytes()));
    let output = child.wait_with_output().map_err(failed)?;
    let said = String::from_utf8_lossy(&output.stdout);
    match (output.status.code(), said.trim_end()) {
        (Some(0), said) if said.ends_with(": ok") => Ok(false),
        (Some(1), said) if said.ends_with(": REVOKED") => Ok(true),
        _ => {
            let words = String::from_utf8_lossy(&output.stderr);
            Err(format!("`ssh-keygen -Qf` says: {}", words.lines().next().unwrap_or("nothing").trim()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::Signer as _;
    use crate::sign::session::SessionKey;

    fn list(text: &str) -> Result<Revoked, BadLine> {
        Revoked::parse(text.as_bytes(), Path::new("/none"), "revoked_keys")
    }

    #[test]
    fn keys_and_fingerprints_are_found_and_a_bad_line_is_an_error() {
        let [a, b, c] = [1, 2, 3].map(|seed| SessionKey::from_seed([seed; 32]));
        let text = format!("# given up\n\n{} alice's old laptop\n{}\n", a.public(), b.fingerprint());
        let revoked = list(&text).unwrap();
        assert_eq!(revoked.find(a.public_key()).unwrap().as_deref(), Some("revoked_keys, line 3"));
        assert_eq!(revoked.find(b.public_key()).unwrap().as_deref(), Some("revoked_keys, line 4"));
        assert_eq!(revoked.find(c.public_key()).unwrap(), None);
        // A key that is cut short, or stands under another name, would revoke nobody, or somebody else.
        let other = a.public().replacen("ssh-ed25519", "ssh-rsa", 1);
        let bad = ["alice@example.com", "SHA256:short", "ssh-ed25519 ?", "ssh-ed25519 AAAA", "foo AAAA", &other];
        for line in bad {
            assert_eq!(list(&format!("\n{line}\n")).unwrap_err().line, 2, "{line}");
        }
        assert!(list("ssh-rsa AAAAB3NzaC1yc2EAAAABAw==\n").is_ok());
        assert!(Revoked::parse(&[0xff, 0xfe], Path::new("/none"), "x").is_err());
    }

    #[test]
    fn a_list_that_cannot_be_asked_is_no_permission() {
        let broken = Revoked::parse(b"SSHKRL\n\0", Path::new("/nowhere/krl"), "krl").unwrap();
        assert!(broken.find(SessionKey::from_seed([1; 32]).public_key()).is_err());
    }
}
