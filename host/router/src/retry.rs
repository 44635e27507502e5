//! Keyed calls are made again until they are answered: whatever became of the first try, it happens
//! once.

use std::{
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use backon::{ExponentialBuilder, Retryable as _};
use futures_util::{FutureExt as _, future::BoxFuture};
use wasmverse_core::{Action, Call, CallError, ErrorKind, Reply};

type Answer = Result<Reply, CallError>;

/// Between two tries: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Whether a call has a key that its caller chose: then it is made again, because no other object than
/// a durable one, which keeps what it answered, takes it.
pub fn has_own_key(call: &Call) -> bool {
    matches!(&call.action, Action::Invoke(invocation) if invocation.has_own_key())
}

/// Makes a call, and makes it again while its object cannot be reached, until its deadline. The first
/// try is made before this returns. `is_sure`: one that may have been executed is not executed again.
pub fn until_answered(
    call: Call,
    is_sure: bool,
    attempt: impl Fn(Call) -> BoxFuture<'static, Answer> + Send + Sync + 'static,
) -> BoxFuture<'static, Answer> {
    let deadline = call.deadline;
    let mut first = Some(attempt(call.clone()));
    let may_have_run = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&may_have_run);
    let again = move || first.take().unwrap_or_else(|| attempt(call.clone()));
    let pauses = ExponentialBuilder::default()
        .with_min_delay(PAUSE_MIN)
        .with_max_delay(PAUSE_MAX)
        .with_jitter()
        .without_max_times();
    async move {
        let answer = again
            .retry(pauses)
            .when(move |error| {
                noted.fetch_or(error.may_have_executed(), Relaxed);
                error.kind() == ErrorKind::Unavailable
                    && (is_sure || !error.may_have_executed())
                    && Instant::now() + PAUSE_MIN < deadline
            })
            .await;
        // Whatever the last try came to: one before it may have been executed.
        answer.map_err(|error| match may_have_run.load(Relaxed) {
            true if error.kind() != ErrorKind::Application => error.maybe_executed(),
            _ => error,
        })
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;
    use wasmverse_core::{Caller, Chain, Invocation};

    use super::*;

    fn call(timeout: Duration) -> Call {
        let (method, payload) = ("add".into(), Bytes::new());
        let invocation = Invocation { method, payload, key: Some("k".into()), read_only: false };
        Call {
            object: "T/a".parse().unwrap(),
            action: Action::Invoke(invocation),
            caller: Caller::Client(None),
            chain: Chain::default(),
            deadline: Instant::now() + timeout,
            traceparent: None,
        }
    }

    fn unavailable() -> CallError {
        CallError::new(ErrorKind::Unavailable, "its node is gone")
    }

    /// Answers of one try after the other, the last of them again and again; and how many there were.
    async fn tries(answers: Vec<Answer>, is_sure: bool, timeout: Duration) -> (Answer, usize) {
        let made = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&made);
        let answer = until_answered(call(timeout), is_sure, move |_| {
            let mut made = counted.lock().unwrap();
            let answer = answers[(*made).min(answers.len() - 1)].clone();
            *made += 1;
            std::future::ready(answer).boxed()
        });
        assert_eq!(*made.lock().unwrap(), 1, "it takes its place at once");
        let answer = answer.await;
        let made = *made.lock().unwrap();
        (answer, made)
    }

    #[tokio::test]
    async fn it_is_made_again_while_its_object_cannot_be_reached() {
        let answers =
            vec![Err(unavailable()), Err(unavailable().maybe_executed()), Ok(Reply::Done)];
        let answered = tries(answers, true, Duration::from_secs(30)).await;
        assert_eq!(answered, (Ok(Reply::Done), 3));
    }

    #[tokio::test]
    async fn what_may_have_been_executed_is_made_again_only_if_that_is_sure_to_do_nothing() {
        let answers =
            vec![Err(unavailable()), Err(unavailable().maybe_executed()), Ok(Reply::Done)];
        let (answer, made) = tries(answers, false, Duration::from_secs(30)).await;
        assert!(answer.unwrap_err().may_have_executed());
        assert_eq!(made, 2);
    }

    #[tokio::test]
    async fn no_other_answer_is_asked_for_again() {
        for kind in ErrorKind::ALL.into_iter().filter(|kind| *kind != ErrorKind::Unavailable) {
            let answers = vec![Err(CallError::new(kind, "no"))];
            let (answer, made) = tries(answers, true, Duration::from_secs(30)).await;
            assert_eq!((answer.unwrap_err().kind(), made), (kind, 1));
        }
    }

    #[tokio::test]
    async fn the_deadline_ends_it_and_what_was_known_before_is_told() {
        let answers = vec![Err(unavailable().maybe_executed()), Err(unavailable())];
        let (answer, made) = tries(answers, true, Duration::from_millis(200)).await;
        assert!(answer.unwrap_err().may_have_executed());
        assert!((2..20).contains(&made), "{made} tries");
    }
}
