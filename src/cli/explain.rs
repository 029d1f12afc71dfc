//! `bgctl explain`: the long form of error codes, and pages about topics. A page lies beside the code it is about.

use super::markdown::render;
use super::reference;
use crate::diag::{Code, Kind, Refusal};
use crate::report::Ink;
use crate::runbook::{Language, for_editors};
use crate::shell::{Context, Exit};
use crate::{routers, steps};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// An error code (`BG0304`) or a topic; without one, all topics are listed.
    topic: Option<String>,
}

/// Every code, each under a heading of its own.
const CODES: &str = include_str!("codes.md");

/// A topic: its name, one line about it, and its page.
#[derive(Clone, Copy)]
pub struct Page {
    pub name: &'static str,
    pub about: &'static str,
    pub text: &'static str,
}

/// Every page but the ones of kinds and the ones that are made from tables.
const PAGES: &[Page] = &[
    Page {
        name: "approvals",
        about: "who may approve, at the terminal and with a signed file",
        text: include_str!("../people/approvals.md"),
    },
    Page {
        name: "policy",
        about: "who is who, who may approve, and how that is changed",
        text: include_str!("../policy/policy.md"),
    },
    Page {
        name: "compare",
        about: "blue and green held against each other, and the inventory a stack gives",
        text: include_str!("../compare/compare.md"),
    },
    Page {
        name: "paging",
        about: "who is called, what they are told, and how they say that they have it",
        text: include_str!("../people/pager/paging.md"),
    },
    Page {
        name: "secrets",
        about: "references, what a file may not hold, and what is masked",
        text: include_str!("../secret/secrets.md"),
    },
    Page { name: "lab", about: "the rehearsal stack of --lab, and its faults", text: include_str!("../lab/lab.md") },
    Page {
        name: "output",
        about: "streams, colour, JSON, what a run looks like in CI",
        text: include_str!("../report/output.md"),
    },
    Page {
        name: "signals",
        about: "Ctrl-C, SIGTERM, a closed terminal, a killed process",
        text: include_str!("../people/signals.md"),
    },
    Page {
        name: "audit",
        about: "the signed log: what verify checks, and the same by hand",
        text: include_str!("../audit/audit.md"),
    },
    Page {
        name: "format",
        about: "the log, byte by byte: enough to write a verifier without the source",
        text: include_str!("../audit/format.md"),
    },
    Page {
        name: "format-rules",
        about: "every type of record, the plan, evidence and approvals: the rules a verifier judges",
        text: include_str!("../audit/format-rules.md"),
    },
    Page {
        name: "format-machine",
        about: "the state machine of a run: which fact may follow on which",
        text: include_str!("../audit/format-machine.md"),
    },
    Page {
        name: "anchors",
        about: "where heads of logs are kept, and what that proves",
        text: include_str!("../audit/anchors/anchors.md"),
    },
    Page {
        name: "keys",
        about: "which key signs, whom to believe, certificates, security keys, revoked keys",
        text: include_str!("../sign/keys.md"),
    },
    Page {
        name: "bot-contract",
        about: "what a Slack bot has to answer, with files to copy for Bolt (Python, JavaScript)",
        text: include_str!("../slack/bot-contract.md"),
    },
    Page {
        name: "continuity",
        about: "modals and buttons of one version, answered by the other",
        text: include_str!("../slack/continuity.md"),
    },
    Page {
        name: "decide",
        about: "HTTP request URLs or Socket Mode: how `bgctl decide` judges",
        text: include_str!("decide/decide.md"),
    },
    Page {
        name: "freeze",
        about: "forbid forward moves, and lift that again",
        text: include_str!("../guards/freeze.md"),
    },
    Page {
        name: "guards",
        about: "what may forbid moving users, and the pause that follows",
        text: include_str!("../guards/guards.md"),
    },
    Page {
        name: "gates",
        about: "rules over measurements, and how they are judged",
        text: include_str!("../gates/gates.md"),
    },
    Page {
        name: "sources",
        about: "where numbers come from: Prometheus, CloudWatch, HTTP, SQL, programs",
        text: include_str!("../gates/source/sources.md"),
    },
    Page {
        name: "benchmarks",
        about: "how fast and how right it is, each figure with the command that takes it",
        text: include_str!("benchmarks.md"),
    },
    Page {
        name: "runbook",
        about: "every key of a runbook, and what may be written",
        text: include_str!("../runbook/runbook.md"),
    },
    Page {
        name: "gameday",
        about: "show in staging that a bad release comes back",
        text: include_str!("gameday/gameday.md"),
    },
    Page {
        name: "words",
        about: "what stack, route, shift, bake, hold and the others mean",
        text: include_str!("words.md"),
    },
    Page {
        name: "schema",
        about: "whether users can come back across a change of the database",
        text: include_str!("../migrations/schema.md"),
    },
];

/// Every page: the ones above, and one for each kind of router and of step, out of its row.
fn pages() -> impl Iterator<Item = Page> {
    let routers = routers::KINDS.iter().map(|kind| Page { name: kind.name, about: kind.about, text: kind.page });
    let steps = steps::KINDS.iter().map(|kind| Page { name: kind.name, about: kind.about, text: kind.page });
    PAGES.iter().copied().chain(routers).chain(steps)
}

