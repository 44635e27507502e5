//! An etcd that wants a password, or speaks TLS.

use std::path::Path;

use etcd_client::Permission;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::{Process, gate, node, server::Server};
use crate::{Error, Etcd, EtcdConfig};

#[tokio::test]
async fn a_password_is_given_and_a_wrong_one_is_refused() {
    let mut server = Server::start().await;
    let mut plain = server.plain().await;
    plain.user_add("root", "root-secret", None).await.unwrap();
    plain.role_add("root").await.unwrap();
    plain.user_grant_role("root", "root").await.unwrap();
    // Whoever may do no more than a cluster needs.
    plain.user_add("verse", "secret", None).await.unwrap();
    plain.role_add("verse").await.unwrap();
    let permission = Permission::read_write("/test/").with_prefix();
    plain.role_grant_permission("verse", permission).await.unwrap();
    plain.user_grant_role("verse", "verse").await.unwrap();
    plain.auth_enable().await.unwrap();

    let with = |user: &str, password: &str| EtcdConfig {
        user: Some(user.to_owned()),
        password: Some(password.to_owned()),
        ..server.config()
    };
    for wrong in [with("verse", "wrong"), with("nobody", "secret"), server.config()] {
        let told = Etcd::connect(&wrong).await;
        assert!(matches!(told, Err(Error::Refused(_))), "{told:?}");
    }
    let elsewhere = EtcdConfig { prefix: "/elsewhere".to_owned(), ..with("verse", "secret") };
    let told = Etcd::connect(&elsewhere).await;
    assert!(matches!(told, Err(Error::Refused(_))), "{told:?}");

    let config = with("verse", "secret");
    let a = Process::start(&Etcd::connect(&config).await.unwrap(), node("a")).await;
    let g = Process::start(&Etcd::connect(&config).await.unwrap(), gate("g")).await;
    a.sees(|view| view.gates.len() == 1 && view.leader.is_some()).await;
    // Whoever was logged in is not any more after that.
    let first = a.incarnation();
    server.kill();
    a.is_registered(false).await;
    server.run();
    a.is_registered(true).await;
    assert_ne!(a.incarnation(), first);
    g.cluster.leave().await;
    a.sees(|view| view.gates.is_empty()).await;
}

/// Writes what both sides need.
fn certificates(folder: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(folder.join("ca.pem"), ca.pem()).unwrap();
    for name in ["server", "client"] {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let key = KeyPair::generate().unwrap();
        let signed = CertificateParams::new(names).unwrap().signed_by(&key, &ca).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), signed.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

#[tokio::test]
async fn tls_works_both_ways_and_who_shows_no_certificate_is_not_let_in() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let at = |name: &str| folder.path().join(name);
    let argument = |name: &str, file: &str| format!("--{name}={}", at(file).display());
    let arguments = [
        argument("cert-file", "server.pem"),
        argument("key-file", "server.key"),
        argument("trusted-ca-file", "ca.pem"),
        "--client-cert-auth".to_owned(),
    ];
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let server = Server::start_as("https", &arguments);
    let config = EtcdConfig {
        ca: Some(at("ca.pem")),
        cert: Some(at("client.pem")),
        key: Some(at("client.key")),
        ..server.config()
    };
    let mut etcd = Etcd::connect(&config).await;
    for _ in 0..200 {
        if etcd.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        etcd = Etcd::connect(&config).await;
    }
    let a = Process::start(&etcd.unwrap(), node("a")).await;
    a.sees(|view| view.leader.is_some()).await;

    let nameless = EtcdConfig { cert: None, key: None, ..config.clone() };
    let others = tempfile::tempdir().unwrap();
    certificates(others.path());
    let stranger = EtcdConfig { ca: Some(others.path().join("ca.pem")), ..config.clone() };
    for wrong in [nameless, stranger, server.config()] {
        assert!(Etcd::connect(&wrong).await.is_err());
    }
}
