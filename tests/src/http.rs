//! A client of the HTTP side, as plain as curl.

use bytes::Bytes;
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::Value;

/// A client of one gate. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Http {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    client: reqwest::Client,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Http {
    /// A client of that gate.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), client: reqwest::Client::new() }
    }

    /// Calls a method; `null` is no argument.
    pub async fn call(&self, object: &str, method: &str, argument: impl Into<Value>) -> Answer {
        let argument = argument.into();
        let body = if argument.is_null() { String::new() } else { argument.to_string() };
        self.request(Method::POST, &format!("{}/{method}", path_of(object)), body, &[]).await
    }

    /// Calls a method that must answer well.
    ///
    /// # Panics
    /// If it does not.
    pub async fn ok(&self, object: &str, method: &str, argument: impl Into<Value>) -> Value {
        let answer = self.call(object, method, argument).await;
        assert!(answer.status.is_success(), "{object}.{method}: {answer}");
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    /// Any request.
    ///
    /// # Panics
    /// If it does not come through: the gate is on this machine.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: impl Into<reqwest::Body>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let answer = self.try_request(method, path, body, headers).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error:?}"))
    }

    /// Any request, which may break off.
    ///
    /// # Errors
    /// If it does.
    pub async fn try_request(
        &self,
        method: Method,
        path: &str,
        body: impl Into<reqwest::Body>,
        headers: &[(&str, &str)],
    ) -> reqwest::Result<Answer> {
        let mut request = self.client.request(method, format!("{}{path}", self.url)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await? })
    }

    /// Gets a path.
    pub async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, "", &[]).await
    }

    /// Uploads a component and makes it active.
    pub async fn upload(&self, component: impl Into<reqwest::Body>) -> Answer {
        self.request(Method::POST, "/v1/admin/types", component, &[]).await
    }

    /// Uploads a component that must be accepted; answers its revision.
    ///
    /// # Panics
    /// If it is not.
    pub async fn deploy(&self, component: impl Into<reqwest::Body>) -> u64 {
        let answer = self.upload(component).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer}");
        answer.json()["revision"].as_u64().expect("a number")
    }

    /// How far the latest deploy of a type has come.
    pub async fn rollout(&self, type_name: &str) -> Value {
        self.get(&format!("/v1/admin/types/{type_name}/rollout")).await.json()
    }
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// The name of the error; empty: there is none.
    pub fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// What the error says.
    pub fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap_or_default().to_owned()
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        let start: String = body.chars().take(500).collect();
        write!(f, "{} {start}", self.status)
    }
}

/// The path of an object given as `Type/id`, the id percent-encoded.
pub fn path_of(object: &str) -> String {
    let (type_name, id) = object.split_once('/').expect("Type/id");
    let mut path = format!("/v1/objects/{type_name}/");
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            path.push(byte.into());
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}
