//! Public keys: the kinds bgctl accepts, their text and fingerprint, and the check of one raw signature.
//!
//! A certificate is a public key too: it stands where a key stands in a signature, an agent and a statement, and its
//! fingerprint is that of the key inside, as `ssh-keygen -l` has it. Nobody is believed here.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ed25519_dalek::VerifyingKey;
use p256::ecdsa::signature::Verifier as _;
use sha2::{Digest, Sha256};

use super::certificate::{self, Certificate};
use super::sshsig::SigError;
use super::wire::{Reader, put};
use crate::secret::visible;

const ED25519: &str = "ssh-ed25519";
const SK_ED25519: &str = "sk-ssh-ed25519@openssh.com";
const P256: &str = "ecdsa-sha2-nistp256";
const SK_P256: &str = "sk-ecdsa-sha2-nistp256@openssh.com";

/// The security key saw a person touch it.
const USER_PRESENT: u8 = 0x01;
/// The security key knew that person, by PIN or fingerprint.
const USER_VERIFIED: u8 = 0x04;

/// What a security key says about the person at it. Without presence its signature does not count at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touch {
    Present,
    Verified,
}

/// A public key, kept as the exact bytes OpenSSH stores.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey {
    blob: Vec<u8>,
}

/// What is inside, for a kind bgctl knows.
enum Inside<'a> {
    Ed25519(VerifyingKey),
    SkEd25519 { key: VerifyingKey, application: &'a [u8] },
    P256(p256::ecdsa::VerifyingKey),
    SkP256 { key: p256::ecdsa::VerifyingKey, application: &'a [u8] },
}

impl PublicKey {
    /// Takes the bytes of a key or certificate; says which kind it is when that kind is not accepted.
    pub fn from_blob(blob: &[u8]) -> Result<Self, SigError> {
        let key = PublicKey { blob: blob.to_vec() };
        if Certificate::read(blob)?.is_none() {
            key.inside()?;
        }
        Ok(key)
    }

    /// Reads `ssh-ed25519 AAAA… comment`.
    pub fn from_line(line: &str) -> Result<Self, SigError> {
        let mut words = line.split_ascii_whitespace();
        let (Some(kind), Some(text)) = (words.next(), words.next()) else {
            return Err(SigError::NoKey("a public key is its kind and its base64 text".into()));
        };
        let blob = decode(text)?;
        let key = PublicKey { blob };
        let found = key.kind();
        // Before its point is looked for: a line that contradicts itself is no line of a key, whatever follows.
        if found != kind && [ED25519, SK_ED25519, P256, SK_P256].contains(&found) {
            return Err(SigError::NoKey(format!("the line says `{}`, the key says `{found}`", visible(kind))));
        }
        let key = PublicKey::from_blob(&key.blob)?;
        if key.kind() != kind {
            return Err(SigError::NoKey(format!("the line says `{}`, the key says `{}`", visible(kind), key.kind())));
        }
        Ok(key)
    }

    pub(super) fn of_ed25519(key: &VerifyingKey) -> Self {
        let mut blob = Vec::with_capacity(51);
        put(&mut blob, ED25519.as_bytes());
        put(&mut blob, key.as_bytes());
        PublicKey { blob }
    }

    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// What the certificate says, if this is one.
    pub fn certificate(&self) -> Option<Certificate> {
        Certificate::read(&self.blob).ok().flatten()
    }

    /// The key alone, without what a certificate says about it.
    pub fn plain(&self) -> PublicKey {
        self.certificate().map_or_else(|| self.clone(), |certificate| certificate.key)
    }

    /// `ssh-ed25519`, …
    pub fn kind(&self) -> &str {
        Reader(&self.blob).text().unwrap_or("unknown")
    }

    /// The kind as people say it: `ed25519`.
    pub fn short_kind(&self) -> &str {
        let kind = self.kind();
        match certificate::key_kind(kind).unwrap_or(kind) {
            ED25519 => "ed25519",
            SK_ED25519 => "ed25519-sk",
            P256 => "ecdsa",
            SK_P256 => "ecdsa-sk",
            _ => kind,
        }
    }

    /// Whether each signature needs a person at a security key.
    pub fn is_security_key(&self) -> bool {
        self.kind().starts_with("sk-")
    }

    /// `ssh-ed25519 AAAA…`
    pub fn line(&self) -> String {
        format!("{} {}", self.kind(), STANDARD.encode(&self.blob))
    }

    /// `SHA256:…`; of a certificate, that of its key.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.plain().blob)
    }

    fn inside(&self) -> Result<Inside<'_>, SigError> {
        let broken = || SigError::NoKey("the key's bytes end too early or too late".into());
        let mut reader = Reader(&self.blob);
        let kind = reader.text().ok_or_else(broken)?;
        let mut string = || reader.string().ok_or_else(broken);
        let inside = match kind {
            ED25519 => Inside::Ed25519(point(string()?)?),
            SK_ED25519 => Inside::SkEd25519 { key: point(string()?)?, application: string()? },
            P256 => Inside::P256(p256_point(string()?, string()?)?),
            SK_P256 => Inside::SkP256 { key: p256_point(string()?, string()?)?, application: string()? },
            other => return Err(SigError::Unsupported(format!("keys of kind `{}` are not accepted", visible(other)))),
        };
        if reader.is_empty() { Ok(inside) } else { Err(broken()) }
    }

    /// Checks a signature in SSH's own form over the bytes that were signed.
    pub(super) fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<Option<Touch>, SigError> {
        let broken = || SigError::Malformed("the signature's bytes end too early or too late".into());
        let key = self.plain();
        let mut reader = Reader(signature);
        let kind = reader.text().ok_or_else(broken)?;
        if kind != key.kind() {
            return Err(SigError::Malformed(format!("a `{}` signature by a `{}` key", visible(kind), key.kind())));
        }
        let raw = reader.string().ok_or_else(broken)?;
        let flags = match key.is_security_key() {
            true => Some((reader.byte().ok_or_else(broken)?, reader.take(4).ok_or_else(broken)?)),
            false => None,
        };
        if !reader.is_empty() {
            return Err(broken());
        }
        // A security key signs hashes of its application and of the bytes, with its flags and its counter between them.
        let asserted = |application: &[u8]| {
            let (flags, counter) = flags.unwrap_or_default();
            [&Sha256::digest(application)[..], &[flags], counter, &Sha256::digest(signed)[..]].concat()
        };
        match key.inside()? {
            Inside::Ed25519(key) => strict(&key, signed, raw)?,
            Inside::SkEd25519 { key, application } => strict(&key, &asserted(application), raw)?,
            Inside::P256(key) => ecdsa(&key, signed, raw)?,
            Inside::SkP256 { key, application } => ecdsa(&key, &asserted(application), raw)?,
        }
        // `ssh-keygen -Y verify` does not look at the flags. They are bits: 0x05 is a touch as much as 0x01.
        match flags {
            None => Ok(None),
            Some((flags, _)) if flags & USER_PRESENT == 0 => Err(SigError::NoTouch),
            Some((flags, _)) if flags & USER_VERIFIED == 0 => Ok(Some(Touch::Present)),
            Some(_) => Ok(Some(Touch::Verified)),
        }
    }
}

