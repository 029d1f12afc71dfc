//! Credentials nobody told us about: found by their look ([`super::looks`]) and by the name beside them ([`super::names`]).
//!
//! What precedes a secret stays, so that a reader sees what it was.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use regex::Regex;

use super::looks::{LOOKS, Look, strict};
use super::names::{self, beside, variable, written_out};

/// A secret in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub span: Range<usize>,
    pub what: &'static str,
    /// The environment variable to keep it in; empty where neither look nor text say one.
    pub variable: String,
}

/// How much a text may be taken at its word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Texts of programs and of ours, where `token: expired` is a sentence.
    Prose,
    /// Files of settings, where whatever stands beside such a name is its value.
    Settings,
}

struct Finder {
    anchors: AhoCorasick,
    /// Whose anchor each is; past the last look: a name that means a secret.
    of: Vec<usize>,
    looks: Vec<(Regex, &'static Look)>,
}

static FINDER: LazyLock<Finder> = LazyLock::new(|| {
    let looks: Vec<_> =
        LOOKS.iter().map(|look| (Regex::new(look.pattern).expect("BUG: each look is a pattern"), look)).collect();
    let anchors = LOOKS.iter().enumerate().flat_map(|(n, look)| look.anchors.iter().map(move |anchor| (*anchor, n)));
    let anchors: Vec<(&str, usize)> =
        anchors.chain(names::ANCHORS.iter().map(|anchor| (*anchor, LOOKS.len()))).collect();
    let (words, of): (Vec<&str>, Vec<usize>) = anchors.into_iter().unzip();
    let build = AhoCorasick::builder().ascii_case_insensitive(true).build(words);
    Finder { anchors: build.expect("BUG: the anchors are few"), of, looks }
});

/// Every secret of a text, in order, none over another.
pub fn find(text: &str, reading: Reading) -> Vec<Found> {
    let finder = &*FINDER;
    let mut may = 0u64;
    for found in finder.anchors.find_overlapping_iter(text) {
        may |= 1 << finder.of[found.pattern().as_usize()];
    }
    let mut all = Vec::new();
    if may == 0 {
        return all;
    }
    for (n, (pattern, look)) in finder.looks.iter().enumerate().filter(|(n, _)| may & (1 << n) != 0) {
        debug_assert!(n < 63, "one bit for each look");
        for found in pattern.captures_iter(text) {
            let secret = found.name("secret").expect("BUG: each look has its secret");
            if written_out(secret.as_str()) && (look.so)(&found) {
                all.push(Found { span: secret.range(), what: look.what, variable: look.variable.into() });
            }
        }
    }
    if may & (1 << LOOKS.len()) != 0 {
        named(text, reading, &mut all);
    }
    all.sort_by_key(|found| (found.span.start, std::cmp::Reverse(found.span.end)));
    all.dedup_by(|next, first| {
        let over = next.span.start < first.span.end;
        if over {
            first.span.end = first.span.end.max(next.span.end);
        }
        over
    });
    all
}

/// Values beside names: `NAME=value`, `--name value`, `"name": "value"`, `name: value`.
fn named(text: &str, reading: Reading, all: &mut Vec<Found>) {
    static ANCHORS: LazyLock<AhoCorasick> = LazyLock::new(|| {
        let build = AhoCorasick::builder().ascii_case_insensitive(true).build(names::ANCHORS);
        build.expect("BUG: the anchors are few")
    });
    let part = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    let bytes = text.as_bytes();
    let mut from = 0;
    for anchor in ANCHORS.find_iter(text) {
        if anchor.start() < from {
            continue;
        }
        let start = anchor.start() - bytes[..anchor.start()].iter().rev().take_while(|b| part(**b)).count();
        let end = anchor.end() + bytes[anchor.end()..].iter().take_while(|b| part(**b)).count();
        from = end;
        let name = &text[start..end];
        // What stands in the place of a secret already.
        if text[..start].ends_with('[') {
            continue;
        }
        let Some(value) = value(text, name, end, reading) else { continue };
        let name = name.trim_start_matches(['-', '.']);
        if beside(name, &text[value.clone()]) {
            let variable = variable(name);
            all.push(Found { span: value, what: "a secret in clear text", variable });
        }
    }
}

/// The value that is given to a name which ends at a byte.
fn value(text: &str, name: &str, end: usize, reading: Reading) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let skip = |mut at: usize, of: &[u8]| {
        while at < bytes.len() && of.contains(&bytes[at]) {
            at += 1;
        }
        at
    };
    // The quotes of JSON, also where it stands in JSON.
    let closed = skip(end, b"\\\"'");
    let mut at = skip(closed, b" \t");
    let option = name.starts_with("--") && closed == end && at > end && !b"=:".contains(bytes.get(at)?);
    let given = option || bytes.get(at)? == &b'=';
    if !given && bytes[at] != b':' {
        return None;
    }
    let sign = skip(at, b"=:>");
    // `name = value`: in a sentence no proof.
    let apart = !option && (at > closed || skip(sign, b" \t") > sign);
    at = skip(sign, b" \t");
    let open = skip(at, b"\\\"'");
    let quoted = open > at;
    let ends: &[u8] = if quoted { b"\"'\\\r\n" } else { b" \t\r\n\"'\\&;|<>(),{}[]" };
    // A reference in braces is one word.
    let braces = text[open..].starts_with("${") || text[open..].starts_with("{{");
    let len = match braces {
        true => text[open..].find('}').map_or(0, |n| n + 1),
        false => bytes[open..].iter().take_while(|b| !ends.contains(b)).count(),
    };
    let value = open..open + len;
    // The next option, the call of a function, or the parameter of the same name.
    let next = &text[value.end..];
    let same = text[value.clone()].eq_ignore_ascii_case(name);
    if option && text[value.clone()].starts_with('-') || !quoted && (same || next.starts_with('(')) {
        return None;
    }
    // In a sentence a colon or a blank is no proof.
    let certain =
        reading == Reading::Settings || given && !apart || quoted && closed > end || strict(&text[value.clone()]);
    (certain && len > 0).then_some(value)
}

