//! People at a terminal: the approval card, the questions after trouble, and signed approvals that arrive meanwhile.
//!
//! What is typed here is the runner's word and is recorded as such. Whoever runs a cutover approves it here only where the
//! rule allows it; otherwise the card says who can, and how.

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;

use super::board::Board;
use super::files::recipe;
use super::inbox::{Found, Inbox};
use super::pager::{Page, Pager};
use super::prompt::{Asked, Judged, Question};
use super::tty::Keyboard;
use super::{AfterInterrupt, Answer, Approve, Decision, People, shown};
use crate::child::quoted;
use crate::clock::Clock;
use crate::plan::{AtExpiry, EvidenceLevel};
use crate::run::{Actor, Evidence, Grant};

/// How long a question that is nobody's duty stays open.
const PATIENCE: Duration = Duration::from_secs(300);

/// And the one after Ctrl-C: then users are sent back.
const INTERRUPTED: Duration = Duration::from_secs(60);

/// How a question stands open.
#[derive(Clone, Copy)]
struct Open {
    patience: Duration,
    /// One key answers, without Enter.
    at_once: bool,
}

/// The people at a terminal.
pub struct Terminal {
    pub keyboard: Rc<Keyboard>,
    pub board: Board,
    pub clock: Rc<dyn Clock>,
    /// Who runs the cutover; the name is the one roles know.
    pub actor: Actor,
    pub inbox: Inbox,
    pub pager: Rc<Pager>,
}

impl Terminal {
    fn may_approve(&self, ask: &Approve<'_>) -> bool {
        // What is typed here is the runner's word and nobody's signature.
        let typed = ask.rule.own_run && ask.rule.evidence == EvidenceLevel::Prompt;
        let me = ask.team.person(&self.actor.name).filter(|me| typed && ask.team.is_human(me));
        me.is_some_and(|me| ask.rule.members.iter().any(|member| member == me) && !self.gave(ask))
    }

    fn gave(&self, ask: &Approve<'_>) -> bool {
        let me = ask.team.person(&self.actor.name);
        let mine = |name: &str| name == self.actor.name || me.is_some() && ask.team.person(name) == me;
        ask.by().into_iter().any(mine) || ask.void.iter().any(|name| mine(name))
    }

    /// Comes back when a signed answer lies in the inbox.
    async fn signed(&self, ask: &Approve<'_>) -> Decision {
        let mut said: Vec<String> = Vec::new();
        loop {
            match self.inbox.look(ask, self.clock.now()) {
                Found::Decision(decision) => return decision,
                Found::Nothing(remarks) => {
                    for remark in remarks {
                        if !said.contains(&remark) {
                            self.board.say(&format!("! {}  not counted: {remark}", ask.id));
                            said.push(remark);
                        }
                    }
                }
            }
            self.clock.sleep(Duration::from_secs(1)).await;
        }
    }

    /// The card of an approval, without the line that is typed at.
    fn card(&self, ask: &Approve<'_>, left: Option<Duration>) -> Vec<String> {
        let until = Timestamp::from_second(ask.expires).map_or(String::new(), |t| t.strftime("%H:%M:%S").to_string());
        let left = left.map_or(String::new(), |left| format!(" ({})", clock_face(left)));
        let mut lines = vec![format!("{}  {}?   expires {until}{left}", ask.id, ask.line)];
        if !ask.evidence.is_empty() {
            lines.push(format!("  evidence   {}", ask.evidence.join(" · ")));
        }
        lines.push(format!("  rollback   {}", ask.way_back));
        let given: Vec<Option<&str>> = ask.by().into_iter().map(|name| ask.team.person(name)).collect();
        let open = ask.rule.members.iter().filter(|member| !given.contains(&Some(member.as_str())));
        let who = open.cloned().collect::<Vec<_>>().join(", ");
        let given = if ask.grants.is_empty() { String::new() } else { format!("; given: {}", ask.by().join(", ")) };
        let own = if self.may_approve(ask) {
            ""
        } else if self.gave(ask) {
            "; you have approved"
        } else {
            "; you cannot approve it"
        };
        lines.push(format!("  needs      {} of {who} ({}){given}{own}", ask.rule.quorum, ask.rule.role));
        lines.push(format!(
            "  at expiry  {}",
            match ask.rule.at_expiry {
                AtExpiry::RollBack => "roll back to BLUE 100, or stop if no user has moved",
                AtExpiry::Hold => "hold: users stay as they are",
                AtExpiry::Halt => "halt and page",
            }
        ));
        lines
    }

