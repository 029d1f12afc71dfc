//! `bgctl check --live`: the questions of every gate are asked, and what keeps them from an answer is named; the migrations are
//! tried where the runbook names a server for that. Nothing else is changed.

use serde_json::{Value, json};

use super::check::Args;
use crate::compile::Draft;
use crate::diag::{Code, Kind, Refusal};
use crate::gates::survey::{Finding, Grade};
use crate::gates::watched;
use crate::migrations::difference::Difference;
use crate::migrations::shadow::{Shadow, Shown};
use crate::plan::Plan;
use crate::policy::is_policy;
use crate::rehearsal::Mode;
use crate::runbook::{Inputs, Runbook, Source};
use crate::session::mistakes;
use crate::session::pin;
use crate::session::policy::{self, PolicyArgs};
use crate::session::resources::world_without_routes;
use crate::session::schema_check;
use crate::session::surroundings::{LabArgs, Surroundings};
use crate::shell::{Context, Exit};

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    cx.block_on(all(args, cx))?
}

async fn all(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let outside = Surroundings::new(cx, &LabArgs::default(), None, Mode::Http)?;
    let (mut worst, mut contradicted, mut report) = (Grade::Sound, false, Vec::new());
    for path in &args.files {
        let source = Source::read(path)?;
        if is_policy(&source.text) {
            continue;
        }
        let (runbook, plan) = &match read(args, cx, &source, &outside).await? {
            Ok(read) => read,
            Err(exit) => return Ok(exit),
        };
        let world = world_without_routes(cx, &outside, plan)?;
        if !cx.machine() {
            cx.out("");
            cx.out(&format!("{path} · its gates, asked just now"));
            cx.out("");
        }
        let mut told: Vec<Value> = Vec::new();
        for gate in watched::named(plan, plan.gates.keys()).map_err(broken)? {
            let found = gate.survey(plan, &world).await;
            for Finding { grade, line } in &found {
                worst = worst.max(*grade);
                told.push(json!({ "gate": gate.name, "is": word(*grade), "line": line }));
                if !cx.machine() {
                    cx.out(&format!("  {} {:<12} {line}", mark(*grade), gate.name));
                }
            }
        }
        if plan.gates.is_empty() && !cx.machine() {
            cx.out("  – there are none");
        }
        let mut file = json!({ "file": path, "found": told });
        if let Some(shadow) = schema_check::shadow(cx, &outside, &runbook.document).await? {
            // What the runbook says is closed already is contradicted by nothing.
            contradicted |= shadow.against().is_some() && plan.policy.schema_safe;
            file["shadow"] = json!({ "against": shadow.against(), "line": shadow.line() });
            if !cx.machine() {
                tried(cx, &shadow);
            }
        }
        report.push(file);
    }
    let ok = worst < Grade::Contradicted && !contradicted;
    if cx.machine() {
        cx.json(&json!({ "ok": ok, "live": report }));
    } else {
        let end = match worst {
            Grade::Sound => "every gate has an answer · nothing was changed",
            Grade::Doubtful => "every gate can have an answer; see what is marked with ! · nothing was changed",
            Grade::Contradicted => "a gate's limit does not fit what is there now · nothing was changed",
            Grade::Wrong => "a gate could never give a verdict · nothing was changed",
            Grade::Silent => "a source does not answer · nothing was changed",
        };
        cx.out("");
        if contradicted {
            cx.out(
                "the migrations do more than the files say: `schema.change` has to say so, or users cannot come back",
            );
        }
        cx.out(end);
    }
    Ok(match worst {
        Grade::Silent => Exit::Unreachable,
        Grade::Contradicted | Grade::Wrong => Exit::Invalid,
        _ if contradicted => Exit::Invalid,
        Grade::Doubtful if args.strict => Exit::Invalid,
        _ => Exit::Success,
    })
}

/// Each migration with what came of it.
fn tried(cx: &Context, shadow: &Shadow) {
    cx.out("");
    let mark = if shadow.against().is_some() { "✗" } else { "✓" };
    let Shadow::Ran { shown, .. } = shadow else { return cx.out(&format!("  ✗ shadow       {}", shadow.line())) };
    for Shown { name, met, .. } in shown {
        for Difference { class, line } in met {
            cx.out(&format!("    {name}: {line} ({})", class.name()));
        }
    }
    cx.out(&format!("  {mark} shadow       {}", shadow.line()));
}

/// What a file says that was found in order just now. Where numbers of a route are asked for, its place has to be known.
async fn read(
    args: &Args,
    cx: &Context,
    source: &Source,
    outside: &Surroundings,
) -> Result<Result<(Runbook, Plan), Exit>, Refusal> {
    let changed = || {
        Refusal::new(Kind::Invalid, Code::GatesUnasked, format!("`{}` has changed since it was checked", source.path))
            .next("the same command again")
    };
    let policy = policy::read(cx, &PolicyArgs { policy: args.policy.clone() })?.map_err(|_| changed())?;
    let inputs = Inputs { swap: args.swap, ..mistakes::inputs(&args.vars, &cx.env) };
    let mut draft = Draft::new(source, &inputs, policy.as_ref()).map_err(|_| changed())?;
    if let Some(refusal) = draft.refuse_missing() {
        return Err(refusal);
    }
    if draft.plan.gates.values().any(|gate| gate["cloudwatch"]["route"].is_string())
        && let Err(exit) = pin::all(cx, source, &mut draft, outside).await?
    {
        return Ok(Err(exit));
    }
    Ok(Ok((draft.runbook, draft.plan)))
}

fn broken(error: anyhow::Error) -> Refusal {
    Refusal::new(Kind::Other, Code::GatesUnasked, "the gates of this file cannot be read").cause(format!("{error:#}"))
}

fn mark(grade: Grade) -> &'static str {
    match grade {
        Grade::Sound => "✓",
        Grade::Doubtful => "!",
        Grade::Contradicted | Grade::Wrong | Grade::Silent => "✗",
    }
}

fn word(grade: Grade) -> &'static str {
    match grade {
        Grade::Sound => "sound",
        Grade::Doubtful => "doubtful",
        Grade::Contradicted => "contradicted",
        Grade::Wrong => "wrong",
        Grade::Silent => "silent",
    }
}
