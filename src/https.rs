//! How this process speaks HTTPS: one provider of cryptography for every connection, and the only place where a client is
//! begun. What is sent, to whom and how often is for whoever builds one.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The provider of cryptography. The first call also makes it that of the whole process, which the HTTP client asks for.
pub fn provider() -> Arc<CryptoProvider> {
    // An error says that there is one already: ours, from an earlier call.
    let _ = ring::default_provider().install_default();
    CryptoProvider::get_default().map_or_else(|| Arc::new(ring::default_provider()), Arc::clone)
}

/// Begins a client.
#[expect(clippy::disallowed_methods, reason = "the one place: without a provider the client would panic")]
pub fn client() -> reqwest::ClientBuilder {
    provider();
    reqwest::Client::builder()
}

/// The authorities of a file in PEM: each has to be one, and there has to be one.
pub fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    }
    if roots.is_empty() { Err("there is no certificate in it".into()) } else { Ok(roots) }
}
