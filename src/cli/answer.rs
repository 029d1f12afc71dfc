//! What `approve` and `reject` share: where the request comes from, who signs, and where the signature goes.
//!
//! Nothing is written into a run's log here: the process that drives the run looks for signatures and judges each itself.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::diag::{Code, Kind, Refusal};
use crate::file;
use crate::people::{Answer, Approve, Board, Decision, Inbox, confirm, safe, shown::LONGEST, shown::Shown, trusting};
use crate::plan::StepRef;
use crate::run::State;
use crate::session::run_record::RunRecord;
use crate::session::{places, policy, requests, trust};
use crate::shell::Context;
use crate::sign::{AllowedSigners, Assurance, PublicKey, Signer, TrustFiles, namespace};

/// The request, and how it is answered.
#[derive(Clone, Debug, clap::Args)]
pub struct AnswerArgs {
    /// A run (or the end of its name), a request file somebody sent, or `-` for its pasted text; the newest run otherwise.
    #[arg(value_name = "RUN|FILE|-")]
    pub request: Option<String>,
    /// Which step, where a run asks for more than one.
    #[arg(long, value_name = "ID")]
    pub step: Option<String>,
    /// The key you sign with: a key file, or `agent:SHA256:…`.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// The folder the run takes approvals from, if it was given one.
    #[arg(long, value_name = "DIR")]
    pub approvals: Option<PathBuf>,
    #[command(flatten)]
    pub trust: trust::ApproversArgs,
}

/// A request to be answered.
pub struct Asked {
    pub shown: Shown,
    pub from: From,
    files: TrustFiles,
}

/// Where the request is from, and so where its answer goes.
pub enum From {
    /// A run kept here.
    Run(Box<RunRecord>, StepRef),
    /// A file somebody sent.
    File(PathBuf),
    /// Pasted text: the answer is printed.
    Paste,
}

const NOTHING: &str = "not checked. Nothing was signed.";

/// Finds and reads the request.
pub fn asked(args: &AnswerArgs, cx: &Context) -> Result<Asked, Refusal> {
    let files = trust::approvers(cx, &args.trust)?;
    let (text, from) = match args.request.as_deref() {
        Some("-") => (paste()?, From::Paste),
        Some(name) if file::stands(&cx.cwd.join(name)) => {
            let path = PathBuf::from(name);
            (read(&cx.cwd.join(&path))?, From::File(path))
        }
        name => of_run(args, cx, name)?,
    };
    let shown = Shown::read(&text).map_err(|why| {
        let place = match &from {
            From::Run(past, _) => format!("run {}", past.id),
            From::File(path) => path.display().to_string(),
            From::Paste => "the standard input".into(),
        };
        Refusal::new(Kind::Invalid, Code::Request, "this is not a request for approval")
            .place(place)
            .cause(why)
            .users(NOTHING)
            .next("bgctl approve STEP.request.json        the file as it was written, unchanged")
    })?;
    Ok(Asked { shown, from, files })
}

/// Pasted text: what an editor or a chat puts around it is no part of it.
fn paste() -> Result<String, Refusal> {
    let mut text = String::new();
    let read = std::io::stdin().take(LONGEST as u64 + 1).read_to_string(&mut text);
    read.map_err(|e| {
        Refusal::new(Kind::Invalid, Code::Request, "the pasted text cannot be read").cause(e.to_string())
    })?;
    Ok(text.trim().to_string())
}

fn read(path: &Path) -> Result<String, Refusal> {
    let unreadable = |why: String| {
        let refusal = Refusal::new(Kind::Invalid, Code::Request, "the request cannot be read");
        refusal.place(path.display().to_string()).cause(why).users(NOTHING)
    };
    file::text(path, LONGEST as u64).map_err(|e| unreadable(e.to_string()))
}

