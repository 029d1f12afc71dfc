//! One row a code: how the real binary comes to show it, and the word that its page and what was shown have in common.

use std::cell::OnceCell;
use std::path::Path;
use std::process::Command;

use bgctl::diag::Code;

use crate::rig::{BGCTL, Desk, Done, World};

pub struct Row {
    pub code: Code,
    /// Stands in what was shown beside the number, and on the page: the page speaks of what happened.
    pub word: &'static str,
    pub how: How,
}

pub enum How {
    /// The real binary shows it here, and ends so.
    Shown(i32, fn(&Place) -> Done),
    /// Another test has the real binary show it: its file and its name.
    Test(&'static str, &'static str),
    /// Nothing from outside leads there, for this reason; a test inside makes its refusal.
    Inside(&'static str, &'static str, &'static str),
}

pub const fn shown(code: Code, exit: i32, word: &'static str, make: fn(&Place) -> Done) -> Row {
    Row { code, word, how: How::Shown(exit, make) }
}

pub const fn test(code: Code, word: &'static str, file: &'static str, name: &'static str) -> Row {
    Row { code, word, how: How::Test(file, name) }
}

pub const fn inside(code: Code, word: &'static str, why: &'static str, file: &'static str, name: &'static str) -> Row {
    Row { code, word, how: How::Inside(why, file, name) }
}

/// Where rows are tried: a desk of its own for each, and one lab for those that need it.
#[derive(Default)]
pub struct Place {
    world: OnceCell<World>,
}

impl Place {
    pub fn world(&self) -> &World {
        self.world.get_or_init(|| World::new(&[]))
    }

    /// A desk that leads to the lab.
    pub fn beside(&self) -> Desk {
        Desk::beside(self.world())
    }
}

/// Tries every row, and names all that are not as they say.
#[track_caller]
pub fn all_hold(rows: &[Row]) {
    let place = Place::default();
    let wrong: Vec<String> = rows.iter().filter_map(|row| row.wrong(&place)).collect();
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

impl Row {
    fn wrong(&self, place: &Place) -> Option<String> {
        let (number, page) = (self.code.number(), page(self.code));
        let headline = match &self.how {
            How::Shown(exit, make) => {
                let done = make(place);
                let all = format!("{}{}", done.out, done.err);
                if done.code != *exit {
                    return Some(format!("{number}: ends with {}, not {exit}\n{all}", done.code));
                }
                let said = page.split("Exit ").nth(1).map(|rest| rest.trim_end_matches('.'));
                if said.is_some_and(|said| said != exit.to_string()) {
                    return Some(format!(
                        "{number}: its page says exit {}, and it is {exit}",
                        said.unwrap_or_default()
                    ));
                }
                let lines = || all.lines().filter(|line| line.contains(&format!("[{number}]")));
                match lines().find(|line| has(line, self.word)).or_else(|| lines().next()) {
                    Some(line) => line.to_string(),
                    None => return Some(format!("{number} is not shown:\n{all}")),
                }
            }
            How::Test(file, name) => match named(file, name) {
                Some(body) if body.contains(number) => self.code.headline().to_string(),
                Some(_) => return Some(format!("{number} is not named by {name} in {file}")),
                None => return Some(format!("{number}: there is no test {name} in {file}")),
            },
            How::Inside(why, file, name) => match named(file, name) {
                Some(body) if body.contains(number) || body.contains(&format!("Code::{}", self.code.name())) => {
                    assert!(why.len() > 20, "{number}: say why");
                    self.code.headline().to_string()
                }
                _ => return Some(format!("{number}: no test {name} in {file} makes it")),
            },
        };
        let missing = [("what is shown", headline.as_str()), ("its page", page.as_str())];
        let missing = missing.into_iter().find(|(_, text)| !has(text, self.word));
        missing.map(|(place, text)| format!("{number}: `{}` is not in {place}: {text}", self.word))
    }
}

fn has(text: &str, word: &str) -> bool {
    text.replace('`', "").to_lowercase().contains(&word.to_lowercase())
}

/// What `bgctl explain` prints under the headline, which has to be the table's.
fn page(code: Code) -> String {
    let answer = Command::new(BGCTL).args(["explain", code.number()]).output().expect("bgctl starts");
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    // Words that the width has parted stand together again.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let headline = format!("{} {} ", code.number(), code.headline().replace('`', ""));
    let rest = text.strip_prefix(&headline);
    rest.unwrap_or_else(|| panic!("`{headline}` does not head {text}")).trim_start_matches(['=', ' ']).to_string()
}

/// The text of a test function.
fn named(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).ok()?;
    let from = text.find(&format!("fn {name}("))?;
    let attributes = text[..from].rsplit("\n\n").next().unwrap_or_default();
    if !attributes.contains("#[test]") && !attributes.contains("#[tokio::test") {
        return None;
    }
    // It ends with the next brace at its own depth.
    let line = &text[text[..from].rfind('\n').map_or(0, |n| n + 1)..];
    let end = format!("\n{}}}\n", " ".repeat(line.len() - line.trim_start().len()));
    Some(text[from..].split(&end).next().unwrap_or_default().to_string())
}
