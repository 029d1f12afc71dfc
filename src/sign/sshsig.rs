//! The OpenSSH signature format (SSHSIG): what is signed, the armored text, and its check.
//!
//! One signature form for everything keeps `ssh-keygen -Y sign` and `-Y verify` usable for every signature of bgctl.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest, Sha256, Sha512};

use super::public::{PublicKey, Touch};
use super::wire::{Reader, put};
use crate::secret::visible;

const MAGIC: &[u8] = b"SSHSIG";
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
/// Columns of base64 in a line, as ssh-keygen writes it.
const COLUMNS: usize = 70;

/// Why a signature says nothing, whoever made it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigError {
    #[error("this is not a signature bgctl can read: {0}")]
    Malformed(String),
    #[error("this is not a key bgctl can read: {0}")]
    NoKey(String),
    #[error("{0}")]
    Unsupported(String),
    #[error("the signature was made for `{found}`, not for `{wanted}`")]
    WrongNamespace { found: String, wanted: String },
    #[error("the signature does not fit the content: one of the two was changed")]
    Tampered,
    #[error("the security key was not touched for this signature")]
    NoTouch,
}

/// The bytes a key signs: never the message itself, only its hash, so slow tokens stay usable.
pub fn signed_bytes(namespace: &str, message: &[u8]) -> Vec<u8> {
    preimage(namespace, "sha512", &Sha512::digest(message))
}

fn preimage(namespace: &str, hash: &str, digest: &[u8]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    put(&mut out, namespace.as_bytes());
    put(&mut out, b"");
    put(&mut out, hash.as_bytes());
    put(&mut out, digest);
    out
}

/// Puts a raw signature (its kind and its bytes, in SSH's form) into the text everybody passes around.
pub fn armor(key: &PublicKey, namespace: &str, signature: &[u8]) -> String {
    wrapped(&assembled(key, &Parts { key: key.blob(), namespace, hash: "sha512", signature }))
}

fn assembled(key: &PublicKey, parts: &Parts<'_>) -> Vec<u8> {
    let mut blob = MAGIC.to_vec();
    blob.extend_from_slice(&1u32.to_be_bytes());
    put(&mut blob, key.blob());
    put(&mut blob, parts.namespace.as_bytes());
    put(&mut blob, b"");
    put(&mut blob, parts.hash.as_bytes());
    put(&mut blob, parts.signature);
    blob
}

fn wrapped(blob: &[u8]) -> String {
    let text = STANDARD.encode(blob);
    let mut out = String::with_capacity(text.len() + text.len() / COLUMNS + 64);
    out.push_str(BEGIN);
    for start in (0..text.len()).step_by(COLUMNS) {
        out.push('\n');
        out.push_str(&text[start..text.len().min(start + COLUMNS)]);
    }
    out.push('\n');
    out.push_str(END);
    out.push('\n');
    out
}

/// Signs with an Ed25519 key in memory.
pub fn sign(key: &SigningKey, public: &PublicKey, namespace: &str, message: &[u8]) -> String {
    let raw = key.sign(&signed_bytes(namespace, message));
    let mut signature = Vec::with_capacity(83);
    put(&mut signature, b"ssh-ed25519");
    put(&mut signature, &raw.to_bytes());
    armor(public, namespace, &signature)
}

/// A signature that fits its bytes and its purpose: by which key, and how a security key was touched for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub key: PublicKey,
    pub touch: Option<Touch>,
}

/// Checks that the signature was made over these bytes, for this purpose, by the key it names. Whether that key may do so
/// is for [`super::AllowedSigners`] to say.
pub fn check(namespace: &str, message: &[u8], text: &str) -> Result<Signature, SigError> {
    let blob = unwrapped(text)?;
    let parts = parts(&blob)?;
    let key = PublicKey::from_blob(parts.key)?;
    if parts.namespace != namespace {
        let found = visible(parts.namespace).into_owned();
        return Err(SigError::WrongNamespace { found, wanted: namespace.into() });
    }
    let signed = match parts.hash {
        "sha512" => preimage(namespace, parts.hash, &Sha512::digest(message)),
        "sha256" => preimage(namespace, parts.hash, &Sha256::digest(message)),
        other => return Err(SigError::Unsupported(format!("the hash `{}` is not known", visible(other)))),
    };
    let touch = key.verify(&signed, parts.signature)?;
    Ok(Signature { key, touch })
}

/// [`check`], for who only asks which key it was.
pub fn verify(namespace: &str, message: &[u8], text: &str) -> Result<PublicKey, SigError> {
    check(namespace, message, text).map(|signature| signature.key)
}

/// The same signature in the name of a certificate for its key: what is signed does not contain the key.
pub fn certified(text: &str, certificate: &PublicKey) -> Result<String, SigError> {
    let blob = unwrapped(text)?;
    let parts = parts(&blob)?;
    if parts.key != certificate.plain().blob() {
        return Err(SigError::Malformed("the certificate is for another key".into()));
    }
    Ok(wrapped(&assembled(certificate, &parts)))
}

