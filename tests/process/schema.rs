//! The schema ratchet from outside: the real binary, a lab with live users, a real PostgreSQL and a second person.

use bgctl::lab::Fault;

use crate::common::peer;
use crate::common::postgres::Postgres;
use crate::rig::*;

const OTTO: &str = "otto@example.com";

/// A desk whose cutover has a second owner, with a key of his own.
fn desk(world: &World, schema: &str, steps: &str) -> Desk {
    let desk = Desk::beside(world);
    let otto = desk.path("otto").display().to_string();
    desk.run(&["keys", "create", "--out", &otto]).ends(0);
    let public = |name: &str| std::fs::read_to_string(desk.path(name)).unwrap();
    std::fs::create_dir_all(desk.path(".bgctl")).unwrap();
    std::fs::create_dir_all(desk.path("migrations")).unwrap();
    desk.write(".bgctl/allowed_signers", &format!("{OWNER} {}{OTTO} {}", public("key.pub"), public("otto.pub")));
    let runbook = RUNBOOK
        .replace("owners: [owner@example.com]", &format!("owners: [{OWNER}, {OTTO}]"))
        .replace("schema:\n  change: none\n", schema)
        .replace("steps:\n  - id: warm-green", &format!("steps:\n{steps}  - id: warm-green"));
    desk.write("runbook.yaml", &runbook);
    desk
}

/// Back all the same: a word, a reason, and Otto's signature.
fn back_with_otto(desk: &Desk, world: &World, stays: u32) {
    desk.run(&["rollback", "--yes", "--override", "schema"]).ends(64).says(&["BG0175"]);
    desk.run(&["rollback", "--yes", "--override", "schema", "--reason", "no"]).ends(64).says(&["BG0175"]);
    let reason = "green charges twice";
    desk.run(&["rollback", "--yes", "--override", "schema", "--reason", reason])
        .ends(30)
        .says(&["approval of back-to-blue is missing", OTTO]);
    assert_eq!(world.green(), stays, "nobody has agreed yet");
    // Whoever runs it cannot agree to it.
    desk.run(&["approve", "--confirm", "0"]).ends(77).says(&["cannot approve it"]);
    let otto = desk.path("otto").display().to_string();
    desk.run(&["approve", "--confirm", "0", "--key", &otto]).ends(0).says(&[reason]);
    desk.run(&["resume"]).ends(10);
    assert_eq!(world.green(), 0);
    desk.run(&["audit", "verify", "--allowed-signers", ".bgctl/allowed_signers"]).ends(0).says(&["COMPLETE"]);
    // And so says the script of standard tools, which shares no line with it.
    if ["jq", "ssh-keygen", "sha256sum", "cmp"].into_iter().all(|program| peer(program).is_some()) {
        desk.shell(&format!("{BGCTL} audit verify-script > verify.sh")).end(20).ends(0);
        let log = desk.runs().pop().unwrap().join("log.jsonl").display().to_string();
        desk.shell(&format!("sh verify.sh {log} .bgctl/allowed_signers")).end(60).ends(0).says(&["COMPLETE"]);
    }
    let records = desk.records();
    let used = records.iter().find(|r| r["type"] == "override.used").expect("the record of it");
    assert_eq!(used["data"]["reason"], reason);
}

#[test]
fn a_contract_in_the_migrations_halts_and_waits_for_a_second_person() {
    let world = World::new(&[Fault::GreenErrors]);
    let schema = "schema:\n  change: expand\n  green_writes: compatible\n  migrations: ./migrations\n";
    let desk = desk(&world, schema, "");
    desk.write(
        "migrations/1_a.sql",
        "alter table users add column phone text;\nalter table users\n  drop column old;\n",
    );
    desk.run(&["check", "runbook.yaml"]).ends(0).says(&[
        "expand    1_a.sql:1  alter table users add column phone text",
        "contract  1_a.sql:2  alter table users drop column old",
        "1_a.sql:2:1",
        "forward or page",
    ]);
    desk.run(&["plan", "runbook.yaml"]).ends(0).says(&["FORWARD OR PAGE", "No automatic rollback", "1_a.sql:2", OTTO]);
    desk.cutover().end(60).ends(20).says(&["forward or page", "--override schema"]);
    assert_eq!((world.green(), world.turns()), (50, 0), "nobody was moved back");
    assert!(!desk.records().iter().any(|r| r["type"] == "rollback.begun"));
    desk.run(&["rollback", "--yes"]).ends(77).says(&["BG0173", "forward or page"]);
    back_with_otto(&desk, &world, 50);
    assert_eq!(world.turns(), 1);
}

