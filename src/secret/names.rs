//! What names say: whether a variable, a header or an option holds a secret by its name, and whether what stands beside it is one
//! written out, or a reference, a placeholder or an ordinary word.

/// A word of a name that ends so means a secret, whatever stands around it.
const ROOTS: [&str; 10] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "credential",
    "credentials",
    "authorization",
    "cookie",
];
/// The same, written in one word or in two.
const KEYS: [&str; 14] = [
    "apikey",
    "appkey",
    "accesskey",
    "secretkey",
    "privatekey",
    "signingkey",
    "encryptionkey",
    "masterkey",
    "authkey",
    "accountkey",
    "sharedkey",
    "routingkey",
    "integrationkey",
    "hmackey",
];
/// A name that ends so speaks about a secret and holds none.
const ABOUT: &[&str] = &[
    "id",
    "ids",
    "name",
    "names",
    "file",
    "files",
    "path",
    "dir",
    "directory",
    "folder",
    "url",
    "uri",
    "endpoint",
    "arn",
    "digest",
    "hash",
    "sha",
    "sha256",
    "fingerprint",
    "ttl",
    "expires",
    "expiry",
    "expiration",
    "lifetime",
    "length",
    "len",
    "count",
    "size",
    "limit",
    "type",
    "kind",
    "ref",
    "policy",
    "version",
    "manager",
    "store",
    "header",
    "field",
    "env",
    "var",
    "variable",
    "required",
    "public",
    "rotation",
    "location",
    "scope",
    "scopes",
    "permissions",
    "provider",
    "status",
    "error",
    "at",
    "age",
    "user",
    "username",
    "format",
    "pattern",
    "label",
    "check",
    "stdin",
];
/// Words that stand beside such a name and are no secret.
const WORDS: [&str; 27] = [
    "true",
    "false",
    "yes",
    "no",
    "on",
    "off",
    "none",
    "null",
    "nil",
    "undefined",
    "required",
    "optional",
    "refused",
    "allowed",
    "accepted",
    "missing",
    "invalid",
    "expired",
    "unset",
    "empty",
    "unknown",
    "block",
    "warn",
    "ignore",
    "inherit",
    "bearer",
    "basic",
];

/// What every name that means a secret has in it, for a first look at a text.
pub(super) const ANCHORS: [&str; 8] =
    ["passw", "passphrase", "passcode", "secret", "token", "credential", "key", "pwd"];

/// The words of a name, in lower case: `dbPassword`, `DB_PASSWORD` and `db-password` are the same.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        let begins = !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase());
        if begins {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            words.last_mut().expect("BUG: there is a first word").extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether the name means a secret: in any case, with anything before and behind.
pub fn means_secret(name: &str) -> bool {
    let words = words(name);
    let Some(last) = words.last().map(String::as_str) else { return false };
    if ABOUT.contains(&last) {
        return false;
    }
    // `PWD` and `OLDPWD` are folders.
    let pwd = words.len() > 1 && last == "pwd";
    let joined = words.concat();
    pwd || words.iter().any(|word| word != "jsonwebtoken" && ROOTS.iter().any(|root| word.ends_with(root)))
        || KEYS.iter().any(|key| joined.contains(key))
}

/// Whether a name like `STRIPE_KEY` may mean a secret: then the value has to look like one.
fn may_mean_secret(name: &str) -> bool {
    let words = words(name);
    words.len() > 1 && words.last().is_some_and(|last| matches!(last.as_str(), "key" | "pat" | "creds"))
}

/// Whether the value of an environment variable is a secret by the variable's name.
pub fn held(name: &str, value: &str) -> bool {
    (means_secret(name) || may_mean_secret(name)) && unusual(value) && holds(name, value)
}

/// Whether a value is no ordinary word or number: six bytes of two kinds are enough, one kind alone needs sixteen. A masked word
/// would be missing in every text.
pub fn unusual(value: &str) -> bool {
    value.len() >= 16 || value.len() >= super::LEAST && kinds(value) > 1
}

/// Whether a text beside a name is a secret written out.
pub fn beside(name: &str, value: &str) -> bool {
    let long = value.len() >= 16 && kinds(value) > 1 && !name.contains(char::is_lowercase);
    (means_secret(name) || may_mean_secret(name) && long) && holds(name, value)
}

/// Whether a value is written out, and no public key. Where a name means a key or credentials, a path is the place of a file with
/// them, which messages name.
fn holds(name: &str, value: &str) -> bool {
    let of_file = || words(name).iter().all(|word| ROOTS[..6].iter().all(|root| !word.ends_with(root)));
    literal(value) && !public(value) && !(path(value) && of_file())
}

/// Whether a text is written out, and no word or number that says something about a secret.
pub fn literal(value: &str) -> bool {
    let value = value.trim();
    let number = value.len() < super::LEAST && value.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    written_out(value) && !number && !WORDS.contains(&value.to_lowercase().as_str())
}

/// Whether a text is neither a reference (`${env:NAME}`, `$NAME`, `$(command)`), nor a placeholder, nor what is masked already.
pub fn written_out(value: &str) -> bool {
    let value = value.trim().trim_matches(['"', '\'', '\\']);
    let first = value.chars().next().unwrap_or(' ');
    let expanded = value
        .strip_prefix('$')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_alphabetic() || "_{(@*#?".contains(c)));
    let lower = value.to_lowercase();
    let placeholder =
        ["your", "changeme", "example", "placeholder", "redacted", "sha256:"].iter().any(|p| lower.starts_with(p));
    !(value.is_empty()
        || expanded
        || value.contains("${")
        || value.starts_with("[secret")
        || "<`{(%…".contains(first)
        || placeholder
        || value.contains("...")
        || value.contains('…')
        || (value.len() > 2 || first == '*') && value.chars().all(|c| c == first))
}

