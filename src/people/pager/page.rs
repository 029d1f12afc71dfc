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
    /// Where going back is wrong because green is the side that is well: that in words, and the commands that send everybody
    /// there, if there are any.
    pub stays: Option<(String, Vec<String>)>,
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

    /// Go back, or stay: what each means and the command for it. Where green is the side that is well, that comes first.
    fn choices(&self, page: &Page) -> Vec<(String, String)> {
        let short = self.short();
        let back = (
            format!("everyone back to BLUE {}; refused while BLUE is not well", self.blue),
            format!("bgctl rollback {short}"),
        );
        let stay = "users stay as they are: you have it, and mend what is named above";
        let ack = format!("bgctl ack {short}");
        match &page.stays {
            Some((why, commands)) if commands.is_empty() => {
                vec![(format!("{why}; {stay}"), ack), back]
            }
            Some((why, commands)) => {
                vec![(format!("{why}; this sends everybody there"), commands.join(" && ")), (stay.into(), ack), back]
            }
            None => vec![back, (stay.into(), ack)],
        }
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
        for (n, (what, command)) in subject.choices(page).iter().enumerate() {
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
            subject.choices(page).iter().map(|(what, command)| json!({ "command": command, "what": what })).collect();
        json!({
            "service": subject.service, "run": subject.run, "users": page.users, "happened": page.happened,
            "bgctl": page.bgctl, "choices": choices, "native": (subject.native)(), "owner": subject.owner,
        })
    }
}
