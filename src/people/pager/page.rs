//! What a page says: three facts and the choices there are, short enough for the screen of a phone. And news, which ask nobody
//! to act.

use serde_json::{Value, json};

/// The three facts a person who is woken needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where the users are, read just now.
    pub users: String,
    /// What happened.
    pub happened: String,
    /// What bgctl has done about it, and what it will not do.
    pub bgctl: String,
    /// What the person can do, best first: commands that would be accepted now.
    pub choices: Vec<Choice>,
}

/// A command for whoever is paged, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub command: String,
    pub what: String,
}

impl Choice {
    pub fn new(command: impl Into<String>, what: impl Into<String>) -> Self {
        Choice { command: command.into(), what: what.into() }
    }
}

/// What is paged about.
pub struct Subject {
    /// Service and environment, as people name them.
    pub service: String,
    pub run: String,
    /// The run the incident is of: another one, where this run only goes back for it.
    pub incident: String,
    /// Who answers for going back.
    pub owner: String,
    /// The commands that send everybody back without bgctl, as far as they are stored by now.
    pub native: Box<dyn Fn() -> Vec<String>>,
}

impl Subject {
    /// The shortest name of the run that still reads well.
    fn short(&self) -> &str {
        self.run.rsplit('-').next().unwrap_or(&self.run)
    }
}

/// How a run has come to rest, for everybody who wants to know: nobody need act on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// The word of the log: `completed`, `rolled-back`.
    pub outcome: &'static str,
    /// The first cause, where it is not simply done.
    pub why: Option<String>,
    /// Where the users are, read just now.
    pub users: String,
    /// Who began it.
    pub by: String,
}

/// What a channel is given.
#[derive(Clone, Copy, Debug)]
pub enum Says<'a> {
    /// Somebody has to act.
    Page(&'a Page),
    /// A run has come to rest.
    News(&'a News),
}

/// A page or news about a subject, as the channels send it. Holds no secret.
pub struct Message<'a> {
    pub subject: &'a Subject,
    pub says: Says<'a>,
}

impl Message<'_> {
    /// One line: who is hurt and by what, or what became of a run.
    pub fn headline(&self) -> String {
        let (service, run) = (&self.subject.service, self.subject.short());
        match self.says {
            Says::Page(page) => format!("{service} run {run}: {}. Users: {}", page.happened, page.users),
            Says::News(news) => {
                let why = news.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                format!("{service} run {run} is {}{why}. Users: {}", news.outcome, news.users)
            }
        }
    }

    /// The same run is one incident, however often it calls.
    pub fn key(&self) -> String {
        format!("bgctl/{}/{}", self.subject.service, self.subject.incident)
    }

    /// The whole of it, a fact or a choice a line.
    pub fn text(&self) -> String {
        let (service, run) = (&self.subject.service, &self.subject.run);
        let page = match self.says {
            Says::Page(page) => page,
            Says::News(news) => {
                let mut lines =
                    vec![format!("{service} run {run} is {}", news.outcome), format!("users     {}", news.users)];
                lines.extend(news.why.iter().map(|why| format!("why       {why}")));
                lines.push(format!("begun by  {}", news.by));
                lines.push(format!("more      bgctl show {}", self.subject.short()));
                return lines.join("\n");
            }
        };
        let mut lines = vec![
            format!("{service} run {run}: a person must act"),
            format!("users     {}", page.users),
            format!("happened  {}", page.happened),
            format!("bgctl     {}", page.bgctl),
        ];
        for (n, Choice { command, what }) in page.choices.iter().enumerate() {
            lines.push(format!("{}         {command}    {what}", n + 1));
        }
        lines.extend((self.subject.native)().iter().map(|command| format!("without bgctl: {command}")));
        lines.push(format!("answers for going back: {}", self.subject.owner));
        lines.join("\n")
    }

    /// The same for machines.
    pub fn json(&self) -> Value {
        let Subject { service, run, owner, native, .. } = self.subject;
        match self.says {
            Says::Page(page) => {
                let choice = |Choice { command, what }: &Choice| json!({ "command": command, "what": what });
                let choices: Vec<Value> = page.choices.iter().map(choice).collect();
                json!({
                    "service": service, "run": run, "users": page.users, "happened": page.happened,
                    "bgctl": page.bgctl, "choices": choices, "native": native(), "owner": owner,
                })
            }
            Says::News(News { outcome, why, users, by }) => json!({
                "service": service, "run": run, "outcome": outcome, "why": why, "users": users, "by": by, "owner": owner,
            }),
        }
    }
}
