//! The statement that opens or resumes a run: who the owner is, which session key may seal, for how long, and which plan.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::owner::{OwnerKey, OwnerSignature, Proof};
use super::{Head, Scan};
use crate::journal::fault::{Fault, What};
use crate::journal::json::{self, word};
use crate::journal::line::{Raw, instant, is_digest};
use crate::sign::{PublicKey, namespace};

/// The longest a session key may live.
const SESSION: SignedDuration = SignedDuration::from_hours(12);

/// The session that writes, as its owner's statement has it.
#[derive(Clone)]
pub(super) struct Session {
    pub owner: String,
    pub key: OwnerKey,
    pub session: PublicKey,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub assurance: String,
    /// When its first record was written, for the check against `mono`.
    pub opened: Timestamp,
    pub jumped: bool,
}

impl Scan<'_> {
    pub(super) fn statement(&mut self, line: &Raw<'_>) -> Result<(), Fault> {
        let session = self.read_statement(line).map_err(|why| self.fault(What::Statement(why)))?;
        // The seals of the session before are checked before its key is forgotten.
        self.finish()?;
        self.session = Some(session);
        Ok(())
    }

    fn read_statement(&mut self, line: &Raw<'_>) -> Result<Session, String> {
        let resumes = line.kind == "run.resumed";
        let data = line.data();
        let data = members(&data, &[&["statement", "ns", "sig", "claims"], &["statement", "ns", "mac", "claims"]])?;
        if !data["claims"].is_object() {
            return Err("its claims are not an object".into());
        }
        let text = word(data, "statement")?;
        if word(data, "ns")? != namespace::OPEN {
            return Err(format!("it is not for `{}`", namespace::OPEN));
        }
        let Ok(Value::Object(said)) = json::parse(text) else {
            return Err("it is not an object of this format".into());
        };
        let wanted = if resumes { "bgctl/resuming/v1" } else { "bgctl/opening/v1" };
        if word(&said, "_type")? != wanted {
            return Err(format!("it is no `{wanted}`"));
        }
        if word(&said, "run")? != line.run.as_ref() {
            return Err("it is for another run".into());
        }
        let head = Head {
            run: line.run.to_string(),
            service: word(&said, "service")?.into(),
            environment: word(&said, "environment")?.into(),
            plan_sha256: word(&said, "plan_sha256")?.into(),
        };
        if !is_digest(&head.plan_sha256) {
            return Err("`plan_sha256` is no digest".into());
        }
        match &self.head {
            Some(first) if first.service != head.service || first.environment != head.environment => {
                return Err("it is for another service or environment than the opening".into());
            }
            Some(first) if first.plan_sha256 != head.plan_sha256 => return Err("it is for another plan".into()),
            _ => {}
        }
        let goes_on = || {
            let lines = said.get("log_lines").and_then(Value::as_u64) == Some(self.at);
            Ok::<_, String>(lines && self.is_prefix(word(&said, "log_sha256")?))
        };
        if resumes && !goes_on()? {
            return Err("it goes on from another log than the one before it".into());
        }
        let moment = |name: &str| instant(word(&said, name)?).ok_or_else(|| format!("`{name}` is no time"));
        let (not_before, not_after) = (moment("not_before")?, moment("not_after")?);
        if not_after < not_before || not_after.duration_since(not_before) > SESSION {
            return Err("its session is longer than 12 hours".into());
        }
        // What reads keys from a file takes a second line for a second key.
        let key = |name: &str| match word(&said, name)? {
            key if key.contains(char::is_control) => Err(format!("`{name}` is more than one line")),
            key => Ok(key),
        };
        let session = PublicKey::from_line(key("session_key")?).map_err(|e| e.to_string())?;
        let owner_key = key("owner_key")?;
        let assurance = word(&said, "assurance")?.to_string();
        let owner = word(&said, "owner")?.to_string();
        let key = match owner_key.strip_prefix("hmac-sha256 ") {
            Some(id) => OwnerKey::Shared(id.into()),
            None => OwnerKey::Ssh(PublicKey::from_line(owner_key).map_err(|e| e.to_string())?),
        };
        let (checked, touch) = self.check_owner(&key, &Proof::of(data)?, namespace::OPEN, text)?;
        let time = line.time;
        let namespace = namespace::OPEN;
        let (by, label) = (owner.clone(), assurance.clone());
        self.owners.push(OwnerSignature {
            owner: by,
            key: key.clone(),
            namespace,
            time,
            assurance: label,
            touch,
            checked,
        });
        if self.head.is_none() {
            self.head = Some(head);
        }
        Ok(Session { owner, key, session, not_before, not_after, assurance, opened: line.time, jumped: false })
    }
}

fn members<'v>(data: &'v Value, allowed: &[&[&str]]) -> Result<&'v Map<String, Value>, String> {
    let Value::Object(map) = data else { return Err("its data are not an object".into()) };
    let fits = allowed.iter().any(|names| map.keys().map(String::as_str).eq(names.iter().copied()));
    if fits { Ok(map) } else { Err(format!("its members are not {}", allowed[0].join(" "))) }
}
