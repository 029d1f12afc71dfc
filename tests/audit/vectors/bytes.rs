//! Vectors of lines, chain, order, time and end: what somebody without a key can do, and orders that no writer keeps.

use bgctl::sign::session::SessionKey;
use jiff::SignedDuration;
use serde_json::json;
use std::rc::Rc;

use super::Vector;
use super::scribe::Scribe;
use crate::rig::*;

pub fn vectors() -> Vec<Vector> {
    let mut all = spelled();
    all.extend(chained());
    all.extend(ordered());
    all.extend(timed());
    all.extend(ended());
    all
}

/// A sound log, its lines, and where its first outcome stands, from 0.
fn whole() -> (Vec<Vec<u8>>, usize) {
    let all = lines(&Scribe::short());
    let at = find(&all, "step.outcome");
    (all, at)
}

/// A log with an outcome in another spelling: that line cannot be read.
fn spelling(rule: &'static str, variant: &'static str, change: impl Fn(&str) -> Vec<u8>) -> Vector {
    let mut run = Scribe::new();
    let outcome = json!({ "is": "done", "line": "moved, read back", "facts": null });
    let step = json!({ "lane": "forward", "index": 0 });
    run.forge.record("step.outcome", &json!({ "step": step, "id": "shift-10", "outcome": outcome }));
    let mut all = lines(&run.forge.bytes());
    let at = find(&all, "step.outcome");
    let line = String::from_utf8(all[at].clone()).unwrap();
    all[at] = change(&line);
    assert_ne!(all[at], line.as_bytes(), "{rule} {variant} changes nothing");
    Vector::new(rule, variant, all.concat()).broken("unreadable", at + 1)
}

fn swap(rule: &'static str, variant: &'static str, from: &str, to: &str) -> Vector {
    spelling(rule, variant, |line| line.replacen(from, to, 1).into_bytes())
}

fn spelled() -> Vec<Vector> {
    let deep = format!("\"data\":{{\"a\":{}1{}", "[".repeat(63), "]".repeat(63));
    let prev = |line: &str| line.split("\"prev\":\"").nth(1).unwrap()[..64].to_string();
    vec![
        spelling("line-utf8", "", |line| [&line.as_bytes()[..300], &[0xff], &line.as_bytes()[300..]].concat()),
        spelling("line-utf8", "surrogate", |line| {
            let (before, behind) = line.split_once("moved").unwrap();
            [before.as_bytes(), &[0xed, 0xa0, 0x80], behind.as_bytes()].concat()
        }),
        swap("line-spelling", "blank", ",\"mono\"", ", \"mono\""),
        swap("line-spelling", "blank-at-the-end", "\n", " \n"),
        swap("line-spelling", "cr-lf", "\n", "\r\n"),
        swap("line-spelling", "byte-order-mark", "{\"v\"", "\u{feff}{\"v\""),
        swap("line-spelling", "not-json", "\"index\":0", "\"index\":"),
        swap("line-spelling", "word", "\"index\":0", "\"index\":nil"),
        swap("line-number", "fraction", "\"index\":0", "\"index\":0.0"),
        swap("line-number", "exponent", "\"index\":0", "\"index\":0e0"),
        swap("line-number", "minus-nothing", "\"index\":0", "\"index\":-0"),
        swap("line-number", "leading-zero", "\"index\":0", "\"index\":00"),
        swap("line-number", "too-large", "\"index\":0", "\"index\":9007199254740992"),
        swap("line-number", "lowest", "\"index\":0", "\"index\":-9223372036854775808"),
        swap("line-escape", "hidden", "moved", "mo\u{202e}ved"),
        swap("line-escape", "control", "moved", "mo\u{1}ved"),
        swap("line-escape", "letter", "moved", "\\u006doved"),
        swap("line-escape", "slash", "moved", "mo\\/ved"),
        swap("line-escape", "upper-case", "moved", "mo\\u202Eved"),
        swap("line-escape", "long-form", "moved", "mo\\u000aved"),
        swap("line-escape", "surrogate-pair", "moved", "mo\\ud83d\\ude00ved"),
        swap("line-twice", "line", "\"mono\":", "\"mono\":1,\"mono\":"),
        swap("line-twice", "data", "\"id\":", "\"id\":\"other\",\"id\":"),
        swap("line-twice", "deeper", "\"index\":", "\"index\":1,\"index\":"),
        spelling("line-deep", "", |line| {
            let (before, _) = line.split_once("\"data\":").unwrap();
            format!("{before}{deep}}}}}\n").into_bytes()
        }),
        swap("line-members", "order", "{\"v\":1,", "{").also(|line| line.replace("}\n", ",\"v\":1}\n")),
        swap("line-members", "more", "\"type\":", "\"more\":1,\"type\":"),
        swap("line-members", "less", "\"v\":1,", ""),
        swap("line-members", "text", "\"run\":\"20261121-0302-kfx\"", "\"run\":20261121"),
        swap("line-members", "minus", "\"mono\":", "\"mono\":-"),
        swap("line-version", "", "\"v\":1", "\"v\":2"),
        swap("line-ts", "decimals", "000Z\",\"mono\"", "Z\",\"mono\""),
        swap("line-ts", "day", "2026-11-21T", "2026-11-31T"),
        swap("line-ts", "hour", "T03:", "T24:"),
        swap("line-ts", "year", "\"ts\":\"2026", "\"ts\":\"0000"),
        swap("line-ts", "last-year", "\"ts\":\"2026", "\"ts\":\"9999"),
        swap("line-type", "", "\"type\":\"step.outcome\"", "\"type\":\"step.finished\""),
        spelling("line-prev", "", |line| line.replacen(&prev(line), &prev(line).to_uppercase(), 1).into_bytes()),
        spelling("line-data", "", |line| {
            let (before, data) = line.trim_end().split_once("\"data\":").unwrap();
            format!("{before}\"data\":[{}]}}\n", &data[..data.len() - 1]).into_bytes()
        }),
        swap("line-long", "", "moved", &"m".repeat(65_536)),
    ]
}