/// The open request of a run: the one named, or the only one.
fn of_run(args: &AnswerArgs, cx: &Context, name: Option<&str>) -> Result<(String, From), Refusal> {
    let past = RunRecord::find(cx, name)?;
    let open = open(&past);
    let id = |at: &StepRef| past.plan.step(*at).id.clone();
    let named = open.iter().copied().filter(|at| args.step.as_ref().is_none_or(|step| *step == id(at)));
    let found: Vec<StepRef> = named.collect();
    let refuse = |headline: String| {
        let refusal = Refusal::new(Kind::Usage, Code::Request, headline).users(NOTHING);
        refusal.next(format!("bgctl show {}        what the run does", past.id))
    };
    match found.as_slice() {
        [at] => {
            let text = past.state.approvals[at].request.clone();
            let at = *at;
            Ok((text, From::Run(Box::new(past), at)))
        }
        [] => Err(match &args.step {
            Some(step) => refuse(format!("run {} waits for no approval of `{step}`", past.id)),
            None => refuse(format!("run {} waits for no approval", past.id)),
        }),
        many => {
            let steps: Vec<String> = many.iter().map(id).collect();
            let refusal = refuse(format!("run {} waits for {} approvals", past.id, many.len()));
            Err(refusal.cause(steps.join(", ")).next(format!("add --step {}", steps[0])))
        }
    }
}

/// Requests that have not been used, of a run that goes on.
fn open(past: &RunRecord) -> Vec<StepRef> {
    if matches!(past.state.doing, crate::run::Doing::Ended(_)) {
        return Vec::new();
    }
    // What was agreed to ahead for steps that will not come any more is not asked.
    let State { approvals, lane, .. } = &past.state;
    approvals.iter().filter(|(at, approval)| !approval.used && at.lane == *lane).map(|(at, _)| *at).collect()
}

impl Asked {
    /// The request cannot be answered any more.
    pub fn expired(&self, cx: &Context) -> Result<(), Refusal> {
        if cx.clock.now().as_second() <= self.shown.expires {
            return Ok(());
        }
        let at = jiff::Timestamp::from_second(self.shown.expires).map_or("?".into(), |at| at.to_string());
        Err(Refusal::new(Kind::Denied, Code::Expired, format!("this request expired at {at}"))
            .place(format!("step {} of run {}", self.shown.step, self.shown.run))
            .cause("an approval that comes now would not count")
            .users(NOTHING)
            .next("ask for a new one: the person who runs the cutover starts it again"))
    }

    /// Opens the key that signs.
    pub fn signer(&self, args: &AnswerArgs, cx: &Context) -> Result<Box<dyn Signer>, Refusal> {
        let principals: Vec<&str> = match &self.from {
            From::Run(past, at) => principals(past, *at),
            From::File(_) | From::Paste => Vec::new(),
        };
        let signer = trust::signer(cx, args.key.as_deref(), principals)?;
        if signer.assurance() == Assurance::SharedKey {
            return Err(Refusal::new(
                Kind::Denied,
                Code::NotThisKey,
                "a shared key belongs to no person, so it cannot answer for one",
            )
            .cause(format!("it is {}", signer.name()))
            .users(NOTHING)
            .next("--key PATH        a key of your own"));
        }
        Ok(signer)
    }

    /// Signs the very bytes that were shown.
    pub fn sign(&self, signer: &dyn Signer, deny: bool) -> Result<String, Refusal> {
        let space = if deny { namespace::DENY } else { namespace::APPROVE };
        signer.sign(space, self.shown.text.as_bytes()).map_err(|error| trust::refusal(&error).users(NOTHING))
    }

    /// What the run will make of a signature, as far as that is known here: a refusal in its own words, or nothing.
    pub fn judge(&self, args: &AnswerArgs, cx: &Context, signature: &str) -> Result<Option<Decision>, Refusal> {
        let From::Run(past, at) = &self.from else { return Ok(None) };
        let archive = places::of(cx, &past.plan)?;
        let known = std::rc::Rc::new(move || requests::known(&archive));
        let folder = self.folder(args, cx).unwrap_or_else(|| past.folder.clone());
        let inbox = Inbox::new(folder, trusting(self.files.signers()), requests::barred(&past.entries)).knowing(known);
        let asked = past.state.approvals.get(at);
        let Some(ask) = asked.and_then(|asked| Approve::of(&past.plan, *at, asked)) else { return Ok(None) };
        inbox.judge(&ask, signature, cx.clock.now()).map_err(|why| {
            Refusal::new(Kind::Denied, Code::NotThisKey, "this answer would not count")
                .place(format!("step {} of run {}", self.shown.step, self.shown.run))
                .cause(why)
                .users(NOTHING)
                .next(format!("bgctl approve {} --key PATH        with a key of the role", past.id))
                .next(format!("bgctl check {}        who holds which role", policy::TEAM))
        })
    }

