//! Routes: the places where traffic is split. One file a router, one row of [`KINDS`].
//!
//! `tests/conformance/newcomer/router.rs` is a router to copy, with what each member promises.
//!
//! A router reads and sets the split of one place at one provider and knows nothing of runs, steps or people. What is
//! common to all of them (three witnesses, retries, who may go where) is not theirs: it stands in `steps/shift` and in
//! the run machine.

mod access;
#[cfg(feature = "dns")]
mod addresses;
#[cfg(feature = "aws")]
pub mod alb;
#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "dns")]
pub mod dns;
pub mod envoy;
mod error;
pub mod haproxy;
pub mod nginx;
pub mod program;
mod proportion;
#[cfg(feature = "route53")]
pub mod route53;
pub mod slack_manifest;
pub mod socket_mode;

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::diag::Mistake;
use crate::plan::{Color, Move, Split};
use crate::rehearsal::InLab;

pub use access::{Access, AwsAccess};
pub use error::{RouterError, Trouble};

/// The reading side of a route. Plan, check and status hold only this, so they cannot move anybody.
#[async_trait(?Send)]
pub trait RouteView {
    /// One line a person recognises the place by.
    fn line(&self) -> String;

    /// Whether the settings say by names what only the provider can turn into its own words: [`RouteView::pinned`].
    fn by_names(&self) -> bool {
        false
    }

    /// The settings in the provider's own words, looked up once, where the runbook says them by names; none, where they are that
    /// already. A plan keeps these alone, so that whoever goes on with it, or back, is led to the same place whatever has been
    /// called by that name since.
    async fn pinned(&self) -> Result<Option<Pinned>, RouterError> {
        Ok(None)
    }

    /// What a move changes, each thing under one name, whoever writes the settings and however: with the stacks exchanged the
    /// names are the same. Two runs never change one thing at a time, and a policy is remembered by it. `now` is what was just
    /// read there, where only that tells which thing it is.
    fn resources(&self, now: Option<&Reading>) -> Vec<String>;

    /// The fewest healthy targets a side must have before users may be sent to it.
    fn min_healthy(&self) -> u32 {
        1
    }

    /// Says why this place cannot have a split, whatever stands there now. Asks nobody, so `check` can know.
    fn takes(&self, _to: Split) -> Result<(), String> {
        Ok(())
    }

    /// Whether the split changes by itself: an instance that held a part of it dies, or a change of several writes was cut
    /// off. Then another split found in the course of a run is set right, and not taken for somebody else's doing.
    fn changes_by_itself(&self) -> bool {
        false
    }

    /// Whether what was read is what a change of ours leaves when it is cut off between its writes, such as one that came to some
    /// hosts of several. Then it is set right by whoever goes on, and not taken for somebody else's doing. `change`: the one under
    /// way, for a place that does not keep whose change it is. A place that is changed by one write has no such thing.
    fn cut_off(&self, _found: &Reading, _change: Option<&Move>) -> bool {
        false
    }

    /// Where the provider keeps metrics of this place, if it does.
    fn metrics(&self) -> Option<MetricsPlace> {
        None
    }

