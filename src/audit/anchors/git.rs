//! `git`: a note on the current commit, or an annotated tag. Worth something once the ref is where others have it too:
//! bgctl pushes nothing.

use std::path::Path;
use std::rc::Rc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Anchor, AnchorError, Kept, Kind, Reach, typed};
use crate::journal::heads::Head;
use crate::rehearsal::InLab;
use crate::world::Exit;

const NOTES: &str = "refs/notes/";
const TAGS: &str = "refs/tags/";

pub const KIND: Kind = Kind {
    name: "git",
    page: super::PAGE,
    schema: |generator| generator.subschema_for::<Settings>(),
    whole: |settings| {
        let whole = super::whole::<Settings>(settings)?;
        let reference = whole["ref"].as_str().unwrap_or_default();
        match [NOTES, TAGS].iter().any(|below| reference.strip_prefix(below).is_some_and(|name| !name.is_empty())) {
            true => Ok(whole),
            false => Err(format!(
                "`{reference}` is no place for heads: name a ref below `{NOTES}` or `{TAGS}`, such as refs/notes/bgctl"
            )),
        }
    },
    named: |reference, _| match reference {
        "" => Err("a ref, such as refs/notes/bgctl".into()),
        _ => Ok(json!({ "repository": ".", "ref": reference })),
    },
    alone: false,
    place: |settings| format!("git:{}", settings["ref"].as_str().unwrap_or_default()),
    lab: InLab::LeftOut,
    open: |settings, reach| {
        let Settings { repository, reference } = typed(settings);
        Box::new(GitAnchor { repository, reference, reach })
    },
};

/// A note in a git repository.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "GitAnchor")]
struct Settings {
    /// The repository, as `git -C` takes it: `.`.
    #[schemars(length(min = 1))]
    repository: String,
    /// Where the notes are kept: `refs/notes/bgctl`.
    #[serde(rename = "ref")]
    #[schemars(length(min = 1))]
    reference: String,
}

struct GitAnchor {
    repository: String,
    reference: String,
    reach: Rc<Reach>,
}

impl GitAnchor {
    /// What git says, or why it does not; `silent` is the exit code that means "nothing found".
    async fn git(&self, arguments: &[&str], silent: Option<i32>) -> Result<Vec<String>, AnchorError> {
        // The owner's identity is in the log; the machine's git settings must not decide whether this works.
        let fixed = ["-c", "user.name=bgctl", "-c", "user.email=bgctl@localhost", "-c", "tag.gpgSign=false"];
        let mut argv = vec!["git".to_string(), "-C".into(), self.repository.clone()];
        argv.extend(fixed.iter().chain(arguments).map(|word| word.to_string()));
        let directory = Some(self.reach.folder.display().to_string());
        let ran = self.reach.run(argv, directory).await;
        let (exit, out, error) = ran.map_err(|e| AnchorError(format!("git cannot be run: {e}")))?;
        match exit {
            Exit::Status(0) => Ok(out),
            Exit::Status(code) if Some(code) == silent => Ok(Vec::new()),
            Exit::TimedOut => Err(AnchorError("git did not end in time".into())),
            Exit::Status(_) | Exit::Signal(_) => {
                let error = error.last().map_or("no reason given", String::as_str);
                Err(AnchorError(format!("git {}: {error}", arguments[0])))
            }
        }
    }

    fn tag(&self, run: &str, what: &str) -> String {
        format!("{}/{run}-{what}", self.reference.trim_end_matches('/'))
    }

    fn refused(&self) -> AnchorError {
        AnchorError(format!("`{}` must begin with {NOTES} or {TAGS}", self.reference))
    }
}

#[async_trait(?Send)]
impl Anchor for GitAnchor {
    fn kind(&self) -> &'static str {
        "git"
    }

    fn place(&self) -> String {
        format!("git:{} in {}", self.reference, self.repository)
    }

    async fn keep(&self, head: &Head, _: &Path) -> Result<Kept, AnchorError> {
        let text = head.text();
        let reference = if self.reference.starts_with(NOTES) {
            let reference = format!("--ref={}", self.reference);
            self.git(&["notes", &reference, "append", "-m", &text, "HEAD"], None).await?;
            self.reference.clone()
        } else if self.reference.starts_with(TAGS) {
            let run = head.log.origin.rsplit('/').next().unwrap_or_default();
            let reference = self.tag(run, &head.log.lines.to_string());
            let name = &reference[TAGS.len()..];
            self.git(&["tag", "--annotate", "--message", &text, name, "HEAD"], None).await?;
            reference
        } else {
            return Err(self.refused());
        };
        let id = self.git(&["rev-parse", "--verify", &reference], None).await?;
        let id = id.first().cloned().unwrap_or_default();
        let short: String = id.chars().take(12).collect();
        let line = format!("{reference} is {short}; until it is pushed, only this repository has it");
        Ok(Kept { receipt: id, line, warning: None })
    }

    async fn heads(&self, origin: &str, _: Option<&Path>) -> Result<Vec<Head>, AnchorError> {
        if self.reference.starts_with(NOTES) {
            self.git(&["rev-parse", "--verify", "--quiet", &self.reference], None)
                .await
                .map_err(|_| AnchorError(format!("`{}` has no {}", self.repository, self.reference)))?;
            // Every addition there ever was, so that a note that was taken away again still speaks.
            let search = format!("-S{origin}");
            let log = ["log", "--format=", "--patch", "--unified=0", "--no-color", "--no-ext-diff", "--no-textconv"];
            let patch = self.git(&[&log[..], &[&search, &self.reference, "--"]].concat(), None).await?;
            let added: Vec<&str> = patch.iter().filter_map(|line| line.strip_prefix('+')).collect();
            return Ok(Head::all(&(added.join("\n") + "\n")));
        }
        if self.reference.starts_with(TAGS) {
            let run = origin.rsplit('/').next().unwrap_or_default();
            let every = format!("{}/*", self.reference.trim_end_matches('/'));
            let pattern = if run.is_empty() { every } else { self.tag(run, "*") };
            let texts = self.git(&["for-each-ref", "--format=%(contents)", &pattern], None).await?;
            return Ok(Head::all(&(texts.join("\n") + "\n")));
        }
        Err(self.refused())
    }
}
