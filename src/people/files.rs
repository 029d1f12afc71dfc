//! What an approver has on their desk: the command that signs a request, and the names its files have.

use std::path::Path;

use crate::sign::namespace::APPROVE;

/// What an approver types to sign a request, with nothing installed.
pub fn recipe(file: &Path) -> String {
    format!("ssh-keygen -Y sign -n {APPROVE} -f KEY {}", quoted(&file.display().to_string()))
}

/// A path as a shell takes it.
pub fn quoted(path: &str) -> String {
    let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+=:@,".contains(c));
    if plain { path.into() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

/// A step's id as part of a file name.
pub fn safe(id: &str) -> String {
    let name: String =
        id.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    name.trim_start_matches('.').to_string()
}
