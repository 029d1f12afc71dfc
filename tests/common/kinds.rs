//! What every table of kinds owes its readers: for each row a page that explains it, and a place where it is run.

/// A table of kinds, and where its kinds are run.
pub struct Table<'a> {
    /// What it is a table of.
    pub of: &'a str,
    /// Name and page of each row.
    pub kinds: Vec<(&'a str, &'a str)>,
    /// The topic that explains all of them; none, where each has one of its own name.
    pub topic: Option<&'a str>,
    /// The kinds of the places.
    pub places: Vec<&'a str>,
}

impl Table<'_> {
    /// What is missing, a sentence each. `explain` gives what is shown about a topic.
    pub fn lacks(&self, explain: impl Fn(&str) -> Option<String>) -> Vec<String> {
        let mut found = Vec::new();
        let mut lacks = |name: &str, what: &str| found.push(format!("{} `{name}` has {what}", self.of));
        for (n, (name, page)) in self.kinds.iter().enumerate() {
            if self.kinds[..n].iter().any(|(other, _)| other == name) {
                lacks(name, "two rows");
            }
            if !self.places.contains(name) {
                lacks(name, "no place where it is run");
            }
            if !letters(page).contains(&letters(name)) {
                lacks(name, "no page that names it");
            }
            let topic = self.topic.unwrap_or(name);
            let title = letters(page.lines().next().unwrap_or_default());
            if explain(topic).is_none_or(|shown| page.is_empty() || !letters(&shown).contains(&title)) {
                lacks(name, &format!("a page that `bgctl explain {topic}` does not show"));
            }
        }
        for place in &self.places {
            if !self.kinds.iter().any(|(name, _)| name == place) {
                lacks(place, "a place and no row");
            }
        }
        found
    }

    /// Holds it against the real program.
    #[track_caller]
    pub fn is_complete(&self) {
        assert!(!self.kinds.is_empty(), "no {} at all", self.of);
        let lacks = self.lacks(shown);
        assert!(lacks.is_empty(), "{lacks:#?}");
    }
}

/// What `bgctl explain` shows about a topic.
fn shown(topic: &str) -> Option<String> {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_bgctl")).args(["explain", topic]).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).expect("pages are text"))
}

/// A text without marks, spaces and capitals.
fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
