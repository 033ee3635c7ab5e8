//! Starts a program with an empty argument list and an empty environment: `without-argv PROGRAM`.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStringExt;

use nix::unistd::execve;

fn main() -> io::Result<Infallible> {
    let program = std::env::args_os().nth(1).unwrap_or_default();
    Ok(execve(&CString::new(program.into_vec())?, &[] as &[&CStr], &[] as &[&CStr])?)
}
