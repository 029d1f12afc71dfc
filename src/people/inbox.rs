//! Signed approvals in a folder: the exact request goes in, signatures come back beside it. An approver needs nothing but
//! `ssh-keygen`; how the files travel needs no trust.
//!
//! What counts is judged here for the run; the verifier judges it again from the log alone, with code of its own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use jiff::Timestamp;

use super::files::Files;
use super::signer::{Barred, Part, Signed, Signer, Verify};
use super::{Approve, Decision, difference};
use crate::file;
use crate::run::Grant;
use crate::sign::namespace::{APPROVE, DENY};

/// Signatures that do not fit whose reason is kept: a folder that anybody may write to brings any number of them in a night.
const MOST_EXPLAINED: usize = 256;

/// Requests that are known here beside the one asked, each with the name of where it is from.
pub type Known = dyn Fn() -> Vec<(String, String)>;

/// What lies in the folder for a request.
#[derive(Debug, PartialEq)]
pub enum Found {
    Decision(Decision),
    /// Nothing that counts, and why not.
    Nothing(Vec<String>),
}

/// The folder of approvals.
#[derive(Clone)]
pub struct Inbox {
    files: Files,
    verify: Rc<Verify>,
    known: Rc<Known>,
    barred: Vec<Barred>,
    /// What signatures that do not fit turned out to be made for, by the digest of request and signature: looking through all runs once is enough.
    explained: Rc<RefCell<BTreeMap<String, Option<String>>>>,
}

impl Inbox {
    pub fn new(folder: PathBuf, verify: Rc<Verify>, barred: Vec<Barred>) -> Self {
        Inbox { files: Files::new(folder), verify, known: Rc::new(Vec::new), barred, explained: Rc::default() }
    }

    /// With requests of other runs at hand, it can be said what a signature that does not fit was made for.
    pub fn knowing(self, known: Rc<Known>) -> Self {
        Inbox { known, ..self }
    }

    /// Looks into the run's own folder too.
    pub fn also(self, folder: PathBuf) -> Self {
        Inbox { files: self.files.also(folder), ..self }
    }

    pub fn folder(&self) -> &Path {
        self.files.folder()
    }

    /// The file of a step's request.
    pub fn request_file(&self, id: &str) -> PathBuf {
        self.files.request(id)
    }

    /// Writes the exact bytes to be signed.
    pub fn publish(&self, ask: &Approve<'_>) -> std::io::Result<PathBuf> {
        self.files.publish(ask.id, ask.request)
    }

    /// Looks for one more approval, a refusal, or an approval taken back. A refusal counts before any approval.
    pub fn look(&self, ask: &Approve<'_>, now: Timestamp) -> Found {
        let (mut refused, mut granted, mut remarks) = (None, None, Vec::new());
        for file in self.files.signatures(ask.id) {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let signature = match file::text(&file, file::SHORT) {
                Ok(signature) => signature,
                Err(why) => {
                    remarks.push(format!("{name} cannot be read: {why}"));
                    continue;
                }
            };
            match self.judge(ask, &signature, now) {
                Ok(None) => {}
                Ok(Some(decision @ Decision::Granted(_))) => granted = granted.or(Some(decision)),
                Ok(Some(decision)) => refused = refused.or(Some(decision)),
                Err(why) => remarks.push(format!("{name}: {why}")),
            }
        }
        refused.or(granted).map_or(Found::Nothing(remarks), Found::Decision)
    }

