//! What a page says: three facts and two choices, short enough for the screen of a phone.

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
}

/// What is paged about.
pub struct Subject {
    /// Service and environment, as people name them.
    pub service: String,
    pub run: String,
    /// The version users would go back to.
    pub blue: String,
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

    /// Go back, or stay: what each means and the command for it.
    fn choices(&self) -> [(String, String); 2] {
        let short = self.short();
        [
            (
                format!("everyone back to BLUE {}; refused while BLUE is not well", self.blue),
                format!("bgctl rollback {short}"),
            ),
            ("users stay as they are: you have it, and mend what is named above".into(), format!("bgctl ack {short}")),
        ]
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
        format!("bgctl/{}/{}", self.subject.service, self.subject.run)
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
        for (n, (what, command)) in subject.choices().iter().enumerate() {
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
            subject.choices().iter().map(|(what, command)| json!({ "command": command, "what": what })).collect();
        json!({
            "service": subject.service, "run": subject.run, "users": page.users, "happened": page.happened,
            "bgctl": page.bgctl, "choices": choices, "native": (subject.native)(), "owner": subject.owner,
        })
    }
}
