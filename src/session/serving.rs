//! Which of the stacks `a` and `b` serves, and what both run: read from the routes and from the stacks, never guessed.
//!
//! Nothing is moved here. Where no single stack serves, the one that is to be blue is named by a person.

use serde_json::json;

use super::resources;
use super::routes::view;
use super::surroundings::Surroundings;
use crate::arm;
use crate::diag::{Code, Kind, Refusal};
use crate::plan::{Color, Plan, Split};
use crate::run::RunOutcome;
use crate::shell::{Context, Exit};
use crate::versions;

/// What the routes of a plan say at this moment.
pub async fn splits(plan: &Plan, outside: &Surroundings) -> Result<Vec<(String, Split)>, Refusal> {
    let mut splits = Vec::new();
    for planned in plan.routes.values() {
        let reading = view(planned, outside)?.read().await.map_err(|error| arm::refused(&error, planned))?;
        splits.push((planned.line.clone(), reading.split));
    }
    Ok(splits)
}

/// The side of the plan that has all users of every route; none where no side has.
pub fn only(splits: &[(String, Split)]) -> Option<Color> {
    let first = splits.first()?.1.only()?;
    splits.iter().all(|(_, split)| split.only() == Some(first)).then_some(first)
}

/// No single stack serves, so none is blue. `plan` is read with `a` as blue.
pub fn neither(plan: &Plan, splits: &[(String, Split)]) -> Refusal {
    let refusal =
        Refusal::new(Kind::Drift, Code::NotBlue, "neither `a` nor `b` has all users, so none of them is blue")
            .cause("a run that is under way on another machine, or somebody by hand, has split them")
            .users(format!("{}, read just now. Nothing was changed.", by_letter(splits)))
            .next(format!("bgctl status {}               where users are", plan.runbook))
            .next(format!("bgctl rollback {} --blue a    everyone to a", plan.runbook))
            .next(format!("bgctl rollback {} --blue b    everyone to b", plan.runbook));
    splits.iter().fold(refusal, |refusal, (line, _)| refusal.place(line.clone()))
}

/// `--swap` is for a file that says which stack is blue.
pub fn not_exchanged(runbook: &str) -> Refusal {
    Refusal::new(Kind::Usage, Code::CommandLine, "`--swap` is for a runbook with the stacks `blue` and `green`")
        .place(runbook.to_string())
        .cause("of `a` and `b` whichever serves is blue, and that is read from the routes")
        .users("not checked. Nothing was changed.")
        .next("the same command without `--swap`")
}

/// Splits by the letters of the file, of a plan in which `a` is blue.
pub fn by_letter(splits: &[(String, Split)]) -> String {
    let one = |(_, split): &(String, Split)| split.to_string().replace("BLUE", "a").replace("GREEN", "b");
    splits.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Nothing here says which of `a` and `b` everybody is to go back to. `plan` is read with `a` as blue.
pub fn unsaid(plan: &Plan, splits: &Result<Vec<(String, Split)>, Refusal>) -> Refusal {
    let users = match splits {
        Ok(splits) => format!("{}, read just now. Nothing was changed.", by_letter(splits)),
        Err(refusal) => format!("unknown: {}. Nothing was changed.", refusal.headline),
    };
    let runbook = &plan.runbook;
    Refusal::new(Kind::Usage, Code::WhichRun, "it has to be said which of `a` and `b` everybody goes back to")
        .place(runbook.clone())
        .cause("the runbook leaves it to what serves, and no run of it is known on this machine")
        .users(users)
        .next(format!("bgctl rollback {runbook} --blue a    everyone to a"))
        .next(format!("bgctl rollback {runbook} --blue b    everyone to b"))
}

/// Puts the versions that the stacks say into the plan of a rollback. It waits for no stack to go back: without both versions
/// real responses cannot be told apart, so they are not looked at, and that is said.
pub async fn tell(cx: &Context, outside: &Surroundings, plan: &mut Plan) -> Option<String> {
    match versions(cx, outside, plan).await {
        Ok([blue, green]) => {
            (plan.blue.version, plan.green.version) = (blue, green);
            None
        }
        Err(refusal) => {
            plan.routes.values_mut().for_each(|route| route.seen_at = None);
            let why = refusal.cause.join("; ");
            Some(format!("{} ({why}): the rollback is read back, and not seen in real responses", refusal.headline))
        }
    }
}

/// What both stacks say they run, blue's first; a refusal where one does not say.
pub async fn versions(cx: &Context, outside: &Surroundings, plan: &Plan) -> Result<[String; 2], Refusal> {
    let Some(at) = &plan.version_at else { return Ok(Color::BOTH.map(|stack| plan.stack(stack).version.clone())) };
    let world = resources::world_without_routes(cx, outside, plan)?;
    let [blue, green] = versions::answered(plan, at, &world).await;
    let said = |stack: Color, answer: Result<String, String>| {
        answer.map_err(|why| {
            let name = plan.stack(stack).name.clone().unwrap_or_default();
            Refusal::new(
                Kind::Unreachable,
                Code::OtherVersion,
                format!("cannot tell which version runs at {name} ({stack})"),
            )
            .cause(why)
            .users("where they were. Nothing was changed.")
            .next(format!("let {} be answered at {} with the header `{}`", at.path, plan.stack(stack).url, at.header))
            .next("then the same command again")
        })
    };
    Ok([said(Color::Blue, blue)?, said(Color::Green, green)?])
}

/// Whether the release is live already, or not where it has to be before it can be. `plan` has the versions that were read.
pub fn released(cx: &Context, plan: &Plan, release: &str) -> Result<Option<Exit>, Refusal> {
    let (blue, green) = (plan.blue.named(), plan.green.named());
    if plan.blue.version == release {
        cx.err(&format!("NO CHANGES. All users are on {blue}, read just now, and that is the release: nothing to do."));
        if cx.machine() {
            let users = format!("all on {blue}");
            cx.json(&json!({ "run": null, "outcome": RunOutcome::NoChanges.name(), "users": users }));
        }
        return Ok(Some(Exit::Success));
    }
    if plan.green.version == release {
        return Ok(None);
    }
    let headline = format!("the candidate runs {green}, and the release is {release}");
    Err(Refusal::new(Kind::Stopped, Code::OtherVersion, headline)
        .cause("users would be sent to another version than the one that is to be live")
        .users(format!("all on BLUE {blue}, read just now. Nothing was changed."))
        .next(format!("put {release} at {}, then the same command again", plan.green.url)))
}
