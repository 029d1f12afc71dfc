//! The looks that are taken directly before something that cannot be taken back: of the guards before a write, of the approval
//! before it is used. Each answers otherwise here than a moment before, so leaving the look out shows.

mod common;

use std::cell::Cell;
use std::rc::Rc;

use async_trait::async_trait;
use bgctl::drive::{End, Run, Steps, drive};
use bgctl::journal::Entry;
use bgctl::people::{AfterInterrupt, Answer, Approve, Command, Decision, Page, People};
use bgctl::plan::{Lane, Move, Plan, Split};
use bgctl::report::Reporter;
use bgctl::run::{Actor, Cause, Event, Evidence, RunOutcome};
use bgctl::sim::{Scenario, Sim, SimJournal, SimWatch};
use bgctl::world::{Blocked, Guards};
use common::play::{approved, plan, shift};
use serde_json::json;

struct Deaf;

impl Reporter for Deaf {
    fn record(&mut self, _: &Entry) {}
}

/// Free for so many looks at a move forward, and frozen from then on.
struct Flips {
    looks: Cell<u32>,
    free: u32,
}

#[async_trait(?Send)]
impl Guards for Flips {
    async fn blocks(&self, _: &Move, lane: Lane) -> Option<Blocked> {
        self.looks.set(self.looks.get() + u32::from(lane == Lane::Forward));
        (lane == Lane::Forward && self.looks.get() > self.free)
            .then(|| Blocked { cause: Cause::Frozen, line: "frozen in this very moment".into() })
    }

    async fn forbids(&self) -> Option<Blocked> {
        None
    }
}

/// Agrees once; when the agreement is to be used it was taken back meanwhile, and then nobody is there any more.
struct TakesBack {
    sim: Rc<Sim>,
    asked: Cell<u32>,
    rechecked: Cell<u32>,
}

#[async_trait(?Send)]
impl People for TakesBack {
    async fn approve(&self, ask: &Approve<'_>) -> Answer<Decision> {
        self.asked.set(self.asked.get() + 1);
        match self.asked.get() {
            1 => self.sim.approve(ask).await,
            _ => Answer::NobodyThere,
        }
    }

    async fn recheck(&self, ask: &Approve<'_>) -> Option<Decision> {
        self.rechecked.set(self.rechecked.get() + 1);
        let given = ask.grants.first()?;
        Some(Decision::Withdrawn {
            principal: given.principal.clone(),
            why: "its key was given up".into(),
            grant: None,
        })
    }

    async fn happened(&self, line: &str) -> Answer<(bool, Evidence)> {
        self.sim.happened(line).await
    }

    async fn undone(&self, line: &str, users: &str) -> Answer<(AfterInterrupt, Evidence)> {
        self.sim.undone(line, users).await
    }

    async fn roll_back(&self, why: &str, users: &str) -> Answer<(bool, Evidence)> {
        self.sim.roll_back(why, users).await
    }

    /// Has gone away from the question for an hour.
    async fn interrupted(&self, users: &str) -> Answer<(AfterInterrupt, Evidence)> {
        bgctl::clock::Clock::sleep(&*self.sim.clock, std::time::Duration::from_secs(3600)).await;
        self.sim.interrupted(users).await
    }

    async fn page(&self, page: &Page) -> (bool, String) {
        self.sim.page(page).await
    }

    fn actor(&self) -> Actor {
        self.sim.actor()
    }

    fn ahead(&self) -> bool {
        false
    }
}

