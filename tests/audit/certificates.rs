//! Certificates: for a CI job that has a key for ten minutes and an authority that says whose it is.

use crate::common::kinds::Table;
use crate::rig::*;
use crate::ssh::{Agent, Folder};
use bgctl::audit::Verdict;
use bgctl::journal::SealState;
use bgctl::sign::agent::{self, AgentKey};
use bgctl::sign::certified::Certified;
use bgctl::sign::choice::{self, Found, Look, Sources, choose, looks};
use bgctl::sign::file::FileKey;
use bgctl::sign::hmac::SharedKey;
use bgctl::sign::{AllowedSigners, Revoked, SignError, Signer, TrustError, namespace, sshsig, trust};
use jiff::Timestamp;

const JOB: &str = "job@ci.example.com";
const DAY: &[&str] = &["-V", "20261121000000Z:20261122000000Z"];
const SPACE: &str = namespace::APPROVE;

fn now() -> Timestamp {
    "2026-11-21T03:00:00Z".parse().unwrap()
}

fn authority(dir: &Folder, options: &str) -> String {
    format!("*@ci.example.com cert-authority{options} {}\n", dir.public("ca").line())
}

/// Two authorities and a key.
fn folder() -> Option<Folder> {
    let dir = Folder::new()?;
    for name in ["ca", "other-ca", "id"] {
        dir.key(name, "ed25519", "");
    }
    Some(dir)
}

