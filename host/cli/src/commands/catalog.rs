//! `wasmverse types`: what the cluster can run.

use serde_json::{Value, json};

use crate::{
    client::Client,
    failure::Result,
    output::{Output, table},
};

pub(crate) async fn run(client: &mut Client, output: Output) -> Result<()> {
    let types = client.types().await?;
    output.result(&json!({ "types": types }), || text(&types))
}

fn text(types: &[Value]) -> String {
    if types.is_empty() {
        return "no types yet: bring one with `wasmverse deploy`".to_owned();
    }
    let rows: Vec<_> = types
        .iter()
        .map(|info| {
            let word = |key: &str| info[key].as_str().unwrap_or_default().to_owned();
            let methods = info["methods"].as_array().map(Vec::as_slice).unwrap_or_default();
            let names: Vec<_> = methods.iter().filter_map(|m| m["name"].as_str()).collect();
            [
                word("type"),
                info["revision"].to_string(),
                word("durability"),
                word("digest").chars().take(12).collect(),
                names.join(", "),
            ]
        })
        .collect();
    table(["TYPE", "REVISION", "DURABILITY", "DIGEST", "METHODS"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_one_line() {
        let types = [json!({
            "type": "Counter", "revision": 2, "durability": "periodic",
            "digest": "0123456789abcdef", "methods": [{"name": "add"}, {"name": "value"}],
        })];
        let expected = "\
TYPE     REVISION  DURABILITY  DIGEST        METHODS
Counter  2         periodic    0123456789ab  add, value";
        assert_eq!(text(&types), expected);
    }
}
