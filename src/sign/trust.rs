//! Whom to believe: OpenSSH's `allowed_signers` file, so a team uses the same one as for signed commits, and its list of
//! revoked keys.
//!
//! Standing in the file means that a key belongs to a person and may sign for a purpose; it gives nobody a role. Lines are
//! read in [`super::entry`], certificates in [`super::certificate`]; only here is it said that a signature counts.

use jiff::Timestamp;

use super::certificate::Certificate;
use super::entry::{Entry, Parsed};
use super::public::{PublicKey, Touch};
use super::revoked::Revoked;
pub use super::signed::{Authority, Demands, Signed, TrustError};
use super::sshsig::{self, Signature};
use crate::secret::visible;

/// Parsed `allowed_signers` files, and what takes rights away again.
#[derive(Clone, Debug, Default)]
pub struct AllowedSigners {
    pub(super) entries: Vec<Entry>,
    /// Lines OpenSSH could use and bgctl cannot, by number, with the reason.
    pub unsupported: Vec<(usize, String)>,
    revoked: Revoked,
    demands: Demands,
}

/// A line that is no line of such a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct BadLine {
    pub line: usize,
    pub why: String,
}

impl AllowedSigners {
    /// Reads a file. Empty lines and `#` lines are skipped; a line that cannot be read is an error, since a skipped one
    /// might be the one that takes a right away.
    pub fn parse(text: &str) -> Result<Self, BadLine> {
        let mut signers = AllowedSigners::default();
        let mut start = 0;
        for (n, whole) in text.split_inclusive('\n').enumerate() {
            let line = whole.trim();
            let at = start + (whole.len() - whole.trim_start().len());
            start += whole.len();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match Entry::parse(line, at) {
                Ok(Parsed::Entry(entry)) => signers.entries.push(*entry),
                Ok(Parsed::Unsupported(why)) => signers.unsupported.push((n + 1, why)),
                Err(why) => return Err(BadLine { line: n + 1, why }),
            }
        }
        Ok(signers)
    }

    /// Everything of both, and the stricter demands of the two.
    pub fn join(mut self, other: AllowedSigners) -> Self {
        self.entries.extend(other.entries);
        self.unsupported.extend(other.unsupported);
        self.revoked = self.revoked.join(other.revoked);
        let (mine, theirs) = (self.demands, other.demands);
        self.demands = Demands {
            security_key: mine.security_key || theirs.security_key,
            verified: mine.verified || theirs.verified,
        };
        self
    }

    /// The same, without those keys.
    pub fn without(mut self, revoked: Revoked) -> Self {
        self.revoked = self.revoked.join(revoked);
        self
    }

