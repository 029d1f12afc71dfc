//! The policy this machine remembers is that of the place that is moved, however the service, the file or the environment is
//! spelled. What an earlier version kept by name is not forgotten.

use std::fs;
use std::path::Path;

use bgctl::diag::{Code, Refusal};
use bgctl::journal::Archive;
use bgctl::plan::Plan;
use bgctl::policy::PolicyFile;
use bgctl::runbook::Source;
use bgctl::session::policy_pin::Accepted;
use bgctl::sign::session::SessionKey;
use bgctl::sign::{AllowedSigners, Signer, namespace, trust};

const ALICE: &str = "alice@example.com";

/// A policy that only its security owners may change.
fn policy(number: u32) -> PolicyFile {
    let quorum = number.min(2);
    let text = format!(
        "bgctl_policy: 1\npersons:\n  alice: {{ principals: [{ALICE}] }}\n  bob: {{ principals: [bob@example.com] }}\nroles:\n  release-managers: {{ members: [alice, bob], quorum: {quorum}, own_run: true }}\n  security-owners: {{ members: [alice], own_run: true }}\nchange: {{ role: security-owners }}\n# number {number}\n"
    );
    PolicyFile::parse(Source::new("policy.yaml", text)).expect("it is sound")
}

fn alice() -> SessionKey {
    SessionKey::from_seed([1; 32])
}

/// A state folder, and a folder with the policy and its signatures.
struct Machine {
    dir: tempfile::TempDir,
    archive: Archive,
}

impl Machine {
    fn new() -> Machine {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::new(dir.path().join("state"));
        Machine { dir, archive }
    }

    fn state(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join("state").join(name)
    }

