//! Router `program`: a program of the team's own reads and sets the split, by a small contract of JSON.
//!
//! It is the route for every place that has no router here. What the program says is not believed further than it is written
//! as the contract has it; what a reading has to agree with is looked at from outside, as on every route.
#![doc = include_str!("../program.md")]

mod answer;
pub mod contract;
mod exchange;
mod settings;
pub mod trial;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join, try_join};
use serde_json::Value;

use self::answer::Answer;
use self::contract::{Call as Ask, Described, Healthy, Kinds, Manual, Read, Sent, Settled};
use self::exchange::{Answered, Exchange, refused};
use self::settings::Settings;
use super::{
    Access, Call, Health, Identity, Kind, NativeWayBack, Reading, RouteView, RouterError, TrafficRouter, Trouble,
};
use crate::clock::{Clock, SystemClock};
use crate::diag::Mistake;
use crate::plan::{Color, Split};
use crate::rehearsal::InLab;

/// The row of [`super::KINDS`].
pub const KIND: Kind = Kind {
    name: "program",
    about: "route: a program of your own, for every place bgctl has no router for",
    page: include_str!("../program.md"),
    schema: |generator| generator.subschema_for::<Settings>(),
    lab: InLab::Programs(&[""]),
    view: |value, access| Ok(Rc::new(Program::new(value, access)?)),
    open: |value, access| Ok(Rc::new(Program::new(value, access)?)),
};

/// How often a program is asked whether its write is in force.
const SETTLING: Duration = Duration::from_millis(500);

/// A place behind a program.
pub struct Program {
    exchange: Exchange,
    /// What it said of itself, once it was asked.
    described: RefCell<Option<Described>>,
    /// Its own commands to everybody on blue and to everybody on green, once it was asked for them.
    commands: RefCell<Option<[String; 2]>>,
    /// How many attempts were made, and the first part of their names: no other process has it.
    attempts: Cell<u32>,
    process: String,
}

impl Program {
    /// Checks the settings; starts nothing.
    pub fn new(value: &Value, access: &Access) -> Result<Self, Vec<Mistake>> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|e| {
            vec![Mistake { at: String::new(), message: format!("the system gives no random bytes: {e}"), help: None }]
        })?;
        Ok(Program {
            exchange: Exchange::new(Settings::read(value)?, access),
            described: RefCell::default(),
            commands: RefCell::default(),
            attempts: Cell::new(0),
            process: base16ct::lower::encode_string(&random),
        })
    }

    fn settings(&self) -> &Settings {
        &self.exchange.settings
    }

    fn attempt(&self) -> String {
        self.attempts.set(self.attempts.get() + 1);
        format!("{}-{}", self.process, self.attempts.get())
    }

    /// Asks for something that changes nothing, so that no answer is only silence.
    async fn ask<A: Answer>(&self, call: Ask<'_>, what: &str) -> Result<A, RouterError> {
        let place = self.line();
        match self.exchange.call::<A>(call).await {
            Ok(Answered { answer: Ok(answer), .. }) => Ok(answer),
            Ok(Answered { answer: Err(refusal), .. }) => Err(refused(&format!("{place}, `{what}`"), refusal)),
            Err(unanswered) => {
                let kind = if unanswered.unstarted { Trouble::NotFound } else { Trouble::Unreachable };
                let line = format!("{place} gives no answer to `{what}`: {}", unanswered.why);
                Err(RouterError::new(kind, line).cure(unanswered.again))
            }
        }
    }

    /// What the program says of itself: asked once.
    async fn described(&self) -> Result<(), RouterError> {
        if self.described.borrow().is_none() {
            let described = self.ask::<Described>(Ask::Describe, "describe").await?;
            *self.described.borrow_mut() = Some(described);
        }
        Ok(())
    }

    /// The program's own commands to everybody on one side: asked once.
    async fn commands(&self) -> Result<(), RouterError> {
        if self.commands.borrow().is_some() {
            return Ok(());
        }
        let of = |stack| self.ask::<Manual>(Ask::ManualRollback { to: Split::all_on(stack).into() }, "manual-rollback");
        let (blue, green) = try_join(of(Color::Blue), of(Color::Green)).await?;
        *self.commands.borrow_mut() = Some([blue.command, green.command]);
        Ok(())
    }

    fn of_description<T>(&self, of: impl Fn(&Described) -> T) -> Option<T> {
        self.described.borrow().as_ref().map(of)
    }

    /// Waits until the program says that a write is in force.
    async fn settled(&self, attempt: &str) -> Result<(), RouterError> {
        let begun = SystemClock.elapsed();
        loop {
            let settled = self.ask::<Settled>(Ask::Settle { attempt }, "settle").await?;
            if settled.settled {
                return Ok(());
            }
            if SystemClock.elapsed() - begun >= self.settings().within.time {
                let awaited = settled.line.map(|line| format!(": {line}")).unwrap_or_default();
                let what = format!(
                    "{} has taken a write that is not in force after {}{awaited}",
                    self.line(),
                    self.settings().within
                );
                return Err(RouterError::new(Trouble::Unreachable, what));
            }
            SystemClock.sleep(SETTLING).await;
        }
    }
}