impl Vector {
    /// The line that cannot be read is changed once more.
    fn also(mut self, change: impl Fn(&str) -> String) -> Self {
        let (mut all, at) = (lines(&self.log), self.line.unwrap() - 1);
        all[at] = change(std::str::from_utf8(&all[at]).unwrap()).into_bytes();
        self.log = all.concat();
        self
    }
}

fn chained() -> Vec<Vector> {
    let (all, at) = whole();
    let changed = |variant, line: usize, from: &str, to: &str, found: usize| {
        let mut all = all.clone();
        let text = String::from_utf8(all[line].clone()).unwrap();
        all[line] = text.replacen(from, to, 1).into_bytes();
        assert_ne!(all[line], text.as_bytes(), "{variant} changes nothing");
        Vector::new("chain-changed", variant, all.concat()).broken("changed", found + 1)
    };
    let prev = |line: usize| {
        String::from_utf8(all[line].clone()).unwrap().split("\"prev\":\"").nth(1).unwrap()[..64].to_string()
    };
    let last = all.len() - 1;
    let mut open = Scribe::new();
    open.walk();
    let mut before_last = lines(&open.left("closed"));
    let ended = find(&before_last, "run.ended");
    let text = String::from_utf8(before_last[ended].clone()).unwrap().replacen("every step", "every stop", 1);
    before_last[ended] = text.into_bytes();
    let mut other = Scribe::with(plan(), Rc::new(owner()), |forge| forge.run = "20261121-0303-abc".into());
    other.walk();
    let other = lines(&other.left("closed"));
    let without = [&all[..at], &all[at + 1..]].concat().concat();
    let twice = [&all[..=at], &all[at..]].concat().concat();
    let foreign = [&all[..at], &other[at..=at], &all[at + 1..]].concat().concat();
    vec![
        changed("", at, "moved", "mover", at),
        changed("first", 0, "\"claims\":{}", "\"claims\":{\"a\":1}", 0),
        changed("prev", at, &prev(at), &"ab".repeat(32), at),
        changed("prev-first", 0, &"0".repeat(64), &"ab".repeat(32), 0),
        changed("prev-last", last, &prev(last), &"ab".repeat(32), last),
        changed("seq", at, &format!("\"seq\":{at}"), "\"seq\":3", at),
        Vector::new("chain-changed", "before-last", before_last.concat()).broken("changed", ended + 1),
        Vector::new("chain-missing", "", without).broken("missing", at + 1),
        Vector::new("chain-moved", "", twice).broken("moved", at + 2),
        Vector::new("chain-run", "", foreign).broken("other-run", at + 1),
    ]
}

