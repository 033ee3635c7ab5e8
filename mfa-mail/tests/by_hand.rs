//! `mfa-mail`, when it is not a verifier that started it.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Stdio};

#[test]
fn who_starts_it_by_hand_is_told_that_it_is_not_for_that() {
    for arguments in [&[][..], &["--help"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mfa-mail"));
        let output = command.args(arguments).env_clear().stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]), "{said}");
        assert!(said.starts_with("mfa-mail: error: only mfa-verifier starts this"), "{said}");
    }
}
