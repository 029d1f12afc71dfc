//! What whoever is paged is told and can do: commands that would be accepted now, best first. Every one rests on what was read
//! for this page.

use futures_util::future::join;

use super::found::found;
use super::told::part;
use super::{Driver, short};
use crate::people::{Choice, Page};
use crate::plan::{Color, Plan};
use crate::report::Findings;
use crate::run::State;
use crate::users::Side;

impl Driver<'_> {
    /// Where users are and how both sides are, read now, and what follows from that for a person.
    pub(super) async fn page(&self, happened: String) -> Page {
        let (users, found) = join(self.users(), found(self.run.plan, self.run.world)).await;
        let page = page(self.run.id, self.run.plan, &self.state, &found, happened);
        let clean = |choice: Choice| Choice::new(choice.command, self.desk.clean(&choice.what));
        Page { users, choices: page.choices.into_iter().map(clean).collect(), ..page }
    }
}

/// What a person is told of a run in this state.
pub fn page(run: &str, plan: &Plan, state: &State, found: &Findings, happened: String) -> Page {
    let ready = plan.readied().map(|step| step.id.as_str());
    let choices = choices(short(run), &plan.blue.version, ready, state.closed(plan).as_deref(), found);
    Page { users: found.line(plan), happened, bgctl: part(state).into(), choices }
}

/// `ready`: the step that makes blue take users again first. `closed`: why the schema stands against going back, if it does.
pub(super) fn choices(
    run: &str,
    blue: &str,
    ready: Option<&str>,
    closed: Option<&str>,
    found: &Findings,
) -> Vec<Choice> {
    let stay = |what: &str| Choice::new(format!("bgctl ack {run}"), what);
    let mend = "you take the page, and fix what is named above";
    if found.only() == Some(Color::Blue) {
        return vec![stay(&format!("users are on BLUE already: {mend}"))];
    }
    let (mut flags, mut although) = (String::new(), Vec::new());
    if let Some(why) = closed {
        flags += " --override schema";
        although.push(format!("the schema stands against it ({why}); a second person has to approve"));
    }
    match found.side(Color::Blue) {
        Side::Well(_) => {}
        side => {
            // Where it is made ready first, how it is now says nothing of how it is then.
            if ready.is_none() {
                flags += " --override blue-health";
            }
            although.push(match side {
                Side::Ailing(said) => format!("BLUE has {said} healthy"),
                Side::Unknown(why) => format!("not known whether BLUE is well ({why})"),
                _ => "BLUE was not asked".into(),
            });
        }
    }
    let first = ready.map_or_else(String::new, |ready| format!("; `{ready}` runs first, and then it is asked again"));
    if although.is_empty() {
        let back = format!("everyone back to BLUE {blue}; refused while BLUE is not well{first}");
        return vec![
            Choice::new(format!("bgctl rollback {run}"), back),
            stay(&format!("users stay as they are: {mend}")),
        ];
    }
    let although = although.join(", and ");
    let back = Choice::new(
        format!("bgctl rollback {run}{flags} --reason \"…\""),
        format!("everyone back to BLUE {blue} although {although}{first}"),
    );
    match found.green_is_the_healthy_side() {
        Some((green, _)) => {
            let healthy = format!("GREEN is the healthy side: {green} healthy, asked just now");
            let there = found.to_green.join(" && ");
            let mut choices = Vec::new();
            if !there.is_empty() {
                choices.push(Choice::new(there, format!("{healthy}; this sends everybody there")));
            }
            choices.push(stay(&format!("{healthy}; users stay as they are: {mend}")));
            choices.push(back);
            choices
        }
        None => vec![stay(&format!("users stay as they are: {mend}")), back],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Split;
    use crate::report::Place;

    fn found(split: Split, blue: Side, to_green: &[&str]) -> Findings {
        let place = Place { split: Ok(split), blue, green: Side::Well("2 of 2".into()) };
        let to_green = to_green.iter().map(|line| line.to_string()).collect();
        Findings { routes: [("web".to_string(), place)].into(), to_green, ..Findings::default() }
    }

    fn commands(closed: Option<&str>, found: &Findings) -> Vec<String> {
        choices("k7f", "v1", None, closed, found).into_iter().map(|choice| choice.command).collect()
    }

    /// G18, P2: what is offered is what would be accepted, and going back comes last where it would be wrong.
    #[test]
    fn g18_where_green_is_the_healthy_side_that_is_the_first_choice() {
        let (half, well) = (Split::of_green(500), || Side::Well("2 of 2".into()));
        let dead = || Side::Ailing("0 of 2".into());
        let over = "bgctl rollback k7f --override blue-health --reason \"…\"";
        assert_eq!(commands(None, &found(half, well(), &[])), ["bgctl rollback k7f", "bgctl ack k7f"]);
        assert_eq!(commands(None, &found(half, dead(), &[])), ["bgctl ack k7f", over]);
        assert_eq!(
            commands(None, &found(half, dead(), &["aws one", "aws two"])),
            ["aws one && aws two", "bgctl ack k7f", over]
        );
        assert!(
            choices("k7f", "v1", None, None, &found(half, dead(), &[]))[0]
                .what
                .starts_with("GREEN is the healthy side")
        );
        assert_eq!(commands(None, &found(Split::ALL_BLUE, dead(), &[])), ["bgctl ack k7f"]);
        // Made ready first, an ill blue needs no override, and how it was read is said all the same.
        let first = choices("k7f", "v1", Some("ready-blue"), None, &found(half, dead(), &[]));
        let back = first.last().unwrap();
        assert_eq!(back.command, r#"bgctl rollback k7f --reason "…""#);
        assert!(
            back.what.contains("although BLUE has") && back.what.contains("`ready-blue` runs first"),
            "{}",
            back.what
        );
        let closed = commands(Some("a column is gone"), &found(half, well(), &[]));
        assert_eq!(closed, ["bgctl ack k7f", "bgctl rollback k7f --override schema --reason \"…\""]);
        let both = &commands(Some("gone"), &found(half, Side::Unknown("denied".into()), &[]))[1];
        assert!(both.contains("--override schema --override blue-health"), "{both}");
    }
}
