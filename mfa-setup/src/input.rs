//! Secrets that are read rather than typed: a code for `judge`, a key for `--secret-file`.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use mfa_protocol::Secret;
use zeroize::Zeroizing;

use crate::problem::Problem;

const LONGEST_CODE: usize = 1024;
const LONGEST_KEY: usize = 4096;

/// The first line of standard input.
pub fn code() -> Result<Secret, Problem> {
    let mut input = standard_input().map_err(|error| cannot_read("standard input", &error))?;
    let text = first_bytes(&mut input, LONGEST_CODE, Until::FirstLine)
        .map_err(|error| cannot_read("standard input", &error))?;
    let line = line(&text);
    if text.is_empty() {
        return Err(Problem::usage("there is no code on standard input", "pipe the code into it"));
    }
    if line.len() > LONGEST_CODE {
        let error = format!("the code on standard input is longer than {LONGEST_CODE} bytes");
        return Err(Problem::usage(error, "give one code on one line"));
    }
    Ok(Secret::new(line.to_vec()))
}

/// The one line of `path`, or of standard input where that is `-`. It is the verifier that knows
/// base32.
pub fn key(path: &Path) -> Result<Secret, Problem> {
    if path == Path::new("-") {
        let name = "standard input";
        let input = standard_input().map_err(|error| cannot_read(name, &error))?;
        return read_key(input, name);
    }
    let name = path.display().to_string();
    // Followed and read as it comes: it may well be a pipe of the caller's shell.
    let file = File::open(path).map_err(|error| cannot_read(&name, &error))?;
    read_key(file, &name)
}

fn read_key(mut input: impl Read, name: &str) -> Result<Secret, Problem> {
    let text = first_bytes(&mut input, LONGEST_KEY, Until::End)
        .map_err(|error| cannot_read(name, &error))?;
    let hint = "it holds the key in base32, on one line";
    if text.len() > LONGEST_KEY {
        return Err(Problem::usage(format!("{name} is longer than {LONGEST_KEY} bytes"), hint));
    }
    let line = line(&text);
    let rest = text.get(line.len()..).unwrap_or_default();
    if !rest.trim_ascii().is_empty() {
        return Err(Problem::usage(format!("{name} has more than one line"), hint));
    }
    if line.trim_ascii().is_empty() {
        return Err(Problem::usage(format!("there is no key in {name}"), hint));
    }
    Ok(Secret::new(line.to_vec()))
}

/// All of a file of at most `bound` bytes; what is longer is cut behind one more.
pub fn whole(input: &mut impl Read, bound: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    first_bytes(input, bound, Until::End)
}

/// Standard input without the buffer of the standard library, which nobody wipes.
fn standard_input() -> io::Result<File> {
    io::stdin().as_fd().try_clone_to_owned().map(File::from)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    FirstLine,
    End,
}

/// Reads at most one byte more than `bound`, so that what is too long can be told.
fn first_bytes(
    input: &mut impl Read,
    bound: usize,
    until: Until,
) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(vec![0u8; bound + 1]);
    let mut filled = 0;
    while let Some(free) = text.get_mut(filled..).filter(|free| !free.is_empty()) {
        match input.read(free) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        let read = text.get(..filled).unwrap_or_default();
        if until == Until::FirstLine && read.contains(&b'\n') {
            break;
        }
    }
    text.truncate(filled);
    Ok(text)
}

/// What stands before the first line end.
fn line(text: &[u8]) -> &[u8] {
    let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn cannot_read(name: &str, error: &io::Error) -> Problem {
    Problem::usage(format!("{name} cannot be read: {error}"), "name a file that can be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(text: &[u8]) -> Result<Vec<u8>, u8> {
        read_key(text, "file").map(|key| key.expose().to_vec()).map_err(|problem| problem.exit)
    }

    #[test]
    fn a_key_is_one_line_passed_on_as_it_is() {
        assert_eq!(key_of(b"jbsw y3dp\n"), Ok(b"jbsw y3dp".to_vec()));
        assert_eq!(key_of(b"JBSWY3DP"), Ok(b"JBSWY3DP".to_vec()));
        assert_eq!(key_of(b"JBSWY3DP\r\n\n"), Ok(b"JBSWY3DP".to_vec()));
        assert_eq!(key_of(&[b'A'; LONGEST_KEY]).map(|key| key.len()), Ok(LONGEST_KEY));
    }

    #[test]
    fn what_is_not_one_line_is_wrong_input() {
        for text in [&b""[..], b"\n", b"  \n", b"A\nB\n", &[b'A'; LONGEST_KEY + 1]] {
            assert_eq!(key_of(text), Err(2));
        }
        assert_eq!(key(Path::new("/nonexistent")).unwrap_err().exit, 2);
        assert_eq!(key(Path::new("/")).unwrap_err().exit, 2);
    }

    #[test]
    fn reading_a_line_stops_at_its_end_and_at_the_bound() {
        let mut input = io::Read::chain(&b"123456\nmore"[..], io::repeat(b'x'));
        let text = first_bytes(&mut input, 1024, Until::FirstLine).unwrap();
        assert_eq!(line(&text), b"123456");
        let text = first_bytes(&mut io::repeat(b'x'), 1024, Until::FirstLine).unwrap();
        assert_eq!(text.len(), 1025);
    }
}
