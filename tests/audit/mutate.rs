//! Logs of many kinds and what may be done to them, from a seed: shared by the differential test and the fuzzer.

use std::rc::Rc;
use std::time::Duration;

use bgctl::journal::{Append, Journal, MemoryStore, Record, SealState};
use bgctl::plan::Move;
use bgctl::run::{Cause, Event, Grant, Outcome, RunOutcome};
use bgctl::sign::session::SessionKey;
use bgctl::sign::{Signer, namespace};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::forge::Forge;
use crate::rig::*;

/// Numbers from a seed (SplitMix64).
pub struct Dice {
    seed: u64,
    /// Nothing unlikely happens.
    calm: bool,
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice { seed, calm: false }
    }

    pub fn roll(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % end.max(1) as u64).unwrap()
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Whether something unlikely happens.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0 && !self.calm
    }

    /// One of the unlikely ways, by number, or none of them.
    fn way(&mut self, ways: usize, of: usize) -> Option<usize> {
        Some(self.below(of)).filter(|way| *way < ways && !self.calm)
    }
}

/// Sound logs of every kind: closed, ended, cut, resumed with a torn end, with a jump of the clock.
pub fn sound() -> Vec<Vec<u8>> {
    let ended = {
        let mut rig = Rig::new();
        rig.walk();
        rig.journal.close(SealState::Closed, None).unwrap();
        rig.store.bytes()
    };
    let resumed = {
        let mut rig = Rig::new();
        rig.arm();
        let torn = [rig.store.bytes(), b"{\"v\":1,\"seq\":".to_vec()].concat();
        let store = MemoryStore::of(torn);
        rig.clock.pass(Duration::from_secs(60));
        let (journal, _) = Journal::resume(Box::new(store.clone()), &who(), &owner(), rig.clock.clone()).unwrap();
        let mut rig = Rig { journal, store, ..rig };
        let (text, sha256) = rig.ask();
        rig.grant(&sha256, APPROVER, Some(approver().sign(namespace::APPROVE, text.as_bytes()).unwrap()));
        rig.step(0, &[sha256]);
        rig.step(1, &[]);
        rig.end();
        rig.close()
    };
    let jumped = {
        let mut rig = Rig::new();
        rig.arm();
        let (text, sha256) = rig.ask();
        rig.grant(&sha256, APPROVER, Some(approver().sign(namespace::APPROVE, text.as_bytes()).unwrap()));
        rig.step(0, &[sha256]);
        // Set back only now: an approval does not live longer for it.
        rig.clock.set(SignedDuration::from_secs(-3600));
        let line = "\u{1b}[31m \u{202e}ä€😀 \u{7f}\u{85}\u{feff}\u{2028}\u{fffb}\u{180e}\u{61c} \0\u{1f} \"\\/\t\r\n\u{8}\u{c}";
        let odd = json!({ "line": line, "näme\u{200b}": [line, { "": [], "a": {} }], "n": -9_007_199_254_740_991i64 });
        rig.journal.append(&[Record { kind: "note".into(), data: odd }]).unwrap();
        rig.step(1, &[]);
        rig.end();
        rig.close()
    };
    let whole = complete();
    let cut = lines(&whole)[..9].concat();
    vec![whole, ended, resumed, jumped, cut]
}

