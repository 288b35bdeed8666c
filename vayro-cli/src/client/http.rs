//! Requests and answers: one connection pool, one key, limits on everything.

use std::time::Duration;

use futures::StreamExt as _;
use rand::Rng as _;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, SET_COOKIE};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::error::{ApiError, Problem};
use crate::error::CommandError;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for a whole answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest silence of an answer that is read while it is written.
const SILENCE_MAX: Duration = Duration::from_secs(90);
/// Longest answer read, in bytes.
const ANSWER_LEN_MAX: usize = 32 * 1024 * 1024;
/// Most tries of a call that is safe to repeat, the first one included.
const TRIES_MAX: u32 = 3;
/// Pause before the second try; doubled for the third.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause the server may ask for; a longer one is an error at once.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// Header that names a call.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The problem of a call whose first try has not ended.
const KEY_IN_USE: &str = "idempotency_key_in_use";

/// What to call, before it is sent.
#[derive(Debug)]
pub struct Call {
    method: Method,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    headers: HeaderMap,
    body: Option<serde_json::Value>,
    is_repeatable: bool,
}

impl Call {
    /// Begins a call of `/v1/` followed by `path`, whose parts are escaped.
    pub fn new(method: Method, path: &[&str]) -> Self {
        let is_repeatable = matches!(method, Method::GET | Method::PUT | Method::DELETE);
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        Self { method, path, query: Vec::new(), headers: HeaderMap::new(), body: None, is_repeatable }
    }

    /// Begins a GET.
    pub fn get(path: &[&str]) -> Self {
        Self::new(Method::GET, path)
    }

    /// Begins a POST.
    pub fn post(path: &[&str]) -> Self {
        Self::new(Method::POST, path)
    }

    /// Begins a PATCH.
    pub fn patch(path: &[&str]) -> Self {
        Self::new(Method::PATCH, path)
    }

    /// Begins a DELETE.
    pub fn delete(path: &[&str]) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// Adds a query parameter if there is a value.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.query.push((name, value.to_string()));
        }
        self
    }

    /// Adds a header; a value that cannot be one is left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Gives the call a random name, so that the API does it once however often it is sent, and lets it be
    /// sent again.
    #[must_use]
    pub fn once(mut self) -> Self {
        let key = format!("{:032x}", rand::rng().random::<u128>());
        self.is_repeatable = true;
        self.header(IDEMPOTENCY_KEY, &key)
    }

    /// Sends `body` as JSON.
    ///
    /// # Panics
    ///
    /// Never for our own types, which have text keys only.
    #[must_use]
    pub fn body(mut self, body: &impl Serialize) -> Self {
        self.body = Some(serde_json::to_value(body).expect("our own types are writable as JSON"));
        self
    }
}

/// The API of one server, with or without a key.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
    /// For answers that may take any time, as long as something comes.
    streams: reqwest::Client,
    base: Url,
    key: Option<SecretString>,
}

impl Api {
    /// Makes a client of the API at `base`, an `http` or `https` address without `/v1`.
    ///
    /// # Errors
    ///
    /// A usage error if `base` is no such address.
    pub fn new(base: &str, key: Option<SecretString>) -> Result<Self, CommandError> {
        let refused = || {
            CommandError::usage(format!("`{base}` is not the address of an API"))
                .hint("it looks like http://127.0.0.1:8081 or https://api.example.com")
        };
        let mut base_url = Url::parse(base).map_err(|_| refused())?;
        if !matches!(base_url.scheme(), "http" | "https") || base_url.host_str().is_none() {
            return Err(refused());
        }
        base_url.set_query(None);
        base_url.set_fragment(None);
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("vayro-cli/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                // A redirect would carry the key to wherever it points.
                .redirect(reqwest::redirect::Policy::none())
        };
        let broken = |error| CommandError::failed("cannot set up TLS").caused_by(error);
        let http = builder().timeout(REQUEST_TIMEOUT).build().map_err(broken)?;
        let streams = builder().read_timeout(SILENCE_MAX).build().map_err(broken)?;
        Ok(Self { http, streams, base: base_url, key })
    }

