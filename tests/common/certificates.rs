//! Certificates for servers on the loopback interface, by an authority that no system knows: `ca.pem`, `cert.pem`, `key.pem`.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::peer;

/// An authority and a certificate of it for this machine.
pub fn by_a_private_authority(dir: &Path) -> Option<()> {
    let openssl = peer("openssl")?;
    let run = |args: &[&str]| {
        let output = Command::new(&openssl).args(args).current_dir(dir).output().expect("openssl runs");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    run(&[
        &["req", "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=a private authority"],
        &key[..],
    ]
    .concat());
    run(&[&["req", "-keyout", "key.pem", "-out", "req.pem", "-subj", "/CN=prometheus"], &key[..]].concat());
    fs::write(dir.join("ext"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    run(&[
        "x509",
        "-req",
        "-in",
        "req.pem",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-out",
        "cert.pem",
        "-days",
        "2",
        "-extfile",
        "ext",
    ]);
    Some(())
}
