//! Runbooks: the files people copy are right, and every mistake of a broken one is pinned as it is shown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bgctl::cli::check;
use bgctl::compile::{self, Draft};
use bgctl::diag::{Diagnostic, Kind};
use bgctl::plan::{Plan, Split};
use bgctl::runbook::{Inputs, Language, Source};
use bgctl::secret::Known;
use serde_json::json;

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    files
}

/// Runs the command on one file, named as it is from the package's folder.
fn checked(path: &Path, strict: bool) -> (u8, String) {
    let relative = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
    let args = check::Args {
        files: vec![relative.to_str().unwrap().into()],
        strict,
        live: false,
        vars: Vec::new(),
        swap: false,
        ci: false,
        policy: None,
    };
    let env =
        ["SLACK_SIGNING_SECERT", "SLACK_WEBHOOK_URL"].map(|name| (name.to_string(), "a-secret-value".to_string()));
    let env = BTreeMap::from(env);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = check::run(&args, &mut out, &mut err, &env, &Known::default(), false, false).unwrap();
    (exit.code(), String::from_utf8(out).unwrap() + &String::from_utf8(err).unwrap())
}

#[test]
fn runbooks_people_copy_are_right() {
    let files = files("runbooks");
    assert!(files.len() >= 3);
    for file in files {
        let (code, shown) = checked(&file, false);
        assert_eq!(code, 0, "{shown}");
    }
}

/// G16: a variable is needed only by what refers to it.
#[test]
fn g16_only_a_gate_of_prometheus_needs_its_address() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/runbooks/first-shift.yaml")).unwrap();
    let of = |gate: &str| {
        let text: String =
            text.lines().filter(|line| !line.starts_with("prometheus:")).map(|l| format!("{l}\n")).collect();
        let (before, rest) = text.split_once("gates:\n").unwrap();
        let after = rest.find("\n\n").map_or("", |end| &rest[end..]);
        let source = Source { path: "r.yaml".into(), text: format!("{before}gates:\n  errors: {gate}\n{after}") };
        let draft = Draft::new(&source, &Inputs::default(), None).unwrap_or_else(|found| panic!("{found:?}"));
        draft.runbook.references.iter().any(|reference| reference.text.contains("PROMETHEUS_URL"))
    };
    assert!(of("{ prometheus: 'max by (color) (queue_depth)', max: 5 }"));
    assert!(!of("{ http: { url: \"{url}/signals\", value: /queue }, max: 5 }"));
}

