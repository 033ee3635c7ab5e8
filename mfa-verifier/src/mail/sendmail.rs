//! The local `sendmail` command: Postfix, Exim, msmtp and others have one.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mfa_protocol::trusted;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use zeroize::Zeroizing;

use super::address::Address;
use super::program::{End, Listen, run};
use super::{MailError, first_line};

/// What sysexits.h has a mailer say of a recipient that it does not know, or of its host.
const NO_RECIPIENT: [i32; 2] = [67, 68];

/// Hands a message to the program. Nothing of the message is among its arguments.
pub(super) fn send(
    path: &Path,
    from: &Address,
    to: &Address,
    message: &[u8],
    bound: Duration,
) -> Result<(), MailError> {
    let program = trusted::open_program(path).map_err(MailError::Program)?;
    let failed = |source| MailError::Unrunnable { path: path.to_owned(), source };
    keep_for_interpreter(&program).map_err(failed)?;
    // What was opened is what runs.
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command.arg0(path.file_name().unwrap_or_default()).args(arguments(from, to));
    // A header ends with a line feed here; the network's line ends are the program's to make.
    let message = Zeroizing::new(without_carriage_returns(message));
    let left = run(command, Listen::Error, &message, bound).map_err(failed)?;
    let said = first_line(&left.said);
    match left.end {
        End::Exit(0) => Ok(()),
        End::TimedOut => Err(MailError::TimedOut { who: path.display().to_string(), bound }),
        End::Exit(code) if NO_RECIPIENT.contains(&code) => {
            Err(MailError::Recipient { to: to.clone(), said })
        }
        end => Err(MailError::Failed { path: path.to_owned(), how: end.to_string(), said }),
    }
}

/// `-i`: a line with nothing but a dot does not end the message. Behind `--` nothing is an option.
fn arguments<'a>(from: &'a Address, to: &'a Address) -> [&'a str; 5] {
    ["-i", "-f", from.as_str(), "--", to.as_str()]
}

/// The interpreter of a script opens it by the name that it was started by, a descriptor's, which has to
/// be there still. Whatever else this process starts meanwhile is root's, and may read it as well.
fn keep_for_interpreter(program: &File) -> std::io::Result<()> {
    let mut magic = [0; 2];
    if program.read_at(&mut magic, 0)? == magic.len() && magic == *b"#!" {
        fcntl(program, FcntlArg::F_SETFD(FdFlag::empty()))?;
    }
    Ok(())
}

fn without_carriage_returns(message: &[u8]) -> Vec<u8> {
    message.iter().copied().filter(|byte| *byte != b'\r').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_two_addresses_behind_options() {
        let from = Address::parse("mfa@example.org").unwrap();
        let to = Address::parse("alice@example.org").unwrap();
        let expected = ["-i", "-f", "mfa@example.org", "--", "alice@example.org"];
        assert_eq!(arguments(&from, &to), expected);
    }
}
