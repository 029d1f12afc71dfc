//! `bgctl prepare`: what a place lacks before its users can be split is shown, confirmed, added, read back and written down.
//! It moves nobody, and there is a log of its own for it.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::arm;
use crate::diag::{Code, Kind, Refusal};
use crate::journal::{Append, Record, SealState};
use crate::people::{Answer, Board, confirm};
use crate::plan::Plan;
use crate::routers::{Call, Lack, Reading, RouterError, TrafficRouter};
use crate::run::{Actor, Event, Evidence, RunOutcome};
use crate::session::acting;
use crate::session::launch::{Launch, SigningArgs};
use crate::session::open::Open;
use crate::session::prepare;
use crate::session::routes;
use crate::session::surroundings::Surroundings;
use crate::session::{display, native};
use crate::shell::{Context, Exit};

/// Between two looks at what was just written.
const LOOK: Duration = Duration::from_millis(200);

/// Add the target group that a route lacks, with weight 0, so that users can be split. Moves no users.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub from: prepare::FromArgs,
    #[command(flatten)]
    pub launch: SigningArgs,
    /// The environment's name: what a person would type to change the live route.
    #[arg(long, value_name = "ENVIRONMENT")]
    pub confirm: Option<String>,
}

/// A route that lacks something, as it was read.
struct Lacking {
    name: String,
    line: String,
    router: Rc<dyn TrafficRouter>,
    reading: Reading,
    lack: Lack,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    cx.block_on(add(args, cx))?
}

async fn add(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let outside = Surroundings::new(cx, &args.from.lab, None, args.from.lab_mode())?;
    let (mut plan, found) = match prepare::pinned(cx, &args.from, &outside).await? {
        Ok(pinned) => pinned,
        Err(exit) => return Ok(exit),
    };
    found.iter().for_each(|line| cx.err(&format!("  found    {line}")));
    let lacking = look(&mut plan, &outside).await?;
    if lacking.is_empty() {
        let users: Vec<String> =
            plan.routes.values().map(|r| format!("{}, read just now at {}", r.before, r.line)).collect();
        match cx.machine() {
            true => cx.json(&json!({ "prepared": [], "users": users })),
            false => cx.out("nothing to prepare: users of every route can be split already"),
        }
        users.iter().for_each(|line| cx.err(&format!("  users    {line}")));
        return Ok(Exit::Success);
    }
    lacking.iter().for_each(|lacking| show(cx, lacking));
    let Some(answered) = confirmed(args, cx, &plan.environment).await? else {
        cx.err("Nothing was changed.");
        return Ok(Exit::Stopped);
    };
    // Nothing is moved in this run; the way home stays in its plan for whoever takes it for a run.
    plan.forward.clear();
    let launch = Launch {
        cx,
        outside: &outside,
        args: &args.launch,
        policy: Some(&args.from.policy),
        plan: Rc::new(plan),
        command: "prepare",
        native: Vec::new(),
    };
    let mut open = launch.create()?;
    launch.answered(&mut open, &answered)?;
    let mut added = Ok(());
    for lacking in &lacking {
        added = write(cx, &mut open, &launch.plan, lacking).await.map_err(|error| (lacking.name.clone(), error));
        if added.is_err() {
            break;
        }
    }
    close(cx, open, &launch.plan, &lacking, added)
}

/// The routes that lack something. The plan has them as they were read.
async fn look(plan: &mut Plan, outside: &Surroundings) -> Result<Vec<Lacking>, Refusal> {
    let mut found = Vec::new();
    for (name, planned) in &mut plan.routes {
        let router = routes::router(planned, outside)?;
        let reading = router.read().await.map_err(|e| arm::refused(&e, planned))?;
        (planned.line, planned.before) = (router.line(), reading.split);
        planned.resources = router.resources(Some(&reading));
        let Some(lack) = router.lacks(&reading) else { continue };
        if let Some(owner) = router.controller().await.map_err(|e| arm::refused(&e, planned))? {
            return Err(Refusal::new(
                Kind::Denied,
                Code::SomebodyElses,
                format!("{} belongs to {owner}", planned.line),
            )
            .cause("a controller that writes this place by itself would undo the change")
            .users(format!("{}, read just now. Nothing was changed.", reading.split))
            .next("let that controller add the group, or take the route away from it first"));
        }
        found.push(Lacking { name: name.clone(), line: planned.line.clone(), router, reading, lack });
    }
    Ok(found)
}

fn show(cx: &Context, Lacking { name, line, reading, lack, .. }: &Lacking) {
    cx.err(&format!("{name}: {line}"));
    cx.err(&format!("  lacks    {}", lack.line));
    for (head, lines) in [("now", &lack.before), ("after", &lack.after)] {
        for (n, line) in lines.iter().enumerate() {
            cx.err(&format!("  {:<8} {line}", if n == 0 { head } else { "" }));
        }
    }
    cx.err(&format!("  users    {}, read just now; no users are moved", reading.split));
}

