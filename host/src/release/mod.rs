//! `bobbin release ..`: looks at and changes the releases of a running host, through its admin API.

mod args;
mod change;
mod exit;
mod progress;
mod view;
mod weight;
mod words;

pub(crate) use args::ReleaseArgs;
pub(crate) use exit::Exit;
pub(crate) use progress::bytes as bytes_style;
pub(crate) use words::{ago, left, plain, table};

use crate::admin::{Admin, AdminError, Answer, Code, EventStream, History, Problem, Release, Releases};
use crate::failure::Failure;
use crate::terminal::print;
use args::{HistoryArgs, ReleaseCommand, Target};
use change::Call;
use progress::Display;
use serde_json::Value;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// How long the word that a change is committed may come after the answer that says so.
const LAST_WORD: Duration = Duration::from_millis(250);
/// How long a host may take to begin telling what happens; without it there is no progress to show, that is all.
const FIRST_WORD: Duration = Duration::from_secs(2);

/// Runs one command.
///
/// # Errors
/// What the host refused, or why it could not be asked, with the next step where the command line knows one that the
/// host cannot.
pub(crate) fn run(args: &ReleaseArgs) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let error = match runtime.block_on(execute(args)) {
        Ok(()) => return Ok(Exit::Done.into()),
        Err(error) => error,
    };
    let mut failure = Failure::of_admin(&error, error.to_string());
    if let AdminError::Refused(problem) = &error {
        let near = runtime.block_on(meant(args, problem)).map(|near| format!("did you mean {near:?}?"));
        for step in help(problem).into_iter().chain(near) {
            failure = failure.help(step);
        }
    }
    Err(failure)
}

async fn execute(args: &ReleaseArgs) -> Result<(), AdminError> {
    let admin = Admin::new(&args.connection)?;
    let now = SystemTime::now();
    let show = |document: &Value, text: String| print(&if args.json { format!("{document:#}\n") } else { text });
    match &args.command {
        ReleaseCommand::List => {
            let Answer { value, document } = admin.list::<Releases>().await?;
            if value.releases.is_empty() && !args.json {
                eprintln!("this host has no releases; declare one in [application.trigger.bobbin.releases]");
            } else {
                show(&document, view::list(&value.releases, now));
            }
        }
        ReleaseCommand::Show(Target { release }) => {
            let answer = admin.release::<Release>(release).await?;
            show(&answer.document, view::release(&answer.value, now));
        }
        ReleaseCommand::History(HistoryArgs { target, limit }) => {
            let answer = admin.history::<History>(&target.release, *limit).await?;
            show(&answer.document, view::history(&answer.value.history, now));
        }
        ReleaseCommand::Cancel(Target { release }) => {
            let answer = admin.cancel::<Release>(release).await?;
            show(&answer.document, view::release(&answer.value, now));
        }
        ReleaseCommand::Set(_)
        | ReleaseCommand::Canary(_)
        | ReleaseCommand::Shadow(_)
        | ReleaseCommand::Promote(_)
        | ReleaseCommand::Rollback(_) => change(args, &admin).await?,
    }
    Ok(())
}

/// Reads the release, makes the one call that the command means, and waits for it.
async fn change(args: &ReleaseArgs, admin: &Admin) -> Result<(), AdminError> {
    let Some((name, how)) = change::target(&args.command) else { return Ok(()) };
    let before = admin.release::<Release>(name).await?.value;
    let Some(call) = change::plan(&args.command, &before)? else { return Ok(()) };
    let answer = if args.json {
        call.make(admin, &before.id, !how.no_wait).await?
    } else if how.no_wait {
        let answer = call.make(admin, &before.id, false).await?;
        let word = if answer.value.pending.is_some() { "accepted, and not committed yet" } else { "committed" };
        eprintln!("{word}; `bobbin release show {name}` says how it goes on");
        answer
    } else {
        watched(admin, &call, &before.id).await?
    };
    if args.json {
        print(&format!("{:#}\n", answer.document));
    } else {
        print(&view::release(&answer.value, SystemTime::now()));
    }
    Ok(())
}

