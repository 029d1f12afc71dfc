//! Slack's request signature, as a bot checks it and as the lab's Slack makes it. Written apart from bgctl's own signer,
//! so that one can find a mistake in the other.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How far the timestamp may be from the bot's clock, in seconds, in both directions.
const WINDOW_S: i64 = 300;

/// The value of `X-Slack-Signature` for these bytes.
pub fn sign(secret: &str, timestamp: &str, body: &[u8]) -> String {
    let code = code(secret, timestamp, body).finalize().into_bytes();
    code.iter().fold("v0=".to_string(), |text, byte| text + &format!("{byte:02x}"))
}

/// Whether the signature is right and its timestamp within the window. Compares in constant time.
pub fn verify(secret: &str, now_s: i64, timestamp: Option<&str>, signature: Option<&str>, body: &[u8]) -> bool {
    let (Some(timestamp), Some(signature)) = (timestamp, signature) else { return false };
    let Ok(stamped) = timestamp.parse::<i64>() else { return false };
    if now_s.saturating_sub(stamped).saturating_abs() > WINDOW_S {
        return false;
    }
    let Some(bytes) = signature.strip_prefix("v0=").and_then(unhex) else { return false };
    code(secret, timestamp, body).verify_slice(&bytes).is_ok()
}

fn code(secret: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut code = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("BUG: HMAC takes keys of any length");
    code.update(b"v0:");
    code.update(timestamp.as_bytes());
    code.update(b":");
    code.update(body);
    code
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits?;
    if digits.len() % 2 == 1 {
        return None;
    }
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    #[test]
    fn slacks_published_example_is_reproduced() {
        let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&\
channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&\
response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&\
trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let signature = sign("8f742231b10e8888abcd99yyyzzz85a5", "1531420618", body);
        assert_eq!(signature, "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503");
    }

    #[test]
    fn only_the_right_signature_in_the_window_is_taken() {
        let good = sign("key", &NOW.to_string(), b"body");
        type Case<'a> = (&'a str, i64, Option<&'a str>, Option<&'a str>, &'a [u8], bool);
        let cases: &[Case] = &[
            ("right", NOW, Some("1700000000"), Some(&good), b"body", true),
            ("300 s old", NOW + 300, Some("1700000000"), Some(&good), b"body", true),
            ("301 s old", NOW + 301, Some("1700000000"), Some(&good), b"body", false),
            ("301 s ahead", NOW - 301, Some("1700000000"), Some(&good), b"body", false),
            ("other body", NOW, Some("1700000000"), Some(&good), b"bodY", false),
            ("other timestamp", NOW, Some("1700000001"), Some(&good), b"body", false),
            ("no timestamp", NOW, None, Some(&good), b"body", false),
            ("no signature", NOW, Some("1700000000"), None, b"body", false),
            ("not a number", NOW, Some("soon"), Some(&good), b"body", false),
            ("v1", NOW, Some("1700000000"), Some("v1=00"), b"body", false),
            ("half a byte", NOW, Some("1700000000"), Some("v0=0"), b"body", false),
            ("empty", NOW, Some("1700000000"), Some("v0="), b"body", false),
        ];
        for (name, now, timestamp, signature, body, taken) in cases {
            assert_eq!(verify("key", *now, *timestamp, *signature, body), *taken, "{name}");
        }
        assert!(!verify("another", NOW, Some("1700000000"), Some(&good), b"body"));
    }
}
