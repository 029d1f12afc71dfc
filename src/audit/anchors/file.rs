//! `file`: a folder on another disk or mount, one small file a head.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::{Anchor, AnchorError, Kept, Kind, typed};
use crate::file;
use crate::journal::heads::Head;
use crate::rehearsal::InLab;

/// Files of heads end so.
const EXTENSION: &str = "head";

pub const KIND: Kind = Kind {
    name: "file",
    page: super::PAGE,
    schema: |_| {
        let text = "A folder on another disk or mount: `/mnt/audit`.";
        schemars::json_schema!({ "type": "string", "minLength": 1, "description": text })
    },
    whole: super::whole::<String>,
    named: |folder, _| if folder.is_empty() { Err("a folder".into()) } else { Ok(folder.into()) },
    alone: false,
    place: |folder| format!("file:{}", folder.as_str().unwrap_or_default()),
    lab: InLab::LeftOut,
    open: |folder, reach| Box::new(FileAnchor { folder: reach.folder.join(typed::<String>(folder)) }),
};

struct FileAnchor {
    folder: PathBuf,
}

#[async_trait(?Send)]
impl Anchor for FileAnchor {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn place(&self) -> String {
        format!("file:{}", self.folder.display())
    }

    async fn keep(&self, head: &Head, receipts: &Path) -> Result<Kept, AnchorError> {
        let (folder, head, near) = (self.folder.clone(), head.clone(), receipts.to_path_buf());
        aside(move || write(&folder, &head, &near)).await
    }

    async fn heads(&self, origin: &str, _: Option<&Path>) -> Result<Vec<Head>, AnchorError> {
        let (folder, origin) = (self.folder.clone(), origin.to_string());
        aside(move || read(&folder, &origin)).await
    }
}

/// Runs what a hanging mount may never come back from, on a thread of its own: it ends with the process at the latest.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AnchorError> + Send + 'static,
) -> Result<T, AnchorError> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let spawned = std::thread::Builder::new().name("anchor".into()).spawn(move || {
        // Nobody listens any more once the time is over.
        let _ = tell.send(work());
    });
    spawned.map_err(|e| AnchorError(format!("no thread can be started: {e}")))?;
    told.await.map_err(|_| AnchorError("the thread that wrote it ended early".into()))?
}

/// The folder of a run below the anchor's. Names come from logs, so nothing in them may lead elsewhere.
fn of_run(folder: &Path, origin: &str) -> PathBuf {
    let name = origin.strip_prefix("bgctl/log/").unwrap_or(origin);
    name.split('/').filter(|part| !part.is_empty()).fold(folder.to_path_buf(), |path, part| {
        let part = part.replace('\0', "_");
        path.join(if part.starts_with('.') { format!("_{part}") } else { part })
    })
}

fn write(folder: &Path, head: &Head, near: &Path) -> Result<Kept, AnchorError> {
    let failed = |path: &Path, e: &io::Error| AnchorError(format!("cannot write `{}`: {e}", path.display()));
    // The folder itself is never made: where a disk is not mounted, that would only hide it.
    let there = fs::metadata(folder).map_err(|e| failed(folder, &e))?;
    let run = of_run(folder, &head.log.origin);
    DirBuilder::new().recursive(true).mode(0o755).create(&run).map_err(|e| failed(&run, &e))?;
    let path = run.join(format!("{:08}.{EXTENSION}", head.log.lines));
    let text = head.text();
    match OpenOptions::new().write(true).create_new(true).mode(0o444).open(&path) {
        Ok(mut file) => {
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|e| failed(&path, &e))?
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let before = file::text(&path, file::SHORT).map_err(|e| failed(&path, &e))?;
            if Head::parse(&before).map(|before| before.log) != Some(head.log.clone()) {
                let what = format!("`{}` keeps another head of this run: there are two logs of it", path.display());
                return Err(AnchorError(what));
            }
        }
        Err(error) => return Err(failed(&path, &error)),
    }
    File::open(&run).and_then(|dir| dir.sync_all()).map_err(|e| failed(&run, &e))?;
    let same = fs::metadata(near).is_ok_and(|near| near.dev() == there.dev());
    let warning = same.then(|| {
        format!(
            "`{}` is on the same file system as the log: a person who can change one can change both",
            folder.display()
        )
    });
    let path = path.display().to_string();
    Ok(Kept { line: format!("kept in {path}"), receipt: path, warning })
}

fn read(folder: &Path, origin: &str) -> Result<Vec<Head>, AnchorError> {
    let failed = |path: &Path, e: &io::Error| AnchorError(format!("cannot read `{}`: {e}", path.display()));
    if fs::metadata(folder).map_err(|e| failed(folder, &e))?.is_file() {
        return file::text(folder, file::LOG).map(|text| Head::all(&text)).map_err(|e| failed(folder, &e));
    }
    let (mut heads, mut folders) = (Vec::new(), vec![of_run(folder, origin)]);
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(&folder, &error)),
        };
        for entry in entries.filter_map(Result::ok) {
            let path = entry.path();
            // Links are not followed: what they lead to is not this anchor's.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == EXTENSION) {
                let text = file::text(&path, file::SHORT).map_err(|e| failed(&path, &e))?;
                let head = Head::parse(&text);
                heads.push(head.ok_or_else(|| AnchorError(format!("`{}` holds no head of a log", path.display())))?);
            }
        }
    }
    Ok(heads)
}
