//! SSH certificates: a key, the names it may use, and until when, signed by an authority. What a certificate says and
//! whether its authority said so is here; whether that authority is believed is for [`super::AllowedSigners`].
//!
//! Read here and not by `ssh-key`: that refuses certificates without an end, which is what `ssh-keygen -s` makes by
//! default, and checks the authority's signature over bytes it wrote anew instead of those it was given.

use jiff::Timestamp;

use super::public::PublicKey;
use super::sshsig::SigError;
use super::wire::{Reader, put};
use crate::secret::visible;

/// The type of a certificate that speaks for a person or a job, and not for a host.
const USER: u32 = 1;
/// The one critical option that is about signatures: the security key has to know its holder, by PIN or fingerprint.
const VERIFY_REQUIRED: &str = "verify-required";

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The key it is for.
    pub key: PublicKey,
    pub serial: u64,
    /// What the authority calls it, fit for a terminal.
    pub id: String,
    /// The names it may use.
    pub principals: Vec<String>,
    after: u64,
    before: u64,
    user: bool,
    critical: Vec<String>,
    authority: Vec<u8>,
    signed: Vec<u8>,
    signature: Vec<u8>,
}

/// How the bytes of a kind of certificate are those of a kind of key: `ssh-ed25519-cert-v01@openssh.com` holds an
/// `ssh-ed25519`.
pub(super) fn key_kind(kind: &str) -> Option<&'static str> {
    match kind {
        "ssh-ed25519-cert-v01@openssh.com" => Some("ssh-ed25519"),
        "ecdsa-sha2-nistp256-cert-v01@openssh.com" => Some("ecdsa-sha2-nistp256"),
        "sk-ssh-ed25519-cert-v01@openssh.com" => Some("sk-ssh-ed25519@openssh.com"),
        "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com" => Some("sk-ecdsa-sha2-nistp256@openssh.com"),
        _ => None,
    }
}

impl Certificate {
    /// Takes the bytes of a certificate apart. `Ok(None)`: they are of a key alone.
    pub fn read(blob: &[u8]) -> Result<Option<Self>, SigError> {
        let mut reader = Reader(blob);
        match reader.text().and_then(key_kind) {
            None => Ok(None),
            Some(kind) => fields(blob, reader, kind)
                .ok_or_else(|| SigError::NoKey("the certificate's bytes end too early or too late".into()))?
                .map(Some),
        }
    }

    /// `SHA256:…` of the authority's key.
    pub fn authority(&self) -> String {
        super::public::fingerprint(&self.authority)
    }

    /// Whether that key is said to have signed it.
    pub fn is_by(&self, authority: &PublicKey) -> bool {
        authority.blob() == self.authority
    }

    /// Whether this key did sign the certificate, and whether it is one for signatures of people and jobs.
    pub fn check(&self, authority: &PublicKey) -> Result<(), String> {
        if !self.is_by(authority) {
            return Err(format!("{} signed it, not {}", self.authority(), authority.fingerprint()));
        }
        if authority.verify(&self.signed, &self.signature).is_err() {
            return Err("the signature of its authority does not fit: it was changed".into());
        }
        if !self.user {
            return Err("it is one for a host, not for a person or a job".into());
        }
        match self.critical.iter().find(|name| *name != VERIFY_REQUIRED) {
            // An option of that kind takes a right away, so who does not know how to keep it must not go on.
            Some(name) => Err(format!("it has the critical option `{}`, which bgctl cannot keep", visible(name))),
            None => Ok(()),
        }
    }

    /// Whether a security key has to know its holder for each signature.
    pub fn verify_required(&self) -> bool {
        self.critical.iter().any(|name| name == VERIFY_REQUIRED)
    }

    /// Why a time lies outside its validity.
    pub fn outside(&self, time: Timestamp) -> Option<String> {
        let second = u64::try_from(time.as_second()).unwrap_or(0);
        if second < self.after {
            return Some(format!("its certificate is valid from {} on, used at {time}", moment(self.after)));
        }
        (second >= self.before)
            .then(|| format!("its certificate was valid before {}, used at {time}", moment(self.before)))
    }

    /// The names it may use, for people.
    pub fn named(&self) -> String {
        // They are somebody else's text, and go to terminals from here.
        match &self.principals[..] {
            [] => "nobody by name".into(),
            names => visible(&names.join(", ")).into_owned(),
        }
    }

    /// Until when it is valid, for people.
    pub fn until(&self) -> String {
        if self.before == u64::MAX { "no end".into() } else { moment(self.before) }
    }
}

fn moment(second: u64) -> String {
    let time = i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok());
    time.map_or_else(|| format!("second {second} of Unix time"), |time| time.to_string())
}

/// The members in their order. `None`: the bytes end too early or too late.
fn fields(blob: &[u8], mut reader: Reader<'_>, kind: &str) -> Option<Result<Certificate, SigError>> {
    reader.string()?;
    let mut key = Vec::new();
    put(&mut key, kind.as_bytes());
    // A security key has its application, an ECDSA key its curve, beside the key itself.
    let parts = match kind {
        "ssh-ed25519" => 1,
        "sk-ecdsa-sha2-nistp256@openssh.com" => 3,
        _ => 2,
    };
    for _ in 0..parts {
        put(&mut key, reader.string()?);
    }
    let serial = reader.long()?;
    let user = reader.number()? == USER;
    let id = visible(&String::from_utf8_lossy(reader.string()?)).into_owned();
    let mut names = Reader(reader.string()?);
    let mut principals = Vec::new();
    while !names.is_empty() {
        principals.push(names.text()?.to_string());
    }
    let (after, before) = (reader.long()?, reader.long()?);
    let mut options = Reader(reader.string()?);
    let mut critical = Vec::new();
    while !options.is_empty() {
        critical.push(options.text()?.to_string());
        options.string()?;
    }
    let (_extensions, _reserved) = (reader.string()?, reader.string()?);
    let authority = reader.string()?.to_vec();
    let signed = blob[..blob.len() - reader.0.len()].to_vec();
    let signature = reader.string()?.to_vec();
    if !reader.is_empty() {
        return None;
    }
    Some(PublicKey::from_blob(&key).map(|key| Certificate {
        key,
        serial,
        id,
        principals,
        after,
        before,
        user,
        critical,
        authority,
        signed,
        signature,
    }))
}
