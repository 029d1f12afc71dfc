//! A security key whose handle lies in a file: `ssh-keygen -Y sign` talks to it. No library of ours does, and it is the
//! program that also asks for the PIN, at the terminal.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::{PublicKey, SignError, sshsig};

/// The program.
pub(super) const PROGRAM: &str = "ssh-keygen";
/// How long a PIN and a touch may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Signs with the security key that the file is the handle of.
pub(super) fn sign(
    program: &str,
    file: &Path,
    key: &PublicKey,
    namespace: &str,
    message: &[u8],
    patience: Duration,
) -> Result<String, SignError> {
    let failed = |why: String| SignError::SecurityKey { path: file.display().to_string(), why };
    let mut child = Command::new(program)
        .args(["-Y", "sign", "-n", namespace, "-f"])
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("`{program}` cannot be started: {error}")))?;
    let (mut input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (answer, answered) = mpsc::channel();
    let message_copy = message.to_vec();
    // On a thread of its own, because a key that nobody touches keeps the program, and its pipes, for as long as it likes.
    std::thread::spawn(move || {
        // What the program did not read, it says in its own words below.
        let _ = input.as_mut().map(|input| input.write_all(&message_copy));
        drop(input);
        let mut texts = [String::new(), String::new()];
        let _ = output.map(|mut output| output.read_to_string(&mut texts[0]));
        let _ = errors.map(|mut errors| errors.read_to_string(&mut texts[1]));
        let _ = answer.send(texts);
    });
    let Ok([text, words]) = answered.recv_timeout(patience) else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(failed(format!("nobody touched it within {} s", patience.as_secs())));
    };
    let ended = child.wait().map_err(|error| failed(error.to_string()))?;
    if !ended.success() {
        let words = words.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
        return Err(failed(format!("`{program}` says: {}", words.trim())));
    }
    match sshsig::verify(namespace, message, &text) {
        Ok(by) if by == *key => Ok(text),
        Ok(by) => Err(failed(format!("{} signed instead", by.fingerprint()))),
        Err(error) => Err(failed(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;
    use crate::sign::session::SessionKey;
    use crate::sign::{Signer as _, namespace};

    /// A program in the place of ssh-keygen: no security key is at hand where tests run.
    fn stand_in(dir: &Path, name: &str, script: &str) -> String {
        let path: PathBuf = dir.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    #[test]
    fn the_program_is_called_as_openssh_has_it_and_its_answer_is_checked() {
        let dir = tempfile::tempdir().unwrap();
        let (key, other) = (SessionKey::from_seed([1; 32]), SessionKey::from_seed([2; 32]));
        let file = dir.path().join("id");
        for (name, by) in [("good", &key), ("other", &other)] {
            fs::write(dir.path().join(name), by.sign(namespace::APPROVE, b"request").unwrap()).unwrap();
        }
        let answer = |name: &str| {
            format!("printf '%s\\n' \"$@\" > $0.args; cat > $0.stdin; cat {}/{name}", dir.path().display())
        };
        let ask = |program: &str, patience| {
            sign(program, &file, key.public_key(), namespace::APPROVE, b"request", Duration::from_millis(patience))
        };
        let good = stand_in(dir.path(), "sign", &answer("good"));
        assert!(ask(&good, 60_000).is_ok());
        let args = fs::read_to_string(format!("{good}.args")).unwrap();
        assert_eq!(args, format!("-Y\nsign\n-n\n{}\n-f\n{}\n", namespace::APPROVE, file.display()));
        assert_eq!(fs::read(format!("{good}.stdin")).unwrap(), b"request");

        let wrong = stand_in(dir.path(), "wrong", &answer("other"));
        let refuses = stand_in(
            dir.path(),
            "refuses",
            "echo 'Signing data on standard input' >&2; echo 'device not found' >&2; exit 255",
        );
        let hangs = stand_in(dir.path(), "hangs", "exec tail -f /dev/null");
        for (program, patience, words) in [
            (wrong.as_str(), 60_000, "signed instead"),
            (&refuses, 60_000, "says: device not found"),
            (&hangs, 50, "nobody touched it"),
            ("/nowhere/ssh-keygen", 50, "cannot be started"),
        ] {
            let error = ask(program, patience).unwrap_err().to_string();
            assert!(error.contains(words), "{program}: {error}");
        }
    }
}