/// A run under these guards and with these people, where they are others than the world's.
fn run(sim: &Rc<Sim>, plan: &Plan, guards: Option<Rc<dyn Guards>>, people: Option<&dyn People>) -> (End, Vec<Event>) {
    let steps = Steps::of(plan).unwrap();
    let mut world = sim.world(plan);
    if let Some(guards) = guards {
        world.guards = guards;
    }
    let watch = SimWatch(sim.clone());
    let run = Run {
        id: "run",
        plan,
        steps: &steps,
        world: &world,
        people: people.unwrap_or(sim),
        control: sim,
        watch: &watch,
        keep: &|_, _| Ok(()),
        request: &|at, until, _| format!("{at:?} {until:?}"),
        deadlines: world.clock.as_ref(),
        rules: sim,
        automatic_used: 0,
    };
    let mut journal = SimJournal::new(sim);
    let clock = sim.clock.clone();
    let end = clock.run(drive(&run, &[], &mut journal, &mut Deaf)).expect("no crash").expect("a whole journal");
    (end, journal.events())
}

fn two_shifts() -> Plan {
    let forward = vec![shift("half", "web", 0, 500), shift("all", "web", 500, 1000)];
    plan(&["web"], forward, vec![shift("back", "web", 1000, 0)], json!({ "pause_at_most_s": 60 }))
}

#[test]
fn r30_the_guards_are_looked_at_directly_before_each_write() {
    // A boundary looks once and the shift looks again: the guard shuts between the two, at the first move or at the second.
    for (free, reached) in [(1, vec![Split::ALL_BLUE]), (3, vec![Split::ALL_BLUE, Split { blue: 500, green: 500 }])] {
        let plan = two_shifts();
        let sim = Sim::new(&plan, Scenario::default());
        let guards = Rc::new(Flips { looks: Cell::new(0), free });
        let (_, events) = run(&sim, &plan, Some(guards.clone()), None);
        assert!(guards.looks.get() > free, "nobody looked a second time");
        let green = |split: &Split| split.share(bgctl::plan::Color::Green);
        let there: Vec<f64> = sim.history("web").iter().map(|(_, split)| green(split)).collect();
        let wanted: Vec<f64> = reached.iter().map(green).collect();
        assert_eq!(there[..wanted.len()], wanted[..], "{events:#?}");
        assert!(
            there.iter().all(|share| *share <= wanted[wanted.len() - 1]),
            "a write past a guard that was shut: {there:?}"
        );
    }
}

#[test]
fn r30_an_approval_is_asked_again_before_it_is_used() {
    let forward = vec![approved(shift("all", "web", 0, 1000), "roll-back")];
    let plan = plan(&["web"], forward, vec![shift("back", "web", 1000, 0)], json!({}));
    let sim = Sim::new(&plan, Scenario::default());
    let (end, events) = run(&sim, &plan, None, None);
    assert_eq!(end.outcome, RunOutcome::Completed, "{events:#?}");
    let sim = Sim::new(&plan, Scenario::default());
    let people = TakesBack { sim: sim.clone(), asked: Cell::new(0), rechecked: Cell::new(0) };
    let (end, events) = run(&sim, &plan, None, Some(&people));
    assert!(people.rechecked.get() > 0, "nobody looked again");
    assert!(events.iter().any(|event| matches!(event, Event::ApprovalWithdrawn { .. })), "{events:#?}");
    assert!(!events.iter().any(|event| matches!(event, Event::StepIntent { .. })), "{events:#?}");
    assert_eq!((end.outcome, sim.split()), (RunOutcome::Waiting, Split { blue: 1000, green: 0 }), "{events:#?}");
}

#[test]
fn a_question_after_an_interruption_that_nobody_answers_keeps_nobody_on_two_sides() {
    let (plan, now) = (two_shifts(), std::time::Duration::from_millis(150));
    let sim = Sim::new(&plan, Scenario { wishes: vec![(now, Command::Interrupt)], ..Scenario::default() });
    let people = TakesBack { sim: sim.clone(), asked: Cell::new(0), rechecked: Cell::new(0) };
    let (end, events) = run(&sim, &plan, None, Some(&people));
    assert_eq!((end.outcome, sim.split()), (RunOutcome::RolledBack, Split::ALL_BLUE), "{events:#?}");
    let home = sim.history("web").last().unwrap().0.as_secs();
    assert!((60..65).contains(&home), "{home} s");
}
