//! The policy file: every key of it, every mistake with its place, and who may put another one in its place.

use bgctl::plan::{EvidenceLevel, LAB, Plan, Purpose};
use bgctl::policy::{PersonKind, PolicyFile, SecurityKey, SharedKey, compare, judge, schema};
use bgctl::runbook::Source;
use bgctl::sign::session::SessionKey;
use bgctl::sign::{AllowedSigners, Signer, namespace, trust};
use serde_json::json;

const WHOLE: &str = r#"bgctl_policy: 1
persons:
  alice: { principals: [alice@example.com, alice@laptop], ci: [alice-gh] }
  bob: { principals: [bob@example.com] }
  carol: { principals: [carol@example.com] }
  deploy: { principals: [ci@example.com], kind: bot }
roles:
  release-managers: { members: [alice, bob, carol], quorum: 2, within: 30m, evidence: signed-hw, own_run: false }
  security-owners: { members: [alice, carol], own_run: true }
signing: { shared_key: refused, security_key: required, verify_required: true }
anchors:
  required: 1
  to:
    - { file: /mnt/audit }
    - { git: { repository: ".", ref: refs/notes/bgctl } }
    - { slack: { channel: C0123, token: "${env:SLACK_BOT_TOKEN}" } }
    - { rfc3161: { url: "https://tsa.example.com/", ca: tsa-ca.pem } }
change: { role: security-owners }
"#;

fn parse(text: &str) -> Result<PolicyFile, Vec<bgctl::diag::Diagnostic>> {
    PolicyFile::parse(Source::new("policy.yaml", text))
}

/// `line:column code headline` of everything that is wrong.
fn wrong(text: &str) -> Vec<String> {
    let found = match parse(text) {
        Ok(file) => file.warnings,
        Err(found) => found,
    };
    let line = |d: &bgctl::diag::Diagnostic| {
        let (line, column) = d.line_column(text).unwrap_or_default();
        format!("{line}:{column} {} {}", d.code, d.headline)
    };
    found.iter().map(line).collect()
}

#[test]
fn every_key_of_a_policy_is_read() {
    let file = parse(WHOLE).unwrap();
    assert_eq!(file.warnings, []);
    let policy = &file.policy;
    assert_eq!(policy.persons["alice"].principals, ["alice@example.com", "alice@laptop"]);
    assert_eq!(
        (&policy.persons["alice"].ci[..], policy.persons["deploy"].kind),
        (&["alice-gh".into()][..], PersonKind::Bot)
    );
    let (managers, owners) = (&policy.roles["release-managers"], &policy.roles["security-owners"]);
    assert_eq!((managers.quorum, managers.evidence, managers.own_run), (2, EvidenceLevel::SignedHw, false));
    assert_eq!(managers.within.as_ref().unwrap().whole_seconds(), 1800);
    // What is left out is the stricter of what could be meant, except that one person is enough.
    assert_eq!((owners.quorum, owners.evidence, owners.within.is_none()), (1, EvidenceLevel::Signed, true));
    let signing = &policy.signing;
    assert_eq!(
        (signing.shared_key, signing.security_key, signing.verify_required),
        (SharedKey::Refused, SecurityKey::Required, true)
    );
    let anchors = policy.anchors.as_ref().unwrap();
    assert_eq!(anchors.required, 1);
    assert_eq!(anchors.to.iter().map(|named| named.kind.name).collect::<Vec<_>>(), ["file", "git", "slack", "rfc3161"]);
    let [folder, git, slack, tsa] = [0, 1, 2, 3].map(|n| &anchors.to[n].settings);
    assert_eq!((folder, &git["ref"]), (&json!("/mnt/audit"), &json!("refs/notes/bgctl")));
    assert_eq!((&slack["token"], &tsa["ca"]), (&json!("${env:SLACK_BOT_TOKEN}"), &json!("tsa-ca.pem")));
    assert_eq!(policy.change.as_ref().unwrap().role, "security-owners");
    assert_eq!(schema()["properties"].as_object().unwrap().len(), 6);
}

