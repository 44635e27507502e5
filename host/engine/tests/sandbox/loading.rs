//! What is taken as a component, and what is refused with which words.

use bytes::Bytes;
use proptest::prelude::*;
use wasmverse_core::Durability;
use wasmverse_engine::{Config, Engine, LoadError, Refusal};

use crate::guest::{self, Guest};

async fn refusal(config: Config, bytes: impl Into<Bytes>) -> Refusal {
    match Engine::new(config).unwrap().load(bytes.into()).await {
        Err(LoadError::Refused(refusal)) => refusal,
        answer => panic!("not refused but {answer:?}"),
    }
}

async fn check(bytes: impl Into<Bytes>, expected: &[&str]) {
    let refusal = refusal(Config::default(), bytes).await;
    let text = refusal.to_string();
    for words in expected {
        assert!(text.contains(words), "`{words}` is not in: {text}");
    }
    assert!(!refusal.cause.ends_with('.') && !refusal.fix.is_empty(), "{text}");
    assert!(!text.contains('\n'), "{text}");
}

fn wat(text: &str) -> Bytes {
    wat::parse_str(text).unwrap().into()
}

#[tokio::test]
async fn a_good_component_is_taken_with_what_it_says_of_itself() {
    let json = r#"{"type":"Probe","durability":"periodic","schema":2,"methods":[{"name":"echo"}]}"#;
    let engine = Engine::new(Config::default()).unwrap();
    let bytes = guest::component(&Guest::describing(json));
    let component = engine.load(bytes.clone()).await.unwrap();
    assert_eq!(component.spec().type_name.as_str(), "Probe");
    assert_eq!(component.spec().durability, Durability::Periodic);
    assert_eq!(component.spec().json, json);
    let again = engine.load(bytes).await.unwrap();
    assert_eq!(again.digest(), component.digest());
    assert_eq!(component.digest().to_string().len(), 64);
}

#[tokio::test]
async fn what_is_no_component_is_refused_for_what_it_is() {
    check(Bytes::new(), &["empty", "upload"]).await;
    check(&b"hello"[..], &["no WebAssembly component"]).await;
    check(&b"(component)"[..], &["WebAssembly text"]).await;
    check(wat("(module)"), &["core module", "wasm-tools component new"]).await;
    check(&b"\0asm"[..], &["no WebAssembly component"]).await;
    check(vec![0; 1000], &["no WebAssembly component"]).await;
    let whole = guest::component(&Guest::default());
    for length in [8, 9, whole.len() / 2, whole.len() - 1] {
        check(whole.slice(..length), &[]).await;
    }
}

#[tokio::test]
async fn no_flipped_byte_harms_the_engine() {
    let engine = Engine::new(Config::default()).unwrap();
    let whole = guest::component(&Guest::default());
    for place in (0..whole.len()).step_by(whole.len() / 50) {
        let mut bytes = whole.to_vec();
        bytes[place] ^= 0x55;
        // Most are refused; a few only change a name or a constant.
        let loaded = engine.load(bytes.into()).await;
        assert!(!matches!(loaded, Err(LoadError::Internal(_))), "byte {place}: {loaded:?}");
    }
    engine.load(whole).await.unwrap();
}

#[tokio::test]
async fn an_import_that_objects_do_not_have_is_refused_by_name() {
    for (import, words) in [
        ("wasi:http/types@0.2.0", "HTTP"),
        ("wasi:http/outgoing-handler@0.2.6", "HTTP"),
        ("wasi:keyvalue/store@0.2.0", "remove it"),
        ("wasmverse:object/teleport@0.1.0", "upgrade the host"),
        ("acme:secrets/vault", "no such import"),
        ("wasi:cli/environment@0.3.0", "wasi:cli/environment@0.2."),
        ("wasmverse:object/log@0.2.0", "wasmverse:object/log@0.1.0"),
        ("wasmverse:object/log@1.0.0", "wasmverse:object/log@0.1.0"),
    ] {
        let text = format!(r#"(component (import "{import}" (instance)))"#);
        check(wat(&text), &[import, words]).await;
    }
    let function = r#"(component (import "shell" (func (param "line" string))))"#;
    check(wat(function), &["`shell`"]).await;
}

#[tokio::test]
async fn what_does_not_fit_the_contract_is_refused() {
    check(wat("(component)"), &["exports no `wasmverse:object/guest`"]).await;
    let other = r#"(component
        (type $echo (func (param "x" string) (result string)))
        (import "wasmverse:object/system@0.1.0" (instance (export "now-micros" (func (result string))))))"#;
    check(wat(other), &["exports no"]).await;
    let wrong = r#"(component (instance $empty)
        (export "wasmverse:object/guest@0.1.0" (instance $empty)))"#;
    check(wat(wrong), &["does not fit the world `object`", "wit/object.wit"]).await;
}

