//! Approvals of a CI job: asked for ahead, signed elsewhere with OpenSSH, and counted only where they fit.

use std::path::Path;

use crate::common::peer;
use crate::rig::*;

struct Approver<'a> {
    desk: &'a Desk,
    keygen: std::path::PathBuf,
}

impl Approver<'_> {
    fn keygen(&self, args: &[&str]) {
        let output = self.desk.command(&self.keygen.display().to_string()).args(args).output().expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn key(&self, name: &str) -> String {
        self.keygen(&["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", name]);
        std::fs::read_to_string(self.desk.path(&format!("{name}.pub"))).expect("the public key")
    }

    fn sign(&self, key: &str, namespace: &str) {
        let request = Path::new("approvals/shift-100.request.json");
        let _ = std::fs::remove_file(self.desk.path("approvals/shift-100.request.json.sig"));
        self.keygen(&["-Y", "sign", "-n", namespace, "-f", key, &request.display().to_string()]);
    }
}

#[test]
fn an_approval_is_asked_for_ahead_signed_elsewhere_and_bound() {
    let Some(keygen) = peer("ssh-keygen") else { return };
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    desk.write("runbook.yaml", &with_approval());
    let approver = Approver { desk: &desk, keygen };
    let manager = approver.key("rm");
    let stranger = approver.key("stranger");
    let public = std::fs::read_to_string(desk.path("key.pub")).expect("the owner's public key");
    desk.write("signers", &format!("rm@example.com {manager}stranger@example.com {stranger}{OWNER} {public}"));

    // Without a folder the message says how to give one.
    desk.cutover().end(60).ends(30).says(&[
        "shift-100",
        "rm@example.com",
        "ssh-keygen -Y sign -n bgctl-approve-v1",
        "bgctl resume",
        "/approvals",
    ]);
    assert_eq!(world.seen(), [0], "nobody moves before every approval is there");
    let resume = ["resume", "--approvals", "approvals", "--allowed-signers", "signers"];
    desk.run(&resume).ends(30).says(&["ssh-keygen -Y sign -n bgctl-approve-v1 -f KEY", "shift-100.request.json"]);
    // What to type next stands there as it is to be typed.
    let folder = desk.path("approvals").display().to_string();
    desk.run(&resume).ends(30).says(&[&format!("--approvals {folder}")]);
    desk.run(&["status", "--exit-status"]).ends(30);

    approver.sign("stranger", "bgctl-approve-v1");
    desk.run(&resume).ends(30).says(&["stranger@example.com does not hold the role"]);
    approver.sign("key", "bgctl-approve-v1");
    desk.run(&resume).ends(30).says(&["not counted", OWNER]);
    approver.sign("rm", "file");
    desk.run(&resume).ends(30).says(&["not counted"]);
    assert_eq!(world.seen(), [0]);

    approver.sign("rm", "bgctl-approve-v1");
    desk.run(&resume).ends(0);
    assert_eq!((world.green(), world.turns()), (100, 0));
    desk.run(&["audit", "verify", "--allowed-signers", "signers"]).ends(0).says(&["COMPLETE"]);

    // The same signature for another run is for nothing.
    desk.run(&["rollback", "--yes"]).ends(0);
    let args = ["cutover", "runbook.yaml", "--confirm", "staging", "--approvals", "approvals"];
    let again = desk.run(&[&args[..], &["--allowed-signers", "signers"]].concat()).ends(30);
    again.says(&["not counted"]);
    assert_eq!(world.green(), 0);

    // A refusal ends it.
    approver.sign("rm", "bgctl-deny-v1");
    desk.run(&resume).ends(11).says(&["rm@example.com"]);
    assert_eq!((world.green(), world.turns()), (0, 1));
    // Opened, resumed and ended, each by whoever did it.
    desk.run(&["audit", "ledger", "--allowed-signers", "signers"]).ends(0).says(&["COMPLETE", "3 runs"]);
    world.continuous();
}

#[test]
fn d3_a_drain_that_asks_is_refused_in_ci_with_what_to_write() {
    let world = World::new(&[]);
    let mut desk = Desk::beside(&world);
    let asks = RUNBOOK.replacen("within: 5s, at_timeout: continue", "within: 5s, at_timeout: ask", 1);
    desk.write("runbook.yaml", &asks);
    let instead = ["BG0195", "at_timeout: hold", "at_timeout: continue"];
    desk.run(&["check", "runbook.yaml"]).ends(65).says(&instead).says(&["nobody can be asked in CI"]);
    desk.cutover().end(30).ends(65).says(&instead).says(&["nobody can be asked here", "Nothing was changed"]);
    assert!(desk.runs().is_empty(), "refused before there is a run");
    desk.without(&["CI"]);
    desk.run(&["check", "runbook.yaml"]).ends(0).says(&["BG0195", "unanswered, users stay as they are"]);
    desk.run(&["check", "runbook.yaml", "--ci"]).ends(65).says(&instead);
    desk.write("runbook.yaml", &asks.replace("at_timeout: ask", "at_timeout: hold"));
    desk.run(&["check", "runbook.yaml", "--ci"]).ends(0);
    assert_eq!(world.seen(), [0]);
}