/// How many of lower case, upper case, digits and others a value has.
pub(super) fn kinds(value: &str) -> usize {
    let of: [fn(char) -> bool; 3] = [|c| c.is_lowercase(), |c| c.is_uppercase(), |c| c.is_ascii_digit()];
    of.iter().filter(|is| value.chars().any(is)).count() + usize::from(value.chars().any(|c| !c.is_alphanumeric()))
}

fn path(value: &str) -> bool {
    ["/", "./", "../", "~/", "agent:"].iter().any(|begins| value.starts_with(begins))
}

fn public(value: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-", "SHA256:"].iter().any(|begins| value.starts_with(begins))
}

/// The environment variable to write in the place of a value that stands beside this name.
pub fn variable(name: &str) -> String {
    let all: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    let name = all.trim_matches('_');
    match name.chars().next() {
        Some(first) if !first.is_ascii_digit() => name.into(),
        _ => format!("SECRET_{name}").trim_end_matches('_').into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_a_secret_in_any_case_with_any_affix() {
        for name in [
            "password",
            "PGPASSWORD",
            "DB_PASSWORD_2",
            "dbPassword",
            "MYSQL_PWD",
            "passwd",
            "KEY_PASSPHRASE",
            "token",
            "github-token",
            "GITHUB_TOKEN_PROD",
            "clientSecret",
            "signing_secret",
            "x-api-key",
            "API_KEY",
            "apikey",
            "AWS_SECRET_ACCESS_KEY",
            "AZURE_CREDENTIALS",
            "Authorization",
            "set-cookie",
            "accountKey",
            "aws.credentials",
        ] {
            assert!(means_secret(name), "{name}");
        }
        for name in [
            "PWD",
            "OLDPWD",
            "secrets",
            "max_tokens",
            "AWS_ACCESS_KEY_ID",
            "TOKEN_FILE",
            "secretName",
            "password_hash",
            "tokenizer",
            "key",
            "dedup_key",
            "secretary",
            "passenger",
            "token_url",
            "keyboard",
            "PATH",
            "bearer_file",
        ] {
            assert!(!means_secret(name), "{name}");
        }
    }

    #[test]
    fn a_variable_holds_a_secret_from_six_bytes_of_two_kinds_on() {
        for (name, value) in [
            ("db_password", "hunter2"),
            ("STRIPE_KEY", "rk0123456"),
            ("GOOGLE_CREDENTIALS", "{\"a\":\"b\"}"[1..].trim_end_matches('}')),
            ("TOKEN", "abcdefghijklmnop"),
            ("AWS_SECRET_ACCESS_KEY", "/abcDEF0123456789"),
        ] {
            assert!(held(name, value), "{name}");
        }
        for (name, value) in [
            ("DB_PASSWORD", "postgres"),
            ("TOKEN", "a1b2c"),
            ("BGCTL_SIGNING_KEY", "/home/me/.ssh/id_ed25519"),
            ("GOOGLE_APPLICATION_CREDENTIALS", "/etc/google/key.json"),
            ("SIGNING_KEY", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"),
            ("TOKEN_FILE", "/run/secrets/token-1"),
            ("HOME_PAGE", "hunter2-0123456789"),
        ] {
            assert!(!held(name, value), "{name}");
        }
    }

    #[test]
    fn references_placeholders_and_words_are_not_written_out() {
        for value in [
            "",
            "${env:X}",
            "prefix-${file:/x}",
            "$NAME",
            "${NAME}",
            "$(cat x)",
            "`cat x`",
            "<token>",
            "****",
            "xxxxxxxx",
            "…",
            "abc...",
            "[secret:0123]",
            "{{ token }}",
            "{token}",
            "%s",
            "your-token",
            "changeme",
            "sha256:00",
            "none",
            "true",
            "12345",
            "required",
        ] {
            assert!(!literal(value), "{value}");
        }
        for value in ["hunter2", "$2y$10$abc", "pw", "123456", "p", "0123456789abcdef0123456789abcdef"] {
            assert!(literal(value), "{value}");
        }
    }

    #[test]
    fn a_variable_is_made_of_any_name() {
        for (name, wanted) in [("db-password", "DB_PASSWORD"), ("x.y", "X_Y"), ("1st", "SECRET_1ST"), ("", "SECRET")] {
            assert_eq!(variable(name), wanted);
        }
    }
}
