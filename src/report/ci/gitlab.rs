//! GitLab CI: collapsed sections. A section's name holds the time it was opened at, so that no two are one.

use super::Kind;

pub const KIND: Kind = Kind {
    name: "gitlab",
    variable: "GITLAB_CI",
    page: super::PAGE,
    open: |fold| {
        let (name, began) = (&fold.name, fold.began);
        format!("\u{1b}[0Ksection_start:{began}:{name}_{began}[collapsed=true]\r\u{1b}[0K{}", fold.title)
    },
    close: |fold, now| format!("\u{1b}[0Ksection_end:{now}:{}_{}\r\u{1b}[0K", fold.name, fold.began),
    failed: |_| None,
};
