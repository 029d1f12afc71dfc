//! The secrets this process knows, shared by everything that writes to its streams: the last gate, behind the masking of
//! each record and message, and the only one a crash message passes.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, RwLock};

use super::lines::Lines;
use super::names::{held, unusual};
use super::screen::{Steers, screened};
use super::{Reading, Secret, Secrets, find};

/// A clone knows the same secrets.
#[derive(Clone, Debug, Default)]
pub struct Known(Arc<RwLock<Secrets>>);

impl Known {
    /// Takes up the credentials that stand in an environment, whether or not a runbook refers to them: programs inherit them. A
    /// variable is one by its name, or by what its value looks like: of a URL only the password is.
    pub fn of_environment(&self, env: &BTreeMap<String, String>) {
        let mut found = BTreeMap::new();
        for (name, value) in env {
            let reference = format!("${{env:{name}}}");
            if held(name, value) {
                found.insert(reference, Secret::new(value.as_str()));
                continue;
            }
            let looks =
                find(value, Reading::Prose).into_iter().map(|look| &value[look.span]).filter(|look| unusual(look));
            found.extend(looks.enumerate().map(|(n, look)| (format!("{reference}#{n}"), Secret::new(look))));
        }
        self.add(&Secrets::new(found));
    }

    /// Takes up the values of the references in a text, as far as the environment has them: for what is shown of a runbook
    /// before its secrets are looked up in earnest.
    pub fn of_references(&self, text: &str, env: &BTreeMap<String, String>) {
        let found = text.split("${env:").skip(1).filter_map(|rest| {
            let name = rest.split('}').next()?;
            Some((format!("${{env:{name}}}"), Secret::new(env.get(name)?.as_str())))
        });
        self.add(&Secrets::new(found.collect()));
    }

    pub fn add(&self, secrets: &Secrets) {
        if !secrets.is_empty() {
            let mut known = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            *known = std::mem::take(&mut *known).with(secrets);
        }
    }

    /// All of them, as they are now.
    pub fn secrets(&self) -> Secrets {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The text without what is known. A thread that dies while it adds secrets must not wait for itself: then nothing of the
    /// text is shown.
    pub fn mask(&self, text: &str) -> String {
        match self.0.try_read() {
            Ok(known) => known.mask(text),
            Err(_) => "(not shown: it cannot be masked now)".into(),
        }
    }

    /// A writer that lets no secret through, none that is known and nothing that looks like one, and nothing that steers a
    /// terminal but what it is opened for.
    pub fn masked<W: Write>(&self, out: W, steers: Steers) -> Masked<W> {
        Masked { known: self.clone(), out, steers, line: Vec::new(), lines: Lines::default() }
    }
}

/// Masks line by line. What has no line end yet is handed on when it is flushed.
pub struct Masked<W: Write> {
    known: Known,
    out: W,
    steers: Steers,
    line: Vec<u8>,
    lines: Lines,
}

impl<W: Write> Masked<W> {
    fn hand_on(&mut self, bytes: usize) -> io::Result<()> {
        let rest = self.line.split_off(bytes);
        let text = std::mem::replace(&mut self.line, rest);
        let known = self.known.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let text = known.mask.bytes(&text);
        let mut out = String::with_capacity(text.len());
        for line in text.split_inclusive(|b| *b == b'\n') {
            let (line, end) = line.strip_suffix(b"\n").map_or((line, ""), |line| (line, "\n"));
            out.push_str(&self.lines.masked(&known.mask, &String::from_utf8_lossy(line)));
            out.push_str(end);
        }
        self.out.write_all(screened(&out, self.steers).as_bytes())
    }
}

impl<W: Write> Write for Masked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let before = self.line.len();
        self.line.extend_from_slice(bytes);
        // What waits has no line end in it, and may be long: a document in one line comes in a hundred thousand pieces.
        if let Some(end) = bytes.iter().rposition(|b| *b == b'\n') {
            self.hand_on(before + end + 1)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hand_on(self.line.len())?;
        self.out.flush()
    }
}

impl<W: Write> Drop for Masked<W> {
    fn drop(&mut self) {
        // A reader who went away is nobody's business here.
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_learned_later_is_masked_too_and_written_in_any_pieces() {
        let known = Known::default();
        let mut out = known.masked(Vec::new(), Steers::default());
        known.of_environment(
            &[
                ("GITHUB_TOKEN", "0123456789abcdef"),
                ("TOKEN", "short"),
                ("TOKENS", "0123456789abcdeg"),
                ("db_password", "hunter2"),
                ("DATABASE_URL", "postgres://bot:pw-in-url@db/x"),
            ]
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .into(),
        );
        for piece in ["a 01234", "56789ab", "cdef short 0123456789abcdeg\nrest hunter2 pw-in-url xoxb-0123456789-01"] {
            out.write_all(piece.as_bytes()).unwrap();
        }
        out.flush().unwrap();
        let said = String::from_utf8(out.out.clone()).unwrap();
        assert_eq!(said, "a [secret] short 0123456789abcdeg\nrest [secret] [secret] [secret]");
    }
}