/// `SHA256:…` of a key's bytes, also of a kind that is not accepted.
pub(super) fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(blob)))
}

/// The bytes of a key's base64 text.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, SigError> {
    STANDARD
        .decode(text)
        .or_else(|_| STANDARD_NO_PAD.decode(text))
        .map_err(|e| SigError::NoKey(format!("the key is not base64: {e}")))
}

fn point(bytes: &[u8]) -> Result<VerifyingKey, SigError> {
    let bytes: &[u8; 32] =
        bytes.try_into().map_err(|_| SigError::NoKey(format!("an ed25519 key has 32 bytes, not {}", bytes.len())))?;
    // OpenSSH takes such a key and finds out with the first signature, which none can fit.
    VerifyingKey::from_bytes(bytes)
        .map_err(|_| SigError::Unsupported("the key is not a point of the curve, so no signature fits it".into()))
}

fn p256_point(curve: &[u8], point: &[u8]) -> Result<p256::ecdsa::VerifyingKey, SigError> {
    if curve != b"nistp256" {
        return Err(SigError::NoKey("the key names another curve than its kind".into()));
    }
    p256::ecdsa::VerifyingKey::from_sec1_bytes(point)
        .map_err(|_| SigError::NoKey("the key is not a point of the curve".into()))
}

fn strict(key: &VerifyingKey, message: &[u8], raw: &[u8]) -> Result<(), SigError> {
    let raw = raw
        .try_into()
        .map_err(|_| SigError::Malformed(format!("an ed25519 signature has 64 bytes, not {}", raw.len())))?;
    key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(raw)).map_err(|_| SigError::Tampered)
}

fn ecdsa(key: &p256::ecdsa::VerifyingKey, message: &[u8], raw: &[u8]) -> Result<(), SigError> {
    let broken = || SigError::Malformed("an ecdsa signature is two numbers of 32 bytes".into());
    let mut reader = Reader(raw);
    let mut number = || -> Option<[u8; 32]> {
        let text = reader.string()?;
        // The one form a number has: no zero in front but the one that keeps it positive.
        let bare = match text {
            [0, rest @ ..] if rest.first().is_some_and(|first| first & 0x80 != 0) => rest,
            [first, ..] if (1..0x80).contains(first) => text,
            _ => return None,
        };
        let mut number = [0; 32];
        number.get_mut(32usize.checked_sub(bare.len())?..)?.copy_from_slice(bare);
        Some(number)
    };
    let (r, s) = (number().ok_or_else(broken)?, number().ok_or_else(broken)?);
    if !reader.is_empty() {
        return Err(broken());
    }
    let signature = p256::ecdsa::Signature::from_scalars(r, s).map_err(|_| broken())?;
    key.verify(message, &signature).map_err(|_| SigError::Tampered)
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line())
    }
}