    /// What a signature means for a request: an agreement, a refusal, an agreement taken back, nothing new (`None`), or
    /// nothing, and why.
    pub fn judge(&self, ask: &Approve<'_>, signature: &str, now: Timestamp) -> Result<Option<Decision>, String> {
        let among = ask.team.principals(&ask.rule.members);
        let check = |namespace, message: &str| {
            (self.verify)(&Signed { namespace, message: message.as_bytes(), signature, among: &among, at: now })
        };
        let (signer, denied) = match (check(APPROVE, ask.request), check(DENY, ask.request)) {
            (Ok(signer), _) => (signer, false),
            (_, Ok(signer)) => (signer, true),
            (Err(why), _) => {
                let mut explained = self.explained.borrow_mut();
                if explained.len() >= MOST_EXPLAINED {
                    explained.clear();
                }
                let of = crate::plan::sha256(format!("{}{signature}", ask.request_sha256).as_bytes());
                let words = explained.entry(of).or_insert_with(|| {
                    let mut others = self.others(ask).into_iter();
                    let made_for = others.find(|(_, text)| check(APPROVE, text).or_else(|_| check(DENY, text)).is_ok());
                    made_for.map(|(at, text)| difference::words(&at, &text, ask.request))
                });
                return Err(words.clone().unwrap_or(why));
            }
        };
        let who = &signer.principal;
        let Some(person) = ask.team.person(who) else {
            return Err(format!("{who} is not a person of the policy, so holds no role"));
        };
        if !ask.rule.members.iter().any(|member| member == person) {
            return Err(format!("{who} does not hold the role {}", ask.rule.role));
        }
        if !ask.team.is_human(person) {
            return Err(format!("{who} is a bot, and bots cannot approve"));
        }
        let given = ask.grants.iter().find(|grant| ask.team.person(&grant.principal) == Some(person));
        let grant = grant(&signer, signature);
        if denied {
            return Ok(Some(match given {
                Some(given) => Decision::Withdrawn {
                    principal: given.principal.clone(),
                    why: "taken back before it was used".into(),
                    grant: Some(grant),
                },
                None if ask.void.iter().any(|void| ask.team.person(void) == Some(person)) => return Ok(None),
                None => Decision::Denied(grant),
            }));
        }
        if given.is_some() {
            return Ok(None);
        }
        if let Some(barred) = self.barred(ask, who, Some(&signer.key), person) {
            return Err(format!("{who} {} and cannot approve it", barred.part.words()));
        }
        if now.as_second() > ask.expires {
            let expired = Timestamp::from_second(ask.expires).map_or(String::new(), |t| format!(" at {t}"));
            return Err(format!("the request expired{expired}, before {who}'s approval came"));
        }
        if signer.evidence < ask.rule.evidence {
            let (is, least) = (signer.evidence.name(), ask.rule.evidence.name());
            return Err(format!("{who} approved by `{is}`, and the role {} takes `{least}` or better", ask.rule.role));
        }
        if ask.void.iter().any(|void| ask.team.person(void) == Some(person)) {
            return Err(format!("{who} took the approval back, and it counts no more for this request"));
        }
        if ask.grants.iter().any(|given| given.key.as_ref() == Some(&signer.key)) {
            return Err(format!("key {} counted already", signer.key));
        }
        Ok(Some(Decision::Granted(grant)))
    }

    /// Before an approval is used: whether one that counted counts no more, because it was taken back, its key is not valid
    /// any longer, or whoever gave it runs the cutover by now.
    pub fn recheck(&self, ask: &Approve<'_>, now: Timestamp) -> Option<Decision> {
        if let Found::Decision(decision @ (Decision::Withdrawn { .. } | Decision::Denied(_))) = self.look(ask, now) {
            return Some(decision);
        }
        ask.grants.iter().find_map(|given| {
            let why = self.against(ask, given, now)?;
            Some(Decision::Withdrawn { principal: given.principal.clone(), why, grant: None })
        })
    }

    /// Why an agreement that was given would not be taken now.
    fn against(&self, ask: &Approve<'_>, given: &Grant, now: Timestamp) -> Option<String> {
        let who = &given.principal;
        let person = ask.team.person(who).unwrap_or(who);
        if let Some(barred) = self.barred(ask, who, given.key.as_deref(), person) {
            return Some(format!("{who} {} and cannot approve it", barred.part.words()));
        }
        let (signature, among) = (given.sig.as_deref()?, &[who.as_str()][..]);
        let message = ask.request.as_bytes();
        match (self.verify)(&Signed { namespace: APPROVE, message, signature, among, at: now }) {
            Ok(signer) if signer.principal == *who => None,
            Ok(signer) => Some(format!("its key is {}'s now", signer.principal)),
            Err(why) => Some(why),
        }
    }

    /// Whose run it is cannot also be who agrees to it, under whatever name or key.
    fn barred(&self, ask: &Approve<'_>, who: &str, key: Option<&str>, person: &str) -> Option<&Barred> {
        self.barred.iter().filter(|_| !ask.rule.own_run).find(|barred| {
            let same = match barred.part {
                Part::Started => ask.team.starter(&barred.name) == Some(person),
                Part::Runs | Part::Resumed => ask.team.person(&barred.name) == Some(person),
            };
            same || barred.name == who || key.is_some() && barred.key.as_deref() == key
        })
    }