    /// Returns the address of the API, without a slash at its end.
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Sends a call and reads its answer.
    ///
    /// # Errors
    ///
    /// [`ApiError`] says why there is none.
    pub async fn send<T: DeserializeOwned>(&self, call: Call) -> Result<T, ApiError> {
        let (status, bytes, _) = self.exchange(call).await?;
        let not_ours = || ApiError::NotOurs { url: self.url().to_owned(), status: status.as_u16() };
        serde_json::from_slice(&bytes).map_err(|_| not_ours())
    }

    /// Sends a call whose answer has no content that matters.
    ///
    /// # Errors
    ///
    /// [`ApiError`] says why it was not done.
    pub async fn send_only(&self, call: Call) -> Result<(), ApiError> {
        self.exchange(call).await.map(drop)
    }

    /// Sends a call and returns the cookies its answer sets, as a `Cookie` header has them.
    ///
    /// # Errors
    ///
    /// [`ApiError`] says why it was not done.
    pub async fn send_for_cookie(&self, call: Call) -> Result<String, ApiError> {
        let (status, _, headers) = self.exchange(call).await?;
        let cookies = headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs: Vec<&str> = cookies.filter_map(|cookie| cookie.split(';').next()).collect();
        if pairs.is_empty() {
            return Err(ApiError::NotOurs { url: self.url().to_owned(), status: status.as_u16() });
        }
        Ok(pairs.join("; "))
    }

    /// Sends a call whose answer is read piece by piece; there is no limit on its length or time.
    ///
    /// # Errors
    ///
    /// [`ApiError`] says why there is no such answer.
    pub async fn open(&self, call: &Call) -> Result<Response, ApiError> {
        let sent = self.request(&self.streams, call).send();
        let response = match tokio::time::timeout(REQUEST_TIMEOUT, sent).await {
            Ok(sent) => sent.map_err(|error| self.connection_failure(error).error)?,
            Err(_) => return Err(ApiError::TimedOut { url: self.url().to_owned(), after: REQUEST_TIMEOUT }),
        };
        if response.status().is_success() {
            return Ok(response);
        }
        match self.finish(response).await {
            Err(failure) => Err(failure.error),
            Ok((status, ..)) => {
                Err(ApiError::NotOurs { url: self.url().to_owned(), status: status.as_u16() })
            }
        }
    }

    /// Returns why reading an answer failed that began well.
    pub fn broken(&self, source: reqwest::Error) -> ApiError {
        self.connection_failure(source).error
    }

    async fn exchange(&self, call: Call) -> Result<Answer, ApiError> {
        let mut tries = 1;
        loop {
            let answer = self.attempt(&call).await;
            let pause = match &answer {
                Err(failure) if tries < TRIES_MAX => failure.retry_after(&call, tries),
                _ => None,
            };
            let Some(pause) = pause else { return answer.map_err(|failure| failure.error) };
            tracing::debug!(tries, ?pause, "trying again");
            tokio::time::sleep(pause).await;
            tries += 1;
        }
    }

    async fn attempt(&self, call: &Call) -> Result<Answer, Failure> {
        let sent = self.request(&self.http, call).send().await;
        self.finish(sent.map_err(|error| self.connection_failure(error))?).await
    }

    /// Reads an answer to its end.
    async fn finish(&self, response: Response) -> Result<Answer, Failure> {
        let status = response.status();
        let headers = response.headers().clone();
        let bytes = self.read(response).await?;
        if status.is_success() {
            return Ok((status, bytes, headers));
        }
        let asked_pause = pause_asked_for(&headers);
        let error = match serde_json::from_slice::<Problem>(&bytes) {
            Ok(mut problem) if !problem.code.is_empty() || !problem.title.is_empty() => {
                problem.status = status.as_u16();
                ApiError::Problem(problem)
            }
            _ => ApiError::NotOurs { url: self.url().to_owned(), status: status.as_u16() },
        };
        Err(Failure { error, status: Some(status), asked_pause })
    }

    fn request(&self, http: &reqwest::Client, call: &Call) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("v1").extend(&call.path);
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let mut request = http.request(call.method.clone(), url).headers(call.headers.clone());
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.expose_secret());
        }
        match &call.body {
            Some(body) => request.json(body),
            None => request,
        }
    }

    async fn read(&self, response: Response) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| self.connection_failure(error))?;
            if bytes.len() + chunk.len() > ANSWER_LEN_MAX {
                return Err(ApiError::TooLong { url: self.url().to_owned() }.into());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn connection_failure(&self, source: reqwest::Error) -> Failure {
        let url = self.url().to_owned();
        if source.is_connect() {
            ApiError::Unreachable { url, source }.into()
        } else if source.is_timeout() {
            ApiError::TimedOut { url, after: REQUEST_TIMEOUT }.into()
        } else {
            ApiError::Broken { url, source }.into()
        }
    }
}

