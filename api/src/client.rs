//! How we speak HTTP to others: the one place where clients are made.
//!
//! TLS is rustls with ring, and trusts what the machine trusts; no proxy is taken from the environment. A client made in another way has no TLS to use and panics.

use reqwest::{Client, ClientBuilder};

/// A builder of clients that can speak TLS, by ring.
pub fn builder() -> ClientBuilder {
    // If somebody was first, there is a provider: that is all it takes.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy()
}

/// A client that trusts nobody and so speaks to this machine only, without TLS: it needs no certificates.
pub fn loopback() -> reqwest::Result<Client> {
    builder().tls_certs_only([]).build()
}
