//! The configuration token and its refresh token: a file that nobody else can read, written back whole or not at all.
//!
//! A refresh token is good for one use. So before it is used, the file that will hold its successor exists, has room, and is
//! locked; whoever comes second reads what the first has written. Neither token ever stands in a message.

use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde_json::{Map, Value};

use crate::clock::{Clock, SystemClock};
use crate::file;
use crate::routers::{RouterError, Trouble};
use crate::secret::Secret;

/// Room that is made sure of before a refresh token is used.
const ROOM: usize = 8 * 1024;
/// How long another process may take for its rotation.
const PATIENCE: Duration = Duration::from_secs(30);

/// The tokens as they are now.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub token: Secret,
    pub refresh: Option<Secret>,
    /// Seconds since 1970, where known.
    pub expires: Option<i64>,
    /// Who they belong to, where known.
    pub user: Option<String>,
    pub team: Option<String>,
    /// The rest of the file, which is kept.
    others: Map<String, Value>,
}

impl Tokens {
    /// Reads the file. One that others may read is refused: whoever has the token can send the app's events anywhere.
    pub fn read(path: &Path) -> Result<Tokens, RouterError> {
        let refuse = |what: String| RouterError::new(Trouble::NoCredentials, what).cure(RECIPE);
        let mut text = Vec::new();
        let opened = file::open(path).and_then(|file| {
            let mode = file.metadata()?.mode();
            file::fill(file, file::SHORT, &mut text)?;
            Ok(mode)
        });
        let mode =
            opened.map_err(|e| refuse(format!("the configuration tokens `{}` cannot be read: {e}", path.display())))?;
        if mode & 0o077 != 0 {
            let what =
                format!("the configuration tokens `{}` are open to others (mode {:o})", path.display(), mode & 0o777);
            return Err(RouterError::new(Trouble::NoCredentials, what).cure(format!("chmod 600 {}", path.display())));
        }
        match serde_json::from_slice::<Value>(&text) {
            Ok(Value::Object(fields)) => Tokens::of(fields),
            _ => None,
        }
        .ok_or_else(|| refuse(format!("`{}` is not a file of configuration tokens", path.display())))
    }

    /// The tokens in an answer of Slack, or in the file.
    pub fn of(mut fields: Map<String, Value>) -> Option<Tokens> {
        let mut text = |name: &str| match fields.shift_remove(name) {
            Some(Value::String(text)) if !text.is_empty() => Some(text),
            _ => None,
        };
        let token = text("token").filter(|token| token.starts_with("xoxe"))?;
        let (refresh, user, team) = (text("refresh_token"), text("user_id"), text("team_id"));
        let expires = fields.shift_remove("exp").and_then(|exp| exp.as_i64());
        fields.shift_remove("ok");
        Some(Tokens {
            token: Secret::new(token),
            refresh: refresh.map(Secret::new),
            expires,
            user,
            team,
            others: fields,
        })
    }

    /// How long the token still lives.
    pub fn left(&self) -> Option<Duration> {
        let seconds = self.expires? - SystemClock.now().as_second();
        Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }

    fn text(&self) -> String {
        let mut fields = Map::new();
        fields.insert("token".into(), self.token.expose().into());
        let named = [
            ("refresh_token", self.refresh.as_ref().map(Secret::expose)),
            ("user_id", self.user.as_deref()),
            ("team_id", self.team.as_deref()),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                fields.insert(name.into(), value.into());
            }
        }
        if let Some(expires) = self.expires {
            fields.insert("exp".into(), expires.into());
        }
        fields.extend(self.others.clone());
        format!("{:#}\n", Value::Object(fields))
    }
}

const RECIPE: &str = "make a pair at https://api.slack.com/apps (\"Your App Configuration Tokens\") and write it to the file, \
                      0600: {\"token\": \"xoxe.xoxp-…\", \"refresh_token\": \"xoxe-1-…\"}";

/// Everything that is needed to keep a new pair, held before the old one is given away.
pub struct Place {
    path: PathBuf,
    spare: PathBuf,
    file: File,
    _lock: File,
}

impl Place {
    /// Locks the file against other processes and makes room beside it.
    pub async fn prepare(path: &Path) -> Result<Place, RouterError> {
        let refuse = |e: std::io::Error| {
            let what = format!("no new configuration token could be kept beside `{}`: {e}", path.display());
            RouterError::new(Trouble::NoCredentials, what)
                .cure("make that folder writable: a refresh token is good for one use")
        };
        let beside = |end: &str| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            path.with_file_name(format!(".{name}.{end}"))
        };
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(beside("lock")).map_err(refuse)?;
        let begun = SystemClock.elapsed();
        while let Err(error) = flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            if SystemClock.elapsed().saturating_sub(begun) > PATIENCE {
                return Err(refuse(error.into()));
            }
            SystemClock.sleep(Duration::from_millis(100)).await;
        }
        // Under the lock a file of that name is what a killed process left.
        let spare = beside("new");
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&spare).map_err(refuse)?;
        file.write_all(&[b' '; ROOM]).and_then(|()| file.sync_all()).map_err(refuse)?;
        Ok(Place { path: path.into(), spare, file, _lock: lock })
    }

    /// Puts the new pair in the place of the old one.
    pub fn keep(mut self, tokens: &Tokens) -> std::io::Result<()> {
        let text = tokens.text();
        self.file.rewind()?;
        self.file.write_all(text.as_bytes())?;
        self.file.set_len(text.len() as u64)?;
        self.file.sync_all()?;
        std::fs::rename(&self.spare, &self.path)?;
        match self.path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // After `keep` there is none; otherwise it holds nothing.
        let _ = std::fs::remove_file(&self.spare);
    }
}
