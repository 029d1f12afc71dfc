//! Keys of the vectors: fixed, so that the same bytes are made each time. Security keys and certificates are acted out here,
//! because the programs that make them take chance into what they make.

use bgctl::sign::certified::Certified;
use bgctl::sign::session::SessionKey;
use bgctl::sign::{Assurance, PublicKey, SignError, Signer, sshsig};
use ed25519_dalek::{Signer as _, SigningKey};

use crate::security_keys::{Device, string};

pub fn key(seed: u8) -> SessionKey {
    SessionKey::from_seed([seed; 32])
}

/// A key whose signature is made by a function of its own.
pub struct Acted<F> {
    pub public: PublicKey,
    pub raw: F,
}

impl<F: Fn(&[u8]) -> Vec<u8>> Signer for Acted<F> {
    fn name(&self) -> String {
        "acted out".into()
    }

    fn public(&self) -> String {
        self.public.line()
    }

    fn fingerprint(&self) -> String {
        self.public.fingerprint()
    }

    fn assurance(&self) -> Assurance {
        Assurance::SecurityKey
    }

    fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, SignError> {
        let raw = (self.raw)(&sshsig::signed_bytes(namespace, message));
        Ok(sshsig::armor(&self.public, namespace, &raw))
    }
}

/// A security key that gives these flags.
pub fn device(flags: u8) -> Acted<impl Fn(&[u8]) -> Vec<u8>> {
    let device = Device::new(flags);
    Acted { public: device.public(), raw: move |signed: &[u8]| device.raw(signed) }
}

/// Two numbers as SSH writes them: no zeros in front, but one where the first bit is set.
fn numbers(made: &p256::ecdsa::Signature) -> Vec<u8> {
    let (r, s) = made.split_bytes();
    let number = |bytes: &[u8]| {
        let bare: Vec<u8> = bytes.iter().copied().skip_while(|b| *b == 0).collect();
        string(&if bare[0] & 0x80 == 0 { bare } else { [&[0][..], &bare].concat() })
    };
    [number(&r), number(&s)].concat()
}

/// An ECDSA key; its signatures are those of RFC 6979.
pub fn ecdsa() -> Acted<impl Fn(&[u8]) -> Vec<u8>> {
    let kind = b"ecdsa-sha2-nistp256";
    let key = p256::ecdsa::SigningKey::from_slice(&[3; 32]).unwrap();
    let point = key.verifying_key().to_encoded_point(false);
    let blob = [&kind[..], b"nistp256", point.as_bytes()].map(string).concat();
    let raw = move |signed: &[u8]| {
        let made: p256::ecdsa::Signature = p256::ecdsa::signature::Signer::sign(&key, signed);
        [string(kind), string(&numbers(&made))].concat()
    };
    Acted { public: PublicKey::from_blob(&blob).unwrap(), raw }
}

/// A certificate, as `ssh-keygen -s` makes one, but for its nonce.
pub struct Made<'a> {
    pub authority: u8,
    /// Signs in the authority's place.
    pub signs: u8,
    pub key: &'a PublicKey,
    pub user: u32,
    pub names: &'a [&'a str],
    /// Seconds since 1970.
    pub valid: (u64, u64),
    pub critical: &'a [&'a str],
}

impl Made<'_> {
    pub fn certificate(&self) -> PublicKey {
        let kind = self.key.kind();
        let named = match kind.strip_suffix("@openssh.com") {
            Some(kind) => format!("{kind}-cert-v01@openssh.com"),
            None => format!("{kind}-cert-v01@openssh.com"),
        };
        let parts = &self.key.blob()[4 + kind.len()..];
        let names: Vec<u8> = self.names.iter().flat_map(|name| string(name.as_bytes())).collect();
        let critical: Vec<u8> =
            self.critical.iter().flat_map(|name| [string(name.as_bytes()), string(b"")].concat()).collect();
        let authority = key(self.authority);
        let signed = [
            &string(named.as_bytes())[..],
            &string(&[7; 32]),
            parts,
            &7u64.to_be_bytes(),
            &self.user.to_be_bytes(),
            &string(b"ci job 7"),
            &string(&names),
            &self.valid.0.to_be_bytes(),
            &self.valid.1.to_be_bytes(),
            &string(&critical),
            &string(b""),
            &string(b""),
            &string(authority.public_key().blob()),
        ]
        .concat();
        let raw = SigningKey::from_bytes(&[self.signs; 32]).sign(&signed).to_bytes();
        let signature = [string(b"ssh-ed25519"), string(&raw)].concat();
        PublicKey::from_blob(&[signed, string(&signature)].concat()).unwrap()
    }

    /// The key that signs in the certificate's name.
    pub fn signer(&self, key: Box<dyn Signer>) -> Certified {
        Certified::new(key, self.certificate()).unwrap()
    }
}
