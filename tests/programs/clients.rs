//! Clients in other languages: Python with stubs made from `proto/`, and curl.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use wasmverse_tests::{
    guests::{BANK_ACCOUNT, CHAT_LOBBY, CHAT_ROOM, COUNTER, ECHO, MISCHIEF},
    programs::{Dev, target_folder},
};

fn started() -> Dev {
    let samples = [ECHO, COUNTER, BANK_ACCOUNT, MISCHIEF, CHAT_ROOM, CHAT_LOBBY];
    Dev::start(&samples.map(|guest| guest.path().to_str().unwrap()))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The Python that `tests/setup.sh` made, with grpcio and its code generator.
fn python() -> PathBuf {
    let python = target_folder().parent().unwrap().join("python/bin/python");
    assert!(python.exists(), "{} is missing: tests/setup.sh test", python.display());
    python
}

fn succeeds(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn a_python_client_with_stubs_made_from_the_proto_files_calls_objects() {
    let dev = started();
    let stubs = dev.folder.path().join("stubs");
    std::fs::create_dir(&stubs).unwrap();
    let mut generate = Command::new(python());
    generate.args(["-m", "grpc_tools.protoc", "-I"]).arg(root().join("proto"));
    generate.arg(format!("--python_out={}", stubs.display()));
    generate.arg(format!("--grpc_python_out={}", stubs.display()));
    generate.args(["wasmverse/gate/v1/gate.proto", "wasmverse/admin/v1/admin.proto"]);
    succeeds(&generate.current_dir(root().join("proto")).output().unwrap());
    let mut client = Command::new(python());
    client.arg(root().join("tests/clients/outside.py")).arg(dev.grpc.to_string());
    client.env("PYTHONPATH", &stubs).arg(COUNTER.path());
    succeeds(&client.output().unwrap());
}

#[test]
fn curl_calls_creates_lists_and_uploads() {
    let dev = started();
    let curl = |words: &[&str], path: &str| {
        let output = Command::new("curl")
            .args(["-sS", "-w", "\n%{http_code}"])
            .args(words)
            .arg(format!("{}{path}", dev.http.url))
            .output()
            .unwrap();
        succeeds(&output);
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.to_owned(), body.to_owned())
    };
    let is = |status: &str, body: &str| (status.to_owned(), body.to_owned());
    assert_eq!(curl(&["-d", "5"], "/v1/objects/Counter/c/add"), is("200", "5"));
    assert_eq!(curl(&["-X", "POST"], "/v1/objects/Counter/c/value"), is("200", "5"));
    assert_eq!(curl(&["-X", "POST"], "/v1/objects/Counter/c/reset"), is("204", ""));
    assert_eq!(
        curl(&["-d", "{\"a\":[1]}"], "/v1/objects/Echo/a%2Fb/echo"),
        is("200", "{\"a\":[1]}")
    );
    assert_eq!(curl(&["-X", "PUT"], "/v1/objects/Counter/made").0, "201");
    assert_eq!(curl(&["-X", "PUT"], "/v1/objects/Counter/made").0, "409");
    assert_eq!(curl(&["-X", "DELETE"], "/v1/objects/Counter/made"), is("204", ""));
    let (status, body) = curl(&[], "/v1/objects?type=Counter");
    assert!(status == "200" && body.contains("\"id\":\"c\""), "{status} {body}");
    let file = format!("@{}", ECHO.path().display());
    let (status, body) = curl(&["--data-binary", &file], "/v1/admin/types");
    assert!(status == "201" && body.contains("\"active\":true"), "{status} {body}");
    let (status, body) = curl(&["-X", "POST"], "/v1/objects/Mischief/m/trap");
    assert!(status == "502" && body.contains("\"code\":\"trapped\""), "{status} {body}");
    let zipped = curl(&["--compressed"], "/v1/openapi.json");
    assert!(zipped.0 == "200" && zipped.1.contains("\"openapi\":\"3.1"), "{zipped:?}");
    let (status, body) = curl(&["--http2-prior-knowledge", "-d", "1"], "/v1/objects/Echo/a/echo");
    assert_eq!((&status[..], &body[..]), ("200", "1"));
}
