//! Agents: a real one that is asked and refuses, and others that lie, hang, or die while a run goes on.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

use crate::rig::*;
use crate::ssh::{Agent, Folder};
use bgctl::audit::Verdict;
use bgctl::journal::SealState;
use bgctl::sign::agent::{self, AgentKey};
use bgctl::sign::choice::{Found, Sources, choose, looks};
use bgctl::sign::{AllowedSigners, SignError, Signer, file, namespace, sshsig, trust};

#[test]
fn case_43_a_real_agent_signs_and_its_refusals_have_words() {
    let Some(dir) = Folder::new() else { return };
    let Some(agent) = Agent::start(&dir) else { return };
    let keys = [("a", "ed25519"), ("b", "ecdsa")].map(|(name, kind)| dir.key(name, kind, ""));
    dir.key("rsa", "rsa", "");
    for name in ["a", "b", "rsa"] {
        agent.add(&["-q", &dir.text(name)]);
    }
    let held = agent::list(&agent.socket).unwrap();
    assert_eq!(held.len(), 2, "the RSA key is left out: {held:?}");
    for (held, path) in held.iter().zip(&keys) {
        assert_eq!(held.key, file::public_part(path).unwrap());
        let key = AgentKey::new(&agent.socket, held.key.clone());
        let sig = key.sign(namespace::OPEN, b"statement").unwrap();
        assert_eq!(sshsig::verify(namespace::OPEN, b"statement", &sig).unwrap(), held.key);
    }
    let key = AgentKey::new(&agent.socket, held[0].key.clone());
    agent.add(&["-q", "-D"]);
    assert!(matches!(key.sign(namespace::OPEN, b"x"), Err(SignError::Refused { .. })));
    // A key that asks for confirmation, and nobody who could confirm.
    agent.add(&["-q", "-c", &dir.text("a")]);
    assert!(matches!(key.sign(namespace::OPEN, b"x"), Err(SignError::Refused { .. })));
    drop(agent);
    assert!(matches!(key.sign(namespace::OPEN, b"x"), Err(SignError::Agent { .. })));
}

#[test]
fn case_43b_an_agent_that_dies_does_not_stop_a_run_and_its_log_waits_for_the_owner() {
    let Some(dir) = Folder::new() else { return };
    let Some(agent) = Agent::start(&dir) else { return };
    dir.key("a", "ed25519", "");
    agent.add(&["-q", &dir.text("a")]);
    let public = dir.public("a");
    let key = AgentKey::new(&agent.socket, public.clone());
    let mut rig = Rig::of(RUN, &key);
    drop(agent);
    rig.walk();
    let closed = rig.journal.close(SealState::Closed, Some(&key)).unwrap();
    assert_eq!(closed.state, SealState::Ended);
    assert!(matches!(closed.unsigned, Some(SignError::Agent { .. })), "{:?}", closed.unsigned);
    let text = trust::line(OWNER, &public.line()) + &trust::line(APPROVER, &approver().public());
    assert_eq!(report_by(&rig.store.bytes(), AllowedSigners::parse(&text).unwrap()).verdict, Verdict::Ended);
}

/// An agent that answers each question as it is told; no answer: it listens and never says a word.
fn scripted(dir: &tempfile::TempDir, name: &str, answer: Option<Vec<u8>>) -> PathBuf {
    let path = dir.path().join(name);
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut len = [0; 4];
            stream.read_exact(&mut len).unwrap();
            let mut request = vec![0; u32::from_be_bytes(len) as usize];
            stream.read_exact(&mut request).unwrap();
            match &answer {
                Some(answer) => stream.write_all(answer).unwrap(),
                // Until the other side gives up.
                None => drop(stream.read(&mut [0])),
            }
        }
    });
    path
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
}

