//! The operator's program that sets DNS records.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::trouble::Trouble;

/// How long one run may take.
const RUN_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of what it complains about that are told.
const COMPLAINT_LEN_MAX: usize = 300;

/// What is done with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Set,
    Remove,
}

impl Verb {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Remove => "remove",
        }
    }
}

/// Runs the program for the TXT record `name`. Without a shell, so that nothing in a name can be taken for a command.
pub(super) async fn run(program: &[String], verb: Verb, name: &str, value: &str) -> Result<(), Trouble> {
    let Some((file, arguments)) = program.split_first() else {
        return Err(Trouble::name("this name needs DNS records, and `acme.dns_hook` is not set"));
    };
    let mut command = Command::new(file);
    command
        .args(arguments)
        .arg(verb.as_str())
        .env("VAYRO_DNS_NAME", name)
        .env("VAYRO_DNS_VALUE", value)
        // The key that opens every certificate is no business of the program.
        .env_remove("VAYRO_ACME__KEY")
        .env_remove("VAYRO_POSTGRES__URL")
        .env_remove("VAYRO_REDIS__URL")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let what = format!("the program that sets DNS records, `{file}`,");
    match timeout(RUN_TIMEOUT, command.output()).await {
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => {
            let complaint = String::from_utf8_lossy(&output.stderr);
            let complaint: String = complaint.trim().chars().take(COMPLAINT_LEN_MAX).collect();
            Err(Trouble::name(format!("{what} failed with {}: {complaint}", output.status)))
        }
        Ok(Err(error)) => Err(Trouble::name(format!("{what} cannot be run: {error}"))),
        Err(_) => Err(Trouble::name(format!("{what} took longer than {} s", RUN_TIMEOUT.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script, "hook"].map(str::to_owned).to_vec()
    }

    fn reason(result: Result<(), Trouble>) -> String {
        match result {
            Err(Trouble::Name(reason)) => reason,
            other => panic!("expected a reason, got {other:?}"),
        }
    }

    #[tokio::test]
    async fn the_program_gets_the_record_and_its_complaint_is_told() {
        let right =
            shell(r#"test "$1 $VAYRO_DNS_NAME $VAYRO_DNS_VALUE" = "set _acme-challenge.a.example x;y""#);
        run(&right, Verb::Set, "_acme-challenge.a.example", "x;y").await.expect("it is called rightly");
        let wrong = run(&right, Verb::Remove, "_acme-challenge.a.example", "x;y").await;
        assert!(reason(wrong).contains("exit status: 1"));
        let complaint = run(&shell("echo no such zone >&2; exit 3"), Verb::Set, "a", "b").await;
        assert!(reason(complaint).ends_with("failed with exit status: 3: no such zone"));
        let missing = run(&["/no/such/program".to_owned()], Verb::Set, "a", "b").await;
        assert!(reason(missing).contains("cannot be run"));
        assert!(reason(run(&[], Verb::Set, "a", "b").await).contains("acme.dns_hook"));
    }
}