#[tokio::test]
async fn what_is_too_large_or_too_complex_is_refused_with_the_limit() {
    let small = Config { component_bytes: 1000, ..Config::default() };
    let refusal = refusal(small, vec![0; 1001]).await;
    assert!(refusal.cause.contains("1001 bytes of at most 1000"), "{refusal}");
    let body = "i32.const 1 drop ".repeat(400_000);
    let more = format!("(func {body})");
    check(guest::component(&Guest { more, ..Guest::default() }), &["too complex"]).await;
    let memories = "(memory $second 1)".into();
    let words = ["2 linear memories with pages of at most 1", "share one memory"];
    check(guest::component(&Guest { memories, ..Guest::default() }), &words).await;
}

#[tokio::test]
async fn a_component_that_does_not_describe_itself_well_is_refused() {
    let doing = |before_describe| guest::component(&Guest { before_describe, ..Guest::default() });
    check(doing("unreachable"), &["`describe` gives no answer", "unreachable"]).await;
    check(doing("(loop $on (br $on))"), &["`describe` gives no answer", "CPU", "200ms"]).await;
    let out_of_bounds = "(return (i32.const 0xfffffff0))";
    check(doing(out_of_bounds), &["`describe` gives no answer"]).await;
    // What it does to the world meanwhile is denied, and does not stop it.
    let busy = "(call $call-many (i32.const 0) (i32.const 3) (i32.const 0))";
    let engine = Engine::new(Config::default()).unwrap();
    engine.load(doing(busy)).await.unwrap();
    check(guest::component(&Guest::describing("not json")), &["not JSON"]).await;
    check(guest::component(&Guest::describing("\u{0}\u{1}")), &["not JSON"]).await;
    let eternal = r#"{"type":"T","durability":"eternal"}"#;
    check(guest::component(&Guest::describing(eternal)), &["eternal", "periodic"]).await;
    let reserved = r#"{"type":"T","methods":[{"name":"on_client_gone"}]}"#;
    engine.load(guest::component(&Guest::describing(reserved))).await.unwrap();
}

#[tokio::test]
async fn a_component_that_cannot_start_within_its_limits_is_refused() {
    let starting = |start| guest::component(&Guest { start, ..Guest::default() });
    check(starting("unreachable"), &["does not start", "unreachable"]).await;
    check(starting("(loop $on (br $on))"), &["does not start", "CPU"]).await;
    let large = Guest { pages: 1025, ..Guest::default() };
    check(guest::component(&large), &["does not start", "67108864"]).await;
    let greedy = Guest { pages: 20, ..Guest::limited(r#""memory_bytes": 1000000"#) };
    check(guest::component(&greedy), &["limits.memory_bytes", "1310720", "1000000"]).await;
}

#[tokio::test]
async fn one_component_loaded_by_many_at_once_is_compiled_once() {
    let engine = Engine::new(Config::default()).unwrap();
    let bytes = guest::component(&Guest::default());
    let loads = (0..8).map(|_| engine.load(bytes.clone()));
    let began = std::time::Instant::now();
    let components = futures_util::future::try_join_all(loads).await.unwrap();
    assert!(
        components.windows(2).all(|pair| std::sync::Arc::ptr_eq(pair[0].spec(), pair[1].spec()))
    );
    assert!(began.elapsed() < std::time::Duration::from_secs(60));
}

#[tokio::test]
async fn compiled_code_is_found_again_in_the_cache_folder() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { cache_dir: Some(folder.path().into()), ..Config::default() };
    let bytes = guest::component(&Guest::default());
    Engine::new(config.clone()).unwrap().load(bytes.clone()).await.unwrap();
    let files = || walk(folder.path());
    let compiled = files();
    assert!(compiled > 0);
    Engine::new(config).unwrap().load(bytes).await.unwrap();
    assert!(files() >= compiled);
}

fn walk(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { walk(&path) } else { 1 }).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_refused_and_no_crash(
        component in any::<bool>(),
        noise in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let header: &[u8] = if component { b"\0asm\x0d\0\x01\0" } else { b"" };
        let bytes = [header, &noise].concat();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let engine = Engine::new(Config::default()).unwrap();
        let answer = runtime.block_on(engine.load(bytes.into()));
        prop_assert!(matches!(answer, Err(LoadError::Refused(_))), "{:?}", answer);
    }
}