#[test]
fn case_43c_an_agent_that_lies_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    // A signature by another key, over the right bytes.
    let raw = {
        let text = approver().sign(namespace::OPEN, b"x").unwrap();
        let base64: String = text.lines().filter(|l| !l.starts_with('-')).collect();
        let blob = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, base64).unwrap();
        blob[blob.len() - 83..].to_vec()
    };
    let wrong = [&[14u8][..], &framed(&raw)].concat();
    for (name, answer, words) in [
        ("wrong", Some(framed(&wrong)), "does not hold"),
        ("hangs-up", Some(Vec::new()), "hung up"),
        ("endless", Some(vec![0x7f; 4]), "too long"),
        ("other", Some(framed(&[99])), "no signature"),
        ("short", Some(framed(&[14, 0, 0, 0, 9])), "ends too early"),
        ("half", Some(vec![0, 0, 0, 9, 14]), "hung up"),
    ] {
        let key = AgentKey::new(&scripted(&dir, name, answer), owner().public_key().clone());
        let error = key.sign(namespace::OPEN, b"x").unwrap_err().to_string();
        assert!(error.contains(words), "{name}: {error}");
    }
}

#[test]
fn case_43d_an_agent_that_hangs_is_given_up_after_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let silent = scripted(&dir, "silent", None);
    let patience = Duration::from_millis(100);
    let error = agent::list_within(&silent, patience).unwrap_err().to_string();
    assert!(error.contains("no answer within 0.1 s"), "{error}");
    let key = AgentKey::new(&silent, owner().public_key().clone()).within(patience);
    let error = key.sign(namespace::OPEN, b"x").unwrap_err().to_string();
    assert!(error.contains("no answer within 0.1 s"), "{error}");
    let error = agent::list(&dir.path().join("nobody")).unwrap_err().to_string();
    assert!(error.contains("no agent is there"), "{error}");
}

#[test]
fn case_43e_keys_of_unknown_kinds_do_not_hide_the_known_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut list = vec![12, 0, 0, 0, 4];
    let future = [framed(b"ssh-mldsa-87"), framed(&[7; 40])].concat();
    let broken = framed(b"ssh-ed25519");
    for (blob, comment) in [
        (&future[..], "post-quantum"),
        (&broken, "broken"),
        (&[], "nothing"),
        (owner().public_key().blob(), "mine\u{1b}[2J"),
    ] {
        list.extend(framed(blob));
        list.extend(framed(comment.as_bytes()));
    }
    let socket = scripted(&dir, "zoo", Some(framed(&list)));
    let held = agent::list(&socket).unwrap();
    assert_eq!(held.iter().map(|h| &h.key).collect::<Vec<_>>(), [owner().public_key()]);
    // The list is the agent's word, so what it calls its key cannot write on a terminal.
    let sources = Sources { agent: Some(socket), namespace: namespace::OPEN.into(), ..Sources::default() };
    let found = looks(&sources, &AllowedSigners::parse(&trust::line(OWNER, &owner().public())).unwrap());
    let line = choose(&found).unwrap().line();
    assert!(line.contains("mine\\u{1b}"), "{line}");

    let lies = [12, 0xff, 0xff, 0xff, 0xff];
    assert!(agent::list(&scripted(&dir, "lies", Some(framed(&lies)))).is_err());
}