/// Files to copy, shown exactly as they are; the page `bot-contract` says what each is for.
const FILES: &[(&str, &str)] = &[
    ("bgctl_contract.py", include_str!("../../tests/bots/bolt_py/bgctl_contract.py")),
    ("bgctl_dedup.py", include_str!("../../tests/bots/bolt_py/bgctl_dedup.py")),
    ("bgctl_async.py", include_str!("../../tests/bots/bolt_py/bgctl_async.py")),
    ("bgctl_plain.py", include_str!("../../tests/bots/bolt_py/bgctl_plain.py")),
    ("bgctl_socket.py", include_str!("../../tests/bots/bolt_py/bgctl_socket.py")),
    ("bgctl_contract.js", include_str!("../../tests/bots/bolt_js/bgctl_contract.js")),
    ("bgctl_dedup.js", include_str!("../../tests/bots/bolt_js/bgctl_dedup.js")),
    ("bgctl_plain.js", include_str!("../../tests/bots/bolt_js/bgctl_plain.js")),
    ("bgctl_socket.js", include_str!("../../tests/bots/bolt_js/bgctl_socket.js")),
];

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let Some(topic) = &args.topic else {
        for (name, about) in topics() {
            cx.out(&format!("  {name:<14} {about}"));
        }
        cx.out("  BG….           any code an error begins with");
        return Ok(Exit::Success);
    };
    if let Some((_, text)) = FILES.iter().find(|(name, _)| name == topic) {
        text.lines().for_each(|line| cx.raw_out(line));
        return Ok(Exit::Success);
    }
    let Some(text) = page(topic) else { return Err(unknown(topic)) };
    shown(&text, cx.columns(), cx.style.out).iter().for_each(|line| cx.raw_out(line));
    Ok(Exit::Success)
}

/// A page as it is read. A link to another page is the command that shows it.
fn shown(text: &str, width: usize, ink: Ink) -> Vec<String> {
    let lead = |link: &str| {
        let name = link.rsplit('/').next().and_then(|file| file.strip_suffix(".md"))?;
        pages().any(|page| page.name == name).then(|| format!("bgctl explain {name}"))
    };
    render(text, width, ink, &lead)
}

fn topics() -> Vec<(&'static str, &'static str)> {
    let mut all: Vec<_> = pages().map(|page| (page.name, page.about)).collect();
    all.push(("codes", "every error code with its headline"));
    all.push(("exit-codes", "what each exit code means and what a CI job should do"));
    all.sort();
    all
}

/// The text about a code or a topic.
fn page(topic: &str) -> Option<String> {
    if topic == "exit-codes" {
        return Some(exit_codes());
    }
    if topic == "codes" {
        let lines = Code::ALL.iter().map(|code| format!("| {} | {} |\n", code.number(), code.headline()));
        let table: String = lines.collect();
        return Some(format!("# Error codes\n\n| code | headline |\n|---|---|\n{table}"));
    }
    if let Some(page) = pages().find(|page| page.name == topic) {
        let keys =
            if topic == "runbook" { reference::keys(&for_editors(&Language::default().schema)) } else { String::new() };
        return Some(format!("{}{keys}", page.text));
    }
    code(&topic.to_ascii_uppercase()).map(|(code, text)| format!("# {code} {}\n\n{text}", code.headline()))
}

/// A code by its number, and what its page says.
pub fn code(number: &str) -> Option<(Code, &'static str)> {
    let code = Code::ALL.iter().find(|code| code.number() == number)?;
    let section = CODES.split("\n## ").skip(1).find_map(|section| section.strip_prefix(number))?;
    Some((*code, section.trim()))
}

/// The table of exit codes, from the one place that defines them.
pub fn exit_codes() -> String {
    let mut text = String::from("# Exit codes\n\n| code | means | CI should |\n|---|---|---|\n");
    for (_, code, means, then) in Exit::TABLE {
        text += &format!("| {code} | {means} | {then} |\n");
    }
    text + "\nThe script of `bgctl audit verify-script` has one more: 47, NOT CHECKED. Ask bgctl.\n"
}