    async fn type_word(&self, ask: &Approve<'_>) -> Answer<Decision> {
        let card = |left| self.card(ask, left);
        let judge = |typed: &str| match typed {
            "x" => Judged::Answer(false),
            "r" | "s" => {
                self.keyboard.hand_over(typed.chars().next().unwrap_or('s'));
                Judged::Again
            }
            typed if typed == ask.word => Judged::Answer(true),
            typed => Judged::Wrong(format!("`{typed}` is not `{}`", ask.word)),
        };
        let line = format!("Type {} to approve, x to refuse, r to roll back:", ask.word);
        let question = Question {
            card: &card,
            ask: &|_| line.clone(),
            judge: &judge,
            keys: &|_| None,
            until: Timestamp::from_second(ask.expires).ok(),
            tries: None,
        };
        match question.put(&self.keyboard, &self.board, &*self.clock).await {
            Asked::Answered { value, typed, seconds } => {
                let mut shown: Vec<String> = self.card(ask, None);
                shown.push(line.clone());
                let prompt = json!({
                    "text": shown.join("\n"), "choices": [ask.word, "x"], "request_sha256": ask.request_sha256, "typed": typed, "seconds": seconds,
                });
                let grant = Grant {
                    principal: self.actor.name.clone(),
                    evidence: "prompt".into(),
                    key: None,
                    sig: None,
                    prompt: Some(prompt),
                };
                Answer::Given(if value { Decision::Granted(grant) } else { Decision::Denied(grant) })
            }
            // A terminal that is gone takes nobody's signature away: the time that was given to sign is given.
            Asked::Gone => Answer::Given(self.signed(ask).await),
            // The deadline belongs to whoever set it: here nobody answers any more.
            Asked::Expired | Asked::GivenUp => Answer::NobodyThere,
        }
    }

    /// Shows the card with a countdown for as long as it is polled.
    async fn show_card(&self, ask: &Approve<'_>) {
        let _open = Shown(&self.board);
        loop {
            let left = (ask.expires - self.clock.now().as_second()).max(0).unsigned_abs();
            let mut lines = self.card(ask, Some(Duration::from_secs(left)));
            lines.push("[r] roll back now  [s] status                       Ctrl-C stops safely".into());
            if !self.keyboard.asks() {
                self.board.show(&lines);
            }
            self.clock.sleep(Duration::from_secs(1)).await;
        }
    }

    /// A question with a few answers.
    async fn choose<T: Copy>(
        &self,
        card: &[String],
        ask: &dyn Fn(&str) -> String,
        choices: &[(char, &str, T)],
        Open { patience, at_once }: Open,
    ) -> Answer<(T, Evidence)> {
        let find = |typed: &str| choices.iter().find(|(key, word, _)| typed == *word || typed == key.to_string());
        let judge = |typed: &str| match find(typed) {
            Some((_, _, value)) => Judged::Answer(*value),
            None => Judged::Wrong("that is not one of the answers".into()),
        };
        let keys = |key: char| choices.iter().find(|(k, ..)| at_once && *k == key).map(|(_, _, value)| *value);
        let until = self.clock.now().checked_add(jiff::SignedDuration::from_secs(patience.as_secs() as i64)).ok();
        let shown = |left: Option<Duration>| ask(&clock_face(left.unwrap_or(patience)));
        let question =
            Question { card: &|_| card.to_vec(), ask: &shown, judge: &judge, keys: &keys, until, tries: None };
        match question.put(&self.keyboard, &self.board, &*self.clock).await {
            Asked::Answered { value, typed, seconds } => {
                self.keyboard.interrupts.set(0);
                let answer = find(typed.trim()).map_or(typed.clone(), |(_, word, _)| word.to_string());
                let evidence = Evidence::PromptAnswered {
                    text: format!("{}\n{}", card.join("\n"), shown(None)),
                    choices: choices.iter().map(|(_, word, _)| word.to_string()).collect(),
                    answer,
                    seconds,
                    by: self.actor(),
                };
                Answer::Given((value, evidence))
            }
            Asked::Expired | Asked::GivenUp | Asked::Gone => Answer::NobodyThere,
        }
    }
}

