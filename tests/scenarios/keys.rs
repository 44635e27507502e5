//! Keys as clients give them: over HTTP, gRPC and WebSocket, which share them.

use reqwest::Method;
use serde_json::json;
use wasmverse_core::ErrorKind;
use wasmverse_tests::{
    cluster::Cluster,
    guests::{BANK_ACCOUNT, COUNTER},
    http::{Answer, path_of},
    patience::eventually,
};

async fn keyed(cluster: &Cluster, object: &str, method: &str, body: &str, key: &str) -> Answer {
    let path = format!("{}/{method}", path_of(object));
    let headers = [("Idempotency-Key", key)];
    cluster.http.request(Method::POST, &path, body.to_owned(), &headers).await
}

#[tokio::test]
async fn two_clients_with_one_key_make_one_call_however_they_come_in() {
    let cluster = Cluster::start().await;
    cluster.deploy(COUNTER.bytes()).await;
    let grpc = cluster.grpc().await;
    for _ in 0..2 {
        let answer = keyed(&cluster, "Counter/a", "add", "5", "k").await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"5"[..]), "{answer}");
        assert_eq!(grpc.call_keyed("Counter/a", "add", "5", "k").await.unwrap(), "5");
    }
    let others = keyed(&cluster, "Counter/a", "add", "6", "k").await;
    assert_eq!((others.status.as_u16(), others.code()), (400, "invalid-argument".into()));
    let failed = grpc.call_keyed("Counter/a", "reset", "", "k").await.unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::InvalidArgument);
    let both = futures_util::future::join_all(
        (0..8).map(|_| keyed(&cluster, "Counter/a", "add", "10", "at-once")),
    );
    for answer in both.await {
        assert_eq!(&answer.body[..], b"15", "{answer}");
    }
    assert_eq!(cluster.http.ok("Counter/a", "value", ()).await, json!(15));
}

#[tokio::test]
async fn a_failure_is_repeated_word_for_word() {
    let cluster = Cluster::start().await;
    cluster.deploy(BANK_ACCOUNT.bytes()).await;
    let first = keyed(&cluster, "BankAccount/a", "withdraw", "5", "k").await;
    assert_eq!(first.status, 422, "{first}");
    cluster.http.ok("BankAccount/a", "deposit", 100).await;
    let again = keyed(&cluster, "BankAccount/a", "withdraw", "5", "k").await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(cluster.http.ok("BankAccount/a", "balance", ()).await, json!(100));
}

#[tokio::test]
async fn a_keyed_call_waits_for_a_node_that_restarts() {
    let cluster = Cluster::start().await;
    cluster.deploy(COUNTER.bytes()).await;
    cluster.http.ok("Counter/a", "add", 1).await;
    let cluster = cluster.restart().await;
    let answer = keyed(&cluster, "Counter/a", "add", "1", "k").await;
    assert_eq!(&answer.body[..], b"2", "{answer}");
}

#[tokio::test]
async fn money_that_leaves_here_arrives_there_and_a_refused_deposit_is_not_lost() {
    let cluster = Cluster::start().await;
    cluster.deploy(BANK_ACCOUNT.bytes()).await;
    cluster.http.ok("BankAccount/alice", "deposit", 100).await;
    cluster.http.ok("BankAccount/rich", "deposit", i64::MAX).await;
    for to in ["bob", "rich", "bob"] {
        let transfer = json!({ "to": to, "amount": 10 });
        cluster.http.ok("BankAccount/alice", "transfer", transfer).await;
    }
    eventually("the money arrives", async || {
        let balance = cluster.http.ok("BankAccount/bob", "balance", ()).await;
        (balance == json!(20)).then_some(())
    })
    .await;
    let letters = eventually("the refused deposit is a dead letter", async || {
        let letters = cluster.node.dead_letters(None, 0, 10).await.unwrap();
        (!letters.is_empty()).then_some(letters)
    })
    .await;
    assert!(letters[0].reason.contains("overflow"), "{}", letters[0].reason);
    cluster.http.ok("BankAccount/rich", "withdraw", 1_000).await;
    cluster.node.retry_dead_letter(letters[0].number).await.unwrap();
    eventually("it arrives after all", async || {
        let balance = cluster.http.ok("BankAccount/rich", "balance", ()).await;
        (balance == json!(i64::MAX - 990)).then_some(())
    })
    .await;
}
