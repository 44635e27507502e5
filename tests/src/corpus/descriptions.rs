//! Components that are well-made but for what they say of themselves.

use super::{Ill, ill};
use crate::forge::Forge;

/// All of them.
pub fn all() -> Vec<Ill> {
    let cases: &[(&'static str, &str, &'static [&'static str])] = &[
        ("a description that is empty", "", &["descri"]),
        ("a description that is no JSON", "once upon a time", &["json"]),
        ("a description cut short", r#"{"type":"Cut""#, &["json|eof|end"]),
        ("a description that is a list", "[]", &["descri"]),
        ("no type", r#"{"methods":[]}"#, &["type"]),
        ("an empty type", r#"{"type":""}"#, &["type"]),
        ("a type that begins with a digit", r#"{"type":"9lives"}"#, &["9lives"]),
        ("a type with a slash", r#"{"type":"a/b"}"#, &["a/b"]),
        ("a type that is no string", r#"{"type":7}"#, &["type"]),
        ("a key nobody knows", r#"{"type":"T","colour":"red"}"#, &["colour"]),
        ("a key almost right", r#"{"type":"T","durabilty":"volatile"}"#, &["durability"]),
        ("a durability nobody knows", r#"{"type":"T","durability":"eternal"}"#, &["eternal"]),
        ("an encoding nobody knows", r#"{"type":"T","encoding":"xml"}"#, &["xml"]),
        ("an activation nobody knows", r#"{"type":"T","activation":"lazy"}"#, &["lazy"]),
        ("a limit nobody knows", r#"{"type":"T","limits":{"luck":1}}"#, &["luck", "cpu_ms"]),
        (
            "a limit beyond all bounds",
            r#"{"type":"T","limits":{"memory_bytes":1000000000000000}}"#,
            &["memory_bytes"],
        ),
        ("a limit of nothing", r#"{"type":"T","limits":{"cpu_ms":0}}"#, &["cpu_ms"]),
        ("a limit below nothing", r#"{"type":"T","limits":{"cpu_ms":-1}}"#, &["limit|cpu_ms"]),
        ("a method without a name", r#"{"type":"T","methods":[{}]}"#, &["name"]),
        ("a method with a bad name", r#"{"type":"T","methods":[{"name":"a b"}]}"#, &["a b"]),
        (
            "a method with an empty name",
            r#"{"type":"T","methods":[{"name":""}]}"#,
            &["name|method"],
        ),
        ("a method twice", r#"{"type":"T","methods":[{"name":"run"},{"name":"run"}]}"#, &["run"]),
        (
            "a mode nobody knows",
            r#"{"type":"T","methods":[{"name":"run","mode":"maybe"}]}"#,
            &["maybe"],
        ),
        (
            "callers nobody knows",
            r#"{"type":"T","methods":[{"name":"run","callers":"friends"}]}"#,
            &["friends"],
        ),
        (
            "a key nobody knows in a method",
            r#"{"type":"T","methods":[{"name":"run","speed":9}]}"#,
            &["speed"],
        ),
    ];
    let mut all: Vec<_> = cases
        .iter()
        .map(|(name, description, says)| {
            ill(name, Forge::describing(description).component(), says)
        })
        .collect();
    let deep = format!(r#"{{"type":"T","methods":{}1{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    all.push(ill("a description nested deeply", Forge::describing(&deep).component(), &["descri"]));
    let mut latin = Forge::describing("{}");
    latin.description = b"\xe9\xe9".to_vec();
    all.push(ill("a description that is not UTF-8", latin.component(), &["descri"]));
    all
}
