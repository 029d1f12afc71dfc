//! Who signed an answer, and who may not because the run is theirs. Whether an answer counts is for the inbox.

use std::rc::Rc;

use jiff::Timestamp;

use crate::plan::EvidenceLevel;
use crate::sign::AllowedSigners;

/// A signature to be checked.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    pub namespace: &'a str,
    pub message: &'a [u8],
    /// The armored SSHSIG.
    pub signature: &'a str,
    /// As whom it is looked for first: a key may stand under several names.
    pub among: &'a [&'a str],
    /// The moment at which the key must be valid.
    pub at: Timestamp,
}

/// Whose signature it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    pub principal: String,
    /// `SHA256:…`.
    pub key: String,
    /// How well it is proven: with a key, or with a key in hardware that was touched.
    pub evidence: EvidenceLevel,
}

/// Checks a signature against the allowed signers; the error says in words why it does not count.
pub type Verify = dyn Fn(&Signed<'_>) -> Result<Signer, String>;

/// The check against a team's allowed signers.
pub fn trusting(signers: AllowedSigners) -> Rc<Verify> {
    Rc::new(move |signed| {
        let Signed { namespace, message, signature, among, at } = *signed;
        let found = signers.check_among(among.iter().copied(), namespace, message, signature, at);
        found.map(Signer::from).map_err(|error| error.to_string())
    })
}

impl From<crate::sign::Signed> for Signer {
    fn from(by: crate::sign::Signed) -> Self {
        let evidence = EvidenceLevel::named(by.evidence()).unwrap_or(EvidenceLevel::Signed);
        Signer { principal: by.principal, key: by.fingerprint, evidence }
    }
}

/// Somebody who may not approve this run, because it is theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barred {
    /// A principal, or a name at the CI system.
    pub name: String,
    /// The key they signed the run with, where they did.
    pub key: Option<String>,
    pub part: Part,
}

/// What somebody has to do with a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Runs,
    Resumed,
    /// Started the CI job: the name is one of the CI system's.
    Started,
}

impl Part {
    pub(super) fn words(self) -> &'static str {
        match self {
            Part::Runs => "runs this cutover",
            Part::Resumed => "has resumed this cutover",
            Part::Started => "started the job of this cutover",
        }
    }
}
