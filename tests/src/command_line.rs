//! `mfa-setup` as scripts and administrators run it, and how it fails.

use crate::host::{Host, Output, Running};
use crate::pam::Attempt;

/// A policy under which a code is asked of everybody.
pub const REQUIRED: &str = "[policy]\nmode = \"required\"\n";

/// A key that a hardware token came with, of 20 bytes (RFC 4226, appendix D).
pub const KEY: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// A host of alice and bob, with the service `code`, which asks for a code alone.
pub fn host() -> Running {
    let host = Host::new().user("alice", "rabbit hole").user("bob", "walrus").config(REQUIRED);
    host.pam("code", "auth required pam_mfa.so\n").start()
}

/// `mfa-setup` in a session without a terminal.
pub fn setup(host: &Running, line: &str) -> Output {
    setup_with(host, line, "")
}

/// The same with something on standard input.
pub fn setup_with(host: &Running, line: &str, input: &str) -> Output {
    let mut argv = vec!["setsid", "--wait", "mfa-setup"];
    argv.extend(words(line));
    host.run_with_input(&argv, input)
}

/// The words of a command line without quotes.
pub fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// An error of this exit code and text, with a hint, and nothing on standard output.
#[track_caller]
pub fn failed(output: &Output, exit: i32, error: &str) {
    let Output { code, stdout, stderr } = output;
    assert_eq!((*code, stdout.as_str()), (Some(exit), ""), "{stderr}");
    let (errors, hints): (Vec<&str>, Vec<&str>) =
        stderr.lines().partition(|line| line.starts_with("mfa-setup: error: "));
    assert!(errors.iter().any(|line| line.contains(error)), "{error:?} is not in\n{stderr}");
    assert!(!hints.is_empty(), "no hint in\n{stderr}");
    assert!(hints.iter().all(|line| line.starts_with("mfa-setup: hint: ")), "{stderr}");
}

/// How a login of alice's with that code ends.
pub fn log_in(host: &Running, code: &str) -> String {
    Attempt::new("code", "alice").answer(code).run(host).code().to_owned()
}