/// One change without any key.
pub fn harm(dice: &mut Dice, log: &[u8], other: &[u8]) -> Vec<u8> {
    let all = lines(log);
    let (a, b) = (dice.below(all.len()), dice.below(all.len()));
    let (low, high) = (a.min(b), a.max(b));
    let at = dice.below(log.len());
    // What is no JSON any more cannot be chained anew, and is harm enough.
    let chained = |lines: &[Vec<u8>]| {
        let fits = |line: &Vec<u8>| serde_json::from_slice::<Value>(line).is_ok_and(|value| value.is_object());
        if lines.iter().all(fits) { rechain(lines) } else { lines.concat() }
    };
    match dice.below(14) {
        0 | 1 => byte(dice, log, at),
        2 => [&log[..at], &log[at + 1..]].concat(),
        3 => [&log[..at], &[dice.roll() as u8][..], &log[at..]].concat(),
        4 => log[..at].to_vec(),
        5 => [&all[..low], &all[high.max(low + 1)..]].concat().concat(),
        6 => [&all[..=high], &all[low..]].concat().concat(),
        7 => {
            let mut moved = all;
            moved.swap(low, high);
            moved.concat()
        }
        8 => all[..=a].concat(),
        9 => {
            let other = lines(other);
            let from = dice.below(other.len());
            [&all[..a], &other[from..]].concat().concat()
        }
        10 => chained(&[&all[..low], &all[high.max(low + 1)..]].concat()),
        11 => {
            let mut moved = all;
            moved.swap(low, high);
            chained(&moved)
        }
        12 => word(dice, log),
        _ => {
            let changed = word(dice, log);
            chained(&lines(&changed))
        }
    }
}

fn byte(dice: &mut Dice, log: &[u8], at: usize) -> Vec<u8> {
    let mut changed = log.to_vec();
    changed[at] = match dice.below(4) {
        0 => changed[at] ^ (1 << dice.below(8)),
        1 => *dice.pick(b"\"\\{}[],: \n\r\t0123456789eE.-+\x00\x7f\xff"),
        2 => changed[at].wrapping_add(1),
        _ => dice.roll() as u8,
    };
    changed
}

/// One word of the format for another.
fn word(dice: &mut Dice, log: &[u8]) -> Vec<u8> {
    let words = [
        ("\"seq\":1", "\"seq\":2"),
        ("state open", "state closed"),
        ("bgctl-seal-v1", "bgctl-close-v1"),
        ("\"type\":\"note\"", "\"type\":\"seal\""),
        ("approval.granted", "approval.denied"),
        (APPROVER, "rm-two@example.com"),
        ("\"mono\":", "\"mono\":0"),
        ("03:02", "03:01"),
        ("lines 1", "lines 2"),
        ("{", "{ "),
        ("}\n", "}\r\n"),
        ("\\n", "\\u000a"),
        ("\"data\":{", "\"data\":{\"step\":1,"),
        ("-----BEGIN", "----BEGIN"),
        ("e", "\\u0065"),
        ("m", "ö"),
        ("o", "\u{202e}"),
        ("moved", "\\ud800"),
        ("\"index\":0", "\"index\":0.0"),
        ("\"index\":0", "\"index\":9007199254740993"),
        ("\"v\":1", "\"v\":2"),
        ("{\"v\"", "\u{feff}{\"v\""),
    ];
    let (from, to) = dice.pick(&words);
    let text = String::from_utf8_lossy(log);
    let places: Vec<usize> = text.match_indices(from).map(|(at, _)| at).collect();
    if places.is_empty() {
        return log[..log.len().saturating_sub(1)].to_vec();
    }
    let at = *dice.pick(&places);
    [&text.as_bytes()[..at], to.as_bytes(), &text.as_bytes()[at + from.len()..]].concat()
}

fn data(event: &Event) -> (String, Value) {
    let mut value = serde_json::to_value(event).unwrap();
    (value["type"].as_str().unwrap().to_string(), value["data"].take())
}

