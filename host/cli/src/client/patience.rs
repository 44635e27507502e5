//! How long an answer is waited for: a server that takes a connection and says nothing must not
//! hold up whoever runs a command.

use std::{future::Future, time::Duration};

use crate::{
    endpoint::Endpoint,
    failure::{Away, Failure, Result},
};

/// What a gate gives a call that names no deadline of its own.
const CALL_DEFAULT: Duration = Duration::from_secs(30);
/// How much longer than the cluster this side waits for a deadline to be answered.
pub(super) const CALL_GRACE: Duration = Duration::from_secs(2);

/// How long to wait for an answer, and what its absence leaves open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    span: Duration,
    maybe_executed: bool,
}

impl Patience {
    /// For what only looks.
    pub(crate) const READ: Self = Self { span: Duration::from_secs(10), maybe_executed: false };
    /// For what makes or removes an object.
    pub(crate) const WRITE: Self = Self { span: Duration::from_secs(10), maybe_executed: true };
    /// For components: they travel and are compiled.
    pub(crate) const UPLOAD: Self = Self { span: Duration::from_secs(300), maybe_executed: true };

    /// For a call with that deadline, or with the one that gates give by default.
    pub(crate) fn of_call(timeout: Option<Duration>) -> Self {
        let span = timeout.unwrap_or(CALL_DEFAULT).saturating_add(CALL_GRACE);
        Self { span, maybe_executed: true }
    }

    /// Waits for an answer of that cluster.
    ///
    /// # Errors
    /// If none came in time.
    pub(crate) async fn wait<F: Future>(self, endpoint: &Endpoint, answer: F) -> Result<F::Output> {
        match tokio::time::timeout(self.span, answer).await {
            Ok(answer) => Ok(answer),
            Err(_) => Err(self.silent(endpoint)),
        }
    }

    /// What to say when nothing came.
    pub(crate) fn silent(self, endpoint: &Endpoint) -> Failure {
        let waited = humantime::format_duration(self.span);
        let hint = match self.maybe_executed {
            true => "look before you repeat it: it may have been executed",
            false => "is this the right port, and is the process well?",
        };
        Failure::Away(Box::new(Away {
            code: "timeout",
            message: format!("{endpoint} took the connection, but gave no answer for {waited}"),
            hint: Some(hint.to_owned()),
            maybe_executed: self.maybe_executed,
        }))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::client::{CallRequest, Client};

    #[tokio::test]
    async fn an_answer_that_does_not_come_is_given_up_and_exits_with_three() {
        let endpoint = "http://127.0.0.1:1".parse().unwrap();
        let patience = Patience { span: Duration::from_millis(1), ..Patience::WRITE };
        let failure = patience.wait(&endpoint, std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(failure.exit_code(), 3);
        assert!(failure.to_string().contains("gave no answer for 1ms"), "{failure}");
        assert!(failure.body().error.maybe_executed);
        assert!(Patience::of_call(Some(Duration::MAX)).wait(&endpoint, async {}).await.is_ok());
    }

    #[tokio::test]
    async fn a_server_that_takes_connections_and_says_nothing_is_left_on_both_sides() {
        // The system takes the connections; nobody answers them.
        let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = mute.local_addr().unwrap();
        let request = CallRequest {
            object: "Echo/a".parse().unwrap(),
            method: "echo".into(),
            payload: bytes::Bytes::new(),
            is_json: true,
            key: None,
            timeout: Some(Duration::from_millis(1)),
            session: None,
        };
        let call = async |scheme: &str| {
            let endpoint = format!("{scheme}://{address}").parse().unwrap();
            let mut client = Client::connect(&endpoint, None).await.unwrap();
            client.call(&request).await.unwrap_err()
        };
        let (http, grpc) = tokio::join!(call("http"), call("grpc"));
        for failure in [http, grpc] {
            assert_eq!(failure.exit_code(), 3, "{failure}");
            assert!(failure.to_string().contains("gave no answer"), "{failure}");
        }
    }
}