#[async_trait(?Send)]
impl People for Terminal {
    async fn approve(&self, ask: &Approve<'_>) -> Answer<Decision> {
        if ask.grants.is_empty() {
            match self.inbox.publish(ask) {
                Ok(file) => {
                    self.board.say(&format!("  {} can be approved from anywhere, by signing its request:", ask.id));
                    self.board.say(&format!("    bgctl approve {}", quoted(&file.display().to_string())));
                    self.board.say(&format!("    {}        without bgctl", recipe(&file)));
                }
                Err(error) => self.board.say(&format!("! the request of {} cannot be written: {error}", ask.id)),
            }
        }
        if self.may_approve(ask) {
            // The card has room for what decides; what is agreed to with it stands above.
            let agreed = shown::Shown::read(ask.request).map(|request| request.details()).unwrap_or_default();
            agreed.iter().for_each(|row| self.board.say(&format!("    {:<11} {}", row.head, row.text)));
            let typed = tokio::select! { biased;
                answer = self.type_word(ask) => answer,
                decision = self.signed(ask) => Answer::Given(decision),
            };
            return match typed {
                // The terminal went away, the signed way did not; but its time may be over.
                Answer::NobodyThere if self.clock.now().as_second() < ask.expires => {
                    Answer::Given(self.signed(ask).await)
                }
                given => given,
            };
        }
        tokio::select! { biased;
            decision = self.signed(ask) => Answer::Given(decision),
            () = self.show_card(ask) => Answer::NobodyThere,
        }
    }

    async fn recheck(&self, ask: &Approve<'_>) -> Option<Decision> {
        self.inbox.recheck(ask, self.clock.now())
    }

    async fn happened(&self, line: &str) -> Answer<(bool, Evidence)> {
        let card = [format!("bgctl cannot check whether this step happened: {line}")];
        let choices = [('y', "yes", true), ('n', "no", false)];
        let ask = |left: &str| format!("Did it happen? [y] yes  [n] no  ({left}):");
        self.choose(&card, &ask, &choices, Open { patience: PATIENCE, at_once: false }).await
    }

    async fn undone(&self, line: &str, users: &str) -> Answer<(AfterInterrupt, Evidence)> {
        let card = [line.to_string(), format!("users: {users}"), "Without an answer users stay as they are.".into()];
        let choices = [
            ('c', "continue", AfterInterrupt::Continue),
            ('h', "hold", AfterInterrupt::Hold),
            ('r', "roll back", AfterInterrupt::RollBack),
        ];
        let ask = |left: &str| format!("What now? [c] continue  [h] hold  [r] roll back  ({left}):");
        self.choose(&card, &ask, &choices, Open { patience: PATIENCE, at_once: false }).await
    }

    async fn roll_back(&self, why: &str, users: &str) -> Answer<(bool, Evidence)> {
        let card = [why.to_string(), format!("users: {users}")];
        let choices = [('y', "yes", true), ('n', "no", false)];
        let ask = |left: &str| format!("Send everyone back to BLUE now? [y] yes  [n] no, page somebody (in {left}):");
        self.choose(&card, &ask, &choices, Open { patience: PATIENCE, at_once: false }).await
    }

    async fn interrupted(&self, users: &str) -> Answer<(AfterInterrupt, Evidence)> {
        let card = [format!("interrupted; users: {users}")];
        let choices = [
            ('r', "roll back", AfterInterrupt::RollBack),
            ('h', "hold", AfterInterrupt::Hold),
            ('c', "continue", AfterInterrupt::Continue),
        ];
        let ask = |left: &str| format!("[r] roll back (in {left})  [h] hold  [c] continue   Ctrl-C leaves at once:");
        self.choose(&card, &ask, &choices, Open { patience: INTERRUPTED, at_once: true }).await
    }

    async fn page(&self, page: &Page) -> (bool, String) {
        self.pager.page(page).await
    }

    fn actor(&self) -> Actor {
        self.actor.clone()
    }

    fn ahead(&self) -> bool {
        false
    }
}

/// Takes a card off the screen when its future is dropped.
struct Shown<'a>(&'a Board);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// `29m32s`.
fn clock_face(left: Duration) -> String {
    let s = left.as_secs();
    if s > 60 { format!("{}m{:02}s", s / 60, s % 60) } else { format!("{s}s") }
}
