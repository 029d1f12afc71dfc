//! The checks of a smoke test by name: what each is called, how many requests it sends, and what it found. How a check is
//! made stands elsewhere.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::Plan;
use crate::run::Verdict;

/// So many pairs race for the same request where a check is about who handles it.
pub const PAIRS: u32 = 40;

/// The checks bgctl knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The stack names its own version and colour, and its clock agrees with ours.
    Version,
    /// Slack signatures: a wrong key, an old timestamp, missing headers and a changed byte are refused.
    Signature,
    /// A request signed ten minutes ago is refused.
    Replay,
    /// Slack's `url_verification` is answered with the challenge.
    UrlVerification,
    /// Slack's `ssl_check` is answered.
    SslCheck,
    /// `/bgctl-smoke` is answered with nonce, colour and version, within 2 s.
    SlashCommand,
    /// A button press is acknowledged empty, within 2 s.
    Button,
    /// A modal with an invalid value is answered with its errors.
    Modal,
    /// A modal opened on blue is answered by green.
    ModalFromBlue,
    /// A modal opened on green is answered by blue, as after a way back.
    ModalFromGreen,
    /// A button in a message of the other version is acknowledged.
    StaleButton,
    /// A modal with more metadata than a version knows, or none, is answered.
    PrivateMetadata,
    /// A modal sent in again, or with an older hash, is answered by itself.
    HashConflict,
    /// The same signed request, sent to both stacks, is handled by exactly one.
    ExactlyOnce,
    /// A delivery is claimed under a lease and then done, so that it is neither lost nor handled twice when a stack dies.
    Dedup,
    /// Every listener of the other stack is there too.
    Handlers,
    /// `/bgctl-smoke` through the public address: nothing on the way changes the bytes that were signed.
    Public,
    /// A `response_url` is posted to, and with the right content.
    ResponseUrl,
}

impl Check {
    /// In the order in which they are best run: first what stops at the framework.
    pub const ALL: [Check; 18] = [
        Check::Version,
        Check::Signature,
        Check::Replay,
        Check::UrlVerification,
        Check::SslCheck,
        Check::Handlers,
        Check::SlashCommand,
        Check::Button,
        Check::Modal,
        Check::ModalFromBlue,
        Check::ModalFromGreen,
        Check::StaleButton,
        Check::PrivateMetadata,
        Check::HashConflict,
        Check::ExactlyOnce,
        Check::Dedup,
        Check::Public,
        Check::ResponseUrl,
    ];

    /// Whether it needs nothing that this plan does not say.
    pub fn runs_on(self, plan: &Plan) -> bool {
        let said = |name: &str| plan.slack.as_ref().is_some_and(|slack| !slack[name].is_null());
        match self {
            Check::Public | Check::ResponseUrl => false,
            Check::Handlers => said("handlers"),
            Check::Dedup => said("dedup"),
            check => !check.needs_slack() || plan.slack.as_ref().is_some_and(|slack| slack["mode"] != "socket"),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Check::Version => "version",
            Check::Signature => "signature",
            Check::Replay => "replay",
            Check::UrlVerification => "url-verification",
            Check::SlashCommand => "slash-command",
            Check::Button => "button",
            Check::Modal => "modal",
            Check::ModalFromBlue => "modal-from-blue",
            Check::ModalFromGreen => "modal-from-green",
            Check::StaleButton => "stale-button",
            Check::PrivateMetadata => "private-metadata",
            Check::HashConflict => "hash-conflict",
            Check::ExactlyOnce => "exactly-once",
            Check::SslCheck => "ssl-check",
            Check::Dedup => "dedup",
            Check::Handlers => "handlers",
            Check::Public => "public",
            Check::ResponseUrl => "response-url",
        }
    }

    /// The names of the suite that its findings have.
    pub fn ids(self) -> &'static [&'static str] {
        match self {
            Check::Version => &["V1", "K1"],
            Check::Signature => &["P1", "N1", "N3", "N4"],
            Check::Replay => &["N2", "A1"],
            Check::UrlVerification => &["P1"],
            Check::SslCheck => &["P2"],
            Check::SlashCommand => &["P3", "P4"],
            Check::Button => &["P5"],
            Check::Modal => &["P6", "P7"],
            Check::ModalFromBlue => &["C1"],
            Check::ModalFromGreen => &["C2"],
            Check::StaleButton => &["C3"],
            Check::PrivateMetadata => &["C4"],
            Check::HashConflict => &["C5"],
            Check::ExactlyOnce => &["D1", "D2", "D3"],
            Check::Dedup => &["D4", "D5", "D6", "D7", "D8", "D9", "D10", "D11"],
            Check::Handlers => &["H1"],
            Check::Public => &["R1"],
            Check::ResponseUrl => &["R2"],
        }
    }

    /// The most requests it sends, to an app with so many more URLs than that of events, from so many workspaces.
    pub fn requests(self, urls: u32, workspaces: u32) -> u32 {
        match self {
            Check::ExactlyOnce => 2 * PAIRS + 8,
            Check::Signature => 4 + 3 * urls,
            Check::Dedup => 11,
            Check::StaleButton | Check::PrivateMetadata => 4,
            Check::HashConflict => 3,
            Check::Replay => 2 + urls,
            Check::SlashCommand => workspaces.max(1),
            Check::Button | Check::Handlers | Check::Modal | Check::Version => 2,
            _ => 1,
        }
    }

    pub fn needs_slack(self) -> bool {
        self != Check::Version
    }

    /// It posts what Slack posts to a URL; an app that gets its events over sockets has none.
    pub fn needs_a_url(self) -> bool {
        !matches!(self, Check::Version | Check::Handlers)
    }
}

/// One thing that was checked, and what came of it.
pub struct Finding {
    /// `P3`, `N1`, …: the names of the suite, as `bgctl explain smoke` lists them.
    pub check: String,
    pub verdict: Verdict,
    pub ms: u64,
    pub line: String,
    /// No answer was had, so trying again can help.
    pub silent: bool,
    /// The status of the answer that decided; 0 where there was none.
    pub status: u16,
}

impl Finding {
    pub fn new(check: impl Into<String>, pass: bool, ms: u64, line: impl Into<String>) -> Self {
        let verdict = if pass { Verdict::Pass } else { Verdict::Fail };
        Finding { check: check.into(), verdict, ms, line: line.into(), silent: false, status: 0 }
    }
}