/// A log by somebody who holds the owner's and the session's keys and keeps the rules, or does not.
pub fn forged(dice: &mut Dice) -> Vec<u8> {
    let mut forge = Forge::new();
    // Every fourth one by the rules, so that not all that comes out is wrong.
    dice.calm = dice.below(4) == 0;
    if dice.one_in(12) {
        // A session that ends before the run does.
        forge.not_after = forge.now + SignedDuration::from_secs(3);
    }
    forge.open();
    let plan = plan();
    let fact = |forge: &mut Forge, event: &Event| {
        let (kind, data) = data(event);
        forge.record(&kind, &data);
    };
    fact(&mut forge, &Event::Armed { approvals_ahead: false, automatic_used: 0, checks: vec![] });
    let expires = forge.now.as_second() + 600;
    let mut text = request(&plan, expires, OWNER, None);
    let (good, bad) = (plan.id(), "ab".repeat(32));
    match dice.way(3, 10) {
        Some(0) => text = text.replace(&good, &bad),
        Some(1) => text = text.replace(RUN, "20261121-0302-zzz"),
        Some(_) => text = text.replace(&plan.step(at(0)).sha256(), &bad),
        None => {}
    }
    let request_sha256 = sha256(text.as_bytes());
    let asked = Event::ApprovalRequested {
        step: at(0),
        id: "shift-10".into(),
        request: text.clone(),
        request_sha256: request_sha256.clone(),
        expires,
        use_by: None,
    };
    fact(&mut forge, &asked);
    if dice.one_in(6) {
        forge.pass(SignedDuration::from_secs(700));
    }
    for _ in 0..if dice.calm { 1 } else { dice.below(3) } {
        answer(dice, &mut forge, &text, &request_sha256);
    }
    if dice.one_in(8) {
        let sig = Some(approver().sign(namespace::DENY, text.as_bytes()).unwrap());
        let grant = Grant { principal: APPROVER.into(), evidence: "signed".into(), key: None, sig, prompt: None };
        let (id, principal, why) = ("shift-10".into(), APPROVER.into(), "taken back".into());
        let (request_sha256, grant) = (request_sha256.clone(), (!dice.one_in(4)).then_some(grant));
        fact(&mut forge, &Event::ApprovalWithdrawn { step: at(0), id, request_sha256, principal, why, grant });
        if dice.one_in(3) {
            answer(dice, &mut forge, &text, &sha256(text.as_bytes()));
        }
    }
    if dice.one_in(8) {
        forge.pass(SignedDuration::from_secs(700));
    }
    let step = |forge: &mut Forge, dice: &mut Dice, index: usize| {
        let planned = plan.step(at(index));
        let step_sha256 = if dice.one_in(12) { bad.clone() } else { planned.sha256() };
        let used = if index == 0 || dice.one_in(10) { vec![request_sha256.clone()] } else { vec![] };
        let (id, line) = (planned.id.clone(), planned.line.clone());
        let line = if dice.one_in(30) { "another line".into() } else { line };
        let attempt = if dice.one_in(30) { 2 } else { 1 };
        let intent = Event::StepIntent { step: at(index), id, attempt, line, step_sha256, approvals: used };
        if !dice.one_in(12) {
            fact(forge, &intent);
        }
        let (id, failed) = (planned.id.clone(), dice.one_in(6));
        let outcome = if failed { Outcome::failed(Cause::Gate, "errors") } else { Outcome::done("moved") };
        seen(forge, dice, planned.moves.as_ref().unwrap());
        if !dice.one_in(12) {
            fact(forge, &Event::StepOutcome { step: at(index), id, outcome });
        }
        failed
    };
    if !step(&mut forge, dice, 0) || dice.one_in(4) {
        step(&mut forge, dice, 1);
    }
    if !dice.one_in(8) {
        let outcome = if dice.one_in(3) { RunOutcome::Stopped } else { RunOutcome::Completed };
        fact(&mut forge, &Event::Ended { outcome, line: "over".into() });
    }
    match dice.way(3, 12) {
        Some(0) => forge.line("note", &json!({ "line": "behind the last seal" })),
        Some(1) => forge.statement("run.resumed").seal(),
        Some(_) => {
            forge.owner = Rc::new(SessionKey::from_seed([9; 32]));
            &mut forge
        }
        None => &mut forge,
    };
    if dice.below(5) == 0 { forge.bytes() } else { forge.close() }
}