/// The beginning and the end of a private key, for readers that see one line at a time.
pub const KEY_BEGINS: &str = "-----BEGIN ";
pub const KEY_ENDS: &str = "-----END ";
pub const KEY_WORD: &str = "PRIVATE KEY";

/// The text with every credential replaced by what `label` gives for it.
pub fn replace(text: &str, reading: Reading, label: impl Fn(&str) -> String) -> String {
    let found = find(text, reading);
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for Found { span, .. } in found {
        out.push_str(&text[from..span.start]);
        out.push_str(&label(&text[span.clone()]));
        from = span.end;
    }
    out.push_str(&text[from..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(text: &str) -> String {
        replace(text, Reading::Prose, |_| "*".into())
    }

    #[test]
    fn what_looks_like_a_credential_goes_and_the_rest_stays() {
        for (text, wanted) in [
            ("token xoxb-1234567890-abcdef, ok", "token *, ok"),
            ("xapp-1-A012345-6789-abcdef", "*"),
            ("https://hooks.slack.com/services/T0/B0/abcdefghij", "https://hooks.slack.com/services/*"),
            ("key AKIAIOSFODNN7EXAMPLE.", "key *."),
            ("ghp_0123456789abcdefghij0123", "*"),
            ("jwt eyJhbGciOiJ9.eyJzdWIiOiJ9.c2ln end", "jwt * end"),
            ("> Authorization: Bearer abc.def", "> Authorization: Bearer *"),
            ("{\"authorization\":\"Basic dXNlcg==\"}", "{\"authorization\":\"Basic *\"}"),
            ("{\\\"Authorization\\\":\\\"Token abc\\\"}", "{\\\"Authorization\\\":\\\"Token *\\\"}"),
            ("postgres://bot:hunter2@db/x", "postgres://bot:*@db/x"),
            ("https://0123456789abcdef0123@git.test/x", "https://*@git.test/x"),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nmore",
                "-----BEGIN RSA PRIVATE KEY-----*-----END RSA PRIVATE KEY-----\nmore",
            ),
            ("-----BEGIN PRIVATE KEY-----\\nMII cut off", "-----BEGIN PRIVATE KEY-----*"),
        ] {
            assert_eq!(mask(text), wanted);
            assert_eq!(
                replace(&replace(text, Reading::Prose, |_| "[secret]".into()), Reading::Prose, |_| "!".into()),
                replace(text, Reading::Prose, |_| "[secret]".into())
            );
        }
    }

    /// Written in two parts, so that no scanner of repositories takes them for real ones.
    #[test]
    fn every_look_is_found_alone_in_a_sentence_and_in_json() {
        let hex = "0123456789abcdef0123456789abcdef";
        let long = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5";
        let upper = "A1B2C3D4E5F6G7H8J9K0L1M2N3P4Q5R6S7T8U9V0W1X2Y3Z4A5B6C7D8E9F0";
        let cases = [
            ("xox", "b-1234567890-abcdef"),
            ("xapp", "-1-A012345-6789-abcdef"),
            ("AGE-SECRET-KEY-", "1$U"),
            ("AKIA", "IOSFODNN7EXAMPLE"),
            ("ASIA", "IOSFODNN7EXAMPLE"),
            ("ghp_", "$L"),
            ("gho_", "$L"),
            ("ghu_", "$L"),
            ("ghs_", "$L"),
            ("ghr_", "$L"),
            ("github_pat_", "$L"),
            ("glpat-", "$L"),
            ("glrt-", "$L"),
            ("glptt-", "$L"),
            ("npm_", "$L"),
            ("pypi-", "AgEIcHlwaS5vcmc$L"),
            ("rubygems_", "$H$H"),
            ("dckr_pat_", "$L"),
            ("sk_live_", "$L"),
            ("rk_live_", "$L"),
            ("sk_test_", "$L"),
            ("whsec_", "$L"),
            ("sk-ant-", "api03-$L"),
            ("sk-proj-", "$L"),
            ("sk-", "$L"),
            ("AIza", "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q"),
            ("GOCSPX-", "$L"),
            ("ya29.", "$L"),
            ("hf_", "$L"),
            ("SG.", "abcdefghijklmnopqrstuv.$L"),
            ("SK", "$H"),
            ("key-", "$H"),
            ("u+", "abcdefghijklmnopqr"),
            ("NRAK-", "$U"),
            ("glsa_", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6_01234567"),
            ("sntrys_", "$L"),
            ("hvs.", "$L"),
            ("dop_v1_", "$H$H"),
            ("tskey-", "auth-$L"),
            ("dapi", "$H"),
            ("ATATT3", "$L"),
            ("lin_api_", "$L"),
            ("shpat_", "$H"),
            ("123456789:AA", "abcdefghijklmnopqrstuvwxyz0123456"),
            ("sdk-", "01234567-0123-4123-8123-0123456789ab"),
            ("eyJhbGciOiJIUzI1NiJ9.", "eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N"),
        ];
        for (begin, rest) in cases {
            let rest = rest.replace("$L", long).replace("$U", upper).replace("$H", hex);
            let token = format!("{begin}{rest}");
            for text in [token.clone(), format!("it says {token}, and ends"), format!("{{\"x\":\"{token}\"}}")] {
                let masked = mask(&text);
                assert!(
                    !masked.contains(&rest) && masked.contains('*') && masked.len() < text.len() - 8,
                    "{text} -> {masked}"
                );
            }
        }
    }

    #[test]
    fn what_stands_beside_a_name_or_an_option_goes() {
        for (text, wanted) in [
            ("PGPASSWORD=hunter2 psql -h db", "PGPASSWORD=* psql -h db"),
            ("export api_key='ab cd' x", "export api_key='*' x"),
            ("tool --password hunter2 --verbose", "tool --password * --verbose"),
            ("tool --client-secret=hunter2", "tool --client-secret=*"),
            ("{\"password\": \"hun ter\", \"n\": 1}", "{\"password\": \"*\", \"n\": 1}"),
            ("{\\\"db_token\\\":\\\"ab-cd\\\"}", "{\\\"db_token\\\":\\\"*\\\"}"),
            ("x-api-key: 0123abcd", "x-api-key: *"),
            ("GET /v1?access_token=abc&x=1", "GET /v1?access_token=*&x=1"),
            ("curl -u bot:pw http://x", "curl -u bot:* http://x"),
            ("curl --user 'bot:p w' http://x", "curl --user 'bot:* w' http://x"),
            ("Set-Cookie: sid=abcdef; Path=/", "Set-Cookie: *; Path=/"),
            ("AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "* *"),
            ("amqp://:pw@mq/x", "amqp://:*@mq/x"),
        ] {
            assert_eq!(mask(text), wanted);
        }
    }

    #[test]
    fn in_settings_a_colon_is_enough() {
        let lenient = |text| replace(text, Reading::Settings, |_| "*".into());
        assert_eq!(lenient("DATABASE_PASSWORD: \"swordfish\""), "DATABASE_PASSWORD: \"*\"");
        assert_eq!(lenient("token: ${env:X}, max_tokens: 20"), "token: ${env:X}, max_tokens: 20");
    }

    #[test]
    fn ordinary_text_stays() {
        for text in [
            "http://127.0.0.1:9090/api/v1/query?query=up",
            "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener-rule/app/bot/50dc6c49/0467/8c1f",
            "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n",
            "authorization failed",
            "mail rm-one@example.com or ssh://git@example.com/x",
            "sha256 0467ef3c8400ae65 SHA256:abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
            "token: expired, secret: 3 missing, password: required",
            "the token is read from ${env:TOKEN}; PGPASSWORD=$PGPASSWORD curl -u $USER_PASSWORD --token ${env:T}",
            "docker run -u 1000:1000 image; git push -u origin main",
            "bot@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef 550e8400-e29b-41d4-a716-446655440000",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJq0v6m8 owner@example.com v1.4.2 356e461",
            "postgres://bot:${env:PASSWORD}@db/x https://<user>:<password>@host",
            "\"PWD\": \"/root\", max_tokens=4096 token_file=/run/x secret_name=db password_hash=abc",
            "the plan's digest is bound to the key; keys are read from the agent, token by token",
            "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----",
        ] {
            assert_eq!(mask(text), text);
        }
    }
}
