//! The rules a run was opened under, as files: their digests stand in the owner's opening statement, and they are looked at
//! again at each step boundary.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::{Context, policy, trust};
use crate::drive;
use crate::plan;

/// Where a team keeps the keys that count no more, in the repository.
const REVOKED: &str = ".bgctl/revoked_keys";

/// The files of the rules, each with its digest at the opening.
pub struct Standing {
    files: Vec<Watched>,
}

struct Watched {
    /// The member of the opening statement.
    member: &'static str,
    what: &'static str,
    path: PathBuf,
    name: String,
    /// SHA-256 in hex; none where there was no file.
    sha256: Option<String>,
}

impl Standing {
    /// Takes the digests of the files that hold for a run begun or resumed now.
    pub fn new(cx: &Context, signers: Option<&PathBuf>, policy: &policy::PolicyArgs) -> Self {
        let signers = trust::approvers_file(cx, signers);
        let (trust, name) = signers.unwrap_or_else(|| (cx.cwd.join(trust::TEAM), trust::TEAM.into()));
        let (rules, rules_name) = policy.place(cx);
        let files = [
            ("trust_sha256", "the allowed signers", trust, name),
            ("revoked_sha256", "the revoked keys", cx.cwd.join(REVOKED), REVOKED.into()),
            ("policy_sha256", "the policy", rules, rules_name),
        ];
        let files = files.map(|(member, what, path, name)| {
            let sha256 = digest(&path);
            Watched { member, what, path, name, sha256 }
        });
        Standing { files: files.into() }
    }

    /// What the owner's statement binds.
    pub fn bound(&self) -> Map<String, Value> {
        let member = |file: &Watched| Some((file.member.to_string(), json!(file.sha256.as_ref()?)));
        self.files.iter().filter_map(member).collect()
    }
}

impl drive::Standing for Standing {
    fn changed(&self) -> Option<String> {
        self.files.iter().find_map(|file| {
            let Watched { what, name, .. } = file;
            match (&file.sha256, digest(&file.path)) {
                (then, now) if *then == now => None,
                (None, _) => Some(format!("{what} appeared during the run ({name})")),
                (_, None) => Some(format!("{what} went away during the run ({name})")),
                _ => Some(format!("{what} changed during the run ({name})")),
            }
        })
    }
}

/// A file that cannot be read is as good as none: the rules in it cannot be known.
fn digest(path: &std::path::Path) -> Option<String> {
    std::fs::read(path).ok().map(|bytes| plan::sha256(&bytes))
}