/// Status, body and headers of an answer.
type Answer = (StatusCode, Vec<u8>, HeaderMap);

/// A failed try with what is needed to decide about another one.
struct Failure {
    error: ApiError,
    status: Option<StatusCode>,
    asked_pause: Option<Duration>,
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self { error, status: None, asked_pause: None }
    }
}

impl Failure {
    /// Returns how long to wait before the same call may be sent again, `None` if it must not be.
    fn retry_after(&self, call: &Call, tries: u32) -> Option<Duration> {
        let may_repeat = match (self.status, &self.error) {
            // Refused before anything happened, whatever the method.
            (Some(StatusCode::TOO_MANY_REQUESTS), _) => true,
            // An earlier try is still at it; its answer comes next time.
            (_, ApiError::Problem(problem)) if problem.code == KEY_IN_USE => true,
            (
                Some(StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT),
                _,
            )
            | (None, ApiError::Broken { .. }) => call.is_repeatable,
            // Nobody listens; waiting seldom helps and hides a wrong address.
            _ => false,
        };
        if !may_repeat {
            return None;
        }
        let jitter = Duration::from_millis(rand::rng().random_range(0..100));
        let pause = self.asked_pause.unwrap_or(RETRY_PAUSE * 2_u32.pow(tries - 1) + jitter);
        (pause <= RETRY_AFTER_MAX).then_some(pause)
    }
}

fn pause_asked_for(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16) -> Failure {
        let status = StatusCode::from_u16(status).expect("valid");
        Failure { error: ApiError::Problem(Problem::default()), status: Some(status), asked_pause: None }
    }

    #[test]
    fn only_what_is_safe_is_repeated() {
        let get = Call::get(&["links"]);
        let post = Call::post(&["links"]);
        assert!(failure(503).retry_after(&get, 1).is_some());
        assert!(failure(503).retry_after(&post, 1).is_none());
        assert!(failure(429).retry_after(&post, 1).is_some(), "a refused call was not made");
        let named = Call::post(&["links"]).once();
        assert!(failure(503).retry_after(&named, 1).is_some());
        assert!(failure(409).retry_after(&named, 1).is_none());
        let problem = Problem { code: KEY_IN_USE.to_owned(), ..Problem::default() };
        let in_use = Failure { error: ApiError::Problem(problem), ..failure(409) };
        assert!(in_use.retry_after(&named, 1).is_some());
        assert!(failure(500).retry_after(&get, 1).is_none());
        assert!(failure(404).retry_after(&get, 1).is_none());
    }

    #[test]
    fn each_call_has_a_name_of_its_own() {
        let name = || Call::post(&["links"]).once().headers[IDEMPOTENCY_KEY].clone();
        assert_eq!(name().len(), 32);
        assert_ne!(name(), name());
    }

    #[test]
    fn long_pauses_are_not_waited_for() {
        let get = Call::get(&["links"]);
        let asked = |seconds| Failure { asked_pause: Some(Duration::from_secs(seconds)), ..failure(429) };
        assert_eq!(asked(2).retry_after(&get, 1), Some(Duration::from_secs(2)));
        assert_eq!(asked(3600).retry_after(&get, 1), None);
    }

    #[test]
    fn paths_are_escaped_and_kept_below_the_base() {
        let api = Api::new("https://example.com/vayro/", None).expect("valid");
        let call = Call::get(&["links", "a/../b?c"]).query("search", Some("x&y")).query("none", None::<u8>);
        let request = api.request(&api.http, &call).build().expect("valid");
        let expected = "https://example.com/vayro/v1/links/a%2F..%2Fb%3Fc?search=x%26y";
        assert_eq!(request.url().as_str(), expected);
    }

    #[test]
    fn addresses_that_cannot_be_an_api_are_refused() {
        for bad in ["", "127.0.0.1:8081", "ftp://example.com", "mailto:a@b.c"] {
            assert!(Api::new(bad, None).is_err(), "{bad}");
        }
    }
}