#[test]
fn every_mistake_of_shape_is_placed() {
    let text = "bgctl_policy: 1\npersons:\n  alice: { principal: [a@example.com] }\n  bob: { principals: [] }\nroles:\n  rm: { members: [alice], quorum: no, evidence: signd }\nanchors:\n  to:\n    - { flie: /mnt }\n    - { file: /a, git: { repository: ., ref: r } }\n    - { slack: { channel: C1, token: xoxb-123456 } }\n";
    assert_eq!(
        wrong(text),
        [
            "3:12 BG0102 unknown field `principal` in `alice`",
            "4:22 BG0104 `principals` is empty",
            "6:35 BG0104 `quorum` cannot be `no`",
            "6:49 BG0104 `evidence` cannot be `signd`",
            "9:9 BG0102 unknown field `flie` in entry 1 of `to`",
            "10:19 BG0108 entry 2 of `to` is two things: `file` and `git`",
            "11:38 BG0117 `token` is a secret and may not stand in a file",
        ]
    );
    assert_eq!(wrong("bgctl_policy: 2\npersons: {}\n"), ["1:15 BG0104 `bgctl_policy` cannot be `2`"]);
    assert_eq!(wrong("persons: {}\n")[0], "1:1 BG0103 the policy lacks `bgctl_policy`");
}

#[test]
fn a_quorum_nobody_can_reach_is_refused_and_a_doubtful_one_named() {
    let policy = |roles: &str| {
        format!(
            "bgctl_policy: 1\npersons:\n  alice: {{ principals: [a@x] }}\n  bob: {{ principals: [b@x] }}\n  deploy: {{ principals: [c@x], kind: bot }}\nroles:\n  rm: {{ {roles} }}\nchange: {{ role: rm }}\n"
        )
    };
    // A bot fills no quorum.
    assert_eq!(
        wrong(&policy("members: [alice, bob, deploy], quorum: 3")),
        ["7:31 BG0132 `deploy` in role `rm` is a bot", "7:48 BG0131 role `rm` wants 3 people to agree and has 2"]
    );
    assert_eq!(
        wrong(&policy("members: [alice, bob], quorum: 2")),
        ["7:40 BG0132 a run of any member of `rm` could never be approved"]
    );
    assert_eq!(wrong(&policy("members: [alice, bob], quorum: 2, own_run: true")), Vec::<String>::new());
    assert_eq!(wrong(&policy("members: [alice, alice, bob]")), ["7:26 BG0131 `alice` is in role `rm` twice"]);
    assert_eq!(wrong(&policy("members: [alice, bobb, bob]")), ["7:26 BG0109 there is no person `bobb`"]);
    assert_eq!(wrong(&policy("members: [a@x, bob]"))[0], "7:19 BG0109 there is no person `a@x`");
    assert_eq!(
        wrong(&policy("members: [alice, bob], within: 13h")),
        ["7:40 BG0113 an approval may be waited for at most 12h"]
    );
    assert_eq!(
        wrong(&policy("members: [alice, bob], evidence: prompt")),
        ["7:42 BG0132 role `rm` takes a typed word, but forbids the runner, who alone can type it"]
    );
    let unguarded = policy("members: [alice, bob]").replace("change: { role: rm }\n", "");
    assert_eq!(wrong(&unguarded), ["1:1 BG0133 every writer of this file can change who may approve"]);
    let anchors = policy("members: [alice, bob]") + "anchors: { required: 2, to: [{ file: /mnt }] }\n";
    assert_eq!(wrong(&anchors), ["9:22 BG0131 2 anchors are required and 1 are named"]);
}

#[test]
fn a_name_or_a_key_of_two_people_is_refused() {
    let text = WHOLE.replace("[bob@example.com]", "[bob@example.com, alice@laptop]");
    assert_eq!(wrong(&text), ["4:40 BG0130 `alice@laptop` is both `alice` and `bob`",]);
    let pattern = WHOLE.replace("[bob@example.com]", "[\"*@example.com\"]").replace("ci: [alice-gh]", "ci: [\"*\"]");
    assert_eq!(wrong(&pattern), ["4:23 BG0105 entry 1 of `principals` is not a person's name"]);
    let pattern = WHOLE.replace("ci: [alice-gh]", "ci: [\"*\"]");
    assert_eq!(wrong(&pattern), ["3:64 BG0130 `*` in `ci` of `alice` is not one name"]);
    let (one, two) = (SessionKey::from_seed([1; 32]), SessionKey::from_seed([2; 32]));
    let line = |who: &str, key: &SessionKey| trust::line(who, &key.public());
    let signers =
        [("alice@example.com", &one), ("alice@laptop", &one), ("bob@example.com", &one), ("carol@example.com", &two)];
    let signers: String = signers.iter().map(|(who, key)| line(who, key)).collect();
    let found = parse(WHOLE).unwrap().beside(&AllowedSigners::parse(&signers).unwrap());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].code.number(), found[0].headline.as_str()), ("BG0130", "`alice` and `bob` have one key"));
    let nobody = parse(WHOLE).unwrap().beside(&AllowedSigners::default());
    assert_eq!(nobody.len(), 3);
    assert!(
        nobody[0].headline.contains("`alice` holds the role") && nobody[0].headline.contains("no key"),
        "{nobody:?}"
    );
}

