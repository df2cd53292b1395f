//! From a command and the release as it stands to one call of the admin API.

use super::args::{Canary, How, ReleaseCommand, Set, Shadow};
use crate::admin::{Admin, AdminError, Answer, Edit, Release};
use serde_json::json;

/// One call.
#[derive(Debug)]
pub(crate) enum Call {
    /// `PUT` of the release.
    Put(Edit),
    /// `POST` of `promote` or `rollback`.
    Act(&'static str, Edit),
}

impl Call {
    pub(crate) async fn make(&self, admin: &Admin, id: &str, wait: bool) -> Result<Answer<Release>, AdminError> {
        match self {
            Self::Put(edit) => admin.put(id, edit, wait).await,
            Self::Act(action, edit) => admin.act(id, action, edit, wait).await,
        }
    }

    /// The generation that the change is for.
    pub(crate) fn expected_generation(&self) -> u64 {
        let (Self::Put(edit) | Self::Act(_, edit)) = self;
        edit.expected_generation
    }
}

/// The release that a command changes, and how; `None` for commands that only look, and for `cancel`.
pub(crate) fn target(command: &ReleaseCommand) -> Option<(&str, &How)> {
    match command {
        ReleaseCommand::Set(Set { target, how, .. })
        | ReleaseCommand::Canary(Canary { target, how, .. })
        | ReleaseCommand::Shadow(Shadow { target, how, .. }) => Some((&target.release, how)),
        ReleaseCommand::Promote(step) | ReleaseCommand::Rollback(step) => Some((&step.target.release, &step.how)),
        ReleaseCommand::List | ReleaseCommand::Show(_) | ReleaseCommand::History(_) | ReleaseCommand::Cancel(_) => None,
    }
}

/// The call that a command means, for the release as it stands; `None` for commands that change nothing.
pub(crate) fn plan(command: &ReleaseCommand, now: &Release) -> Result<Option<Call>, AdminError> {
    let Some((_, how)) = target(command) else { return Ok(None) };
    let expected_generation = how.expect.unwrap_or(now.generation);
    let edit = Edit { expected_generation, reason: how.reason.clone(), ..Edit::default() };
    Ok(Some(match command {
        ReleaseCommand::Set(set) => Call::Put(settings(set, edit)),
        ReleaseCommand::Canary(args) => Call::Put(Edit { candidate: Some(candidate(args, now)?), ..edit }),
        ReleaseCommand::Shadow(args) => {
            Call::Put(Edit { shadow: Some(args.bundle.as_ref().map(ToString::to_string)), ..edit })
        }
        ReleaseCommand::Promote(_) => Call::Act("promote", edit),
        ReleaseCommand::Rollback(_) => Call::Act("rollback", edit),
        ReleaseCommand::List | ReleaseCommand::Show(_) | ReleaseCommand::History(_) | ReleaseCommand::Cancel(_) => {
            return Ok(None);
        }
    }))
}

fn settings(set: &Set, edit: Edit) -> Edit {
    Edit {
        stable: set.bundle.as_ref().map(ToString::to_string),
        drain_seconds: set.drain_seconds,
        keep_warm_seconds: set.keep_warm_seconds,
        policy: set.policy.map(|policy| policy.to_string()),
        sticky: set.sticky.as_ref().map(ToString::to_string),
        version_header: set.version_header,
        ..edit
    }
}

/// `None` takes the candidate away.
fn candidate(args: &Canary, now: &Release) -> Result<Option<serde_json::Value>, AdminError> {
    let Some(weight) = args.weight else { return Ok(None) };
    let running = || now.candidate.as_ref().map(|candidate| candidate.version.bundle.clone());
    let Some(bundle) = args.bundle.as_ref().map(ToString::to_string).or_else(running) else {
        return Err(AdminError::Now(format!(
            "{} has no candidate whose weight could change; name one: \
             bobbin release canary {} <name>@<version> --weight {}",
            now.id,
            now.id,
            weight.percent()
        )));
    };
    Ok(Some(json!({ "bundle": bundle, "weight": weight.percent() })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;
    use serde_json::Value;

    fn release(candidate: &Value) -> Release {
        serde_json::from_value(json!({
            "id": "http:/s:t:story", "generation": 7, "candidate": candidate,
            "stable": { "bundle": "a@1.0.0", "state": "ready" },
            "drain_seconds": 30, "keep_warm_seconds": 600, "policy": "auto", "sticky": "request", "version_header": false,
        }))
        .unwrap()
    }

    fn planned(line: &str, candidate: &Value) -> Result<String, String> {
        let words = ["bobbin", "release"].into_iter().chain(line.split(' '));
        let Command::Release(args) = Cli::try_parse_from(words).unwrap().command else { panic!("{line}") };
        match plan(&args.command, &release(candidate)) {
            Ok(Some(Call::Put(edit))) => Ok(format!("PUT {}", serde_json::to_string(&edit).unwrap())),
            Ok(Some(Call::Act(action, edit))) => Ok(format!("{action} {}", serde_json::to_string(&edit).unwrap())),
            Ok(None) => Ok("nothing".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn every_command_becomes_the_call_that_it_means() {
        let running = json!({ "bundle": "b@1.0.0", "weight": 10.0, "state": "ready" });
        for (line, call) in [
            ("set story b@2.0.0 --reason why", r#"PUT {"expected_generation":7,"stable":"b@2.0.0","reason":"why"}"#),
            (
                "set story --drain-seconds 0 --policy resource --sticky header:X-User --version-header",
                concat!(
                    r#"PUT {"expected_generation":7,"drain_seconds":0,"policy":"resource","sticky":"header:x-user","#,
                    r#""version_header":true}"#
                ),
            ),
            ("set story --version-header=false --expect 3", r#"PUT {"expected_generation":3,"version_header":false}"#),
            (
                "canary story c@1.0.0 --weight 12.5",
                r#"PUT {"expected_generation":7,"candidate":{"bundle":"c@1.0.0","weight":12.5}}"#,
            ),
            (
                "canary story --weight 25",
                r#"PUT {"expected_generation":7,"candidate":{"bundle":"b@1.0.0","weight":25.0}}"#,
            ),
            ("canary story --off", r#"PUT {"expected_generation":7,"candidate":null}"#),
            ("shadow story c@1.0.0", r#"PUT {"expected_generation":7,"shadow":"c@1.0.0"}"#),
            ("shadow story --off", r#"PUT {"expected_generation":7,"shadow":null}"#),
            ("promote story", r#"promote {"expected_generation":7}"#),
            ("rollback story --reason bad", r#"rollback {"expected_generation":7,"reason":"bad"}"#),
            ("show story", "nothing"),
            ("cancel story", "nothing"),
        ] {
            assert_eq!(planned(line, &running).as_deref(), Ok(call), "{line}");
        }
    }

    #[test]
    fn a_weight_without_a_candidate_says_how_to_name_one() {
        let error = planned("canary story --weight 25", &Value::Null).unwrap_err();
        assert!(error.contains("canary http:/s:t:story <name>@<version> --weight 25"), "{error}");
    }
}
