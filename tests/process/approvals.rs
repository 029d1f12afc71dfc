//! Approvals between people: two laptops with nothing but OpenSSH between them, other terminals, and rules that change while
//! a run goes.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::peer;
use crate::rig::*;
use serde_json::Value;

pub const POLICY: &str = r#"bgctl_policy: 1
persons:
  alice: { principals: [alice@example.com] }
  bob: { principals: [bob@example.com] }
  olga: { principals: [owner@example.com], ci: [olga-gh] }
roles:
  release-managers: { members: [alice, bob, olga], within: 30m }
  security-owners: { members: [alice, bob], quorum: 2, own_run: true }
change: { role: security-owners }
"#;

/// One approved shift of everybody, and nothing else that takes time.
fn quick() -> String {
    let (start, rest) = RUNBOOK.split_once("  - id: warm-green\n").unwrap();
    let (_, back) = rest.split_once("rollback:\n").unwrap();
    let roles = "roles:\n  release-managers: { members: [rm@example.com], quorum: 1 }\n";
    let approval = "    approval: { role: release-managers, within: 10m }\n";
    let shift = format!("  - id: shift-100\n{approval}    shift: {{ route: web, green: 100% }}\n");
    format!("{}{shift}rollback:\n{back}", start.replace(roles, ""))
}

/// Somebody's laptop: a home, a key, OpenSSH. No bgctl has ever run on it.
pub struct Laptop {
    dir: tempfile::TempDir,
    keygen: PathBuf,
}

