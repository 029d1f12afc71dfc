//! The table of who may sign what: words and nothing else. The run keeps to it before it acts, the verifier holds a log
//! against it with code of its own, and a test holds the two against each other for each row.

use std::fmt::Write as _;

use super::namespace;

/// Something that is done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Open,
    Resume,
    GoBack,
    Close,
    Approve,
    Refuse,
    PassOver,
    LiftFreeze,
    ChangePolicy,
}

/// A row: who may do it, and what happens where somebody else does.
#[derive(Clone, Copy, Debug)]
pub struct Right {
    pub act: Act,
    pub does: &'static str,
    pub namespace: &'static str,
    pub who: &'static str,
    pub run: &'static str,
    pub verifier: &'static str,
}

const OWNER: &str = "an owner of the plan or of its rollback, with a key that may also close";
const APPROVER: &str =
    "a human who holds the role, and neither runs the cutover, nor went on with it, nor started its job";

/// The rights, each once.
pub const RIGHTS: &[Right] = &[
    Right {
        act: Act::Open,
        does: "open a cutover",
        namespace: namespace::OPEN,
        who: OWNER,
        run: "refused (77) before anything moves",
        verifier: "`POLICY` for a person who is no owner, `BROKEN` for a key that is not theirs",
    },
    Right {
        act: Act::Resume,
        does: "go on with a cutover",
        namespace: namespace::OPEN,
        who: OWNER,
        run: "refused (77) before anything moves",
        verifier: "`POLICY` for a person who is no owner, `BROKEN` for a key that is not theirs",
    },
    Right {
        act: Act::GoBack,
        does: "go back",
        namespace: namespace::OPEN,
        who: "anybody whose key the lists know; without such a key, nobody by name",
        run: "users go back; the record says that nobody signed",
        verifier: "`BROKEN` for a key that is not theirs",
    },
    Right {
        act: Act::Close,
        does: "close a run",
        namespace: namespace::CLOSE,
        who: "whoever opened it or went on with it last, with that key, if it still counts",
        run: "the log ends without their seal",
        verifier: "`ENDED` without the seal, `BROKEN` for another's",
    },
    Right {
        act: Act::Approve,
        does: "approve a step",
        namespace: namespace::APPROVE,
        who: APPROVER,
        run: "not counted; asked again when the step begins",
        verifier: "`POLICY`; asked again where the step begins",
    },
    Right {
        act: Act::Refuse,
        does: "refuse, or take back",
        namespace: namespace::DENY,
        who: "a human who holds the role; taken back by whoever gave it",
        run: "not counted",
        verifier: "`POLICY`",
    },
    Right {
        act: Act::PassOver,
        does: "agree that users go back against the schema",
        namespace: namespace::APPROVE,
        who: APPROVER,
        run: "not counted",
        verifier: "`POLICY`",
    },
    Right {
        act: Act::LiftFreeze,
        does: "lift a freeze that a role may lift",
        namespace: namespace::APPROVE,
        who: "a human who holds the role",
        run: "refused (77)",
        verifier: "stands in no log",
    },
    Right {
        act: Act::ChangePolicy,
        does: "put another policy in place",
        namespace: namespace::POLICY,
        who: "as many of the old policy's role as it says",
        run: "refused (77)",
        verifier: "stands in no log",
    },
];

/// The table as the page has it.
pub fn table() -> String {
    let mut text =
        String::from("| to | purpose | who may | otherwise | in the log of somebody else |\n|---|---|---|---|---|\n");
    for Right { does, namespace, who, run, verifier, .. } in RIGHTS {
        let _ = writeln!(text, "| {does} | `{namespace}` | {who} | {run} | {verifier} |");
    }
    text
}
