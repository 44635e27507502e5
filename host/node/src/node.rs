//! A node: starts, answers calls, shows what it hosts, and stops without losing anything.

use std::{
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::{StreamExt as _, future::BoxFuture, stream};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use wasmverse_core::{
    Call, CallError, Caller, Chain, ObjectId, Reply, RevisionNumber, ShardCount, TypeName,
};
use wasmverse_daemon::Shutdown;
use wasmverse_engine::Engine;
use wasmverse_router::Callee;
use wasmverse_store::{RevisionRecord, Store};

use crate::{
    config::{self, Config, NodeConfig},
    deploy::Uploaded,
    host::Host,
    known_types::TypeEntry,
    letter::{Letter, ReplyTo, Work},
    logs::LogHub,
    memory::Memory,
    owned::Owned,
    reminders, results,
    rollout::Progress,
    saver::Saver,
    sends, sweep,
};

/// How many objects of `auto_load` wake at once.
const AUTO_LOAD_PARALLEL: usize = 16;
/// Between two tries to wake one of them: at first, and at most.
const AUTO_LOAD_PAUSE: Duration = Duration::from_millis(500);
const AUTO_LOAD_PAUSE_MAX: Duration = Duration::from_secs(30);
const AUTO_LOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// A node. Clones are one and the same.
#[derive(Clone)]
pub struct Node(pub(crate) Arc<Host>);

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl Node {
    /// Opens the store, loads the active types and starts what runs in the background. It does
    /// not listen. When `shutdown` is requested it stops.
    ///
    /// # Errors
    /// If the configuration cannot be followed or the store cannot be opened.
    pub async fn start(config: Config, shutdown: Shutdown) -> anyhow::Result<Self> {
        let opening = config.store();
        let store = async move { wasmverse_store::open(&opening).await };
        Self::start_with(config, store, shutdown).await
    }

    /// The same on another store than the configuration names. It is opened once the rest of the
    /// configuration is found to be good.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub async fn start_with(
        config: Config,
        store: impl Future<Output = Result<Arc<dyn Store>, wasmverse_store::Error>>,
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        let Config { node, cluster, store: kept, .. } = config;
        let shards = ShardCount::new(cluster.shards).context("cluster.shards is 0")?;
        let auto_load = objects(&node.auto_load)?;
        let engine = engine(&node, &kept.data_dir)?;
        let store = store.await.context("failed to open the store")?;
        let live_max = node.live_max.unwrap_or_else(|| config::live_max(config::max_map_count()));
        anyhow::ensure!(live_max > 0, "node.live_max is 0: no object could ever wake");
        let owned = Owned::claim(&*store, node.id(), shards).await;
        let owned = owned.context("failed to claim the shards in the store")?;
        let this = Self(Host::new(node, shards, engine, store, owned, live_max));
        this.load_types().await?;
        this.run_in_background(auto_load, kept.results_kept, &shutdown);
        Ok(this)
    }

    /// As [`Callee::call`], for one that keeps the time itself and drops the future at the
    /// deadline: a timer of the node's own for each call is spared.
    pub fn call_untimed(&self, call: Call) -> BoxFuture<'static, Result<Reply, CallError>> {
        self.0.call_untimed(call)
    }

    /// The node's name.
    pub fn id(&self) -> &str {
        self.0.config.id()
    }

    /// The node's own section of the configuration.
    pub fn config(&self) -> &NodeConfig {
        &self.0.config
    }

    /// How many shards the cluster has.
    pub fn shards(&self) -> ShardCount {
        self.0.shards
    }

    /// Checks a component, stores it and, if `deploy`, makes it active.
    ///
    /// # Errors
    /// `invalid-argument` with cause and fix if the component is refused.
    pub async fn upload(
        &self,
        component: Bytes,
        author: &str,
        deploy: bool,
    ) -> Result<Uploaded, CallError> {
        let uploading = self.0.upload(component, author, deploy);
        self.until_the_end(uploading).await
    }

    /// Makes a stored revision active; live objects move to it between two turns. The answer says
    /// whether it is: a deploy that began later wins.
    ///
    /// # Errors
    /// `not-found` if there is no such revision.
    pub async fn deploy(
        &self,
        type_name: &TypeName,
        number: RevisionNumber,
    ) -> Result<RevisionRecord, CallError> {
        self.until_the_end(self.0.deploy(type_name, number)).await
    }

    /// A node that stops waits for no upload.
    async fn until_the_end<T>(
        &self,
        doing: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let done = self.0.background_end.run_until_cancelled(doing).await;
        done.unwrap_or_else(|| Err(crate::letter::stopping().maybe_executed()))
    }

    /// How far the latest deploy of a type has come; none: there was none since the start.
    pub fn rollout(&self, type_name: &TypeName) -> Option<watch::Receiver<Progress>> {
        self.0.types.rollout(type_name).map(|rollout| rollout.watch())
    }

    /// The active types, now and whenever they change, by name.
    pub fn types(&self) -> watch::Receiver<Arc<Vec<TypeEntry>>> {
        self.0.types.watch()
    }

    /// What objects write to their logs.
    pub fn logs(&self) -> &LogHub {
        &self.0.logs
    }

    /// Stops: takes no more calls, lets running turns end within the drain limit, saves what is to
    /// be saved, closes the store. A second call waits for the first.
    pub async fn stop(&self) {
        sweep::stop(&self.0).await;
    }

    /// How many objects could not be saved when it stopped: what they did since they were last
    /// saved is lost.
    pub fn unsaved(&self) -> usize {
        self.0.saver.lost()
    }

    /// Why the store cannot be written now; none: it can, for all that is known.
    pub fn store_trouble(&self) -> watch::Receiver<Option<String>> {
        self.0.saver.trouble()
    }

    async fn load_types(&self) -> anyhow::Result<()> {
        let host = &self.0;
        let records =
            host.store.active_revisions().await.context("failed to read the active types")?;
        let all = records.into_iter().map(|record| async move {
            let (type_name, number) = (record.type_name.clone(), record.number);
            match host.load(record).await {
                Ok(revision) => host.types.activate(&revision),
                Err(error) => {
                    tracing::error!(r#type = %type_name, revision = %number, %error, "failed to load a type");
                    host.types.break_down(&type_name, error.message());
                }
            }
        });
        // The engine bounds how many compile at once.
        stream::iter(all).buffer_unordered(64).collect::<()>().await;
        Ok(())
    }

    fn run_in_background(
        &self,
        auto_load: Vec<ObjectId>,
        results_kept: Duration,
        shutdown: &Shutdown,
    ) {
        let host = &self.0;
        let end = &host.background_end;
        host.background.spawn(Saver::tick(host.clone(), end.clone()));
        host.background.spawn(Saver::write(host.clone(), host.writer_end.clone()));
        host.background.spawn(sweep::sweep(host.clone(), end.clone()));
        host.background.spawn(sends::run(host.clone(), end.clone()));
        host.background.spawn(reminders::run(host.clone(), end.clone()));
        host.background.spawn(results::forget(host.clone(), results_kept, end.clone()));
        host.background.spawn(Memory::relieve(host.clone(), end.clone()));
        host.background.spawn(wake_all(host.clone(), auto_load, end.clone()));
        let (this, requested) = (self.clone(), shutdown.token());
        shutdown.spawn(async move {
            tokio::select! {
                () = requested.cancelled() => this.stop().await,
                // Stopped already.
                () = this.0.writer_end.cancelled() => {}
            }
        });
    }
}

