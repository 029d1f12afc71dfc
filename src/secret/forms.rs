//! The forms in which programs print a value: as it is, in hex, %-encoded, escaped for JSON or HTML, inside base64 at each of its
//! three positions, in both alphabets; and each of these once more inside another, as tools do that hand on what others printed.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::LEAST;
use super::wraps::Unwrapped;

/// Of longer values (keys, certificates) only the single forms are looked for: the automaton grows with every byte.
const LONG: usize = 256;

/// Every form that is long enough to be looked for.
pub fn forms(secret: &str) -> Vec<Zeroizing<Vec<u8>>> {
    if secret.len() < LEAST {
        return Vec::new();
    }
    let mut forms = once(secret.as_bytes());
    if secret.len() <= LONG {
        let twice: Vec<Vec<u8>> = forms.iter().skip(1).flat_map(|form| once(form)).collect();
        forms.extend(twice);
    }
    // A value with several lines is often printed line by line.
    forms.extend(secret.lines().map(|line| line.as_bytes().to_vec()));
    // As it stands where line ends are taken away.
    forms.extend(forms.iter().map(|form| Unwrapped::of(form).bytes).collect::<Vec<_>>());
    let mut forms: Vec<_> = forms.into_iter().filter(|form| form.len() >= LEAST).map(Zeroizing::new).collect();
    forms.sort_by(|a, b| a[..].cmp(&b[..]));
    forms.dedup();
    forms
}

/// The bytes as they are, first, and as encoders write them.
fn once(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![bytes.to_vec()];
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    forms.push(hex.to_uppercase().into_bytes());
    forms.push(hex.into_bytes());
    forms.extend(percent(bytes));
    if let Ok(text) = std::str::from_utf8(bytes) {
        forms.extend(escaped(text));
    }
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
    let plain = forms.remove(0);
    forms.sort();
    forms.dedup();
    forms.retain(|form| *form != plain);
    forms.insert(0, plain);
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

/// Escaped for JSON, for Rust's own listings and for HTML, as the usual writers of each do it.
fn escaped(text: &str) -> Vec<Vec<u8>> {
    let json = serde_json::to_string(text).expect("BUG: a text is JSON");
    let inner = &json[1..json.len() - 1];
    let debug = format!("{text:?}");
    let ascii: String = inner.chars().fold(String::new(), |mut out, c| {
        match c {
            ' '..='~' => out.push(c),
            c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
        }
        out
    });
    // Writers that keep JSON safe inside a page.
    let page = |html: &str| {
        let mut out = html.to_string();
        [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\'', "\\u0027")]
            .into_iter()
            .for_each(|(c, code)| out = out.replace(c, code));
        out
    };
    let quotes = [
        ("&quot;", "&#39;"),
        ("&quot;", "&#x27;"),
        ("&#34;", "&#39;"),
        ("&quot;", "&apos;"),
        ("&quot;", "'"),
        ("\"", "'"),
    ];
    let html = quotes.map(|(quote, apostrophe)| {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        text.replace('"', quote).replace('\'', apostrophe)
    });
    let json = [
        inner.to_string(),
        inner.replace('/', "\\/"),
        page(inner),
        page(&ascii),
        ascii,
        debug[1..debug.len() - 1].into(),
    ];
    json.into_iter().chain(html).map(String::into_bytes).collect()
}