    /// The same, where signatures have to be made as a policy asks.
    pub fn demanding(mut self, demands: Demands) -> Self {
        self.demands = demands;
        self
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The principals a key stands under; for a certificate, those it names and its authority may speak for.
    pub fn principals(&self, key: &PublicKey) -> Vec<String> {
        let mut found: Vec<String> = match key.certificate() {
            None => self.lines_of(key).flat_map(|e| e.principals.iter().cloned()).collect(),
            Some(certificate) => {
                let lines: Vec<&Entry> = self.authorities(&certificate).collect();
                certificate.principals.iter().filter(|name| lines.iter().any(|e| e.is_for(name))).cloned().collect()
            }
        };
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether the key with this fingerprint is in the file, as a key or as an authority.
    pub fn knows(&self, fingerprint: &str) -> bool {
        self.entries.iter().any(|entry| entry.key.fingerprint() == fingerprint)
    }

    /// The keys that stand under a principal; an authority's certificates are not known before they sign.
    pub fn keys(&self, principal: &str) -> Vec<&PublicKey> {
        self.entries.iter().filter(|e| !e.authority && e.is_for(principal)).map(|e| &e.key).collect()
    }

    /// Checks a signature in full: bytes, purpose, key, person, time, revocation, and what a policy asks. Without a
    /// principal, whoever the key speaks for is found in the file ([`super::whose`]).
    pub fn check(
        &self,
        principal: Option<&str>,
        namespace: &str,
        message: &[u8],
        armor: &str,
        time: Timestamp,
    ) -> Result<Signed, TrustError> {
        self.check_signature(principal, namespace, &sshsig::check(namespace, message, armor)?, time)
    }

    /// The part of [`AllowedSigners::check`] after the bytes.
    pub fn check_signature(
        &self,
        principal: Option<&str>,
        namespace: &str,
        signature: &Signature,
        time: Timestamp,
    ) -> Result<Signed, TrustError> {
        self.as_demanded(self.check_key(principal, namespace, &signature.key, time)?, signature)
    }

    /// Whether a signature was made as the policy and the certificate ask.
    pub(super) fn as_demanded(&self, whose: Signed, made: &Signature) -> Result<Signed, TrustError> {
        let Signature { key, touch } = made;
        let signed = Signed { touch: *touch, ..whose };
        let (principal, fingerprint) = (signed.principal.clone(), signed.fingerprint.clone());
        let must_know = self.demands.verified || key.certificate().is_some_and(|c| c.verify_required());
        match touch {
            None if self.demands.security_key || must_know => Err(TrustError::NoSecurityKey { principal, fingerprint }),
            Some(Touch::Present) if must_know => Err(TrustError::NotVerified { principal, fingerprint }),
            _ => Ok(signed),
        }
    }

    /// Whether this key may sign for this purpose at this time. How a signature of it was made is not known here, so what
    /// a policy asks of that is not checked.
    pub fn check_key(
        &self,
        principal: Option<&str>,
        namespace: &str,
        key: &PublicKey,
        time: Timestamp,
    ) -> Result<Signed, TrustError> {
        self.not_revoked(key)?;
        let fingerprint = key.fingerprint();
        let Some(wanted) = principal else { return self.whose(namespace, key, time) };
        let certificate = key.certificate();
        let (name, lines) = match &certificate {
            None => self.owner(wanted, key, &fingerprint)?,
            Some(certificate) => self.bearer(wanted, certificate, &fingerprint)?,
        };
        let for_this: Vec<&&Entry> = lines.iter().filter(|e| e.permits(namespace)).collect();
        let Some(first) = for_this.first() else {
            return Err(TrustError::NotForThis { principal: name, namespace: namespace.into(), fingerprint });
        };
        let outside = match for_this.iter().any(|e| e.outside(time).is_none()) {
            true => certificate.as_ref().and_then(|certificate| certificate.outside(time)),
            false => first.outside(time),
        };
        if let Some(why) = outside {
            return Err(TrustError::Expired { principal: name, fingerprint, why });
        }
        let authority = certificate.map(|certificate| Authority {
            fingerprint: certificate.authority(),
            id: certificate.id,
            serial: certificate.serial,
        });
        Ok(Signed { principal: name, fingerprint, kind: key.short_kind().into(), touch: None, authority })
    }

    /// Before all else, as OpenSSH has it: what is revoked is not half believed.
    pub(super) fn not_revoked(&self, key: &PublicKey) -> Result<(), TrustError> {
        let fingerprint = key.fingerprint();
        match self.revoked.find(key) {
            Ok(None) => Ok(()),
            Ok(Some(place)) => {
                let of = visible(&self.principals(key).join(", ")).into_owned();
                let of = if of.is_empty() { of } else { format!(" of `{of}`") };
                Err(TrustError::Revoked { fingerprint, of, place })
            }
            Err(why) => Err(TrustError::RevocationUnknown { fingerprint, why }),
        }
    }

    pub(super) fn lines_of<'s>(&'s self, key: &PublicKey) -> impl Iterator<Item = &'s Entry> {
        self.entries.iter().filter(move |e| !e.authority && e.key == *key)
    }

    pub(super) fn authorities<'s>(&'s self, certificate: &Certificate) -> impl Iterator<Item = &'s Entry> {
        self.entries.iter().filter(move |e| e.authority && certificate.is_by(&e.key))
    }

    /// The lines that say that a key is this person's.
    fn owner(&self, wanted: &str, key: &PublicKey, fingerprint: &str) -> Result<(String, Vec<&Entry>), TrustError> {
        let fingerprint = fingerprint.to_string();
        let all: Vec<&Entry> = self.lines_of(key).collect();
        if all.is_empty() {
            return Err(TrustError::Unknown { fingerprint });
        }
        let lines: Vec<&Entry> = all.into_iter().filter(|e| e.is_for(wanted)).collect();
        if lines.is_empty() {
            let found = self.principals(key).join(", ");
            return Err(TrustError::WrongPerson { fingerprint, found, wanted: wanted.into() });
        }
        Ok((wanted.into(), lines))
    }

    /// The lines that let the authority of a certificate say that it speaks for this person.
    fn bearer(
        &self,
        wanted: &str,
        certificate: &Certificate,
        fingerprint: &str,
    ) -> Result<(String, Vec<&Entry>), TrustError> {
        let fingerprint = fingerprint.to_string();
        let all: Vec<&Entry> = self.authorities(certificate).collect();
        let Some(first) = all.first() else {
            return Err(TrustError::UnknownAuthority { fingerprint, authority: certificate.authority() });
        };
        if let Err(why) = certificate.check(&first.key) {
            return Err(TrustError::Certificate { fingerprint, why });
        }
        if !certificate.principals.iter().any(|name| name == wanted) {
            return Err(TrustError::WrongPerson { fingerprint, found: certificate.named(), wanted: wanted.into() });
        }
        let lines: Vec<&Entry> = all.into_iter().filter(|e| e.is_for(wanted)).collect();
        if lines.is_empty() {
            let why = format!("it names `{}`, whom its authority may not speak for here", visible(wanted));
            return Err(TrustError::Certificate { fingerprint, why });
        }
        Ok((wanted.into(), lines))
    }
}

