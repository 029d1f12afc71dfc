//! Public keys: the kinds bgctl accepts, their text and fingerprint, and the check of one raw signature.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};

use super::sshsig::SigError;
use super::wire::{Reader, put};

const ED25519: &str = "ssh-ed25519";
const SK_ED25519: &str = "sk-ssh-ed25519@openssh.com";
const P256: &str = "ecdsa-sha2-nistp256";

/// The security key saw a person touch it.
const USER_PRESENT: u8 = 0x01;

/// A public key, kept as the exact bytes OpenSSH stores.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey {
    blob: Vec<u8>,
}

/// What is inside, for a kind bgctl knows.
enum Inside<'a> {
    Ed25519(VerifyingKey),
    SkEd25519 { key: VerifyingKey, application: &'a [u8] },
    P256,
}

impl PublicKey {
    /// Takes the bytes of a key; says which kind it is when that kind is not accepted.
    pub fn from_blob(blob: &[u8]) -> Result<Self, SigError> {
        let key = PublicKey { blob: blob.to_vec() };
        key.inside()?;
        Ok(key)
    }

    /// Reads `ssh-ed25519 AAAA… comment`.
    pub fn from_line(line: &str) -> Result<Self, SigError> {
        let mut words = line.split_ascii_whitespace();
        let (Some(kind), Some(text)) = (words.next(), words.next()) else {
            return Err(SigError::Malformed("a public key is its kind and its base64 text".into()));
        };
        let blob = STANDARD
            .decode(text)
            .or_else(|_| STANDARD_NO_PAD.decode(text))
            .map_err(|e| SigError::Malformed(format!("the key is not base64: {e}")))?;
        let key = PublicKey::from_blob(&blob)?;
        if key.kind() != kind {
            return Err(SigError::Malformed(format!("the line says `{kind}`, the key says `{}`", key.kind())));
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

    /// `ssh-ed25519`, …
    pub fn kind(&self) -> &str {
        Reader(&self.blob).text().unwrap_or("unknown")
    }

    /// The kind as people say it: `ed25519`.
    pub fn short_kind(&self) -> &str {
        match self.kind() {
            ED25519 => "ed25519",
            SK_ED25519 => "ed25519-sk",
            P256 => "ecdsa",
            other => other,
        }
    }

    /// `ssh-ed25519 AAAA…`
    pub fn line(&self) -> String {
        format!("{} {}", self.kind(), STANDARD.encode(&self.blob))
    }

    /// `SHA256:…`
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&self.blob)))
    }

    fn inside(&self) -> Result<Inside<'_>, SigError> {
        let broken = || SigError::Malformed("the key's bytes end too early or too late".into());
        let mut reader = Reader(&self.blob);
        let kind = reader.text().ok_or_else(broken)?;
        let inside = match kind {
            ED25519 => Inside::Ed25519(point(reader.string().ok_or_else(broken)?)?),
            SK_ED25519 => Inside::SkEd25519 {
                key: point(reader.string().ok_or_else(broken)?)?,
                application: reader.string().ok_or_else(broken)?,
            },
            P256 => {
                reader.string().ok_or_else(broken)?;
                reader.string().ok_or_else(broken)?;
                Inside::P256
            }
            other => return Err(SigError::Unsupported(format!("keys of kind `{other}` are not accepted"))),
        };
        if reader.is_empty() { Ok(inside) } else { Err(broken()) }
    }

    /// Whether signatures of this key are ECDSA ones.
    pub(super) fn is_p256(&self) -> bool {
        self.kind() == P256
    }

    /// Checks the signature part of an SSHSIG over the bytes that were signed.
    pub(super) fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), SigError> {
        let broken = || SigError::Malformed("the signature's bytes end too early or too late".into());
        let mut reader = Reader(signature);
        let kind = reader.text().ok_or_else(broken)?;
        if kind != self.kind() {
            return Err(SigError::Malformed(format!("a `{kind}` signature by a `{}` key", self.kind())));
        }
        let raw = reader.string().ok_or_else(broken)?;
        match self.inside()? {
            Inside::Ed25519(key) if reader.is_empty() => strict(&key, signed, raw),
            Inside::SkEd25519 { key, application } => {
                let flags = reader.byte().ok_or_else(broken)?;
                let counter = reader.take(4).ok_or_else(broken)?;
                if !reader.is_empty() {
                    return Err(broken());
                }
                let mut message = Sha256::digest(application).to_vec();
                message.push(flags);
                message.extend_from_slice(counter);
                message.extend_from_slice(&Sha256::digest(signed));
                strict(&key, &message, raw)?;
                // `ssh-keygen -Y verify` does not look at this; a signature that nobody touched the key for is a copy's work.
                if flags & USER_PRESENT == 0 { Err(SigError::NoTouch) } else { Ok(()) }
            }
            // The whole signature of such a key is checked in one piece, in `sshsig`.
            Inside::P256 => panic!("BUG: a P-256 signature is not checked here"),
            _ => Err(broken()),
        }
    }
}

fn point(bytes: &[u8]) -> Result<VerifyingKey, SigError> {
    let bytes: &[u8; 32] = bytes
        .try_into()
        .map_err(|_| SigError::Malformed(format!("an ed25519 key has 32 bytes, not {}", bytes.len())))?;
    VerifyingKey::from_bytes(bytes).map_err(|_| SigError::Malformed("the key is not a point of the curve".into()))
}

fn strict(key: &VerifyingKey, message: &[u8], raw: &[u8]) -> Result<(), SigError> {
    let raw = raw
        .try_into()
        .map_err(|_| SigError::Malformed(format!("an ed25519 signature has 64 bytes, not {}", raw.len())))?;
    key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(raw)).map_err(|_| SigError::Tampered)
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line())
    }
}
