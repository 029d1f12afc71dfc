//! `bgctl route`: for whoever writes a program of their own that reads and sets a split.

use serde_json::json;

use crate::diag::{Code, Kind, Refusal};
use crate::report::{Ink, Mark};
use crate::routers::program::{KIND, contract, trial};
use crate::session::surroundings::Surroundings;
use crate::session::{prepare, routes};
use crate::shell::{Context, Exit};

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
    let plan = match prepare::draft(cx, &args.from, &outside)? {
        Ok(plan) => plan,
        Err(exit) => return Ok(exit),
    };
    let untouched =
        |code, headline: String| Refusal::new(Kind::Usage, code, headline).users("not asked; nothing was changed");
    let Some(planned) = plan.routes.get(&args.route) else {
        let known = plan.routes.keys().cloned().collect::<Vec<_>>().join(", ");
        return Err(untouched(Code::CommandLine, format!("the runbook has no route `{}`", args.route))
            .cause(format!("it has {known}"))
            .next("the same command with one of these"));
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
    let access = routes::access(planned, &outside)?;
    let ink: Ink = cx.style.err;
    let mut say = |tried: &trial::Tried| {
        let (mark, said) = match &tried.verdict {
            Ok(said) => (Mark::Done, said),
            Err(why) => (Mark::Failed, why),
        };
        cx.err(&format!("{} {}", ink.mark(mark), tried.promise));
        cx.err(&format!("  {}", cx.known.mask(said)));
    };
    let tried =
        trial::trial(&planned.config, &access, &mut say).await.map_err(|found| routes::wrong(planned, &found))?;
    let failed = tried.iter().filter(|tried| tried.verdict.is_err()).count();
    if cx.machine() {
        let of = |tried: &trial::Tried| {
            let said = tried.verdict.clone().unwrap_or_else(|why| why);
            json!({ "promise": tried.promise, "kept": tried.verdict.is_ok(), "said": said })
        };
        cx.json(&json!({ "route": args.route, "failed": failed, "tried": tried.iter().map(of).collect::<Vec<_>>() }));
    } else {
        cx.out(&match failed {
            0 => format!("`{}` keeps the contract: {} promises tried", args.route, tried.len()),
            _ => format!("`{}` does not keep the contract: {failed} of {} promises", args.route, tried.len()),
        });
    }
    Ok(if failed == 0 { Exit::Success } else { Exit::Stopped })
}
