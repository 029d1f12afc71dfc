//! What a page says: three facts and the choices there are, short enough for the screen of a phone.

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

/// A page about a subject, as the channels send it. Holds no secret.
pub struct Message<'a> {
    pub subject: &'a Subject,
    pub page: &'a Page,
}

impl Message<'_> {
    /// One line: who is hurt and by what.
    pub fn headline(&self) -> String {
        let Message { subject, page } = self;
        format!("{} run {}: {}. Users: {}", subject.service, subject.short(), page.happened, page.users)
    }

    /// The same run is one incident, however often it calls.
    pub fn key(&self) -> String {
        format!("bgctl/{}/{}", self.subject.service, self.subject.incident)
    }

    /// The whole page, a fact or a choice a line.
    pub fn text(&self) -> String {
        let Message { subject, page } = self;
        let mut lines = vec![
            format!("{} run {}: a person must act", subject.service, subject.run),
            format!("users     {}", page.users),
            format!("happened  {}", page.happened),
            format!("bgctl     {}", page.bgctl),
        ];
        for (n, Choice { command, what }) in page.choices.iter().enumerate() {
            lines.push(format!("{}         {command}    {what}", n + 1));
        }
        lines.extend((subject.native)().iter().map(|command| format!("without bgctl: {command}")));
        lines.push(format!("answers for going back: {}", subject.owner));
        lines.join("\n")
    }

    /// The same for machines.
    pub fn json(&self) -> Value {
        let Message { subject, page } = self;
        let choices: Vec<Value> =
            page.choices.iter().map(|Choice { command, what }| json!({ "command": command, "what": what })).collect();
        json!({
            "service": subject.service, "run": subject.run, "users": page.users, "happened": page.happened,
            "bgctl": page.bgctl, "choices": choices, "native": (subject.native)(), "owner": subject.owner,
        })
    }
}