    /// What stands for the third witness where there is no `seen_at` to look at.
    fn unseen(&self) -> &'static str {
        "not looked at from outside"
    }

    /// How long users may take to follow a move that reads back, beyond a minute.
    fn followed_within(&self) -> Duration {
        Duration::ZERO
    }

    /// What has to be added to the place before its users can be split, if anything.
    fn lacks(&self, _reading: &Reading) -> Option<Lack> {
        None
    }

    /// What it means here that no side has a share.
    fn nowhere(&self) -> &'static str {
        "neither side has a share of the users"
    }

    /// Reads the split as the provider holds it now.
    async fn read(&self) -> Result<Reading, RouterError>;

    /// Counts the healthy targets of one side, as the provider sees them.
    async fn health(&self, stack: Color) -> Result<Health, RouterError>;

    /// Names a controller that also writes this place and would undo us, if there is one.
    async fn controller(&self) -> Result<Option<String>, RouterError>;

    /// What this kind of place asks for beyond health before the first move, each as a line for the record. `moves` are
    /// the splits it will be set to, in order.
    async fn preflight(&self, _moves: &[Split]) -> Result<Vec<String>, RouterError> {
        Ok(Vec::new())
    }

    /// Looks at the place while users are split and somebody waits, for what no gate would see.
    async fn watch(&self) -> Watched {
        Watched::default()
    }

    /// How many connections of before the last move a side still has, which no move takes away: WebSockets, answers under way.
    /// 0 where there is nothing of the kind. An error: it could not be counted, so nobody knows.
    async fn lingering(&self, _stack: Color) -> Result<u64, RouterError> {
        Ok(0)
    }

    /// Why this place cannot cut the connections that a side still has, if it cannot.
    fn cuts(&self) -> Result<(), String> {
        Err("it has no means for that".into())
    }

    /// Who wrote the split that is there now, as one sentence, or how to find out. Asked only when it is not ours, and not for
    /// long.
    async fn writer(&self) -> Option<String> {
        None
    }

    /// Proves who we are to the provider and until when: `role bgctl-prod in 1234, session 58m left`.
    async fn identity(&self) -> Result<Identity, RouterError>;

    /// What is to be known of credentials that end and do not renew themselves, before a run begins with them.
    async fn ends(&self) -> Option<String> {
        None
    }

    /// The files and the shell command that send everybody back to the split of `reading` without bgctl. The files'
    /// names begin with the name of the route.
    fn native_way_back(&self, route: &str, reading: &Reading) -> NativeWayBack;

    /// What this place would read with everybody on one side and everything else as it is now, for
    /// [`RouteView::native_way_back`]. Without a reading only what the settings alone say, where they say enough.
    fn all_on(&self, stack: Color, now: Option<&Reading>) -> Option<Reading> {
        now.map(|reading| Reading { split: Split::all_on(stack), ..reading.clone() })
    }
}

/// A route that can be moved.
#[async_trait(?Send)]
pub trait TrafficRouter: RouteView {
    /// Sets the split to absolute weights if it is still that of `from`, and says what was sent.
    ///
    /// `from` is what the caller has just read: where the router takes it and it is young, it is the comparison before the write,
    /// so that a way back is one round trip; otherwise the place is read again. Everything else at that place is preserved. Each call that may have
    /// changed something is one [`Call`] in the answer, also on errors. The router sends one write and never repeats it:
    /// whether to try again is decided after a read-back, elsewhere.
    async fn set(&self, from: &Reading, to: Split) -> Result<Vec<Call>, RouterError>;

    /// How long reads may lag behind a write that was answered.
    fn settle(&self) -> Duration;

    /// How long a write whose answer was lost may still land.
    fn lands_within(&self) -> Duration {
        self.settle()
    }

    /// Cuts the connections that are open to a side without a share. Nobody who has a share is cut: that is an error, and nothing
    /// was sent. Only asked where [`RouteView::cuts`] says so.
    async fn cut(&self, _stack: Color) -> Result<Cut, RouterError> {
        Ok(Cut::default())
    }

    /// Adds what [`RouteView::lacks`] names, without sending any user anywhere new; nothing, where nothing is lacking.
    async fn complete(&self, _from: &Reading) -> Result<Vec<Call>, RouterError> {
        Ok(Vec::new())
    }
}

/// What was cut at a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Counted just before.
    pub connections: u64,
    pub calls: Vec<Call>,
}

/// Where metrics of a route are kept: the region, and the dimensions of the whole and of each side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsPlace {
    pub region: String,
    pub whole: (String, String),
    pub blue: (String, String),
    pub green: (String, String),
}