fn unknown(topic: &str) -> Refusal {
    let names: Vec<&str> = topics().into_iter().map(|(name, _)| name).collect();
    let files = FILES.iter().map(|(name, _)| *name);
    let near = names.iter().copied().chain(files).filter(|name| strsim::jaro(name, topic) >= 0.8).collect::<Vec<_>>();
    let refusal = Refusal::new(Kind::Usage, Code::NoPage, format!("there is no page about `{topic}`"))
        .cause(format!("pages: {}", names.join(", ")));
    match near[..] {
        _ if super::is_command(topic) => refusal.next(format!("bgctl help {topic}        a command explains itself")),
        [one] => refusal.next(format!("bgctl explain {one}")),
        _ => refusal.next("bgctl explain"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_word_without_a_page_leads_on() {
        let next = |word: &str| unknown(word).next.join(" ");
        assert!(next("rollback").contains("bgctl help rollback") && next("gate").contains("bgctl explain gates"));
        assert!(page("codes").unwrap().contains("| BG0153 |"));
    }

    /// No error is without its long form, and no page is about an error that nothing reports.
    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        let pages: Vec<&str> = CODES.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        let codes: Vec<&str> = Code::ALL.iter().map(|code| code.number()).collect();
        assert_eq!(pages, codes);
        for number in codes {
            assert!(code(number).is_some_and(|(_, text)| text.len() > 40), "{number}");
        }
    }

    #[test]
    fn every_code_is_reported_somewhere() {
        let mut text = String::new();
        sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut text);
        let named = |code: &&Code| !text.split("Code::").skip(1).any(|rest| word(rest) == code.name());
        let unused: Vec<&Code> = Code::ALL.iter().filter(named).collect();
        assert!(unused.is_empty(), "{unused:?}");
        assert!(!text.contains("\"BG0"), "a code is named by its variant");
    }

    fn word(text: &str) -> &str {
        text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default()
    }

    /// What ships, without the table and without tests.
    fn sources(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                sources(&path, text);
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("diag/code.rs") {
                let file = std::fs::read_to_string(&path).unwrap_or_default();
                *text += file.split("#[cfg(test)]").next().unwrap_or_default();
            }
        }
    }

    #[test]
    fn topics_and_codes_are_found_and_near_misses_named() {
        assert!(page("exit-codes").is_some_and(|text| text.contains("rolled back")));
        assert!(page("bg0304").is_some_and(|text| text.starts_with("# BG0304 live weights")));
        for (name, _) in topics() {
            assert!(page(name).is_some_and(|text| text.len() > 100), "{name}");
        }
        assert_eq!(unknown("aprovals").next, ["bgctl explain approvals"]);
        assert_eq!(unknown("zzz").next, ["bgctl explain"]);
    }
    /// Every text that can be explained: topics and codes.
    fn everything() -> Vec<(String, String)> {
        let codes = CODES.lines().filter_map(|line| line.strip_prefix("## BG")?.split(' ').next());
        let names = topics().into_iter().map(|(name, _)| name.to_string());
        names.chain(codes.map(|n| format!("BG{n}"))).map(|name| (name.clone(), page(&name).unwrap())).collect()
    }

    /// The words of a page that stand outside of code, with their marks.
    fn prose(text: &str) -> String {
        let mut code = false;
        let lines = text.lines().filter(|line| {
            let fence = line.trim_start().starts_with("```");
            code ^= fence;
            !fence && !code
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_page_is_rendered_without_marks_and_fits() {
        for (name, text) in everything() {
            let longest = |text: &str| text.split_whitespace().map(console::measure_text_width).max().unwrap_or(0);
            let unbroken = longest(&prose(&text));
            for width in [40, 60, 80, 100] {
                for ink in [Ink::default(), Ink { color: true, ascii: false }, Ink { color: false, ascii: true }] {
                    let lines = shown(&text, width, ink);
                    assert!(lines.len() > 1, "{name}");
                    // Code is copied, so it is neither broken nor cleared of anything.
                    for line in lines.iter().filter(|line| !line.starts_with("    ")) {
                        let room = console::measure_text_width(line);
                        assert!(room <= width || room <= unbroken + 8, "{name} at {width}: {line}");
                        for mark in ["**", "|---", "`", "](", "<!--"] {
                            assert!(!line.contains(mark), "{name}: a raw {mark} in: {line}");
                        }
                        assert!(!line.starts_with("# ") && !line.starts_with("## "), "{name}: {line}");
                    }
                    let colors = ["\u{1b}[34m", "\u{1b}[32m"];
                    let all = lines.join("\n");
                    assert!(ink.color || !all.contains('\u{1b}'), "{name}");
                    for (color, stack) in colors.iter().zip(["BLUE", "GREEN"]) {
                        let inked = all.match_indices(color).all(|(at, _)| all[at + color.len()..].starts_with(stack));
                        assert!(inked, "{name}: blue and green are the stacks'");
                    }
                    assert!(!ink.ascii || all.is_ascii(), "{name}");
                }
            }
        }
    }

    /// Whatever a page says is on the screen: no word is lost on the way.
    #[test]
    fn every_word_of_a_page_is_shown() {
        let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
        for (name, text) in everything() {
            let shown = letters(&shown(&text, 1000, Ink::default()).join("\n"));
            for line in prose(&text).lines().filter(|line| !line.contains("](") && !line.contains("<!--")) {
                for cell in line.split('|') {
                    assert!(shown.contains(&letters(cell)), "{name} lacks: {cell}");
                }
            }
        }
    }

    #[test]
    fn a_file_to_copy_is_named_on_its_page() {
        let page = page("bot-contract").unwrap();
        for (name, text) in FILES {
            assert!(page.contains(&format!("bgctl explain {name} > {name}")), "{name}");
            assert!(text.ends_with('\n') && text.len() > 500, "{name}");
        }
        assert_eq!(unknown("bgctl_dedup.p").next, ["bgctl explain"], "two are as near");
    }
}