/// Makes a call and shows what happens until it is answered.
async fn watched(admin: &Admin, call: &Call, id: &str) -> Result<Answer<Release>, AdminError> {
    // Before the call, so that its first step is among the events.
    let mut events = tokio::time::timeout(FIRST_WORD, admin.events()).await.ok().and_then(Result::ok);
    let mut display = Display::new(id, call.expected_generation());
    let answer = call.make(admin, id, true);
    tokio::pin!(answer);
    let mut committed = false;
    let result = loop {
        tokio::select! {
            biased;
            event = next(&mut events) => committed |= display.take(&event),
            result = &mut answer => break result,
            _ = tokio::signal::ctrl_c() => {
                display.finish();
                eprintln!(
                    "no longer waiting; the change goes on: `bobbin release show {id}` looks, \
                     `bobbin release cancel {id}` gives it up"
                );
                std::process::exit(130);
            }
        }
    };
    if result.is_ok() && !committed {
        let last_word = async { while !display.take(&next(&mut events).await) {} };
        // Without it everything is said but how fast it was.
        let _ = tokio::time::timeout(LAST_WORD, last_word).await;
    }
    display.finish();
    result
}

/// The next event; waits for ever where there are none, for then the answer is all that is left to wait for.
async fn next(events: &mut Option<EventStream>) -> crate::admin::Event {
    if let Some(stream) = events {
        if let Some(event) = stream.next().await {
            return event;
        }
        *events = None;
    }
    std::future::pending().await
}

/// The release that was probably meant, by its id or by its graph, where the host has none of the name that was given.
async fn meant(args: &ReleaseArgs, problem: &Problem) -> Option<String> {
    if problem.code != Code::UnknownRelease {
        return None;
    }
    let asked = match &args.command {
        ReleaseCommand::Show(target) | ReleaseCommand::Cancel(target) => target.release.as_str(),
        ReleaseCommand::History(history) => history.target.release.as_str(),
        other => change::target(other)?.0,
    };
    let admin = Admin::new(&args.connection).ok()?;
    let releases = admin.list::<Releases>().await.ok()?.value.releases;
    let graph = |id: &str| id.rsplit(':').next().unwrap_or_default().to_owned();
    let names: Vec<String> = releases.iter().flat_map(|release| [graph(&release.id), release.id.clone()]).collect();
    bobbin_suggest::nearest(asked, names.iter().map(String::as_str)).map(str::to_owned)
}

/// The next steps that the command line knows, and the host cannot.
fn help(problem: &Problem) -> Vec<String> {
    let step: Option<String> = match problem.code {
        Code::StaleGeneration => Some(match problem.current_generation {
            Some(current) => format!("look at it with `bobbin release show`, then repeat with --expect {current}"),
            None => "look at it with `bobbin release show`, then repeat the command".into(),
        }),
        Code::ChangeInProgress => Some("wait for it, or give it up with `bobbin release cancel`".into()),
        Code::Superseded => Some("`bobbin release history` says by whom".into()),
        Code::VersionFailed => Some("`bobbin bundle verify` checks its files; what served goes on serving".into()),
        Code::Unauthorized => Some("give the token with BOBBIN_ADMIN_TOKEN or --admin-token".into()),
        Code::UnknownRelease
        | Code::UnknownBundle
        | Code::UnknownKey
        | Code::UnreadableKeys
        | Code::NothingToPromote
        | Code::NothingToRollBack
        | Code::NothingPending
        | Code::InvalidBody
        | Code::InvalidChange
        | Code::DoesNotFit
        | Code::NotPersisted
        | Code::Stopping
        | Code::Other => None,
    };
    let asked = problem.request_id.as_ref().filter(|_| problem.status.is_server_error());
    let log = asked.map(|id| format!("the host's log has more under request {id}"));
    step.into_iter().chain(log).collect()
}