/// A line for such a file that lets a key sign for bgctl and nothing else.
pub fn line(principal: &str, public: &str) -> String {
    format!("{principal} namespaces=\"bgctl-*\" {public}\n")
}

/// Whom the verifier believes.
#[derive(Default)]
pub struct Trust {
    pub signers: AllowedSigners,
    /// For logs of a shared key.
    pub shared: Option<super::hmac::SharedKey>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::session::SessionKey;
    use crate::sign::{SigError, Signer as _, namespace};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn every_refusal_has_its_own_words() {
        let (alice, bob) = (SessionKey::from_seed([1; 32]), SessionKey::from_seed([2; 32]));
        let file = format!(
            "# team\nalice@example.com,al namespaces=\"bgctl-approve-*,git\" {}\nbob@example.com valid-after=\"20260101Z\",valid-before=\"20261231Z\" {} bob's laptop\n",
            alice.public(),
            bob.public()
        );
        let signers = AllowedSigners::parse(&file).unwrap();
        let now = at("2026-11-21T00:00:00Z");
        let by_alice = alice.sign(namespace::APPROVE, b"request").unwrap();
        let ok = signers.check(None, namespace::APPROVE, b"request", &by_alice, now).unwrap();
        assert_eq!((ok.principal.as_str(), ok.kind.as_str()), ("alice@example.com", "ed25519"));
        assert_eq!(signers.check(Some("al"), namespace::APPROVE, b"request", &by_alice, now).unwrap().principal, "al");

        let check = |who, space, message: &[u8], armor: &str, time| signers.check(who, space, message, armor, time);
        assert!(matches!(
            check(None, namespace::APPROVE, b"requesT", &by_alice, now),
            Err(TrustError::Signature(SigError::Tampered))
        ));
        assert!(matches!(
            check(None, namespace::DENY, b"request", &by_alice, now),
            Err(TrustError::Signature(SigError::WrongNamespace { .. }))
        ));
        assert!(matches!(
            check(Some("bob@example.com"), namespace::APPROVE, b"request", &by_alice, now),
            Err(TrustError::WrongPerson { .. })
        ));
        let opens = alice.sign(namespace::OPEN, b"x").unwrap();
        assert!(matches!(check(None, namespace::OPEN, b"x", &opens, now), Err(TrustError::NotForThis { .. })));
        let by_bob = bob.sign(namespace::OPEN, b"x").unwrap();
        assert!(check(None, namespace::OPEN, b"x", &by_bob, now).is_ok());
        for late in ["2025-12-31T23:59:59Z", "2026-12-31T00:00:00Z"] {
            assert!(matches!(check(None, namespace::OPEN, b"x", &by_bob, at(late)), Err(TrustError::Expired { .. })));
        }
        let by_eve = SessionKey::from_seed([3; 32]).sign(namespace::OPEN, b"x").unwrap();
        assert!(matches!(check(None, namespace::OPEN, b"x", &by_eve, now), Err(TrustError::Unknown { .. })));
    }

    #[test]
    fn lines_that_cannot_be_kept_are_named() {
        let key = SessionKey::from_seed([1; 32]).public();
        assert_eq!(AllowedSigners::parse("\n\nalice").unwrap_err().line, 3);
        assert_eq!(
            AllowedSigners::parse("a namespaces=\"x ssh-ed25519 AAAA").unwrap_err().why,
            "a quote is not closed"
        );
        assert!(AllowedSigners::parse(&format!("a colour=blue {key}")).unwrap_err().why.contains("`colour`"));
        assert!(
            AllowedSigners::parse(&format!("a valid-after=yesterday {key}")).unwrap_err().why.contains("yesterday")
        );
        assert!(AllowedSigners::parse(&format!("a valid-after=20260101Z,valid-before=20250101Z {key}")).is_err());
        assert!(AllowedSigners::parse(&format!("a namespaces=x,namespaces=y {key}")).is_err());
        for time in ["99991231Z", "99991231235959Z", "99991231"] {
            assert!(AllowedSigners::parse(&format!("a valid-before={time} {key}")).is_ok(), "{time}");
        }
        for option in [
            "valid-after=+2026101Z",
            "valid-after=-0010101Z",
            "valid-after=20260101235960Z",
            "valid-after=00000101Z",
            "cert-authority=x",
            "namespaces",
        ] {
            assert!(AllowedSigners::parse(&format!("a {option} {key}")).is_err(), "{option}");
        }
        let rest =
            format!("\"a,b\" cert-authority {key}\nb ssh-rsa AAAAB3NzaC1yc2EAAAABAw==\nc {key} bob's 27\" desk\n");
        let signers = AllowedSigners::parse(&rest).unwrap();
        assert_eq!(signers.unsupported.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [2]);
        assert_eq!(signers.entries.iter().map(|e| e.principals.len()).collect::<Vec<_>>(), [2, 1]);
    }
}