    fn write(&self, path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn judge(&self, plan: &Plan, file: Option<&PolicyFile>) -> Result<Accepted, Refusal> {
        let signers = AllowedSigners::parse(&trust::line(ALICE, &alice().public())).unwrap();
        let place = self.dir.path().join("policy.yaml");
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        Accepted::judge(&self.archive, plan, file, &place, &signers, now)
    }

    /// A run of this plan under this policy: what it is refused for, or remembered.
    fn run(&self, plan: &Plan, file: Option<&PolicyFile>) -> Result<(), Refusal> {
        self.judge(plan, file)?.remember()
    }

    fn sign(&self, file: &PolicyFile) {
        let sig = alice().sign(namespace::POLICY, file.source.text.as_bytes()).unwrap();
        fs::write(self.dir.path().join("policy.yaml.alice.sig"), sig).unwrap();
    }
}

fn refused(found: Result<(), Refusal>) -> String {
    let refusal = found.expect_err("nobody has signed that");
    assert_eq!(refusal.code, Code::PolicyUnsigned);
    refusal.headline
}

/// The same place, called something else.
fn otherwise_called() -> Vec<(&'static str, Plan)> {
    let plan = crate::rig::plan;
    let mut route = plan();
    let moved = route.routes.remove("web").unwrap();
    route.routes.insert("edge".into(), moved);
    vec![
        ("as before", plan()),
        ("another case", Plan { service: "Slackbot".into(), ..plan() }),
        ("another service", Plan { service: "bot".into(), ..plan() }),
        ("another environment", Plan { environment: "prod".into(), ..plan() }),
        ("another file", Plan { runbook: "other.yaml".into(), runbook_sha256: "cd".repeat(32), ..plan() }),
        ("another name of the route", route),
    ]
}

#[test]
fn a13_the_policy_of_a_place_is_remembered_however_it_is_called() {
    for (name, plan) in otherwise_called() {
        let machine = Machine::new();
        machine.run(&crate::rig::plan(), Some(&policy(2))).unwrap();
        assert_eq!(refused(machine.run(&plan, None)), "the policy of this service is gone", "{name}");
        assert!(refused(machine.run(&plan, Some(&policy(1)))).contains("not enough people have signed"), "{name}");
        machine.run(&plan, Some(&policy(2))).unwrap();
        // Signed by those whom it names, another takes its place; the old one does not come back under any name.
        machine.sign(&policy(1));
        machine.run(&plan, Some(&policy(1))).unwrap();
        assert!(refused(machine.run(&crate::rig::plan(), Some(&policy(2)))).contains("was replaced before"), "{name}");
    }
}

/// What an earlier version wrote for the plan's environment and service, and a run of it.
fn from_before(machine: &Machine, plan: &Plan, run: Option<&str>) {
    let named = |text: &str| format!("{text}-{}", &crate::rig::sha256(text.as_bytes())[..8]);
    let folder = machine.state("policies").join(named(&plan.environment)).join(named(&plan.service));
    machine.write(&folder.join("policy.yaml"), &policy(2).source.text);
    machine.write(&folder.join("replaced"), &format!("{}\n", policy(1).sha256));
    if let Some(run) = run {
        let folder = machine.state("runs").join(run);
        machine.write(&folder.join("log.jsonl"), "{}\n");
        machine.write(&folder.join("plan.json"), &plan.canonical());
    }
}

/// The plan as this version makes it: it names what it moves.
fn now(plan: Plan) -> Plan {
    let mut plan = plan;
    plan.routes.values_mut().for_each(|route| route.resources = vec!["alb arn:rule/10".into()]);
    plan
}

#[test]
fn a13_what_was_remembered_by_a_name_holds_for_what_that_name_has_moved() {
    for (name, plan) in otherwise_called() {
        let machine = Machine::new();
        from_before(&machine, &crate::rig::plan(), Some("20261120-0300-abc"));
        let plan = now(plan);
        assert_eq!(refused(machine.run(&plan, None)), "the policy of this service is gone", "{name}");
        machine.sign(&policy(1));
        assert!(refused(machine.run(&plan, Some(&policy(1)))).contains("was replaced before"), "{name}");
        // From the first run on it is remembered by what is moved, with what it had replaced.
        machine.run(&plan, Some(&policy(2))).unwrap();
        fs::remove_dir_all(machine.state("runs")).unwrap();
        let other = now(Plan { service: "third".into(), environment: "fourth".into(), ..crate::rig::plan() });
        assert!(refused(machine.run(&other, Some(&policy(1)))).contains("was replaced before"), "{name}");
        assert_eq!(refused(machine.run(&other, None)), "the policy of this service is gone", "{name}");
    }
}

#[test]
fn a13_a_folder_of_before_that_no_run_explains_is_named_and_holds_for_its_name() {
    let machine = Machine::new();
    from_before(&machine, &crate::rig::plan(), None);
    let other = now(Plan { service: "bot".into(), ..crate::rig::plan() });
    let unplaced = machine.judge(&other, None).unwrap().unplaced;
    assert!(unplaced.len() == 1 && unplaced[0].to_str().unwrap().contains("slackbot-"), "{unplaced:?}");
    let same = now(crate::rig::plan());
    assert_eq!(refused(machine.run(&same, None)), "the policy of this service is gone");
    // It is kept up to date, so that an earlier version finds what holds now.
    machine.sign(&policy(3));
    machine.run(&same, Some(&policy(3))).unwrap();
    assert_eq!(fs::read_to_string(unplaced[0].join("policy.yaml")).unwrap(), policy(3).source.text);
    assert_eq!(fs::read_to_string(unplaced[0].join("replaced")).unwrap().lines().count(), 2);
}

#[test]
fn a13_another_thing_is_not_held_to_the_policy_of_this_one() {
    let machine = Machine::new();
    machine.run(&now(crate::rig::plan()), Some(&policy(2))).unwrap();
    let mut other = now(crate::rig::plan());
    other.routes.get_mut("web").unwrap().resources = vec!["alb arn:rule/11".into()];
    machine.run(&other, None).unwrap();
    machine.run(&other, Some(&policy(1))).unwrap();
    // A run that moves both is held to both; a thing that joins another is remembered with it.
    let mut both = other.clone();
    both.routes.insert("api".into(), now(crate::rig::plan()).routes["web"].clone());
    for file in [policy(1), policy(2)] {
        assert!(refused(machine.run(&both, Some(&file))).contains("not enough people have signed"));
    }
    let mut grown = now(crate::rig::plan());
    grown.routes.get_mut("web").unwrap().resources.push("alb arn:rule/12".into());
    machine.run(&grown, Some(&policy(2))).unwrap();
    grown.routes.get_mut("web").unwrap().resources.remove(0);
    assert_eq!(refused(machine.run(&grown, None)), "the policy of this service is gone");
}

#[test]
fn a13_a_place_has_one_name_however_its_settings_are_written() {
    use bgctl::routers::{Access, KINDS, Reading};
    use serde_json::{Value, json};
    let names = |kind: &str, settings: Value, exact: Option<Value>| {
        let kind = KINDS.iter().find(|row| row.name == kind).expect("a row");
        let view = (kind.view)(&settings, &Access::default()).expect("good settings");
        let reading = exact.map(|exact| Reading { split: bgctl::plan::Split::ALL_BLUE, exact, remarks: Vec::new() });
        view.resources(reading.as_ref())
    };
    let sockets = |blue: Value, green: Value, token: &str| {
        names("socket_mode", json!({ "blue": blue, "green": green, "app_token": token }), None)
    };
    let token = "xapp-1-A0123456789-1-feed";
    let one = sockets(json!(["http://bot-1.test:80/", "http://bot-2.test"]), json!(["http://bot-3.test:8080"]), token);
    let other =
        sockets(json!(["http://BOT-3.test.:8080/"]), json!(["http://bot-2.test:80", "http://Bot-1.test"]), token);
    assert_eq!(one, other);
    assert_eq!(one[0], "socket_mode A0123456789", "the app, whatever its bots are called");
    assert_eq!(one.len(), 4, "{one:?}");
    let found =
        sockets(json!({ "lookup": "http://bots.test:8080" }), json!(["http://bot-3.test:8080"]), "${env:TOKEN}");
    assert_eq!(found, ["socket_mode bot-3.test:8080", "socket_mode bots.test:8080"]);

    let arn = |resource: &str| format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:{resource}");
    let [blue, green] = ["6d0ecf831eec9f09", "73e2d6bc24d8a067"].map(|id| arn(&format!("targetgroup/bot/{id}")));
    let listener = arn("listener/app/bot/50dc6c495c0c9188/0467ef3c8400ae65");
    let rule = arn("listener-rule/app/bot/50dc6c495c0c9188/0467ef3c8400ae65/8c1f3f0a1e2d3c4b");
    let alb = |place: &str, at: &str, written: &str| {
        let settings = json!({ place: at, "blue": blue, "green": green });
        names("alb", settings, Some(json!({ "arn": written })))
    };
    assert_eq!(alb("rule", &rule, &listener), alb("listener", &listener, &listener), "its default rule");
    assert_ne!(alb("rule", &rule, &rule), alb("listener", &listener, &listener));
}

#[test]
fn leases_and_the_policy_are_kept_under_the_same_names() {
    let leases = |plan: &Plan| {
        let of = bgctl::session::open::leases(plan).into_iter();
        of.map(|(scope, what)| format!("{scope}/{what}")).collect::<Vec<_>>()
    };
    assert_eq!(leases(&now(crate::rig::plan())), ["production/slackbot", "route/alb arn:rule/10"]);
    // A run of an earlier version goes on under the lease it was begun with.
    assert_eq!(leases(&crate::rig::plan()), ["production/slackbot", "route/alb rule 10"]);
}