#[test]
fn case_47b_another_policy_needs_the_quorum_of_the_old_one() {
    let old =
        parse(&WHOLE.replace("[alice, carol], own_run: true", "[alice, carol], quorum: 2, own_run: true")).unwrap();
    let new = WHOLE.replace("quorum: 2", "quorum: 1");
    let (alice, carol, bob) =
        (SessionKey::from_seed([1; 32]), SessionKey::from_seed([2; 32]), SessionKey::from_seed([3; 32]));
    let of = |who: &str, key: &SessionKey| trust::line(who, &key.public());
    let signers = of("alice@example.com", &alice)
        + &of("alice@laptop", &bob)
        + &of("carol@example.com", &carol)
        + &of("bob@example.com", &SessionKey::from_seed([4; 32]));
    let signers = AllowedSigners::parse(&signers).unwrap();
    let sign = |name: &str, key: &SessionKey, space: &str, text: &str| {
        (name.to_string(), key.sign(space, text.as_bytes()).unwrap())
    };
    let now = "2026-11-21T12:00:00Z".parse().unwrap();
    let by = |signatures: &[(String, String)]| judge(&old.policy, &new, signatures, &signers, now);

    let both = [sign("a", &alice, namespace::POLICY, &new), sign("c", &carol, namespace::POLICY, &new)];
    let good = by(&both);
    assert!(good.holds() && good.by == ["alice", "carol"], "{good:?}");
    // Two keys of one person are one person.
    let one = by(&[both[0].clone(), sign("l", &bob, namespace::POLICY, &new)]);
    assert!(!one.holds() && one.by == ["alice"], "{one:?}");
    // Somebody without the role, the old text, another purpose, a stranger.
    for (name, signature, words) in [
        ("role", sign("b", &SessionKey::from_seed([4; 32]), namespace::POLICY, &new), "does not hold the role"),
        ("text", sign("c", &carol, namespace::POLICY, WHOLE), "does not fit the content"),
        ("purpose", sign("c", &carol, namespace::APPROVE, &new), "was made for `bgctl-approve-v1`"),
        ("stranger", sign("x", &SessionKey::from_seed([9; 32]), namespace::POLICY, &new), "in no allowed-signers file"),
    ] {
        let judged = by(&[both[0].clone(), signature]);
        assert!(!judged.holds() && judged.remarks.join("\n").contains(words), "{name}: {judged:?}");
    }
}

#[test]
fn a13_a_run_that_asked_nobody_is_measured_against_a_policy_that_has_approvers() {
    let policy = parse(WHOLE).unwrap().policy;
    let unasked = |change: fn(&mut Plan)| {
        let mut plan = crate::rig::plan();
        plan.forward[0].approval = None;
        change(&mut plan);
        let mut found = compare(&plan, &policy);
        found.retain(|what| what.contains("no step of the plan asks"));
        found
    };
    let found = unasked(|_| {});
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("`shift-10`") && found[0].contains("`release-managers`"), "{found:?}");
    assert!(found.iter().all(|what| !what.contains("security-owners")), "who changes the policy approves no run");
    let asks: fn(&mut Plan) = |plan| plan.forward[1].approval = crate::rig::plan().forward[0].approval.take();
    let cases: [fn(&mut Plan); 4] = [
        asks,
        |plan| plan.environment = LAB.into(),
        |plan| plan.purpose = Purpose::RollbackWithoutRun,
        |plan| plan.forward.iter_mut().for_each(|step| step.moves = None),
    ];
    for change in cases {
        assert_eq!(unasked(change), Vec::<String>::new());
    }
}

#[test]
fn the_page_shows_a_policy_that_can_be_used() {
    let page = include_str!("../../src/policy/policy.md");
    let (_, rest) = page.split_once("```yaml\n").expect("the page shows one");
    let (yaml, _) = rest.split_once("```").expect("a fence has an end");
    assert!(yaml.contains("change:"), "{yaml}");
    assert_eq!(wrong(yaml), Vec::<String>::new(), "{yaml}");
}
