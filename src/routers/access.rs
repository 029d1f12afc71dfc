//! How providers are reached from this process: what was said on the command line, what a rehearsal leads to, and the secrets of
//! a route. Nothing is reached here.

use std::collections::BTreeMap;
use std::path::Path;

use crate::file;
use crate::https;
use crate::secret::{Secret, Secrets};

/// How providers are reached where that is not what their own tools would do. The default is what they would do; `cli`
/// fills it from flags, the lab with its own address.
#[derive(Clone, Debug, Default)]
pub struct Access {
    pub aws: AwsAccess,
    /// The values of the references in a route's settings.
    pub secrets: Secrets,
    /// What a program finds in its environment, where that is not this process's own.
    pub only: Option<BTreeMap<String, String>>,
}

/// What differs from how every AWS tool finds its endpoint and its credentials.
#[derive(Clone, Debug, Default)]
pub struct AwsAccess {
    /// A base URL that is asked in place of the regional ones.
    pub endpoint: Option<String>,
    /// A profile of the AWS configuration files.
    pub profile: Option<String>,
    /// Access key id and secret access key.
    pub keys: Option<(String, Secret)>,
    /// When credentials of the environment end, as `AWS_CREDENTIAL_EXPIRATION` says it.
    pub expires: Option<String>,
    /// The certificates of a file that `AWS_CA_BUNDLE` names, as PEM, in place of the system's; or why it cannot be used.
    pub bundle: Option<Result<Vec<u8>, String>>,
}

impl AwsAccess {
    /// Reads a bundle of certificates; the words why it is none.
    pub fn bundle(path: &Path) -> Result<Vec<u8>, String> {
        let of = |why: String| format!("`{}`: {why}", path.display());
        let pem = file::read(path, file::LONG).map_err(|e| of(e.to_string()))?;
        https::roots(&pem).map(|_| pem).map_err(of)
    }

    /// Why AWS cannot be asked as the environment wants it.
    pub fn usable(&self) -> Result<(), String> {
        match &self.bundle {
            Some(Err(why)) => Err(format!("AWS_CA_BUNDLE: {why}")),
            _ => Ok(()),
        }
    }
}
