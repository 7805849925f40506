//! Encrypted connections: who is believed to be the server, and who is not.
//!
//! How TLS works is not tested, only that it is asked for.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::servers::Disk;

fn openssl(folder: &Path, words: &str) {
    let mut command = Command::new("openssl");
    let output = command.args(words.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Makes an authority `name.pem`, and a key and a certificate of it for a server.
fn make_certificates(folder: &Path, name: &str) {
    let key = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(
        folder,
        &format!("{key} -x509 -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"),
    );
    openssl(folder, &format!("{key} -subj /CN=database -keyout {name}-server.key -out {name}.csr"));
    let sign = "x509 -req -days 2 -CAcreateserial -extfile extensions";
    std::fs::write(folder.join("extensions"), "subjectAltName = DNS:database\n").unwrap();
    openssl(
        folder,
        &format!("{sign} -in {name}.csr -CA {name}.pem -CAkey {name}.key -out {name}-server.pem"),
    );
}

fn connections_are_encrypted_and_servers_known_by_their_authority(kind: Kind) {
    let certificates = tempfile::tempdir().unwrap();
    for name in ["ours", "another"] {
        make_certificates(certificates.path(), name);
    }
    let path = |name: &str| certificates.path().join(name).display().to_string();
    let (key, certificate) = (path("ours-server.key"), path("ours-server.pem"));
    // PostgreSQL runs as somebody else, and reads a key that is its own alone.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(certificates.path(), mode).unwrap();
    let flags = match kind {
        Kind::Postgres => {
            crate::servers::give_to_postgres(Path::new(&key));
            [
                "-c".to_owned(),
                "ssl=on".to_owned(),
                "-c".to_owned(),
                format!("ssl_cert_file={certificate}"),
                "-c".to_owned(),
                format!("ssl_key_file={key}"),
            ]
            .to_vec()
        }
        Kind::Mariadb => {
            vec![format!("--ssl-cert={certificate}"), format!("--ssl-key={key}")]
        }
    };
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let server = Server::start(kind, Disk::Fast, &flags);
    let database = server.create_database();
    let (scheme, port, verify, authority) = match kind {
        Kind::Postgres => {
            server.administer("CREATE ROLE remote LOGIN SUPERUSER PASSWORD 'r'");
            ("postgres", 5432, "sslmode=verify-ca", "sslrootcert")
        }
        Kind::Mariadb => {
            server.administer("CREATE USER remote@'%' IDENTIFIED BY 'r' REQUIRE SSL");
            server.administer("GRANT ALL ON *.* TO remote@'%'");
            ("mysql", 3306, "ssl-mode=VERIFY_CA", "ssl-ca")
        }
    };
    let url = |rest: &str| format!("{scheme}://remote:r@{}:{port}/{database}?{rest}", server.ip());
    let open = |rest: &str| driver(kind).open(&settings(url(rest), &[]));
    let conn = open(&format!("{verify}&{authority}={}", path("ours.pem"))).unwrap();
    conn.apply(&batch(0, [record(1, 5, 10)])).unwrap();

    let error = open(&format!("{verify}&{authority}={}", path("another.pem"))).err().unwrap();
    assert!(matches!(error, DriverError::Settings(_)), "{error:?}");
    assert!(error.to_string().contains("certificate"), "{error}");
    let plain = if kind == Kind::Postgres { "sslmode=disable" } else { "ssl-mode=DISABLED" };
    let error = open(plain).err().unwrap();
    assert!(matches!(error, DriverError::Settings(_)), "it let in without TLS: {error:?}");
}

on_both! {
    connections_are_encrypted_and_servers_known_by_their_authority
}
