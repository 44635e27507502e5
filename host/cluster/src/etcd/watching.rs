//! A watch of etcd that notices when nobody is there any more.
//!
//! A connection may be dead without saying so. So after some silence the watch asks how far etcd
//! is, and if it does not even answer that, the watch has failed.

use std::{sync::Arc, time::Duration};

use etcd_client::{EventType, WatchOptions, WatchResponse, WatchStream};
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tokio::time::timeout;

use super::{
    Keys,
    endpoints::Endpoints,
    fault::{Fault, judge},
    unsigned,
};
use crate::{Batch, Change, Error};

/// After so long without a word etcd is asked for one.
const SILENCE: Duration = Duration::from_secs(1);
/// So long it may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The largest answer: many revisions may come at once.
const ANSWER_MAX: usize = 512 << 20;

struct Watching {
    stream: WatchStream,
    keys: Keys,
    /// What was told up to here is not told again.
    last: u64,
    endpoints: Arc<Endpoints>,
    index: usize,
}

pub(super) async fn watch(
    endpoints: Arc<Endpoints>,
    keys: Keys,
    after: u64,
) -> Result<BoxStream<'static, Result<Batch, Error>>, Error> {
    let attempt = endpoints.attempt();
    let index = attempt.index();
    let (start, end) = (keys.prefix.as_bytes().to_vec(), keys.end());
    let revision = i64::try_from(after + 1).unwrap_or(i64::MAX);
    let options =
        WatchOptions::new().with_range(end).with_start_revision(revision).with_progress_notify();
    let stream = attempt
        .make(|client| {
            let (start, options) = (start.clone(), options.clone());
            let mut client = client.watch_client().max_decoding_message_size(ANSWER_MAX);
            async move { client.watch(start, Some(options)).await }
        })
        .await
        .map_err(Fault::into_error)?;
    let watching = Watching { stream, keys, last: after, endpoints, index };
    Ok(stream::unfold(Some(watching), |watching| async {
        let mut watching = watching?;
        match watching.next().await {
            Ok(batch) => Some((Ok(batch), Some(watching))),
            Err(error) => {
                if !matches!(error, Error::Compacted) {
                    watching.endpoints.turn(watching.index);
                }
                Some((Err(error), None))
            }
        }
    })
    .boxed())
}

impl Watching {
    async fn next(&mut self) -> Result<Batch, Error> {
        let mut is_asked = false;
        loop {
            let wait = if is_asked { PATIENCE } else { SILENCE };
            match timeout(wait, self.stream.message()).await {
                Ok(Ok(Some(answer))) => {
                    is_asked = false;
                    if let Some(batch) = self.read(&answer)? {
                        return Ok(batch);
                    }
                }
                Ok(Ok(None)) => return Err(unavailable("etcd ended the watch")),
                Ok(Err(error)) => return Err(self.broken(judge(error))),
                Err(_) if is_asked => {
                    self.endpoints.forget(self.index);
                    return Err(unavailable("etcd is silent"));
                }
                Err(_) => {
                    is_asked = true;
                    // There is room for many requests, and this is the only one.
                    let asked = timeout(PATIENCE, self.stream.request_progress()).await;
                    if !matches!(asked, Ok(Ok(()))) {
                        return Err(unavailable("the connection to etcd is gone"));
                    }
                }
            }
        }
    }

    /// A watch changes nothing: it is never unknown whether it did.
    fn broken(&self, fault: Fault) -> Error {
        if matches!(fault, Fault::LoggedOut) {
            self.endpoints.forget(self.index);
        }
        match fault.into_error() {
            Error::Unknown(why) => Error::Unavailable(why),
            error => error,
        }
    }

    /// What happened; none: nothing that is new to us.
    fn read(&mut self, answer: &WatchResponse) -> Result<Option<Batch>, Error> {
        if answer.compact_revision() > 0 {
            return Err(Error::Compacted);
        }
        if answer.canceled() {
            // An expired login is told like this, too.
            self.endpoints.forget(self.index);
            return Err(unavailable(&format!("etcd ended the watch: {}", answer.cancel_reason())));
        }
        let mut batch = Batch { revision: self.last, changes: Vec::new() };
        for event in answer.events() {
            let Some(found) = event.kv() else { continue };
            let revision = unsigned(found.mod_revision());
            if revision <= self.last {
                continue;
            }
            batch.revision = batch.revision.max(revision);
            batch.changes.extend(match event.event_type() {
                EventType::Put => self.keys.row(found).map(Change::Put),
                EventType::Delete => self.keys.own(found.key()).map(|key| Change::Deleted { key }),
            });
        }
        self.last = batch.revision;
        Ok((!batch.changes.is_empty()).then_some(batch))
    }
}

fn unavailable(why: &str) -> Error {
    Error::Unavailable(why.to_owned())
}
