//! Whether a program keeps the contract: each promise is tried on the place it leads to, and what is wrong is said in words.
//!
//! It moves the users of that place, many times. It asks the program itself and not the route, since the route would cover up
//! what the program leaves out. It begins with everybody on blue and tries to end there; where users are afterwards is for the
//! caller to read.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join;
use serde_json::Value;

use super::Program;
use super::answer::Answer;
use super::contract::{Call, Described, Healthy, Manual, Read, Refused, Sent, Settled, Why};
use super::exchange::{Answered, Unanswered};
use crate::child::{Children, Command, Exit};
use crate::clock::{Clock, SystemClock};
use crate::diag::Mistake;
use crate::plan::{Color, Split};
use crate::routers::Access;

/// Shares of green in thousandths that are tried where users can be split.
const SHARES: [u32; 4] = [100, 5, 500, 1000];
/// How often a `set` is cut off.
const CUTS: u32 = 8;
/// How often two write at the same time.
const RACES: u32 = 3;
/// The longest a place is waited for after the cuts, whatever it says.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);

/// What became of one promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The promise, as a sentence without an end.
    pub promise: &'static str,
    pub verdict: Kept,
}

/// Tries everything, and says of each promise what became of it. An error: the settings are wrong.
pub async fn trial(value: &Value, access: &Access, say: &mut dyn FnMut(Tried)) -> Result<(), Vec<Mistake>> {
    let program = Program::new(value, access)?;
    Trial { program: &program, say }.play().await;
    Ok(())
}

struct Trial<'a> {
    program: &'a Program,
    say: &'a mut dyn FnMut(Tried),
}

/// What was seen of a promise that was kept, or why it was not.
type Kept = Result<String, String>;

