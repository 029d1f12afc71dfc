//! The codes of everything bgctl refuses or complains about: each with its number and its headline, and nothing else of it
//! anywhere. Its page stands beside the command line, in `cli/codes.md`.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! codes {
    ($($name:ident = $number:literal, $headline:literal;)*) => {
        /// One code. A number keeps its meaning for good, and that of a code that is gone is not given again.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = concat!($number, ": ", $headline, ".")] $name,)*
        }

        impl Code {
            pub const ALL: &[Code] = &[$(Code::$name,)*];

            /// `BG0304`, as people and scripts see it.
            pub fn number(self) -> &'static str {
                match self { $(Code::$name => $number,)* }
            }

            /// What it stands for, lowercase and without a full stop.
            pub fn headline(self) -> &'static str {
                match self { $(Code::$name => $headline,)* }
            }

            /// As it is written in the sources.
            pub fn name(self) -> &'static str {
                match self { $(Code::$name => stringify!($name),)* }
            }
        }
    };
}

codes! {
    CommandLine = "BG0001", "the command line cannot be understood";
    NoPage = "BG0002", "there is no such page";
    Unsaid = "BG0003", "a word that this command needs was not given, or is another one";
    NoRun = "BG0004", "there is no such run";
    NoStep = "BG0005", "there is no such step";
    WhichRun = "BG0006", "it has to be said which run";
    Yaml = "BG0101", "the file is not YAML";
    UnknownField = "BG0102", "unknown field";
    MissingField = "BG0103", "a field is missing";
    Value = "BG0104", "a value cannot be taken";
    Format = "BG0105", "a value is not written as it has to be";
    DuplicateKey = "BG0106", "a key is given twice";
    File = "BG0107", "the file cannot be taken as it is";
    NotOneThing = "BG0108", "a step or route is not exactly one thing";
    UnknownName = "BG0109", "a name is used that nothing has";
    NoWayBack = "BG0110", "users could not be sent back";
    SameName = "BG0111", "two steps have the same name";
    TimeOrCount = "BG0113", "a time or a count makes no sense";
    Stacks = "BG0114", "the two stacks cannot be told apart";
    Nobody = "BG0115", "no owner, or nobody who could approve";
    Variable = "BG0116", "a variable cannot be replaced";
    SecretInFile = "BG0117", "a secret stands in the file";
    StepSettings = "BG0118", "the settings of a step, or of `slack`, are wrong";
    RouteSettings = "BG0119", "the settings of a route are wrong";
    Gate = "BG0120", "a gate is wrong or unreliable";
    Unlooked = "BG0121", "users reach green before anything has looked at it";
    Unwatched = "BG0122", "nobody watches users after a step";
    TwoWitnesses = "BG0123", "a shift is proven by two witnesses only";
    NoAutomaticRollback = "BG0124", "no automatic rollback";
    GatesSwapped = "BG0125", "gates and `--swap`";
    Split = "BG0126", "a route cannot have this split";
    Continuity = "BG0127", "users would move before the rollback rule is checked";
    OtherBgctl = "BG0128", "a plan was made by another bgctl, or is none";
    Unproven = "BG0129", "something is taken on your word";
    PolicyName = "BG0130", "a name of the policy is not one person's";
    PolicyImpossible = "BG0131", "a rule of the policy can never be kept";
    PolicyDoubtful = "BG0132", "a rule of the policy may not mean what it says";
    PolicyUnguarded = "BG0133", "nobody guards the policy";
    BelowPolicy = "BG0134", "the runbook asks for less than the policy";
    NoMove = "BG0135", "a move changes nothing, or leads the wrong way";
    EndsSplit = "BG0136", "the run ends with users on both stacks";
    BudgetBurns = "BG0150", "the error budget burns";
    BudgetUnknown = "BG0151", "nobody knows whether the error budget burns";
    GatesUnasked = "BG0152", "the gates of a file cannot be asked";
    GateSilent = "BG0153", "a gate cannot answer before users are moved";
    Forbidden = "BG0160", "a guard forbids moving users";
    LeaseLost = "BG0161", "the lease of the run is lost";
    Freeze = "BG0162", "a freeze cannot be set, read or taken away";
    Thaw = "BG0163", "this may not lift a freeze";
    SchemaSection = "BG0170", "the schema section cannot be used";
    NeedlessWord = "BG0171", "`schema.compatible` names a statement that needs none";
    NobodyAgrees = "BG0172", "nobody could agree to a rollback against the schema";
    ForwardOrPage = "BG0173", "forward or page";
    MigrationPlace = "BG0174", "a migration in the wrong place";
    NeedsReason = "BG0175", "going back against a guard needs a reason";
    LiveSchema = "BG0176", "the live schema is not what the release needs";
    RampForward = "BG0180", "a ramp stands on the way forward";
    Unnoticed = "BG0181", "a move of the rollback may fail unnoticed";
    Order = "BG0182", "routes go back in the order they came";
    Escalation = "BG0183", "a page that nobody acknowledges goes nowhere";
    NoPaging = "BG0184", "there is no page to acknowledge";
    NobodyCalled = "BG0185", "nobody can be called";
    RunsWithUnread = "BG0186", "what a stack runs with cannot be read";
    Different = "BG0187", "green is not as blue is";
    NothingToCompare = "BG0188", "the runbook does not say what to compare";
    CompareSection = "BG0189", "the section `compare` cannot be used";
    AsksAPerson = "BG0195", "a step asks a person";
    WaitsForSomebody = "BG0196", "an automatic rollback waits for somebody";
    GameDay = "BG0197", "the game day cannot be held";
    Environment = "BG0201", "a variable or file that the runbook refers to cannot be read";
    Folder = "BG0202", "a folder cannot be used";
    NoState = "BG0203", "there is no folder to keep runs in";
    System = "BG0204", "the system does not give what bgctl needs to start";
    Unwritable = "BG0205", "the result cannot be written";
    NoValue = "BG0206", "a variable of the runbook has no value";
    ShortSecret = "BG0207", "a secret is too short";
    SecretInClear = "BG0208", "a secret stands in the runbook in clear";
    Lab = "BG0209", "the lab does not start, or does not answer";
    NotTheLabs = "BG0210", "a rehearsal would reach something that is not the lab's";
    NoCredentials = "BG0211", "no credentials";
    CredentialsEnd = "BG0212", "the credentials end too early";
    NotAllowed = "BG0213", "the provider does not allow it";
    NoAnswer = "BG0214", "the provider does not answer";
    Unsigned = "BG0221", "the owner's key did not sign";
    NotBlue = "BG0301", "what is live is not the runbook's blue";
    NotThere = "BG0302", "something named in the runbook does not exist at the provider";
    CannotTakeUsers = "BG0303", "a side cannot take users";
    Drift = "BG0304", "live weights are not what the plan saw";
    SomebodyElses = "BG0305", "the route belongs to somebody else";
    NotTaken = "BG0306", "the provider does not take what the runbook wants";
    OtherVersion = "BG0307", "a stack does not run the version of the plan";
    GreenLacks = "BG0308", "green lacks what blue handles";
    Handlers = "BG0309", "what a stack handles cannot be read";
    NotNow = "BG0310", "not at this moment";
    RouteLacks = "BG0311", "a route lacks something before its users can be split";
    NotBuiltIn = "BG0312", "this bgctl was built without what the runbook needs";
    RunOpen = "BG0313", "a run of this service is still open";
    Locked = "BG0401", "another run holds the route";
    Frozen = "BG0402", "forward moves are frozen";
    NoLock = "BG0403", "the lock of a service cannot be made";
    NobodyHere = "BG0404", "nobody can be asked here";
    HolderSilent = "BG0405", "the process that drives the run does not go back";
    NoNative = "BG0406", "no rollback command without bgctl is known";
    Expired = "BG0411", "an approval expired";
    Request = "BG0412", "a request or an answer cannot be used";
    NotThisKey = "BG0421", "this key may not approve or sign here";
    NoKey = "BG0422", "no key to sign with";
    KeyUnusable = "BG0423", "the signing key cannot be used";
    SignersFile = "BG0424", "an allowed-signers file cannot be read";
    ManyPeople = "BG0431", "one key may approve in the name of many people";
    EveryPurpose = "BG0432", "a line of the allowed signers is for every purpose";
    TwoNames = "BG0433", "one key stands under two names";
    LineOver = "BG0434", "a line of the allowed signers is over";
    TimeWithoutZ = "BG0435", "a time without `Z`";
    LineUnusable = "BG0436", "bgctl cannot use this line";
    PolicyChanged = "BG0441", "the policy is not the one the plan was made under";
    Trigger = "BG0442", "it is not known who started this job";
    MayNotSign = "BG0443", "this key may not sign the run";
    PolicyUnsigned = "BG0444", "another policy has not been signed by enough people";
    Policy = "BG0445", "the policy cannot be used";
    PolicyMemory = "BG0446", "the policies accepted before cannot be read or kept";
    NoRecord = "BG0601", "a record cannot be written";
    RecordMissing = "BG0602", "a record of the log is missing or in another place";
    RecordChanged = "BG0603", "the log was changed";
    LogUnread = "BG0604", "the record of a run cannot be read";
    Unsealed = "BG0605", "the end of the log is covered by no seal";
    SealBroken = "BG0606", "a signature, seal or time of the log does not hold";
    Untrusted = "BG0607", "the log is signed by a key that is not trusted here";
    RulesBroken = "BG0608", "the rules of the run were not kept";
    NotClosed = "BG0609", "the log is not closed by its owner";
    NotWithheld = "BG0611", "this cannot be withheld";
    Withheld = "BG0612", "the owner's word on what a copy withholds does not hold";
    NothingToWithhold = "BG0618", "what is to be withheld is not in the log";
    NothingToSign = "BG0619", "there is nothing to sign";
    Ledger = "BG0620", "the ledger of runs cannot be read";
    NotAnchored = "BG0621", "an anchor did not take the head of a log";
    Truncated = "BG0622", "the end of a log is gone";
    Forked = "BG0623", "there are two logs of one run";
    AnchorSilent = "BG0624", "an anchor that was named could not be asked";
    NotAdopted = "BG0625", "this record cannot be adopted";
    Bug = "BG0701", "internal error, please report it";
    Machine = "BG0702", "the log does not fit the run machine";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_number_of_its_own() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0].number() < pair[1].number()));
        assert_eq!(Code::Drift.to_string(), "BG0304");
    }
}
