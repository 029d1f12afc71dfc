//! Whom a database's connection trusts: the system's authorities, or those of a file, and whether the name has to fit too.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::file;
use crate::https;

/// Whose certificates are believed, and for which server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// A file of authorities; without it, the system's.
    pub roots: Option<PathBuf>,
    /// The authority alone is asked, as `sslmode=verify-ca` says.
    pub any_name: bool,
}

impl Trust {
    pub fn config(&self) -> Result<ClientConfig, String> {
        let builder = ClientConfig::builder_with_provider(https::provider()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|e| format!("TLS: {e}"))?;
        let roots = Arc::new(self.roots()?);
        if !self.any_name {
            return Ok(builder.with_root_certificates(roots).with_no_client_auth());
        }
        let inner = WebPkiServerVerifier::builder_with_provider(roots, https::provider()).build();
        let verifier = Arc::new(AnyName(inner.map_err(|e| format!("TLS: {e}"))?));
        Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        let Some(path) = &self.roots else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return Ok(roots);
        };
        let bytes = file::read(path, file::LONG).map_err(|e| format!("`{}` cannot be read: {e}", path.display()))?;
        https::roots(&bytes).map_err(|why| format!("`{}` is no file of certificates: {why}", path.display()))
    }
}

/// The chain is held to the authorities as always; that the certificate is of another name is let pass.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The name is what is looked at last: whoever fails by it alone has passed everything else.
        match self.0.verify_server_cert(certificate, others, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
