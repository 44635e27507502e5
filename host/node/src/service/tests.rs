//! A whole node behind its own service, as a gate sees it.

mod dead_letters;

use std::{path::PathBuf, sync::Arc, time::Duration, time::Instant};

use bytes::Bytes;
use tokio_stream::iter;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::Code;
use wasmverse_core::{Action, Call, Caller, Chain, Invocation, ShardCount};
use wasmverse_daemon::Shutdown;
use wasmverse_proto::admin::{UploadHeader, upload_type_request::Part};
use wasmverse_router::{Callee as _, Control, LinkBounds, Router, RouterConfig};
use wasmverse_store::Store;

use super::*;
use crate::Config;

struct Stage {
    node: Node,
    router: Router,
    address: String,
    shutdown: Shutdown,
    served: tokio::task::JoinHandle<anyhow::Result<()>>,
    _data: tempfile::TempDir,
}

impl Stage {
    async fn set() -> Self {
        Self::set_on(|store| store).await
    }

    /// On another store, made of the one in memory.
    async fn set_on(store: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.store.url = Some(wasmverse_daemon::config::Secret::find("sqlite::memory:").unwrap());
        config.store.data_dir = data.path().into();
        config.node.drain = Duration::from_secs(5);
        let shutdown = Shutdown::new();
        let opening = config.store();
        let opening = async move { wasmverse_store::open(&opening).await.map(store) };
        let node = Node::start_with(config, opening, shutdown.clone()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (listening, token) = (node.clone(), shutdown.token());
        let tasks = TaskTracker::new();
        let served =
            tasks.spawn(async move { listening.listen(listener, Some("s3cret"), token).await });
        let router = RouterConfig {
            secret: Some("s3cret".into()),
            id: "g1".into(),
            incarnation: "1".into(),
            address: "g1".into(),
            shards: ShardCount::default(),
            bounds: LinkBounds::default(),
        };
        let router = Router::to(
            router,
            vec![address.clone()],
            Some(Arc::new(crate::gates::tests::Nobody)),
            &tasks,
            CancellationToken::new(),
        );
        Self { node, router, address, shutdown, served, _data: data }
    }

    fn control(&self) -> Control {
        self.router.control().unwrap()
    }

    async fn upload(&self, component: &[u8]) -> Result<UploadTypeResponse, Status> {
        let header = UploadHeader { store_only: false, author: "me".into() };
        let parts = std::iter::once(Part::Header(header))
            .chain(component.chunks(7000).map(|c| Part::Chunk(Bytes::copy_from_slice(c))))
            .chain([Part::Complete(true)]);
        self.upload_parts(parts.collect()).await
    }

    async fn upload_parts(&self, parts: Vec<Part>) -> Result<UploadTypeResponse, Status> {
        let parts = parts.into_iter().map(|part| UploadTypeRequest { part: Some(part) });
        Ok(self.control().upload_type(iter(parts)).await?.into_inner())
    }

    async fn call(&self, id: &str, method: &str, payload: &str) -> Result<Bytes, CallError> {
        let invocation = Invocation {
            method: method.into(),
            payload: payload.to_owned().into(),
            key: None,
            read_only: false,
        };
        let call = Call {
            object: format!("GoldenC/{id}").parse().unwrap(),
            action: Action::Invoke(invocation),
            caller: Caller::Client(None),
            chain: Chain::default(),
            deadline: Instant::now() + Duration::from_secs(30),
            traceparent: None,
        };
        self.router.call(call).await.map(wasmverse_core::Reply::into_payload)
    }

    async fn list(&self, asked: ListObjectsRequest) -> Result<ListObjectsResponse, Status> {
        Ok(self.control().list_objects(asked).await?.into_inner())
    }
}

fn golden() -> Vec<u8> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    std::fs::read(here.join("../../tests/golden/c/golden.wasm")).unwrap()
}

