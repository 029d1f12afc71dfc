//! The files of approvals: requests that wait to be signed, the signatures beside them, and the command that signs one. What a
//! signature counts for is not judged here.

use std::io;
use std::path::{Path, PathBuf};

use crate::child::quoted;
use crate::file;
use crate::sign::namespace::APPROVE;

/// The folder requests and signatures travel through.
#[derive(Clone)]
pub struct Files {
    folder: PathBuf,
    /// Another folder that is looked into: the run's own, where `bgctl approve RUN` leaves signatures.
    also: Option<PathBuf>,
}

impl Files {
    pub fn new(folder: PathBuf) -> Self {
        Files { folder, also: None }
    }

    /// Looks into this folder too.
    pub fn also(self, folder: PathBuf) -> Self {
        Files { also: Some(folder).filter(|folder| *folder != self.folder), ..self }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file of a step's request.
    pub fn request(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{}.request.json", safe(id)))
    }

    /// Writes the exact bytes to be signed. Another text that lay there is kept under another name: what somebody may have
    /// signed can then still be named.
    pub fn publish(&self, id: &str, request: &str) -> io::Result<PathBuf> {
        std::fs::create_dir_all(&self.folder)?;
        let path = self.request(id);
        let there = file::read(&path, file::LONG).ok();
        if there.as_deref() == Some(request.as_bytes()) {
            return Ok(path);
        }
        if let Some(other) = there {
            let digest = crate::plan::sha256(&other);
            std::fs::write(self.folder.join(format!("{}.other-{}.json", safe(id), &digest[..8])), other)?;
        }
        // Whole or not at all: somebody else may be reading it.
        let draft = self.folder.join(format!(".{}.{}", safe(id), std::process::id()));
        std::fs::write(&draft, request)?;
        std::fs::rename(&draft, &path)?;
        Ok(path)
    }

    /// `<id>.request.json.sig`, and for more than one person `<id>.request.json.<anything>.sig`, in order of name.
    pub fn signatures(&self, id: &str) -> Vec<PathBuf> {
        let prefix = format!("{}.request.json.", safe(id));
        let folders = std::iter::once(&self.folder).chain(&self.also);
        let mut files: Vec<PathBuf> = folders
            .flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten())
            .map(|entry| entry.path())
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(&prefix) && name.ends_with("sig")
            })
            .collect();
        files.sort();
        files
    }

    /// The requests that lie here, each with its file's name.
    pub fn texts(&self) -> Vec<(String, String)> {
        let files = std::fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut texts: Vec<(String, String)> = files
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .filter_map(|path| {
                let name = path.file_name()?.to_string_lossy().into_owned();
                Some((name, file::text(&path, file::LONG).ok()?))
            })
            .collect();
        texts.sort();
        texts
    }
}

/// What an approver types to sign a request, with nothing installed.
pub fn recipe(file: &Path) -> String {
    format!("ssh-keygen -Y sign -n {APPROVE} -f KEY {}", quoted(&file.display().to_string()))
}

/// A step's id as part of a file name.
pub fn safe(id: &str) -> String {
    let name: String =
        id.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    name.trim_start_matches('.').to_string()
}
