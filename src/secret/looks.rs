//! The looks of credentials, as a table: what each is called, which variable it goes into, and what it looks like.
//!
//! Only looks that ordinary text does not have: digests, ids, versions and public keys pass.

use regex::Captures;

use super::names;

/// One look. The group `secret` is what goes.
pub(super) struct Look {
    pub what: &'static str,
    /// The environment variable it is usually kept in; empty where the place says it better.
    pub variable: &'static str,
    /// One of these stands in every text that has the look, in any case: most texts have none, and are not looked at further.
    pub anchors: &'static [&'static str],
    pub pattern: &'static str,
    pub so: fn(&Captures<'_>) -> bool,
}

const fn look(
    what: &'static str,
    variable: &'static str,
    anchors: &'static [&'static str],
    pattern: &'static str,
) -> Look {
    Look { what, variable, anchors, pattern, so: |_| true }
}

pub(super) const LOOKS: &[Look] = &[
    // Up to its end or to the end of the text; `\n` may be written out.
    look(
        "a private key",
        "PRIVATE_KEY",
        &["private key"],
        r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?P<secret>.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)",
    ),
    look("an age key", "AGE_SECRET_KEY", &["age-secret-key-"], r"(?P<secret>AGE-SECRET-KEY-(?:PQ-)?1[A-Z0-9]{20,})"),
    // The header, in a trace, in JSON, in a command line.
    Look {
        so: |found| found.name("scheme").is_some() || strict(&found["secret"]),
        ..look(
            "an Authorization header",
            "",
            &["authorization"],
            r#"(?i)\b(?:proxy-)?authorization\\*["']?\s*[:=]\s*\\*["']?(?P<scheme>(?:bearer|basic|token|digest|negotiate|apikey|aws4-hmac-sha256)\s+)?(?P<secret>[^\r\n"'\\]+)"#,
        )
    },
    Look {
        so: |found| strict(&found["secret"]),
        ..look(
            "a bearer token",
            "",
            &["bearer", "basic"],
            r#"\b(?:[Bb]earer|Basic)[ +](?P<secret>[A-Za-z0-9._~+/=-]{12,})"#,
        )
    },
    look(
        "a cookie",
        "",
        &["cookie"],
        r#"(?i)\b(?:set-)?cookie\\*["']?\s*:\s*\\*["']?(?P<secret>[^\s=;"'\\]+=[^\s;"'\\]+)"#,
    ),
    // A password in a URL, or a token in the place of the user.
    look("a password in a URL", "", &["://"], r#"://[^\s/?#@:"'<>]*:(?P<secret>[^\s/?#@"'<>]+)@"#),
    look("a password in a URL", "", &["://"], r#"://(?P<secret>[^\s/?#@:"'<>]{16,})@"#),
    // `curl -u user:password`. Numbers are users of the system, and a path is no password.
    Look {
        so: |found| {
            let (user, secret) = (&found["user"], &found["secret"]);
            user != secret && !secret.starts_with('/') && !user.bytes().all(|b| b.is_ascii_digit())
        },
        ..look(
            "a password in a command line",
            "PASSWORD",
            &["-u", "--user", "--proxy-user"],
            r#"(?:^|[\s"'])(?:-u|-U|--user|--proxy-user)[\s=]\s*\\*["']?(?P<user>[^\s:"'=/\\]+):(?P<secret>[^\s"'\\]+)"#,
        )
    },
    look(
        "a Slack token",
        "SLACK_TOKEN",
        &["xox", "xapp-", "xwfp-"],
        r"\b(?P<secret>(?:xox[a-z](?:\.xox[a-z])?|xapp|xwfp)-[A-Za-z0-9-]{8,})",
    ),
    look(
        "a Slack webhook",
        "SLACK_WEBHOOK_URL",
        &["hooks.slack"],
        r"(?i)\bhooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/(?P<secret>[A-Za-z0-9/_+-]{8,})",
    ),
    look(
        "an AWS access key",
        "AWS_ACCESS_KEY_ID",
        &["akia", "asia", "abia", "acca"],
        r"\b(?P<secret>(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16})\b",
    ),
    look(
        "an AWS secret key",
        "AWS_SECRET_ACCESS_KEY",
        &["akia", "asia"],
        r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b[^A-Za-z0-9/+]{1,8}(?:[A-Za-z_]{0,30}[^A-Za-z0-9/+]{1,8})?(?P<secret>[A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)",
    ),
    look(
        "a GitHub token",
        "GITHUB_TOKEN",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
        r"\b(?P<secret>(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}))",
    ),
    look(
        "a GitLab token",
        "GITLAB_TOKEN",
        &[
            "glpat-",
            "glptt-",
            "gldt-",
            "glrt",
            "glcbt-",
            "glft-",
            "glsoat-",
            "glimt-",
            "glagent-",
            "glffct-",
            "gloas-",
            "glwt-",
            "gr1348941",
        ],
        r"\b(?P<secret>(?:gl(?:pat|ptt|dt|rt|rtr|cbt|ft|soat|imt|agent|ffct|oas|wt)-|GR1348941)[A-Za-z0-9_.-]{16,})",
    ),
    look("an npm token", "NPM_TOKEN", &["npm_"], r"\b(?P<secret>npm_[A-Za-z0-9]{30,})"),
    look("a PyPI token", "PYPI_TOKEN", &["pypi-"], r"\b(?P<secret>pypi-[A-Za-z0-9_-]{40,})"),
    look(
        "a token of a package registry",
        "REGISTRY_TOKEN",
        &["rubygems_", "dckr_", "cio"],
        r"\b(?P<secret>rubygems_[0-9a-f]{40,}|dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}|cio[A-Za-z0-9]{32})\b",
    ),
    look(
        "a Stripe key",
        "STRIPE_KEY",
        &["sk_", "rk_", "whsec_"],
        r"\b(?P<secret>(?:sk|rk)_(?:live|test|prod)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{20,})",
    ),
    look("an Anthropic key", "ANTHROPIC_API_KEY", &["sk-ant-"], r"\b(?P<secret>sk-ant-[A-Za-z0-9_-]{16,})"),
    look(
        "an OpenAI key",
        "OPENAI_API_KEY",
        &["sk-"],
        r"\b(?P<secret>sk-(?:(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,}|[A-Za-z0-9]{32,}))",
    ),
    look(
        "a Google key",
        "GOOGLE_API_KEY",
        &["aiza", "gocspx-", "ya29.", "1//0"],
        r"\b(?P<secret>AIza[A-Za-z0-9_-]{30,}|GOCSPX-[A-Za-z0-9_-]{20,}|ya29\.[A-Za-z0-9_-]{20,}|1//0[A-Za-z0-9_-]{30,})",
    ),
    look("a Hugging Face token", "HF_TOKEN", &["hf_", "api_org_"], r"\b(?P<secret>(?:hf|api_org)_[A-Za-z0-9]{30,})"),
    look("a SendGrid key", "SENDGRID_API_KEY", &["sg."], r"\b(?P<secret>SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,})"),
    look("a Twilio key", "TWILIO_API_KEY", &["sk"], r"\b(?P<secret>SK[0-9a-f]{32})\b"),
    look(
        "a Mailgun or Mailchimp key",
        "MAIL_API_KEY",
        &["key-", "-us"],
        r"\b(?P<secret>key-[0-9a-f]{32}|[0-9a-f]{32}-us[0-9]{1,2})\b",
    ),
    look("a PagerDuty key", "PAGERDUTY_TOKEN", &["u+"], r"(?:^|[\s='\x22])(?P<secret>u\+[A-Za-z0-9_-]{18})\b"),
    look(
        "a key of a monitoring service",
        "MONITORING_KEY",
        &["nrak-", "glsa_", "glc_", "sntry", "ddapp_", "ddapi_"],
        r"\b(?P<secret>NRAK-[A-Z0-9]{20,}|glsa_[A-Za-z0-9]{20,}_[A-Fa-f0-9]{8}|glc_[A-Za-z0-9+/=]{30,}|sntry[su]_[A-Za-z0-9+/=_-]{20,}|dda(?:pp|pi)_[A-Za-z0-9]{30,})",
    ),
    look(
        "a token of a secret store",
        "VAULT_TOKEN",
        &["hvs.", "hvb.", "hvr.", "dp.", "ops_eyj"],
        r"\b(?P<secret>hv[sbr]\.[A-Za-z0-9_-]{20,}|dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9]{30,}|ops_eyJ[A-Za-z0-9+/=_-]{40,})",
    ),
    look(
        "a token of a cloud provider",
        "CLOUD_TOKEN",
        &["_v1_", "atlasv1", "tskey-", "dapi", "hrku-", "fm2_", "sbp_", "pscale_", "accountkey="],
        r"\b(?P<secret>do[opr]_v1_[a-f0-9]{40,}|[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{40,}|tskey-[a-z]+-[A-Za-z0-9-]{16,}|dapi[0-9a-f]{32}|HRKU-[A-Za-z0-9_-]{30,}|fm2_[A-Za-z0-9+/=]{40,}|sbp_[a-f0-9]{40}|pscale_(?:tkn|oauth|pw)_[A-Za-z0-9_.-]{20,})",
    ),
    look(
        "a token of a work tool",
        "API_TOKEN",
        &["atatt3", "atbb", "lin_api_", "pmak-", "figd_", "shp", "sq0", "ntn_", "secret_"],
        r"\b(?P<secret>ATATT3[A-Za-z0-9_=-]{40,}|ATBB[A-Za-z0-9]{24,}|lin_api_[A-Za-z0-9]{30,}|PMAK-[0-9a-f]{24}-[0-9a-f]{30,}|figd_[A-Za-z0-9_-]{30,}|shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}|sq0[a-z]{3}-[A-Za-z0-9_-]{20,}|ntn_[A-Za-z0-9]{40,}|secret_[A-Za-z0-9]{43})\b",
    ),
    look("a Telegram bot token", "TELEGRAM_TOKEN", &[":aa"], r"\b(?P<secret>[0-9]{8,10}:AA[A-Za-z0-9_-]{32,34})"),
    look(
        "a LaunchDarkly key",
        "LAUNCHDARKLY_SDK_KEY",
        &["sdk-", "api-", "mob-"],
        r"\b(?P<secret>(?:sdk|api|mob)-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})\b",
    ),
    // Two parts that begin as a JSON object does, and a signature.
    look(
        "a JSON web token",
        "ACCESS_TOKEN",
        &["eyj"],
        r"\b(?P<secret>eyJ[A-Za-z0-9_-]{5,}\.eyJ[A-Za-z0-9_-]{3,}\.[A-Za-z0-9_-]*)",
    ),
];

/// A value that no sentence has: long, of letters and digits, without blanks.
pub(super) fn strict(value: &str) -> bool {
    let has = |is: fn(char) -> bool| value.chars().any(is);
    value.len() >= 8
        && has(|c| c.is_ascii_digit())
        && has(char::is_alphabetic)
        && names::literal(value)
        && !value.contains(char::is_whitespace)
}
