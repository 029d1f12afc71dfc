//! Whose key it is: from a key to the names that it may sign as, for a purpose, at a time.
//!
//! The verifier goes the other way: a log says who signed, and [`AllowedSigners::check`] says whether they may. A name and its
//! rights are always of one line of the file: two lines that each say half of it say nothing together.

use jiff::Timestamp;

use super::certificate::Certificate;
use super::entry::Entry;
use super::pattern::is_open;
use super::public::PublicKey;
use super::signed::{Authority, Signed, TrustError};
use super::sshsig;
use super::trust::AllowedSigners;
use crate::secret::visible;

/// A key, what it is to sign, and when.
#[derive(Clone, Copy)]
struct Asked<'a> {
    key: &'a PublicKey,
    certificate: Option<&'a Certificate>,
    namespace: &'a str,
    time: Timestamp,
}

impl<'a> Asked<'a> {
    /// Why a line lets this key sign nothing of this kind now; nothing where it does.
    fn against(self, line: &Entry) -> Option<TrustError> {
        let fingerprint = self.key.fingerprint();
        let principal = line.principals.join(",");
        if !line.permits(self.namespace) {
            return Some(TrustError::NotForThis { principal, namespace: self.namespace.into(), fingerprint });
        }
        let outside = line.outside(self.time).or_else(|| self.certificate?.outside(self.time));
        outside.map(|why| TrustError::Expired { principal, fingerprint, why })
    }

    /// The names of a line that this key can be, in its order. A pattern names nobody by itself.
    fn names(self, line: &'a Entry) -> Vec<&'a str> {
        let plain = line.principals.iter().filter(|name| !is_open(name) && !name.starts_with('!'));
        let own = plain.filter(move |name| self.certificate.is_none() && line.is_for(name));
        let certified = self.certificate.iter().flat_map(|c| &c.principals).filter(|name| line.is_for(name));
        own.chain(certified).map(String::as_str).collect()
    }

    /// Whether this key can be that person by a line.
    fn can_be(self, line: &Entry, name: &str) -> bool {
        let certified = self.certificate.is_none_or(|c| c.principals.iter().any(|other| other == name));
        certified && line.is_for(name)
    }

    fn signed(self, principal: String) -> Signed {
        let authority = self.certificate.map(|certificate| Authority {
            fingerprint: certificate.authority(),
            id: certificate.id.clone(),
            serial: certificate.serial,
        });
        let (fingerprint, kind) = (self.key.fingerprint(), self.key.short_kind().into());
        Signed { principal, fingerprint, kind, touch: None, authority }
    }
}

impl AllowedSigners {
    /// The first of these people as whom the key may sign for this purpose now; where it is none of them, whose it is.
    pub fn among<'a>(
        &self,
        wanted: impl IntoIterator<Item = &'a str>,
        namespace: &str,
        key: &PublicKey,
        time: Timestamp,
    ) -> Result<Signed, TrustError> {
        let certificate = key.certificate();
        let asked = Asked { key, certificate: certificate.as_ref(), namespace, time };
        let lines = self.counting(asked)?;
        let can_be = |name: &&str| lines.iter().any(|line| asked.can_be(line, name));
        match wanted.into_iter().find(can_be) {
            Some(name) => Ok(asked.signed(name.into())),
            None => self.whose(namespace, key, time),
        }
    }

