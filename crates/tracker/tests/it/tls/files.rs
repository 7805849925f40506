//! Files and options with which a tracker does not start, and what it says of them.
//!
//! Files that change while it runs are tested beside this.

use std::fs;
use std::path::Path;

use super::{Files, run};
use crate::support::{Process, folder, load};

/// How a tracker ends that cannot start, and the problems that it tells.
fn refused(certificate: &Path, key: &Path) -> Vec<String> {
    let files = Files { certificate: certificate.into(), key: key.into() };
    let [certificate, key] = files.settings();
    let flags = ["--listen.port=0", "--listen.https=127.0.0.1:0", &certificate, &key];
    let (code, said) = Process::spawn(&flags).end();
    assert_eq!(code, Some(78), "{said}");
    let mut lines = said.lines();
    assert!(lines.next().unwrap().ends_with("in the configuration"), "{said}");
    lines.map(str::to_owned).collect()
}

#[test]
fn files_that_cannot_be_used_are_told_together() {
    let folder = folder();
    let missing = folder.path().join("missing");
    let told = refused(&missing, &missing);
    let [certificate, key] = &*told else { panic!("{told:?}") };
    for (line, option) in [(certificate, "tls.certificate"), (key, "tls.key")] {
        assert!(line.trim_start().starts_with(option), "{line}");
        assert!(line.contains("missing: cannot be read: "), "{line}");
    }
}

#[test]
fn each_kind_of_bad_file_is_told_by_what_it_must_be() {
    let folder = folder();
    let good = Files::make(folder.path(), "good");
    let other = Files::make(folder.path(), "other");
    let bad = folder.path().join("bad");
    let one = |certificate: &Path, key: &Path| {
        let told = refused(certificate, key);
        let [line] = &*told else { panic!("{told:?}") };
        line.trim_start().to_owned()
    };
    let line = one(&good.certificate, &other.key);
    assert!(line.starts_with("tls.key") && line.contains("must be the key of"), "{line}");
    // Each in the other's place.
    let told = refused(&good.key, &good.certificate);
    assert!(told[0].contains("must hold a certificate in PEM"), "{told:?}");
    assert!(told[1].contains("must hold a private key in PEM"), "{told:?}");

    fs::write(&bad, "").unwrap();
    assert!(one(&bad, &good.key).contains("must hold a certificate in PEM"));
    let begin = "-----BEGIN CERTIFICATE-----\n";
    fs::write(&bad, format!("{begin}AAAA\n")).unwrap();
    assert!(one(&bad, &good.key).contains("must be PEM from beginning to end"));
    fs::write(&bad, format!("{begin}AAAA\n-----END CERTIFICATE-----\n")).unwrap();
    assert!(one(&bad, &good.key).contains("must begin with a certificate"));

    let protected = format!(
        "pkcs8 -topk8 -passout pass:secret -in {} -out {}",
        good.key.display(),
        bad.display()
    );
    run("openssl", &protected.split(' ').map(str::to_owned).collect::<Vec<_>>());
    assert!(one(&good.certificate, &bad).contains("that is not encrypted"));
    let unusable = format!("genpkey -algorithm X25519 -out {}", bad.display());
    run("openssl", &unusable.split(' ').map(str::to_owned).collect::<Vec<_>>());
    assert!(one(&good.certificate, &bad).contains("must be a key for ECDSA, Ed25519 or RSA"));
}

#[test]
fn tls_and_its_files_need_each_other() {
    let problems = load(&["--listen.https=127.0.0.1:0"]).unwrap_err();
    let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["tls.certificate", "tls.key"]);
    assert!(problems[0].message.starts_with("must name a file for listen.https"), "{problems:?}");
    let problems = load(&["--listen.tls=detect", "--tls.key=a"]).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].message.starts_with("must name a file for listen.tls"), "{problems:?}");
    let warnings = load(&["--tls.key=a"]).unwrap().warnings;
    assert!(warnings[0].message.starts_with("has no effect without"), "{warnings:?}");
}

#[test]
fn addresses_of_https_must_be_free_of_others() {
    let files = ["--tls.certificate=a", "--tls.key=b"];
    for (taken, by) in [("--listen.http=", "listen.http"), ("--listen.admin=", "listen.https")] {
        let taken = format!("{taken}127.0.0.1:7777");
        let flags = [&files[..], &["--listen.https=127.0.0.1:7777", &taken]].concat();
        let problems = load(&flags).unwrap_err();
        assert!(problems[0].message.contains(&format!("which {by}")), "{problems:?}");
    }
}