#[test]
fn what_is_named_is_opened_as_it_is_or_refused_before_anything_is_signed() {
    let Some(dir) = Folder::new() else { return };
    let Some(agent) = Agent::start(&dir) else { return };
    dir.key("locked", "ed25519", "open sesame");
    dir.key("plain", "ed25519", "");
    dir.key("other", "ed25519", "");
    dir.key("rsa", "rsa", "");
    std::fs::copy(dir.path("other.pub"), dir.path("swapped.pub")).unwrap();
    std::fs::copy(dir.path("plain"), dir.path("swapped")).unwrap();
    dir.write("words", "no key at all");
    dir.must(&["-q", "-t", "ecdsa", "-m", "PEM", "-N", "", "-f", &dir.text("pem")]);
    let look = |word: &str| {
        let socket = Some(agent.socket.clone());
        let sources = Sources { flag: Some(word.into()), agent: socket, ..Sources::default() };
        looks(&sources, &AllowedSigners::default()).swap_remove(0)
    };
    for (word, why) in [
        (dir.text("rsa"), "`ssh-rsa` are not accepted"),
        (dir.text("rsa.pub"), "`ssh-rsa` are not accepted"),
        (dir.text("words"), "it is no private key"),
        (dir.text("pem"), "ssh-keygen -p -f"),
        (dir.text("gone"), "cannot read"),
        (dir.text("swapped.pub"), "is another key"),
        ("ssh-ed25519 AAAA".into(), "not a key bgctl can read"),
        ("key::nonsense".into(), "not a key bgctl can read"),
        ("agent:SHA256:x".into(), "does not hold SHA256:x; it has 0 usable keys"),
    ] {
        let found = look(&word);
        assert!(matches!(&found.found, Found::Unusable(said) if said.contains(why)), "{word}: {found:?}");
        assert!(choose(&[found]).is_err());
    }
    // Its own public part counts, whatever lies beside it.
    let swapped = look(&dir.text("swapped"));
    assert!(matches!(&swapped.found, Found::Key(key) if key.line().contains(&dir.public("plain").fingerprint())));
    // A passphrase is asked for where no agent holds the key open.
    let Found::Key(locked) = look(&dir.text("locked")).found else { panic!() };
    assert!(matches!(locked.open(&|_| None), Err(SignError::Locked { .. })));
    let (askpass, input) = (dir.write("askpass", "#!/bin/sh\necho 'open sesame'\n"), dir.text("locked"));
    std::fs::set_permissions(&askpass, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    agent.add_with(
        &["-q", &input],
        &[("SSH_ASKPASS", &askpass.display().to_string()), ("SSH_ASKPASS_REQUIRE", "force")],
    );
    let open = look(&dir.text("locked"));
    assert!(open.notes.iter().any(|note| note.contains("the agent holds it open")), "{open:?}");
    let Found::Key(open) = open.found else { panic!() };
    assert!(open.open(&|_| None).unwrap().sign(namespace::OPEN, b"x").is_ok());
}

#[test]
fn the_agent_signs_with_the_only_key_that_is_believed_and_never_with_a_guess() {
    let Some(dir) = Folder::new() else { return };
    let Some(agent) = Agent::start(&dir) else { return };
    for name in ["work", "home", "old"] {
        dir.key(name, "ed25519", "");
        agent.add(&["-q", &dir.text(name)]);
    }
    let now = "2026-11-21T03:00:00Z".parse().unwrap();
    let sources = |namespace: &str| Sources {
        agent: Some(agent.socket.clone()),
        namespace: namespace.into(),
        now,
        ..Sources::default()
    };
    let line = |who: &str, options: &str, key: &str| format!("{who} {options} {}\n", dir.public(key).line());
    let look = |text: &str, namespace: &str| {
        let signers = AllowedSigners::parse(text).unwrap();
        looks(&sources(namespace), &signers).pop().unwrap()
    };
    let none = look("", namespace::OPEN);
    assert!(matches!(&none.found, Found::Nothing(why) if why.contains("it has 3 usable keys, and none")), "{none:?}");
    let mine = line(OWNER, "namespaces=\"bgctl-*\"", "work");
    let old = line(OWNER, "namespaces=\"bgctl-*\",valid-before=\"20200101Z\"", "old");
    let one = look(&(mine.clone() + &old), namespace::OPEN);
    assert!(matches!(&one.found, Found::Key(key) if key.line().contains(&dir.public("work").fingerprint())), "{one:?}");
    assert!(one.notes[0].contains(OWNER) && one.notes[1].contains("the only one of 3"), "{one:?}");
    let over = look(&old, namespace::OPEN);
    assert!(matches!(&over.found, Found::Nothing(why) if why.contains("was not valid then")), "{over:?}");
    let two = look(&(mine.clone() + &line(OWNER, "namespaces=\"bgctl-*\"", "home")), namespace::OPEN);
    assert!(matches!(&two.found, Found::Nothing(why) if why.contains("2 of its keys")), "{two:?}");
    assert!(matches!(look(&mine, "git").found, Found::Nothing(_)));
}