#[async_trait(?Send)]
impl RouteView for Program {
    fn line(&self) -> String {
        let program = self.settings().shown();
        self.of_description(|described| format!("{} (`{program}`)", described.line))
            .unwrap_or(format!("program `{program}`"))
    }

    fn resources(&self, _: Option<&Reading>) -> Vec<String> {
        let named = |described: &Described| described.resources.iter().map(|name| format!("program {name}")).collect();
        self.of_description(named).unwrap_or_default()
    }

    fn min_healthy(&self) -> u32 {
        self.settings().min_healthy
    }

    fn takes(&self, to: Split) -> Result<(), String> {
        let one_side = self.of_description(|described| described.weights == Kinds::OneSide).unwrap_or(false);
        match to.only() {
            None if one_side => {
                Err("the program says that users of this place are on one side or the other: write `100%`".into())
            }
            _ => Ok(()),
        }
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        self.described().await?;
        // The commands are there when they are needed, and a reading does not depend on them.
        let (read, _) = join(self.ask::<Read>(Ask::Read, "read"), self.commands()).await;
        let read = read?;
        Ok(Reading { split: read.weights.into(), exact: read.state, remarks: read.remarks })
    }

    async fn health(&self, stack: Color) -> Result<Health, RouterError> {
        let answer = self.ask::<Healthy>(Ask::Health { stack: stack.name() }, "health").await?;
        let Healthy { healthy, total, ailing } = answer;
        Ok(Health { healthy, total, ailing, zones: None })
    }

    async fn controller(&self) -> Result<Option<String>, RouterError> {
        Ok(None)
    }

    /// A program without a command to everybody on blue is none that a run may depend on.
    async fn identity(&self) -> Result<Identity, RouterError> {
        self.read().await?;
        self.commands().await?;
        let program = self.settings().shown();
        let line = self.of_description(|described| described.identity.clone()).flatten();
        let line = line.unwrap_or_else(|| format!("whoever may run `{program}`"));
        Ok(Identity { line, left: None, renews: true })
    }

    fn native_way_back(&self, _: &str, reading: &Reading) -> NativeWayBack {
        let stack = reading.split.only().unwrap_or(Color::Blue);
        let command =
            self.commands.borrow().as_ref().map(|commands| commands[usize::from(stack == Color::Green)].clone());
        NativeWayBack { files: Vec::new(), command: command.unwrap_or_default() }
    }
}

#[async_trait(?Send)]
impl TrafficRouter for Program {
    async fn set(&self, from: &Reading, to: Split) -> Result<Vec<Call>, RouterError> {
        let place = self.line();
        if to.blue == 0 && to.green == 0 {
            return Err(RouterError::new(Trouble::Invalid, format!("{place}: no split sends everybody nowhere")));
        }
        if let Err(why) = self.takes(to) {
            return Err(RouterError::new(Trouble::Invalid, format!("{place} cannot be at {to}: {why}")));
        }
        // A program need not compare well, so it is done here as well, right before.
        let now = self.read().await?.split;
        if now == to {
            return Ok(Vec::new());
        }
        if now != from.split {
            let what = format!("{place} is at {now}, not at {}: nothing was written", from.split);
            return Err(RouterError::new(Trouble::Drift { found: now }, what));
        }
        let attempt = self.attempt();
        let ask = Ask::Set { from: now.into(), to: to.into(), attempt: &attempt };
        let call = |code: &str, request: Option<String>, time| Call {
            action: "set".into(),
            request_id: Some(request.unwrap_or_else(|| attempt.clone())),
            code: code.into(),
            time,
        };
        match self.exchange.call::<Sent>(ask).await {
            Ok(Answered { answer: Ok(Sent { request }), took }) => {
                let calls = vec![call("ok", request, took)];
                match self.settled(&attempt).await {
                    Ok(()) => Ok(calls),
                    Err(error) => Err(RouterError { moved: true, calls, ..error }),
                }
            }
            Ok(Answered { answer: Err(refusal), took }) => {
                let code = serde_json::to_value(refusal.kind).ok().and_then(|v| Some(v.as_str()?.to_string()));
                let calls = vec![call(code.as_deref().unwrap_or("refused"), None, took)];
                Err(RouterError { calls, ..refused(&format!("{place}, `set`"), refusal) })
            }
            Err(unanswered) => {
                let kind = if unanswered.unstarted { Trouble::NotFound } else { Trouble::Unreachable };
                let error = RouterError::new(kind, format!("{place} gives no answer to `set`: {}", unanswered.why));
                let calls = vec![call("no answer", None, unanswered.took)];
                Err(RouterError { moved: !unanswered.unstarted, calls, ..error })
            }
        }
    }

    fn settle(&self) -> Duration {
        Duration::from_secs(self.of_description(|described| described.settle_s).unwrap_or(0))
    }

    /// As the program says; one that was never asked may take as long as a call.
    fn lands_within(&self) -> Duration {
        let said = self.of_description(|described| Duration::from_secs(described.lands_within_s));
        said.unwrap_or(self.settings().within.time).max(self.settle())
    }
}
