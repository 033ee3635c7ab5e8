//! A face of the user's own making, for what lies behind the courtesy of `mfa-setup`: it asks a
//! verifier for whatever the test says.
//!
//! `user-face SOCKET` reads from standard input a [`Request`] and the answers to what it is asked,
//! as a pair in JSON, and prints a [`Heard`].
#![forbid(unsafe_code)]

use std::io;
use std::os::unix::net::UnixStream;

use mfa_protocol::Request;
use mfa_protocol::conversation::Scripted;
use mfa_protocol::relay::relay;
use mfa_tests::face::Heard;

fn main() -> io::Result<()> {
    let socket = std::env::args_os().nth(1).ok_or_else(|| io::Error::other("no socket"))?;
    let (request, answers): (Request, Vec<String>) = serde_json::from_reader(io::stdin())?;
    let stream = UnixStream::connect(socket)?;
    let mut script = Scripted::new(answers);
    let reply = relay(&stream, &request, &mut script).map_err(|error| error.to_string());
    let asked = script.asked.into_iter().map(|prompt| prompt.text).collect();
    let told = script.told.into_iter().map(|(_, text)| text).collect();
    println!("{}", serde_json::to_string(&Heard { asked, told, reply })?);
    Ok(())
}