    /// The same for a signature over these bytes, made as a policy asks.
    pub fn check_among<'a>(
        &self,
        wanted: impl IntoIterator<Item = &'a str>,
        namespace: &str,
        message: &[u8],
        armor: &str,
        time: Timestamp,
    ) -> Result<Signed, TrustError> {
        let made = sshsig::check(namespace, message, armor)?;
        self.as_demanded(self.among(wanted, namespace, &made.key, time)?, &made)
    }

    /// Whose key it is, for this purpose now: the first name of the first line that lets it.
    pub(super) fn whose(&self, namespace: &str, key: &PublicKey, time: Timestamp) -> Result<Signed, TrustError> {
        let certificate = key.certificate();
        let asked = Asked { key, certificate: certificate.as_ref(), namespace, time };
        let lines = self.counting(asked)?;
        match lines.iter().flat_map(|line| asked.names(line)).next() {
            Some(name) => Ok(asked.signed(name.into())),
            None => Err(asked.nobody(&lines)),
        }
    }

    /// The lines by which this key may sign for this purpose now: at least one.
    fn counting(&self, asked: Asked<'_>) -> Result<Vec<&Entry>, TrustError> {
        self.not_revoked(asked.key)?;
        let fingerprint = asked.key.fingerprint();
        let lines: Vec<&Entry> = match asked.certificate {
            None => self.lines_of(asked.key).collect(),
            Some(certificate) => self.authorities(certificate).collect(),
        };
        let Some(first) = lines.first() else {
            return Err(match asked.certificate {
                None => TrustError::Unknown { fingerprint },
                Some(c) => TrustError::UnknownAuthority { fingerprint, authority: c.authority() },
            });
        };
        if let Some(Err(why)) = asked.certificate.map(|certificate| certificate.check(&first.key)) {
            return Err(TrustError::Certificate { fingerprint, why });
        }
        let mut against = lines.iter().filter_map(|line| asked.against(line));
        let counting: Vec<&Entry> = lines.iter().copied().filter(|line| asked.against(line).is_none()).collect();
        match against.next() {
            Some(error) if counting.is_empty() => Err(error),
            _ => Ok(counting),
        }
    }
}

impl Asked<'_> {
    /// Lines that let it sign, and say of nobody that it is theirs.
    fn nobody(self, lines: &[&Entry]) -> TrustError {
        let fingerprint = self.key.fingerprint();
        match self.certificate {
            Some(certificate) => {
                let why = format!("it names {}, whom its authority may not speak for here", certificate.named());
                TrustError::Certificate { fingerprint, why }
            }
            None => {
                let pattern = lines.first().map(|line| line.principals.join(",")).unwrap_or_default();
                TrustError::NobodyByName { fingerprint, pattern: visible(&pattern).into_owned() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::namespace::APPROVE;
    use crate::sign::session::SessionKey;
    use crate::sign::{Signer as _, trust};

    /// A10: the name of one line never has the rights of another.
    #[test]
    fn a_name_and_its_rights_are_of_one_line() {
        let key = SessionKey::from_seed([1; 32]);
        let public = key.public();
        let now = "2026-11-30T00:00:00Z".parse().unwrap();
        let over = format!("carol@example.com valid-before=\"20200101Z\" {public}\n");
        let other = format!("carol@example.com namespaces=\"git\" {public}\n");
        let dave = trust::line("dave@example.com", &public);
        let whose = |text: &str, wanted: &[&str]| {
            let signers = AllowedSigners::parse(text).unwrap();
            signers.among(wanted.iter().copied(), APPROVE, key.public_key(), now).map(|signed| signed.principal)
        };
        for text in
            [format!("{over}{dave}"), format!("{dave}{over}"), format!("{other}{dave}"), format!("{dave}{other}")]
        {
            for wanted in [&[][..], &["carol@example.com"], &["carol@example.com", "dave@example.com"]] {
                assert_eq!(whose(&text, wanted), Ok("dave@example.com".into()), "{wanted:?} in {text}");
            }
            let signers = AllowedSigners::parse(&text).unwrap();
            let carol = signers.check_key(Some("carol@example.com"), APPROVE, key.public_key(), now);
            assert!(carol.is_err(), "{carol:?}");
        }
        assert!(matches!(whose(&over, &[]), Err(TrustError::Expired { .. })));
        assert!(matches!(whose(&other, &[]), Err(TrustError::NotForThis { .. })));
        // A pattern is nobody's name, and lets its key be whoever of it is asked for.
        let open = trust::line("*@example.com", &public);
        assert!(matches!(whose(&open, &[]), Err(TrustError::NobodyByName { .. })));
        assert_eq!(whose(&open, &["erin@example.com"]), Ok("erin@example.com".into()));
    }
}
