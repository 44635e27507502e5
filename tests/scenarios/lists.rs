//! Lists show what there is, a page at a time.

use reqwest::Method;
use serde_json::{Value, json};
use wasmverse_proto::gate::ListObjectsRequest;
use wasmverse_tests::{cluster::Cluster, guests::COUNTER, http::path_of};

async fn ids(cluster: &Cluster, query: &str) -> (Vec<String>, Value) {
    let answer = cluster.http.get(&format!("/v1/objects?{query}")).await.json();
    let objects = answer["objects"].as_array().unwrap();
    let name = |object: &Value| object["id"].as_str().unwrap().to_owned();
    (objects.iter().map(name).collect(), answer["next_page"].clone())
}

#[tokio::test]
async fn objects_are_listed_by_type_and_prefix_in_pages() {
    let cluster = Cluster::start().await;
    cluster.deploy(COUNTER.bytes()).await;
    cluster.deploy_chameleon(json!({ "type": "Thing" })).await;
    for number in 0..25 {
        cluster.http.ok(&format!("Counter/c{number:02}"), "add", 1).await;
    }
    cluster.http.ok("Counter/other", "add", 1).await;
    cluster.http.ok("Thing/c00", "add", 1).await;
    let (mut seen, mut page) = (Vec::new(), Value::Null);
    for round in 0.. {
        let next = page.as_str().map(|page| format!("&page={}", page.replace('/', "%2F")));
        let query = format!("type=Counter&prefix=c&limit=10{}", next.unwrap_or_default());
        let (found, next) = ids(&cluster, &query).await;
        assert!(found.len() <= 10);
        seen.extend(found);
        page = next;
        if page.as_str().is_none_or(str::is_empty) {
            assert_eq!(round, 2);
            break;
        }
    }
    let expected: Vec<_> = (0..25).map(|number| format!("c{number:02}")).collect();
    assert_eq!(seen, expected);
    assert_eq!(ids(&cluster, "type=Thing").await.0, ["c00"]);
    assert_eq!(ids(&cluster, "type=Counter&prefix=zzz").await.0.len(), 0);
    let request =
        ListObjectsRequest { r#type: "Counter".into(), limit: 1000, ..Default::default() };
    let listed = cluster.grpc().await.list(request).await.unwrap();
    assert_eq!((listed.objects.len(), &listed.next_page[..]), (26, ""));
}

#[tokio::test]
async fn a_deleted_object_is_listed_no_more() {
    let cluster = Cluster::start().await;
    cluster.deploy(COUNTER.bytes()).await;
    for id in ["a", "b"] {
        cluster.http.ok(&format!("Counter/{id}"), "add", 1).await;
    }
    cluster.http.request(Method::DELETE, &path_of("Counter/a"), "", &[]).await;
    assert_eq!(ids(&cluster, "type=Counter").await.0, ["b"]);
    let cluster = cluster.restart().await;
    assert_eq!(ids(&cluster, "type=Counter").await.0, ["b"]);
    let known = cluster.http.get(&path_of("Counter/b")).await.json();
    assert_eq!(known["state"], "stored", "{known}");
    assert!(known["updated_at"].as_str().unwrap().contains('T'), "{known}");
}

#[tokio::test]
async fn a_list_that_makes_no_sense_is_an_invalid_argument() {
    let cluster = Cluster::start().await;
    for query in ["limit=0x", "limit=1001", "limit=-1", "page=%00", "type=9lives", "colour=red"] {
        let answer = cluster.http.get(&format!("/v1/objects?{query}")).await;
        assert_eq!(answer.code(), "invalid-argument", "{query}: {answer}");
    }
}