impl Laptop {
    fn new(keygen: &Path) -> Self {
        let laptop = Laptop { dir: tempfile::tempdir().unwrap(), keygen: keygen.into() };
        laptop.keygen(&["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "id"]);
        laptop
    }

    fn keygen(&self, args: &[&str]) {
        let mut command = Command::new(&self.keygen);
        let output = command.args(args).env_clear().env("HOME", self.dir.path()).current_dir(self.dir.path()).output();
        let output = output.expect("ssh-keygen starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn line(&self, principal: &str) -> String {
        let public = std::fs::read_to_string(self.dir.path().join("id.pub")).unwrap();
        format!("{principal} namespaces=\"bgctl-*\" {}\n", public.trim())
    }

    fn key(&self) -> String {
        self.dir.path().join("id").display().to_string()
    }

    /// Takes a text that arrived, and gives back the signature as `ssh-keygen` makes it.
    pub fn sign(&self, text: &str, namespace: &str) -> String {
        let file = self.dir.path().join("arrived.json");
        std::fs::write(&file, text).unwrap();
        let _ = std::fs::remove_file(self.dir.path().join("arrived.json.sig"));
        self.keygen(&["-Y", "sign", "-n", namespace, "-f", "id", "arrived.json"]);
        std::fs::read_to_string(self.dir.path().join("arrived.json.sig")).unwrap()
    }
}

/// The runner's desk with a policy, and the laptops of Alice and Bob.
pub struct Team {
    pub desk: Desk,
    pub alice: Laptop,
    bob: Laptop,
}

impl Team {
    pub fn new(world: &World, keygen: &Path) -> Self {
        let (desk, alice, bob) = (Desk::beside(world), Laptop::new(keygen), Laptop::new(keygen));
        let public = std::fs::read_to_string(desk.path("key.pub")).unwrap();
        let signers = alice.line("alice@example.com") + &bob.line("bob@example.com") + &format!("{OWNER} {public}");
        std::fs::create_dir(desk.path(".bgctl")).unwrap();
        desk.write(".bgctl/allowed_signers", &signers);
        desk.write(".bgctl/policy.yaml", POLICY);
        desk.write("runbook.yaml", &quick());
        Team { desk, alice, bob }
    }

    /// The newest run's folder of approvals, its name, and the text that is to be signed.
    fn request(&self) -> (PathBuf, String, String) {
        let run = self.desk.runs().pop().expect("a run");
        let name = run.file_name().unwrap().to_str().unwrap().to_string();
        let text = std::fs::read_to_string(run.join("approvals/shift-100.request.json")).expect("the request");
        (run.join("approvals"), name, text)
    }

    /// What arrived by mail is put where the run looks, and the run goes on.
    fn arrives(&self, signature: &str) -> Done {
        let (folder, ..) = self.request();
        std::fs::write(folder.join("shift-100.request.json.mail.sig"), signature).unwrap();
        self.desk.run(&["resume"])
    }

    fn back(&self) {
        self.desk.run(&["rollback", "--yes"]).ends(0);
    }
}

#[test]
fn case_17b_two_laptops_and_every_approval_that_does_not_fit() {
    let Some(keygen) = peer("ssh-keygen") else { return };
    let world = World::new(&[]);
    let team = Team::new(&world, &keygen);
    let desk = &team.desk;

    // The runner waits; Alice signs what arrived on her laptop; what she sends back lets the run go on.
    desk.cutover().end(60).ends(30).says(&["shift-100", "alice", "ssh-keygen -Y sign -n bgctl-approve-v1"]);
    let (_, first, text) = team.request();
    let by_alice = team.alice.sign(&text, "bgctl-approve-v1");
    team.arrives(&by_alice).ends(0);
    assert_eq!((world.green(), world.turns()), (100, 0));
    let verify = ["audit", "verify", "--allowed-signers", ".bgctl/allowed_signers", "--policy"];
    desk.run(&[&verify[..], &[".bgctl/policy.yaml"]].concat()).ends(0).says(&["COMPLETE"]);
    // Somebody whose own policy asks for more says so.
    let stricter =
        POLICY.replace("members: [alice, bob, olga], within", "members: [bob, olga], quorum: 2, own_run: true, within");
    desk.write("auditor.yaml", &stricter);
    desk.run(&[&verify[..], &["auditor.yaml"]].concat()).ends(46).says(&[
        "POLICY",
        "1 of `release-managers` were enough, and this policy asks for 2",
        "`alice` could approve it, and holds no role `release-managers` in this policy",
    ]);
    team.back();

    // Replayed: the same signature for the next run of the same plan.
    desk.cutover().end(60).ends(30);
    let (folder, second, text) = team.request();
    assert_ne!(first, second);
    team.arrives(&by_alice).ends(30).says(&["not counted", &format!("it is for run {first}, not for {second}")]);
    // Whoever hands it in hears it at once.
    desk.write("mail.sig", &by_alice);
    let handed = desk.run(&["approve", &second, "--signature", "mail.sig"]).ends(77);
    handed.says(&["BG0421", &format!("it is for run {first}, not for {second}")]);

    // Self-approved.
    let request = desk.path("own.json");
    std::fs::write(&request, &text).unwrap();
    let mut sign = Command::new(&keygen);
    sign.args(["-Y", "sign", "-n", "bgctl-approve-v1", "-f"]).arg(desk.path("key")).arg(&request);
    assert!(sign.output().unwrap().status.success());
    let by_owner = std::fs::read_to_string(desk.path("own.json.sig")).unwrap();
    team.arrives(&by_owner)
        .ends(30)
        .says(&["not counted", "owner@example.com runs this cutover and cannot approve it"]);

    // Changed weights: somebody edits the request on its way, and Bob signs what he sees.
    let changed = text.replace(r#""after":{"blue":0,"green":100}"#, r#""after":{"blue":50,"green":50}"#);
    assert_ne!(changed, text);
    std::fs::write(folder.join("shift-100.request.json"), &changed).unwrap();
    let by_bob = team.bob.sign(&changed, "bgctl-approve-v1");
    team.arrives(&by_bob)
        .ends(30)
        .says(&["it is for other weights: web BLUE 50 GREEN 50; asked is web BLUE 0 GREEN 100"]);
    assert_eq!(std::fs::read_to_string(folder.join("shift-100.request.json")).unwrap(), text, "the request is back");

    // Another plan: what was signed for one runbook, used for another.
    let for_second = team.alice.sign(&text, "bgctl-approve-v1");
    desk.write("runbook.yaml", &quick().replace("version: v1.4.2", "version: v1.4.3"));
    desk.cutover().end(60).ends(30);
    let short = |text: &str| {
        let request: Value = serde_json::from_str(text).unwrap();
        request["plan_sha256"].as_str().unwrap()[..12].to_string()
    };
    let third = team.request().2;
    let words = format!("it is for another plan ({}…, not {}…)", short(&text), short(&third));
    team.arrives(&for_second).ends(30).says(&["not counted", &words]);
    // A refusal ends it, whoever else has agreed.
    team.arrives(&team.bob.sign(&third, "bgctl-deny-v1")).ends(11).says(&["bob@example.com"]);
    assert_eq!((world.green(), world.turns()), (0, 1));
    world.continuous();
}

#[test]
fn case_20b_an_approval_that_comes_too_late_is_refused() {
    let Some(keygen) = peer("ssh-keygen") else { return };
    let world = World::new(&[]);
    let team = Team::new(&world, &keygen);
    let short = quick().replace("within: 10m }", "within: 5s }");
    team.desk.write("runbook.yaml", &short);
    team.desk.cutover().end(60).ends(30);
    let (_, run, text) = team.request();
    let request: Value = serde_json::from_str(&text).unwrap();
    let signature = team.alice.sign(&text, "bgctl-approve-v1");
    team.desk.write("mail.sig", &signature);
    team.desk.write("mail.json", &text);
    let date = || String::from_utf8(Command::new("date").arg("+%s").output().unwrap().stdout).unwrap();
    until("the deadline", 20, || date().trim().parse::<i64>().unwrap() > request["expires"].as_i64().unwrap());
    let handed = team.desk.run(&["approve", &run, "--signature", "mail.sig"]).ends(77);
    handed.says(&["BG0421", "the request expired at", "before alice@example.com's approval came"]);
    let key = team.alice.key();
    let late = team.desk.run(&["approve", "mail.json", "--key", &key, "--confirm", "100"]).ends(77);
    late.says(&["BG0411", "this request expired at"]);
    team.arrives(&signature).ends(11).says(&["nobody approved `shift-100`"]);
    assert_eq!(world.seen(), [0]);
}

/// All requests are there after one job, each with its own time from the moment it was asked; the next job goes on.
#[test]
fn a23_a24_one_job_asks_for_everything_and_the_next_one_goes_on() {
    let Some(keygen) = peer("ssh-keygen") else { return };
    let world = World::new(&[]);
    let team = Team::new(&world, &keygen);
    let desk = &team.desk;
    let all = "  - id: shift-100\n    approval: { role: release-managers, within: 10m }\n";
    let half = "  - id: shift-50\n    approval: { role: release-managers, within: 10m }\n    timeout: 90s\n";
    let half = format!("{half}    shift: {{ route: web, green: 50% }}\n{all}");
    desk.write("runbook.yaml", &quick().replace(all, &half));
    let asked = desk.cutover().end(60).ends(30);
    asked.says(&["approval of shift-50 is missing", "approval of shift-100 is missing"]);
    let folder = team.request().0;
    let text = |id: &str| std::fs::read_to_string(folder.join(format!("{id}.request.json"))).unwrap();
    let records = desk.records();
    for (id, later) in [("shift-50", None), ("shift-100", Some(90))] {
        let request: Value = serde_json::from_str(&text(id)).unwrap();
        let record = records.iter().find(|r| r["type"] == "approval.requested" && r["data"]["id"] == id).unwrap();
        let at: jiff::Timestamp = record["ts"].as_str().unwrap().parse().unwrap();
        let expires = request["expires"].as_i64().unwrap();
        assert!((590..=600).contains(&(expires - at.as_second())), "{id}: {request}");
        assert_eq!(request["use_by"].as_i64(), later.map(|later| expires + later), "{id}");
        std::fs::write(folder.join(format!("{id}.request.json.a.sig")), team.alice.sign(&text(id), "bgctl-approve-v1"))
            .unwrap();
    }
    desk.run(&["resume"]).ends(0);
    assert_eq!(world.green(), 100);
    desk.run(&["audit", "verify", "--allowed-signers", ".bgctl/allowed_signers", "--policy", ".bgctl/policy.yaml"])
        .ends(0);
    team.back();
}

#[test]
fn another_terminal_shows_what_is_signed_and_judges_the_answer() {
    let Some(keygen) = peer("ssh-keygen") else { return };
    let world = World::new(&[]);
    let team = Team::new(&world, &keygen);
    let (desk, alice, bob) = (&team.desk, team.alice.key(), team.bob.key());
    let two = POLICY.replace("members: [alice, bob, olga], within", "members: [alice, bob, olga], quorum: 2, within");
    desk.write(".bgctl/policy.yaml", &two);
    desk.run(&["approve"]).ends(64).says(&["BG0004"]);
    desk.cutover().end(60).ends(30).says(&["2 of release-managers"]);
    let (_, run, text) = team.request();
    let digest = bgctl_digest(&text);

    // Nobody is asked in CI; what has to be typed is said, and a wrong word signs nothing.
    let shown = ["web: BLUE 100 GREEN 0 → BLUE 0 GREEN 100", "100.0% of the users go to GREEN", "owner@example.com"];
    let unasked = desk.run(&["approve", "--key", &alice]).ends(64).says(&shown);
    unasked.says(&["--confirm 100", &digest, "2 of release-managers, signed or better"]);
    desk.run(&["approve", "--key", &alice, "--confirm", "50"]).ends(64).says(&["it is `100`"]);
    let own = desk.run(&["approve", "--confirm", "100"]).ends(77);
    own.says(&["owner@example.com runs this cutover and cannot approve it"]);
    assert_eq!(std::fs::read_dir(team.request().0).unwrap().count(), 1, "nothing but the request");

    // One of two, taken back before it is used; it does not count again, not even by the old file.
    desk.run(&["approve", "--key", &alice, "--confirm", "100"]).ends(0).says(&["APPROVED shift-100", "resume"]);
    desk.run(&["resume"]).ends(30).says(&["given by alice@example.com"]);
    desk.run(&["approve", &run, "--key", &alice, "--confirm", "100"]).ends(0);
    desk.run(&["reject", &run, "--key", &alice, "--confirm", "shift-100"]).ends(0).says(&["TAKEN BACK shift-100"]);
    desk.run(&["resume"]).ends(30).says(&["no longer counts: taken back before it was used"]);
    let kinds: Vec<String> = desk.records().iter().map(|r| r["type"].as_str().unwrap().to_string()).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "approval.withdrawn").count(), 1, "{kinds:?}");

    // Pasted text, and the signature handed in: Bob has neither the run nor its folder.
    let mut paste = desk.command(BGCTL);
    paste.args(["approve", "-", "--key", &bob, "--confirm", "100"]).stdin(std::process::Stdio::piped());
    let mut paste = paste.spawn().unwrap();
    std::io::Write::write_all(&mut paste.stdin.take().unwrap(), format!("\n{text}\n").as_bytes()).unwrap();
    let output = paste.wait_with_output().unwrap();
    let signature = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && signature.starts_with("-----BEGIN SSH SIGNATURE-----"), "{signature}");
    desk.write("mail.sig", &signature);
    desk.run(&["approve", &run, "--signature", "mail.sig"]).ends(0).says(&["APPROVED shift-100", "bob@example.com"]);
    desk.run(&["resume"]).ends(30).says(&["given by bob@example.com"]);
    // A text that is not the one bgctl wrote is not signed.
    desk.write("blank.json", &text.replace(":", ": "));
    desk.run(&["approve", "blank.json", "--key", &bob, "--confirm", "100"]).ends(65).says(&["BG0412"]);
    assert_eq!(world.seen(), [0]);

    // One refusal closes it.
    let olga = desk.path("key").display().to_string();
    desk.run(&["reject", "--key", &olga, "--confirm", "shift-100"]).ends(0).says(&["REFUSED shift-100"]);
    desk.run(&["resume"]).ends(11).says(&["was refused by owner@example.com"]);
    desk.run(&["approve"]).ends(64).says(&["waits for no approval"]);
    assert_eq!(world.seen(), [0]);
}

fn bgctl_digest(text: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn case_32c_whoever_started_the_job_is_known_and_cannot_approve() {
    let Some(keygen) = peer("ssh-keygen") else { return };
    let world = World::new(&[]);
    let mut team = Team::new(&world, &keygen);
    team.desk.env.insert("GITHUB_ACTOR".into(), "stranger-gh".into());
    team.desk.cutover().end(60).ends(77).says(&["BG0442", "does not know who `stranger-gh` is", "ci"]);
    assert!(team.desk.runs().is_empty());
    team.desk.env.insert("GITHUB_ACTOR".into(), "alice-gh".into());
    let known = POLICY.replace("[alice@example.com] }", "[alice@example.com], ci: [alice-gh] }");
    team.desk.write(".bgctl/policy.yaml", &known);
    team.desk.cutover().end(60).ends(30);
    let text = team.request().2;
    let by_alice = team.alice.sign(&text, "bgctl-approve-v1");
    team.arrives(&by_alice).ends(30).says(&["alice@example.com started the job of this cutover and cannot approve it"]);
    // Whoever resumes it cannot either.
    assert_eq!(world.seen(), [0]);
}

/// A run that is at its watch on half of the users when `change` happens.
fn changed_at_half(change: impl Fn(&Team)) -> (World, Team, Done) {
    let keygen = peer("ssh-keygen").expect("looked for before");
    let world = World::new(&[]);
    let team = Team::new(&world, &keygen);
    team.desk.write("runbook.yaml", &without_roles(RUNBOOK));
    let run = team.desk.cutover();
    team.desk.wait_for("step.intent", "bake-50");
    change(&team);
    let done = run.end(60);
    (world, team, done)
}

pub fn without_roles(runbook: &str) -> String {
    runbook.replace("roles:\n  release-managers: { members: [rm@example.com], quorum: 1 }\n", "")
}

#[test]
fn case_47c_a_policy_that_changes_during_a_run_halts_it_and_the_way_back_stays_open() {
    if peer("ssh-keygen").is_none() {
        return;
    }
    let (world, team, done) = changed_at_half(|team| {
        team.desk.write(".bgctl/policy.yaml", &POLICY.replace("quorum: 2", "quorum: 1"));
    });
    done.ends(20).says(&["the rules changed during the run", ".bgctl/policy.yaml was changed", "BLUE 50 GREEN 50"]);
    assert_eq!(world.seen(), [0, 50], "nothing moved any more, not even back");
    assert!(team.desk.records().iter().any(|r| r["type"] == "run.paged"), "a person was called");
    let log = ["audit", "verify", "--allowed-signers", ".bgctl/allowed_signers"];
    team.desk.run(&log).ends(0).says(&["COMPLETE"]);
    team.back();
    assert_eq!(world.green(), 0);

    // A new run needs the signatures of those whom the old policy names.
    team.desk.cutover().end(60).ends(77).says(&["BG0444", "asks for 2 of `security-owners`: nobody has"]);
    let text = std::fs::read_to_string(team.desk.path(".bgctl/policy.yaml")).unwrap();
    team.desk.write(".bgctl/policy.yaml.alice.sig", &team.alice.sign(&text, "bgctl-policy-v1"));
    team.desk.cutover().end(60).ends(77).says(&["alice have"]);
    team.desk.write(".bgctl/policy.yaml.bob.sig", &team.bob.sign(&text, "bgctl-policy-v1"));
    team.desk.write("runbook.yaml", &quick());
    team.desk.cutover().end(60).ends(30);
    // The old one does not come back by itself, and none at all is no way around it.
    team.desk.write(".bgctl/policy.yaml", POLICY);
    team.desk.cutover().end(60).ends(77).says(&["BG0444", "was replaced before"]);
    std::fs::remove_file(team.desk.path(".bgctl/policy.yaml")).unwrap();
    let bare = quick().replace("stacks:\n", "roles:\n  release-managers: { members: [rm@example.com] }\nstacks:\n");
    team.desk.write("runbook.yaml", &bare);
    team.desk.cutover().end(60).ends(77).says(&["BG0444", "the policy of this service is gone"]);
    // Nor is another name for the service, in another file: it is the same rule that would be moved.
    team.desk.write("other.yaml", &bare.replace("service: bot", "service: Bot"));
    let other = ["cutover", "other.yaml", "--confirm", "staging"];
    team.desk.run(&other).ends(77).says(&["BG0444", "the policy of this service is gone", "`alb arn:aws:"]);
}

#[test]
fn case_30c_a_key_given_up_during_a_run_halts_it_at_the_next_step() {
    if peer("ssh-keygen").is_none() {
        return;
    }
    let (world, team, done) = changed_at_half(|team| {
        let public = std::fs::read_to_string(team.desk.path("key.pub")).unwrap();
        team.desk.write(".bgctl/revoked_keys", &public);
    });
    done.ends(20).says(&["the rules changed during the run", "revoked_keys was not there before"]);
    assert_eq!(world.seen(), [0, 50]);
    // The key that opened the run signs nothing any more. That keeps nobody on green: going back is recorded as signed by nobody.
    team.desk.run(&["rollback", "--yes"]).ends(0).says(&["not signed by a person", "is revoked"]);
    assert_eq!(world.green(), 0);
}
