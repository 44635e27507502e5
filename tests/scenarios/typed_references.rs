//! Two components that know each other's types call each other.

use serde_json::{Value, json};
use wasmverse_tests::{
    cluster::Cluster,
    guests::{CALLEE, CALLER},
    patience::eventually,
};

#[tokio::test]
async fn two_components_call_each_other_through_typed_references() {
    let cluster = Cluster::start().await;
    cluster.deploy(CALLER.bytes()).await;
    cluster.deploy(CALLEE.bytes()).await;
    let ask =
        async |method: &str, argument: Value| cluster.http.ok("Caller/c", method, argument).await;
    let add = |by: i64| json!({ "tally": "t", "by": by });
    assert_eq!(ask("add_by_interface", add(1)).await, json!(1));
    assert_eq!(ask("add_by_crate", add(2)).await, json!(3));
    assert_eq!(ask("add_by_name", add(3)).await, json!(6));
    let all = json!({ "tallies": ["t", "u", "t"], "by": 10 });
    assert_eq!(ask("add_to_all", all).await, json!([16, 10, 26]));
    let product = json!({ "tally": "t", "left": 6, "right": 7 });
    assert_eq!(ask("send_product", product).await, Value::Null);
    eventually("the product arrives", async || {
        (cluster.http.ok("Tally/t", "total", ()).await == json!(68)).then_some(())
    })
    .await;
    assert_eq!(ask("make_and_delete", json!("fresh")).await, json!(true));
    let around = json!({ "tally": "t", "caller": "other" });
    let name = ask("name_by_way_of", around).await;
    assert_eq!(name, json!("I am Caller/other"));
    let back = json!({ "tally": "t", "caller": "c" });
    let answer = cluster.http.call("Caller/c", "name_by_way_of", back).await;
    assert_eq!(answer.code(), "cycle", "{answer}");
    let over = cluster.http.call("Tally/t", "add", i64::MAX).await;
    assert_eq!(over.json()["error"]["application"]["code"], "overflow", "{over}");
}
