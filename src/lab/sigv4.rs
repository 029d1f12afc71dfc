//! Checks the signature of an AWS call (Signature Version 4), so that a wrong secret is refused as the real API refuses it.
//!
//! Only what this API is sent in is read: a form posted to a path without a query.

use axum::http::request::Parts;
use base16ct::lower::encode_string as hex;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::elb_rules::Refusal;
use super::{server, time};

/// How far the signing time may be from the lab's clock, in milliseconds.
const WINDOW_MS: i64 = 15 * 60 * 1000;

/// Lets a call pass that is signed with this key, or says what is wrong in the API's words.
pub fn check(parts: &Parts, body: &[u8], key: &str, secret: &str) -> Result<(), Refusal> {
    let refuse = |code, message: &str| Err(Refusal { status: 403, code, message: message.to_string() });
    let Some(line) = server::header(parts, "authorization").and_then(|line| line.strip_prefix("AWS4-HMAC-SHA256 "))
    else {
        return refuse("MissingAuthenticationToken", "Request is missing Authentication Token");
    };
    let field = |name: &str| line.split(',').find_map(|part| part.trim().strip_prefix(name)).unwrap_or_default();
    let (credential, names, given) = (field("Credential="), field("SignedHeaders="), field("Signature="));
    let Some((id, scope)) = credential.split_once('/') else {
        return refuse("IncompleteSignature", "Authorization header requires 'Credential' parameter");
    };
    if id != key {
        return refuse("InvalidClientTokenId", "The security token included in the request is invalid.");
    }
    let stamp = server::header(parts, "x-amz-date").unwrap_or_default();
    let signed_ms = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", stamp)
        .and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC))
        .map(|date| date.timestamp().as_millisecond());
    if !signed_ms.is_ok_and(|at| (time::wall_ms() - at).abs() <= WINDOW_MS) {
        let message = format!("Signature expired: {stamp} is not within 15 min of this clock");
        return refuse("SignatureDoesNotMatch", &message);
    }
    let headers = names.split(';').fold(String::new(), |text, name| {
        let value = server::header(parts, name).unwrap_or_default();
        let words: Vec<&str> = value.split_whitespace().collect();
        text + name + ":" + &words.join(" ") + "\n"
    });
    let request =
        format!("{}\n{}\n\n{headers}\n{names}\n{}", parts.method, parts.uri.path(), hex(&Sha256::digest(body)));
    let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex(&Sha256::digest(request)));
    let signing = scope.split('/').fold(format!("AWS4{secret}").into_bytes(), |key, part| code(&key, part.as_bytes()));
    if hex(&code(&signing, text.as_bytes())) != given {
        return refuse(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. \
             Check your AWS Secret Access Key and signing method.",
        );
    }
    Ok(())
}

fn code(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut code = Hmac::<Sha256>::new_from_slice(key).expect("BUG: HMAC takes keys of any length");
    code.update(text);
    code.finalize().into_bytes().to_vec()
}
