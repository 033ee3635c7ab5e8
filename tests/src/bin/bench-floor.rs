//! What no verifier on a socket that writes before it answers can do without: `bench` measures a login
//! with it beside the others.
//!
//! `bench-floor SOCKET FILE` listens there, says `listening`, and serves one connection after the other:
//! the request is read and not looked at, a code is asked for and not judged, one block of FILE is
//! written and synced, and the answer lets in.
#![forbid(unsafe_code)]

use std::env;
use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};

use mfa_protocol::conversation::Prompt;
use mfa_protocol::message::{Reply, ToFace};
use mfa_protocol::relayed::send;
use mfa_protocol::{Outcome, PERSON_BOUND, VERIFIER_BOUND, Verdict, frame};

/// As many bytes as a slot of the summary.
const BLOCK: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let [socket, path]: [String; 2] =
        env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "give SOCKET and FILE")?;
    let file = File::create_new(path)?;
    file.write_all_at(&[0; 2 * BLOCK], 0)?;
    file.sync_all()?;
    let listener = UnixListener::bind(socket)?;
    println!("listening");
    for (login, stream) in (0u64..).zip(listener.incoming()) {
        serve(&stream?, &file, login)?;
    }
    Ok(())
}

fn serve(stream: &UnixStream, file: &File, login: u64) -> Result<(), Box<dyn Error>> {
    frame::receive(stream, VERIFIER_BOUND)?;
    send(stream, &ToFace::Ask(Prompt::hidden("Verification code: ")))?;
    frame::receive(stream, PERSON_BOUND)?;
    let mut block = [0; BLOCK];
    block[..8].copy_from_slice(&login.to_le_bytes());
    file.write_all_at(&block, login % 2 * BLOCK as u64)?;
    file.sync_data()?;
    let granted = Outcome { verdict: Verdict::Granted, user: None, factor: None, label: None };
    Ok(send(stream, &ToFace::Done(Box::new(Reply::Outcome(granted))))?)
}