/// What is seen of a move, with something left out or another thing in its place.
fn seen(forge: &mut Forge, dice: &mut Dice, change: &Move) {
    for evidence in witnesses(change) {
        let mut value = serde_json::to_value(evidence).unwrap();
        let (kind, mut data) = (value["type"].as_str().unwrap().to_string(), value["data"].take());
        match dice.way(3, 60) {
            Some(0) => continue,
            Some(1) => data["route"] = json!("api"),
            Some(_) if kind == "traffic.read" => data["split"] = json!({ "blue": 50, "green": 50 }),
            Some(_) => data["healthy"] = json!(0),
            None => {}
        }
        forge.record(&kind, &data);
    }
}

/// An approval, good or not.
fn answer(dice: &mut Dice, forge: &mut Forge, text: &str, request_sha256: &str) {
    let eve = SessionKey::from_seed([66; 32]);
    let approver = approver();
    let (boss, good) = (owner(), namespace::APPROVE);
    let (who, key, space, over): (&str, &SessionKey, &str, String) = match dice.way(6, 12) {
        Some(0) => (OWNER, &boss, good, text.into()),
        Some(1) => (APPROVER, &eve, good, text.into()),
        Some(2) => ("eve@example.com", &eve, good, text.into()),
        Some(3) => (APPROVER, &approver, "git", text.into()),
        Some(4) => (APPROVER, &approver, namespace::DENY, text.into()),
        Some(_) => (APPROVER, &approver, good, text.replace("5e5e", "5f5e")),
        None => (APPROVER, &approver, good, text.into()),
    };
    let sig = (!dice.one_in(8)).then(|| key.sign(space, over.as_bytes()).unwrap());
    let evidence = if sig.is_some() || dice.one_in(2) { "signed" } else { "prompt" };
    let grant = Grant { principal: who.into(), evidence: evidence.into(), key: None, sig, prompt: None };
    let (id, request_sha256) = ("shift-10".to_string(), request_sha256.to_string());
    let event = if dice.one_in(10) {
        Event::ApprovalDenied { step: at(0), id, request_sha256, grant }
    } else {
        Event::ApprovalGranted { step: at(0), id, request_sha256, grant }
    };
    let (kind, data) = data(&event);
    forge.record(&kind, &data);
}

/// A log under good seals that says anything at all: every fact, and the plan, with parts of it replaced by something else.
pub fn nonsense(dice: &mut Dice) -> Vec<u8> {
    let mut forge = Forge::new();
    let mut planned: Value = serde_json::from_str(&forge.plan).unwrap();
    if dice.one_in(3) {
        spoil(dice, &mut planned);
        forge.plan = planned.to_string();
    }
    forge.open();
    let records: Vec<(String, Value)> = lines(&forged(dice))
        .iter()
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .map(|mut line| (line["type"].as_str().unwrap_or_default().to_string(), line["data"].take()))
        .filter(|(kind, _)| !["run.opened", "plan.loaded", "seal"].contains(&kind.as_str()))
        .collect();
    for _ in 0..dice.below(12) {
        let Some((kind, data)) = records.get(dice.below(records.len())) else { break };
        let mut data = data.clone();
        if !dice.one_in(3) {
            spoil(dice, &mut data);
        }
        forge.record(kind, &data);
    }
    forge.close()
}

/// Replaces one part of a value.
fn spoil(dice: &mut Dice, value: &mut Value) {
    let len = value.as_object().map(serde_json::Map::len).or(value.as_array().map(Vec::len)).unwrap_or(0);
    if len > 0 && !dice.one_in(8) {
        let at = dice.below(len);
        let inside = match value {
            Value::Object(map) => map.values_mut().nth(at),
            other => other.get_mut(at),
        };
        return spoil(dice, inside.unwrap());
    }
    let most = (1i64 << 53) - 1;
    let others = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(most),
        json!(u32::MAX),
        json!(""),
        json!("forward"),
        json!("x".repeat(dice.below(3_000))),
        json!("-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n"),
        json!([]),
        json!([[[[[[[[]]]]]]]]),
        json!({}),
        json!({ "lane": "rollback", "index": most }),
        json!(sha256(&dice.roll().to_le_bytes())),
    ];
    *value = dice.pick(&others).clone();
}
