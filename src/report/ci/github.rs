//! GitHub Actions: groups, and annotations beside a line of a file.

use super::{Failure, Kind};

pub const KIND: Kind = Kind {
    name: "github",
    variable: "GITHUB_ACTIONS",
    page: super::PAGE,
    open: |fold| format!("::group::{}", fold.title),
    close: |_, _| "::endgroup::".into(),
    failed: |failure| Some(annotation(failure)),
};

fn annotation(failure: &Failure) -> String {
    format!(
        "::error file={},line={},title={}::{}",
        property(&failure.file),
        property(&failure.line),
        property(&failure.title),
        data(&failure.text),
    )
}

/// GitHub's escapes of a message.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// GitHub's escapes of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
