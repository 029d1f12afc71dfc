//! Security keys, acted out in software: what a device would sign, with flags of our choosing.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use crate::rig::*;
use crate::ssh::Folder;
use bgctl::audit::Verdict;
use bgctl::journal::SealState;
use bgctl::sign::agent::AgentKey;
use bgctl::sign::{AllowedSigners, Assurance, Demands, PublicKey, SigError, Signer, Touch, TrustError, namespace};
use bgctl::sign::{SignError, sshsig, trust};
use ed25519_dalek::{Signer as _, SigningKey};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

const SPACE: &str = namespace::APPROVE;

pub fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

fn now() -> Timestamp {
    "2026-11-21T03:00:00Z".parse().unwrap()
}

/// A device, and the flags it gives.
#[derive(Clone)]
pub struct Device {
    key: SigningKey,
    flags: u8,
}

impl Device {
    pub fn new(flags: u8) -> Self {
        Device { key: SigningKey::from_bytes(&[5; 32]), flags }
    }

    pub fn public(&self) -> PublicKey {
        let key = self.key.verifying_key();
        let parts = [&b"sk-ssh-ed25519@openssh.com"[..], key.as_bytes(), b"ssh:"].map(string);
        PublicKey::from_blob(&parts.concat()).unwrap()
    }

    /// The raw signature over bytes, as an agent answers it.
    pub fn raw(&self, signed: &[u8]) -> Vec<u8> {
        let counter = [0, 0, 0, 9];
        let message = [&Sha256::digest(b"ssh:")[..], &[self.flags], &counter, &Sha256::digest(signed)[..]].concat();
        let signature = self.key.sign(&message).to_bytes();
        [string(b"sk-ssh-ed25519@openssh.com"), string(&signature), vec![self.flags], counter.to_vec()].concat()
    }

    fn sign(&self, text: &str) -> String {
        sshsig::armor(&self.public(), SPACE, &self.raw(&sshsig::signed_bytes(SPACE, text.as_bytes())))
    }
}

#[test]
fn case_41_the_flags_of_a_security_key_are_judged_bit_by_bit() {
    let dir = Folder::new();
    let demand = |security_key, verified| Demands { security_key, verified };
    for (flags, plain, verified) in [
        // Nobody was there, or a copy of the key signed: never a signature, whatever a policy asks.
        (0x00, Err(SigError::NoTouch), false),
        (0x04, Err(SigError::NoTouch), false),
        (0x01, Ok(Touch::Present), false),
        (0x05, Ok(Touch::Verified), true),
        // Bits that mean something else to the device are no matter of ours.
        (0x41, Ok(Touch::Present), false),
        (0xc5, Ok(Touch::Verified), true),
    ] {
        let device = Device::new(flags);
        let text = trust::line(APPROVER, &device.public().line());
        let signers = AllowedSigners::parse(&text).unwrap();
        let sig = device.sign("request");
        let check = |demands| signers.clone().demanding(demands).check(None, SPACE, b"request", &sig, now());
        match plain {
            Ok(touch) => {
                let signed = check(Demands::default()).unwrap();
                assert_eq!((signed.touch, signed.evidence()), (Some(touch), "signed-hw"), "{flags:#x}");
                assert_eq!(signed.kind, "ed25519-sk");
                assert!(check(demand(true, false)).is_ok(), "{flags:#x}");
                let strict = check(demand(true, true));
                assert_eq!(strict.is_ok(), verified, "{flags:#x}");
                assert!(verified || matches!(strict, Err(TrustError::NotVerified { .. })), "{flags:#x}");
            }
            Err(ref error) => {
                assert_eq!(check(Demands::default()), Err(TrustError::Signature(error.clone())), "{flags:#x}");
            }
        }
        assert!(signers.check(None, SPACE, b"requesT", &sig, now()).is_err());
        // OpenSSH's own program takes these for signatures of that key: the bytes are as it makes them.
        if let (Some(dir), true) = (&dir, plain.is_ok()) {
            dir.write("allowed", &text);
            let (ok, words) = dir.verify(APPROVER, SPACE, "request", &sig, &[]);
            assert!(ok, "{flags:#x}: {words}");
        }
    }
    // A flag changed behind the signature.
    let honest = Device::new(0x01).sign("request");
    let body: String = honest.lines().filter(|line| !line.starts_with('-')).collect();
    let engine = base64::engine::general_purpose::STANDARD;
    let mut blob = base64::Engine::decode(&engine, body).unwrap();
    let at = blob.len() - 5;
    assert_eq!(blob[at], 0x01);
    blob[at] = 0x05;
    let begin = "-----BEGIN SSH SIGNATURE-----\n";
    let lifted = format!("{begin}{}\n-----END SSH SIGNATURE-----\n", base64::Engine::encode(&engine, blob));
    assert_eq!(sshsig::check(SPACE, b"request", &lifted), Err(SigError::Tampered));
    // A key in a file where a policy asks for a device.
    let by_file = approver().sign(SPACE, b"request").unwrap();
    let signers = AllowedSigners::parse(&trust::line(APPROVER, &approver().public())).unwrap();
    assert_eq!(signers.check(None, SPACE, b"request", &by_file, now()).unwrap().evidence(), "signed");
    for demands in [demand(true, false), demand(false, true)] {
        let refused = signers.clone().demanding(demands).check(None, SPACE, b"request", &by_file, now());
        assert!(matches!(refused, Err(TrustError::NoSecurityKey { .. })), "{refused:?}");
    }
}