    /// Texts that a signature may have been made over instead: whatever lies in the folder, and the requests of other runs.
    fn others(&self, ask: &Approve<'_>) -> Vec<(String, String)> {
        let mut texts = self.files.texts();
        texts.extend((self.known)());
        texts.retain(|(_, text)| text != ask.request);
        texts
    }
}

fn grant(signer: &Signer, signature: &str) -> Grant {
    Grant {
        principal: signer.principal.clone(),
        evidence: signer.evidence.name().into(),
        key: Some(signer.key.clone()),
        sig: Some(signature.to_string()),
        prompt: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{ApprovalRule, AtExpiry, Lane, StepRef, Team};

    fn rule(quorum: u32, own_run: bool) -> ApprovalRule {
        ApprovalRule {
            role: "release-managers".into(),
            members: ["one@example.com", "two@example.com", "me@example.com"].map(String::from).into(),
            quorum,
            own_run,
            within_s: 60,
            at_expiry: AtExpiry::RollBack,
            evidence: Default::default(),
            covers_rollback: false,
            even_by_hand: false,
        }
    }

    static TEAM: std::sync::LazyLock<Team> = std::sync::LazyLock::new(Team::default);

    fn ask<'a>(rule: &'a ApprovalRule, grants: &'a [Grant]) -> Approve<'a> {
        Approve {
            step: StepRef { lane: Lane::Forward, index: 0 },
            id: "shift-100",
            line: "shift web to BLUE 0 GREEN 100",
            rule,
            request: r#"{"step":"shift-100"}"#,
            request_sha256: "",
            expires: i64::MAX,
            word: "100".into(),
            users: String::new(),
            evidence: Vec::new(),
            way_back: String::new(),
            grants,
            void: &[],
            waits: false,
            team: &TEAM,
        }
    }

    /// A folder with keys of a few people, signed by the real `ssh-keygen`.
    struct Desk(tempfile::TempDir);

    impl Desk {
        fn keygen(&self, words: &[&str]) -> bool {
            let run = std::process::Command::new("ssh-keygen").args(words).current_dir(self.0.path()).output();
            run.is_ok_and(|output| output.status.success())
        }

        fn sign(&self, key: &str, namespace: &str, name: &str) {
            // Signed on another desk, where no signature of somebody else lies in the way.
            let (request, copy) = (self.0.path().join("shift-100.request.json"), self.0.path().join("copy.json"));
            std::fs::copy(&request, &copy).unwrap();
            assert!(self.keygen(&["-Y", "sign", "-n", namespace, "-f", key, copy.to_str().unwrap()]));
            std::fs::rename(copy.with_extension("json.sig"), request.with_file_name(name)).unwrap();
        }

        fn trust(&self, who: &[(&str, &str)]) -> Inbox {
            let mut text = String::new();
            for (principal, key) in who {
                let public = std::fs::read_to_string(self.0.path().join(format!("{key}.pub"))).unwrap();
                text += &format!("{principal} {public}");
            }
            let verify = crate::people::trusting(crate::sign::AllowedSigners::parse(&text).unwrap());
            let me = Barred { name: "me@example.com".into(), key: None, part: Part::Runs };
            Inbox::new(self.0.path().to_path_buf(), verify, vec![me])
        }
    }

    fn now() -> Timestamp {
        "2026-11-20T03:00:00Z".parse().unwrap()
    }

    fn who(found: &Found) -> String {
        match found {
            Found::Decision(Decision::Granted(grant)) => format!("granted {}", grant.principal),
            Found::Decision(Decision::Denied(grant)) => format!("denied {}", grant.principal),
            Found::Decision(Decision::Withdrawn { principal, why, .. }) => format!("withdrawn {principal} {why}"),
            Found::Nothing(remarks) => remarks.join(" / "),
        }
    }

    /// Whoever can write to the folder can change a file there all night: one signature of 64 KiB after the other.
    #[test]
    fn what_is_remembered_of_signatures_that_do_not_fit_has_an_end() {
        let (rule, folder) = (rule(1, false), tempfile::tempdir().unwrap());
        let inbox = Inbox::new(folder.path().into(), super::super::trusting(Default::default()), Vec::new());
        for n in 0..1000 {
            assert!(inbox.judge(&ask(&rule, &[]), &format!("{n}{}", "x".repeat(1000)), now()).is_err());
        }
        let kept: usize = inbox.explained.borrow().keys().map(String::len).sum();
        assert!(kept < 32 * 1024, "{kept}");
    }

    #[test]
    fn signatures_count_once_for_the_right_people_and_bytes() {
        let desk = Desk(tempfile::tempdir().unwrap());
        for key in ["one", "two", "me", "stranger"] {
            assert!(desk.keygen(&["-q", "-t", "ed25519", "-N", "", "-C", key, "-f", key]), "ssh-keygen is needed");
        }
        let people =
            [("one@example.com", "one"), ("two@example.com", "two"), ("me@example.com", "me"), ("x@y", "stranger")];
        let inbox = desk.trust(&people[..3]);
        let (one_of, two_of) = (rule(1, false), rule(2, false));
        let sig = "shift-100.request.json.sig";
        inbox.publish(&ask(&one_of, &[])).unwrap();
        assert_eq!(inbox.look(&ask(&one_of, &[]), now()), Found::Nothing(vec![]));

        desk.sign("one", APPROVE, sig);
        let given = inbox.look(&ask(&one_of, &[]), now());
        assert_eq!(who(&given), "granted one@example.com");
        // The same person a second time is nobody; another one is.
        let Found::Decision(Decision::Granted(one)) = given else { panic!("{given:?}") };
        let by = [one];
        assert_eq!(inbox.look(&ask(&two_of, &by), now()), Found::Nothing(vec![]));
        desk.sign("two", APPROVE, "shift-100.request.json.two.sig");
        assert_eq!(who(&inbox.look(&ask(&two_of, &by), now())), "granted two@example.com");
        // One key in two names is one approval.
        let shared = desk.trust(&[("one@example.com", "one"), ("two@example.com", "one")]);
        std::fs::remove_file(desk.0.path().join("shift-100.request.json.two.sig")).unwrap();
        assert_eq!(shared.look(&ask(&two_of, &by), now()), Found::Nothing(vec![]));
        let first = Grant { principal: "two@example.com".into(), ..by[0].clone() };
        assert!(who(&shared.look(&ask(&two_of, &[first]), now())).contains("counted already"));

        // A refusal closes the request, also beside an approval.
        desk.sign("two", DENY, "shift-100.request.json.two.sig");
        assert_eq!(who(&inbox.look(&ask(&one_of, &[]), now())), "denied two@example.com");
        std::fs::remove_file(desk.0.path().join("shift-100.request.json.two.sig")).unwrap();

        desk.sign("stranger", APPROVE, sig);
        assert!(who(&inbox.look(&ask(&one_of, &[]), now())).contains("no allowed-signers"));
        assert!(who(&desk.trust(&people).look(&ask(&one_of, &[]), now())).contains("does not hold the role"));
        desk.sign("me", APPROVE, sig);
        assert!(who(&inbox.look(&ask(&one_of, &[]), now())).contains("cannot approve"));
        let own = rule(1, true);
        assert_eq!(who(&inbox.look(&ask(&own, &[]), now())), "granted me@example.com");
        desk.sign("one", "file", sig);
        assert!(matches!(inbox.look(&ask(&one_of, &[]), now()), Found::Nothing(why) if why.len() == 1));

        // Signed for another request.
        desk.sign("one", APPROVE, sig);
        let other = Approve { request: r#"{"step":"shift-101"}"#, ..ask(&one_of, &[]) };
        assert!(matches!(inbox.look(&other, now()), Found::Nothing(why) if why.len() == 1));
    }

    #[test]
    fn a_step_cannot_lead_out_of_the_folder() {
        let verify: Rc<Verify> = Rc::new(|_| Err("no".into()));
        let inbox = Inbox::new("/in".into(), verify, Vec::new());
        for id in ["../x", "/etc/passwd", "..", ".hidden", "a b'c"] {
            assert_eq!(inbox.request_file(id).parent(), Some(Path::new("/in")), "{id}");
        }
        assert!(super::super::recipe(Path::new("/a b/x")).ends_with("'/a b/x'"));
    }
}
