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
use crate::users::Answers;
use crate::versions;

/// How many responses are looked at before a plan is made.
const LOOKS: u32 = 20;

/// What the routes of a plan say at this moment, by their names.
pub async fn splits(plan: &Plan, outside: &Surroundings) -> Result<Vec<(String, Split)>, Refusal> {
    let mut splits = Vec::new();
    for (name, planned) in &plan.routes {
        let reading = view(planned, outside)?.read().await.map_err(|error| arm::refused(&error, planned))?;
        splits.push((name.clone(), reading.split));
    }
    Ok(splits)
}

/// The plan as it begins from these splits.
pub fn beginning(mut plan: Plan, splits: &[(String, Split)]) -> Plan {
    for (name, split) in splits {
        plan.routes.entry(name.clone()).and_modify(|route| route.before = *split);
    }
    plan
}

/// The side of the plan that has all users of every route; none where no side has.
pub fn only(splits: &[(String, Split)]) -> Option<Color> {
    let first = splits.first()?.1.only()?;
    splits.iter().all(|(_, split)| split.only() == Some(first)).then_some(first)
}

/// No single stack serves, so none is blue. `plan` is read with `a` as blue.
pub fn neither(plan: &Plan, splits: &[(String, Split)]) -> Refusal {
    let refusal = Refusal::new(
        Kind::Drift,
        Code::NotBlue,
        "neither `a` nor `b` has all users, so none of them is blue",
    )
    .cause("they are split, the routes do not agree, or no side has a share: by a run on another machine, or by hand")
    .users(format!("{}, read just now. Nothing was changed.", by_letter(splits)))
    .next(format!("bgctl status {}               where users are", plan.runbook))
    .next(format!("bgctl rollback {} --blue a    everyone to a", plan.runbook))
    .next(format!("bgctl rollback {} --blue b    everyone to b", plan.runbook));
    plan.routes.iter().fold(refusal, |refusal, (name, route)| refusal.place(format!("{name}: {}", route.line)))
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
    let one = |(name, split): &(String, Split)| {
        let split = split.to_string().replace("BLUE", "a").replace("GREEN", "b");
        if splits.len() > 1 { format!("{name} {split}") } else { split }
    };
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

/// Whether a run's blue is still what it was: a stack of `a` and `b` may have got another version since. Nothing is refused for a
/// stack that does not say. `users` is where they are, just read.
pub async fn still_blue(cx: &Context, outside: &Surroundings, plan: &Plan, users: &str) -> Result<(), Refusal> {
    let (Some(at), Some(name)) = (&plan.version_at, &plan.blue.name) else { return Ok(()) };
    let Ok(world) = resources::world_without_routes(cx, outside, plan) else { return Ok(()) };
    let [blue, _] = versions::answered(plan, at, &world).await;
    match blue {
        Ok(version) if version != plan.blue.version => {
            let headline = format!("{name} was BLUE {} in that run, and runs {version} now", plan.blue.version);
            let runbook = &plan.runbook;
            Err(Refusal::new(Kind::Drift, Code::OtherVersion, headline)
                .cause("it was put there since; everybody would be sent to another version than the one they came from")
                .users(format!("{users}, read just now. Nothing was changed."))
                .next(format!("bgctl rollback {runbook} --blue a    everyone to a, whatever runs there"))
                .next(format!("bgctl rollback {runbook} --blue b    everyone to b, whatever runs there")))
        }
        _ => Ok(()),
    }
}

/// Puts the versions that the stacks say into the plan of a rollback. It waits for no stack to go back: without both versions
/// real responses cannot be told apart, so they are not looked at, and that is said.
pub async fn tell(cx: &Context, outside: &Surroundings, plan: &mut Plan) -> Option<String> {
    match versions(cx, outside, plan, None).await {
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

/// What both stacks say they run, blue's first; a refusal where one does not say. What stands by does not matter where the `release`
/// serves already.
pub async fn versions(
    cx: &Context,
    outside: &Surroundings,
    plan: &Plan,
    release: Option<&str>,
) -> Result<[String; 2], Refusal> {
    let Some(at) = &plan.version_at else { return Ok(Color::BOTH.map(|stack| plan.stack(stack).version.clone())) };
    let world = resources::world_without_routes(cx, outside, plan)?;
    let [blue, green] = versions::answered(plan, at, &world).await;
    if let (Ok(version), Err(_)) = (&blue, &green)
        && release == Some(version.as_str())
    {
        return Ok([version.clone(), plan.green.version.clone()]);
    }
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

/// Users get what the routes say they get: the stack that serves by them is the one that real responses come from. `plan` has the
/// versions that were read.
pub async fn served(cx: &Context, outside: &Surroundings, plan: &Plan) -> Result<(), Refusal> {
    if plan.blue.version == plan.green.version {
        return Ok(());
    }
    let world = resources::world_without_routes(cx, outside, plan)?;
    for (name, planned) in &plan.routes {
        let Some(at) = &planned.seen_at else { continue };
        let versions = [plan.blue.version.as_str(), plan.green.version.as_str()];
        let seen = Answers::sample(at, LOOKS, versions, &world).await;
        if seen.of(Color::Green) > 0 && seen.of(Color::Blue) == 0 {
            let (blue, green) = (plan.blue.named(), plan.green.named());
            return Err(Refusal::new(Kind::Drift, Code::OtherVersion, format!("users of `{name}` get {green}"))
                .place(planned.line.clone())
                .cause(format!(
                    "by the route they are on {blue}: the addresses or the sides of `a` and `b` are exchanged somewhere"
                ))
                .users(format!(
                    "{} of {LOOKS} responses were of {green}, none of {blue}. Nothing was changed.",
                    seen.of(Color::Green)
                ))
                .next(format!("write each side of `{name}` and each `url` under the same name in {}", plan.runbook)));
        }
    }
    Ok(())
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