#[test]
fn case_41c_security_keys_of_the_older_kind_are_judged_the_same() {
    use p256::ecdsa::signature::Signer as _;
    let dir = Folder::new();
    let kind = b"sk-ecdsa-sha2-nistp256@openssh.com";
    let key = p256::ecdsa::SigningKey::from_slice(&[3; 32]).unwrap();
    let point = key.verifying_key().to_encoded_point(false);
    let public = [&kind[..], b"nistp256", point.as_bytes(), b"ssh:"].map(string).concat();
    let public = PublicKey::from_blob(&public).unwrap();
    let text = trust::line(APPROVER, &public.line());
    let signers = AllowedSigners::parse(&text).unwrap();
    // SSH's numbers: no zeros in front, but one where the first bit is set.
    let number = |bytes: &[u8]| {
        let bare: Vec<u8> = bytes.iter().copied().skip_while(|b| *b == 0).collect();
        string(&if bare[0] & 0x80 == 0 { bare } else { [&[0][..], &bare].concat() })
    };
    for (flags, touch) in [(0x00u8, None), (0x01, Some(Touch::Present)), (0x05, Some(Touch::Verified))] {
        // Enough texts to meet numbers that begin with a set bit, and with zeros.
        for n in 0..40 {
            let request = format!("request {n}");
            let digest = Sha256::digest(sshsig::signed_bytes(SPACE, request.as_bytes()));
            let message = [&Sha256::digest(b"ssh:")[..], &[flags, 0, 0, 0, 9], &digest[..]].concat();
            let made: p256::ecdsa::Signature = key.sign(&message);
            let (r, s) = made.split_bytes();
            let numbers = [number(&r), number(&s)].concat();
            let raw = [string(kind), string(&numbers), vec![flags, 0, 0, 0, 9]].concat();
            let sig = sshsig::armor(&public, SPACE, &raw);
            let answer = signers.check(None, SPACE, request.as_bytes(), &sig, now());
            match touch {
                None => assert_eq!(answer, Err(TrustError::Signature(SigError::NoTouch))),
                Some(touch) => {
                    let signed = answer.unwrap();
                    assert_eq!((signed.kind.as_str(), signed.touch), ("ecdsa-sk", Some(touch)));
                    assert!(signers.check(None, SPACE, b"another", &sig, now()).is_err());
                }
            }
            if let (Some(dir), Some(_), 0) = (&dir, touch, n) {
                dir.write("allowed", &text);
                let (ok, words) = dir.verify(APPROVER, SPACE, &request, &sig, &[]);
                assert!(ok, "{words}");
            }
        }
    }
}

#[test]
fn case_41b_a_certificate_may_ask_for_more_than_a_touch_itself() {
    let Some(dir) = Folder::new() else { return };
    dir.key("ca", "ed25519", "");
    dir.write("device.pub", &format!("{} x\n", Device::new(1).public().line()));
    let text = format!("* cert-authority {}\n", dir.public("ca").line());
    let signers = AllowedSigners::parse(&text).unwrap();
    for (options, flags, counts) in [
        (&[][..], 0x01, true),
        (&["-O", "verify-required"][..], 0x01, false),
        (&["-O", "verify-required"][..], 0x05, true),
        (&[][..], 0x00, false),
    ] {
        let certificate = dir.certify("ca", "device", &[&["-n", APPROVER], options].concat());
        let raw = Device::new(flags).raw(&sshsig::signed_bytes(SPACE, b"request"));
        let sig = sshsig::armor(&certificate, SPACE, &raw);
        let answer = signers.check(Some(APPROVER), SPACE, b"request", &sig, now());
        assert_eq!(answer.is_ok(), counts, "{options:?} {flags:#x}: {answer:?}");
        assert_eq!(certificate.short_kind(), "ed25519-sk");
    }
}

/// An agent that signs with the device.
fn agent(dir: &tempfile::TempDir, name: &str, device: Device) -> AgentKey {
    let path = dir.path().join(name);
    let listener = UnixListener::bind(&path).unwrap();
    let public = device.public();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut len = [0; 4];
            stream.read_exact(&mut len).unwrap();
            let mut request = vec![0; u32::from_be_bytes(len) as usize];
            stream.read_exact(&mut request).unwrap();
            let key = u32::from_be_bytes(request[1..5].try_into().unwrap()) as usize;
            let data = &request[5 + key + 4..request.len() - 4];
            let answer = [&[14u8][..], &string(&device.raw(data))].concat();
            stream.write_all(&string(&answer)).unwrap();
        }
    });
    AgentKey::new(&path, public)
}

#[test]
fn a_security_key_in_an_agent_owns_a_run_and_an_untouched_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let owner = agent(&dir, "touched", Device::new(0x05));
    assert_eq!(owner.assurance(), Assurance::SecurityKey);
    let mut rig = Rig::of(RUN, &owner);
    rig.walk();
    rig.journal.close(SealState::Closed, Some(&owner)).unwrap();
    let text = trust::line(OWNER, &owner.public()) + &trust::line(APPROVER, &approver().public());
    let report = report_by(&rig.store.bytes(), AllowedSigners::parse(&text).unwrap());
    assert_eq!(report.verdict, Verdict::Complete, "{report:#?}");
    assert_eq!(
        (report.owners[0].signed.kind.as_str(), report.owners[0].assurance.as_str()),
        ("ed25519-sk", "security-key")
    );
    assert_eq!(report.owners[0].signed.touch, Some(Touch::Verified));

    let untouched = agent(&dir, "untouched", Device::new(0x00));
    let refused = untouched.sign(namespace::OPEN, b"x").unwrap_err();
    assert!(matches!(&refused, SignError::Agent { why, .. } if why.contains("was not touched")), "{refused}");
}
