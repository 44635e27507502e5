//! Every error of the closed set can be provoked, and is the same over HTTP, gRPC and the command
//! line.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tonic::Code;
use wasmverse_core::ErrorKind;
use wasmverse_daemon::config::Secret;
use wasmverse_tests::{
    cluster::Cluster,
    grpc::Grpc,
    guests::{BANK_ACCOUNT, COUNTER, ECHO, Guest, MISCHIEF, chameleon},
    http::{Answer, path_of},
    patience::eventually,
    programs::{Ran, wasmverse},
};

const TOKEN: &str = "only for tests";

/// The one table of the interface: name, status of HTTP, code of gRPC.
const SURFACES: [(ErrorKind, u16, Code); 12] = [
    (ErrorKind::Application, 422, Code::Unknown),
    (ErrorKind::NotFound, 404, Code::NotFound),
    (ErrorKind::AlreadyExists, 409, Code::AlreadyExists),
    (ErrorKind::InvalidArgument, 400, Code::InvalidArgument),
    (ErrorKind::Denied, 403, Code::PermissionDenied),
    (ErrorKind::Unauthenticated, 401, Code::Unauthenticated),
    (ErrorKind::Cycle, 409, Code::FailedPrecondition),
    (ErrorKind::Overloaded, 429, Code::ResourceExhausted),
    (ErrorKind::Timeout, 504, Code::DeadlineExceeded),
    (ErrorKind::Trapped, 502, Code::Aborted),
    (ErrorKind::Unavailable, 503, Code::Unavailable),
    (ErrorKind::Internal, 500, Code::Internal),
];

