//! Keys in files: OpenSSH private keys, plain or with a passphrase, and the making of new ones.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{HashAlg, LineEnding, PrivateKey};
use zeroize::Zeroizing;

use super::session::SessionKey;
use super::{Assurance, PublicKey, SigError, SignError, Signer, dsse, security_key};
use crate::file;
use crate::secret::Secret;

/// Asks for the passphrase of the named key. `None`: nobody is there.
pub type Ask<'a> = &'a dyn Fn(&str) -> Option<Secret>;

/// A private key read from a file.
pub struct FileKey {
    path: String,
    inside: Inside,
    public: PublicKey,
    assurance: Assurance,
}

enum Inside {
    Ed25519(Box<SessionKey>),
    P256(Box<PrivateKey>),
    /// The file is a handle; the key itself never leaves its device.
    SecurityKey(PathBuf),
}

impl FileKey {
    /// Reads a private key. A key others can read is refused, as ssh does.
    pub fn read(path: &Path, ask: Ask<'_>) -> Result<Self, SignError> {
        let name = path.display().to_string();
        let unusable = |why: String| SignError::Unusable { path: name.clone(), why };
        let (mut key, public) = load(path)?;
        if key.is_encrypted() && public.is_security_key() {
            return Err(locked_handle(path));
        }
        if key.is_encrypted() {
            let passphrase = ask(&name).ok_or_else(|| SignError::Locked { path: name.clone() })?;
            key = key.decrypt(passphrase.expose()).map_err(|_| SignError::WrongPassphrase { path: name.clone() })?;
        }
        let inside = match key.key_data() {
            KeypairData::Ed25519(pair) => Inside::Ed25519(Box::new(SessionKey::from_seed(pair.private.to_bytes()))),
            KeypairData::Ecdsa(_) => Inside::P256(Box::new(key)),
            KeypairData::SkEd25519(_) | KeypairData::SkEcdsaSha2NistP256(_) => Inside::SecurityKey(path.to_path_buf()),
            _ => return Err(unusable("keys of its kind are not accepted".into())),
        };
        let assurance = if public.is_security_key() { Assurance::SecurityKey } else { Assurance::File };
        Ok(FileKey { path: name, inside, public, assurance })
    }

    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }
}

impl Signer for FileKey {
    fn name(&self) -> String {
        self.path.clone()
    }

    fn public(&self) -> String {
        self.public.line()
    }

    fn fingerprint(&self) -> String {
        self.public.fingerprint()
    }

    fn assurance(&self) -> Assurance {
        self.assurance
    }

    fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, SignError> {
        match &self.inside {
            Inside::Ed25519(key) => key.sign(namespace, message),
            Inside::P256(key) => {
                let unusable = |e: ssh_key::Error| SignError::Unusable { path: self.path.clone(), why: e.to_string() };
                let signature = key.sign(namespace, HashAlg::Sha512, message).map_err(unusable)?;
                signature.to_pem(LineEnding::LF).map_err(unusable)
            }
            Inside::SecurityKey(path) => {
                let (program, patience) = (security_key::PROGRAM, security_key::PATIENCE);
                security_key::sign(program, path, &self.public, namespace, message, patience)
            }
        }
    }

    fn sign_envelope(&self, kind: &str, payload: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.inside {
            Inside::Ed25519(key) => key.sign_envelope(kind, payload),
            Inside::P256(_) | Inside::SecurityKey(_) => Err(dsse::cannot(&self.path)),
        }
    }
}

/// Reads a public key file (`id_ed25519.pub`).
pub fn read_public(path: &Path) -> Result<PublicKey, SignError> {
    let name = path.display().to_string();
    let text =
        file::text(path, file::SHORT).map_err(|e| SignError::Unreadable { path: name.clone(), why: e.to_string() })?;
    PublicKey::from_line(&text).map_err(|e: SigError| SignError::Unusable { path: name, why: e.to_string() })
}

/// What can be said of a private key file without its passphrase: the public part stands there in the clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    pub public: PublicKey,
    pub encrypted: bool,
}

/// Looks at a private key file as [`FileKey::read`] does, and refuses what that would, but for a passphrase.
pub fn look(path: &Path) -> Result<Closed, SignError> {
    let (key, public) = load(path)?;
    Ok(Closed { public, encrypted: key.is_encrypted() })
}

/// The program that signs with such a file would ask for the passphrase by itself, and at a terminal only.
pub(super) fn locked_handle(path: &Path) -> SignError {
    let why = "it is the handle of a security key with a passphrase: `ssh-add` it".into();
    SignError::Unusable { path: path.display().to_string(), why }
}

/// The public part of a private key file.
pub fn public_part(path: &Path) -> Result<PublicKey, SignError> {
    look(path).map(|closed| closed.public)
}

