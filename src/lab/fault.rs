//! Faults on demand: what can be made to go wrong in the lab, and from when on.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    GreenErrors,
    GreenSlow,
    GreenDown,
    GreenOldBuild,
    GreenWrongSecret,
    GreenSlowAck,
    GreenLacksHandler,
    BlueDown,
    BlueKilled,
    NoDedup,
    ClaimOnlyDedup,
    SocketRefresh,
    ApiThrottles,
    ApiLostReply,
    ApiDenied,
    ApiSlow,
    PrometheusSilent,
}

impl Fault {
    /// Every fault, with its name and what it does.
    pub const ALL: [(Fault, &'static str, &'static str); 17] = [
        (Fault::GreenErrors, "green-errors", "green answers 500 to 30 % of its Slack traffic once users reach it"),
        (Fault::GreenSlow, "green-slow", "green takes 0.9 to 1.5 s to ack once users reach it"),
        (Fault::GreenDown, "green-down", "green stops answering 2 s after the first users reach it"),
        (Fault::GreenOldBuild, "green-old-build", "green runs v1.4.1 under green's name"),
        (Fault::GreenWrongSecret, "green-wrong-secret", "green holds another Slack signing secret"),
        (Fault::GreenSlowAck, "green-slow-ack", "green takes 2.5 s to ack everything, from the start"),
        (Fault::GreenLacksHandler, "green-lacks-handler", "green has no listener for the view `deploy_modal`"),
        (Fault::BlueDown, "blue-down", "blue stops answering 2 s after the first users reach green"),
        (
            Fault::BlueKilled,
            "blue-killed",
            "an instance of blue is killed with work in hand 2 s after the first users reach green",
        ),
        (Fault::NoDedup, "no-dedup", "the bots do not remember what they have handled"),
        (
            Fault::ClaimOnlyDedup,
            "claim-only-dedup",
            "the bots claim an event for good before its work: at most once, and lost if the bot dies",
        ),
        (
            Fault::SocketRefresh,
            "socket-refresh",
            "Slack renews every socket, one each 0.3 s, once users have reached green",
        ),
        (
            Fault::ApiThrottles,
            "api-throttles",
            "the load balancer API throttles two of three writes and one of four reads",
        ),
        (Fault::ApiLostReply, "api-lost-reply", "each write is applied, then its connection is cut without an answer"),
        (Fault::ApiDenied, "api-denied", "every write is refused as AccessDenied"),
        (Fault::ApiSlow, "api-slow", "each call to the load balancer API takes 100 ms longer"),
        (
            Fault::PrometheusSilent,
            "prometheus-silent",
            "Prometheus answers, but scrapes nothing once users reach green",
        ),
    ];

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|row| row.0 == self).expect("BUG: a fault without a row").1
    }

    /// Waits for the first user on green before it bites, so that everything before the first shift passes.
    fn waits_for_users(self) -> bool {
        matches!(
            self,
            Fault::GreenErrors
                | Fault::GreenSlow
                | Fault::GreenDown
                | Fault::BlueDown
                | Fault::BlueKilled
                | Fault::SocketRefresh
                | Fault::PrometheusSilent
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No fault of that name.
#[derive(Debug, thiserror::Error)]
#[error("unknown lab fault `{name}`; known: {}", Fault::ALL.map(|row| row.1).join(", "))]
pub struct UnknownFault {
    name: String,
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        Self::ALL
            .iter()
            .find(|row| row.1 == name)
            .map(|row| row.0)
            .ok_or_else(|| UnknownFault { name: name.to_string() })
    }
}

/// The faults of one lab, and whether users have reached green.
#[derive(Debug, Default)]
pub struct Faults {
    wanted: Vec<Fault>,
    users_on_green: AtomicBool,
    reached: Notify,
}

impl Faults {
    pub fn new(wanted: Vec<Fault>) -> Self {
        Faults { wanted, ..Faults::default() }
    }

    pub fn wanted(&self, fault: Fault) -> bool {
        self.wanted.contains(&fault)
    }

    /// Whether the fault does its harm now.
    pub fn bites(&self, fault: Fault) -> bool {
        self.wanted(fault) && (!fault.waits_for_users() || self.users_on_green.load(Ordering::Relaxed))
    }

    /// A user's request has been sent to green.
    pub fn user_on_green(&self) {
        if !self.users_on_green.swap(true, Ordering::Relaxed) {
            self.reached.notify_waiters();
        }
    }

    /// Returns when the first user has reached green.
    pub async fn first_user_on_green(&self) {
        let reached = self.reached.notified();
        if !self.users_on_green.load(Ordering::Relaxed) {
            reached.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_named_and_an_unknown_one_lists_them() {
        for (fault, name, _) in Fault::ALL {
            assert_eq!(name.parse::<Fault>().unwrap(), fault);
            assert_eq!(fault.to_string(), name);
        }
        let error = "green-eror".parse::<Fault>().unwrap_err().to_string();
        assert!(
            error.contains("`green-eror`") && error.contains("green-errors") && error.contains("api-slow"),
            "{error}"
        );
    }

    #[test]
    fn the_page_names_every_fault_in_the_same_words() {
        let page = include_str!("lab.md");
        for (_, name, does) in Fault::ALL {
            assert!(page.contains(&format!("| `{name}` | {does} |\n")), "{name}");
        }
    }

    #[test]
    fn faults_of_traffic_wait_for_the_first_user_on_green() {
        let faults = Faults::new(vec![Fault::GreenErrors, Fault::ApiSlow]);
        assert!(!faults.bites(Fault::GreenErrors) && faults.bites(Fault::ApiSlow));
        faults.user_on_green();
        assert!(faults.bites(Fault::GreenErrors) && !faults.bites(Fault::GreenSlow));
    }
}