/// What is tried on all three surfaces. `{}` in an id becomes another id for each try.
enum Try {
    Call(&'static str, &'static str, Value),
    CallWithin(&'static str, &'static str, Value, &'static str),
    Create(&'static str),
    UploadWithoutToken,
}

async fn over_http(cluster: &Cluster, what: &Try) -> Answer {
    match what {
        Try::Call(object, method, argument) => {
            cluster.http.call(&object.replace("{}", "http"), method, argument.clone()).await
        }
        Try::CallWithin(object, method, argument, timeout) => {
            let path = format!("{}/{method}", path_of(&object.replace("{}", "http")));
            let timeout = [("Wasmverse-Timeout", *timeout)];
            cluster.http.request(Method::POST, &path, argument.to_string(), &timeout).await
        }
        Try::Create(object) => cluster.http.request(Method::PUT, &path_of(object), "", &[]).await,
        Try::UploadWithoutToken => cluster.http.upload(ECHO.bytes()).await,
    }
}

async fn over_grpc(grpc: &Grpc, what: &Try) -> (Code, ErrorKind, String) {
    let payload = |argument: &Value| match argument {
        Value::Null => String::new(),
        argument => argument.to_string(),
    };
    let failed = match what {
        Try::Call(object, method, argument) => {
            let object = object.replace("{}", "grpc");
            grpc.call(&object, method, payload(argument), None).await.unwrap_err()
        }
        Try::CallWithin(object, method, argument, timeout) => {
            let (object, timeout) = (object.replace("{}", "grpc"), parse(timeout));
            grpc.call(&object, method, payload(argument), Some(timeout)).await.unwrap_err()
        }
        Try::Create(object) => grpc.create(object).await.unwrap_err(),
        Try::UploadWithoutToken => grpc.upload(ECHO.bytes()).await.unwrap_err(),
    };
    (failed.code, failed.error.kind(), failed.error.code().to_owned())
}

fn parse(timeout: &str) -> Duration {
    Duration::from_millis(timeout.trim_end_matches("ms").parse().expect("milliseconds"))
}

/// The command line speaks HTTP or gRPC, as it is told.
fn over_command_line(url: &str, what: &Try) -> Ran {
    let side = &url[..4];
    let echo = ECHO.path().to_string_lossy().into_owned();
    let mut words: Vec<String> = match what {
        Try::Call(object, method, argument) | Try::CallWithin(object, method, argument, _) => {
            let mut words = vec!["call".into(), object.replace("{}", side), (*method).to_owned()];
            if !argument.is_null() {
                words.push(argument.to_string());
            }
            words
        }
        Try::Create(object) => vec!["create".into(), (*object).to_owned()],
        Try::UploadWithoutToken => vec!["deploy".into(), echo],
    };
    if let Try::CallWithin(_, _, _, timeout) = what {
        words.extend(["--timeout".into(), (*timeout).to_owned()]);
    }
    words.push("--json".into());
    wasmverse(url, &words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Tries it on all surfaces: all must answer that kind, and that code of the application.
async fn check(cluster: &Cluster, kind: ErrorKind, application: &str, what: Try) {
    let (_, status, code) = SURFACES.into_iter().find(|row| row.0 == kind).expect("all kinds");
    let answer = over_http(cluster, &what).await;
    assert_eq!((answer.status.as_u16(), &answer.code()[..]), (status, kind.as_str()), "{answer}");
    assert!(answer.message().len() > 8, "{answer}");
    let own = &answer.json()["error"]["application"]["code"];
    assert_eq!(own.as_str().unwrap_or_default(), application, "{answer}");
    let seen = over_grpc(&cluster.grpc().await, &what).await;
    assert_eq!(seen, (code, kind, application.to_owned()));
    for url in [
        format!("http://{}", cluster.addresses().http),
        format!("grpc://{}", cluster.addresses().grpc),
    ] {
        let ran = over_command_line(&url, &what);
        assert_eq!(ran.code, Some(1), "{kind}: {ran:?}");
        assert!(ran.err.contains(kind.as_str()), "{kind}: {ran:?}");
        let error = &ran.json()["error"];
        assert_eq!(error["code"], kind.as_str(), "{kind}: {ran:?}");
        let own = error["application"]["code"].as_str().unwrap_or_default();
        assert_eq!(own, application, "{kind}: {ran:?}");
    }
}

async fn cluster() -> Cluster {
    let cluster = Cluster::start_with(|settings| {
        settings.gate.admin.token = Some(Secret::find(TOKEN).unwrap());
    })
    .await;
    let small = json!({ "describe": { "type": "Narrow", "limits": { "mailbox_length": 1 } } });
    let guests = [BANK_ACCOUNT, COUNTER, ECHO, MISCHIEF].map(Guest::bytes);
    for component in guests.into_iter().chain([chameleon(&small)]) {
        cluster.node.upload(component, "a test", true).await.unwrap();
    }
    let known =
        async || cluster.http.get("/v1/types/Narrow").await.status.is_success().then_some(());
    eventually("the gate knows the types", known).await;
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_is_the_same_on_every_surface() {
    use Try::{Call, CallWithin, Create, UploadWithoutToken};
    let cluster = cluster().await;
    cluster.http.ok("Counter/there", "add", 1).await;
    let table = [
        (ErrorKind::Application, "insufficient-funds", Call("BankAccount/a", "withdraw", 5.into())),
        (ErrorKind::NotFound, "", Call("Nobody/x", "y", Value::Null)),
        (ErrorKind::NotFound, "", Call("Counter/x", "nope", Value::Null)),
        (ErrorKind::AlreadyExists, "", Create("Counter/there")),
        (ErrorKind::InvalidArgument, "", Call("Counter/x", "add", "five".into())),
        (ErrorKind::Denied, "", Call("Mischief/x", "write_in_read_only", Value::Null)),
        (ErrorKind::Unauthenticated, "", UploadWithoutToken),
        (ErrorKind::Cycle, "", Call("Mischief/x", "call_myself", Value::Null)),
        (ErrorKind::Timeout, "", CallWithin("Mischief/{}", "wait", 3_000.into(), "150ms")),
        (ErrorKind::Trapped, "", Call("Mischief/trap-{}", "trap", Value::Null)),
    ];
    for (kind, application, what) in table {
        check(&cluster, kind, application, what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_mailbox_is_overloaded_on_every_surface() {
    let cluster = cluster().await;
    // One runs, one waits: the next is one too many.
    let _running = cluster.enqueue("Narrow/a", "wait", "50000");
    let _waiting = eventually("the mailbox takes one more", async || {
        let mut call = cluster.enqueue("Narrow/a", "wait", "1");
        futures_util::poll!(&mut call).is_pending().then_some(call)
    })
    .await;
    check(&cluster, ErrorKind::Overloaded, "", Try::Call("Narrow/a", "value", Value::Null)).await;
    let answer = cluster.http.call("Narrow/a", "value", ()).await;
    assert!(answer.json()["error"]["retry_after_ms"].as_u64().unwrap() > 0, "{answer}");
    assert!(answer.headers.contains_key("retry-after"));
    // A neighbour serves meanwhile.
    assert_eq!(cluster.http.ok("Narrow/b", "value", ()).await, json!(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_gone_is_unavailable_on_every_surface() {
    let cluster = cluster().await;
    cluster.node.stop().await;
    check(&cluster, ErrorKind::Unavailable, "", Try::Call("Counter/a", "value", Value::Null)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_the_platform_lost_is_internal_on_every_surface() {
    let cluster = cluster().await;
    let large = json!({ "describe": { "type": "Lost", "limits": { "memory_bytes": 60_000_000 } } });
    cluster.node.upload(chameleon(&large), "a test", true).await.unwrap();
    let (mut settings, data) = cluster.stop().await;
    // It was accepted under bounds that hold no longer.
    settings.node.node.bounds.memory_bytes = 50_000_000;
    settings.node.node.limits.memory_bytes = 50_000_000;
    let cluster = Cluster::on(settings, data).await;
    check(&cluster, ErrorKind::Internal, "", Try::Call("Lost/a", "value", Value::Null)).await;
    assert_eq!(cluster.http.ok("Counter/a", "value", ()).await, json!(0));
}

#[tokio::test]
async fn a_command_line_that_cannot_reach_the_cluster_says_so_by_its_exit_code() {
    let ran = wasmverse("http://127.0.0.1:1", &["call", "Counter/a", "value", "--json"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let ran = wasmverse("http://127.0.0.1:1", &["call", "Counter"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
}
