//! `bgctl route`: for whoever writes a program of their own that reads and sets a split.

use std::time::Duration;

use serde_json::json;

use crate::arm;
use crate::diag::{Code, Kind, Refusal};
use crate::journal::Lock;
use crate::people::signals::told_to_end;
use crate::plan::{Color, Plan};
use crate::report::{Ink, Mark};
use crate::routers::RouteView;
use crate::routers::program::trial::{Tried, trial};
use crate::routers::program::{KIND, contract};
use crate::session::surroundings::Surroundings;
use crate::session::{acting, lease_guard, open, places, prepare, routes};
use crate::shell::{Context, Exit};

/// How often a trial looks whether its leases are still its own.
const LOOK: Duration = Duration::from_millis(200);

/// Try a `program` route against its contract, or print the contract
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    Test(Test),
    /// Print the contract as JSON Schema: the requests, and each answer
    Schema,
}

/// Play every promise of the contract against a program. Moves the users of that route, many times
#[derive(Clone, Debug, clap::Args)]
struct Test {
    #[command(flatten)]
    from: prepare::FromArgs,
    /// The route of the runbook.
    #[arg(value_name = "ROUTE")]
    route: String,
    /// The environment's name, since its users are moved.
    #[arg(long, value_name = "ENVIRONMENT")]
    confirm: Option<String>,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    match &args.verb {
        Verb::Test(test) => cx.block_on(self::test(test, cx))?,
        Verb::Schema => {
            cx.out(&format!("{:#}", contract::schema()));
            Ok(Exit::Success)
        }
    }
}

async fn test(args: &Test, cx: &Context) -> Result<Exit, Refusal> {
    let outside = Surroundings::new(cx, &args.from.lab, None, args.from.lab_mode())?;
    let mut plan = match prepare::draft(cx, &args.from, &outside).await? {
        Ok(plan) => plan,
        Err(exit) => return Ok(exit),
    };
    let untouched =
        |code, headline: String| Refusal::new(Kind::Usage, code, headline).users("not asked; nothing was changed");
    let Some(planned) = plan.routes.get(&args.route) else {
        let known = plan.routes.keys().cloned().collect::<Vec<_>>().join(", ");
        return Err(untouched(Code::CommandLine, format!("the runbook has no route `{}`", args.route))
            .cause(format!("it has {known}"))
            .next(format!("bgctl route test {} ROUTE        with one of these", plan.runbook)));
    };
    if planned.router != KIND.name {
        return Err(untouched(Code::CommandLine, format!("`{}` is a route of kind `{}`", args.route, planned.router))
            .cause("a trial is for programs; the routers that come with bgctl are tried by its own tests")
            .next(format!("bgctl explain {}        what is proven of it", planned.router)));
    }
    if args.confirm.as_deref() != Some(plan.environment.as_str()) {
        let given =
            args.confirm.as_deref().map_or("a trial moves the users of the route, many times".into(), |given| {
                format!("`--confirm {given}` is not the environment of this runbook")
            });
        return Err(untouched(Code::Unsaid, given)
            .cause("take a runbook of a place where nobody is hurt")
            .next(format!("the same command with --confirm {}", plan.environment)));
    }
    if !plan.team.policy_sha256.is_empty() {
        return Err(Refusal::new(Kind::Denied, Code::Policy, "a policy holds for this service, and a trial is no run")
            .cause("under a policy users are moved by a signed run alone; a trial keeps no log")
            .users("not asked; nothing was changed")
            .next("take a runbook of a place that no policy is about"));
    }
    lease_guard::unfrozen(cx, &plan)?;
    let view = routes::view(&plan.routes[&args.route], &outside)?;
    let reading = view.read().await.map_err(|error| arm::refused(&error, &plan.routes[&args.route]))?;
    // Whoever moves these users moves them alone.
    plan.routes.retain(|name, _| *name == args.route);
    let planned = plan.routes.get_mut(&args.route).expect("BUG: the route was there");
    planned.resources = view.resources(Some(&reading));
    let who = acting::here(cx, None, None).name;
    let leases = open::locks(cx, &places::of(cx, &plan)?, &plan, "", &who, "route test")?;
    let planned = &plan.routes[&args.route];
    cx.err(&format!(
        "{}: {}, read just now. Users are moved from here on; Ctrl-C ends it.",
        view.line(),
        reading.split
    ));

    let access = routes::access(planned, &outside)?;
    let ink: Ink = cx.style.err;
    let mut tried = Vec::new();
    let mut say = |one: Tried| {
        let (mark, said) = match &one.verdict {
            Ok(said) => (Mark::Done, said),
            Err(why) => (Mark::Failed, why),
        };
        cx.err(&format!("{} {}", ink.mark(mark), one.promise));
        cx.err(&format!("  {}", cx.known.mask(said)));
        tried.push(one);
    };
    let ended = tokio::select! { biased;
        by = told_to_end() => Some(by.to_string()),
        // Whoever brings users back has taken it: from there on nobody else moves them.
        why = lost(cx, &leases) => Some(why),
        played = trial(&planned.config, &access, &mut say) => {
            played.map_err(|found| routes::wrong(planned, &found))?;
            None
        }
    };
    let home = users(cx, view.as_ref(), &plan).await;
    let failed = tried.iter().filter(|one| one.verdict.is_err()).count();
    if let Some(by) = &ended {
        cx.err(&format!("! the trial was ended after {} promises: {by}", tried.len()));
    }
    if cx.machine() {
        let of = |one: &Tried| {
            let said = one.verdict.clone().unwrap_or_else(|why| why);
            json!({ "promise": one.promise, "kept": one.verdict.is_ok(), "said": said })
        };
        let all: Vec<_> = tried.iter().map(of).collect();
        cx.json(&json!({ "route": args.route, "whole": ended.is_none(), "failed": failed, "users_on_blue": home, "tried": all }));
    } else if ended.is_none() {
        cx.out(&match failed {
            0 => format!("`{}` keeps the contract: {} promises tried", args.route, tried.len()),
            _ => format!("`{}` does not keep the contract: {failed} of {} promises", args.route, tried.len()),
        });
    }
    Ok(match (home, failed, ended) {
        (false, ..) => Exit::Halted,
        (true, 0, None) => Exit::Success,
        (true, ..) => Exit::Stopped,
    })
}

/// Why this process may not go on, once somebody has taken one of its leases.
async fn lost(cx: &Context, leases: &[Lock]) -> String {
    loop {
        if let Some(why) = leases.iter().find_map(Lock::lost) {
            return why;
        }
        cx.clock.sleep(LOOK).await;
    }
}

/// Says where users are after a trial, read for it. Whether all of them are on blue.
async fn users(cx: &Context, view: &dyn RouteView, plan: &Plan) -> bool {
    let (home, said) = match view.read().await {
        Ok(reading) => (reading.split.only() == Some(Color::Blue), format!("{}, read just now", reading.split)),
        Err(error) => (false, format!("not known: {error}")),
    };
    cx.err(&format!("  users    {said}"));
    if !home {
        cx.err(&format!("  next     bgctl rollback {}        everyone back to BLUE", plan.runbook));
    }
    home
}
