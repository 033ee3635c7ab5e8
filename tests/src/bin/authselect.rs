//! Stands in for authselect on a host: see [`mfa_tests::authselect`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match mfa_tests::authselect::call(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("[error] {why}");
            ExitCode::FAILURE
        }
    }
}