    fn folder(&self, args: &AnswerArgs, cx: &Context) -> Option<PathBuf> {
        match (&args.approvals, &self.from) {
            (Some(folder), _) => Some(cx.cwd.join(folder)),
            (None, From::Run(past, _)) => Some(past.folder.join("approvals")),
            (None, From::File(_) | From::Paste) => None,
        }
    }

    /// Puts the signature where it is looked for, or prints it. `name` says whose it is.
    pub fn deliver(
        &self,
        args: &AnswerArgs,
        cx: &Context,
        name: &str,
        signature: &str,
    ) -> Result<Option<PathBuf>, Refusal> {
        let step = safe(&self.shown.step);
        let file = match (self.folder(args, cx), &self.from) {
            (Some(folder), _) => folder.join(format!("{step}.request.json.{}.sig", safe(name))),
            (None, From::File(path)) => {
                let mut beside = cx.cwd.join(path).into_os_string();
                beside.push(format!(".{}.sig", safe(name)));
                PathBuf::from(beside)
            }
            (None, From::Run(..) | From::Paste) => {
                cx.raw_out(signature.trim_end());
                return Ok(None);
            }
        };
        let write = || -> std::io::Result<()> {
            let folder = file.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder)?;
            // Whole or not at all: the run may be looking.
            let draft = folder.join(format!(".{}.{}", safe(name), std::process::id()));
            std::fs::write(&draft, signature)?;
            std::fs::rename(&draft, &file)
        };
        write().map_err(|error| {
            Refusal::new(Kind::Environment, Code::Unwritable, "the signature cannot be written")
                .place(file.display().to_string())
                .cause(error.to_string())
                .users(NOTHING)
                .next("bgctl approve - < STEP.request.json        prints it instead")
        })?;
        Ok(Some(file))
    }

    /// The name a key's signature is kept under: the principal's, where the key is known here.
    pub fn name(&self, signer: &dyn Signer) -> String {
        let signers: AllowedSigners = self.files.signers();
        let key = PublicKey::from_line(&signer.public()).ok();
        let known = key.and_then(|key| signers.principals(&key).into_iter().next());
        known.unwrap_or_else(|| signer.fingerprint().chars().filter(char::is_ascii_alphanumeric).take(14).collect())
    }
}

/// The principals under which the members of a step's role sign.
fn principals(past: &RunRecord, at: StepRef) -> Vec<&str> {
    let rule = past.plan.step(at).approval.as_ref();
    rule.map(|rule| past.plan.team.principals(&rule.members)).unwrap_or_default()
}

/// Has a word typed at the terminal, or takes it from the command line.
pub async fn typed(cx: &Context, word: &str, given: Option<&str>, flag: &str, ask: &str) -> Result<bool, Refusal> {
    if let Some(given) = given {
        if given == word {
            return Ok(true);
        }
        let headline = format!("`{flag} {given}` is not what this request asks for");
        return Err(Refusal::new(Kind::Usage, Code::Unsaid, headline)
            .cause(format!("it is `{word}`: read the request again"))
            .users(NOTHING)
            .next(format!("{flag} {word}        if that is what you mean")));
    }
    let keyboard = if cx.style.interactive { crate::session::display::keyboard() } else { None };
    let Some(keyboard) = keyboard else {
        return Err(Refusal::new(
            Kind::Usage,
            Code::NobodyHere,
            "an answer has to be typed, and nobody can be asked here",
        )
        .cause("there is no terminal, or --no-input or CI is set")
        .users(NOTHING)
        .next(format!("the same command with {flag} {word}")));
    };
    let board = Board::on(cx.screen());
    Ok(confirm::word(&keyboard, &board, cx.clock.as_ref(), ask, word).await == Answer::Given(true))
}