/// A live rule is changed only by whoever says which environment it is: here, or on the command line.
async fn confirmed(args: &Args, cx: &Context, environment: &str) -> Result<Option<Evidence>, Refusal> {
    let text = "This changes a live rule and moves no users. Type the environment's name:";
    let evidence = |via: &str| Evidence::PromptAnswered {
        text: text.into(),
        choices: vec![environment.into()],
        answer: environment.into(),
        seconds: 0,
        by: Actor { via: via.into(), ..acting::here(cx, None, None) },
    };
    let usage = |code: Code, headline: String| {
        Refusal::new(Kind::Usage, code, headline)
            .users("as shown above. Nothing was changed.")
            .next(format!("the same command with --confirm {environment}"))
    };
    match &args.confirm {
        Some(given) if given == environment => return Ok(Some(evidence("command"))),
        Some(given) => {
            return Err(usage(Code::Unsaid, format!("`--confirm {given}` is not the environment of this runbook")));
        }
        None => {}
    }
    let keyboard = if cx.style.interactive { display::keyboard() } else { None };
    let Some(keyboard) = keyboard else {
        let headline = "changing a live rule has to be confirmed, and nobody can be asked here";
        return Err(usage(Code::NobodyHere, headline.into()));
    };
    let board = Board::on(cx.screen());
    Ok(match confirm::word(&keyboard, &board, cx.clock.as_ref(), text, environment).await {
        Answer::Given(true) => Some(evidence("prompt")),
        Answer::Given(false) | Answer::NobodyThere => None,
    })
}

/// Writes down what will be done, does it, and looks.
async fn write(cx: &Context, open: &mut Open, plan: &Plan, lacking: &Lacking) -> Result<(), RouterError> {
    let Lacking { name, line, router, reading, lack } = lacking;
    let unwritten = |what: String| RouterError::new(crate::routers::Trouble::Invalid, what);
    native::keep(&open.folder, plan, name, &router.native_way_back(name, reading))
        .map_err(|e| unwritten(format!("the rule as it was cannot be stored, so nothing was sent: {e}")))?;
    let words = format!("{name}: {}; from [{}] to [{}]", lack.line, lack.before.join("; "), lack.after.join("; "));
    note(open, &[Evidence::Note { line: words }]).map_err(unwritten)?;
    let answer = router.complete(reading).await;
    let calls = answer.as_ref().unwrap_or_else(|error| &error.calls);
    note(open, &called(name, calls)).map_err(unwritten)?;
    answer?;
    let begun = cx.clock.elapsed();
    loop {
        let now = router.read().await?;
        if router.lacks(&now).is_none() && now.split == reading.split {
            let ms = u64::try_from((cx.clock.elapsed() - begun).as_millis()).unwrap_or(u64::MAX);
            return note(open, &[Evidence::TrafficRead { route: name.clone(), split: now.split, ms }])
                .map_err(unwritten);
        }
        if cx.clock.elapsed() - begun > router.settle() {
            return Err(unwritten(format!("sent, but {line} does not read back as it should")));
        }
        cx.clock.sleep(LOOK).await;
    }
}

fn called(route: &str, calls: &[Call]) -> Vec<Evidence> {
    let of = |(n, call): (usize, &Call)| Evidence::ProviderCalled {
        route: route.into(),
        action: call.action.clone(),
        attempt: n as u32 + 1,
        request_id: call.request_id.clone(),
        code: call.code.clone(),
        ms: u64::try_from(call.time.as_millis()).unwrap_or(u64::MAX),
    };
    calls.iter().enumerate().map(of).collect()
}

fn note(open: &mut Open, all: &[Evidence]) -> Result<(), String> {
    let records: Vec<Record> = all.iter().map(Record::from).collect();
    open.journal.append(&records).map(drop).map_err(|e| format!("it cannot be written down: {e}"))
}

/// The end of the log, and the last word.
fn close(
    cx: &Context,
    open: Open,
    plan: &Plan,
    lacking: &[Lacking],
    added: Result<(), (String, RouterError)>,
) -> Result<Exit, Refusal> {
    let Open { id, folder, mut journal, signer, witnesses, .. } = open;
    let names: Vec<&str> = lacking.iter().map(|lacking| lacking.name.as_str()).collect();
    let facts = match &added {
        Ok(()) => {
            let checks =
                lacking.iter().map(|l| json!({ "route": l.name, "prior": l.reading.exact, "line": l.lack.line }));
            let line = format!("prepared: {}; no users were moved", names.join(", "));
            vec![
                Event::Armed { approvals_ahead: false, automatic_used: 0, checks: checks.collect::<Vec<Value>>() },
                Event::Ended { outcome: RunOutcome::Completed, line },
            ]
        }
        Err((_, error)) => vec![Event::Refused { why: format!("not prepared: {error}") }],
    };
    let records: Vec<Record> = facts.iter().map(Record::from).collect();
    let closed = journal.append(&records).and_then(|_| journal.close(SealState::Closed, Some(signer.as_ref())));
    match &closed {
        Ok(closed) => witnesses.leave(closed).iter().for_each(|line| cx.err(line)),
        Err(error) => cx.err(&format!("! the log could not be closed: {error}")),
    }
    if let Err((stuck, error)) = added {
        let planned = &plan.routes[&stuck];
        let moved = if error.moved { "; whether it was added is not known" } else { "" };
        return Err(arm::refused(&error, planned)
            .users(format!("as shown above: what was to be added moves no users{moved}"))
            .next(format!("bgctl plan {}        how the route is now", plan.runbook)));
    }
    if cx.machine() {
        let done = lacking.iter().map(|l| json!({ "route": l.name, "before": l.lack.before, "after": l.lack.after }));
        cx.json(&json!({ "run": id, "prepared": done.collect::<Vec<_>>(), "record": folder }));
    } else {
        cx.out(&format!("prepared {}: read back; no users were moved", names.join(", ")));
    }
    cx.err(&format!("  record   {}", folder.display()));
    cx.err(&format!("  next     bgctl plan {}        says when it is ready", plan.runbook));
    Ok(Exit::Success)
}
