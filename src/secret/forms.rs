//! The forms in which programs print a value: as it is, in hex, %-encoded, escaped for JSON, and inside base64 at each of its
//! three positions, in both alphabets.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::LEAST;

/// Every form that is long enough to be looked for.
pub fn forms(secret: &str) -> Vec<Zeroizing<Vec<u8>>> {
    let bytes = secret.as_bytes();
    if bytes.len() < LEAST {
        return Vec::new();
    }
    let mut forms = vec![bytes.to_vec()];
    // A value with several lines is often printed line by line.
    forms.extend(secret.lines().map(|line| line.as_bytes().to_vec()));
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    forms.push(hex.to_uppercase().into_bytes());
    forms.push(hex.into_bytes());
    forms.extend(percent(bytes));
    let json = serde_json::to_string(secret).expect("BUG: a text is JSON");
    let inner = &json[1..json.len() - 1];
    forms.push(inner.as_bytes().to_vec());
    forms.push(inner.replace('/', "\\/").into_bytes());
    let ascii: String = inner.chars().fold(String::new(), |mut out, c| {
        match c {
            ' '..='~' => out.push(c),
            c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
        }
        out
    });
    forms.push(ascii.into_bytes());
    // Rust's own escapes: what `{:?}` of a text prints.
    let debug = format!("{secret:?}");
    forms.push(debug.as_bytes()[1..debug.len() - 1].to_vec());
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        for before in 0..3 {
            let mut shifted = vec![0; before];
            shifted.extend_from_slice(bytes);
            let text = engine.encode(&shifted);
            // The first and last characters depend on what stands around the secret.
            let (start, end) = ([0, 2, 3][before], shifted.len() * 8 / 6);
            forms.push(text.as_bytes()[start..end].to_vec());
        }
    }
    let mut forms: Vec<_> = forms.into_iter().filter(|form| form.len() >= LEAST).map(Zeroizing::new).collect();
    forms.sort_by(|a, b| a[..].cmp(&b[..]));
    forms.dedup();
    forms
}

/// %-encoded, as the usual encoders do it: which characters stay, whether a blank is a plus, and the case of the digits.
fn percent(bytes: &[u8]) -> Vec<Vec<u8>> {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let ways =
        [(&b""[..], false, true), (b"", false, false), (b"", true, true), (b"*", true, true), (b"/", false, true)];
    let encode = |(keep, plus, upper): (&[u8], bool, bool)| {
        let mut text = String::new();
        for b in bytes {
            match *b {
                b' ' if plus => text.push('+'),
                b if unreserved(b) || keep.contains(&b) => text.push(char::from(b)),
                b if upper => text.push_str(&format!("%{b:02X}")),
                b => text.push_str(&format!("%{b:02x}")),
            }
        }
        text.into_bytes()
    };
    ways.into_iter().map(encode).collect()
}
