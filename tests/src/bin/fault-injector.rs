//! Runs verifiers in whose system calls something goes wrong: see [`mfa_tests::sweep`]. Reads an
//! [`Order`] a line.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mfa_protocol::FACE_BOUND;
use mfa_tests::sweep::ROOT_SOCKET;
use mfa_tests::sweep::orders::{Fault, Order, Seen};
use mfa_tests::sweep::trace::{Tracer, become_traced, traced};
use mfa_tests::traced::{SOCKET, VERIFIER};

/// How long a verifier may be at a connection: longer than its face.
const PATIENCE: Duration = FACE_BOUND.saturating_add(Duration::from_secs(5));

/// How often a socket is looked for that is to come.
const GLANCE: Duration = Duration::from_millis(1);

fn main() -> io::Result<()> {
    become_traced()?;
    let listener = UnixListener::bind(in_directory(SOCKET)?)?;
    say(&())?;
    let mut orders = BufReader::new(io::stdin());
    let mut resident: Option<Tracer> = None;
    loop {
        // Nothing else lets it run on.
        if let Some(resident) = &mut resident {
            resident.run_until(None, Some(io::stdin().as_fd()), |_| false)?;
        }
        let mut line = String::new();
        if orders.read_line(&mut line)? == 0 {
            return Ok(());
        }
        match (serde_json::from_str(&line)?, &mut resident) {
            (Order::Serve(fault), _) => say(&serve(&listener, fault)?)?,
            (Order::Listen, resident) => say(&listen(resident)?)?,
            (Order::End, resident) => {
                if let Some(running) = resident.as_mut().filter(|resident| !resident.has_ended()) {
                    running.end()?;
                }
                say(&())?;
            }
            (_, None) => return Err(io::Error::other("nobody listens")),
            (Order::Arm(begins, fault), Some(resident)) => {
                resident.arm_for(begins, fault);
                say(&())?;
            }
            (Order::Disarm, Some(resident)) => {
                resident.run_until(Some(Instant::now() + PATIENCE), None, Tracer::is_done)?;
                if !resident.is_done() {
                    resident.end()?;
                }
                say(&resident.seen())?;
            }
        }
    }
}

fn say(what: &impl serde::Serialize) -> io::Result<()> {
    writeln!(io::stdout(), "{}", serde_json::to_string(what)?)
}

/// The path, in a directory that is there.
fn in_directory(path: &str) -> io::Result<&Path> {
    let path = Path::new(path);
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    Ok(path)
}

fn quiet(mut command: Command) -> Command {
    command.stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
    command
}

fn serve(listener: &UnixListener, fault: Option<Fault>) -> io::Result<Seen> {
    let (stream, _) = listener.accept()?;
    let mut command = quiet(traced(VERIFIER, &[]));
    command.stdin(Stdio::from(OwnedFd::from(stream)));
    let mut verifier = Tracer::start(command)?;
    verifier.arm(fault);
    verifier.run_to_its_end(PATIENCE)?;
    Ok(verifier.seen())
}

/// Whether it had to be started.
fn listen(resident: &mut Option<Tracer>) -> io::Result<bool> {
    if resident.as_ref().is_some_and(|resident| !resident.has_ended()) {
        return Ok(false);
    }
    let socket = in_directory(ROOT_SOCKET)?;
    // One that was left behind would be taken for the new one's.
    let _ = fs::remove_file(socket);
    let mut command = quiet(traced(VERIFIER, &["--listen", ROOT_SOCKET]));
    command.stdin(Stdio::null());
    let started = resident.insert(Tracer::start(command)?);
    let deadline = Instant::now() + PATIENCE;
    while !socket.exists() {
        if started.has_ended() || Instant::now() > deadline {
            return Err(io::Error::other("the resident verifier does not listen"));
        }
        started.run_until(Some(Instant::now() + GLANCE), None, |_| false)?;
    }
    Ok(true)
}
