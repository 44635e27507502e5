//! A node: starts, answers calls, shows what it hosts, and stops without losing anything.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::{StreamExt as _, future::BoxFuture, stream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wasmverse_cluster::{Coordination, Etcd, Settings};
use wasmverse_core::{Call, CallError, Reply, RevisionNumber, ShardCount, TypeName};
use wasmverse_daemon::Shutdown;
use wasmverse_engine::Engine;
use wasmverse_router::Callee;
use wasmverse_store::{RevisionRecord, Store};

use crate::{
    auto_load::{self, AutoLoad},
    cluster,
    config::{self, Config, NodeConfig},
    deploy::Uploaded,
    host::Host,
    known_types::TypeEntry,
    logs::LogHub,
    memory::Memory,
    owned::Owned,
    reminders, results,
    rollout::Progress,
    saver::Saver,
    sends, sweep,
};

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
        if config.cluster.etcd.is_empty() {
            return Self::start_with(config, store, shutdown).await;
        }
        config.check_shared()?;
        let etcd = Etcd::connect(&config.etcd()).await.context("failed to reach etcd")?;
        Self::start_in(config, Arc::new(etcd), store, shutdown).await
    }

    /// The same as a member of the cluster that this coordination holds.
    ///
    /// # Errors
    /// As [`Node::start`], and if the cluster is not one that this node can be in.
    pub async fn start_in(
        config: Config,
        coordination: Arc<dyn Coordination>,
        store: impl Future<Output = Result<Arc<dyn Store>, wasmverse_store::Error>>,
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        let (settings, quorum) = (cluster::settings(&config)?, cluster::quorum(&config));
        let secret = config.cluster.secret.as_ref().map(|secret| secret.expose().to_owned());
        let (auto_load, results_kept) =
            (AutoLoad::parse(&config.node.auto_load)?, config.store.results_kept);
        let shards = ShardCount::new(config.cluster.shards).context("cluster.shards is 0")?;
        let this = Self::make(config, store, async |_| Ok(Owned::nothing(shards))).await?;
        let cluster = Some(this.0.store.cluster_id().to_owned());
        let settings = Settings { cluster, ..settings };
        this.join(coordination, (settings, quorum), secret).await?;
        this.load_cluster_types().await?;
        this.run_in_background(auto_load, results_kept, &shutdown);
        this.register().await;
        Ok(this)
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
        let (auto_load, results_kept) =
            (AutoLoad::parse(&config.node.auto_load)?, config.store.results_kept);
        let shards = ShardCount::new(config.cluster.shards).context("cluster.shards is 0")?;
        let id = config.node.id().to_owned();
        let claim = async move |store: Arc<dyn Store>| Owned::claim(&*store, &id, shards).await;
        let this = Self::make(config, store, claim).await?;
        this.load_types().await?;
        this.run_in_background(auto_load, results_kept, &shutdown);
        Ok(this)
    }

    async fn make(
        config: Config,
        store: impl Future<Output = Result<Arc<dyn Store>, wasmverse_store::Error>>,
        claim: impl AsyncFnOnce(Arc<dyn Store>) -> Result<Owned, wasmverse_store::Error>,
    ) -> anyhow::Result<Self> {
        let Config { node, cluster, store: kept, .. } = config;
        let shards = ShardCount::new(cluster.shards).context("cluster.shards is 0")?;
        let engine = engine(&node, &kept.data_dir)?;
        let store = store.await.context("failed to open the store")?;
        let live_max = node.live_max.unwrap_or_else(|| config::live_max(config::max_map_count()));
        anyhow::ensure!(live_max > 0, "node.live_max is 0: no object could ever wake");
        let owned = claim(Arc::clone(&store)).await;
        let owned = owned.context("failed to claim the shards in the store")?;
        Ok(Self(Host::new(node, shards, engine, store, owned, live_max)))
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
        self.hand_over_all().await;
        self.0.departed.cancel();
        sweep::stop(&self.0).await;
        self.leave_cluster().await;
    }

    /// Cancelled once the node, being stopped, has nothing to hand over any more: until then it
    /// listens.
    pub fn departed(&self) -> CancellationToken {
        self.0.departed.clone()
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
        self.load(records).await;
        Ok(())
    }

    /// Loads revisions and makes them the active ones on this node.
    pub(crate) async fn load(&self, records: Vec<RevisionRecord>) {
        let host = &self.0;
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
    }

    fn run_in_background(&self, auto_load: AutoLoad, results_kept: Duration, shutdown: &Shutdown) {
        let host = &self.0;
        let end = &host.background_end;
        host.background.spawn(Saver::tick(host.clone(), end.clone()));
        host.background.spawn(Saver::write(host.clone(), host.writer_end.clone()));
        host.background.spawn(sweep::sweep(host.clone(), end.clone()));
        host.background.spawn(sends::run(host.clone(), end.clone()));
        host.background.spawn(reminders::run(host.clone(), end.clone()));
        host.background.spawn(results::forget(host.clone(), results_kept, end.clone()));
        host.background.spawn(Memory::relieve(host.clone(), end.clone()));
        host.background.spawn(auto_load::run(host.clone(), auto_load, end.clone()));
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

#[cfg(test)]
mod tests;