/// The split as read, with the provider's own exact state beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    pub split: Split,
    /// Enough to put the place back exactly as it was.
    pub exact: Value,
    /// Facts a person should know before moving: `group stickiness 300s: sticky users stay on their side`.
    pub remarks: Vec<String>,
}

/// The settings of a place in the provider's own words.
#[derive(Clone, Debug, PartialEq)]
pub struct Pinned {
    /// As a runbook could have them, by no name.
    pub settings: Value,
    /// What was looked up, for people: `blue (`bot-blue`) is arn:…`, a line for each name.
    pub found: Vec<String>,
}

/// What a place lacks, and how it is before and after that is added: one line a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// `GREEN's target group `bot-green` is not in the rule`
    pub line: String,
    /// Why users are not split without it.
    pub cause: &'static str,
    pub before: Vec<String>,
    pub after: Vec<String>,
}

/// What a look at a place found in the course of a wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Why users cannot stay as they are, if they cannot.
    pub trouble: Option<String>,
    /// What is worth a line in the log: once, however often it is found.
    pub notes: Vec<String>,
}

/// Target health of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    pub healthy: u32,
    pub total: u32,
    /// In how many zones the healthy ones stand, where the provider says.
    pub zones: Option<u32>,
    /// One line for each target that is not healthy: id, state, reason.
    pub ailing: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub line: String,
    /// How long the credentials still live, where that is known.
    pub left: Option<Duration>,
    /// They have no end, or others are had without a person when they end.
    pub renews: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NativeWayBack {
    /// Name and content of each file the command needs.
    pub files: Vec<(String, String)>,
    /// The command, to be run in the folder of those files.
    pub command: String,
}

impl NativeWayBack {
    /// It as lines of shell that do it in any folder: what the command reads from files stands in them.
    pub fn pasted(&self) -> Vec<String> {
        let mut command = self.command.clone();
        let mut lines = Vec::new();
        for (name, content) in &self.files {
            let named = format!("file://{name}");
            let value = serde_json::from_str::<Value>(content).ok().filter(|_| command.contains(&named));
            match value {
                Some(value) => {
                    let text = format!("'{}'", value.to_string().replace('\'', r"'\''"));
                    command = command.replace(&format!("'{named}'"), &text).replace(&named, &text);
                }
                None if command.contains(name) => {
                    lines.push(format!("cat > {name} <<'END'"));
                    lines.extend(content.lines().map(String::from));
                    lines.push("END".into());
                }
                None => {}
            }
        }
        lines.extend(command.lines().map(String::from));
        lines
    }
}

/// One call that was sent to a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub action: String,
    pub request_id: Option<String>,
    /// `ok`, or the provider's error code.
    pub code: String,
    pub time: Duration,
}

/// A route that is ready to be asked, or all mistakes in its settings.
pub type Opened<R> = Result<Rc<R>, Vec<Mistake>>;

/// A kind of router: its name in YAML, its settings, and how one is opened.
pub struct Kind {
    pub name: &'static str,
    /// One line about it, for the list of pages.
    pub about: &'static str,
    /// What `bgctl explain NAME` shows: Markdown that lies beside the code.
    pub page: &'static str,
    /// JSON Schema of the settings.
    pub schema: fn(&mut schemars::SchemaGenerator) -> schemars::Schema,
    /// Where it goes in a rehearsal.
    pub lab: InLab,
    /// Opens the reading side, or names every mistake in the settings. Asks nothing of the provider yet.
    pub view: fn(&Value, &Access) -> Opened<dyn RouteView>,
    pub open: fn(&Value, &Access) -> Opened<dyn TrafficRouter>,
}

/// Every kind of router.
pub const KINDS: &[Kind] = &[
    #[cfg(feature = "aws")]
    alb::KIND,
    #[cfg(feature = "dns")]
    dns::KIND,
    envoy::KIND,
    haproxy::KIND,
    nginx::KIND,
    program::KIND,
    #[cfg(feature = "route53")]
    route53::KIND,
    slack_manifest::KIND,
    socket_mode::KIND,
];