impl Callee for Node {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, CallError>> {
        self.0.call(call)
    }

    fn send(&self, call: Call) {
        self.0.send(call);
    }
}

fn objects(texts: &[String]) -> anyhow::Result<Vec<ObjectId>> {
    texts
        .iter()
        .map(|text| text.parse().with_context(|| format!("node.auto_load names `{text}`")))
        .collect()
}

fn engine(config: &NodeConfig, data_dir: &Path) -> anyhow::Result<Engine> {
    let defaults = wasmverse_engine::Config::default();
    // wasmtime wants it absolute.
    let cache = std::path::absolute(data_dir.join("cache")).context("failed to find the cache")?;
    // The first thing that is written there: a folder that cannot be written shows here.
    std::fs::create_dir_all(&cache)
        .with_context(|| format!("failed to write to the data directory {}", data_dir.display()))?;
    let engine = wasmverse_engine::Config {
        limits: (&config.limits).into(),
        bounds: (&config.bounds).into(),
        component_bytes: config.component_bytes_max,
        compile_parallel: config.compile_parallel.unwrap_or(defaults.compile_parallel),
        cache_dir: Some(cache),
        ..defaults
    };
    Ok(Engine::new(engine)?)
}

/// Wakes the objects of `auto_load`; one that fails is tried again, and stops nobody.
async fn wake_all(host: Arc<Host>, objects: Vec<ObjectId>, end: CancellationToken) {
    let all = objects.into_iter().map(|object| {
        let host = host.clone();
        async move {
            let mut pause = AUTO_LOAD_PAUSE;
            while let Err(error) = wake(&host, &object).await {
                tracing::warn!(%object, %error, "failed to wake an object of node.auto_load");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(AUTO_LOAD_PAUSE_MAX);
            }
        }
    });
    let all = stream::iter(all).buffer_unordered(AUTO_LOAD_PARALLEL).collect::<()>();
    end.run_until_cancelled(all).await;
}

async fn wake(host: &Arc<Host>, object: &ObjectId) -> Result<(), CallError> {
    let (reply, answer) = oneshot::channel();
    let arrived = Instant::now();
    let letter = Letter {
        work: Work::Wake,
        caller: Caller::Platform,
        chain: Chain::default(),
        deadline: arrived + AUTO_LOAD_TIMEOUT,
        traceparent: None,
        reply: ReplyTo::Caller(reply),
        arrived,
        charge: None,
    };
    host.wake(object, letter)?;
    match answer.await {
        Ok(answer) => answer.map(|_| ()),
        Err(_) => Err(crate::letter::stopping()),
    }
}

#[cfg(test)]
mod tests;