#[test]
fn case_42_a_certificate_counts_as_its_authority_says_and_no_further() {
    let Some(dir) = folder() else { return };
    let good = authority(&dir, ",namespaces=\"bgctl-*\"");
    let git = authority(&dir, ",namespaces=\"git\"");
    let host = ["-h", "-n", JOB, DAY[0], DAY[1]];
    let day = |more: &[&'static str]| [more, DAY].concat();
    let cases: Vec<(&str, &str, Vec<&str>, &str, &str)> = vec![
        ("sound", "ca", day(&["-n", JOB]), &good, ""),
        ("two names", "ca", day(&["-n", "x@ci.example.com,job@ci.example.com"]), &good, ""),
        ("without an end", "ca", vec!["-n", JOB], &good, ""),
        ("wrong authority", "other-ca", day(&["-n", JOB]), &good, "which is no `cert-authority`"),
        ("no authority listed", "ca", day(&["-n", JOB]), "", "which is no `cert-authority`"),
        ("wrong person", "ca", day(&["-n", "other@ci.example.com"]), &good, "belongs to other@ci.example.com"),
        ("nobody", "ca", day(&[]), &good, "belongs to nobody by name"),
        ("before its time", "ca", vec!["-n", JOB, "-V", "20261122Z:20261123Z"], &good, "valid from 2026-11-22"),
        ("expired", "ca", vec!["-n", JOB, "-V", "20261119Z:20261120Z"], &good, "valid before 2026-11-20"),
        ("for a host", "ca", host.to_vec(), &good, "for a host"),
        ("critical option", "ca", day(&["-n", JOB, "-O", "force-command=true"]), &good, "`force-command`"),
        ("other purpose", "ca", day(&["-n", JOB]), &git, "may not sign for"),
    ];
    for (name, ca, more, allowed, refusal) in cases {
        let certificate = dir.certify(ca, "id", &more);
        let key = Certified::new(Box::new(FileKey::read(&dir.path("id"), &|_| None).unwrap()), certificate.clone());
        let ours = key.unwrap().sign(SPACE, b"request").unwrap();
        let theirs = dir.sign("id-cert.pub", SPACE, "request");
        // Ed25519 is deterministic: the two are the same bytes.
        assert_eq!(ours, theirs, "{name}");
        assert!(sshsig::is_canonical(&theirs));
        dir.write("allowed", allowed);
        let (accepted, words) = dir.verify(JOB, SPACE, "request", &theirs, &["-O", "verify-time=20261121030000Z"]);
        let signers = AllowedSigners::parse(allowed).unwrap();
        match signers.check(Some(JOB), SPACE, b"request", &ours, now()) {
            Ok(signed) => {
                assert_eq!((refusal, accepted), ("", true), "{name}: {words}");
                assert_eq!((signed.principal.as_str(), signed.kind.as_str()), (JOB, "ed25519"), "{name}");
                assert_eq!(signed.fingerprint, dir.public("id").fingerprint(), "{name}");
                let authority = signed.authority.unwrap();
                assert_eq!(
                    (authority.id.as_str(), authority.fingerprint),
                    ("ci job 7", dir.public("ca").fingerprint())
                );
            }
            Err(error) => {
                assert!(!refusal.is_empty() && error.to_string().contains(refusal), "{name}: {error}");
                // The one case OpenSSH lets pass: what a critical option forbids is not looked at for signatures.
                assert_eq!(accepted, name == "critical option", "{name}: {words}");
            }
        }
        assert!(signers.check(Some(JOB), SPACE, b"requesT", &ours, now()).is_err());
        // Without a name to look for, it is whoever the certificate names and its authority may speak for.
        let found = signers.check(None, SPACE, b"request", &ours, now()).map(|signed| signed.principal);
        match name {
            "sound" | "without an end" => assert_eq!(found.unwrap(), JOB),
            "two names" => assert_eq!(found.unwrap(), "x@ci.example.com"),
            "wrong person" => assert_eq!(found.unwrap(), "other@ci.example.com"),
            _ => assert!(found.is_err(), "{name}"),
        }
    }
}

#[test]
fn case_42b_a_changed_certificate_does_not_count() {
    let Some(dir) = folder() else { return };
    let certificate = dir.certify("ca", "id", &["-n", "a@ci.example.com"]);
    let signers = AllowedSigners::parse(&authority(&dir, ",namespaces=\"bgctl-*\"")).unwrap();
    assert!(signers.check_key(None, SPACE, &certificate, now()).is_ok());
    let mut blob = certificate.blob().to_vec();
    let mut refused = 0;
    for at in 0..blob.len() {
        blob[at] ^= 1;
        // Many changed bytes are no certificate any more; none is one that counts.
        if let Ok(changed) = bgctl::sign::PublicKey::from_blob(&blob) {
            assert!(signers.check_key(None, SPACE, &changed, now()).is_err(), "byte {at}");
            refused += 1;
        }
        blob[at] ^= 1;
    }
    assert!(refused > 100, "{refused}");
    // A key under a certificate that is not its own.
    let key = FileKey::read(&dir.path("other-ca"), &|_| None).unwrap();
    assert!(Certified::new(Box::new(key), certificate).is_err());
}

proptest::proptest! {
    /// Whatever stands in a signature, a list or a file: an answer, never a panic.
    #[test]
    fn no_bytes_make_the_readers_fall(bytes: Vec<u8>, kind in 0..5usize, text in ".*") {
        let kinds = [
            "ssh-ed25519-cert-v01@openssh.com",
            "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
            "ecdsa-sha2-nistp256",
            "sk-ssh-ed25519@openssh.com",
            "",
        ];
        let mut blob = u32::try_from(kinds[kind].len()).unwrap().to_be_bytes().to_vec();
        blob.extend_from_slice(kinds[kind].as_bytes());
        blob.extend_from_slice(&bytes);
        let _ = bgctl::sign::PublicKey::from_blob(&blob);
        let _ = Revoked::parse(&bytes, "/none".as_ref(), "list");
        let _ = Revoked::parse(text.as_bytes(), "/none".as_ref(), "list");
        let _ = sshsig::check(SPACE, &bytes, &text);
        let lines = format!("{text}\nalice namespaces=\"{text}\" {}\n", owner().public());
        for finding in bgctl::sign::lint::lint(&lines, now()) {
            finding.render("allowed_signers", &lines, false);
        }
    }
}

#[test]
fn ecdsa_authorities_and_keys_do_as_well_and_an_authoritys_line_makes_no_key() {
    let Some(dir) = Folder::new() else { return };
    dir.key("ca", "ecdsa", "");
    dir.key("id", "ecdsa", "");
    let certificate = dir.certify("ca", "id", &["-n", JOB]);
    let allowed = authority(&dir, ",namespaces=\"bgctl-*\"");
    let signers = AllowedSigners::parse(&allowed).unwrap();
    let sig = dir.sign("id-cert.pub", SPACE, "request");
    assert_eq!(signers.check(None, SPACE, b"request", &sig, now()).unwrap().principal, JOB);
    // The authority's key signs certificates, not requests; and a listed key needs no certificate to be refused.
    let by_ca = dir.sign("ca", SPACE, "request");
    assert!(matches!(signers.check(None, SPACE, b"request", &by_ca, now()), Err(TrustError::Unknown { .. })));
    let listed = AllowedSigners::parse(&trust::line(JOB, &dir.public("id").line())).unwrap();
    let refused = listed.check(None, SPACE, b"request", &sig, now());
    assert!(matches!(refused, Err(TrustError::UnknownAuthority { .. })), "{refused:?}");
    assert!(AllowedSigners::parse(&format!("a {}", certificate.line())).unwrap_err().why.contains("authority"));
}

#[test]
fn a_revoked_key_or_authority_takes_its_certificates_with_it() {
    let Some(dir) = folder() else { return };
    let certificate = dir.certify("ca", "id", &["-n", JOB, "-z", "7"]);
    let signers = AllowedSigners::parse(&authority(&dir, ",namespaces=\"bgctl-*\"")).unwrap();
    dir.write("serials", "serial: 7\n");
    dir.write("others", "serial: 8\n");
    let krl = |name: &str, more: &[&str]| {
        dir.must(&[&["-q", "-k", "-f", &dir.text(name)], more].concat());
        std::fs::read(dir.path(name)).unwrap()
    };
    let ca = dir.text("ca.pub");
    for (name, list, counts) in [
        ("key", dir.public("id").line().into_bytes(), false),
        ("authority", dir.public("ca").line().into_bytes(), false),
        ("authority's fingerprint", dir.public("ca").fingerprint().into_bytes(), false),
        ("certificate", certificate.line().into_bytes(), false),
        ("somebody", dir.public("other-ca").line().into_bytes(), true),
        ("krl-key", krl("krl-key", &[&dir.text("id.pub")]), false),
        ("krl-serial", krl("krl-serial", &["-s", &ca, &dir.text("serials")]), false),
        ("krl-other", krl("krl-other", &["-s", &ca, &dir.text("others")]), true),
    ] {
        let revoked = Revoked::parse(&list, &dir.path(name), name).unwrap();
        let answer = signers.clone().without(revoked).check_key(Some(JOB), SPACE, &certificate, now());
        assert_eq!(answer.is_ok(), counts, "{name}: {answer:?}");
        assert!(counts || matches!(answer, Err(TrustError::Revoked { .. })), "{name}");
    }
}

#[test]
fn a_run_opened_with_a_certificate_is_verified_by_its_authority() {
    let Some(dir) = folder() else { return };
    let certificate = dir.certify("ca", "id", &["-n", OWNER, "-V", "20261121Z:20261122Z"]);
    let key = FileKey::read(&dir.path("id"), &|_| None).unwrap();
    let owner = Certified::new(Box::new(key), certificate.clone()).unwrap();
    let mut rig = Rig::of(RUN, &owner);
    rig.walk();
    rig.journal.close(SealState::Closed, Some(&owner)).unwrap();
    let bytes = rig.store.bytes();
    let line = |options: &str| {
        let text = format!("*@example.com cert-authority,{options} {}\n", dir.public("ca").line());
        AllowedSigners::parse(&(text + &trust::line(APPROVER, &approver().public()))).unwrap()
    };
    let report = report_by(&bytes, line("namespaces=\"bgctl-*\""));
    assert_eq!(report.verdict, Verdict::Complete, "{report:#?}");
    assert_eq!(report.owners[0].signed.listed(), dir.public("ca").fingerprint());
    let not_to_close = report_by(&bytes, line("namespaces=\"bgctl-open-v1\"")).verdict;
    assert!(matches!(not_to_close, Verdict::Untrusted(TrustError::NotForThis { .. })), "{not_to_close:?}");
    // A certificate that ends before its run: the log is kept, and ended instead of closed by nobody's signature.
    let short = dir.certify("ca", "id", &["-n", OWNER, "-V", "20261121030000Z:20261121030300Z"]);
    let key = FileKey::read(&dir.path("id"), &|_| None).unwrap();
    let owner = Certified::new(Box::new(key), short).unwrap();
    let mut rig = Rig::of(RUN, &owner);
    rig.walk();
    rig.clock.pass(std::time::Duration::from_secs(60));
    let closed = rig.journal.close(SealState::Closed, Some(&owner)).unwrap();
    assert!(matches!(closed.unsigned, Some(SignError::Over { .. })), "{:?}", closed.unsigned);
    assert_eq!(report_by(&rig.store.bytes(), line("namespaces=\"bgctl-*\"")).verdict, Verdict::Ended);
    // This machine remembers the keys of its own runs; a certificate ends, so its key is not remembered.
    let archive = bgctl::journal::Archive::new(dir.path("own"));
    let owner = Certified::new(Box::new(FileKey::read(&dir.path("id"), &|_| None).unwrap()), certificate).unwrap();
    bgctl::session::ran::remember(&archive, RUN, &OWNER.parse().unwrap(), &owner).unwrap();
    assert!(bgctl::session::ran::of(&archive, RUN).is_empty());
}

#[test]
fn a_certificate_beside_the_key_signs_where_its_authority_is_what_is_believed() {
    let Some(dir) = folder() else { return };
    dir.certify("ca", "id", &["-n", JOB, "-V", "20261121Z:20261122Z"]);
    let sources = |word: String, now: Timestamp| Sources {
        flag: Some(word),
        namespace: namespace::OPEN.into(),
        now,
        ..Sources::default()
    };
    let look = |word: &str, allowed: &str, now| -> Look {
        looks(&sources(dir.text(word), now), &AllowedSigners::parse(allowed).unwrap()).swap_remove(0)
    };
    let signs = |look: &Look| match &look.found {
        Found::Key(chosen) => chosen.open(&|_| None).unwrap().public(),
        other => panic!("{other:?}"),
    };
    let (plain, certificate) = (dir.public("id").line(), dir.public("id-cert").line());
    let ci = authority(&dir, ",namespaces=\"bgctl-*\"");
    let believed = look("id", &ci, now());
    assert_eq!(signs(&believed), certificate, "{believed:?}");
    assert!(believed.notes.iter().any(|note| note.contains(JOB)), "{believed:?}");
    // Listed by itself the key needs no certificate, and a certificate nobody believes would only spoil it.
    assert_eq!(signs(&look("id", &(ci.clone() + &trust::line(JOB, &plain)), now())), plain);
    let unknown = look("id", "", now());
    assert_eq!(signs(&unknown), plain);
    assert!(unknown.notes.iter().any(|note| note.contains("is not used")), "{unknown:?}");
    // Over, though its authority is believed: the key alone would make a log that nobody believes.
    let late = look("id", &ci, "2026-11-23T00:00:00Z".parse().unwrap());
    assert!(matches!(&late.found, Found::Unusable(why) if why.contains("id-cert.pub does not count")), "{late:?}");
    // Named itself, the certificate is meant; over, it is refused and nothing signs in its place.
    assert_eq!(signs(&look("id-cert.pub", "", now())), certificate);
    let over = look("id-cert.pub", &ci, "2026-11-23T00:00:00Z".parse().unwrap());
    assert!(matches!(&over.found, Found::Unusable(why) if why.contains("was valid before")), "{over:?}");
    assert!(choose(&[over]).is_err());
}

#[test]
fn a_certificate_in_a_real_agent_signs() {
    let Some(dir) = folder() else { return };
    let Some(agent) = Agent::start(&dir) else { return };
    let certificate = dir.certify("ca", "id", &["-n", JOB]);
    // `ssh-add` takes the certificate beside the key along.
    agent.add(&["-q", &dir.text("id")]);
    let held = agent::list(&agent.socket).unwrap();
    assert!(held.iter().any(|held| held.key == certificate) && held.len() == 2, "{held:?}");
    let sig = AgentKey::new(&agent.socket, certificate.clone()).sign(SPACE, b"request").unwrap();
    let allowed = authority(&dir, ",namespaces=\"bgctl-*\"");
    dir.write("allowed", &allowed);
    assert!(dir.verify(JOB, SPACE, "request", &sig, &[]).0);
    let signers = AllowedSigners::parse(&allowed).unwrap();
    assert_eq!(signers.check(None, SPACE, b"request", &sig, now()).unwrap().principal, JOB);
    // Key and certificate have one fingerprint; the one that is believed is meant, by name and by trust.
    let word = format!("agent:{}", certificate.fingerprint());
    for flag in [Some(word), None] {
        let sources = Sources {
            flag,
            agent: Some(agent.socket.clone()),
            namespace: SPACE.into(),
            now: now(),
            ..Sources::default()
        };
        let found = looks(&sources, &signers);
        let public = choose(&found).unwrap().public().unwrap();
        assert_eq!(public, Some(certificate.clone()), "{found:?}");
    }
}

/// A kind of signer, and what names its key.
type Place = (&'static str, fn(&Folder) -> Sources);

/// A place for each, in a folder with the key `id` that an agent holds and that has a certificate.
const PLACES: &[Place] = &[
    ("ssh-agent", |dir| {
        let word = format!("agent:{}", dir.public("id").fingerprint());
        Sources { flag: Some(word), ..Sources::default() }
    }),
    ("certificate", |dir| Sources { flag: Some(dir.text("id-cert.pub")), ..Sources::default() }),
    ("file", |dir| Sources { flag: Some(dir.text("ca")), agent: None, ..Sources::default() }),
    ("shared-key", |dir| {
        dir.write("shared", &"7".repeat(40));
        Sources { shared: Some(dir.path("shared")), ..Sources::default() }
    }),
];

/// What every signer must do, at its place.
#[test]
fn every_signer_is_found_by_its_name_and_what_it_signs_is_believed() {
    let Some(dir) = folder() else { return };
    let Some(agent) = Agent::start(&dir) else { return };
    agent.add(&["-q", &dir.text("id")]);
    let certificate = dir.certify("ca", "id", &["-n", JOB]);
    let kinds = choice::KINDS.iter().map(|kind| (kind.name, kind.page)).collect();
    let places = PLACES.iter().map(|(name, _)| *name).collect();
    Table { of: "signer", kinds, topic: Some("keys"), places }.is_complete();
    for kind in choice::KINDS {
        for (name, place) in PLACES.iter().filter(|(name, _)| *name == kind.name) {
            let sources = place(&dir);
            let sources = Sources { agent: Some(agent.socket.clone()), namespace: SPACE.into(), now: now(), ..sources };
            let found = looks(&sources, &AllowedSigners::default());
            let chosen = choose(&found).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert_eq!(chosen.kind.name, *name, "{found:?}");
            assert!(!chosen.line().is_empty());
            // What is known of it before it is opened is what it is then.
            let signer = chosen.open(&|_| None).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert!(!signer.name().is_empty() && !signer.fingerprint().is_empty());
            let signature = signer.sign(SPACE, b"request").unwrap_or_else(|why| panic!("{name}: {why}"));
            match chosen.public().unwrap() {
                Some(key) => {
                    assert_eq!(key.line(), signer.public(), "{name}");
                    assert_eq!(sshsig::verify(SPACE, b"request", &signature).unwrap(), key, "{name}");
                    assert!(sshsig::verify(SPACE, b"another", &signature).is_err(), "{name}");
                    assert_eq!(key == certificate, *name == "certificate");
                }
                None => {
                    let shared = SharedKey::read(&dir.path("shared")).unwrap();
                    assert!(shared.check(SPACE, b"request", &signature).is_ok(), "{name}");
                    assert!(shared.check(SPACE, b"another", &signature).is_err(), "{name}");
                }
            }
        }
    }
}