fn the_type() -> String {
    "GoldenC".into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_is_uploaded_called_listed_and_followed() {
    let stage = Stage::set().await;
    let mut types = stage.router.types();
    let uploaded = stage.upload(&golden()).await.unwrap();
    assert_eq!((uploaded.r#type.as_str(), uploaded.revision), ("GoldenC", 1));
    assert!(uploaded.active && uploaded.digest.len() == 64);
    let known = types.wait_for(|types| types.as_ref().is_some_and(|t| !t.is_empty())).await;
    assert_eq!(known.unwrap().as_ref().unwrap()[0].digest, uploaded.digest);

    assert_eq!(stage.call("a", "add", "5").await.unwrap(), "5");
    assert_eq!(stage.call("a", "value", "").await.unwrap(), "5");
    let error = stage.call("a", "fail", "7").await.unwrap_err();
    assert_eq!((error.code(), &error.details()[..]), ("out-of-stock", &b"7"[..]));
    assert_eq!(error.object().unwrap().to_string(), "GoldenC/a");
    stage.call("b", "echo", "").await.unwrap();

    let one = ListObjectsRequest { r#type: the_type(), limit: 1, ..Default::default() };
    let first = stage.list(one.clone()).await.unwrap();
    let second = ListObjectsRequest { page: first.next_page, ..one };
    let second = stage.list(second).await.unwrap();
    assert_eq!(second.next_page, "");
    let ids = [&first.objects, &second.objects]
        .map(|objects| objects[0].object.as_ref().unwrap().id.clone());
    assert_eq!(ids, ["a", "b"]);
    let object = ObjectRef { r#type: the_type(), id: "a".into() };
    let known = stage.control().get_object(object).await.unwrap().into_inner();
    assert_eq!((known.state.as_str(), known.revision), ("live", 1));
    assert_eq!(known.node, stage.node.id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deploy_is_followed_to_its_end() {
    let stage = Stage::set().await;
    stage.upload(&golden()).await.unwrap();
    stage.call("a", "add", "5").await.unwrap();
    let deploy = DeployRequest { r#type: the_type(), revision: 1 };
    let deployed = stage.control().deploy(deploy).await.unwrap().into_inner();
    assert_eq!(deployed.revision, 1);
    let rollout = RolloutRequest { r#type: the_type() };
    let mut steps = stage.control().rollout(rollout).await.unwrap().into_inner();
    let mut last = RolloutProgress::default();
    while let Some(step) = steps.message().await.unwrap() {
        last = step;
    }
    assert!(last.done && last.revision == 1, "{last:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_objects_write_is_followed() {
    let stage = Stage::set().await;
    stage.upload(&golden()).await.unwrap();
    stage.call("a", "note", "before").await.unwrap();
    let asked = TailLogsRequest { r#type: the_type(), id: "a".into(), recent: 9 };
    let mut lines = stage.control().tail_logs(asked).await.unwrap().into_inner();
    stage.call("b", "note", "another's").await.unwrap();
    stage.call("a", "note", "after").await.unwrap();
    for message in ["before", "after"] {
        let line = lines.message().await.unwrap().unwrap();
        assert_eq!((line.message.as_str(), line.level.as_str()), (message, "warn"));
        assert_eq!(line.fields["from"], "golden");
        assert!(!line.turn.is_empty());
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_says_why() {
    let stage = Stage::set().await;
    let refused = stage.upload(b"no component").await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let header = || Part::Header(UploadHeader::default());
    let huge = stage.node.config().component_bytes_max + 1;
    for parts in [
        vec![Part::Chunk(Bytes::new())],
        vec![],
        vec![header(), header()],
        vec![header(), Part::Chunk(golden().into())],
        [vec![header()], vec![Part::Chunk(vec![0; 1 << 20].into()); huge.div_ceil(1 << 20)]]
            .concat(),
    ] {
        let refused = stage.upload_parts(parts).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    for wrong in [
        ListObjectsRequest { limit: 1001, ..Default::default() },
        ListObjectsRequest { r#type: "9".into(), ..Default::default() },
        ListObjectsRequest { page: "9".into(), ..Default::default() },
    ] {
        assert_eq!(stage.list(wrong).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let nobody = ObjectRef { r#type: "9".into(), id: "x".into() };
    for wrong in [
        ListDeadLettersRequest { limit: 1001, ..Default::default() },
        ListDeadLettersRequest { object: Some(nobody.clone()), ..Default::default() },
    ] {
        let told = stage.control().list_dead_letters(wrong).await.unwrap_err();
        assert_eq!(told.code(), Code::InvalidArgument, "{told}");
    }
    for object in [None, Some(nobody)] {
        let wrong = ListRemindersRequest { object };
        let told = stage.control().list_reminders(wrong).await.unwrap_err();
        assert_eq!(told.code(), Code::InvalidArgument, "{told}");
    }
    let stranger = ObjectRef { r#type: "T".into(), id: "x".into() };
    let mut control = stage.control();
    let told = control.get_object(stranger).await.unwrap_err();
    assert_eq!(told.code(), Code::NotFound);
    let told = control.rollout(RolloutRequest { r#type: "T".into() }).await.unwrap_err();
    assert_eq!(told.code(), Code::NotFound);
    let told = control.deploy(DeployRequest { r#type: "T".into(), revision: 1 }).await;
    assert_eq!(told.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn strangers_are_unauthenticated_whatever_they_ask() {
    let stage = Stage::set().await;
    let address = format!("http://{}", stage.address);
    let channel = tonic::transport::Endpoint::from_shared(address).unwrap().connect_lazy();
    let mut stranger =
        wasmverse_proto::node::node_service_client::NodeServiceClient::new(channel.clone());
    let told = [
        stranger.link(iter([])).await.unwrap_err(),
        stranger.call(CallFrame::default()).await.unwrap_err(),
        stranger.list_types(ListTypesRequest {}).await.unwrap_err(),
        stranger.tail_logs(TailLogsRequest::default()).await.unwrap_err(),
    ];
    for status in told {
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    }
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    let asked =
        tonic_health::pb::HealthCheckRequest { service: "wasmverse.node.v1.NodeService".into() };
    assert_eq!(health.check(asked).await.unwrap().into_inner().status, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_ends_its_streams() {
    let stage = Arc::new(Stage::set().await);
    stage.upload(&golden()).await.unwrap();
    stage.call("a", "add", "5").await.unwrap();
    let asked = TailLogsRequest::default();
    let mut lines = stage.control().tail_logs(asked).await.unwrap().into_inner();
    stage.shutdown.request();
    while let Ok(Some(_)) = lines.message().await {}
    let stage = Arc::into_inner(stage).unwrap();
    let served = tokio::time::timeout(Duration::from_secs(20), stage.served).await;
    served.unwrap().unwrap().unwrap();
}
