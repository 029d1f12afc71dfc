//! Credentials nobody told us about, known by their look: a program prints a token it fetched itself, a server echoes a header.
//!
//! Only looks that ordinary text does not have. What precedes the secret stays, so that a reader sees what it was.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// Each has the group `secret`, which is what goes.
const LOOKS: &[&str] = &[
    // A private key, up to its end or to the end of the text; `\n` may be written out.
    r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?P<secret>.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)",
    // The header, in a trace, in JSON, in a command line.
    r#"(?i)\b(?:proxy-)?authorization\\?["']?\s*[:=]\s*\\?["']?(?:(?:bearer|basic|token|digest|negotiate|aws4-hmac-sha256)\s+)?(?P<secret>[^\r\n"'\\]+)"#,
    // Slack's tokens and webhooks.
    r"\b(?P<secret>(?:xox[a-z](?:\.xox[a-z])?|xapp)-[A-Za-z0-9-]{8,})",
    r"(?i)\bhooks\.slack\.com/(?:services|workflows|triggers)/(?P<secret>[A-Za-z0-9/_+-]{8,})",
    // AWS access keys, GitHub's and GitLab's tokens.
    r"\b(?P<secret>(?:AKIA|ASIA)[A-Z0-9]{16})\b",
    r"\b(?P<secret>(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}))",
    // JSON web tokens: two parts that begin as a JSON object does, and a signature.
    r"\b(?P<secret>eyJ[A-Za-z0-9_-]{5,}\.eyJ[A-Za-z0-9_-]{3,}\.[A-Za-z0-9_-]*)",
    // A password in a URL, or a token in the place of the user.
    r#"://[^\s/?#@:"']*:(?P<secret>[^\s/?#@"']+)@"#,
    r#"://(?P<secret>[^\s/?#@:"']{16,})@"#,
];

static ALL: LazyLock<Vec<Regex>> =
    LazyLock::new(|| LOOKS.iter().map(|look| Regex::new(look).expect("BUG: each look is a pattern")).collect());

/// The beginning and the end of a private key, for readers that see one line at a time.
pub const KEY_BEGINS: &str = "-----BEGIN ";
pub const KEY_ENDS: &str = "-----END ";
pub const KEY_WORD: &str = "PRIVATE KEY-----";

/// The text with every credential replaced by what `label` gives for it.
pub fn replace(text: &str, label: impl Fn(&str) -> String) -> String {
    let mut text = std::borrow::Cow::Borrowed(text);
    for look in ALL.iter() {
        if !look.is_match(&text) {
            continue;
        }
        let masked = look.replace_all(&text, |found: &Captures<'_>| {
            let (whole, secret) = (found.get_match(), &found["secret"]);
            // What is masked already stays as it is, with its tag.
            if masked(secret) {
                return whole.as_str().to_string();
            }
            let at = found.name("secret").map_or(0, |s| s.start() - whole.start());
            let (before, after) = (&whole.as_str()[..at], &whole.as_str()[at + secret.len()..]);
            format!("{before}{}{after}", label(secret))
        });
        text = std::borrow::Cow::Owned(masked.into_owned());
    }
    text.into_owned()
}

fn masked(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("[secret") && text.ends_with(']') && text.matches('[').count() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(text: &str) -> String {
        replace(text, |_| "*".into())
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
                replace(&replace(text, |_| "[secret]".into()), |_| "!".into()),
                replace(text, |_| "[secret]".into())
            );
        }
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
        ] {
            assert_eq!(mask(text), text);
        }
    }
}
