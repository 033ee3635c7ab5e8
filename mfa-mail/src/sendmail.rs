//! The local `sendmail` command: Postfix, Exim, msmtp and others have one.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use mfa_protocol::mail::{Fault, first_line};
use mfa_protocol::trusted;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use zeroize::Zeroizing;

/// Becomes the program, with the message as its standard input: so there is one process, which the
/// verifier bounds. Nothing of the message is among its arguments. Returns where that fails.
pub fn become_program(path: &Path, from: &str, to: &str, message: &[u8]) -> Fault {
    let error = match trusted::open_program(path) {
        Ok(program) => exec(&program, path, from, to, message).to_string(),
        Err(error) => error.to_string(),
    };
    Fault::Unrunnable(first_line(error.as_bytes()))
}

fn exec(program: &File, path: &Path, from: &str, to: &str, message: &[u8]) -> io::Error {
    // A header ends with a line feed here; the network's line ends are the program's to make.
    let message = Zeroizing::new(without_carriage_returns(message));
    let input = match keep_for_interpreter(program).and_then(|()| held(&message)) {
        Ok(input) => input,
        Err(error) => return error,
    };
    // What was opened is what runs.
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command.arg0(path.file_name().unwrap_or_default()).args(arguments(from, to));
    command.stdin(input).stdout(Stdio::null()).exec()
}

/// `-i`: a line with nothing but a dot does not end the message. Behind `--` nothing is an option.
fn arguments<'a>(from: &'a str, to: &'a str) -> [&'a str; 5] {
    ["-i", "-f", from, "--", to]
}

/// The interpreter of a script opens it by the name that it was started by, a descriptor's, which has to
/// be there still.
fn keep_for_interpreter(program: &File) -> io::Result<()> {
    let mut magic = [0; 2];
    if program.read_at(&mut magic, 0)? == magic.len() && magic == *b"#!" {
        fcntl(program, FcntlArg::F_SETFD(FdFlag::empty()))?;
    }
    Ok(())
}

/// A file in memory: nobody is left to write to a pipe.
fn held(message: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("mail", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(message)?;
    file.rewind()?;
    Ok(file)
}

fn without_carriage_returns(message: &[u8]) -> Vec<u8> {
    message.iter().copied().filter(|byte| *byte != b'\r').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_two_addresses_behind_options() {
        let expected = ["-i", "-f", "mfa@example.org", "--", "alice@example.org"];
        assert_eq!(arguments("mfa@example.org", "alice@example.org"), expected);
    }
}