fn ordered() -> Vec<Vector> {
    let (all, _) = whole();
    let again = rechain(&[&all[..3], &all[..1]].concat());
    let mut resumed = Scribe::new();
    resumed.forge.line("note", &json!({ "line": "no seal" })).statement("run.resumed").seal();
    let line = |run: &Scribe| lines(&run.forge.bytes()).len();
    let resumed_at = line(&resumed) - 1;
    let behind = |state: &str| {
        let mut run = Scribe::new();
        run.walk();
        run.left(state);
        run.forge.record("note", &json!({ "line": "later" }));
        (run.forge.bytes(), line(&run) - 1)
    };
    let [(closed, a), (handed, b), (ended, c)] = ["closed", "handover", "ended"].map(behind);
    vec![
        Vector::new("order-first", "", rechain(&all[1..])).broken("order", 1),
        Vector::new("order-plan", "", rechain(&[&all[..1], &all[2..]].concat())).broken("order", 2),
        Vector::new("order-opened", "", again).broken("order", 4),
        Vector::new("order-opened", "plan", rechain(&[&all[..3], &all[1..2]].concat())).broken("order", 4),
        Vector::new("order-resumed", "", resumed.forge.bytes()).broken("order", resumed_at),
        Vector::new("order-closed", "", closed).broken("order", a),
        Vector::new("order-handover", "", handed).broken("order", b),
        Vector::new("order-ended", "", ended).broken("order", c),
    ]
}

fn timed() -> Vec<Vector> {
    let note = |text: &str| json!({ "line": text });
    let mut mono = Scribe::new();
    mono.forge.record("note", &note("then"));
    mono.forge.mono -= 1;
    mono.forge.line("note", &note("before")).seal();
    let mut back = Scribe::new();
    back.forge.record("note", &note("then"));
    back.forge.now -= SignedDuration::from_secs(2);
    back.forge.line("note", &note("earlier"));
    back.forge.now += SignedDuration::from_secs(9);
    back.forge.line("note", &note("later")).seal();
    let mut seal = Scribe::new();
    seal.forge.record("note", &note("then")).line("note", &note("now"));
    seal.forge.now -= SignedDuration::from_secs(2);
    seal.forge.seal();
    let mut late = Scribe::new();
    late.forge.record("note", &note("then"));
    late.forge.now -= SignedDuration::from_secs(2);
    late.forge.line("note", &note("earlier")).seal();
    late.forge.line("clock.anomaly", &note("in the next group")).seal();
    vec![
        Vector::new("time-mono", "", mono.forge.bytes()).broken("time", 6),
        Vector::new("time-back", "", back.forge.bytes()).broken("time", 6),
        Vector::new("time-back", "seal", seal.forge.bytes()).broken("time", 7),
        Vector::new("time-back", "noted-too-late", late.forge.bytes()).broken("time", 6),
    ]
}

fn ended() -> Vec<Vector> {
    let (all, at) = whole();
    let whole = all.concat();
    let torn = whole[..whole.len() - 20].to_vec();
    let garbage = [&whole[..], b"{\"v\":1,\"seq\":"].concat();
    let mut two = Scribe::new();
    two.first();
    two.forge.line("note", &json!({})).line("note", &json!({}));
    let first = lines(&two.forge.bytes()).len() - 1;
    let mut other = Scribe::new();
    other.forge.session = SessionKey::from_seed([4; 32]);
    other.forge.record("note", &json!({}));
    let mut all_of_it = other.forge.bytes();
    all_of_it.truncate(all_of_it.len() - 1);
    vec![
        Vector::new("end-empty", "", Vec::new()).broken("empty", 1),
        Vector::new("end-torn", "", torn).broken("unsealed", all.len()),
        Vector::new("end-torn", "behind-the-close", garbage).broken("unsealed", all.len() + 1),
        Vector::new("end-torn", "no-line-end", all_of_it).broken("unsealed", 5),
        Vector::new("end-unsealed", "", all[..=at].concat()).broken("unsealed", 4),
        Vector::new("end-unsealed", "two-lines", two.forge.bytes()).broken("unsealed", first),
    ]
}