struct Parts<'a> {
    key: &'a [u8],
    namespace: &'a str,
    hash: &'a str,
    signature: &'a [u8],
}

fn parts(blob: &[u8]) -> Result<Parts<'_>, SigError> {
    let early = || SigError::Malformed("it ends too early".into());
    let mut reader = Reader(blob);
    if reader.take(MAGIC.len()) != Some(MAGIC) {
        return Err(SigError::Malformed("it does not begin with SSHSIG".into()));
    }
    let version = reader.number().ok_or_else(early)?;
    if version != 1 {
        return Err(SigError::Unsupported(format!("signatures of version {version} are not known")));
    }
    let key = reader.string().ok_or_else(early)?;
    let namespace = reader.text().ok_or_else(early)?;
    if !reader.string().ok_or_else(early)?.is_empty() {
        return Err(SigError::Malformed("its reserved part is in use".into()));
    }
    let hash = reader.text().ok_or_else(early)?;
    let signature = reader.string().ok_or_else(early)?;
    if !reader.is_empty() {
        return Err(SigError::Malformed("something follows the signature".into()));
    }
    Ok(Parts { key, namespace, hash, signature })
}

/// Whether the text is exactly what [`armor`] and `ssh-keygen` write for its content. A signature inside a journal must be:
/// otherwise a byte of it could be changed without breaking anything.
pub fn is_canonical(text: &str) -> bool {
    unwrapped(text).is_ok_and(|blob| wrapped(&blob) == text)
}

fn unwrapped(text: &str) -> Result<Vec<u8>, SigError> {
    let body = text
        .trim()
        .strip_prefix(BEGIN)
        .and_then(|t| t.strip_suffix(END))
        .ok_or_else(|| SigError::Malformed(format!("it does not stand between `{BEGIN}` and `{END}`")))?;
    let joined: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(joined).map_err(|e| SigError::Malformed(format!("it is not base64: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::session::SessionKey;
    use crate::sign::{Signer as _, namespace};

    #[test]
    fn a_signature_holds_for_its_bytes_and_its_purpose_only() {
        let key = SessionKey::from_seed([7; 32]);
        let text = key.sign(namespace::OPEN, b"hello").unwrap();
        assert_eq!(verify(namespace::OPEN, b"hello", &text).unwrap().line(), key.public());
        assert_eq!(verify(namespace::OPEN, b"hullo", &text), Err(SigError::Tampered));
        assert_eq!(
            verify(namespace::CLOSE, b"hello", &text),
            Err(SigError::WrongNamespace { found: namespace::OPEN.into(), wanted: namespace::CLOSE.into() })
        );
        assert!(is_canonical(&text));
        assert!(!is_canonical(&text.replace('\n', "\r\n")));
    }

    #[test]
    fn every_changed_byte_of_the_armor_is_found() {
        let key = SessionKey::from_seed([7; 32]);
        let text = key.sign(namespace::SEAL, b"note").unwrap();
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let Ok(changed) = String::from_utf8(changed) else { continue };
            let same = verify(namespace::SEAL, b"note", &changed).is_ok_and(|k| k.line() == key.public());
            assert!(!(same && is_canonical(&changed)), "byte {at}");
        }
    }

    #[test]
    fn a_security_key_must_have_been_touched() {
        let key = SigningKey::from_bytes(&[9; 32]);
        let mut blob = Vec::new();
        put(&mut blob, b"sk-ssh-ed25519@openssh.com");
        put(&mut blob, key.verifying_key().as_bytes());
        put(&mut blob, b"ssh:");
        let public = PublicKey::from_blob(&blob).unwrap();
        let no = Err(SigError::NoTouch);
        let flags = [
            (0x00u8, no.clone()),
            (0x01, Ok(Some(Touch::Present))),
            (0x04, no.clone()),
            (0x05, Ok(Some(Touch::Verified))),
            (0x81, Ok(Some(Touch::Present))),
        ];
        for (flags, touched) in flags {
            let mut message = Sha256::digest(b"ssh:").to_vec();
            message.push(flags);
            message.extend_from_slice(&[0, 0, 0, 3]);
            message.extend_from_slice(&Sha256::digest(signed_bytes(namespace::APPROVE, b"request")));
            let mut signature = Vec::new();
            put(&mut signature, b"sk-ssh-ed25519@openssh.com");
            put(&mut signature, &key.sign(&message).to_bytes());
            signature.push(flags);
            signature.extend_from_slice(&[0, 0, 0, 3]);
            let checked = check(namespace::APPROVE, b"request", &armor(&public, namespace::APPROVE, &signature));
            assert_eq!(checked.map(|signature| signature.touch), touched, "flags {flags:#x}");
        }
    }
}
