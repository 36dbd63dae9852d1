//! How we ask the platform's services over HTTP: one client, one way to tell what became of a request.
//!
//! No redirect is followed, answers are read up to a limit, and a key goes only where the settings say.

use std::time::Duration;

use reqwest::{Client, Method, StatusCode, Url, redirect};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::settings::Service;
use crate::client;

/// The largest answer that is read, in bytes.
const ANSWER_MAX: usize = 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEY_HEADER: &str = "Ocp-Apim-Subscription-Key";

/// What became of a request that did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nobody was reached: nothing was done.
    #[error("the service cannot be reached")]
    Unreachable,
    /// It was sent and the answer is not known: it may have been done.
    #[error("no answer came in time")]
    OutcomeUnknown,
    /// The service has a trouble of its own, or too much to do.
    #[error("the service answered {status}")]
    Unavailable {
        /// 429 or 500 and above.
        status: u16,
    },
    /// The key is not good for this.
    #[error("the service does not take our key: {status}")]
    Unauthorized {
        /// 401 or 403.
        status: u16,
    },
    /// There is no such thing.
    #[error("the service knows no such thing")]
    NotFound,
    /// It stands against what is there already.
    #[error("the service has something else there: {detail}")]
    Conflict {
        /// What is there.
        detail: String,
    },
    /// The service says that it is wrong.
    #[error("the service refused with {status}: {detail}")]
    Refused {
        /// 400, 422 and the like.
        status: u16,
        /// In its words.
        detail: String,
    },
    /// The answer is not one that the service should give.
    #[error("the answer of the service cannot be used: {0}")]
    Unusable(&'static str),
}

impl CallError {
    /// Whether the same request may do what it should later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable | Self::OutcomeUnknown | Self::Unavailable { .. })
    }
}

/// One of the platform's services.
#[derive(Debug, Clone)]
pub struct Wire {
    client: Client,
    service: Service,
}

/// An answer with its body read.
pub(super) struct Answer {
    pub status: StatusCode,
    pub location: Option<String>,
    body: Vec<u8>,
}

impl Wire {
    /// For a service.
    pub fn new(service: &Service) -> Result<Self, CallError> {
        let builder = if service.base_url.scheme() == "http" { client::builder().tls_certs_only([]) } else { client::builder().https_only(true) };
        let client = builder
            .timeout(service.timeout)
            .connect_timeout(CONNECT_TIMEOUT.min(service.timeout))
            .redirect(redirect::Policy::none())
            .referer(false)
            .build()
            .map_err(|error| {
                tracing::error!(%error, "no connection to pagoPA can be made from this machine");
                CallError::Unreachable
            })?;
        Ok(Self { client, service: service.clone() })
    }

    /// Sends a request to a path below the service's address, and reads the answer whatever it is.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Answer, CallError> {
        let mut request = self.client.request(method, self.address(path, query)?).header(KEY_HEADER, self.service.key.header());
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut response = request.send().await.map_err(|error| match error.is_connect() || error.is_builder() {
            true => CallError::Unreachable,
            false => CallError::OutcomeUnknown,
        })?;
        let status = response.status();
        let location = response.headers().get("location").and_then(|location| location.to_str().ok()).map(str::to_owned);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| CallError::OutcomeUnknown)? {
            if body.len() + chunk.len() > ANSWER_MAX {
                return Err(CallError::Unusable("it is too large"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, location, body })
    }

    fn address(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Url, CallError> {
        let mut address = self.service.base_url.clone();
        address.path_segments_mut().map_err(|()| CallError::Unreachable)?.pop_if_empty().extend(path);
        if !query.is_empty() {
            address.query_pairs_mut().extend_pairs(query);
        }
        Ok(address)
    }
}

impl Answer {
    /// Its body, if it is of this form.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.body).map_err(|_| CallError::Unusable("its body is not of the published form"))
    }

    /// The error that it is, if it is not the success that was expected.
    pub(super) fn error(&self) -> CallError {
        #[derive(serde::Deserialize)]
        struct ProblemJson {
            detail: Option<String>,
            title: Option<String>,
        }
        let problem = serde_json::from_slice(&self.body).unwrap_or(ProblemJson { detail: None, title: None });
        // Somebody else's words: not more of them than a log line holds.
        let detail: String = problem.detail.or(problem.title).unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect();
        match self.status.as_u16() {
            status @ (401 | 403) => CallError::Unauthorized { status },
            404 => CallError::NotFound,
            409 => CallError::Conflict { detail },
            status @ (429 | 500..) => CallError::Unavailable { status },
            408 => CallError::OutcomeUnknown,
            status @ 400..500 => CallError::Refused { status, detail },
            _ => CallError::Unusable("its status is not one that the service should give"),
        }
    }
}
