//! The process that talks to a mail server, when it is not a verifier that started it.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Stdio};

#[test]
fn who_starts_the_mailers_process_by_hand_is_told_that_it_is_not_for_that() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mfa-verifier"));
    let output = command.arg("--send-mail").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]), "{said}");
    assert!(said.starts_with("mfa-verifier: error: --send-mail is for a verifier"), "{said}");
}
