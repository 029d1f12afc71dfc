//! How this process speaks HTTPS: one provider of cryptography for every connection, and the only place where a client is
//! begun. What is sent, to whom and how often is for whoever builds one.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};

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
