//! Objects that are to be active without being called: each wherever it belongs.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use wasmverse_core::{CallError, Caller, Chain, Epoch, ObjectId};

use crate::{
    host::Host,
    letter::{Letter, ReplyTo, Work, stopping},
};

/// So many wake at once.
const PARALLEL: usize = 16;
/// Between two tries to wake one of them: at first, and at most.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);

/// What is to be active.
#[derive(Clone, Debug, Default)]
pub(crate) struct AutoLoad {
    /// One each, in the whole cluster.
    single: Vec<ObjectId>,
    /// One in each shard: type and name.
    per_shard: Vec<(String, String)>,
    /// One on each node: type and name.
    per_node: Vec<(String, String)>,
}

impl AutoLoad {
    /// What `node.auto_load` names.
    ///
    /// # Errors
    /// If something there is no object.
    pub(crate) fn parse(texts: &[String]) -> anyhow::Result<Self> {
        let mut this = Self::default();
        for text in texts {
            let wrong = || format!("node.auto_load names `{text}`");
            let (type_name, id) = text.split_once('/').with_context(wrong)?;
            let kept = |name: &str| (type_name.to_owned(), name.to_owned());
            if let Some(name) = id.strip_prefix("shard#*/") {
                ensure!(!name.is_empty() && object(type_name, id).is_some(), wrong());
                this.per_shard.push(kept(name));
            } else if let Some(name) = id.strip_prefix("node#*/") {
                ensure!(!name.is_empty() && object(type_name, id).is_some(), wrong());
                this.per_node.push(kept(name));
            } else {
                this.single.push(text.parse().with_context(wrong)?);
            }
        }
        Ok(this)
    }

    /// All objects that belong to the node at an address, if it has all shards.
    fn objects(&self, address: &str, shards: u16) -> Vec<ObjectId> {
        let here = self.per_node.iter();
        let here = here.filter_map(|(kind, name)| object(kind, &format!("node#{address}/{name}")));
        let each = self.per_shard.iter().flat_map(|(kind, name)| {
            (0..shards).filter_map(move |shard| object(kind, &format!("shard#{shard}/{name}")))
        });
        self.single.iter().cloned().chain(here).chain(each).collect()
    }
}

fn object(type_name: &str, id: &str) -> Option<ObjectId> {
    ObjectId::parse(type_name, id).ok()
}

/// Wakes what belongs here, again and again as shards come; one that fails is tried again, and stops
/// nobody.
pub(crate) async fn run(host: Arc<Host>, auto_load: AutoLoad, end: CancellationToken) {
    let all = auto_load.objects(host.config.advertised(), host.shards.get());
    let waking = async {
        let mut opened = host.joined().map(|joined| joined.opened.subscribe());
        let places = Arc::new(Semaphore::new(PARALLEL));
        // And in which epoch: what has gone away and come back is to wake again.
        let mut awake = BTreeMap::new();
        loop {
            awake.retain(|object, epoch| host.epoch_here(object) == Some(*epoch));
            let missing = |object: &&ObjectId| !awake.contains_key(*object);
            let missing: Vec<_> = all
                .iter()
                .filter(missing)
                .filter_map(|object| Some((object.clone(), host.epoch_here(object)?)))
                .collect();
            awake.extend(missing.iter().cloned());
            for (object, _) in missing {
                let waking = wake_surely(Arc::clone(&host), object, Arc::clone(&places));
                host.background.spawn(end.clone().run_until_cancelled_owned(waking));
            }
            let Some(opened) = &mut opened else { return };
            if opened.changed().await.is_err() {
                return;
            }
        }
    };
    end.run_until_cancelled(waking).await;
}

async fn wake_surely(host: Arc<Host>, object: ObjectId, places: Arc<Semaphore>) {
    let mut pause = PAUSE;
    loop {
        let woken = {
            // Nobody closes the semaphore.
            let _place = places.acquire().await;
            wake(&host, &object).await
        };
        let Err(error) = woken else { return };
        if host.epoch_here(&object).is_none() {
            // Another node sees to it.
            return;
        }
        tracing::warn!(%object, %error, "failed to wake an object of node.auto_load");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn wake(host: &Arc<Host>, object: &ObjectId) -> Result<(), CallError> {
    let (reply, answer) = oneshot::channel();
    let arrived = Instant::now();
    let letter = Letter {
        work: Work::Wake,
        caller: Caller::Platform,
        chain: Chain::default(),
        deadline: arrived + TIMEOUT,
        traceparent: None,
        reply: ReplyTo::Caller(reply),
        arrived,
        charge: None,
        pass: host.pass_of(object)?,
    };
    host.wake(object, letter)?;
    match answer.await {
        Ok(answer) => answer.map(|_| ()),
        Err(_) => Err(stopping()),
    }
}

impl Host {
    /// The epoch in which an object belongs on this node now; none: it does not.
    fn epoch_here(&self, object: &ObjectId) -> Option<Epoch> {
        match self.shard_of(object) {
            Some(shard) => {
                let shards = &self.owned.shards;
                shards.is_open(shard).then(|| shards.epoch(shard))
            }
            // One that is pinned to a node is pinned to this one, or does not wake.
            None => Some(Epoch(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(texts: &[&str]) -> anyhow::Result<AutoLoad> {
        AutoLoad::parse(&texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn objects_are_named_one_by_one_for_each_shard_or_for_each_node() {
        let auto_load = parsed(&["A/x", "B/shard#*/y", "C/node#*/z"]).unwrap();
        let objects = auto_load.objects("h:1", 3);
        let names: Vec<_> = objects.iter().map(ToString::to_string).collect();
        let expected = ["A/x", "C/node#h:1/z", "B/shard#0/y", "B/shard#1/y", "B/shard#2/y"];
        assert_eq!(names, expected);
    }

    #[test]
    fn what_is_no_object_is_refused_by_name() {
        for wrong in ["A", "1/x", "A/shard#*/", "A/node#*/"] {
            let problem = format!("{:#}", parsed(&[wrong]).unwrap_err());
            assert!(problem.contains(wrong), "{problem}");
        }
    }
}