#[test]
fn a_contract_step_seen_live_turns_the_way_back_into_forward_or_page() {
    let (Some(server), Some(psql)) = (Postgres::start(), peer("psql")) else { return };
    server.run("create table users (id int, phone text)");
    let world = World::new(&[Fault::GreenErrors]);
    let schema = "schema:\n  change: expand\n  green_writes: compatible\n  migrations: ./migrations\n  postgres: ${env:DATABASE_URL}\n  \
                  blue_needs: { users: [phone] }\n  checks: [{ sql: select count(*) from users where phone is not null and phone_normalized is null, equals: 0 }]\n";
    let migrate = format!(
        "  - id: migrate\n    migrate: {{ shell: '{} -X -q -v ON_ERROR_STOP=1 -d \"$DATABASE_URL\" -f migrations/1_a.sql' }}\n",
        psql.display()
    );
    let mut desk = desk(&world, schema, &migrate);
    desk.env.insert("DATABASE_URL".into(), server.url.clone());
    desk.write("migrations/1_a.sql", "alter table users add column if not exists phone_normalized text;\n");
    desk.run(&["plan", "runbook.yaml"])
        .ends(0)
        .says(&["Automatic rollback: at most", "1 columns that BLUE needs are there"]);
    let running = desk.cutover();
    desk.wait_for("step.intent", "bake-50");
    assert_eq!(server.run("select count(*) from users where phone_normalized is null"), "0", "the step has migrated");
    server.run("alter table users drop column phone");
    running.end(60).ends(20).says(&["forward or page", "BLUE needs `users.phone`"]);
    assert_eq!((world.green(), world.turns()), (50, 0));
    desk.run(&["rollback", "--yes"]).ends(77).says(&["BG0173", "forward or page"]);
    back_with_otto(&desk, &world, 50);
}

/// What the files do not show is seen where they run: the plan, `check --live` and a server that cannot be asked.
#[test]
fn a_shadow_database_sees_what_the_files_do_not_show() {
    let Some(server) = Postgres::start() else { return };
    let world = World::new(&[]);
    let schema = "schema:\n  change: expand\n  green_writes: compatible\n  migrations: ./migrations\n  since: \"1\"\n  shadow: ${env:SHADOW_URL}\n";
    let mut desk = desk(&world, schema, "");
    desk.write("migrations/1_a.sql", "create table users (id int, phone text);\ncreate function f() returns int language plpgsql as 'begin alter table users drop column phone; return 1; end';\ncreate view w as select f() as x;\n");
    desk.write("migrations/2_b.sql", "create table seen as select x from w;\n");
    desk.run(&["plan", "runbook.yaml"]).ends(78).says(&["SHADOW_URL"]);
    desk.env.insert("SHADOW_URL".into(), "postgres://bgctl:hunter2@127.0.0.1:1/postgres".into());
    let silent = desk.run(&["plan", "runbook.yaml"]).ends(69);
    silent.says(&["the migrations cannot be tried", "PostgreSQL gives no answer", "schema.shadow: ${env:SHADOW_URL}"]);
    desk.env.insert("SHADOW_URL".into(), server.url.clone());
    desk.run(&["check", "runbook.yaml"]).ends(0).says(&["1 migration since blue: rollback may be automatic"]);
    let seen = "`2_b.sql` reads as `expand` and is `contract`: `users.phone` is gone";
    desk.run(&["plan", "runbook.yaml"]).ends(0).says(&[
        "FORWARD OR PAGE",
        "the shadow database",
        "`users.phone` is gone",
    ]);
    desk.run(&["check", "--live", "runbook.yaml"]).ends(65).says(&[seen, "2_b.sql: `users.phone` is gone (contract)"]);
    desk.write("migrations/2_b.sql", "create table seen (id int);\n");
    let fine = "1 migration ran; the catalog (2 tables, 4 columns) says no more against BLUE than the files do";
    desk.run(&["plan", "runbook.yaml"])
        .ends(0)
        .says(&["Automatic rollback: at most", "1 migration ran; the catalog (2 tables, 4"]);
    desk.run(&["check", "--live", "runbook.yaml"]).says(&[fine]);
    desk.write("migrations/2_b.sql", "create table seen (id int) with oids;\n");
    desk.run(&["plan", "runbook.yaml"]).ends(0).says(&["FORWARD OR PAGE", "what they do is not known"]);
    assert_eq!(server.run("select count(*) from pg_database where datname like 'bgctl%'"), "0");
}

/// Whoever ends it in the middle leaves no database behind.
#[test]
fn a_shadow_that_is_interrupted_is_dropped() {
    let Some(server) = Postgres::start() else { return };
    let world = World::new(&[]);
    let schema = "schema:\n  change: expand\n  green_writes: compatible\n  migrations: ./migrations\n  since: \"1\"\n  shadow: ${env:SHADOW_URL}\n";
    let mut desk = desk(&world, schema, "");
    desk.env.insert("SHADOW_URL".into(), server.url.clone());
    desk.write("migrations/1_a.sql", "create table users (id int);\n");
    desk.write("migrations/2_b.sql", "create table slow as select 1 as x from pg_sleep(18);\n");
    let there = || server.run("select count(*) from pg_database where datname like 'bgctl%'");
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::HUP, rustix::process::Signal::QUIT] {
        let plan = desk.start(&["plan", "runbook.yaml"]);
        let sleeps = "select count(*) from pg_stat_activity where state = 'active' and query like '%slow as select 1%'";
        until("the migration runs", 20, || server.run(&format!("{sleeps} and pid <> pg_backend_pid()")) == "1");
        plan.signal(signal);
        plan.end(15).ends(11).says(&["interrupted while the migrations were tried"]);
        assert_eq!(there(), "0");
    }
}
