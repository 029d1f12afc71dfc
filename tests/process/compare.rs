//! `bgctl diff`, and the same comparison before a cutover. The stacks' inventories are printed by a program.

use serde_json::Value;

use crate::rig::*;

const COMPARE: &str =
    "compare:\n  inventory: { command: [sh, inventory.sh], token: \"${env:INVENTORY_TOKEN}\" }\n  within: 20s\n";

/// A desk whose two stacks differ in one secret and one image.
fn desk(world: &World) -> Desk {
    let mut desk = Desk::beside(world);
    desk.env.insert("INVENTORY_TOKEN".into(), "token-of-the-inventory".into());
    let script = r#"digest() { printf %s "$1" | openssl dgst -sha256 -hmac "$BGCTL_NONCE" -r | cut -d' ' -f1; }
[ "$BGCTL_TOKEN" = token-of-the-inventory ] || exit 3
printf '{"version": "%s", "proof": "%s", "images": {"bot": "bot:%s"}, "secrets": {"KEY": "%s"}}' \
  "$BGCTL_STACK_VERSION" "$(digest 'bgctl inventory v1')" "$BGCTL_STACK" "$(digest "swordfish-$BGCTL_STACK")"
"#;
    desk.write("inventory.sh", script);
    desk.write("runbook.yaml", &RUNBOOK.replace("schema:\n", &format!("{COMPARE}schema:\n")));
    desk
}

#[test]
fn a_difference_that_blocks_is_shown_and_stops_the_cutover() {
    let world = World::new(&[]);
    let desk = desk(&world);
    let diff = ["diff", "blue", "green", "--runbook", "runbook.yaml"];
    let shown = desk.run(&diff).ends(0).says(&[
        "secret KEY",
        "blocks",
        "image bot",
        "bot:blue",
        "web: BLUE 2/2 healthy",
        "1 would stop a cutover",
    ]);
    assert!(!shown.out.contains("swordfish") && !shown.out.contains("token-of"), "{}", shown.out);
    desk.run(&[&diff[..], &["--detailed-exitcode"]].concat()).ends(2);
    let machine = desk.run(&[&diff[..], &["-o", "json"]].concat()).ends(0);
    let machine: Value = serde_json::from_str(&machine.out).expect("one document");
    assert_eq!(machine["differences"].as_array().map(Vec::len), Some(2), "{machine}");

    desk.cutover().end(30).ends(11).says(&["BG0187", "secret `KEY` has another value on GREEN", "Nothing was changed"]);
    assert_eq!((world.green(), world.turns()), (0, 0));

    let meant = format!("{COMPARE}  expected: [\"secret KEY\", \"image bot\"]\n");
    desk.write("runbook.yaml", &RUNBOOK.replace("schema:\n", &format!("{meant}schema:\n")));
    desk.run(&[&diff[..], &["--detailed-exitcode"]].concat()).ends(0).says(&["expected", "none blocks a cutover"]);
    desk.cutover().end(60).ends(0);
    assert_eq!(world.green(), 100);
    // Without a runbook: what the newest run compared.
    desk.run(&["diff"]).ends(0).says(&["secret KEY", "expected"]);
    let log = String::from_utf8(desk.log()).unwrap();
    assert!(
        log.contains("differs from BLUE as declared") && !log.contains("swordfish"),
        "the record of arming says it"
    );
}

#[test]
fn a_runbook_that_compares_nothing_says_how() {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    desk.run(&["diff", "--runbook", "runbook.yaml"]).ends(65).says(&["BG0188", "bgctl explain compare"]);
    desk.run(&["diff", "blue", "blue"]).ends(64);
}