/// `BLESS=1` writes the outputs anew; read the difference before you commit it.
#[test]
#[expect(clippy::disallowed_methods, reason = "`BLESS` is a wish of whoever runs the test")]
fn every_mistake_is_shown_as_pinned() {
    let files = files("tests/fixtures/broken");
    assert!(files.len() >= 10);
    let mut wrong = Vec::new();
    for file in files {
        let (code, shown) = checked(&file, false);
        assert_eq!(code, 65, "{}: {shown}", file.display());
        assert!(shown.contains("next: "), "{shown}");
        let pinned = file.with_extension("out");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&pinned, &shown).unwrap();
        } else if std::fs::read_to_string(&pinned).unwrap_or_default() != shown {
            wrong.push(format!("{}\n{shown}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "not as pinned:\n{}", wrong.join("\n\n"));
}

/// A runbook of this many steps that each do nothing but look.
fn long(steps: usize) -> String {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks/first-shift.yaml")).unwrap();
    let step = |n: usize| {
        format!("  - id: look-{n}\n    smoke: {{ stack: green, expect: [{{ path: /healthz, contains: ok }}] }}\n")
    };
    let many: String = (0..steps).map(step).collect();
    text.replace("steps:\n  - id: look", &format!("steps:\n{many}  - id: look"))
}

fn compiled(text: &str, vars: &[(&str, &str)], swap: bool) -> Result<Plan, Vec<Diagnostic>> {
    let source = Source::new("runbook.yaml", text);
    let given = vars.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Ok(Draft::new(&source, &Inputs { given, swap, ..Inputs::default() }, None)?.plan)
}

fn example(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks").join(name)).unwrap()
}

#[test]
fn a_plan_walks_the_splits_and_says_where_each_step_stands() {
    let text = example("slackbot-alb.yaml");
    let plan = compiled(&text, &[], false).unwrap();
    let moves: Vec<String> = plan
        .forward
        .iter()
        .chain(&plan.rollback)
        .filter_map(|step| step.moves.as_ref())
        .map(|moves| format!("{} -> {}", moves.before, moves.after))
        .collect();
    let wanted = [
        "BLUE 100 GREEN 0 -> BLUE 90 GREEN 10",
        "BLUE 90 GREEN 10 -> BLUE 50 GREEN 50",
        "BLUE 50 GREEN 50 -> BLUE 0 GREEN 100",
        "BLUE 0 GREEN 100 -> BLUE 100 GREEN 0",
    ];
    assert_eq!(moves, wanted);
    for step in plan.forward.iter().chain(&plan.rollback) {
        let line: usize = step.place.strip_prefix("runbook.yaml:").unwrap().parse().unwrap();
        assert_eq!(text.lines().nth(line - 1).unwrap().trim(), format!("- id: {}", step.id));
    }
    assert_eq!(plan.gates["errors"]["url"], "http://prometheus.internal:9090");
    assert_eq!(plan.routes["web"].min_healthy, 2);
    assert!(plan.policy.schema_safe);
    let approval = plan.forward.iter().find_map(|step| step.approval.as_ref()).unwrap();
    assert_eq!((approval.quorum, approval.within_s, approval.members.len()), (1, 1800, 2));
    let on_the_word = |text: &str| {
        let plan = compiled(text, &[], false).unwrap();
        plan.warnings.iter().any(|w| w.contains("shared store"))
    };
    assert!(!on_the_word(&text), "the check `dedup` looks into it");
    assert!(on_the_word(&text.replace("exactly-once, dedup]", "exactly-once]")));
    let keys = |key: &str| compiled(&text.replace("dedup:evt:{team_id}:{event_id}", key), &[], false).is_ok();
    assert!(keys("seen:{event_id}") && !keys("seen:{envelope_id}") && !keys("{event_id}:{colour}"));
    assert_eq!(compiled(&text, &[], false).unwrap().canonical(), plan.canonical(), "the same file gives the same plan");
}

#[test]
fn swap_exchanges_stacks_and_both_sides_of_routes() {
    let judged = example("first-shift.yaml");
    let wrong = compiled(&judged, &[], true).unwrap_err();
    assert!(wrong.iter().any(|d| d.code.number() == "BG0125"), "gates know stacks by labels that do not change places");
    let gates = judged.find("prometheus: http").unwrap()..judged.find("steps:").unwrap();
    let bake = "  - id: bake-100\n    bake: { for: 10m, gates: [errors] }\n";
    let text = judged.replace(&judged[gates], "").replace(bake, "");
    let (plain, swapped) = (compiled(&text, &[], false).unwrap(), compiled(&text, &[], true).unwrap());
    assert_eq!((&plain.blue, &plain.green), (&swapped.green, &swapped.blue));
    let side = |plan: &Plan, name: &str| plan.routes["web"].config[name].clone();
    assert_eq!((side(&plain, "blue"), side(&plain, "green")), (side(&swapped, "green"), side(&swapped, "blue")));
    assert_eq!(plain.forward.len(), swapped.forward.len());
}

#[test]
fn labels_go_with_their_stacks_and_so_gates_may_be_exchanged() {
    let text = example("first-shift.yaml").replace("version: \"1.20\",", "version: \"1.20\", label: old,");
    let wrong = compiled(&text, &[], true).unwrap_err();
    assert!(wrong.iter().any(|d| d.code.number() == "BG0125"), "one of them is not enough");
    let plan = compiled(&text.replace("version: \"1.21\",", "version: \"1.21\", label: new,"), &[], true).unwrap();
    assert_eq!((plan.blue.label.as_deref(), plan.green.label.as_deref()), (Some("new"), Some("old")));
}

/// Both ways of turning a file that leaves it open which stack is blue.
#[test]
fn of_a_and_b_either_may_be_blue() {
    let text = example("every-release.yaml")
        .replace("\"${var.blue_url}\"", "http://a.test")
        .replace("\"${var.green_url}\"", "http://b.test");
    let arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012";
    let group = |name: &str| format!("{arn}:targetgroup/{name}/6d0ecf831eec9f09");
    let rule = format!("{arn}:listener-rule/app/bot/50dc6c495c0c9188/0467ef3c8400ae65/8c1f3f0a1e2d3c4b");
    let text = text.replace("${var.rule_arn}", &rule).replace("${var.blue_target_group}", &group("one"));
    let text =
        text.replace("${var.green_target_group}", &group("two")).replace("\"${var.prometheus_url}\"", "http://p.test");
    let text: String = text
        .lines()
        .filter(|line| !line.ends_with("_arn:") && !line.ends_with("_group:") && !line.ends_with("_url:"))
        .map(|line| format!("{line}\n"))
        .collect();
    let text =
        text.replace("${var.public_url}", "http://public.test").replace("${var.prometheus_url}", "http://p.test");
    for (swap, blue, green) in [(false, "a", "b"), (true, "b", "a")] {
        let plan = compiled(&text, &[("release", "v9")], swap).unwrap_or_else(|found| panic!("{found:#?}"));
        assert_eq!(
            (&*plan.blue.url, &*plan.green.url),
            (&*format!("http://{blue}.test"), &*format!("http://{green}.test"))
        );
        assert_eq!(plan.blue.version, format!("{blue} (version not read)"), "nobody has looked");
        let sides = [if swap { "two" } else { "one" }, if swap { "one" } else { "two" }].map(group);
        let config = &plan.routes["web"].config;
        assert_eq!((&config["blue"], &config["green"]), (&json!(sides[0]), &json!(sides[1])));
        assert_eq!(
            plan.blue.label.as_deref(),
            Some(if swap { "green" } else { "blue" }),
            "a label goes with its stack"
        );
    }
    let table = [
        ("  a: { url: http://a.test,", "  blue: { url: http://a.test,", "BG0114", "`blue` and `green`, or `a` and `b`"),
        ("  b: { url: http://b.test, label: green }", "", "BG0103", "`stacks` lacks `b`"),
        ("  version: { path: /version, header: x-bot-version }", "", "BG0103", "`stacks` lacks `version`"),
        ("  release: ${var.release}", "", "BG0103", "`stacks` lacks `release`"),
        (
            "a: { url: http://a.test,",
            "a: { version: v1, url: http://a.test,",
            "BG0102",
            "unknown field `version` in `a`",
        ),
        ("      a: arn", "      blue: arn", "BG0102", "unknown field `blue` in a route's settings"),
        ("http://b.test", "http://a.test", "BG0114", "both stacks have the same address"),
        ("6d0ecf831eec9f09\n      b", "6d0ecf831eec9\n      b", "BG0119", "`blue` is not"),
    ];
    for (old, new, code, words) in table {
        let broken = text.replacen(old, new, 1);
        assert_ne!(broken, text, "{old}");
        let found = compiled(&broken, &[("release", "v9")], false).unwrap_err();
        let right = found.iter().find(|d| d.code.number() == code && d.headline.contains(words));
        let right = right.unwrap_or_else(|| panic!("{new}: {found:#?}"));
        let note = right.notes.iter().any(|note| note == "`a` of the file is blue here, and `b` is green");
        // With all four names it is not known which are meant.
        let speaks = ["blue", "green"].iter().any(|name| format!("{} {}", right.headline, right.label).contains(name));
        let speaks = speaks && !right.headline.contains("`a` and `b`");
        assert_eq!(note, speaks, "{right:?}");
    }
    let fixed = example("first-shift.yaml").replace("stacks:\n", "stacks:\n  release: v9\n");
    assert!(
        compiled(&fixed, &[], false)
            .unwrap_err()
            .iter()
            .any(|d| d.headline == "`release: v9` is for stacks `a` and `b`")
    );
    let nowhere = text.replace("routes:\n  web:", "routes: {}\nx:\n  web:");
    assert!(compiled(&nowhere, &[("release", "v9")], false).is_err());
}

/// Users of a record follow as late as its TTL: a drain that ends before says nothing of them.
#[cfg(feature = "dns")]
#[test]
fn a_drain_lasts_as_long_as_users_follow_late() {
    let text = example("dns-record.yaml");
    for (drain, fits) in
        [("within: 59s", false), ("within: 60s", true), ("longest_job: 30s", false), ("longest_job: 2m", true)]
    {
        let back = "rollback:\n  owner: you@example.com\n  steps:\n";
        assert!(text.contains(back));
        let text = text.replace(back, &format!("  - id: drain-blue\n    drain: {{ stack: blue, {drain} }}\n\n{back}"));
        let found =
            compiled(&text, &[], false).map_err(|found| found.into_iter().map(|d| d.headline).collect::<Vec<_>>());
        match fits {
            true => assert!(found.is_ok(), "{drain}: {found:?}"),
            false => assert!(
                found.unwrap_err().iter().any(|line| line.contains("`drain-blue` ends before users")),
                "{drain}"
            ),
        }
    }
}

#[test]
fn the_live_split_and_line_come_from_facts() {
    let text = example("slackbot-alb.yaml");
    let source = Source::new("runbook.yaml", &text);
    let draft = Draft::new(&source, &Inputs::default(), None).unwrap_or_else(|e| panic!("{e:?}"));
    let (line, split) = ("alb public:443 rule 10".to_string(), Split { blue: 80, green: 20 });
    let live = compile::Seen { line, split, resources: vec!["alb rule 10".into()] };
    let facts = compile::Facts { routes: BTreeMap::from([("web".into(), live)]), ..compile::Facts::default() };
    let plan = draft.against(&facts).unwrap();
    assert_eq!(plan.routes["web"].line, "alb public:443 rule 10");
    assert_eq!(plan.routes["web"].known_by(), ["alb rule 10"]);
    assert_eq!(compile::not_on_blue(&plan), Some(("web", Split { blue: 80, green: 20 })));
    let first = plan.forward.iter().find_map(|step| step.moves.as_ref()).unwrap();
    assert_eq!(first.before, Split { blue: 80, green: 20 });
}

#[test]
fn the_ratchet_follows_change_and_writes() {
    let text = example("slackbot-alb.yaml");
    for (change, writes, safe) in [
        ("none", "", true),
        ("expand", "  green_writes: compatible\n", true),
        ("expand", "", false),
        ("none", "  green_writes: incompatible\n", false),
        ("contract", "  green_writes: compatible\n", false),
        ("incompatible", "  green_writes: compatible\n", false),
        ("expand", "  green_writes: unknown\n", false),
    ] {
        let section = format!("schema:\n  change: {change}\n{writes}");
        let text = text.replace("schema:\n  change: expand\n  green_writes: compatible\n", &section);
        let policy = compiled(&text, &[], false).unwrap().policy;
        assert_eq!((policy.schema_safe, policy.schema_reason.is_none()), (safe, safe), "{section}");
    }
}

#[test]
fn the_lab_fills_the_quickstart() {
    let arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012";
    let rule = format!("{arn}:listener-rule/app/bot/50dc6c495c0c9188/0467ef3c8400ae65/8c1f3f0a1e2d3c4b");
    let (blue, green) =
        (format!("{arn}:targetgroup/blue/6d0ecf831eec9f09"), format!("{arn}:targetgroup/green/73e2d6bc24d8a067"));
    let vars = [
        ("rule_arn", rule.as_str()),
        ("blue_target_group", &blue),
        ("green_target_group", &green),
        ("public_url", "http://127.0.0.1:4000"),
        ("blue_url", "http://127.0.0.1:4001"),
        ("green_url", "http://127.0.0.1:4002"),
        ("prometheus_url", "http://127.0.0.1:4003"),
    ];
    let text = example("quickstart.yaml");
    let source = Source::new("runbook.yaml", &text);
    let ambient = vars.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
    let inputs = Inputs { ambient, ..Inputs::default() };
    let draft = Draft::new(&source, &inputs, None).unwrap_or_else(|e| panic!("{e:?}"));
    assert!(draft.refuse_missing().is_none());
    let Draft { runbook, plan, .. } = draft;
    assert_eq!(plan.routes["web"].config["rule"], rule);
    assert_eq!(plan.environment, "lab");
    let text = plan.canonical();
    assert!(text.contains("${env:SLACK_SIGNING_SECRET}") && !text.contains("${var."));
    let seconds: u64 = plan.forward.iter().map(|step| step.expected_s).sum();
    assert!(seconds <= 75, "{seconds}");

    let webhook = ("SLACK_WEBHOOK_URL".to_string(), "https://hooks.slack.test/x".to_string());
    let secret = |name: &str| BTreeMap::from([(name.to_string(), "0123456789abcdef".to_string()), webhook.clone()]);
    let env = secret("SLACK_SIGNING_SECRET");
    let secrets = bgctl::runbook::resolve(&runbook, &source, &env).unwrap();
    assert_eq!(secrets.resolve("${env:SLACK_SIGNING_SECRET}"), "0123456789abcdef");
    let env = secret("SLACK_SIGNING_SECERT");
    let refusal = bgctl::runbook::resolve(&runbook, &source, &env).unwrap_err();
    assert_eq!((refusal.code.number(), refusal.kind), ("BG0201", Kind::Environment));
    assert!(refusal.next.iter().any(|n| n.contains("SLACK_SIGNING_SECERT")), "{refusal}");
    let env = BTreeMap::from([("SLACK_SIGNING_SECRET".to_string(), "short".to_string())]);
    assert_eq!(bgctl::runbook::resolve(&runbook, &source, &env).unwrap_err().code.number(), "BG0207");
}

#[test]
fn without_its_variables_the_quickstart_is_refused_by_name() {
    let text = example("quickstart.yaml");
    let source = Source::new("runbook.yaml", &text);
    let runbook = Language::default().parse(&source, &Inputs::default()).unwrap_or_else(|e| panic!("{e:?}"));
    let refusal = runbook.refuse_missing(&source).unwrap();
    assert_eq!((refusal.code.number(), refusal.kind, refusal.place.len()), ("BG0206", Kind::Environment, 7));
}

#[test]
fn a_thousand_steps_compile_and_nothing_is_lost() {
    let plan = compiled(&long(1000), &[], false).unwrap();
    assert_eq!(plan.forward.len(), 1003);
}

#[test]
fn a_file_of_50_mb_or_not_of_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.yaml");
    std::fs::File::create(&path).unwrap().set_len(50 << 20).unwrap();
    assert!(Source::read(path.to_str().unwrap()).unwrap_err().headline.contains("longer than 1 MiB"));
    let path = folder.path().join("bytes.yaml");
    std::fs::write(&path, b"bgctl: 1\nservice: \xff\xfe\n").unwrap();
    let refusal = Source::read(path.to_str().unwrap()).unwrap_err();
    assert!(refusal.headline.contains("not UTF-8") && refusal.place[1].contains("line 2"), "{refusal}");
    assert!(Source::read(folder.path().to_str().unwrap()).is_err());
    assert!(Source::read("no/such/file.yaml").is_err());
}

proptest::proptest! {
    /// Cutting a runbook anywhere, or putting any character anywhere, never makes the reader panic.
    #[test]
    fn nothing_makes_it_panic(at in 0usize..4000, cut in proptest::bool::ANY, c in proptest::char::any()) {
        let mut text = example("slackbot-alb.yaml");
        let at = (0..=at.min(text.len())).rev().find(|n| text.is_char_boundary(*n)).unwrap();
        if cut { text.truncate(at) } else { text.insert(at, c) }
        if let Err(found) = compiled(&text, &[], false) {
            for diagnostic in found {
                diagnostic.render("runbook.yaml", &text, false);
            }
        }
    }
}

#[test]
fn the_schema_is_one_that_editors_can_read() {
    let schema = Language::default().schema;
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let step = &schema["$defs"]["Step"];
    for kind in ["shift", "bake", "smoke", "warm", "drain"] {
        assert!(step["properties"][kind].is_object(), "{kind}");
    }
    assert!(step["properties"].get("(kind)").is_none());
    assert_eq!(step["additionalProperties"], false);
}

#[test]
fn machines_get_json() {
    let args = check::Args {
        files: vec!["tests/fixtures/broken/names.yaml".into(), "runbooks/slackbot-alb.yaml".into(), "none.yaml".into()],
        live: false,
        strict: false,
        vars: Vec::new(),
        swap: false,
        ci: false,
        policy: None,
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = check::run(&args, &mut out, &mut err, &BTreeMap::new(), &Known::default(), false, true).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((exit.code(), err.len()), (65, 0));
    assert_eq!(report["ok"], false);
    let found = report["files"][0]["found"].as_array().unwrap();
    let wrong = found.iter().find(|d| d["code"] == "BG0109").unwrap();
    assert_eq!((&wrong["line"], &wrong["column"]), (&serde_json::json!(26), &serde_json::json!(21)));
    assert_eq!(report["files"][1]["ok"], true);
    assert_eq!(report["files"][2]["ok"], false);
}

#[test]
fn strict_makes_warnings_count() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks/slackbot-alb.yaml");
    let (code, shown) = checked(&path, true);
    assert_eq!(code, 65, "{shown}");
    assert!(shown.contains("--strict"), "{shown}");
}

/// A runbook under a policy: the headlines of what is wrong, or its plan.
fn under(policy: &str, text: &str) -> Result<Plan, Vec<String>> {
    let policy = bgctl::policy::PolicyFile::parse(Source::new("policy.yaml", policy)).expect("a good policy");
    let source = Source::new("runbook.yaml", text);
    Draft::new(&source, &Inputs::default(), Some(&policy)).map(|draft| draft.plan).map_err(|found| {
        let errors = found.into_iter().filter(|d| d.severity == bgctl::diag::Severity::Error);
        errors.map(|d| format!("{} {}", d.code, d.headline)).collect()
    })
}

#[test]
fn a_runbook_under_a_policy_may_only_ask_for_more() {
    const POLICY: &str = "bgctl_policy: 1
persons:
  platform: { principals: [platform@example.com] }
  one: { principals: [rm-one@example.com, rm-one@laptop] }
  two: { principals: [rm-two@example.com] }
  three: { principals: [rm-three@example.com] }
roles:
  release-managers: { members: [one, two, three], quorum: 2, within: 45m, evidence: signed-hw }
change: { role: release-managers }
";
    let text = example("slackbot-alb.yaml");
    let role = "  release-managers: { members: [rm-one@example.com, rm-two@example.com], quorum: 1 }\n";
    let with = |written: &str| text.replace(role, written);
    let rule = |plan: Plan| plan.forward.into_iter().find_map(|step| step.approval).expect("an approval");

    // Without a role of its own: the policy's, as persons.
    let bare = with("").replace("roles:\n", "");
    let plan = under(POLICY, &bare).unwrap();
    assert_eq!(plan.team.persons.len(), 4);
    assert_eq!(plan.team.person("rm-one@laptop"), Some("one"));
    assert_eq!((plan.team.person("stranger@example.com"), plan.team.person("one")), (None, None));
    let resolved = rule(plan);
    assert_eq!(resolved.members, ["one", "two", "three"]);
    assert_eq!((resolved.quorum, resolved.evidence.name(), resolved.within_s), (2, "signed-hw", 1800));

    // Fewer people to choose from, and all of them: stricter.
    let fewer = with("  release-managers: { members: [rm-one@example.com, rm-two@example.com], quorum: 2 }\n");
    assert_eq!(rule(under(POLICY, &fewer).unwrap()).members, ["one", "two"]);
    // Less than the policy asks for, each named.
    assert_eq!(
        under(POLICY, &text).unwrap_err(),
        ["BG0134 role `release-managers` asks for 1 people, the policy for 2"]
    );
    let laxer = with(
        "  release-managers: { members: [rm-one@example.com, rm-two@example.com, eve@example.com], quorum: 2, own_run: true }\n  friends: { members: [eve@example.com] }\n",
    );
    assert_eq!(
        under(POLICY, &laxer).unwrap_err(),
        [
            "BG0134 `eve@example.com` does not hold the role `release-managers` in the policy",
            "BG0134 role `release-managers` lets the runner approve, the policy does not",
            "BG0134 the policy has no role `friends`",
        ]
    );
    let slow = bare.replace("within: 30m, at_expiry", "within: 50m, at_expiry");
    assert_eq!(
        under(POLICY, &slow).unwrap_err(),
        ["BG0134 the policy lets an approval of `release-managers` wait for at most 45m"]
    );
    let stranger = bare.replace("owners: [platform@example.com]", "owners: [nobody@example.com]");
    assert_eq!(under(POLICY, &stranger).unwrap_err(), ["BG0134 owner `nobody@example.com` is no person of the policy"]);
    let unknown = bare.replace("role: release-managers", "role: release-manager");
    assert_eq!(under(POLICY, &unknown).unwrap_err(), ["BG0109 there is no role `release-manager`"]);

    // The way back agreed to inside the shift stands in the plan, so in what is signed.
    let covering = bare.replace("at_expiry: roll-back }", "covers: rollback }");
    let plan = under(POLICY, &covering).unwrap();
    let at = plan.forward.iter().position(|step| step.approval.is_some()).unwrap();
    let at = bgctl::plan::StepRef { lane: bgctl::plan::Lane::Forward, index: at };
    assert!(plan.step(at).approval.as_ref().unwrap().covers_rollback);
    let binding = bgctl::people::request::Binding {
        run: "run",
        requested_by: "me",
        trigger: None,
        nonce: "00",
        until: bgctl::people::request::Until { expires: 1, use_by: None },
        measured: &[],
    };
    let request = bgctl::people::request::build(&plan, at, &binding);
    assert!(request.contains(&plan.rollback[0].sha256()), "{request}");
    let shown = bgctl::people::shown::Shown::read(&request).unwrap();
    let deciding = shown.decides("2026-11-21T00:00:00Z".parse().unwrap());
    assert!(deciding.iter().any(|row| row.head == "also agrees"), "{deciding:#?}");
    assert!(shown.details().iter().any(|row| row.head == "also agrees"), "{shown:#?}");
}

/// Every file that people copy from, and every page: none of them holds a secret, and none is taken for one that does.
#[test]
fn no_file_and_no_page_of_ours_is_taken_for_one_with_a_secret() {
    fn all(folder: &Path, found: &mut Vec<PathBuf>) {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.extension().and_then(|e| e.to_str()) {
                _ if path.is_dir() => all(&path, found),
                Some("yaml" | "yml" | "md" | "json" | "out" | "txt" | "sh" | "py" | "js") => found.push(path),
                _ => {}
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md")];
    ["src", "runbooks", "examples", "tests/fixtures"].iter().for_each(|folder| all(&root.join(folder), &mut files));
    files.retain(|path| !path.ends_with("broken/secrets.yaml"));
    assert!(files.len() > 80, "{}", files.len());
    for path in files {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let found = bgctl::secret::find(&text, bgctl::secret::Reading::Prose);
        let found: Vec<&str> = found.into_iter().map(|found| &text[found.span]).collect();
        assert!(found.is_empty(), "{}: {found:?}", path.display());
        if path.extension().is_some_and(|e| e == "yaml") {
            let source = Source::new(path.display().to_string(), text);
            let found = match Language::default().parse(&source, &Inputs::default()) {
                Ok(runbook) => runbook.found,
                Err(found) => found,
            };
            assert!(found.iter().all(|d| d.code != bgctl::diag::Code::SecretInFile), "{}: {found:?}", path.display());
        }
    }
}
