//! Runs verifiers in whose system calls something goes wrong: see [`mfa_tests::sweep`]. Reads an
//! [`Order`] a line.
#![forbid(unsafe_code)]

use std::io::{self, BufRead, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use mfa_protocol::FACE_BOUND;
use mfa_tests::sweep::orders::{Fault, Order, Seen};
use mfa_tests::sweep::trace::{Tracer, become_traced, traced};
use mfa_tests::traced::{SOCKET, VERIFIER};

/// How long a verifier may live whose face has been given up.
const MARGIN: Duration = Duration::from_secs(5);

fn main() -> io::Result<()> {
    become_traced()?;
    let socket = Path::new(SOCKET);
    fs::create_dir_all(socket.parent().unwrap_or(socket))?;
    let listener = UnixListener::bind(socket)?;
    say(&"listening")?;
    for line in io::stdin().lock().lines() {
        match serde_json::from_str(&line?)? {
            Order::Serve(fault) => say(&serve(&listener, fault)?)?,
        }
    }
    Ok(())
}

fn say(what: &impl serde::Serialize) -> io::Result<()> {
    writeln!(io::stdout(), "{}", serde_json::to_string(what)?)
}

fn serve(listener: &UnixListener, fault: Fault) -> io::Result<Seen> {
    let (stream, _) = listener.accept()?;
    let mut command = traced(VERIFIER, &[]);
    command.stdin(Stdio::from(OwnedFd::from(stream))).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.current_dir("/").spawn()?;
    // Their end of the connection: with a copy open here, the face would not see it closed.
    drop(command);
    Tracer::follow(&child, fault)?.to_its_end(FACE_BOUND + MARGIN)
}