impl Trial<'_> {
    fn note(&mut self, promise: &'static str, verdict: Kept) {
        (self.say)(Tried { promise, verdict });
    }

    async fn play(&mut self) {
        let described = match self.described().await {
            Ok(described) => described,
            Err(why) => {
                self.note("`describe` says what place it is", Err(why));
                return;
            }
        };
        self.note("`describe` says what place it is", Ok(described.line.clone()));
        let begins = match self.read().await {
            Ok(read) => read,
            Err(why) => {
                self.note("`read` says the split", Err(why));
                return;
            }
        };
        if Split::from(begins.weights) != Split::ALL_BLUE {
            let why = format!(
                "it reads {}: bring everybody to BLUE, then the same command again",
                Split::from(begins.weights)
            );
            self.note("the trial begins with everybody on BLUE", Err(why));
            return;
        }
        self.note("`read` says the split", Ok("everybody is on BLUE".into()));
        let steady = self.steady(&begins).await;
        self.note("two readings of the same place are the same, also beside `health`", steady);
        let healthy = self.healthy().await;
        self.note("`health` counts the targets of each side", healthy);
        let exchanged = self.exchanged().await;
        self.note("with the sides exchanged it reads the same users", exchanged);
        let unknown = self.unknown().await;
        self.note("a call it does not know is refused", unknown);
        let stale = self.stale(&begins).await;
        self.note("`set` compares before it writes", stale);
        let shares: &[u32] = if described.weights == super::Kinds::OneSide { &[1000] } else { &SHARES };
        let set = self.sets(shares, &described).await;
        self.note("`set` makes the split it is told, and `read` agrees", set);
        let again = self.again().await;
        self.note("`set` to the split that is there changes nothing", again);
        let nowhere = self.nowhere().await;
        self.note("nobody is sent nowhere", nowhere);
        let cut = self.cut(&described).await;
        self.note("a `set` that is cut off has happened or has not", cut);
        let two = self.two(shares).await;
        self.note("of two that write at the same time one is told no", two);
        let manual = self.manual(&described).await;
        self.note("the command of `manual-rollback` brings everybody to BLUE", manual);
        let ends = self.ends(&begins, &described).await;
        self.note("the place is as it was before the trial", ends);
    }

    async fn described(&self) -> Result<Described, String> {
        let first = self.ask::<Described>(Call::Describe).await?;
        let second = self.ask::<Described>(Call::Describe).await?;
        match (&first.line, &first.resources) == (&second.line, &second.resources) {
            true => Ok(first),
            false => Err("asked twice it names two places: `line` and `resources` have to stay the same".into()),
        }
    }

    /// An answer; a refusal or none is a reason.
    async fn ask<A: Answer>(&self, call: Call<'_>) -> Result<A, String> {
        match self.call(call).await {
            Ok(answer) => answer.map_err(|refused| format!("it refuses: {}", refused.why)),
            Err(unanswered) => Err(no_answer(&unanswered)),
        }
    }

    async fn call<A: Answer>(&self, call: Call<'_>) -> Result<Result<A, Refused>, Unanswered> {
        self.program.exchange.call::<A>(call).await.map(|Answered { answer, .. }| answer)
    }

    async fn read(&self) -> Result<Read, String> {
        self.ask(Call::Read).await
    }

    async fn split(&self) -> Result<Split, String> {
        Ok(self.read().await?.weights.into())
    }

    async fn set(&self, from: Split, to: Split) -> Result<Result<Sent, Refused>, Unanswered> {
        let attempt = self.program.attempt();
        let answer = self.call(Call::Set { from: from.into(), to: to.into(), attempt: &attempt }).await;
        if let Ok(Ok(_)) = answer {
            let begun = SystemClock.elapsed();
            while let Ok(Settled { settled: false, .. }) = self.ask(Call::Settle { attempt: &attempt }).await {
                if SystemClock.elapsed() - begun > self.program.settings().within.time {
                    break;
                }
                SystemClock.sleep(LOOK).await;
            }
        }
        answer
    }

    /// Sets a split and looks until it is read.
    async fn goes(&self, from: Split, to: Split, described: &Described) -> Result<(), String> {
        match self.set(from, to).await {
            Ok(Ok(_)) => {}
            Ok(Err(refused)) => return Err(format!("from {from} to {to} it refuses: {}", refused.why)),
            Err(unanswered) => return Err(format!("from {from} to {to}: {}", no_answer(&unanswered))),
        }
        let begun = SystemClock.elapsed();
        loop {
            let found = self.split().await?;
            if found == to {
                return Ok(());
            }
            if SystemClock.elapsed() - begun >= Duration::from_secs(described.settle_s) {
                let lag = format!("within the {} s that `settle_s` names", described.settle_s);
                return Err(format!("it was told {to} and answered, and reads {found} {lag}"));
            }
            SystemClock.sleep(LOOK).await;
        }
    }

    async fn steady(&self, begins: &Read) -> Kept {
        let (read, healthy) = join(self.read(), self.ask::<Healthy>(Call::Health { stack: "blue" })).await;
        healthy?;
        let read = read?;
        match (read.weights, &read.state) == (begins.weights, &begins.state) {
            true => Ok("the same".into()),
            false => Err(
                "nothing was changed, and `weights` or `state` is another: leave out of `state` what changes by itself"
                    .into(),
            ),
        }
    }

    async fn healthy(&self) -> Kept {
        let mut said = Vec::new();
        for stack in Color::BOTH {
            let found = self
                .ask::<Healthy>(Call::Health { stack: stack.name() })
                .await
                .map_err(|why| format!("{stack}: {why}"))?;
            if found.healthy < found.total && found.ailing.is_empty() {
                return Err(format!(
                    "{stack} has {} of {} healthy, and `ailing` does not say which and why",
                    found.healthy, found.total
                ));
            }
            said.push(format!("{stack} {} of {}", found.healthy, found.total));
        }
        Ok(said.join(", "))
    }

    /// The next release exchanges the two: what stands at the place belongs to a side by its name and not by its color.
    async fn exchanged(&self) -> Kept {
        let other = self.program.exchange.exchanged();
        let read = other.call::<Read>(Call::Read).await.map_err(|unanswered| no_answer(&unanswered))?;
        let read = read.answer.map_err(|refused| format!("it refuses: {}", refused.why))?;
        match Split::from(read.weights) == Split::ALL_GREEN {
            true => Ok("everybody is on GREEN then".into()),
            false => Err(format!(
                "asked with `blue` and `green` exchanged it reads {}: weights belong to the names of the sides",
                Split::from(read.weights)
            )),
        }
    }

    async fn unknown(&self) -> Kept {
        let unknown = self.program.exchange.unknown().await;
        match unknown {
            Ok(refused) if refused.kind == Why::Invalid => Ok(refused.why),
            Ok(_) => Err("it is refused with another `kind` than `invalid`".into()),
            Err(why) => Err(format!("asked for `no-such-call`: {why}; a later bgctl may ask for more than this one")),
        }
    }

    async fn stale(&self, begins: &Read) -> Kept {
        let from = Split::ALL_GREEN;
        let to = Split::ALL_GREEN;
        let answer = self.set(from, to).await.map_err(|unanswered| no_answer(&unanswered))?;
        let found = self.split().await?;
        if found != begins.weights.into() {
            return Err(format!("told to go on from {from}, it wrote {found} over what somebody else had set"));
        }
        match answer {
            Err(Refused { kind: Why::Drift, found: Some(found), .. }) if Split::from(found) == Split::ALL_BLUE => {
                Ok("a `from` that is not there is `drift`".into())
            }
            Err(Refused { kind: Why::Drift, found, .. }) => Err(format!(
                "`found` says {}, and the place is at {}",
                found.map_or("nothing".into(), |w| Split::from(w).to_string()),
                Split::ALL_BLUE
            )),
            Err(refused) => Err(format!("a `from` that is not there is refused as {:?}, not as `drift`", refused.kind)),
            Ok(_) => Err("a `from` that is not there has to be refused with `drift`".into()),
        }
    }

    async fn sets(&self, shares: &[u32], described: &Described) -> Kept {
        let mut from = Split::ALL_BLUE;
        for &share in shares {
            let to = Split::of_green(share);
            self.goes(from, to, described).await?;
            from = to;
        }
        let shown: Vec<String> = shares.iter().map(|share| Split::of_green(*share).to_string()).collect();
        Ok(shown.join(", then "))
    }

    async fn again(&self) -> Kept {
        let now = self.split().await?;
        let before = self.read().await?;
        // Whether it does nothing or the same once more is its own affair.
        let _ = self.set(now, now).await.map_err(|unanswered| no_answer(&unanswered))?;
        let after = self.read().await?;
        match after.weights == before.weights {
            true => Ok("the same".into()),
            false => Err(format!("it reads {} afterwards", Split::from(after.weights))),
        }
    }

    async fn nowhere(&self) -> Kept {
        let now = self.split().await?;
        let answer = self.set(now, Split { blue: 0, green: 0 }).await;
        let found = self.split().await?;
        match (found == now, answer) {
            (true, Ok(Err(_))) => Ok("weights of 0 on both sides are refused".into()),
            (true, _) => Err("weights of 0 on both sides are to be refused in words".into()),
            (false, _) => Err(format!("weights of 0 on both sides were written: it reads {found}")),
        }
    }

    /// The program is ended in the middle, as by a power cut: at moments over the whole of a `set`, as long as one takes here.
    async fn cut(&self, described: &Described) -> Kept {
        let from = self.split().await?;
        let to = if from == Split::ALL_BLUE { Split::ALL_GREEN } else { Split::ALL_BLUE };
        let begun = SystemClock.elapsed();
        self.goes(from, to, described).await?;
        let whole = SystemClock.elapsed() - begun;
        let one = |split: Split| split == from || split == to;
        let mut landed = 0;
        for n in 0..CUTS {
            let before = self.split().await?;
            let after = if before == from { to } else { from };
            let attempt = self.program.attempt();
            let call = self.call::<Sent>(Call::Set { from: before.into(), to: after.into(), attempt: &attempt });
            let cut = whole * n / CUTS;
            tokio::select! { biased;
                _ = call => {}
                () = SystemClock.sleep(cut) => {}
            }
            let found = self.split().await.map_err(|why| format!("after a `set` that was cut off: {why}"))?;
            if !one(found) {
                let cut = cut.as_millis();
                return Err(format!(
                    "cut off after {cut} ms it reads {found}, neither the split before nor the one after"
                ));
            }
            landed += u32::from(found == after);
        }
        SystemClock.sleep(Duration::from_secs(described.lands_within_s).min(PATIENCE)).await;
        let found = self.split().await?;
        match one(found) {
            true => Ok(format!("{landed} of {CUTS} had happened")),
            false => Err(format!("after all that was cut off it reads {found}")),
        }
    }

    /// Who comes first is chance, so it is tried more than once.
    async fn two(&self, shares: &[u32]) -> Kept {
        let splits = [Split::ALL_BLUE, Split::ALL_GREEN, Split::of_green(500)];
        if shares.len() < 2 {
            return Ok("not tried: there are only two splits".into());
        }
        for _ in 0..RACES {
            let from = self.split().await?;
            let others: Vec<Split> = splits.into_iter().filter(|split| *split != from).take(2).collect();
            let (one, two) = join(self.set(from, others[0]), self.set(from, others[1])).await;
            let found = self.split().await?;
            if found != from && !others.contains(&found) {
                return Err(format!("it reads {found} afterwards, which is neither of the two"));
            }
            if let (Ok(Ok(_)), Ok(Ok(_))) = (one, two) {
                return Err("both were told that it is done: one of them is wrong. Use the provider's own condition on the write, where it has one".into());
            }
        }
        Ok(format!("it reads {}", self.split().await?))
    }

    async fn manual(&self, described: &Described) -> Kept {
        // A command that does nothing is seen only from elsewhere.
        if self.split().await? == Split::ALL_BLUE {
            self.goes(Split::ALL_BLUE, Split::ALL_GREEN, described).await?;
        }
        let Manual { command } = self.ask(Call::ManualRollback { to: Split::ALL_BLUE.into() }).await?;
        let settings = self.program.settings();
        let shell = Command {
            argv: vec!["/bin/sh".into(), "-ec".into(), command.clone()],
            env: self.program.exchange.environment(),
            directory: None,
            input: Vec::new(),
            timeout: settings.within.time,
        };
        let children = Children::new(Rc::new(SystemClock), self.program.exchange.only());
        let mut said = Vec::new();
        let ended = children.run(&shell, &mut |_, piece| said.extend_from_slice(piece)).await;
        match ended {
            Ok(Exit::Status(0)) => {}
            other => return Err(format!("`{command}` ended with {other:?}{}", self.program.exchange.complaint(&said))),
        }
        let found = self.split().await?;
        match found == Split::ALL_BLUE {
            true => Ok(command.lines().next().unwrap_or_default().to_string()),
            false => Err(format!("`{command}` ended well, and the place reads {found}")),
        }
    }

    async fn ends(&self, begins: &Read, described: &Described) -> Kept {
        let now = self.split().await?;
        if now != Split::ALL_BLUE {
            self.goes(now, Split::ALL_BLUE, described).await?;
        }
        let read = self.read().await?;
        match read.state == begins.state {
            true => Ok("everybody is on BLUE".into()),
            false => Err(
                "everybody is on BLUE, and `state` is not what it was: it should hold what puts the place back exactly"
                    .into(),
            ),
        }
    }
}

fn no_answer(unanswered: &Unanswered) -> String {
    format!("no answer: {}", unanswered.why)
}
