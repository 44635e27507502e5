//! `gate.static_dir`: files for browsers.

use std::fs;

use tempfile::TempDir;

use crate::scene::{Scene, request, with_headers};

async fn scene() -> (Scene, TempDir) {
    let folder = TempDir::new().unwrap();
    let site = folder.path().join("site");
    fs::create_dir_all(site.join("assets")).unwrap();
    fs::create_dir_all(site.join("v1")).unwrap();
    fs::write(site.join("index.html"), "<p>here").unwrap();
    fs::write(site.join("assets/main-3f2a.js"), "go()").unwrap();
    fs::write(site.join(".secret"), "s").unwrap();
    fs::write(site.join("v1/file"), "s").unwrap();
    fs::write(folder.path().join("outside"), "s").unwrap();
    let scene = Scene::with(|config| {
        config.gate.static_dir = Some(site.to_str().unwrap().to_owned());
    })
    .await;
    (scene, folder)
}

#[tokio::test]
async fn files_are_served_with_what_a_browser_must_know() {
    let (scene, _folder) = scene().await;
    for (path, body, media, cache) in [
        ("/", "<p>here", "text/html", "no-cache"),
        ("/index.html", "<p>here", "text/html", "no-cache"),
        ("/assets/main-3f2a.js", "go()", "text/javascript", "public, max-age=31536000, immutable"),
    ] {
        let file = scene.get(path).await;
        assert_eq!((file.status.as_u16(), &*file.body), (200, body.as_bytes()), "{path}");
        assert!(file.header("content-type").unwrap().starts_with(media), "{path}");
        assert_eq!(file.header("cache-control"), Some(cache));
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
        assert!(file.header("content-security-policy").unwrap().contains("default-src 'self'"));
        let since = file.header("last-modified").unwrap();
        let asked = with_headers(request("GET", path, ""), &[("if-modified-since", since)]);
        assert_eq!(scene.ask(asked).await.status, 304);
    }
    assert_eq!(scene.get("/v1/types").await.status, 200);
}

#[tokio::test]
async fn what_is_no_file_of_the_folder_is_not_there() {
    let (scene, _folder) = scene().await;
    for path in [
        "/nope",
        "/assets",
        "/assets/",
        "/.secret",
        "/%2esecret",
        "/../outside",
        "/..%2foutside",
        "/%2e%2e/outside",
        "/assets/../../outside",
        "/assets/..%5c..%5coutside",
        "//outside",
        "//evil.example/..",
        "/v1/file",
        "/%76%31/file",
        "/index.html/",
        "/a%00b",
        "/%ff",
    ] {
        let answer = scene.get(path).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (404, "not-found"), "{path}");
    }
    let put = scene.ask(request("PUT", "/index.html", "x")).await;
    assert_eq!((put.status.as_u16(), &*put.code()), (404, "not-found"));
    let none = Scene::start().await.get("/").await;
    assert_eq!((none.status.as_u16(), &*none.code()), (404, "not-found"));
}