fn load(path: &Path) -> Result<(PrivateKey, PublicKey), SignError> {
    let name = path.display().to_string();
    let unreadable = |e: std::io::Error| SignError::Unreadable { path: name.clone(), why: e.to_string() };
    let unusable = |why: String| SignError::Unusable { path: name.clone(), why };
    let text = Zeroizing::new(file::text(path, file::SHORT).map_err(unreadable)?);
    let key = PrivateKey::from_openssh(&*text).map_err(|e| {
        unusable(match text.trim_start() {
            text if text.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----") => e.to_string(),
            text if text.starts_with("-----BEGIN") => {
                format!("it is not in OpenSSH's own format; `ssh-keygen -p -f {name}` writes it anew")
            }
            _ => "it is no private key".into(),
        })
    })?;
    let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SignError::Exposed { path: name, mode });
    }
    let blob = key.public_key().to_bytes().map_err(|e| unusable(e.to_string()))?;
    let public = PublicKey::from_blob(&blob).map_err(|e| unusable(e.to_string()))?;
    Ok((key, public))
}

/// Makes an Ed25519 key: the private part 0600 at `path`, the public part beside it. Neither may exist.
pub fn create(path: &Path, comment: &str) -> Result<PublicKey, SignError> {
    let name = path.display().to_string();
    let unusable = |e: ssh_key::Error| SignError::Unusable { path: name.clone(), why: e.to_string() };
    let mut seed = Zeroizing::new([0u8; 32]);
    getrandom::fill(&mut *seed)
        .map_err(|e| SignError::Unreadable { path: "the system's randomness".into(), why: e.to_string() })?;
    let pair = Ed25519Keypair::from_seed(&seed);
    let private = PrivateKey::new(KeypairData::Ed25519(pair), comment).map_err(unusable)?;
    let blob = private.public_key().to_bytes().map_err(unusable)?;
    let public =
        PublicKey::from_blob(&blob).map_err(|e| SignError::Unusable { path: name.clone(), why: e.to_string() })?;
    for taken in [path.to_path_buf(), public_path(path)] {
        if taken.exists() {
            return Err(SignError::Exists { path: taken.display().to_string() });
        }
    }
    write_new(path, 0o600, private.to_openssh(LineEnding::LF).map_err(unusable)?.as_bytes())?;
    write_new(&public_path(path), 0o644, format!("{} {comment}\n", public.line()).as_bytes())?;
    Ok(public)
}

/// The key the lab signs its runs with: made in `dir` at the first use. Its label keeps it apart from a person's key.
pub fn create_lab_key(dir: &Path) -> Result<FileKey, SignError> {
    let path = dir.join("lab_ed25519");
    match create(&path, "bgctl lab") {
        Ok(_) | Err(SignError::Exists { .. }) => {}
        Err(error) => return Err(error),
    }
    let key = FileKey::read(&path, &|_| None)?;
    Ok(FileKey { assurance: Assurance::Lab, ..key })
}

/// The certificate beside a key: `id_ed25519-cert.pub` for `id_ed25519`, where OpenSSH looks for it too.
pub fn certificate_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push("-cert.pub");
    PathBuf::from(name)
}

pub(super) fn public_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".pub");
    PathBuf::from(name)
}

fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), SignError> {
    let name = path.display().to_string();
    let failed = |e: std::io::Error| match e.kind() {
        ErrorKind::AlreadyExists => SignError::Exists { path: name.clone() },
        _ => SignError::Unreadable { path: name.clone(), why: e.to_string() },
    };
    if let Some(dir) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::sshsig;

    #[test]
    fn a_made_key_signs_is_private_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/id");
        let public = create(&path, "me").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let before = fs::read(&path).unwrap();
        assert!(matches!(create(&path, "me"), Err(SignError::Exists { .. })));
        fs::remove_file(public_path(&path)).unwrap();
        assert!(matches!(create(&path, "me"), Err(SignError::Exists { .. })));
        assert_eq!(fs::read(&path).unwrap(), before);

        let key = FileKey::read(&path, &|_| None).unwrap();
        let text = key.sign("bgctl-open-v1", b"x").unwrap();
        assert_eq!(sshsig::verify("bgctl-open-v1", b"x", &text).unwrap(), public);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(FileKey::read(&path, &|_| None), Err(SignError::Exposed { mode: 0o640, .. })));
    }

    #[test]
    fn a_file_that_is_no_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id");
        write_new(&path, 0o600, b"-----BEGIN RSA PRIVATE KEY-----\nxx\n").unwrap();
        assert!(matches!(FileKey::read(&path, &|_| None), Err(SignError::Unusable { .. })));
        assert!(matches!(FileKey::read(&dir.path().join("none"), &|_| None), Err(SignError::Unreadable { .. })));
    }

    #[test]
    fn the_lab_key_is_labelled_and_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let first = create_lab_key(dir.path()).unwrap();
        assert_eq!(first.assurance(), Assurance::Lab);
        assert_eq!(create_lab_key(dir.path()).unwrap().public(), first.public());
    }
}
